"""The network: rows summed, two small layers; trained with Adam in numpy, one thread, so that a seed gives the same weights again.

    ids ─► sum of rows (D) ─► clip 0..TOP ─► D x H ─► clip 0..TOP ─► H x heads ─► logits

Both clips are what eight bits can hold after quantization, so training sees them too.
"""

import numpy as np
from scipy.sparse import csr_matrix

TOP = 6.0


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
        w = self.weights
        z0 = matrix @ w["rows"] + w["b0"]
        a0 = np.clip(z0, 0, TOP)
        z1 = a0 @ w["w1"] + w["b1"]
        a1 = np.clip(z1, 0, TOP)
        return z0, a0, z1, a1, a1 @ w["w2"] + w["b2"]

    def step(self, bags, target, weight, rate, decay, drop):
        """One batch. `target` and `weight` have a column a head; `drop` of the ids are left out, the rest weigh more."""
        matrix = self._matrix(bags)
        if drop:
            matrix.data *= (self.random.random(len(matrix.data), dtype=np.float32) >= drop) / np.float32(1 - drop)
        z0, a0, z1, a1, out = self._forward(matrix)
        probability = 1 / (1 + np.exp(-out))
        total = max(weight.sum(), 1e-9)
        g_out = weight * (probability - target) / total
        w = self.weights
        g1 = g_out @ w["w2"].T * _open(z1)
        g0 = g1 @ w["w1"].T * _open(z0)
        gradient = {
            "rows": matrix.T @ g0, "b0": g0.sum(0), "w1": a0.T @ g1, "b1": g1.sum(0), "w2": a1.T @ g_out, "b2": g_out.sum(0),
        }  # fmt: skip
        self._adam(gradient, rate, decay)
        loss = weight * (np.logaddexp(0, out) - target * out)
        return float(loss.sum() / total)

    def _adam(self, gradient, rate, decay):
        self.steps += 1
        rate = rate * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        for name, weight in self.weights.items():
            first, second = self.moments[name]
            g = gradient[name]
            first *= 0.9
            first += 0.1 * g
            second *= 0.999
            second += 0.001 * g * g
            weight -= np.float32(rate) * first / (np.sqrt(second) + 1e-8)
            if name in ("rows", "w1", "w2"):
                weight *= np.float32(1 - rate * decay)
        self.weights["rows"][0] = 0

    def fit(self, bags, target, weight, epochs, batch, rate, decay, drop, tell=print):
        count = len(bags)
        steps = epochs * (count // batch)
        done = 0
        for epoch in range(epochs):
            order, losses = self.random.permutation(count), []
            for at in range(0, count - batch + 1, batch):
                pick = order[at : at + batch]
                now = rate * max(0.02, min(1, 20 * (done + 1) / steps) * (1 - done / steps))
                losses.append(self.step(bags.take(pick), target[pick], weight[pick], now, decay, drop))
                done += 1
            tell(epoch, float(np.mean(losses)))


def _open(z):
    """A little gradient leaks past the clips, so that no unit dies."""
    return np.where((z > 0) & (z < TOP), np.float32(1), np.float32(0.01))
