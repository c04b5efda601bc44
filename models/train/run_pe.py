"""The whole way of the PE model, and its report."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from . import baseline, evaluate, pack, pe
from .quantize import quantize
from .url_corpus import TEST, TRAIN, VALID

NOTES = Path(__file__).parent / "notes" / "pe.md"


def run(arguments, tell):
    config, files = pe.Config(), pe.load(arguments.data)
    train = np.flatnonzero(files.part == TRAIN)
    forest, _ = pe.grow(files, train, config)
    model, bags = pe.network(forest, config), pe.bags(files.values, forest)
    valid = np.flatnonzero(files.part == VALID)
    quantized = quantize(model, bags.take(valid))
    small, real = pack.prove(model, quantized, bags.take(valid), {"name": "pe", "features": "pe-1"})
    scores = {"float": model.logits(bags)[:, 0], "**int8**": quantized.logits(bags)[:, 0], "boosted trees, plain": _trees(files, train, files.values, config)}
    scores["logistic regression on logarithms"] = _line(files, train)
    parts = [(VALID, "validation")] + ([] if arguments.blind else [(TEST, "test")])
    owner = np.arange(len(files.bad)).astype(str)
    judged, contests = [], []
    for part, label in parts:
        for source in ("kaggle", "clamp"):
            contests.append(pe.contest(f"{label}: {source}", files, np.flatnonzero((files.part == part) & (files.source == source))))
            judged += [(name, evaluate.judge(contests[-1], score, owner)) for name, score in scores.items()]
    judged += _kin(files, config, owner, parts)
    if not arguments.blind:
        judged += _as_collected(arguments, config)
        judged += _across(files, config, owner)
    for name, j in judged:
        tell(pack.rate_row(name, j))
    _write(arguments, config, files, forest, model, quantized, small, real, scores, contests, judged)


def _trees(files, rows, values, config):
    bad = files.bad[rows]
    return baseline.boosted(values[rows].astype(np.float64), bad, _even(bad), values.astype(np.float64), config.seed)


def _line(files, rows):
    logs = np.log2(np.maximum(files.values, 0) + 1.0)
    logs = (logs - logs[rows].mean(0)) / (logs[rows].std(0) + 1e-9)
    line = LogisticRegression(max_iter=300).fit(logs[rows], files.bad[rows], sample_weight=_even(files.bad[rows]))
    return line.decision_function(logs)


def _even(bad):
    return np.where(bad, 0.5 / bad.mean(), 0.5 / (~bad).mean())


def _kin(files, config, owner, parts):
    """The harder split: files alike but for check sum and sizes of a build are never in two parts. Trained anew for it."""
    rows = np.flatnonzero(files.kin_part == TRAIN)
    forest, _ = pe.grow(files, rows, config)
    score = pe.network(forest, config).logits(pe.bags(files.values, forest))[:, 0]
    trees = _trees(files, rows, files.values, config)
    out = []
    for part, label in parts:
        judge = pe.contest(f"{label}: kaggle, kin apart", files, np.flatnonzero((files.kin_part == part) & (files.source == "kaggle")))
        out += [("float", evaluate.judge(judge, score, owner)), ("boosted trees, plain", evaluate.judge(judge, trees, owner))]
    return out


def _as_collected(arguments, config):
    """Duplicates and contradictions kept, rows parted by their place: not a figure to expect, but the one that others' can be held against."""
    files = pe.load(arguments.data, distinct=False)
    rows = np.flatnonzero(files.part == TRAIN)
    forest, _ = pe.grow(files, rows, config)
    score = pe.network(forest, config).logits(pe.bags(files.values, forest))[:, 0]
    judge = pe.contest("test: kaggle as collected, duplicates kept", files, np.flatnonzero((files.part == TEST) & (files.source == "kaggle")))
    owner = np.arange(len(files.bad)).astype(str)
    return [("float", evaluate.judge(judge, score, owner)), ("boosted trees, plain", evaluate.judge(judge, _trees(files, rows, files.values, config), owner))]


def _across(files, config, owner):
    """Trained on one collection, judged on the whole of the other: what a stranger's files are like. Fields that either lacks are unknown to both."""
    out = []
    for source, other in (("kaggle", "clamp"), ("clamp", "kaggle")):
        common = files.values.copy()
        common[:, (files.values[files.source == "clamp"] == pe.UNKNOWN).all(axis=0)] = pe.UNKNOWN
        rows = np.flatnonzero(files.source == source)
        forest, _ = pe.grow(dataclasses.replace(files, values=common), rows, config)
        score = pe.network(forest, config).logits(pe.bags(common, forest))[:, 0]
        judge = pe.contest(f"trained on {source}, judged on {other}", files, np.flatnonzero(files.source == other))
        out += [("float", evaluate.judge(judge, score, owner)), ("boosted trees, plain", evaluate.judge(judge, _trees(files, rows, common, config), owner))]
    return out


def _golden(files, forest, seed):
    """Header fields that a generator makes: cuts of the trees, their neighbours, large numbers, and unknown ones."""
    random = np.random.default_rng(seed)
    rows = np.zeros((120, len(pe.NAMES)), np.int64)
    for at in range(len(pe.NAMES)):
        cut = np.array([one for one, which in zip(forest.cut, forest.field) if which == at], np.int64)
        choice = np.concatenate([[0, pe.UNKNOWN, 1, 1 << 16, 1 << 32, 1 << 50], cut, cut + 1])
        rows[:, at] = choice[random.integers(0, len(choice), len(rows))]
    return rows


def _write(arguments, config, files, forest, model, quantized, small, real, scores, contests, judged):
    score = scores["**int8**"]
    values = _golden(files, forest, config.seed)
    inputs = [{name: int(value) for name, value in zip(pe.NAMES, row) if value != pe.UNKNOWN} for row in values]
    path = pack.save(arguments.out, "pe", small, real, None, model, quantized, inputs, pe.bags(values, forest))
    trees = path.with_name("pe.trees.json")
    columns = {"fields": pe.NAMES, "root": forest.root, "field": forest.field, "cut": forest.cut, "left": forest.left, "right": forest.right}
    trees.write_text("{" + ",\n".join(f"{json.dumps(name)}:{json.dumps(column, separators=(',', ':'))}" for name, column in columns.items()) + "}\n")
    curves = {one.name: evaluate.curve(one, score) for one in contests}
    calibrated = {}
    for one in contests:
        rows = np.concatenate([one.malicious, one.benign])
        weight = np.concatenate([np.full(len(one.malicious), 1 / len(one.malicious)), np.full(len(one.benign), 1 / len(one.benign))])
        calibrated[one.name] = evaluate.calibration(score[rows], np.arange(len(rows)) < len(one.malicious), weight)
    pack.card(arguments.out, "pe", "Card of the PE model", judged, _trivial(files, contests), curves, calibrated, NOTES.read_text() if NOTES.exists() else "")
    tables = {
        "model": {
            "name": "pe", "version": 2, "kind": "file", "features": "pe-1", "heads": ["malware"], "file": path.name, "sha256": pack.digest(path),
            "golden": "../golden/pe.ndjson", "trees": trees.name, "trees_sha256": pack.digest(trees), "rows": len(forest.values), "width": config.segments, "hidden": config.segments,
        },
        "training": {"seed": config.seed, "trees": config.trees, "leaves": config.leaves, "rate": config.rate,
                     **{f"rows_{name}": int((files.part == at).sum()) for at, name in enumerate(("train", "valid", "test"))}},
        "split": {"rows": "crc32 of the fields modulo 100: train below 70, validation below 85, test above; identical rows once, rows with both labels dropped"},
        "thresholds": [{"head": "malware", **pack.threshold_table(score, contests[0])}],
        "figures": [
            {"rows": j["contest"], "model": who.strip("*"), "auc": j["auc"], "tpr": list(j["tpr"].values()), "low": list(j["low"].values()), "high": list(j["high"].values())}
            for who, j in judged
        ],
        "versions": pack.versions(),
        "data": [{"file": one, "sha256": pack.digest(arguments.data / one)} for one in files.files],
        "licence": {"note": "Trained on two collections of header fields whose licence is not stated. No row is shipped."},
    }  # fmt: skip
    pack.manifest(arguments.out / "artefacts" / "pe.toml", ["# Written by the trainer. Scores are logits; thresholds were chosen on validation rows."], tables)


def _trivial(files, contests):
    """The best single fields: the area under the curve of each by itself, in whichever direction."""
    out = ["| obvious feature | rows | AUC |", "|---|---|---|"]
    for one in contests:
        areas = []
        for at, name in enumerate(pe.NAMES):
            column = files.values[:, at].astype(float)
            area = evaluate.auc(column[one.malicious], column[one.benign])
            areas.append((max(area, 1 - area), name))
        out += [f"| {name} | {one.name} | {area:.3f} |" for area, name in sorted(areas, reverse=True)[:4]]
    return "\n".join(out) + "\n"
