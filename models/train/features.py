"""Canonical text becomes a bag of row numbers. models/FEATURES.md says the same in words; the daemon's Rust does the same bit for bit.

    host = last HOST_BYTES of the host    ".host "   grams of 2..5 bytes, labels, last two and three labels    ─┐
    rest = first REST_BYTES of /path?query "/path? "  grams, words                                              ├─► ids of rows, summed
    counts of both, cut into buckets                                                                            ─┘

Everything is computed for thousands of texts at once, over one array of bytes, in wrapping 32-bit arithmetic.
"""

from dataclasses import dataclass, field

import numpy as np

HOST_BYTES, REST_BYTES = 64, 96
BUCKETS = 16
EDGES = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 29, 40, 60, 100])
#: Row 0 is padding, all zero. Rows 1.. hold counts: feature by feature, BUCKETS rows each. Hashed rows begin here.
HASHED = 512
ONE, TWO = 0x9E3779B1, 0x85EBCA6B
WORD = 0x01000193
#: Odd multipliers by section and length of gram; each is the one before it times 0x2C1B3C6D, plus 0x297A2D38, with the lowest bit set.
U32 = np.uint32


def _multipliers():
    value, table = 0x7FEB352D, {}
    for section in ("host", "rest"):
        for length in range(1, 9):
            value = (value * 0x2C1B3C6D + 0x297A2D38) & 0xFFFFFFFF
            table[section, length] = value | 1
    return table


MULTIPLIER = _multipliers()
#: What a word is hashed with, by its role: multipliers of "gram lengths" that no gram has.
LABEL, TAIL_TWO, TAIL_THREE, PATH_WORD = ("host", 6), ("host", 7), ("host", 8), ("rest", 6)

COUNTS = (
    "host_bytes", "labels", "longest_label", "host_digits", "host_hyphens", "host_vowels", "host_consonant_run", "host_distinct", "digit_letter_turns",
    "first_label_bytes", "address", "path_bytes", "query_bytes", "slashes", "rest_digits", "rest_upper", "rest_escapes", "rest_equals", "rest_dots",
    "rest_hyphens", "longest_word", "words", "rest_distinct", "last_label_bytes",
)  # fmt: skip


@dataclass
class Spec:
    """Which grams a model looks at, and into how many rows they are hashed."""

    bits: int = 15
    host: tuple = (2, 3, 4, 5)
    rest: tuple = (3, 4)
    counts: tuple = field(default=COUNTS)

    @property
    def rows(self):
        return HASHED + (1 << self.bits)


@dataclass
class Bags:
    """Ids of all texts one after the other; text k has `ids[start[k]:start[k + 1]]`."""

    ids: np.ndarray
    start: np.ndarray

    def __len__(self):
        return len(self.start) - 1

    def take(self, which):
        sizes = self.start[which + 1] - self.start[which]
        start = np.concatenate(([0], np.cumsum(sizes)))
        at = np.repeat(self.start[which] - start[:-1], sizes) + np.arange(start[-1])
        return Bags(self.ids[at], start)


def extract(texts, spec, chunk=20000):
    """Bags of canonical texts `host/path?query`; a bare host is `host/`."""
    parts = [_chunk(texts[at : at + chunk], spec) for at in range(0, len(texts), chunk)]
    sizes = np.concatenate([sizes for _, sizes in parts])
    return Bags(np.concatenate([ids for ids, _ in parts]), np.concatenate(([0], np.cumsum(sizes))))


def _chunk(texts, spec):
    hosts, rests = [], []
    for text in texts:
        host, _, rest = text.partition("/")
        hosts.append(host[-HOST_BYTES:])
        rests.append(rest)
    owner, ids = [], []

    def put(texts_of, rows):
        owner.append(texts_of.astype(np.int32))
        ids.append(rows.astype(np.int32))

    host = Section([f".{one} " for one in hosts])
    rest = Section([f"/{one}"[:REST_BYTES] + " " for one in rests])
    for name, section, lengths in (("host", host, spec.host), ("rest", rest, spec.rest)):
        for length in lengths:
            put(*section.grams(length, MULTIPLIER[name, length], spec.bits))
    counts = {**host_words(host, spec, put), **rest_words(rest, spec, put)}
    counts |= {"path_bytes": [len(one.partition("?")[0]) for one in rests], "query_bytes": [len(one.partition("?")[2]) for one in rests]}
    counts |= byte_counts(host, rest, texts)
    every = np.arange(len(texts))
    for at, name in enumerate(spec.counts):
        put(every, 1 + at * BUCKETS + bucket(np.asarray(counts[name])))
    owner, ids = np.concatenate(owner), np.concatenate(ids)
    order = np.lexsort((ids, owner))
    return ids[order], np.bincount(owner, minlength=len(texts))


def bucket(count):
    """How many of the edges are not above the count: 0..=15."""
    return np.searchsorted(EDGES, np.asarray(count, np.int64), side="right")


class Section:
    """The same part of every text, bytes one after the other, each closed by a space."""

    def __init__(self, texts):
        self.count = len(texts)
        self.bytes = np.frombuffer("".join(texts).encode("ascii"), np.uint8)
        self.sizes = np.array([len(one) for one in texts])
        self.start = np.concatenate(([0], np.cumsum(self.sizes)))
        self.owner = np.repeat(np.arange(self.count), self.sizes)
        padded = np.concatenate((self.bytes, np.zeros(8, np.uint8))).astype(U32)
        self.word = padded[:-8] | padded[1:-7] << U32(8) | padded[2:-6] << U32(16) | padded[3:-5] << U32(24)
        self.fifth = padded[4:-4]
        power = np.ones(len(self.bytes) + 1, U32)
        power[1:] = U32(WORD)
        self.power = np.cumprod(power, dtype=U32)
        self.inverse = np.cumprod(np.where(np.arange(len(power)) == 0, U32(1), U32(pow(WORD, -1, 1 << 32))), dtype=U32)
        self.sums = np.concatenate((np.zeros(1, U32), np.cumsum(padded[:-8] * self.power[:-1], dtype=U32)))

    def grams(self, length, multiplier, bits):
        """Every run of `length` bytes of a text: its little-endian word, times a multiplier, the highest bits."""
        left = self.start[self.owner + 1] - np.arange(len(self.bytes))
        at = np.flatnonzero(left >= length)
        if length <= 4:
            mixed = (self.word[at] & U32((1 << 8 * length) - 1)) * U32(multiplier)
        else:
            mixed = self.word[at] * U32(multiplier) + self.fifth[at] * U32(ONE)
        return self.owner[at], HASHED + (mixed >> U32(32 - bits)).astype(np.int64)

    def hashes(self, begin, end, multiplier, bits):
        """Words `bytes[begin:end]`: the sum of byte k times WORD^k, folded, times a multiplier, the highest bits."""
        value = (self.sums[end] - self.sums[begin]) * self.inverse[begin]
        value = (value ^ (value >> U32(15))) * U32(multiplier)
        return HASHED + (value >> U32(32 - bits)).astype(np.int64)

    def runs(self, inside):
        """Begin and end of the longest runs of true, none of which crosses texts (each ends with a space, which is never inside)."""
        edge = np.diff(np.concatenate(([0], inside.astype(np.int8), [0])))
        return np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)

    def longest(self, begin, end):
        most = np.zeros(self.count, np.int64)
        np.maximum.at(most, self.owner[begin], end - begin)
        return most

    def total(self, inside):
        return np.bincount(self.owner[inside], minlength=self.count)

    def distinct(self):
        seen = np.zeros((self.count, 128), bool)
        seen[self.owner, self.bytes] = True
        return seen.sum(1)


def host_words(host, spec, put):
    """Labels by their place from the right, the last two and three labels together, and what is counted of labels."""
    begin, end = host.runs((host.bytes != ord(".")) & (host.bytes != ord(" ")))
    owner = host.owner[begin]
    count = np.bincount(owner, minlength=host.count)
    place = count[owner] - 1 - (np.arange(len(begin)) - (np.cumsum(count) - count)[owner])
    section, length = LABEL
    put(owner, host.hashes(begin, end, MULTIPLIER[section, length], spec.bits))
    last = host.start[1:] - 1
    for tail, key in ((1, TAIL_TWO), (2, TAIL_THREE)):
        at = np.flatnonzero(place == tail)
        put(owner[at], host.hashes(begin[at], last[owner[at]], MULTIPLIER[key], spec.bits))
    first = np.flatnonzero(place == count[owner] - 1)
    final = np.flatnonzero(place == 0)
    size = np.zeros((2, host.count), np.int64)
    size[0, owner[first]], size[1, owner[final]] = (end - begin)[first], (end - begin)[final]
    return {"labels": count, "longest_label": host.longest(begin, end), "first_label_bytes": size[0], "last_label_bytes": size[1]}


def rest_words(rest, spec, put):
    """Words are runs of letters and digits."""
    begin, end = rest.runs(_letter(rest.bytes) | _digit(rest.bytes))
    put(rest.owner[begin], rest.hashes(begin, end, MULTIPLIER[PATH_WORD], spec.bits))
    return {"words": np.bincount(rest.owner[begin], minlength=rest.count), "longest_word": rest.longest(begin, end)}


def byte_counts(host, rest, texts):
    bytes_ = host.bytes
    vowel = np.isin(bytes_, np.frombuffer(b"aeiou", np.uint8))
    letter, digit = _letter(bytes_), _digit(bytes_)
    turn = np.concatenate((letter[:-1] & digit[1:] | digit[:-1] & letter[1:], [False]))
    runs = host.runs(letter & ~vowel)
    whole = [one.partition("/")[0] for one in texts]
    return {
        "host_bytes": [len(one) for one in whole],
        "host_digits": host.total(digit),
        "host_hyphens": host.total(bytes_ == ord("-")),
        "host_vowels": host.total(vowel),
        "host_consonant_run": host.longest(*runs),
        "host_distinct": host.distinct(),
        "digit_letter_turns": host.total(turn),
        "address": [1 if one.startswith("[") or one.replace(".", "").isdigit() else 0 for one in whole],
        "slashes": rest.total(rest.bytes == ord("/")),
        "rest_digits": rest.total(_digit(rest.bytes)),
        "rest_upper": rest.total((rest.bytes >= ord("A")) & (rest.bytes <= ord("Z"))),
        "rest_escapes": rest.total(rest.bytes == ord("%")),
        "rest_equals": rest.total(rest.bytes == ord("=")),
        "rest_dots": rest.total(rest.bytes == ord(".")),
        "rest_hyphens": rest.total((rest.bytes == ord("-")) | (rest.bytes == ord("_"))),
        "rest_distinct": rest.distinct(),
    }


def _letter(bytes_):
    lower = bytes_ | 0x20
    return (lower >= ord("a")) & (lower <= ord("z"))


def _digit(bytes_):
    return (bytes_ >= ord("0")) & (bytes_ <= ord("9"))
