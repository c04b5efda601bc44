"""Two plots as SVG text, without a library: a curve of true against false alarms, and a calibration diagram."""

import numpy as np

WIDTH, HEIGHT, LEFT, TOP_, RIGHT, BOTTOM = 560, 360, 56, 16, 16, 46
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#7f8c8d", "#d68910")


def _frame(xs, ys, x_label, y_label):
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for at, text in xs:
        out.append(f'<line x1="{at:.1f}" y1="{TOP_}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{text}</text>')
    for at, text in ys:
        out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{x_label}</text>')
    out.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">{y_label}</text>')
    return out


def _x(share):
    return LEFT + np.asarray(share) * (WIDTH - LEFT - RIGHT)


def _y(share):
    return HEIGHT - BOTTOM - np.asarray(share) * (HEIGHT - TOP_ - BOTTOM)


def _line(xs, ys, colour, dash=""):
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}" points="{points}"/>'


def _legend(names, x, y):
    rows = []
    for at, name in enumerate(names):
        rows.append(f'<rect x="{x}" y="{y + 15 * at - 8}" width="14" height="4" fill="{COLOURS[at % len(COLOURS)]}"/>')
        rows.append(f'<text x="{x + 19}" y="{y + 15 * at}">{name}</text>')
    return rows


def roc(path, curves):
    """`curves`: name -> (false, true); the false alarms on a logarithmic axis from 1e-5."""
    tens = [(float(_x(at / 5)), f"1e-{5 - at}" if at < 5 else "1") for at in range(6)]
    out = _frame(tens, [(float(_y(v / 10)), f"{v / 10:.1f}") for v in range(0, 11, 2)], "false positive rate", "true positive rate")
    for at, (false, true) in enumerate(curves.values()):
        out.append(_line(_x((np.log10(false) + 5) / 5), _y(true), COLOURS[at % len(COLOURS)]))
    path.write_text("\n".join([*out, *_legend(curves, LEFT + 12, TOP_ + 16), "</svg>"]) + "\n")


def calibration(path, curves):
    """`curves`: name -> [(predicted, observed, rows)]."""
    tens = [(float(_x(v / 10)), f"{v / 10:.1f}") for v in range(0, 11, 2)]
    out = _frame(tens, [(float(_y(v / 10)), f"{v / 10:.1f}") for v in range(0, 11, 2)], "predicted", "observed share")
    out.append(_line(_x([0, 1]), _y([0, 1]), "#999", "4 3"))
    for at, rows in enumerate(curves.values()):
        out.append(_line(_x([r[0] for r in rows]), _y([r[1] for r in rows]), COLOURS[at % len(COLOURS)]))
    path.write_text("\n".join([*out, *_legend(curves, LEFT + 12, TOP_ + 16), "</svg>"]) + "\n")
