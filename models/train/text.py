"""From a line of a corpus to canonical text, and from a host to the name that somebody registered.

Canonical text comes from `keys` itself (a program of that crate, lines in, lines out), so a model learns from the very bytes it is asked about.
Registrable names are used for splits only, never as a feature: the daemon's suffix list changes, a model's features may not.
"""

import gzip
import io
import subprocess
from pathlib import Path


def lines(path):
    """Lines of a plain or gzipped file, without their ends; bytes that are no UTF-8 are replaced."""
    raw = gzip.open(path, "rb") if str(path).endswith(".gz") else open(path, "rb")
    with raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="\n") as text:
        for line in text:
            yield line.rstrip("\r\n")


def canonical(program, kind, raw):
    """Canonical text of each raw line, `""` where it has none."""
    joined = "\n".join(line.replace("\n", " ").replace("\r", " ") for line in raw)
    done = subprocess.run([str(program), kind], input=joined.encode() + b"\n", stdout=subprocess.PIPE, check=True)
    texts = done.stdout.decode("ascii").split("\n")[:-1]
    assert len(texts) == len(raw), (len(texts), len(raw))
    return texts


def host_of(text):
    return text.partition("/")[0]


def is_address(host):
    return host.startswith("[") or host.replace(".", "").isdigit()


class Suffixes:
    """The public suffix list, both parts, as it decides who owns a name."""

    def __init__(self, path: Path):
        self.rules, self.exceptions = set(), set()
        for line in lines(path):
            rule = line.split()[0] if line.strip() and not line.startswith("//") else ""
            if rule.startswith("!"):
                self.exceptions.add(rule[1:].encode("idna").decode() if not rule.isascii() else rule[1:])
            elif rule:
                self.rules.add(_punycode(rule))
        self.known = {}

    def owner(self, host):
        """The registrable name of a host; the host itself where it is an address or a suffix."""
        if host not in self.known:
            self.known[host] = self._owner(host)
        return self.known[host]

    def _owner(self, host):
        if is_address(host):
            return host
        labels = host.split(".")
        for at in range(len(labels)):
            name = ".".join(labels[at:])
            if name in self.exceptions:
                return name
            if name in self.rules or ".".join(["*", *labels[at + 1 :]]) in self.rules:
                return ".".join(labels[max(0, at - 1) :])
        return ".".join(labels[-2:])


def _punycode(rule):
    try:
        return rule if rule.isascii() else rule.encode("idna").decode()
    except UnicodeError:
        return rule
