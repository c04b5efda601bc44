"""Rows that nobody collected: hosts and paths of the training part, put together anew.

A corpus of benign pages knows few hosts with a hash, a token or a signature in their paths, so a model takes those for malice, and so it does with a bare host for
a path. Here benign hosts get paths of other benign hosts, a quarter of them with random identifiers; malicious hosts get malicious and benign paths. What remains as evidence
is what the host and the words say.
"""

import base64

from urllib.parse import quote

import numpy as np

from .url_corpus import BENIGN, MALWARE, PHISHING, TRAIN

PARAMETERS = ("id", "token", "s", "q", "sig", "X-Amz-Signature", "data", "u")
DOORS = ("login", "login.do", "login.php", "login.html", "signin", "account/login", "user/login", "accounts/signin", "auth", "member/login.jsp", "users/sign_in", "wp-login.php", "customer/account/login", "sso/login", "logout")
BACK = ("returnURL", "return_to", "next", "redirect", "url", "continue", "returnUrl", "redirect_uri", "back", "goto", "ref", "service", "redirect_to")
NAMES = ("id", "page", "lang", "sid", "utm_source", "utm_medium", "utm_campaign", "cat", "type", "v", "p", "key", "session", "uid", "pid", "cid", "ts", "hash", "view", "sort", "from", "gclid", "fbclid")
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


def signed(random):
    """The query of a link that a cloud's storage signed."""
    stamp = f"20{random.integers(15, 27)}{random.integers(1, 13):02}{random.integers(1, 29):02}"
    kind, hexes, base = random.integers(4), random.bytes(32).hex(), base64.b64encode(random.bytes(32)).decode().replace("/", "%2F").replace("+", "%2B")
    if kind == 0:
        return f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={noise(random)[:20].upper()}%2F{stamp}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date={stamp}T000000Z&X-Amz-Signature={hexes}"
    if kind == 1:
        return f"AWSAccessKeyId={noise(random)[:20].upper()}&Expires={random.integers(10**9, 2 * 10**9)}&Signature={base}"
    if kind == 2:
        return f"sv=20{random.integers(15, 25)}-{random.integers(1, 13):02}-01&sr=b&sp=r&se={stamp[:4]}-01-01T00%3A00%3A00Z&sig={base}"
    return f"Expires={random.integers(10**9, 2 * 10**9)}&Key-Pair-Id={noise(random)[:14].upper()}&Signature={base}"


def login(path, random):
    """A door that sends the visitor back to where he was."""
    back = "/" + path
    if random.random() < 0.5:
        back = quote(back, safe="")
    return f"{DOORS[random.integers(len(DOORS))]}?{BACK[random.integers(len(BACK))]}={back}"


def several(random):
    """A query of several parameters, some of them identifiers."""
    return "&".join(f"{NAMES[random.integers(len(NAMES))]}={noise(random) if random.random() < 0.4 else random.integers(1000)}" for _ in range(int(random.integers(2, 7))))


def dirty(path, random):
    """A path with an identifier in place of, behind or beside what it had; or a door, a signed link, a long query."""
    kind, one, base = random.integers(7), noise(random), path.partition("?")[0]
    if kind == 4:
        return login(path, random)
    if kind == 5:
        return f"{base}?{signed(random)}"
    if kind == 6:
        return f"{base}?{several(random)}"
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
    put(BENIGN, m.hosts[m.draw(benign, len(paths))], m.paths[paths], dirt=0.3)
    same = m.draw(benign, n(60_000))
    put(BENIGN, m.hosts[same], m.paths[same], dirt=1.0)
    pages = benign[np.isin(m.corpus.source[benign], ("kasztp", "smallweb", "debian", "ebbu_legitimate", "iscx_benign", "scoop"))]
    put(BENIGN, m.hosts[m.draw(pages, n(40_000))], np.full(n(40_000), "", object))
    pages = phishing[m.has_path[phishing]]
    put(PHISHING, m.hosts[m.draw(pages, n(40_000))], np.full(n(40_000), "", object))
    put(PHISHING, m.hosts[m.draw(phishing, n(120_000))], m.paths[m.draw(phishing_paths, n(120_000))])
    put(PHISHING, m.hosts[m.draw(phishing, n(60_000))], m.paths[m.draw(benign_paths, n(60_000))], dirt=0.6)
    put(MALWARE, m.hosts[m.draw(malware, n(30_000))], m.paths[m.draw(malware, n(30_000), flat=True)])
    put(MALWARE, m.hosts[m.draw(phishing, n(30_000))], m.paths[m.draw(own, n(30_000))])
    addresses = [".".join(map(str, four)) for four in m.random.integers(1, 255, (n(15_000), 4))]
    put(MALWARE, addresses, m.paths[m.draw(own, n(15_000))])
    return np.array(texts, dtype=object), np.array(labels, np.int8)
