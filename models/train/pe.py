"""The PE model: boosted trees on fields of a file's headers, whose leaves are rows of a bag.

    tree t ends in leaf l:  id = first[t] + l       a row holds the leaf's value, in every column
    column k of the hidden layer is that score cut to its own segment, so that eight bits a column keep the whole range finely

Trees beat a network on these fields at every point, and a sum of leaves is a sum of rows: the same graph runs them, in integers.
A field that is not known is -1. A flag word is a number like the others.
"""

import csv
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np

from . import evaluate
from .bag import TOP, Bag
from .features import Bags
from .text import lines
from .url_corpus import TEST, TRAIN, VALID

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
NAMES = (*FIELDS, *WORDS)
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
    trees: int = 300
    leaves: int = 63
    rate: float = 0.06
    segments: int = 96
    reach: float = 12.0
    seed: int = 13


@dataclass
class Forest:
    """Inner nodes of all trees in one list: left where the field is at most the cut, else right; a negative child is leaf `-1 - child`, an id."""

    root: list
    field: list
    cut: list
    left: list
    right: list
    values: np.ndarray


def load(data: Path, distinct=True):
    """Every vector once; all rows as collected where not `distinct`, split by their place, which is how figures on the larger collection were published."""
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
    if not distinct:
        part = _bucket(np.arange(len(bad))[:, None])
        return Files(values, bad, source, part, part)
    keep = _distinct(values, bad)
    values, bad, source = values[keep], bad[keep], source[keep]
    # the harder split: files alike but for check sum and sizes of a build belong to one part
    kin = values.copy()
    for name in ("CheckSum", "SizeOfInitializedData", "SizeOfImage", "AddressOfEntryPoint", "SizeOfCode"):
        kin[:, FIELDS.index(name)] = 0
    return Files(values, bad, source, _bucket(values), _bucket(kin))


def _bucket(values):
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


def grow(files, rows, config):
    """LightGBM's trees, with cuts that are integers, since fields are."""
    bad = files.bad[rows]
    model = lightgbm.LGBMClassifier(
        n_estimators=config.trees, num_leaves=config.leaves, learning_rate=config.rate, min_child_samples=4, feature_fraction=0.3, bagging_fraction=0.8, bagging_freq=1,
        n_jobs=1, random_state=config.seed, verbose=-1, deterministic=True, force_row_wise=True, use_missing=False,
    )  # fmt: skip
    weight = np.where(bad, 0.5 / bad.mean(), 0.5 / (~bad).mean())
    model.fit(files.values[rows].astype(np.float64), bad, sample_weight=weight)
    forest = Forest([], [], [], [], [], np.zeros(1))
    values = [0.0]
    for tree in model.booster_.dump_model()["tree_info"]:
        forest.root.append(_plant(tree["tree_structure"], forest, values))
    forest.values = np.array(values)
    return forest, model


def _plant(node, forest, values):
    if "leaf_value" in node:
        values.append(node["leaf_value"])
        return -len(values)
    at = len(forest.field)
    for column in (forest.left, forest.right):
        column.append(0)
    forest.field.append(node["split_feature"])
    forest.cut.append(int(np.floor(node["threshold"])))
    forest.left[at] = _plant(node["left_child"], forest, values)
    forest.right[at] = _plant(node["right_child"], forest, values)
    return at


def bags(values, forest):
    """One id a tree."""
    field, cut, left, right = (np.array(column, np.int64) for column in (forest.field, forest.cut, forest.left, forest.right))
    ids = np.zeros((len(values), len(forest.root)), np.int32)
    every = np.arange(len(values))
    for tree, root in enumerate(forest.root):
        node = np.full(len(values), root)
        while (inner := every[node >= 0]).size:
            now = node[inner]
            node[inner] = np.where(values[inner, field[now]] <= cut[now], left[now], right[now])
        ids[:, tree] = -1 - node
    ids.sort(axis=1)
    return Bags(ids.ravel(), np.arange(len(values) + 1) * len(forest.root))


def network(forest, config):
    """The forest as weights of a Bag: segment k of the score in column k, added up again behind."""
    width = 2 * config.reach / config.segments
    scale = TOP / width
    starts = -config.reach + width * np.arange(config.segments)
    f32 = lambda value: np.ascontiguousarray(value, np.float32)
    return Bag.of({
        "rows": f32(np.repeat(forest.values[:, None] * scale, config.segments, axis=1)), "b0": f32(-starts * scale),
        "w1": f32(np.eye(config.segments)), "b1": np.zeros(config.segments, np.float32),
        "w2": np.full((config.segments, 1), 1 / scale, np.float32), "b2": f32([-config.reach]),
    })  # fmt: skip


def contest(name, files, rows):
    """These rows, every one alike."""
    benign = rows[~files.bad[rows]]
    return evaluate.Contest(name, rows[files.bad[rows]], benign, np.ones(len(benign)))
