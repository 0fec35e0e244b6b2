"""Bones: setting their lengths, and measuring them from 2D alone (METHOD 4 and 5).

Poses are (..., J, 3) metres in Human3.6M-17 order; a bone is numbered by its lower joint. Nothing here reads a target
label.
"""

from dataclasses import dataclass

import torch

from ..datasets.video import Sequence
from ..datasets.windows import split
from ..errors import InputError
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.lifter import Lifter
from .root import NEAREST_ROOT, solve_root

QUANTILE = 0.95  # of the apparent bone lengths: the frames where the bone lies nearly across the line of sight
CLIPS_MEASURED = 200
MEASURED_AT_ONCE = 32  # clips in a forward pass
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


def bone_lengths(sequences: list[Sequence]) -> torch.Tensor:
    """(J,) the mean length of every bone over labelled sequences, metres; the root's entry is 0."""
    return torch.cat([bone_vectors(s.pose).norm(dim=-1) for s in sequences]).mean(0)


def rebone(pose: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The pose with the bone lengths given, directions kept (METHOD 4).

    Args:
        pose: (..., J, 3). lengths: broadcasts to (..., J), metres, a bone is numbered by its lower joint.
    """
    found = bone_vectors(pose).norm(dim=-1)
    return scale_bones(pose, lengths / found.clamp_min(torch.finfo(pose.dtype).eps))


def apparent_bone_lengths(
    rays: torch.Tensor, pose: torch.Tensor, root: torch.Tensor, quantile: float = QUANTILE
) -> torch.Tensor:
    """Per bone a high quantile over the frames of its image length times its estimated depth, left and right pooled.

    Args:
        rays: (F, J, 2) ideal rays of the keypoints.
        pose, root: (F, J, 3) and (F, 3) metres, estimates of the pose and of the root, used for depth only.

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
            apparent.append(across * (depth[:, j] + depth[:, parents[j]]) / 2)
        lengths[joint] = torch.cat(apparent).quantile(quantile)
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


def look(
    lifter: Lifter, sequences: list[Sequence], clips: int = CLIPS_MEASURED
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a lifter sees in some sequences at its frame rate: rays (F, J, 2), poses (F, J, 3) and roots (F, 3).

    Labels are not read.

    Args:
        clips: windows to look at, spread evenly over all of them.
    """
    counts = [-(-len(s) // lifter.frames) for s in sequences]  # windows
    chosen = torch.linspace(0, sum(counts) - 1, min(clips, sum(counts))).long()
    windows, intrinsics, first = [], [], 0
    for s, count in zip(sequences, counts):
        mine = chosen[(chosen >= first) & (chosen < first + count)] - first
        windows.append(split(s.keypoints, lifter.frames)[mine])
        intrinsics.append(s.intrinsics.expand(len(mine), 9))
        first += count
    device = next(lifter.parameters()).device
    rays, poses, roots = [], [], []
    for keypoints, lens in zip(*(torch.cat(x).split(MEASURED_AT_ONCE) for x in (windows, intrinsics))):
        keypoints, lens = keypoints.to(device), lens.to(device)
        generator = torch.Generator().manual_seed(0)
        pose = lifter.sample(keypoints, 1, 1, flip=True, generator=generator, intrinsics=lens)[:, 0, 0]
        ray = undistort(keypoints, lens)
        rays.append(ray.flatten(0, 1).cpu())
        poses.append(pose.flatten(0, 1).cpu())
        roots.append(solve_root(pose, ray).flatten(0, 1).cpu())
    return torch.cat(rays), torch.cat(poses), torch.cat(roots)


def measure_bones(lifter: Lifter, sequences: list[Sequence], clips: int = CLIPS_MEASURED) -> torch.Tensor:
    """`apparent_bone_lengths` of the people in some sequences, seen through a lifter, see `look`."""
    return apparent_bone_lengths(*look(lifter, sequences, clips))


@dataclass(frozen=True)
class SourceBones:
    """What is known of the source's people, against which others are measured.

    Attributes:
        lengths: (J,) metres, from labels. apparent: (J,) metres, as `measure_bones` sees the same people.
    """

    lengths: torch.Tensor
    apparent: torch.Tensor

    @classmethod
    def measured(cls, lifter: Lifter, sequences: list[Sequence]) -> "SourceBones":
        """Of labelled sequences at the lifter's frame rate."""
        return cls(bone_lengths(sequences), measure_bones(lifter, sequences))

    def ratios(self, lifter: Lifter, sequences: list[Sequence]) -> dict[str, torch.Tensor]:
        """`bone_ratios` (J,) of every subject in some sequences, of which only the 2D is read."""
        found = {}
        for name in dict.fromkeys(s.subject for s in sequences):
            videos = [s for s in sequences if s.subject == name]
            found[name] = bone_ratios(measure_bones(lifter, videos), self.apparent)
        return found
