"""The PE model: fields of a file's headers, each cut into at most BINS places at quantiles of the training rows; flags bit by bit.

    field f with edges e: id = 1 + BINS * f + (edges not above the value)      flag word w, bit b set: id = FLAGS + 16 * w + b
    two paired fields:    id = PAIRS + ((first id << 16 | second id) * ONE >> (32 - PAIR_BITS)), in wrapping 32 bits
A field that is not known gives no row, so a collection that lacks some can be scored. A fifth of the ids is left out while training, for that too.
"""

import csv
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import evaluate
from .bag import Bag
from .features import ONE, Bags
from .text import lines
from .url_corpus import TEST, TRAIN, VALID

BINS = 32
KAGGLE = "pe/kaggle_dataset_malwares_20306x52.csv.gz"
CLAMP = "pe/ClaMP_Integrated-5184.csv.gz"
FIELDS = (
    "e_cblp", "e_cp", "e_crlc", "e_cparhdr", "e_minalloc", "e_maxalloc", "e_ss", "e_sp", "e_csum", "e_ip", "e_cs", "e_lfarlc", "e_ovno", "e_oemid", "e_oeminfo", "e_lfanew",
    "NumberOfSections", "PointerToSymbolTable", "NumberOfSymbols", "SizeOfOptionalHeader", "Magic", "MajorLinkerVersion", "MinorLinkerVersion", "SizeOfCode", "SizeOfInitializedData",
    "SizeOfUninitializedData", "AddressOfEntryPoint", "BaseOfCode", "ImageBase", "SectionAlignment", "FileAlignment", "MajorOperatingSystemVersion", "MinorOperatingSystemVersion",
    "MajorImageVersion", "MinorImageVersion", "MajorSubsystemVersion", "MinorSubsystemVersion", "SizeOfHeaders", "CheckSum", "SizeOfImage", "Subsystem", "SizeOfStackReserve",
    "SizeOfStackCommit", "SizeOfHeapReserve", "SizeOfHeapCommit", "LoaderFlags", "NumberOfRvaAndSizes",
)  # fmt: skip
WORDS = ("Characteristics", "DllCharacteristics")
FLAGS = 1 + BINS * len(FIELDS)
#: Pairs of these fields give a row each, hashed: what one field says depends on another, as trees know well.
PAIRED = (
    "e_lfanew", "NumberOfSections", "MajorLinkerVersion", "MinorLinkerVersion", "SizeOfCode", "SizeOfInitializedData", "SizeOfUninitializedData", "AddressOfEntryPoint", "BaseOfCode", "ImageBase",
    "FileAlignment", "MajorOperatingSystemVersion", "MajorSubsystemVersion", "SizeOfHeaders", "CheckSum", "SizeOfImage", "Subsystem", "SizeOfStackReserve", "SizeOfStackCommit", "e_cblp",
)  # fmt: skip
PAIRS = FLAGS + 16 * len(WORDS)
PAIR_BITS = 14
ROWS = PAIRS + (1 << PAIR_BITS)
#: ClaMP spells flags one by one, in the order of the headers' definitions (0x40 has no name there), and reduces some fields to a yes or no: those are unknown.
CLAMP_FILE = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15)
CLAMP_DLL = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
CLAMP_REDUCED = {"ImageBase", "SectionAlignment", "FileAlignment", "SizeOfImage", "SizeOfHeaders", "CheckSum"}
UNKNOWN = -1


@dataclass
class Files:
    values: np.ndarray
    bad: np.ndarray
    source: np.ndarray
    part: np.ndarray
    kin_part: np.ndarray
    files: tuple = (KAGGLE, CLAMP)


@dataclass
class Config:
    width: int = 48
    hidden: int = 32
    epochs: int = 40
    batch: int = 256
    rate: float = 0.002
    decay: float = 0.02
    drop: float = 0.4
    seed: int = 13


def load(data: Path):
    rows, bad, source = [], [], []
    for row in csv.DictReader(lines(data / KAGGLE)):
        rows.append([int(float(row[name])) for name in (*FIELDS, *WORDS)])
        bad.append(row["Malware"] == "1")
        source.append("kaggle")
    for row in csv.DictReader(lines(data / CLAMP)):
        try:
            rows.append(_clamp(row))
        except (TypeError, ValueError, KeyError):
            continue
        bad.append(row["class"].strip('"') == "1")
        source.append("clamp")
    values, bad, source = np.array(rows, np.int64), np.array(bad), np.array(source)
    keep = _distinct(values, bad)
    values, bad, source = values[keep], bad[keep], source[keep]
    # the harder split: files alike but for check sum and sizes of a build belong to one part
    kin = values.copy()
    for name in ("CheckSum", "SizeOfInitializedData", "SizeOfImage", "AddressOfEntryPoint", "SizeOfCode"):
        kin[:, FIELDS.index(name)] = 0
    return Files(values, bad, source, _split(values), _split(kin))


def _split(values):
    bucket = np.array([zlib.crc32(row.tobytes()) % 100 for row in values])
    return np.where(bucket < 70, TRAIN, np.where(bucket < 85, VALID, TEST)).astype(np.int8)


def _clamp(row):
    flags = [sum(int(row[f"FH_char{at}"]) << bit for at, bit in enumerate(CLAMP_FILE)), sum(int(row[f"OH_DLLchar{at}"]) << bit for at, bit in enumerate(CLAMP_DLL))]
    return [int(float(row[name])) if name in row and name not in CLAMP_REDUCED else UNKNOWN for name in FIELDS] + flags


def _distinct(values, bad):
    """One row a vector; vectors with both labels are dropped."""
    _, which = np.unique(values, axis=0, return_inverse=True)
    which = which.ravel()
    both = (np.bincount(which, bad) > 0) & (np.bincount(which, ~bad) > 0)
    _, first = np.unique(which, return_index=True)
    return np.sort(first[~both[which[first]]])


def edges(values):
    """At most BINS - 1 edges a field, quantiles of the known values."""
    out = []
    for column in values[:, : len(FIELDS)].T:
        known = column[column != UNKNOWN]
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, BINS)[1:], method="higher")) if len(known) else np.array([], np.int64)
        out.append(cuts[cuts > known.min()][: BINS - 1].astype(np.int64) if len(known) else cuts)
    return out


def bags(values, cuts):
    owner, ids = [], []
    for at, cut in enumerate(cuts):
        known = np.flatnonzero(values[:, at] != UNKNOWN)
        owner.append(known)
        ids.append(1 + BINS * at + np.searchsorted(cut, values[known, at], side="right"))
    for word in range(len(WORDS)):
        for bit in range(16):
            mine = np.flatnonzero(values[:, len(FIELDS) + word] >> bit & 1)
            owner.append(mine)
            ids.append(np.full(len(mine), FLAGS + 16 * word + bit))
    places = {name: np.searchsorted(cuts[FIELDS.index(name)], values[:, FIELDS.index(name)], side="right") for name in PAIRED}
    for at, one in enumerate(PAIRED):
        for other in PAIRED[at + 1 :]:
            known = np.flatnonzero((values[:, FIELDS.index(one)] != UNKNOWN) & (values[:, FIELDS.index(other)] != UNKNOWN))
            first, second = 1 + BINS * FIELDS.index(one) + places[one][known], 1 + BINS * FIELDS.index(other) + places[other][known]
            value = (first.astype(np.uint32) << np.uint32(16) | second.astype(np.uint32)) * np.uint32(ONE)
            owner.append(known)
            ids.append(PAIRS + (value >> np.uint32(32 - PAIR_BITS)).astype(np.int64))
    owner, ids = np.concatenate(owner), np.concatenate(ids)
    order = np.lexsort((ids, owner))
    return Bags(ids[order].astype(np.int32), np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(values))))))


def fit(files, rows, cuts, config, tell=print):
    own = bags(files.values[rows], cuts)
    bad = files.bad[rows]
    weight = np.where(bad, 0.5 / bad.mean(), 0.5 / (~bad).mean()).astype(np.float32)[:, None]
    model = Bag(ROWS, config.width, config.hidden, 1, config.seed)
    model.fit(own, bad.astype(np.float32)[:, None], weight, config.epochs, config.batch, config.rate, config.decay, config.drop,
              lambda epoch, loss: epoch % 10 == 9 and tell(epoch, loss))  # fmt: skip
    return model


def contest(name, files, rows):
    """These rows, every one alike."""
    benign = rows[~files.bad[rows]]
    return evaluate.Contest(name, rows[files.bad[rows]], benign, np.ones(len(benign)))
