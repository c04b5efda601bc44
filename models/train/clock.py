"""`python -m train.clock --out DIR`: microseconds a row, float against int8, of what a run has left in artefacts/ and float/; writes cards/speed.md.

    the two graphs in turn, the least of some rounds, one thread and its CPU time, rows padded to the longest of their batch; the call from Python is in it
Ids are drawn at random, which is the worst for caches, in numbers as real keys have them (MEDIAN, SPREAD, log-normal).
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import onnx  # noqa: E402

from . import pack  # noqa: E402

BATCHES = (1, 8, 32, 128)
#: Ids of a key: the median and the standard deviation of its logarithm, as measured on the corpora.
LENGTHS = {"url": (131, 0.44), "url-first": (60, 0.41), "dga": (90, 0.25), "pe": (300, 0.001)}
ROUNDS, RUNS, MULTIPLE = 25, 12, 32


def batches(name, rows, batch, random):
    median, spread = LENGTHS[name]
    out = []
    for _ in range(RUNS):
        sizes = np.minimum(np.exp(random.normal(np.log(median), spread, batch)), 560).astype(int)
        ids = np.zeros((batch, -(-sizes.max() // MULTIPLE) * MULTIPLE), np.int32)
        for at, size in enumerate(sizes):
            ids[at, :size] = random.integers(1, rows, size)
        out.append(ids)
    return out


def measure(name, graphs):
    random, sessions = np.random.default_rng(3), {kind: pack.session(one) for kind, one in graphs.items()}
    rows = next(one.dims[0] for one in graphs["int8"].graph.initializer if one.name == "rows")
    out = {kind: {} for kind in graphs}
    for batch in BATCHES:
        inputs = batches(name, rows, batch, random)
        for _ in range(ROUNDS):
            for kind, one in sessions.items():
                begin = time.thread_time()
                for ids in inputs:
                    one.run(None, {"ids": ids})
                spent = (time.thread_time() - begin) / RUNS / batch * 1e6
                out[kind][batch] = min(out[kind].get(batch, np.inf), spent)
    return out


def main():
    parser = argparse.ArgumentParser(prog="python -m train.clock", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    lines = []
    for name in LENGTHS:
        paths = {"float": out / "float" / f"{name}.onnx", "int8": out / "artefacts" / f"{name}.onnx"}
        if not all(path.exists() for path in paths.values()):
            continue
        times = measure(name, {kind: onnx.load(path) for kind, path in paths.items()})
        for batch in BATCHES:
            real, small = times["float"][batch], times["int8"][batch]
            lines.append(f"| {name} | {batch} | {real:.2f} | {small:.2f} | {small / real:.2f} |")
            print(lines[-1], flush=True)
    text = "\n".join([HEAD, *lines]) + "\n"
    (out / "cards").mkdir(parents=True, exist_ok=True)
    (out / "cards" / "speed.md").write_text(text)


HEAD = """# Speed in ONNX Runtime

CPU time of one thread of a busy 2-core x86-64 machine, called from Python, random rows, batches padded to their longest; written by `python -m train.clock`. A native evaluator of the same
integers is another matter: it needs no padding and no copy of the gathered rows.

| model | batch | float, us a row | int8, us a row | int8 / float |
|---|---|---|---|---|"""


if __name__ == "__main__":
    main()
