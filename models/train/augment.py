"""Rows that nobody collected: hosts and paths of the training part, put together anew.

A corpus of benign pages knows few hosts with a hash, a token or a signature in their paths, so a model takes those for malice, and so it does with a bare host for
a path. Here benign hosts get paths of other benign hosts, a quarter of them with random identifiers; malicious hosts get malicious and benign paths. What remains as evidence
is what the host and the words say.
"""

import base64

import numpy as np

from .url_corpus import BENIGN, MALWARE, PHISHING, TRAIN

PARAMETERS = ("id", "token", "s", "q", "sig", "X-Amz-Signature", "data", "u")
ENDINGS = ("", "/", ".html", ".png", ".pdf", ".exe", ".zip")


def noise(random):
    """An identifier as services make them: hexadecimal digest, base64, UUID, short code, number."""
    kind, raw = random.integers(6), random.bytes(int(random.integers(16, 65)))
    if kind == 0:
        return raw[: (16, 20, 32)[random.integers(3)] if len(raw) >= 32 else 16].hex()
    if kind == 1:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    if kind == 2:
        digits = random.bytes(16).hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if kind == 3:
        return base64.urlsafe_b64encode(raw)[: int(random.integers(6, 13))].decode()
    if kind == 4:
        return str(int(random.integers(10**5, 10**12)))
    return base64.b64encode(raw).decode()


def dirty(path, random):
    """A path with an identifier in place of, behind or beside what it had."""
    kind, one, base = random.integers(4), noise(random), path.partition("?")[0]
    if kind == 0:
        return base.rstrip("/") + "/" + one if base else one
    if kind == 1:
        return f"{base}?{PARAMETERS[random.integers(len(PARAMETERS))]}={one}"
    if kind == 2:
        return base.rpartition("/")[0] + "/" + one + ENDINGS[random.integers(len(ENDINGS))]
    return f"{path}{'&' if '?' in path else '?'}ref={one}&t={noise(random)}"


class Mixer:
    """Draws hosts and paths of the training part; an owner's many rows count as at most `cap` ones, unless asked flat."""

    def __init__(self, corpus, share, seed):
        self.random = np.random.default_rng(seed)
        self.share = share
        self.hosts = np.array([one.partition("/")[0] for one in corpus.text], dtype=object)
        self.paths = np.array([one.partition("/")[2] for one in corpus.text], dtype=object)
        self.has_path = self.paths != ""
        self.corpus = corpus

    def rows(self, label, source=None):
        mine = (self.corpus.part == TRAIN) & (self.corpus.label == label)
        return np.flatnonzero(mine if source is None else mine & (self.corpus.source == source))

    def draw(self, rows, count, flat=False):
        share = None if flat else self.share[rows] / self.share[rows].sum()
        return rows[self.random.choice(len(rows), count, p=share)]

    def join(self, hosts, paths, dirt=0.0):
        chance = self.random.random(len(hosts))
        return [f"{host}/{dirty(path, self.random) if c < dirt else path}" for host, path, c in zip(hosts, paths, chance)]


def mixed(corpus, share, seed, size=1.0):
    """Texts and labels; `share` weighs each row of the corpus by its owner."""
    m = Mixer(corpus, share, seed)
    n = lambda count: int(count * size)
    benign, phishing, malware = m.rows(BENIGN), m.rows(PHISHING), m.rows(MALWARE, "urlhaus")
    benign_paths, phishing_paths = benign[m.has_path[benign]], phishing[m.has_path[phishing]]
    dull = np.array(["github" in m.hosts[at] or "wsimg" in m.hosts[at] for at in malware])
    own = malware[~dull]
    texts, labels = [], []

    def put(label, hosts, paths, dirt=0.0):
        texts.extend(m.join(hosts, paths, dirt))
        labels.extend([label] * len(hosts))

    paths = np.concatenate([m.draw(benign_paths, n(150_000)), m.draw(benign_paths, n(75_000), flat=True)])
    put(BENIGN, m.hosts[m.draw(benign, len(paths))], m.paths[paths], dirt=0.25)
    same = m.draw(benign, n(40_000))
    put(BENIGN, m.hosts[same], m.paths[same], dirt=1.0)
    put(PHISHING, m.hosts[m.draw(phishing, n(120_000))], m.paths[m.draw(phishing_paths, n(120_000))])
    put(PHISHING, m.hosts[m.draw(phishing, n(40_000))], m.paths[m.draw(benign_paths, n(40_000))], dirt=0.5)
    put(MALWARE, m.hosts[m.draw(malware, n(30_000))], m.paths[m.draw(malware, n(30_000), flat=True)])
    put(MALWARE, m.hosts[m.draw(phishing, n(30_000))], m.paths[m.draw(own, n(30_000))])
    addresses = [".".join(map(str, four)) for four in m.random.integers(1, 255, (n(15_000), 4))]
    put(MALWARE, addresses, m.paths[m.draw(own, n(15_000))])
    return np.array(texts, dtype=object), np.array(labels, np.int8)
