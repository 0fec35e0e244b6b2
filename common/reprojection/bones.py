"""Bones: setting their lengths, and measuring them from 2D alone (METHOD 4 and 5).

Poses are (..., J, 3) metres in Human3.6M-17 order; a bone is numbered by its lower joint. Nothing here reads a target
label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..datasets.video import LabelledVideo, Video
from ..datasets.windows import split
from ..errors import InputError
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.inference import BATCH_SIZE, Sampling, lift_windows
from ..model.lifter import Lifter
from .root import NEAREST_ROOT, solve_root

QUANTILE = 0.95  # of the apparent bone lengths: the frames where the bone lies nearly across the line of sight
CLIPS_MEASURED = 200
_LEGS = ("RKnee", "RFoot", "LKnee", "LFoot")


def bone_vectors(pose: torch.Tensor) -> torch.Tensor:
    """(..., J, 3) -> (..., J, 3): every joint minus its parent; the root keeps its own position."""
    bones = pose.clone()
    for joint, parent in enumerate(H36M_17.parents):
        if parent >= 0:
            bones[..., joint, :] = pose[..., joint, :] - pose[..., parent, :]
    return bones


def scale_bones(pose: torch.Tensor, ratios: torch.Tensor) -> torch.Tensor:
    """The pose with every bone's length multiplied by its ratio, directions kept.

    Args:
        pose: (..., J, 3).
        ratios: broadcasts to (..., J), a bone is numbered by its lower joint; the root's entry is not used.
    """
    bones = bone_vectors(pose)
    joints = [bones[..., 0, :]]
    for joint, parent in enumerate(H36M_17.parents[1:], start=1):
        joints.append(joints[parent] + bones[..., joint, :] * ratios[..., joint, None])
    return torch.stack(joints, -2)


def bone_lengths(videos: Sequence[LabelledVideo]) -> torch.Tensor:
    """(J,) the mean length of every bone over labelled videos, metres; the root's entry is 0."""
    return torch.cat([bone_vectors(v.pose).norm(dim=-1) for v in videos]).mean(0)


def rebone(pose: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The pose with the bone lengths given, directions kept (METHOD 4).

    Args:
        pose: (..., J, 3). lengths: broadcasts to (..., J), metres, a bone is numbered by its lower joint.
    """
    found = bone_vectors(pose).norm(dim=-1)
    return scale_bones(pose, lengths / found.clamp_min(torch.finfo(pose.dtype).eps))


class Seen(NamedTuple):
    """What a lifter sees in some frames: ideal rays (F, J, 2) of the keypoints, poses (F, J, 3) relative to the root,
    roots (F, 3), metres, and the keypoints' confidence (F, J), None where no video has one."""

    rays: torch.Tensor
    pose: torch.Tensor
    root: torch.Tensor
    confidence: torch.Tensor | None = None


def apparent_bone_lengths(
    rays: torch.Tensor,
    pose: torch.Tensor,
    root: torch.Tensor,
    confidence: torch.Tensor | None = None,
    quantile: float = QUANTILE,
) -> torch.Tensor:
    """Per bone a high quantile over the frames of its image length times its estimated depth, left and right pooled.

    Args:
        rays: (F, J, 2) ideal rays of the keypoints.
        pose, root: (F, J, 3) and (F, 3) metres, estimates of the pose and of the root, used for depth only.
        confidence: (F, J); frames in which an end of the bone was not seen do not count.

    Returns:
        (J,) metres; the root's entry is 1.
    """
    depth = (pose[..., 2] + root[..., None, 2]).clamp_min(NEAREST_ROOT)  # (F, J)
    parents = H36M_17.parents
    lengths = torch.ones(len(parents), dtype=rays.dtype, device=rays.device)
    for joint, twin in enumerate(H36M_17.mirrored):
        if parents[joint] < 0:
            continue
        apparent = []
        for j in {joint, twin}:
            across = (rays[:, j] - rays[:, parents[j]]).norm(dim=-1)
            length = across * (depth[:, j] + depth[:, parents[j]]) / 2
            apparent.append(length if confidence is None else length[(confidence[:, [j, parents[j]]] > 0).all(1)])
        every = torch.cat(apparent)
        lengths[joint] = every.quantile(quantile) if len(every) else 0
    return lengths


def bone_ratios(target_lengths: torch.Tensor, source_lengths: torch.Tensor) -> torch.Tensor:
    """Target over source, per bone, such that the legs keep their mean length: overall size cannot be seen in 2D.

    Args:
        target_lengths, source_lengths: (J,) from `apparent_bone_lengths`, both estimated in the same way.

    Raises:
        InputError: a bone has no length, which happens when nearly all frames hold no person.
    """
    unseen = (torch.minimum(target_lengths, source_lengths) <= 0).nonzero().flatten().tolist()
    if unseen:
        names = ", ".join(H36M_17.joints[joint] for joint in unseen)
        raise InputError(
            f"2D keypoints: the bones to {names} have no length in nearly all frames of a subject; expected a visible "
            "person; look at the detector's output, or leave the subject out"
        )
    legs = H36M_17.indices(*_LEGS)
    anchor = source_lengths[legs].sum() / target_lengths[legs].sum()
    ratios = target_lengths / source_lengths * anchor
    ratios[H36M_17.root_index] = 1
    return ratios


def measure_bones(lifter: Lifter, videos: Sequence[Video], clips: int = CLIPS_MEASURED) -> torch.Tensor:
    """`apparent_bone_lengths` of the people in some videos, seen through a lifter. Labels are not read."""
    return apparent_bone_lengths(*lift_some(lifter, videos, clips))


def lift_some(lifter: Lifter, videos: Sequence[Video], clips: int = CLIPS_MEASURED) -> Seen:
    """What a lifter sees in some videos at its frame rate.

    Labels are not read; every batch is given the same draw.

    Args:
        clips: windows that are lifted, spread evenly over all of them.
    """
    counts = [-(-len(v) // lifter.frames) for v in videos]  # windows
    chosen = torch.linspace(0, sum(counts) - 1, min(clips, sum(counts))).long()
    parts, lenses, sure, first = [], [], [], 0
    for v, count in zip(videos, counts):
        mine = chosen[(chosen >= first) & (chosen < first + count)] - first
        parts.append(split(v.keypoints, lifter.frames)[mine])
        known = torch.ones_like(v.keypoints[..., 0]) if v.confidence is None else v.confidence
        sure.append(split(known, lifter.frames)[mine])
        lenses.append(v.intrinsics.expand(len(mine), 9))
        first += count
    windows, intrinsics = torch.cat(parts), torch.cat(lenses)
    noise = torch.cat([
        torch.randn(len(batch), 1, *batch.shape[1:3], 3, generator=torch.Generator().manual_seed(0))
        for batch in windows.split(BATCH_SIZE)
    ])  # fmt: skip
    pose = lift_windows(lifter, windows, intrinsics, Sampling(1, 1), [noise])[:, 0, 0]  # (W, T, J, 3)
    rays = undistort(windows, intrinsics)
    confidence = torch.cat(sure) if any(v.confidence is not None for v in videos) else None  # (W, T, J)
    root = solve_root(pose, rays, confidence)
    flat = None if confidence is None else confidence.flatten(0, 1)
    return Seen(rays.flatten(0, 1), pose.flatten(0, 1), root.flatten(0, 1), flat)


@dataclass(frozen=True)
class SourceBones:
    """What is known of the source's people, against which others are measured.

    Attributes:
        lengths: (J,) metres, from labels. apparent: (J,) metres, as `measure_bones` sees the same people.
    """

    lengths: torch.Tensor
    apparent: torch.Tensor

    @classmethod
    def measure(cls, lifter: Lifter, videos: Sequence[LabelledVideo]) -> "SourceBones":
        """Of labelled videos at the lifter's frame rate."""
        return cls(bone_lengths(videos), measure_bones(lifter, videos))

    def ratios(self, lifter: Lifter, videos: Sequence[Video]) -> dict[str, torch.Tensor]:
        """`bone_ratios` (J,) of every subject in some videos, of which only the 2D is read."""
        found = {}
        for name in dict.fromkeys(v.subject for v in videos):
            mine = [v for v in videos if v.subject == name]
            found[name] = bone_ratios(measure_bones(lifter, mine), self.apparent)
        return found
