"""The whole way of the URL model, and its report."""

import csv
from pathlib import Path

import numpy as np

from . import baseline, evaluate, golden, pack, url, url_corpus
from .features import BUCKETS, COUNTS, HASHED, extract
from .metrics import rates
from .quantize import quantize
from .url_corpus import BENIGN, OUT, TEST, VALID
from .text import lines

NOTES = Path(__file__).parent / "notes" / "url.md"
HEAD_NAMES = ("phishing", "malware")


def run(arguments, tell):
    config = url.Config()
    corpus = url_corpus.load(arguments.data, arguments.canonical)
    tell(f"{len(corpus.text):,} URLs")
    bags = extract(corpus.text, config.spec)
    tell(f"{len(bags.ids) / len(bags):.0f} ids a URL")
    fresh = lambda what: lambda: url.fit(what, bags, config, lambda epoch, loss, _: tell(f"epoch {epoch}: loss {loss:.4f}"))
    valid = np.flatnonzero(corpus.part == VALID)
    if arguments.ship:
        model = pack.kept(arguments, "url.shipped", fresh(url.whole(corpus)))
    else:
        model = pack.kept(arguments, "url", fresh(corpus))
    quantized = quantize(model, bags.take(valid[:: max(1, len(valid) // 20000)]))
    small, real = pack.prove(model, quantized, bags.take(valid), {"name": "url", "features": "url-1"})
    if arguments.ship:
        return _ship(arguments, config, corpus, bags, model, quantized, small, real)
    tell("the runtime agrees with the integers")

    judged_rows = np.flatnonzero((corpus.part == VALID) | ((corpus.part == TEST) & (not arguments.blind)))
    scores = {"float": _scatter(corpus, judged_rows, model.logits(bags.take(judged_rows)))}
    scores["**int8**"] = _scatter(corpus, judged_rows, quantized.logits(bags.take(judged_rows)))
    tell("baselines")
    scores |= _baselines(corpus, bags, judged_rows, config)
    contests = [("validation: ", one) for one in url.contests(corpus, VALID)]
    if not arguments.blind:
        contests += [("test: ", one) for one in url.contests(corpus, TEST)]
        contests += [("test: ", (head, one)) for head, one in _held_out(corpus)]
    judged = []
    for prefix, (head, contest) in contests:
        contest.name = prefix + contest.name
        for name, score in scores.items():
            judged.append((name, evaluate.judge(contest, score[:, head], corpus.owner)))
            tell(pack.rate_row(*judged[-1]))
    _write(arguments, config, corpus, model, quantized, small, real, scores, contests, judged)


def _scatter(corpus, rows, values):
    out = np.full((len(corpus.text), 2), np.nan, np.float32)
    out[rows] = values
    return out


def _counts(bags, rows):
    """The counts of features.py as columns, read back from their ids."""
    part = bags.take(rows)
    which = (part.ids > 0) & (part.ids <= len(COUNTS) * BUCKETS)
    owner = np.repeat(np.arange(len(part)), np.diff(part.start))[which]
    value = part.ids[which] - 1
    out = np.zeros((len(rows), len(COUNTS)), np.float32)
    out[owner, value // BUCKETS] = value % BUCKETS
    assert HASHED > len(COUNTS) * BUCKETS
    return out


def _baselines(corpus, bags, judged, config):
    stratum, share = evaluate.stratum_of(corpus.text), url.row_shares(corpus, config)
    words, trees = baseline.Logistic((2, 5), config.seed), np.full((len(corpus.text), 2), np.nan, np.float32)
    for head, label in enumerate(url.HEADS):
        rows = np.flatnonzero((corpus.part == url.TRAIN) & np.isin(corpus.label, [BENIGN, label]))
        weight = url.balanced(corpus.label[rows], stratum[rows], share[rows], label)
        truth = corpus.label[rows] == label
        words.fit(corpus.text[rows], truth, weight)
        trees[judged, head] = baseline.boosted(_counts(bags, rows), truth, weight, _counts(bags, judged), config.seed)
    return {"n-gram logistic regression": _scatter(corpus, judged, words.scores(corpus.text[judged])), "boosted trees on counts": trees}


def _held_out(corpus):
    """Test phishing against benign sources that no row was trained on."""
    stratum = evaluate.stratum_of(corpus.text)
    benign = np.flatnonzero((corpus.part == TEST) & np.isin(corpus.source, ["maigret", "simple_icons"]))
    malicious = np.flatnonzero((corpus.part == TEST) & (corpus.source == "openphish"))
    yield 0, evaluate.contest("phishing against benign sources never trained on", corpus, stratum, malicious, benign)


def _trivial(arguments, corpus, contests):
    """What one obvious feature would reach by itself."""
    stratum = evaluate.stratum_of(corpus.text)
    popular = set()
    for path in ("domains/tranco10k_history.tsv.gz", "domains/majestic_million_history.tsv.gz", "domains/alexa_history.tsv.gz"):
        popular |= {row[3] for row in csv.reader(lines(arguments.data / path), delimiter="\t") if len(row) > 3}
    features = {
        "has a path": stratum > 0,
        "has no path": stratum == 0,
        "has a query": stratum == 2,
        "https": corpus.https,
        "http": ~corpus.https,
        "owner not among popular names": ~np.isin(corpus.owner.astype(str), list(popular)),
        "longer text": np.array([len(one) for one in corpus.text]),
    }
    out = ["| obvious feature | rows | AUC weighted | AUC unweighted | TPR at FPR 1e-2 unweighted |", "|---|---|---|---|---|"]
    for prefix, (_, contest) in contests:
        if prefix == "test: " and contest.name.endswith((": phishing", ": malware")) or len(contests) == 2:
            for name, feature in features.items():
                bad, good = feature[contest.malicious].astype(float), feature[contest.benign].astype(float)
                weighted, plain = evaluate.auc(bad, good, contest.benign_weight), evaluate.auc(bad, good)
                out.append(f"| {name} | {contest.name} | {weighted:.3f} | {plain:.3f} | {rates(bad, good)[0]:.3f} |")
    return "\n".join(out) + "\n"


def _by_stratum(corpus, contests, score):
    stratum = evaluate.stratum_of(corpus.text)
    out = ["| int8 by kind of URL | bare host | with a path | with a query |", "|---|---|---|---|"]
    for _, (head, contest) in contests:
        cells = []
        for kind in range(3):
            bad, good = contest.malicious[stratum[contest.malicious] == kind], stratum[contest.benign] == kind
            if len(bad) < 50 or not good.any():
                cells.append("–")
                continue
            at = rates(score[bad, head], score[contest.benign[good], head], contest.benign_weight[good])
            cells.append(f"{at[0]:.3f} / {at[1]:.3f} ({len(bad):,})")
        out.append(f"| {contest.name}: 1e-2 / 1e-3 | {' | '.join(cells)} |")
    return "\n".join(out) + "\n\n"


def _write(arguments, config, corpus, model, quantized, small, real, scores, contests, judged):
    score = scores["**int8**"]
    inputs = golden.texts(300, config.seed)
    path = pack.save(arguments.out, "url", small, real, config.spec, model, quantized, inputs)
    curves = {contest.name: evaluate.curve(contest, score[:, head]) for _, (head, contest) in contests}
    calibrated = {}
    for _, (head, contest) in contests[:2]:
        rows = np.concatenate([contest.malicious, contest.benign])
        weight = np.concatenate([np.full(len(contest.malicious), 1 / len(contest.malicious)), contest.benign_weight])
        calibrated[contest.name] = evaluate.calibration(score[rows, head], np.arange(len(rows)) < len(contest.malicious), weight)
    notes = NOTES.read_text() if NOTES.exists() else ""
    extra = _by_stratum(corpus, contests, score)
    pack.card(arguments.out, "url", "Card of the URL model", judged, _trivial(arguments, corpus, contests), curves, calibrated, notes, extra)
    _manifest(arguments, config, corpus, path, score, contests, [(who.strip("*"), j) for who, j in judged])
    pack.remember(arguments, "url", judged)


def _ship(arguments, config, corpus, bags, model, quantized, small, real):
    """The model of all months: its graph, vectors and thresholds; figures are those of the split model that was judged before."""
    path = pack.save(arguments.out, "url", small, real, config.spec, model, quantized, golden.texts(300, config.seed))
    benign = np.flatnonzero((corpus.part == VALID) & (corpus.label == BENIGN))
    score = _scatter(corpus, benign, quantized.logits(bags.take(benign)))
    contests = [("", one) for one in url.contests(corpus, VALID)]
    _manifest(arguments, config, corpus, path, score, contests, pack.remembered(arguments, "url"))


def _manifest(arguments, config, corpus, path, score, contests, judged):
    parts = {name: int((corpus.part == at).sum()) for at, name in enumerate(("train", "valid", "test"))} | {"left_out": int((corpus.part == OUT).sum())}
    tables = {
        "model": {
            "name": "url", "version": 1, "kind": "url", "features": "url-1", "heads": list(HEAD_NAMES), "file": path.name, "sha256": pack.digest(path),
            "golden": "../golden/url.ndjson", "bits": config.spec.bits, "host_grams": config.spec.host, "rest_grams": config.spec.rest,
            "rows": config.spec.rows, "width": config.width, "hidden": config.hidden,
        },
        "training": {"months": "all: figures are of the same training on the train part alone" if arguments.ship else "those of the train part", "seed": config.seed, "epochs": config.epochs, "drop": config.drop, "rate": config.rate, **{f"rows_{k}": v for k, v in parts.items()}},
        "split": {
            "phishing": f"first seen: train before {url_corpus.PHISHING_VALID}, validation before {url_corpus.PHISHING_TEST}, test from then on",
            "malware": f"date added: train before {url_corpus.MALWARE_VALID}, validation before {url_corpus.MALWARE_TEST}, test from then on",
            "benign": "crc32 of the registrable name modulo 100: train below 70, validation below 85, test above",
            "held_out": list(url_corpus.HELD_OUT), "owners": "disjoint between the parts",
        },
        "thresholds": [
            {"head": name, **pack.threshold_table(score[:, head], contests[head][1][1])} for head, name in enumerate(HEAD_NAMES)
        ],
        "figures": [
            {"rows": j["contest"], "model": who, "auc": j["auc"], "tpr": list(j["tpr"].values()), "low": list(j["low"].values()), "high": list(j["high"].values())}
            for who, j in judged
        ],
        "versions": pack.versions(),
        "data": [{"file": one, "sha256": pack.digest(arguments.data / one)} for one in corpus.files],
        "licence": {"note": (
            "Trained on openphish (non-commercial use), citizenlab (CC BY-NC-SA 4.0), curbengh/urlhaus-filter (CC0), abuse.ch (CC0), scoop (Unlicense), kagi smallweb (MIT), Debian metadata, "
            "maltrail references (MIT), simple-icons (CC0), misp-warninglists (CC0), and sets whose licence is not stated (ISCX 2016, ebbu 2017, tranco copy). No row is shipped. "
            "Ask your counsel before commercial use."
        )},
    }  # fmt: skip
    pack.manifest(arguments.out / "artefacts" / "url.toml", ["# Written by the trainer. Scores are logits; thresholds were chosen on validation rows."], tables)
