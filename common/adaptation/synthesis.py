"""Labelled data that looks like the target: source motion with the target's bones, place and camera (METHOD 5).

Shapes: poses (B, T, J, 3) metres relative to the root, keypoints (B, T, J, 2) normalised screen coordinates,
intrinsics (B, 9), all in Human3.6M-17 order. Nothing here takes a target label.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..datasets.clips import Batch, LabelledBatch
from ..geometry.camera import project, rotation_about, rotation_between, undistort
from ..geometry.skeleton import H36M_17
from ..reprojection.bones import scale_bones
from ..reprojection.keypoint_noise import box_size

BONE_JITTER = 0.06
SIZE_JITTER = 0.04
PITCH = 0.1  # radians, standard deviation


def jitter_ratios(ratios: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Ratios (B, J) varied by +-6 % per bone, left and right alike, and +-4 % overall."""

    def uniform(*shape: int) -> torch.Tensor:
        return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1).to(ratios)

    pooled = [min(joint, twin) for joint, twin in enumerate(H36M_17.mirrored)]  # left and right share a draw
    bone = uniform(*ratios.shape)[:, pooled]
    return ratios * (1 + BONE_JITTER * bone) * (1 + SIZE_JITTER * uniform(len(ratios), 1))


def smooth(path: torch.Tensor, width: int) -> torch.Tensor:
    """A moving average over the frames of (B, T, D), ends repeated; `width` frames, made odd."""
    half = width // 2
    if half == 0:
        return path
    padded = F.pad(path.transpose(1, 2), (half, half), mode="replicate")
    return F.avg_pool1d(padded, 2 * half + 1, stride=1).transpose(1, 2)


def global_position(
    pose: torch.Tensor, target_keypoints: torch.Tensor, intrinsics: torch.Tensor, smoothing: int = 1
) -> torch.Tensor:
    """Where a source person must stand to fill the target person's 2D box (PoseDA, ICCV 2023, section 3.2).

    The depth is z = (fx dx + fy dy) / (w + h), with the box (w, h) of the target's keypoints and the extents
    (dx, dy) of the source pose; the root lies on the ray through the target's root keypoint.

    Args:
        pose: (B, T, J, 3). target_keypoints: (B, T, J, 2). intrinsics: (B, 9) of the target's camera.
        smoothing: frames over which depth and path are averaged, 1 for none.

    Returns:
        (B, T, 3) the source's root, metres.
    """
    rays = undistort(target_keypoints, intrinsics)
    extent = (pose.amax(-2) - pose.amin(-2))[..., :2]
    depth = (extent * intrinsics[:, None, :2]).sum(-1, keepdim=True) / box_size(target_keypoints)[..., None]
    depth = smooth(depth, smoothing)
    path = smooth(rays[..., H36M_17.root_index, :], smoothing)
    return torch.cat([path * depth, depth], -1)


@dataclass(frozen=True)
class Synthesis:
    """How source clips are made to look like the target, see `synthesise`.

    Attributes:
        noise: the target detector's noise over the source detector's, see `KeypointNoise`.
        move: take the target's position and camera, and tilt the scene so that its floor lies as the target's does,
            give or take a little; False keeps the source's own.
        yaw: radians; the person is seen from up to so far to either side. 0 keeps the source's view.
    """

    noise: float
    move: bool
    yaw: float = math.pi


def synthesise(
    source: LabelledBatch, target: Batch, ratios: torch.Tensor, how: Synthesis, generator: torch.Generator
) -> LabelledBatch:
    """Source clips with the target's bones, seen from other sides, and, where cameras differ, from the target's.

    The source detector's own error on a clip is added to the new keypoints, scaled with the person's image and by
    the noise factor, so that the 2D stays detector-like.

    Args:
        source: labelled clips that know which way is up. target: as many clips; only their keypoints and intrinsics
            are read.
        ratios: (B, J) bone ratios of each target clip's person.

    Raises:
        ValueError: the source does not know which way is up.
    """
    if source.up is None:
        raise ValueError("source clips must know which way is up")
    pose = scale_bones(source.pose, jitter_ratios(ratios, generator)[:, None])
    seen = project(source.pose + source.trajectory[..., None, :], source.intrinsics)
    tilted = target.up if how.move and target.up is not None else source.up
    rotation = view_rotations(source.up, tilted, how.yaw, PITCH if how.move else 0.0, generator)
    rotation = rotation[:, None]  # (B, 1, 3, 3)
    pose = pose @ rotation.mT
    if how.move:
        intrinsics = target.intrinsics
        trajectory = global_position(pose, target.keypoints, intrinsics, smoothing=pose.shape[1] // 3)
    else:
        centre = source.trajectory.mean(1, keepdim=True)
        intrinsics, trajectory = source.intrinsics, (source.trajectory - centre) @ rotation[:, 0].mT + centre
    clean = project(pose + trajectory[..., None, :], intrinsics)
    scale = box_size(clean) / box_size(seen) * how.noise
    error = (source.keypoints - seen) * scale[..., None, None]
    if source.confidence is not None:
        error = error * (source.confidence[..., None] > 0)  # where there is no keypoint there is no error of it
    up = (source.up[:, None] @ rotation[:, 0].mT)[:, 0]
    return LabelledBatch(
        keypoints=clean + error,
        intrinsics=intrinsics,
        subjects=source.subjects,
        up=up,
        pose=pose,
        trajectory=trajectory,
    )


def view_rotations(
    up: torch.Tensor, new_up: torch.Tensor, yaw: float, pitch: float, generator: torch.Generator
) -> torch.Tensor:
    """Random rotations (B, 3, 3) of a scene as if its camera went round it, and then was tilted.

    Args:
        up, new_up: (B, 3) unit vectors against gravity, camera axes, before and after.
        yaw: radians about the vertical, uniform up to this to either side. pitch: radians by which the tilt misses
            `new_up`, standard deviation.
    """
    draws = torch.rand(len(up), generator=generator, device=generator.device).to(up)
    tilts = torch.randn(len(up), generator=generator, device=generator.device).to(up)
    across = F.normalize(torch.linalg.cross(new_up, new_up.new_tensor([0, 0, 1]).expand_as(new_up)), dim=-1)
    turned = rotation_between(up, new_up) @ rotation_about(up, yaw * (2 * draws - 1))
    return rotation_about(across, pitch * tilts) @ turned


def cameras_differ(source: torch.Tensor, target: torch.Tensor, tolerance: float = 0.02) -> bool:
    """Whether some target camera (N, 9) has a focal length or centre that no source camera (M, 9) comes near."""
    gaps = (target[:, None, :4] - source[None, :, :4]).abs().amax(-1)
    return bool((gaps.amin(1) > tolerance).any())
