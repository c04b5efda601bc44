"""`python -m train --data DIR --out DIR`: trains, judges and writes what models/ ships.

    corpora ─► canonical text ─► bags ─► float model ─► int8 model ─► ONNX, golden vectors, manifest, card
"""

import argparse
import importlib
import os
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

MODELS = ("url", "dga", "pe")  # url-first comes with url


def main():
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the corpora, as SOURCES.md there describes them")
    parser.add_argument("--out", type=Path, required=True, help="gets artefacts/, golden/, cards/ and float/")
    parser.add_argument("--canonical", type=Path, required=True, help="the program `canonical` of crate verdict-keys (an example there)")
    parser.add_argument("--only", choices=MODELS, nargs="*", default=MODELS)
    parser.add_argument("--blind", action="store_true", help="judge on validation rows only; the test part stays unread")
    parser.add_argument("--reuse", action="store_true", help="judge and write again what an earlier run left in OUT/float")
    parser.add_argument("--ship", action="store_true", help="url: train on all months with the settings that were judged, and write that; cards stay as they are")
    arguments = parser.parse_args()
    begin = time.time()

    def tell(*words):
        print(f"{time.time() - begin:6.0f} s ", *words, flush=True)

    for name in arguments.only:
        module = importlib.import_module(f".run_{name}", __package__)  # only now, so that numpy is loaded with its threads set
        module.run(arguments, lambda *words: tell(name, *words))


if __name__ == "__main__":
    main()
