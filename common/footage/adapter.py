"""What an adaptation has changed in a lifter, as a small file that goes with the checkpoint it began from."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import atomic_write, writing
from ..model.checkpoint import plain_weights, read_plain, weights_hash
from ..model.lifter import Lifter
from ..reprojection.refinement import Refinement

KIND = "PoSynDA adapter"


@dataclass(frozen=True)
class KnownPerson:
    """Whom an adapted lifter knows: how their poses are refined, and their bones (17,), metres."""

    refinement: Refinement
    lengths: torch.Tensor


def save_adapter(path: Path, base: Lifter, adapted: Lifter, person: KnownPerson, about: dict[str, Any]) -> None:
    """Write the difference of two lifters, in half precision, and what is known of the person.

    Args:
        about: plain values that say what it was adapted to.

    Raises:
        InputError: the file cannot be written.
    """
    before, after = plain_weights(base.denoiser), plain_weights(adapted.denoiser)
    changes = {name: (after[name] - value).half() for name, value in before.items() if not after[name].equal(value)}
    content = {
        "kind": KIND, "base": weights_hash(base), "changes": changes, "refinement": person.refinement.to_dict(),
        "lengths": person.lengths.tolist(), "about": about,
    }  # fmt: skip
    try:
        with writing(path), atomic_write(path) as partial:
            torch.save(content, partial)
    except RuntimeError as error:  # so torch says that the disk is full
        raise InputError(f"{path}: cannot be written ({str(error).splitlines()[0]}); make room") from error


def load_adapter(path: Path, base: Lifter) -> tuple[Lifter, KnownPerson]:
    """The adapted lifter and its person.

    Args:
        base: what it was adapted from.

    Raises:
        InputError: no adapter, a damaged one, or one of another lifter.
    """
    content = read_plain(path, "adapter")
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InputError(f"{path}: expected an adapter, as lift.py --adapt writes it, found something else")
    if content.get("base") != weights_hash(base):
        raise InputError(f"{path}: belongs to another checkpoint; give the one it was made with by -m")
    lifter = copy.deepcopy(base)
    weights = lifter.denoiser.state_dict()
    changes = content.get("changes")
    if not isinstance(changes, dict):
        raise InputError(f"{path}: holds no changes of weights; adapt again")
    for name, change in changes.items():
        fits = isinstance(change, torch.Tensor) and name in weights and change.shape == weights[name].shape
        if not fits or not change.is_floating_point() or not change.isfinite().all():
            raise InputError(f"{path}: its change of {str(name)[:80]!r} does not fit the checkpoint; adapt again")
        weights[name] = weights[name] + change.float()
    lifter.denoiser.load_state_dict(weights)
    refinement = Refinement.from_dict(content.get("refinement") or {}, str(path))
    try:
        lengths = torch.tensor(content["lengths"], dtype=torch.float32)
    except (KeyError, TypeError, ValueError, RuntimeError):
        lengths = torch.tensor(0.0)
    sound = lengths.isfinite().all() and (lengths[1:] > 0).all() if lengths.ndim else False
    if lengths.shape != refinement.bones.lengths.shape or not sound:
        raise InputError(f"{path}: holds no bone lengths of a person; adapt again")
    return lifter.eval(), KnownPerson(refinement, lengths)
