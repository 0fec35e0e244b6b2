"""A trained model as it goes into the project: half precision, nothing to resume from, its SHA-256 beside it."""

import copy
from pathlib import Path

from ..errors import InputError
from ..files import atomic_write, sha256
from ..model.checkpoint import load_lifter, read_checkpoint, save_checkpoint
from ..model.open import DIGEST, WEIGHTS
from .training import CHECKPOINT

LARGEST = 8 * 2**20  # bytes


def ship(run: Path, folder: Path) -> Path:
    """Write the model of a training folder to `folder`.

    Returns:
        The file of the weights.

    Raises:
        InputError: there is no model in `run`, it carries no refinement yet, or it would be larger than 8 MB.
    """
    content = read_checkpoint(run / CHECKPOINT)
    about = content.get("about") or {}
    if "refinement" not in about:
        raise InputError(f"{run / CHECKPOINT}: carries no refinement, it was trained too little; go on with --resume")
    half = copy.deepcopy(load_lifter(run / CHECKPOINT)).half()
    size = sum(value.numel() * value.element_size() for value in half.denoiser.state_dict().values())
    if size > LARGEST:
        raise InputError(f"{run / CHECKPOINT}: {size / 2**20:.1f} MB in half precision, expected 8 at most")
    path = folder / WEIGHTS
    save_checkpoint(path, half, content["epoch"], content["lr"], about)
    with atomic_write(folder / DIGEST) as partial:
        partial.write_text(f"{sha256(path)}  {WEIGHTS}\n")
    return path
