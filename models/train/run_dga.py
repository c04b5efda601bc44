"""The whole way of the DGA model, and its report."""

from pathlib import Path

import numpy as np

from . import baseline, dga, evaluate, golden, pack
from .features import extract
from .metrics import rates, threshold
from .quantize import quantize
from .text import host_of
from .url_corpus import OUT, TEST, TRAIN, VALID

NOTES = Path(__file__).parent / "notes" / "dga.md"


def run(arguments, tell):
    config = dga.Config()
    d = dga.load(arguments.data, arguments.canonical)
    tell(f"{d.bad.sum():,} generated, {(~d.bad).sum():,} benign hosts")
    bags = extract(d.text, config.spec)
    model = pack.kept(arguments, "dga", lambda: dga.fit(d, bags, config, lambda epoch, loss, _: tell(f"epoch {epoch}: loss {loss:.4f}")))
    valid = np.flatnonzero(d.part == VALID)
    quantized = quantize(model, bags.take(valid[:: max(1, len(valid) // 20000)]))
    small, real = pack.prove(model, quantized, bags.take(valid), {"name": "dga", "features": "host-1"})
    rows = np.flatnonzero((d.part == VALID) | ((d.part == TEST) & (not arguments.blind)))
    scores = {"float": _scatter(d, rows, model.logits(bags.take(rows))[:, 0]), "**int8**": _scatter(d, rows, quantized.logits(bags.take(rows))[:, 0])}
    tell("baselines")
    scores |= _baselines(d, bags, rows, config)
    contests = [("validation: ", one) for _, one in dga.contests(d, VALID)]
    contests += [("test: ", one) for _, one in dga.contests(d, TEST)] if not arguments.blind else []
    judged = []
    for prefix, contest in contests:
        contest.name = prefix + contest.name
        for name, score in scores.items():
            judged.append((name, evaluate.judge(contest, score, d.owner)))
            tell(pack.rate_row(*judged[-1]))
    _write(arguments, config, d, model, quantized, small, real, scores, contests, judged)


def _scatter(d, rows, values):
    out = np.full(len(d.text), np.nan, np.float32)
    out[rows] = values
    return out


def _baselines(d, bags, judged, config):
    from .run_url import _counts

    rows = baseline.sample(np.flatnonzero(d.part == TRAIN), config.seed)
    bad = d.bad[rows]
    weight = evaluate.owner_share(d.owner[rows])
    weight[bad] = dga.family_share(d.group[rows][bad])
    weight[bad] *= weight[~bad].sum() / weight[bad].sum()
    words = baseline.Logistic((1, 4), config.seed)
    words.fit(d.text[rows], bad, weight)
    trees = baseline.boosted(_counts(bags.take(rows)), bad, weight, _counts(bags.take(judged)), config.seed)
    return {"n-gram logistic regression": _scatter(d, judged, words.scores(d.text[judged])[:, 0]), "boosted trees on counts": _scatter(d, judged, trees)}


def _families(d, contests, score):
    """Every family by itself, at the thresholds of its part's benign rows: word lists are admitted here."""
    out = ["| family | part | trained on | names | TPR at FPR 1e-2 | 1e-3 |", "|---|---|---|---|---|---|"]
    for part, label in ((VALID, "validation"), (TEST, "test")):
        mine = [one for prefix, one in contests if prefix.startswith(label)]
        if not mine:
            continue
        cut = [threshold(score[mine[0].benign], rate, mine[0].benign_weight) for rate in (1e-2, 1e-3)]
        for group in sorted(set(d.group[d.bad & (d.part == part)])):
            rows = d.bad & (d.part == part) & (d.group == group)
            if rows.sum() >= 5:
                kind = " (word list)" if group in dga.WORDS else ""
                shares = " | ".join(f"{np.mean(score[rows] > one):.2f}" for one in cut)
                out.append(f"| {group}{kind} | {label} | {'no' if d.unseen[rows].any() else 'yes'} | {int(rows.sum()):,} | {shares} |")
    return "\n".join(out) + "\n\n"


def _trivial(d, contests):
    tail = np.array([host_of(one).rpartition(".")[2] for one in d.text])
    train = d.part == TRAIN
    tails, which = np.unique(tail, return_inverse=True)
    bad = np.bincount(which[train & d.bad], minlength=len(tails)) / (train & d.bad).sum()
    good = np.bincount(which[train & ~d.bad], minlength=len(tails)) / (train & ~d.bad).sum()
    features = {
        "odds of the last label": np.log((bad + 1e-5) / (good + 1e-5))[which],
        "longer host": np.array([len(one) for one in d.text], float),
        "fewer labels": -np.array([one.count(".") for one in d.text], float),
    }
    out = ["| obvious feature | rows | AUC | TPR at FPR 1e-2 | 1e-3 |", "|---|---|---|---|---|"]
    for _, contest in contests:
        for name, feature in features.items():
            a, b = feature[contest.malicious], feature[contest.benign]
            at = rates(a, b, contest.benign_weight)
            out.append(f"| {name} | {contest.name} | {evaluate.auc(a, b, contest.benign_weight):.3f} | {at[0]:.3f} | {at[1]:.3f} |")
    return "\n".join(out) + "\n"


def _write(arguments, config, d, model, quantized, small, real, scores, contests, judged):
    score = scores["**int8**"]
    hosts = list(dict.fromkeys(one.partition("/")[0] + "/" for one in golden.texts(600, config.seed)))[:300]
    path = pack.save(arguments.out, "dga", small, real, config.spec, model, quantized, hosts)
    curves = {one.name: evaluate.curve(one, score) for _, one in contests}
    calibrated = {}
    for _, one in contests[:1] + contests[3:4]:
        rows = np.concatenate([one.malicious, one.benign])
        weight = np.concatenate([np.full(len(one.malicious), 1 / len(one.malicious)), one.benign_weight / one.benign_weight.sum()])
        calibrated[one.name] = evaluate.calibration(score[rows], np.arange(len(rows)) < len(one.malicious), weight)
    notes = NOTES.read_text() if NOTES.exists() else ""
    extra = _families(d, contests, score)
    pack.card(arguments.out, "dga", "Card of the DGA model", judged, _trivial(d, contests), curves, calibrated, notes, extra)
    tables = {
        "model": {
            "name": "dga", "version": 1, "kind": "host", "features": "host-1", "heads": ["dga"], "file": path.name, "sha256": pack.digest(path),
            "golden": "../golden/dga.ndjson", "bits": config.spec.bits, "host_grams": config.spec.host, "rest_grams": config.spec.rest,
            "rows": config.spec.rows, "width": config.width, "hidden": config.hidden,
        },
        "training": {"seed": config.seed, "epochs": config.epochs, "drop": config.drop, "rate": config.rate,
                     **{f"rows_{name}": int((d.part == at).sum()) for at, name in ((TRAIN, "train"), (VALID, "valid"), (TEST, "test"), (OUT, "left_out"))}},
        "split": {
            "families": "a fifth by crc32 of the name is never trained on, half of these judged in validation, half in test",
            "unseen": sorted({str(one) for one in d.group[d.unseen]}),
            "names": "crc32 of the registrable name modulo 100: train below 70, validation below 85, test above",
        },
        "thresholds": [{"head": "dga", **pack.threshold_table(score, contests[0][1])}],
        "figures": [
            {"rows": j["contest"], "model": who.strip("*"), "auc": j["auc"], "tpr": list(j["tpr"].values()), "low": list(j["low"].values()), "high": list(j["high"].values())}
            for who, j in judged
        ],
        "versions": pack.versions(),
        "data": [{"file": one, "sha256": pack.digest(arguments.data / one)} for one in d.files],
        "licence": {"note": "Trained on andrewaeva/DGA (none stated), baderj/domain_generation_algorithms (GPL-2.0), misp-warninglists (CC0), a copy of tranco (none stated). No row is shipped."},
    }  # fmt: skip
    pack.manifest(arguments.out / "artefacts" / "dga.toml", ["# Written by the trainer. Scores are logits; thresholds were chosen on validation rows."], tables)
