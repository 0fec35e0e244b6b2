"""Motion nobody has made: the people of `tests/bodies.py` upright in a world whose z points up."""

import torch
from bodies import poses

from common.openmodel.motion import Motion, Take


def upright(clips: int, frames: int, seed: int = 0, swing: float = 0.3) -> torch.Tensor:
    """(clips, frames, 17, 3) float32 metres, z up, facing -y, the hips 0.9 m above the floor."""
    x, y, z = poses(clips, frames, seed, swing).float().unbind(-1)
    return torch.stack([x, z, 0.9 - y], -1)


def some_motion(takes: int = 4, frames: int = 150, seed: int = 0) -> Motion:
    return Motion.of([Take("anna", f"{i}", take) for i, take in enumerate(upright(takes, frames, seed))])
