"""The URL model: weights of rows, training, and the parts it is judged on."""

from dataclasses import dataclass, field, replace

import numpy as np

from . import augment, evaluate
from .features import Spec
from .taught import Lesson, Teacher
from .url_corpus import BENIGN, MALWARE, OUT, PHISHING, PHISHING_TEST, TEST, TRAIN, VALID

HEADS = (PHISHING, MALWARE)
#: Old or foreign sources teach words, but their share of the loss is small.
SHARE = {"urlhaus_filter": 0.025, "iscx_malware": 0.025}
MALWARE_LOSS = 0.5


@dataclass
class Config:
    name: str = "url"
    spec: Spec = field(default_factory=Spec)
    width: int = 56
    hidden: int = 32
    epochs: int = 4
    batch: int = 2048
    rate: float = 0.003
    drop: float = 0.5
    mixed: float = 1.0
    half_life: float = 6.0
    seed: int = 7


#: The first stage looks at every unknown key: few grams, a table that stays in a core's own cache. Who it lets pass is not asked about again.
FIRST = Config("url-first", Spec(bits=13, host=(3,), rest=(4,)), width=32, hidden=16, epochs=3, drop=0.3)
SECOND = Config()
TEACHERS = (
    Teacher("wide teacher", Spec(bits=18, host=(2, 3, 4, 5), rest=(2, 3, 4, 5)), width=64, hidden=32, epochs=2, drop=0.7, seed=21),
    Teacher("narrow teacher", Spec(), width=56, hidden=32, epochs=3, drop=0.5, seed=8),
)


def row_shares(corpus, config):
    """What a row counts for within its class: many rows of an owner, old sources and old months count less."""
    share = np.ones(len(corpus.text))
    for label in (BENIGN, *HEADS):
        mine = corpus.label == label
        share[mine] = evaluate.owner_share(corpus.owner[mine])
    for source, factor in SHARE.items():
        share[corpus.source == source] *= factor
    if config.half_life:
        dated = corpus.source == "openphish"
        month = np.array([int(one[:4]) * 12 + int(one[5:]) for one in corpus.month[dated]])
        newest = month[corpus.part[dated] == TRAIN].max()
        share[dated] *= 0.5 ** (np.maximum(newest - month, 0) / config.half_life)
    return share


def balanced(label, stratum, share, head):
    """Weights of one head: in each stratum malicious and benign rows weigh the same, so having a path or a query is no evidence."""
    weight, mine, benign = np.zeros(len(label)), label == head, label == BENIGN
    for kind in range(3):
        mass = max(share[mine & (stratum == kind)].sum() / share[mine].sum(), 0.06)
        for side in (mine & (stratum == kind), benign & (stratum == kind)):
            if side.any():
                weight[side] = share[side] * mass / share[side].sum()
    return weight / weight.sum()


def near(corpus):
    """For the model that is judged on test rows, once its settings are chosen: malicious rows of the validation months are for training too, so that the test begins where training ends."""
    part = corpus.part.copy()
    dated = np.isin(corpus.source, ["openphish", "urlhaus"])
    part[dated & (part == VALID)] = TRAIN
    part[(corpus.source == "openphish") & (part == OUT) & (corpus.month < PHISHING_TEST)] = TRAIN
    return replace(corpus, part=part)


def whole(corpus):
    """For the model that is shipped: all malicious rows are for training, and the benign ones of the test part too; thresholds are those of validation's, who stay strangers."""
    part = corpus.part.copy()
    part[(corpus.label != BENIGN) | (part == TEST)] = TRAIN
    return replace(corpus, part=part)


def lesson(corpus, training, config):
    """Texts, targets and weights: rows of the training part, the mixed ones, and what `training` has beyond, which so stands behind what the teachers have seen."""
    stratum, share = evaluate.stratum_of(corpus.text), row_shares(training, config)
    rows = np.flatnonzero(corpus.part == TRAIN)
    later = np.flatnonzero((training.part == TRAIN) & (corpus.part != TRAIN))
    texts, labels = augment.mixed(corpus, row_shares(corpus, config), config.seed)
    mixed_stratum, every = evaluate.stratum_of(texts), np.concatenate([rows, later])
    weights = []
    for head in HEADS:
        real = balanced(corpus.label[every], stratum[every], share[every], head)
        mixed = balanced(labels, mixed_stratum, np.ones(len(labels)), head)
        weights.append(np.concatenate([real[: len(rows)], config.mixed * mixed, real[len(rows) :]]) / (1 + config.mixed))
    label = np.concatenate([corpus.label[rows], labels, corpus.label[later]])
    target = np.stack([label == head for head in HEADS], 1).astype(np.float32)
    weight = np.stack(weights, 1) * len(label) * np.array([1, MALWARE_LOSS])
    return Lesson(np.concatenate([corpus.text[rows], texts, corpus.text[later]]), target, weight.astype(np.float32))


def contests(corpus, part):
    """Each kind of malice of a part against the part's benign rows; other collectors' rows by themselves."""
    stratum = evaluate.stratum_of(corpus.text)
    benign = np.flatnonzero((corpus.part == part) & (corpus.label == BENIGN))
    out = []
    for name, source, head in (("phishing", "openphish", 0), ("malware", "urlhaus", 1), ("phishing of 2017", "ebbu_phishing", 0), ("phishing of 2016, other collector", "iscx_phishing", 0)):
        mine = np.flatnonzero((corpus.part == part) & (corpus.source == source))
        if len(mine):
            out.append((head, evaluate.contest(name, corpus, stratum, mine, benign)))
    return out
