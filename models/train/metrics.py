"""ROC, and the share of malicious rows caught at a given share of false alarms, with intervals."""

import numpy as np
from scipy.stats import beta

RATES = (1e-2, 1e-3, 1e-4)


def threshold(benign, rate, weight=None):
    """The lowest score above which at most `rate` of the benign weight lies."""
    order = np.argsort(-benign, kind="stable")
    weight = np.ones(len(benign)) if weight is None else weight
    above = np.cumsum(weight[order]) / weight.sum()
    allowed = int(np.searchsorted(above, rate, side="right"))
    return np.inf if len(benign) == 0 else float(benign[order[min(allowed, len(benign) - 1)]])


def rates(malicious, benign, weight=None):
    return [float(np.mean(malicious > threshold(benign, rate, weight))) for rate in RATES]


def auc(malicious, benign, weight=None):
    weight = np.ones(len(benign)) if weight is None else weight
    order = np.argsort(benign, kind="stable")
    below = np.concatenate(([0], np.cumsum(weight[order]))) / weight.sum()
    left = np.searchsorted(benign[order], malicious, side="left")
    right = np.searchsorted(benign[order], malicious, side="right")
    return float(np.mean((below[left] + below[right]) / 2))


def interval(caught, count):
    """Clopper-Pearson, 95 %."""
    low = beta.ppf(0.025, caught, count - caught + 1) if caught else 0.0
    high = beta.ppf(0.975, caught + 1, count - caught) if caught < count else 1.0
    return float(low), float(high)
