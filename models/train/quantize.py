"""From float weights to eight bits: what the daemon evaluates, in numpy integers, the oracle of golden vectors.

    z0 = rows[ids].sum + b0 (i32)   a0 = u8(round_half_even(f32(z0) * m0))   rows i8, one scale a column
    z1 = a0 @ w1 + b1 (i32)         a1 = u8(round_half_even(f32(z1) * m1))   w1, w2 i8, one scale a column
    z2 = a1 @ w2 + b2 (i32)         logits = f32(z2) * m2

Scales of activations are calibrated on validation rows: the share of them above a unit's top may not exceed CLIPPED. Saturation to 0..255 is the clip.
"""

from dataclasses import dataclass

import numpy as np

from .bag import TOP

CLIPPED = 1e-4
EXACT = 1 << 24
#: Weights that meet bytes of activations stay within 64: x86 without VNNI adds two products in 16 bits, and 2 * 255 * 64 fits.
SMALL = 64


@dataclass
class Quantized:
    rows: np.ndarray
    b0: np.ndarray
    m0: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    m1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    m2: np.ndarray

    def integers(self, bags):
        """The last accumulators, exact."""
        out = np.empty((len(bags), len(self.b2)), np.int32)
        rows = self.rows.astype(np.int32)
        for at in range(0, len(bags), 4096):
            part = bags.take(np.arange(at, min(at + 4096, len(bags))))
            z0 = np.add.reduceat(rows[part.ids], part.start[:-1], axis=0) + self.b0
            a0 = _byte(z0, self.m0)
            z1 = a0 @ self.w1.astype(np.int32) + self.b1
            a1 = _byte(z1, self.m1)
            z2 = a1 @ self.w2.astype(np.int32) + self.b2
            assert max(np.abs(z).max() for z in (z0, z1, z2)) < EXACT
            out[at : at + len(part)] = z2
        return out

    def logits(self, bags):
        return self.integers(bags).astype(np.float32) * self.m2


def _byte(z, multiplier):
    return np.clip(np.rint(z.astype(np.float32) * multiplier), 0, 255).astype(np.int32)


def quantize(model, calibration):
    """`model` is a trained Bag, `calibration` bags of validation rows."""
    w = model.weights
    rows, s_rows = _columns(w["rows"])
    w1, s_w1 = _columns(w["w1"], SMALL)
    w2, s_w2 = _columns(w["w2"], SMALL)
    tops = _tops(model, calibration)
    s0, s1 = tops[0] / 255, tops[1] / 255
    return Quantized(
        rows, _bias(w["b0"], s_rows), (s_rows / s0).astype(np.float32),
        w1, _bias(w["b1"], s0 * s_w1), (s0 * s_w1 / s1).astype(np.float32),
        w2, _bias(w["b2"], s1 * s_w2), (s1 * s_w2).astype(np.float32),
    )  # fmt: skip


def _columns(weight, top=127):
    scale = np.maximum(np.abs(weight).max(0), 1e-9) / top
    return np.clip(np.rint(weight / scale), -top, top).astype(np.int8), scale.astype(np.float64)


def _bias(bias, scale):
    return np.clip(np.rint(bias / scale), -(EXACT // 2), EXACT // 2).astype(np.int32)


def _tops(model, bags):
    """One top for all units of a layer: beyond it lie at most CLIPPED of the calibration values."""
    highest = []
    for at in range(0, len(bags), 8192):
        _, a0, _, a1, _ = model._forward(model._matrix(bags.take(np.arange(at, min(at + 8192, len(bags))))))
        highest.append([np.quantile(a0, 1 - CLIPPED), np.quantile(a1, 1 - CLIPPED)])
    return np.minimum(np.max(highest, axis=0), TOP).astype(np.float64)
