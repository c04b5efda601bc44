"""Trainer of verdictd's small quantized models; `python -m train --help`."""
