"""The network: rows summed, two small layers; trained with Adam in numpy, one thread, so that a seed gives the same weights again.

    ids ─► sum of rows (D) ─► clip 0..TOP ─► D x H ─► clip 0..TOP ─► H x heads ─► logits

Both clips are what eight bits can hold after quantization, so training sees them too.
"""

import numpy as np
from scipy.sparse import csr_matrix

TOP = 6.0
#: A taught model: the teacher's share of the pull, and what its logits are divided by.
TAUGHT, SOFTENED = 0.7, np.float32(2)


class Bag:
    def __init__(self, rows, width, hidden, heads, seed):
        self.random = np.random.default_rng(seed)
        draw = lambda *shape, scale: (self.random.standard_normal(shape) * scale).astype(np.float32)
        self.weights = {
            "rows": draw(rows, width, scale=0.05),
            "b0": np.full(width, 0.5, np.float32),
            "w1": draw(width, hidden, scale=(2 / width) ** 0.5),
            "b1": np.full(hidden, 0.1, np.float32),
            "w2": draw(hidden, heads, scale=(1 / hidden) ** 0.5),
            "b2": np.zeros(heads, np.float32),
        }
        self.weights["rows"][0] = 0
        self.moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in self.weights.items()}
        self.steps = 0

    @classmethod
    def of(cls, weights):
        """A model that was trained before."""
        model = cls(1, 1, 1, 1, 0)
        model.weights = weights
        return model

    def logits(self, bags, batch=8192):
        parts = []
        for at in range(0, len(bags), batch):
            parts.append(self._forward(self._matrix(bags.take(np.arange(at, min(at + batch, len(bags))))))[-1])
        return np.concatenate(parts)

    def _matrix(self, bags):
        rows = len(self.weights["rows"])
        return csr_matrix((np.ones(len(bags.ids), np.float32), bags.ids.astype(np.int32), bags.start.astype(np.int32)), (len(bags), rows))

    def _forward(self, matrix):
        return self._layers(matrix @ self.weights["rows"])

    def _layers(self, total):
        w = self.weights
        z0 = total + w["b0"]
        a0 = np.clip(z0, 0, TOP)
        z1 = a0 @ w["w1"] + w["b1"]
        a1 = np.clip(z1, 0, TOP)
        return z0, a0, z1, a1, a1 @ w["w2"] + w["b2"]

    def step(self, bags, target, weight, rate, drop, soft=None):
        """One batch. `target`, `weight` and `soft` have a column a head; `drop` of the ids are left out, the rest weigh more."""
        touched, matrix = self._touched(bags)
        if drop:
            matrix.data *= (self.random.random(len(matrix.data), dtype=np.float32) >= drop) / np.float32(1 - drop)
        w = self.weights
        table = w["rows"][touched]
        z0, a0, z1, a1, out = self._layers(matrix @ table)
        total = max(weight.sum(), 1e-9)
        g_out = (weight * self._pull(out, target, soft) / total).astype(np.float32)
        g1 = g_out @ w["w2"].T * _open(z1)
        g0 = g1 @ w["w1"].T * _open(z0)
        gradient = {"rows": matrix.T @ g0, "b0": g0.sum(0), "w1": a0.T @ g1, "b1": g1.sum(0), "w2": a1.T @ g_out, "b2": g_out.sum(0)}
        self._adam(gradient, touched, rate)
        loss = weight * (np.logaddexp(0, out) - target * out)
        return float(loss.sum() / total)

    @staticmethod
    def _pull(out, target, soft):
        """The loss by the logit: towards the label, and where a teacher spoke, mostly towards its word, softened so that the far tails still count."""
        if soft is None:
            return _sigmoid(out) - target
        return (1 - TAUGHT) * (_sigmoid(out) - target) + TAUGHT * SOFTENED * (_sigmoid(out / SOFTENED) - soft)

    def _touched(self, bags):
        """The rows of the table that a batch uses, and its ids as a matrix over those alone: a wide table is paid for where it is read."""
        mark = np.zeros(len(self.weights["rows"]), bool)
        mark[bags.ids] = True
        touched = np.flatnonzero(mark)
        place = np.zeros(len(mark), np.int32)
        place[touched] = np.arange(len(touched), dtype=np.int32)
        return touched, csr_matrix((np.ones(len(bags.ids), np.float32), place[bags.ids], bags.start.astype(np.int32)), (len(bags), len(touched)))

    def _adam(self, gradient, touched, rate):
        """Rows that the batch did not use keep their place and their moments."""
        self.steps += 1
        rate = np.float32(rate * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps))
        for name, weight in self.weights.items():
            which = touched if name == "rows" else slice(None)
            first, second = (moment[which] for moment in self.moments[name])
            g = gradient[name]
            first *= np.float32(0.9)
            first += np.float32(0.1) * g
            second *= np.float32(0.999)
            second += np.float32(0.001) * g * g
            weight[which] -= rate * first / (np.sqrt(second) + np.float32(1e-8))
            if name == "rows":
                for moment, now in zip(self.moments[name], (first, second)):
                    moment[which] = now
        self.weights["rows"][0] = 0

    def fit(self, bags, target, weight, epochs, batch, rate, drop, tell=print, soft=None):
        """`soft`: the teacher's probabilities at SOFTENED, if there is one."""
        count = len(bags)
        steps = epochs * (count // batch)
        done = 0
        for epoch in range(epochs):
            order, losses = self.random.permutation(count), []
            for at in range(0, count - batch + 1, batch):
                pick = order[at : at + batch]
                now = rate * max(0.02, min(1, 20 * (done + 1) / steps) * (1 - done / steps))
                losses.append(self.step(bags.take(pick), target[pick], weight[pick], now, drop, None if soft is None else soft[pick]))
                done += 1
            tell(epoch, float(np.mean(losses)))


def softened(logits):
    """What a teacher's logits say, as `fit` wants it."""
    return _sigmoid(np.clip(logits, -15, 15) / SOFTENED).astype(np.float32)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _open(z):
    """A little gradient leaks past the clips, so that no unit dies."""
    return np.where((z > 0) & (z < TOP), np.float32(1), np.float32(0.01))
