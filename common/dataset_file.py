"""What the readers of both data sets ask of any file."""

from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.npz import read_plain, read_text


def read_label(path: Path, unlabelled: str) -> tuple[str, bool]:
    """A file's `provenance` entry, `unlabelled` where it has none, and whether its `synthetic` entry says yes."""
    provenance, synthetic = read_text(path, "provenance"), read_plain(path, "synthetic")
    if synthetic is not None and (synthetic.shape != () or synthetic.dtype != bool):
        raise InputError(f"{path}: entry 'synthetic' is an array of {synthetic.dtype}, expected one bool")
    return unlabelled if provenance is None else " ".join(provenance.split()), bool(synthetic)


def kind(value: Any) -> str:
    """What a value is, for an error message."""
    return f"an array of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
