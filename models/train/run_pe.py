"""The whole way of the PE model, and its report."""

from pathlib import Path

import numpy as np

from . import baseline, evaluate, pack, pe
from .quantize import quantize
from .url_corpus import TEST, TRAIN, VALID

NOTES = Path(__file__).parent / "notes" / "pe.md"


def run(arguments, tell):
    config, files = pe.Config(), pe.load(arguments.data)
    train = np.flatnonzero(files.part == TRAIN)
    cuts = pe.edges(files.values[train])
    model = pack.kept(arguments, "pe", lambda: pe.fit(files, train, cuts, config, lambda epoch, loss: tell(f"epoch {epoch}: loss {loss:.4f}")))
    bags = pe.bags(files.values, cuts)
    valid = np.flatnonzero(files.part == VALID)
    quantized = quantize(model, bags.take(valid))
    small, real = pack.prove(model, quantized, bags.take(valid), {"name": "pe", "features": "pe-1"})
    parts = [(VALID, "validation")] + ([] if arguments.blind else [(TEST, "test")])
    trees, words = _baselines(files, train, config)
    scores = {"float": model.logits(bags)[:, 0], "**int8**": quantized.logits(bags)[:, 0], "boosted trees": trees, "logistic regression on places": words(bags)}
    owner = np.arange(len(files.bad)).astype(str)
    judged, contests = [], []
    for part, label in parts:
        for source in ("kaggle", "clamp"):
            contests.append(pe.contest(f"{label}: {source}", files, np.flatnonzero((files.part == part) & (files.source == source))))
            judged += [(name, evaluate.judge(contests[-1], score, owner)) for name, score in scores.items()]
    judged += _kin(files, config, owner, parts)
    if not arguments.blind:
        judged += _across(files, config, owner)
    for name, j in judged:
        tell(pack.rate_row(name, j))
    times = pack.clock({"float": real, "int8": small}, bags.take(valid))
    tell("us a row", times)
    _write(arguments, config, files, cuts, model, quantized, small, real, scores, contests, judged, times)


def _baselines(files, train, config):
    from sklearn.linear_model import LogisticRegression

    bad = files.bad[train]
    weight = np.where(bad, 0.5 / bad.mean(), 0.5 / (~bad).mean())
    trees = baseline.boosted(files.values[train].astype(np.float64), bad, weight, files.values.astype(np.float64), config.seed)
    places = lambda bags: pe.Bag(pe.ROWS, 1, 1, 1, 0)._matrix(bags)
    line = LogisticRegression(C=1.0, max_iter=400)
    line.fit(places(pe.bags(files.values[train], pe.edges(files.values[train]))), bad, sample_weight=weight)
    return trees, lambda bags: line.decision_function(places(bags))


def _kin(files, config, owner, parts):
    """The harder split: files alike but for check sum and sizes of a build are never in two parts. Trained anew for it."""
    rows = np.flatnonzero(files.kin_part == TRAIN)
    cuts = pe.edges(files.values[rows])
    score = pe.fit(files, rows, cuts, config, lambda *_: None).logits(pe.bags(files.values, cuts))[:, 0]
    trees, _ = _baselines(files, rows, config)
    out = []
    for part, label in parts:
        judge = pe.contest(f"{label}: kaggle, kin apart", files, np.flatnonzero((files.kin_part == part) & (files.source == "kaggle")))
        out += [("float", evaluate.judge(judge, score, owner)), ("boosted trees", evaluate.judge(judge, trees, owner))]
    return out


def _across(files, config, owner):
    """Trained on one collection, judged on the whole of the other: what a stranger's files are like. Fields that either lacks are unknown to both."""
    out = []
    for source, other in (("kaggle", "clamp"), ("clamp", "kaggle")):
        common = files.values.copy()
        lacking = (files.values[files.source == "clamp"] == pe.UNKNOWN).all(axis=0)
        common[:, lacking] = pe.UNKNOWN
        alike = pe.Files(common, files.bad, files.source, files.part, files.kin_part)
        rows = np.flatnonzero(files.source == source)
        cuts = pe.edges(common[rows])
        model = pe.fit(alike, rows, cuts, config, lambda *_: None)
        bad = files.bad[rows]
        trees = baseline.boosted(common[rows].astype(np.float64), bad, np.where(bad, 0.5 / bad.mean(), 0.5 / (~bad).mean()), common.astype(np.float64), config.seed)
        judge = pe.contest(f"trained on {source}, judged on {other}", files, np.flatnonzero(files.source == other))
        out.append(("float", evaluate.judge(judge, model.logits(pe.bags(common, cuts))[:, 0], owner)))
        out.append(("boosted trees", evaluate.judge(judge, trees, owner)))
    return out


def _golden(cuts, seed):
    """Header fields that a generator makes: edges, their neighbours, and unknown ones."""
    random = np.random.default_rng(seed)
    rows = np.zeros((200, len(pe.FIELDS) + len(pe.WORDS)), np.int64)
    for at, cut in enumerate(cuts):
        choice = np.concatenate([[0, pe.UNKNOWN, 1 << 32, 1 << 50], cut, cut + 1, np.maximum(cut - 1, 0)])
        rows[:, at] = choice[random.integers(0, len(choice), len(rows))]
    rows[:, len(cuts) :] = random.integers(0, 1 << 16, (len(rows), len(pe.WORDS)))
    return rows


def _write(arguments, config, files, cuts, model, quantized, small, real, scores, contests, judged, times):
    score = scores["**int8**"]
    values = _golden(cuts, config.seed)
    names = (*pe.FIELDS, *pe.WORDS)
    inputs = [{name: int(value) for name, value in zip(names, row) if value != pe.UNKNOWN} for row in values]
    path = pack.save(arguments.out, "pe", small, real, None, model, quantized, inputs, pe.bags(values, cuts))
    curves = {one.name: evaluate.curve(one, score) for one in contests}
    calibrated = {}
    for one in contests:
        rows = np.concatenate([one.malicious, one.benign])
        weight = np.concatenate([np.full(len(one.malicious), 1 / len(one.malicious)), np.full(len(one.benign), 1 / len(one.benign))])
        calibrated[one.name] = evaluate.calibration(score[rows], np.arange(len(rows)) < len(one.malicious), weight)
    pack.card(arguments.out, "pe", "Card of the PE model", judged, _trivial(files, contests), times, curves, calibrated, NOTES.read_text() if NOTES.exists() else "")
    tables = {
        "model": {
            "name": "pe", "version": 1, "kind": "file", "features": "pe-1", "heads": ["malware"], "file": path.name, "sha256": pack.digest(path),
            "golden": "../golden/pe.ndjson", "rows": pe.ROWS, "width": config.width, "hidden": config.hidden, "bins": pe.BINS, "flags_at": pe.FLAGS, "flag_words": pe.WORDS,
            "pairs_at": pe.PAIRS, "pair_bits": pe.PAIR_BITS, "paired": pe.PAIRED,
        },
        "training": {"seed": config.seed, "epochs": config.epochs, "drop": config.drop, "rate": config.rate, "decay": config.decay,
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
        "fields": [{"name": name, "edges": [int(one) for one in cut]} for name, cut in zip(pe.FIELDS, cuts)],
    }  # fmt: skip
    pack.manifest(arguments.out / "artefacts" / "pe.toml", ["# Written by the trainer. Scores are logits; thresholds were chosen on validation rows."], tables)


def _trivial(files, contests):
    """The best single fields: the area under the curve of each by itself, in whichever direction."""
    out = ["| obvious feature | rows | AUC |", "|---|---|---|"]
    for one in contests:
        areas = []
        for at, name in enumerate((*pe.FIELDS, *pe.WORDS)):
            column = files.values[:, at].astype(float)
            area = evaluate.auc(column[one.malicious], column[one.benign])
            areas.append((max(area, 1 - area), name))
        out += [f"| {name} | {one.name} | {area:.3f} |" for area, name in sorted(areas, reverse=True)[:4]]
    return "\n".join(out) + "\n"
