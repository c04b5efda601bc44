"""The DGA model: hosts that an algorithm made up, against hosts that people look up.

    families  a fifth of them, by hash, is never trained on (half of these for validation, half for test); of the others 70/15/15 of the domains, by hash
    benign    owners by hash 70/15/15: registrable names and long FQDNs; sinkholed DGA names that became popular are taken out
    invented  families of our own: letters, digits, syllables with drawn lengths and frequencies, so that an unseen family is less of a stranger
"""

import csv
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import evaluate
from .bag import Bag
from .features import Bags, Spec, extract
from .text import Suffixes, canonical, host_of, lines
from .url_corpus import OUT, TEST, TRAIN, VALID

FAMILY_CAP = 6000
WORDS = ("matsnu", "rovnix", "suppobox", "gozi", "nymaim2")
BENIGN_LISTS = (
    ("tranco", "domains/tranco100k_202605_as_urls.csv.gz", lambda line: line.split(",")[0]),
    ("cloudflare", "domains/cloudflare_top100k_20260820.txt.gz", lambda line: line),
    ("cisco", "domains/cisco_top20k_history.tsv.gz", lambda line: line.split("\t")[3]),
    ("majestic", "domains/majestic_million_history.tsv.gz", lambda line: line.split("\t")[3]),
    ("tranco10k", "domains/tranco10k_history.tsv.gz", lambda line: line.split("\t")[3]),
    ("alexa", "domains/alexa_history.tsv.gz", lambda line: line.split("\t")[3]),
    ("opendns_random", "dga/andrewaeva_2017/opendns-random-domains.txt.gz", lambda line: line),
    ("opendns_top", "dga/andrewaeva_2017/opendns-top-domains.txt.gz", lambda line: line),
)


@dataclass
class Domains:
    text: np.ndarray
    bad: np.ndarray
    group: np.ndarray
    part: np.ndarray
    owner: np.ndarray
    unseen: np.ndarray
    files: list


@dataclass
class Config:
    spec: Spec = field(default_factory=lambda: Spec(bits=15, host=(2, 3, 4, 5), rest=()))
    width: int = 48
    hidden: int = 32
    epochs: int = 5
    batch: int = 2048
    rate: float = 0.003
    drop: float = 0.5
    swap: float = 0.3
    invented: float = 0.5
    seed: int = 11


def hashed(text):
    return zlib.crc32(text.encode()) % 100


def load(data: Path, program: Path):
    raw, bad, group, files = [], [], [], []
    for path in sorted((data / "dga/andrewaeva_2017").glob("*.txt.gz")):
        name = path.name.removesuffix(".txt.gz")
        if name in ("zeus", "others_dga", "opendns-random-domains", "opendns-top-domains"):
            continue
        files.append(f"dga/andrewaeva_2017/{path.name}")
        mine = sorted({line.strip().lower() for line in lines(path) if "." in line}, key=lambda one: zlib.crc32(one.encode()))[:FAMILY_CAP]
        raw += mine
        group += [{"new_goz": "newgoz"}.get(name, name)] * len(mine)
    by_family = {}
    files.append("dga/baderj_example_domains.tsv.gz")
    for row in csv.reader(lines(data / files[-1]), delimiter="\t"):
        if row[0] != "family" and len(row) == 3 and "." in row[2]:
            by_family.setdefault(row[0], set()).add(row[2].strip().lower())
    for name, domains in sorted(by_family.items()):
        mine = sorted(domains, key=lambda one: zlib.crc32(one.encode()))[:FAMILY_CAP]
        raw += mine
        group += [name] * len(mine)
    bad += [True] * len(raw)
    for name, path, pick in BENIGN_LISTS:
        files.append(path)
        mine = [pick(line).split("://")[-1].strip() for line in lines(data / path) if "." in line]
        raw += mine
        bad += [False] * len(mine)
        group += [name] * len(mine)
    text = np.array([one + "/" if one else "" for one in canonical(program, "host", raw)], dtype=object)
    return _parts(text, np.array(bad), np.array(group), data, files)


def _parts(text, bad, group, data, files):
    seen, keep = {""}, []
    for at, one in enumerate(text):  # malicious rows come first, so a sinkholed name is never benign
        if one not in seen and host_of(one).count(".") >= 1:
            seen.add(one)
            keep.append(at)
    text, bad, group = text[keep], bad[keep], group[keep]
    suffixes = Suffixes(data / "conformance/psl/public_suffix_list_kagi_20260822.dat")
    owner = np.array([suffixes.owner(host_of(one)) for one in text], dtype=object)
    claimed = set(owner[bad])
    bucket = np.array([hashed(one) for one in owner])
    part = np.where(bucket < 70, TRAIN, np.where(bucket < 85, VALID, TEST)).astype(np.int8)
    family = np.array([hashed("family " + one) for one in group])
    unseen = bad & (family < 20)
    part[unseen] = np.where(family[unseen] % 2 == 0, VALID, TEST)
    part[~bad & np.isin(owner.astype(str), list(claimed))] = OUT
    return Domains(text, bad, group, part, owner, unseen, files)


def family_share(group):
    """Families count alike, but a family of few names less: the square root of at most a thousand."""
    _, which, count = np.unique(group, return_inverse=True, return_counts=True)
    return np.sqrt(np.minimum(count, 1000))[which] / count[which]


def swapped(texts, tails, chance, random):
    """Some names under a suffix of another: which suffix a family likes is a hint, not a proof."""
    out = []
    for one, luck in zip(texts, random.random(len(texts))):
        name, dot, _ = host_of(one).rpartition(".")
        out.append(f"{name}.{tails[random.integers(len(tails))]}/" if luck < chance and dot else one)
    return out


def invent(count, tails, seed):
    """Domains of made-up families, a few hundred each; returns texts and family numbers."""
    random = np.random.default_rng(seed)
    texts, families = [], []
    for family in range(count):
        draw = _maker(random)
        mine = [tails[at] for at in random.integers(0, len(tails), int(random.integers(1, 6)))]
        for _ in range(250):
            texts.append(f"{draw()}.{mine[random.integers(len(mine))]}/")
            families.append(family)
    return texts, np.array(families)


def _maker(random):
    """One family: an alphabet with frequencies, or syllables, and a range of lengths."""
    low = int(random.integers(5, 20))
    high = low + int(random.integers(0, 12))
    kind = random.integers(6)
    if kind <= 3:
        alphabet = ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwxyz0123456789", "0123456789abcdef")[kind]
        if kind == 3:
            low, high = max(low, 8), max(high, 8)
        chance = random.dirichlet(np.full(len(alphabet), random.choice([1.0, 5.0, 50.0])))
        return lambda: "".join(random.choice(list(alphabet), int(random.integers(low, high + 1)), p=chance))
    vowels, others = "aeiouy"[: int(random.integers(4, 7))], "bcdfghjklmnpqrstvwxz"
    start, double = int(random.integers(2)), float(random.uniform(0, 0.3))

    def syllables():
        out, vowel = "", start
        for _ in range(int(random.integers(low, high + 1))):
            out += vowels[random.integers(len(vowels))] if vowel else others[random.integers(len(others))]
            vowel = vowel if random.random() < double else 1 - vowel
        return out

    return syllables


def fit(d, bags, config, tell=print):
    random = np.random.default_rng(config.seed)
    rows = np.flatnonzero(d.part == TRAIN)
    bad = d.bad[rows]
    tails = [host_of(one).rpartition(".")[2] for one in d.text[rows]]
    tails = [tails[at] for at in random.choice(len(tails), 5000)]
    again = swapped(d.text[rows], tails, config.swap, random)
    invented, families = invent(160, tails, config.seed)
    extra = extract(np.array(again + invented, dtype=object), config.spec)
    own = bags.take(rows)
    joined = Bags(np.concatenate([own.ids, extra.ids]), np.concatenate([own.start, extra.start[1:] + own.start[-1]]))
    share = np.where(bad, 0.0, evaluate.owner_share(d.owner[rows]))
    share[bad] = family_share(d.group[rows][bad])
    share[bad] /= share[bad].sum()
    share[~bad] /= share[~bad].sum()
    weight = np.concatenate([share, share, np.full(len(invented), config.invented * 2 / len(invented))])
    label = np.concatenate([bad, bad, np.ones(len(invented), bool)])
    weight = (weight * len(label) / weight.sum()).astype(np.float32)[:, None]
    model = Bag(config.spec.rows, config.width, config.hidden, 1, config.seed)
    target = label.astype(np.float32)[:, None]
    model.fit(joined, target, weight, config.epochs, config.batch, config.rate, config.drop, lambda epoch, loss: tell(epoch, loss, model))
    return model


def contests(d, part):
    """Families of this part, each with at most 100 names, so that the average is over families; and each by itself."""
    benign = np.flatnonzero((d.part == part) & ~d.bad)
    weight = evaluate.owner_share(d.owner[benign])
    out = []
    for name, mine in (("families, balanced", d.bad), ("seen families, balanced", d.bad & ~d.unseen), ("unseen families, balanced", d.unseen)):
        rows = [np.flatnonzero(mine & (d.part == part) & (d.group == group))[:100] for group in np.unique(d.group[mine & (d.part == part)])]
        if rows:
            out.append((0, evaluate.Contest(name, np.concatenate(rows), benign, weight)))
    return out
