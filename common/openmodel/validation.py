"""How well the open model lifts people it has never seen, from exact keypoints and from a detector's."""

from dataclasses import dataclass, fields

import torch

from ..datasets.clips import LabelledBatch
from ..datasets.video import LabelledVideo
from ..errors import InputError
from ..evaluation.metrics import joint_errors, procrustes
from ..footage.lifting import person_bones
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.inference import Sampling, lift_windows
from ..model.lifter import Lifter
from ..reprojection.bones import SourceBones
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root
from .clips import Recipe, one_batch
from .motion import Motion

CLIPS = 256
# What is the same in everybody's videos, and what only makes more of little motion.
EXACT = Recipe.without([field.name for field in fields(Recipe)])
DETECTED = Recipe.without(["exchange", "turns", "bodies"])
REFINED_FROM = Recipe.without(["exchange", "turns", "bodies", "missing", "swaps", "truncation", "focal"])
KEYPOINT_NOISE = 0.005  # at unit depth, of the refinement that is stored
OWN_BONES = 0.5  # see `Refinement.own`; of 0, 0.5 and 1 the best on people held out
LIMBS = H36M_17.indices(
    *(side + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Foot") for side in "LR")
)


@dataclass(frozen=True)
class Errors:
    """Millimetres, over the twelve joints of the limbs, relative to the root; `aligned` is P-MPJPE."""

    mpjpe: float
    aligned: float

    @classmethod
    def of(cls, found: torch.Tensor, true: torch.Tensor) -> "Errors":
        """Of poses (..., 17, 3), metres."""
        found, true = found[..., LIMBS, :], true[..., LIMBS, :]
        plain, fitted = joint_errors(found, true).mean(), joint_errors(procrustes(found, true), true).mean()
        return cls(1000 * plain.item(), 1000 * fitted.item())

    def __str__(self) -> str:
        return f"{self.mpjpe:.1f} / {self.aligned:.1f}"


@dataclass(frozen=True)
class ValidationSet:
    """The same clips every time: of people held out, before random cameras."""

    exact: LabelledBatch
    detected: LabelledBatch

    @classmethod
    def of(cls, motion: Motion, frames: int, rate: float, seed: int, count: int = CLIPS) -> "ValidationSet":
        generator = torch.Generator().manual_seed(seed)
        return cls(*(one_batch(motion, frames, rate, how, count, generator) for how in (EXACT, DETECTED)))

    def errors(self, lifter: Lifter, refinement: Refinement | None = None) -> dict[str, Errors]:
        """Of "exact" and "detected" keypoints, and refined clip by clip where there is a refinement."""
        found = {}
        for name, batch in (("exact", self.exact), ("detected", self.detected)):
            pose = lifted(lifter, batch)
            found[name] = Errors.of(pose, batch.pose)
            if refinement is not None:
                found[f"{name} refined"] = Errors.of(refined(pose, batch, refinement), batch.pose)
        return found


def lifted(lifter: Lifter, batch: LabelledBatch) -> torch.Tensor:
    """The mean of one hypothesis and its mirror image's (B, T, 17, 3), metres."""
    draws = torch.randn(len(batch), 1, *batch.pose.shape[1:], generator=torch.Generator().manual_seed(0))
    found = lift_windows(lifter, batch.keypoints, batch.intrinsics, Sampling(1, 1), [draws])[:, -1, 0]
    found[..., H36M_17.root_index, :] = 0
    return found


def refined(pose: torch.Tensor, batch: LabelledBatch, refinement: Refinement) -> torch.Tensor:
    """Each clip refined as a video of its own."""
    rays, sure = undistort(batch.keypoints, batch.intrinsics), batch.weights()
    root = solve_root(pose, rays, sure)
    lengths = [person_bones(refinement, *clip) for clip in zip(rays, pose, root, sure)]
    return refinement(pose, rays, torch.stack(lengths)[:, None], sure)


def as_videos(batch: LabelledBatch, rate: float) -> list[LabelledVideo]:
    """Every clip as a video at `rate` frames a second."""
    return [
        LabelledVideo(
            subject="", action=str(number), camera="", keypoints=batch.keypoints[number],
            intrinsics=batch.intrinsics[number], width=1000, height=1000, fps=rate,
            pose=batch.pose[number], trajectory=batch.trajectory[number],
        )
        for number in range(len(batch))
    ]  # fmt: skip


def measured_refinement(lifter: Lifter, motion: Motion, rate: float, seed: int) -> Refinement | None:
    """The refinement that goes with a lifter: its people's bones as they are and as the lifter sees them.

    None where the lifter is still too poor to measure bones with.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = one_batch(motion, lifter.frames, rate, REFINED_FROM, CLIPS, generator)
    try:
        return Refinement(SourceBones.measure(lifter, as_videos(batch, rate)), KEYPOINT_NOISE, "limits", OWN_BONES)
    except InputError:
        return None
