"""Golden vectors: texts that a seeded generator makes of reserved names, with ids, float and integer results. No row of a corpus is in them."""

import json

import numpy as np

from .augment import dirty, noise
from .features import extract

HOSTS = (
    "example.com", "www.example.org", "login.example.net", "a.b.c.d.example.com", "xn--bcher-kva.example", "secure-login-account-verify.example", "192.0.2.1", "198.51.100.255",
    "[2001:db8::1]", "cdn-17.static.example.test", "x.test", "test", "paypa1-example.invalid", "qxkzvbnmwrtpl.example", "0x1f.example", "a--b.example", "%20.example", "example.com.secure.update.billing.example",
)  # fmt: skip
PATHS = (
    "", "index.html", "wp-content/plugins/x/login.php", "bin.sh", "i", "a/b/c/d/e/f/g/", "feed.xml", "?", "?q=1&r=2", "download/setup-1.2.3.exe?token=abc%20def", "~user/", "A/B/C", "%3Fevil",
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "#")


def texts(count, seed):
    """Canonical in form: host, slash, printable ASCII. The first are edge cases of lengths, then random ones."""
    random = np.random.default_rng(seed)
    out = ["a.test/", "test/", "x" * 63 + ".test/", ("y" * 50 + ".") * 4 + "example/", "example/" + "p" * 94, "example/" + "p" * 95, "example/" + "p" * 96]
    out += ["." .join(["l"] * 30) + ".test/", "example/?" + "q=" * 100, "example/" + "/".join("ab" for _ in range(80)), "example.com/" + "Z" * 3000]
    out += [f"{host}/{path}" for host in HOSTS for path in PATHS[:4]]
    while len(out) < count:
        host = HOSTS[random.integers(len(HOSTS))]
        if random.random() < 0.5:
            label = "".join(LETTERS[at] for at in random.integers(0, len(LETTERS), int(random.integers(1, 64))))
            host = f"{label}.{host}" if "[" not in host else host
        path = PATHS[random.integers(len(PATHS))]
        if random.random() < 0.4:
            path = dirty(path, random)
        if random.random() < 0.2:
            path += "".join(VISIBLE[at] for at in random.integers(0, len(VISIBLE), int(random.integers(0, 150))))
        if random.random() < 0.05:
            path += "/" + noise(random) * 3
        out.append(f"{host}/{path}")
    return out[:count]


def write(path, spec, model, quantized, inputs, bags=None):
    """One JSON object a line."""
    bags = extract(inputs, spec) if bags is None else bags
    real, small, exact = model.logits(bags), quantized.logits(bags), quantized.integers(bags)
    with open(path, "w", encoding="ascii", newline="\n") as out:
        for at, one in enumerate(inputs):
            ids = bags.ids[bags.start[at] : bags.start[at + 1]]
            row = {"text": one} if isinstance(one, str) else {"fields": one}
            row |= {"ids": ids.tolist(), "float": [round(float(v), 5) for v in real[at]], "int8": [float(v) for v in small[at]], "z2": exact[at].tolist()}
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
