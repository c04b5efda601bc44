"""The whole way of the URL model, and its report."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import baseline, evaluate, golden, pack, url, url_corpus
from .features import BUCKETS, COUNTS, HASHED, Bags, extract
from .metrics import rates, threshold
from .quantize import quantize
from .taught import School
from .url_corpus import BENIGN, TEST, VALID
from .text import lines

NOTES = Path(__file__).parent / "notes"
HEAD_NAMES = ("phishing", "malware")
VERSION = {"url": 2, "url-first": 1}
GOLDEN = {"url": 300, "url-first": 150}
#: Of benign rows, so many are asked about a second time.
PASSED = 0.15
LICENCE = (
    "Trained on openphish (non-commercial use), citizenlab (CC BY-NC-SA 4.0), curbengh/urlhaus-filter (CC0), abuse.ch (CC0), scoop (Unlicense), kagi smallweb (MIT), Debian metadata, "
    "maltrail references (MIT), simple-icons (CC0), misp-warninglists (CC0), and sets whose licence is not stated (ISCX 2016, ebbu 2017, tranco copy). No row is shipped. "
    "Ask your counsel before commercial use."
)


@dataclass
class Made:
    """A model in all its forms, and its scores on judged rows."""

    config: url.Config
    bags: Bags
    model: object
    quantized: object
    small: object
    real: object
    scores: dict
    rows: dict


def run(arguments, tell):
    corpus = url_corpus.load(arguments.data, arguments.canonical)
    tell(f"{len(corpus.text):,} URLs")
    kind, training = ("blind", corpus) if arguments.blind else ("shipped", url.whole(corpus)) if arguments.ship else ("near", url.near(corpus))
    lesson = lambda until: lambda: url.lesson(corpus, until, url.SECOND)
    school = School(lesson(corpus), lesson(training), url.TEACHERS, arguments.out / "float" / "url.word.npy", tell)
    judged = np.flatnonzero((corpus.part == VALID) | ((corpus.part == TEST) & (kind == "near")))
    rows = {f"rows_{name}": int((training.part == at).sum()) for at, name in enumerate(("train", "valid", "test", "left_out"))}
    made = [_make(arguments, kind, school, config, corpus, judged, rows) for config in (url.SECOND, url.FIRST)]
    tell("the runtime agrees with the integers")
    if kind == "shipped":
        return [_ship(arguments, corpus, one, _band(corpus, made[1].scores["**int8**"])) for one in made]
    tell("baselines")
    baselines = _baselines(training, judged, made[0])
    contests = _contests(corpus, kind)
    for one in made:
        results = []
        for head, contest in contests:
            for name, score in (one.scores | baselines).items():
                results.append((name, evaluate.judge(contest, score[:, head], corpus.owner)))
                tell(pack.rate_row(*results[-1]))
        _write(arguments, corpus, one, contests, results, _cascade(corpus, made, contests))


def _make(arguments, kind, school, config, corpus, judged, parts):
    model = pack.kept(arguments, f"{config.name}.{kind}", lambda: school.model(config))
    rows = extract(corpus.text[judged], config.spec)
    bags = Bags(rows.ids, rows.start)
    valid = np.flatnonzero(corpus.part[judged] == VALID)
    quantized = quantize(model, bags.take(valid[:: max(1, len(valid) // 20000)]))
    small, real = pack.prove(model, quantized, bags.take(valid), {"name": config.name, "features": "url-1"})
    scores = {"float": _scatter(corpus, judged, model.logits(bags)), "**int8**": _scatter(corpus, judged, quantized.logits(bags))}
    return Made(config, bags, model, quantized, small, real, scores, parts)


def _contests(corpus, kind):
    """What is judged: of a blind run the validation months; else those rows are trained on, and the test months begin where training ends."""
    if kind == "blind":
        out = [("validation: ", one) for one in url.contests(corpus, VALID)]
    else:
        out = [("test: ", one) for one in url.contests(corpus, TEST)] + [("test: ", one) for one in _held_out(corpus)]
    for prefix, (_, contest) in out:
        contest.name = prefix + contest.name
    return [one for _, one in out]


def _scatter(corpus, rows, values):
    out = np.full((len(corpus.text), 2), np.nan, np.float32)
    out[rows] = values
    return out


def _counts(bags):
    """The counts of features.py as columns, read back from their ids."""
    which = (bags.ids > 0) & (bags.ids <= len(COUNTS) * BUCKETS)
    owner = np.repeat(np.arange(len(bags)), np.diff(bags.start))[which]
    value = bags.ids[which] - 1
    out = np.zeros((len(bags), len(COUNTS)), np.float32)
    out[owner, value // BUCKETS] = value % BUCKETS
    assert HASHED > len(COUNTS) * BUCKETS
    return out


def _baselines(training, judged, made):
    """On the training rows of the model, without the mixed ones and without a teacher."""
    stratum, share = evaluate.stratum_of(training.text), url.row_shares(training, made.config)
    words, trees = baseline.Logistic((2, 5), made.config.seed), np.full((len(training.text), 2), np.nan, np.float32)
    for head, label in enumerate(url.HEADS):
        rows = baseline.sample(np.flatnonzero((training.part == url.TRAIN) & np.isin(training.label, [BENIGN, label])), made.config.seed)
        weight = url.balanced(training.label[rows], stratum[rows], share[rows], label)
        truth = training.label[rows] == label
        words.fit(training.text[rows], truth, weight)
        trees[judged, head] = baseline.boosted(_counts(extract(training.text[rows], made.config.spec)), truth, weight, _counts(made.bags), made.config.seed)
    return {"n-gram logistic regression": _scatter(training, judged, words.scores(training.text[judged])), "boosted trees on counts": trees}


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
    for _, contest in contests:
        if contest.name.endswith((": phishing", ": malware")):
            for name, feature in features.items():
                bad, good = feature[contest.malicious].astype(float), feature[contest.benign].astype(float)
                weighted, plain = evaluate.auc(bad, good, contest.benign_weight), evaluate.auc(bad, good)
                out.append(f"| {name} | {contest.name} | {weighted:.3f} | {plain:.3f} | {rates(bad, good)[0]:.3f} |")
    return "\n".join(out) + "\n"


def _by_stratum(corpus, contests, score):
    stratum = evaluate.stratum_of(corpus.text)
    out = ["| int8 by kind of URL | bare host | with a path | with a query |", "|---|---|---|---|"]
    for head, contest in contests:
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


def _cascade(corpus, made, contests):
    """The first stage asks the second about rows whose largest logit is at least this: chosen on benign rows of validation, so that PASSED of them are asked about. What it costs, on judged rows."""
    second, first = (one.scores["**int8**"] for one in made)
    low = _band(corpus, first)
    out = [f"| first stage, band from {low:.2f} on | benign asked about (unweighted) | second alone: TPR at FPR 1e-2 / 1e-3 | both stages |", "|---|---|---|---|"]
    for head, contest in contests:
        asked = np.where(first.max(1) >= low, second[:, head], -np.inf)
        share = [float((asked[contest.benign] > -np.inf) @ weight / weight.sum()) for weight in (contest.benign_weight, np.ones(len(contest.benign)))]
        alone, both = (_caught(score, second[:, head], contest) for score in (second[:, head], asked))
        cells = [" / ".join(f"{value:.4f}" for value in one[:2]) for one in (alone, both)]
        out.append(f"| {contest.name} | {share[0]:.3f} ({share[1]:.3f}) | {' | '.join(cells)} |")
    return low, "\n".join(out) + "\n\n"


def _caught(score, alone, contest):
    """Shares of malicious rows above the thresholds of the second stage alone: those are what an operator has."""
    cuts = [threshold(alone[contest.benign], rate, contest.benign_weight) for rate in (1e-2, 1e-3)]
    return [float(np.mean(score[contest.malicious] > cut)) for cut in cuts]


def _band(corpus, first):
    """Where the band begins: so many of the weighted benign rows of validation lie above."""
    contest = url.contests(corpus, VALID)[0][1]
    return threshold(first[contest.benign].max(1), PASSED, contest.benign_weight)


def _write(arguments, corpus, made, contests, judged, cascade):
    score, name = made.scores["**int8**"], made.config.name
    pack.save(arguments.out, name, made.small, made.real, made.config.spec, made.model, made.quantized, golden.texts(GOLDEN[name], made.config.seed))
    curves = {contest.name: evaluate.curve(contest, score[:, head]) for head, contest in contests}
    calibrated = {}
    for head, contest in contests[:2]:
        rows = np.concatenate([contest.malicious, contest.benign])
        weight = np.concatenate([np.full(len(contest.malicious), 1 / len(contest.malicious)), contest.benign_weight])
        calibrated[contest.name] = evaluate.calibration(score[rows, head], np.arange(len(rows)) < len(contest.malicious), weight)
    notes = NOTES / f"{name}.md"
    extra = cascade[1] + _by_stratum(corpus, contests, score)
    title = {"url": "Card of the URL model", "url-first": "Card of the URL model's first stage"}[name]
    pack.card(arguments.out, name, title, judged, _trivial(arguments, corpus, contests), curves, calibrated, notes.read_text() if notes.exists() else "", extra)
    pack.remember(arguments, name, judged)
    _manifest(arguments, corpus, made, judged, cascade[0])


def _ship(arguments, corpus, made, low):
    """The model of all months: its graph, vectors and thresholds; figures are those of the near model that was judged before."""
    name = made.config.name
    pack.save(arguments.out, name, made.small, made.real, made.config.spec, made.model, made.quantized, golden.texts(GOLDEN[name], made.config.seed))
    _manifest(arguments, corpus, made, pack.remembered(arguments, name), low)


def _manifest(arguments, corpus, made, judged, low):
    config, name, score = made.config, made.config.name, made.scores["**int8**"]
    path = arguments.out / "artefacts" / f"{name}.onnx"
    months = "all, and the benign rows of the test part: figures are of the same training up to the test months" if arguments.ship else "those before the test"
    tables = {
        "model": {
            "name": name, "version": VERSION[name], "kind": "url", "features": "url-1", "heads": list(HEAD_NAMES), "file": path.name, "sha256": pack.digest(path),
            "golden": f"../golden/{name}.ndjson", "bits": config.spec.bits, "host_grams": config.spec.host, "rest_grams": config.spec.rest,
            "rows": config.spec.rows, "width": config.width, "hidden": config.hidden,
        },
        "training": {
            "months": months, "seed": config.seed, "epochs": config.epochs, "drop": config.drop, "rate": config.rate, "teachers_bits": [one.spec.bits for one in url.TEACHERS],
            "teachers_width": [one.width for one in url.TEACHERS], "teachers_seed": [one.seed for one in url.TEACHERS], **made.rows,
        },
        "split": {
            "phishing": f"first seen: settings chosen on training before {url_corpus.PHISHING_VALID} and validation from then on; judged: training before {url_corpus.PHISHING_TEST}, test from then on",
            "malware": f"date added: settings chosen on training before {url_corpus.MALWARE_VALID} and validation from then on; judged: training before {url_corpus.MALWARE_TEST}, test from then on",
            "benign": "crc32 of the registrable name modulo 100: train below 70, validation (thresholds) below 85, test above",
            "held_out": list(url_corpus.HELD_OUT), "owners": "disjoint between the parts",
        },
        "thresholds": [{"head": head, **pack.threshold_table(score[:, at], url.contests(corpus, VALID)[at][1])} for at, head in enumerate(HEAD_NAMES)],
        "figures": [
            {"rows": j["contest"], "model": who.strip("*"), "auc": j["auc"], "tpr": list(j["tpr"].values()), "low": list(j["low"].values()), "high": list(j["high"].values())}
            for who, j in judged
        ],
        "versions": pack.versions(),
        "data": [{"file": one, "sha256": pack.digest(arguments.data / one)} for one in corpus.files],
        "licence": {"note": LICENCE},
    }  # fmt: skip
    if name == url.SECOND.name:
        tables["model"] |= {"after": url.FIRST.name, "band_low": low}
    pack.manifest(path.with_suffix(".toml"), ["# Written by the trainer. Scores are logits; thresholds were chosen on validation rows."], tables)
