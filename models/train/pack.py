"""Everything about a trained model that goes into the tree: graphs, golden vectors, manifest, card with plots."""

import hashlib
import json
import platform
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime

from . import evaluate, golden, graph, plot
from .bag import Bag

PACKAGES = ("numpy", "scipy", "scikit-learn", "lightgbm", "onnx", "onnxruntime")
FILE_BYTES_MAX = 2 << 20


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def kept(arguments, name, fresh):
    """A trained model, kept in OUT/float; with --reuse the one that an earlier run has left there."""
    path = arguments.out / "float" / f"{name}.npz"
    if arguments.reuse:
        return Bag.of({key: value for key, value in np.load(path).items()})
    model = fresh()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **model.weights)
    return model


def remember(arguments, name, judged):
    """Figures of the split model, for the manifest of the shipped one."""
    (arguments.out / "float" / f"{name}.judged.json").write_text(json.dumps([[who.strip("*"), j] for who, j in judged], default=float))


def remembered(arguments, name):
    return json.loads((arguments.out / "float" / f"{name}.judged.json").read_text())


def prove(model, quantized, bags, about):
    """Graphs of both; the integer one must equal numpy's integers bit for bit, the float one closely."""
    small, real = graph.integer(quantized, about["name"], about), graph.real(model, about["name"], about)
    some = bags.take(np.random.default_rng(1).permutation(len(bags))[:4096])
    ids = graph.padded(some)
    if not np.array_equal(session(small).run(None, {"ids": ids})[0], quantized.logits(some)):
        raise SystemExit("the runtime's integers differ from numpy's")
    if np.abs(session(real).run(None, {"ids": ids})[0] - model.logits(some)).max() > 1e-3:
        raise SystemExit("the runtime's floats differ from numpy's")
    return small, real


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if "." in f"{value:.6g}" or "e" in f"{value:.6g}" else f"{value:.1f}"
    return str(int(value))


def manifest(path, header, tables):
    """`tables`: name -> dict, or a list of dicts for an array of tables."""
    out = list(header)
    for name, table in tables.items():
        for one in table if isinstance(table, list) else [table]:
            out += ["", f"[[{name}]]" if isinstance(table, list) else f"[{name}]"]
            out += [f"{key} = {toml(value)}" for key, value in one.items()]
    path.write_text("\n".join(out) + "\n")


def versions():
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def save(out, name, small, real, spec, model, quantized, inputs, bags=None):
    """Writes the graphs and golden vectors; returns the path of the shipped one."""
    for part in ("artefacts", "golden", "cards", "float"):
        (out / part).mkdir(parents=True, exist_ok=True)
    path = out / "artefacts" / f"{name}.onnx"
    onnx.save(small, path)
    if path.stat().st_size > FILE_BYTES_MAX:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {FILE_BYTES_MAX}")
    onnx.save(real, out / "float" / f"{name}.onnx")
    golden.write(out / "golden" / f"{name}.ndjson", spec, model, quantized, inputs, bags)
    return path


def rate_row(name, j):
    cells = [f"{j['tpr'][rate]:.3f} ({j['low'][rate]:.3f}-{j['high'][rate]:.3f})" for rate in j["tpr"]]
    plain = " / ".join(f"{value:.3f}" for value in j["unweighted"].values())
    return f"| {j['contest']} | {name} | {j['malicious']:,} / {j['benign']:,} | {j['auc']:.4f} | {' | '.join(cells)} | {plain} |"


RATE_HEAD = (
    "| rows | model | malicious / benign | AUC | TPR at FPR 1e-2 | 1e-3 | 1e-4 | unweighted 1e-2 / 1e-3 / 1e-4 |\n"
    "|---|---|---|---|---|---|---|---|"
)


def card(out, name, title, judged, trivial, curves, calibrations, notes, extra=""):
    """`judged`: [(model, result of judge)]."""
    plot.roc(out / "cards" / f"{name}-roc.svg", curves)
    plot.calibration(out / "cards" / f"{name}-calibration.svg", calibrations)
    rows = "\n".join(rate_row(model, j) for model, j in judged)
    text = f"""# {title}

Written by the trainer; the notes at the end by hand. What the columns mean: benign rows are weighted so that no owner (registrable name) counts for more than
{evaluate.CAP} rows{' and bare hosts, paths and queries are as frequent as among the malicious rows' if name.startswith('url') else ''}; *unweighted* is every row alike. In brackets 95 % intervals, owners drawn anew.

{RATE_HEAD}
{rows}

{trivial}
![true against false positives]({name}-roc.svg)

![calibration]({name}-calibration.svg)

{extra}{notes}"""
    (out / "cards" / f"{name}.md").write_text(text)


def threshold_table(score, contest):
    from .metrics import RATES, threshold

    return {f"fpr_{rate:g}": threshold(score[contest.benign], rate, contest.benign_weight) for rate in RATES}
