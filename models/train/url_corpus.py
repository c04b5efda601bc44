"""URLs with labels, dates, sources and owners, and the split: nothing of a later part was seen in an earlier one, not even its owner.

    train   malicious before PHISHING_VALID / MALWARE_VALID, benign owners by hash 0..70
    valid   malicious of the next months                   , benign owners by hash 70..85
    test    malicious of the months after, whole sources held out, benign owners by hash 85..100

An owner (registrable name, private suffixes included) belongs to the part in which it is first seen.
"""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .text import Suffixes, canonical, host_of, lines

PHISHING_VALID, PHISHING_TEST = "2026-01", "2026-03"
MALWARE_VALID, MALWARE_TEST = "2025-03", "2025-04"
BENIGN, PHISHING, MALWARE = 0, 1, 2
TRAIN, VALID, TEST, OUT = 0, 1, 2, 3
#: Sources no row of which is trained on: another collector and year, and other kinds of benign pages.
HELD_OUT = ("iscx_phishing", "maigret", "simple_icons")


@dataclass
class Corpus:
    text: np.ndarray
    label: np.ndarray
    source: np.ndarray
    month: np.ndarray
    part: np.ndarray
    https: np.ndarray
    owner: np.ndarray
    files: list


def load(data: Path, program: Path):
    raw, label, source, month, files = [], [], [], [], []

    def add(name, path, what, rows):
        files.append(path)
        for line, when in rows(lines(data / path)):
            raw.append(line)
            label.append(what)
            source.append(name)
            month.append(when)

    add("openphish", "url/openphish_history_20241012_20260531.tsv.gz", PHISHING, _history)
    add("ebbu_phishing", "url/ebbu2017_phishing.txt.gz", PHISHING, _plain)
    add("iscx_phishing", "url/iscx-url2016/phishing_dataset.csv.gz", PHISHING, _plain_after_header)
    add("urlhaus", "url/urlhaus_csv_online_20250421.csv.gz", MALWARE, _urlhaus)
    add("iscx_malware", "url/iscx-url2016/Malware_dataset.csv.gz", MALWARE, _plain_after_header)
    add("urlhaus_filter", "url/urlhaus_filter_full_norm_2018_2022.tsv.gz", MALWARE, _filter)
    add("citizenlab", "benign_url/citizenlab_test_lists.csv.gz", BENIGN, _citizenlab)
    add("debian", "benign_url/debian_homepages.txt.gz", BENIGN, _plain)
    add("smallweb", "benign_url/kagi_smallweb_feeds.txt.gz", BENIGN, _plain)
    add("kasztp", "benign_url/kasztp_48k.txt.gz", BENIGN, _plain)
    add("maigret", "benign_url/maigret_site_profile_urls.tsv.gz", BENIGN, lambda text: ((line.split("\t")[1], "") for line in text))
    add("maltrail_reference", "benign_url/maltrail_reference_urls.txt.gz", BENIGN, _plain)
    add("scoop", "benign_url/scoop_main_download_urls.tsv.gz", BENIGN, lambda text: ((line.split("\t")[2], "") for line in text))
    add("simple_icons", "benign_url/simple_icons_brand_source_urls.txt.gz", BENIGN, _plain)
    add("iscx_benign", "url/iscx-url2016/Benign_list_big_final.csv.gz", BENIGN, _plain_after_header)
    add("ebbu_legitimate", "url/ebbu2017_legitimate.txt.gz", BENIGN, _plain)
    add("tranco", "domains/tranco100k_202605_as_urls.csv.gz", BENIGN, lambda text: ((line.split(",")[0], "") for line in text))
    add("cisco", "domains/cisco_top20k_history.tsv.gz", BENIGN, lambda text: ((line.split("\t")[3], "") for line in text))
    add("cloudflare", "domains/cloudflare_top100k_20260820.txt.gz", BENIGN, _plain)

    text = np.array(canonical(program, "url", raw), dtype=object)
    label, source, month = np.array(label, np.int8), np.array(source), np.array(month)
    https = np.array([one.strip().lower().startswith("https:") for one in raw])
    keep = _distinct(text, label)
    https = https[keep]
    text, label, source, month = text[keep], label[keep], source[keep], month[keep]
    suffixes = Suffixes(data / "conformance/psl/public_suffix_list_kagi_20260822.dat")
    owner = np.array([suffixes.owner(host_of(one)) for one in text], dtype=object)
    part = _split(text, label, source, month, owner)
    return Corpus(text, label, source, month, part, https, owner, files)


def _plain(text):
    return ((line.strip(), "") for line in text)


def _plain_after_header(text):
    next(text)
    return _plain(text)


def _history(text):
    next(text)
    return ((line.split("\t", 3)[3], line[:7]) for line in text)


def _urlhaus(text):
    return ((row[2], row[1][:7]) for row in csv.reader(text) if len(row) > 2 and row[0] != "id")


def _filter(text):
    """Only host/path rows: a bare host there is a compromised site, an address with a port has lost its path."""
    rows = (line.split("\t") for line in text)
    return ((row[4], "") for row in rows if len(row) > 4 and "/" in row[4].rstrip("/"))


def _citizenlab(text):
    return ((row[1], "") for row in csv.reader(text) if len(row) > 1 and row[1].startswith("http"))


def _distinct(text, label):
    """One row a text; texts that two labels claim, malicious bare hosts among the popular ones too, count as malicious and are dropped as benign."""
    bad = {one for one, what in zip(text, label) if what != BENIGN}
    seen, keep = {""}, []
    for at, (one, what) in enumerate(zip(text, label)):
        if one not in seen and not (what == BENIGN and one in bad):
            seen.add(one)
            keep.append(at)
    return np.array(keep)


def _split(text, label, source, month, owner):
    bucket = np.array([zlib.crc32(one.encode()) % 100 for one in owner])
    part = np.where(bucket < 70, TRAIN, np.where(bucket < 85, VALID, TEST)).astype(np.int8)
    dated = {"openphish": (PHISHING_VALID, PHISHING_TEST), "urlhaus": (MALWARE_VALID, MALWARE_TEST)}
    for name, (valid, test) in dated.items():
        mine = source == name
        part[mine] = np.where(month[mine] < valid, TRAIN, np.where(month[mine] < test, VALID, TEST))
    old = source == "ebbu_phishing"
    part[old] = np.where(bucket[old] < 85, TRAIN, VALID)
    for name in ("iscx_malware", "urlhaus_filter"):
        part[source == name] = TRAIN
    for name in HELD_OUT:
        part[source == name] = TEST
    return _disjoint(label, part, owner)


def _disjoint(label, part, owner):
    """Malicious rows leave a later part when their owner has malicious rows in an earlier one; benign owners are split by hash already."""
    first = {}
    for kind in (True, False):
        first.clear()
        mine = np.flatnonzero((label != BENIGN) == kind)
        for at in mine:
            first[owner[at]] = min(first.get(owner[at], OUT), part[at])
        for at in mine:
            if part[at] > first[owner[at]]:
                part[at] = OUT
    return part
