"""What a score is worth on a part: rates with intervals, calibration, and what trivial features would have reached.

Benign rows weigh so that (1) no owner counts for more than CAP rows, and (2) the shares of bare hosts, paths and queries are those of the malicious rows:
so nothing is gained by knowing that a URL has a path. Intervals are 95 %, from drawing whole owners anew, on both sides.
"""

from dataclasses import dataclass

import numpy as np

from .metrics import RATES, auc, rates

CAP = 20
DRAWS = 100


@dataclass
class Contest:
    """Malicious against benign rows of one part, with all that is known of them."""

    name: str
    malicious: np.ndarray
    benign: np.ndarray
    benign_weight: np.ndarray


def contest(name, corpus, stratum, malicious, benign):
    """`malicious` and `benign` are rows of the corpus."""
    share = owner_share(corpus.owner[benign])
    weight = np.zeros(len(benign))
    for kind in np.unique(stratum):
        mine = stratum[benign] == kind
        if mine.any():
            weight[mine] = np.mean(stratum[malicious] == kind) * share[mine] / share[mine].sum()
    return Contest(name, malicious, benign, weight)


def owner_share(owner, cap=CAP):
    _, which, count = np.unique(owner.astype(str), return_inverse=True, return_counts=True)
    return np.minimum(1, cap / count[which])


def stratum_of(texts):
    """0 bare host, 1 with a path, 2 with a query."""
    return np.array([0 if one.endswith("/") and one.count("/") == 1 else 2 if "?" in one else 1 for one in texts], np.int8)


def judge(c, score, owner, seed=1):
    """Rates with intervals, and the area under the curve."""
    bad, good = score[c.malicious], score[c.benign]
    draws = bootstrap(c, score, owner, seed)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    at = rates(bad, good, c.benign_weight)
    plain = rates(bad, good)
    return {
        "contest": c.name, "malicious": len(bad), "benign": len(good), "auc": auc(bad, good, c.benign_weight),
        "tpr": dict(zip(map(str, RATES), at)), "low": dict(zip(map(str, RATES), low)), "high": dict(zip(map(str, RATES), high)),
        "unweighted": dict(zip(map(str, RATES), plain)),
    }  # fmt: skip


def bootstrap(c, score, owner, seed):
    random = np.random.default_rng(seed)
    _, bad_of = np.unique(owner[c.malicious].astype(str), return_inverse=True)
    _, good_of = np.unique(owner[c.benign].astype(str), return_inverse=True)
    bad, good = score[c.malicious], score[c.benign]
    order = np.argsort(-good, kind="stable")
    sorted_good, good_of, base = good[order], good_of[order], c.benign_weight[order]
    rows = []
    for _ in range(DRAWS):
        weight = base * random.poisson(1, good_of.max() + 1)[good_of]
        above = np.cumsum(weight) / weight.sum()
        count = random.poisson(1, bad_of.max() + 1)[bad_of]
        cut = [sorted_good[min(np.searchsorted(above, rate, side="right"), len(above) - 1)] for rate in RATES]
        rows.append([float(count[bad > one].sum() / count.sum()) for one in cut])
    return np.array(rows)


def curve(c, score, points=200):
    """(false, true) alarms, from 1e-5 to 1."""
    good, weight = score[c.benign], c.benign_weight
    order = np.argsort(-good, kind="stable")
    above = np.cumsum(weight[order]) / weight.sum()
    false = np.logspace(-5, 0, points)
    cut = good[order][np.minimum(np.searchsorted(above, false, side="right"), len(good) - 1)]
    bad = np.sort(score[c.malicious])
    return false, 1 - np.searchsorted(bad, cut, side="right") / len(bad)


def calibration(score, bad, weight, bins=10):
    """Mean predicted against observed share, in bins of the prediction; the weights make both classes equally heavy."""
    probability = 1 / (1 + np.exp(-score))
    which = np.minimum((probability * bins).astype(int), bins - 1)
    out = []
    for one in range(bins):
        mine = which == one
        if mine.sum() >= 20:
            total = weight[mine].sum()
            out.append((float((probability[mine] * weight[mine]).sum() / total), float(weight[mine & bad].sum() / total), int(mine.sum())))
    return out
