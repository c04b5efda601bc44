"""The URL model: weights of rows, training, and the parts it is judged on."""

from dataclasses import dataclass, field, replace

import numpy as np

from . import augment, evaluate
from .bag import Bag
from .features import Bags, Spec, extract
from .url_corpus import BENIGN, MALWARE, PHISHING, TRAIN

HEADS = (PHISHING, MALWARE)
#: Old or foreign sources teach words, but their share of the loss is small.
SHARE = {"urlhaus_filter": 0.025, "iscx_malware": 0.025}
MALWARE_LOSS = 0.5


@dataclass
class Config:
    spec: Spec = field(default_factory=Spec)
    width: int = 56
    hidden: int = 32
    epochs: int = 3
    batch: int = 2048
    rate: float = 0.003
    decay: float = 0.0
    drop: float = 0.5
    mixed: float = 1.0
    half_life: float = 6.0
    seed: int = 7


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


def whole(corpus):
    """For the model that is shipped: every month of the dated malicious rows is for training. Benign owners stay where they were, so thresholds are still those of strangers."""
    part = corpus.part.copy()
    part[np.isin(corpus.source, ["openphish", "urlhaus", "ebbu_phishing"])] = TRAIN
    return replace(corpus, part=part)


def training_rows(corpus, bags, config):
    """Bags, targets and weights: rows of the training part, and the mixed ones."""
    stratum, share = evaluate.stratum_of(corpus.text), row_shares(corpus, config)
    rows = np.flatnonzero(corpus.part == TRAIN)
    texts, labels = augment.mixed(corpus, share, config.seed)
    extra = extract(texts, config.spec)
    mixed_stratum = evaluate.stratum_of(texts)
    weights = []
    for head in HEADS:
        real = balanced(corpus.label[rows], stratum[rows], share[rows], head)
        mixed = balanced(labels, mixed_stratum, np.ones(len(labels)), head)
        weights.append(np.concatenate([real, config.mixed * mixed]) / (1 + config.mixed))
    own = bags.take(rows)
    label = np.concatenate([corpus.label[rows], labels])
    target = np.stack([label == head for head in HEADS], 1).astype(np.float32)
    weight = np.stack(weights, 1) * len(label) * np.array([1, MALWARE_LOSS])
    joined = Bags(np.concatenate([own.ids, extra.ids]), np.concatenate([own.start, extra.start[1:] + own.start[-1]]))
    return joined, target, weight.astype(np.float32)


def fit(corpus, bags, config, tell=print):
    joined, target, weight = training_rows(corpus, bags, config)
    model = Bag(config.spec.rows, config.width, config.hidden, len(HEADS), config.seed)
    model.fit(joined, target, weight, config.epochs, config.batch, config.rate, config.decay, config.drop, lambda epoch, loss: tell(epoch, loss, model))
    return model


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
