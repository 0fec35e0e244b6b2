"""Which way is up in a video, from the predicted people alone: along their bodies, and across the floor they tread."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional as F

from ..datasets.video import Video
from ..geometry.skeleton import H36M_17
from ..model.lifter import Lifter
from ..reprojection.bones import apparent_bone_lengths, bone_ratios, lift_some
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root

TILT = 0.2  # radians, how far the mean body may lean from the vertical, standard deviation
STEP_HEIGHT = 0.08  # metres, how far the lower foot's predicted place is off the floor, standard deviation
INDEPENDENT = 200  # frames at most that tell something of their own
LIFTED, SUNK = 0.05, 0.15  # metres above and below the floor where a foot counts half; feet lift, floors do not
ROUNDS = 10


def floor_normal(feet: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
    """The normal of the floor under feet, by ridge regression of their heights on their places, re-weighted.

    Args:
        feet: (F, 3) metres, camera axes, the lower foot of every frame. guess: (3,) unit vector, about upwards.

    Returns:
        (3,) unit vector; the guess itself where the feet stay in one place.
    """
    side = F.normalize(torch.linalg.cross(guess, guess.new_tensor([0, 0, 1])), dim=0)
    axes = torch.stack([guess, side, torch.linalg.cross(side, guess)])
    height, *place = (feet @ axes.T).unbind(1)
    design = torch.stack([torch.ones_like(height), *(x - x.mean() for x in place)], 1)  # (F, 3)
    prior = torch.diag(guess.new_tensor([0, TILT**-2, TILT**-2]))
    weights = torch.ones_like(height)
    for _ in range(ROUNDS):
        scaled = weights / STEP_HEIGHT**2 * min(1, INDEPENDENT / weights.sum().item())
        slope = torch.linalg.solve(design.T @ (scaled[:, None] * design) + prior, design.T @ (scaled * height))
        above = height - design @ slope
        weights = 1 / (1 + (above / torch.where(above > 0, LIFTED, SUNK)) ** 2)
    return F.normalize(axes[0] - slope[1] * axes[1] - slope[2] * axes[2], dim=0)


def mean_upright(pose: torch.Tensor) -> torch.Tensor:
    """(F, J, 3) -> (3,) unit vector: the median direction from hips to thorax."""
    hip, thorax = H36M_17.indices("Hip", "Thorax")
    bodies = F.normalize(pose[:, thorax] - pose[:, hip], dim=-1)
    return F.normalize(bodies.median(0).values, dim=0)


def find_up(lifter: Lifter, videos: Sequence[Video], refinement: Refinement) -> torch.Tensor:
    """Up (3,), camera axes, in videos of one person by one camera that stands still. Labels are not read.

    Args:
        videos: at the lifter's frame rate. refinement: sets the person's bones; depths need them.
    """
    seen = lift_some(lifter, videos)
    bones = refinement.bones
    ratios = bone_ratios(apparent_bone_lengths(*seen), bones.apparent)
    pose = refinement(seen.pose, seen.rays, bones.lengths * ratios, seen.confidence)
    return up_of(pose, solve_root(pose, seen.rays, seen.confidence), seen.confidence)


def up_of(pose: torch.Tensor, root: torch.Tensor, confidence: torch.Tensor | None = None) -> torch.Tensor:
    """Up (3,), camera axes, from one person's poses (F, J, 3) about their roots (F, 3), metres.

    Args:
        confidence: (F, J); frames in which a foot was not seen tell nothing of the floor.
    """
    up = mean_upright(pose)
    both = H36M_17.indices("RFoot", "LFoot")
    feet = (pose + root[:, None])[:, both]  # (F, 2, 3)
    if confidence is not None and (visible := (confidence[:, both] > 0).all(1)).any():
        feet = feet[visible]
    lower = (feet @ up).argmin(1)
    return floor_normal(feet[torch.arange(len(feet)), lower], up)


def with_up(lifter: Lifter, videos: Sequence[Video], rate: float, refinement: Refinement) -> list[Video]:
    """The videos, each with the direction `find_up` finds in all videos of its person and camera.

    Args:
        rate: the lifter's, frames a second.
    """
    found: dict[tuple[str, str], torch.Tensor] = {}
    for v in videos:
        key = (v.subject, v.camera)
        if key not in found:
            alike = [o.at_rate(rate) for o in videos if (o.subject, o.camera) == key]
            found[key] = find_up(lifter, alike, refinement)
    return [replace(v, up=found[v.subject, v.camera]) for v in videos]
