"""Labelled data that looks like the target: source motion with the target's bones, place and camera (METHOD 5).

Shapes: poses (B, T, J, 3) metres relative to the root, keypoints (B, T, J, 2) normalised screen coordinates,
intrinsics (B, 9), all in Human3.6M-17 order. Nothing here takes a target label.
"""

import torch
from torch.nn import functional as F

from common.camera import project, undistort
from common.clips import Batch
from common.errors import InputError
from common.jpma import NEAREST_ROOT, solve_root
from common.lifter import Lifter
from common.sequences import Sequence
from common.skeleton import H36M_17
from common.windows import split

QUANTILE = 0.95  # of the apparent bone lengths: the frames where the bone lies nearly across the line of sight
BONE_JITTER = 0.06
SIZE_JITTER = 0.04
MEASURED_AT_ONCE = 32  # clips in a forward pass when bones are measured
LARGEST_NOISE_FACTOR = 3.0  # more than that is motion, or a source without noise
SMALLEST_BOX = 0.05  # sides summed, normalised screen coordinates; less is no person but a failed detection
TURN = 0.1  # radians, standard deviation
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
    depth = (extent * intrinsics[:, None, :2]).sum(-1, keepdim=True) / _box_size(target_keypoints)[..., None]
    depth = smooth(depth, smoothing)
    path = smooth(rays[..., H36M_17.root_index, :], smoothing)
    return torch.cat([path * depth, depth], -1)


def synthesise(
    source: Batch,
    target: Batch,
    ratios: torch.Tensor,
    noise: float,
    move: bool,
    generator: torch.Generator,
) -> Batch:
    """Source clips with the target's bones and, where the cameras differ, its places and cameras.

    The source detector's own error on a clip is added to the new keypoints, scaled with the person's image and by
    `noise`, so that the 2D stays detector-like.

    Args:
        source: labelled clips. target: as many clips; only their keypoints and intrinsics are read.
        ratios: (B, J) bone ratios of each target clip's person.
        noise: the target detector's noise over the source detector's, see `noise_factor`.
        move: take the target's position, camera and a small turn too; False keeps the source's own.
    """
    pose = scale_bones(source.pose, jitter_ratios(ratios, generator)[:, None])
    seen = project(source.pose + source.trajectory[..., None, :], source.intrinsics)
    if move:
        pose = turn(pose, generator)
        intrinsics = target.intrinsics
        trajectory = global_position(pose, target.keypoints, intrinsics, smoothing=pose.shape[1] // 3)
    else:
        intrinsics, trajectory = source.intrinsics, source.trajectory
    clean = project(pose + trajectory[..., None, :], intrinsics)
    scale = _box_size(clean) / _box_size(seen) * noise
    error = (source.keypoints - seen) * scale[..., None, None]
    return Batch(clean + error, intrinsics, pose, trajectory, source.subjects)


def _box_size(keypoints: torch.Tensor) -> torch.Tensor:
    """(..., J, 2) -> (...) the sum of the box's sides, never zero."""
    return (keypoints.amax(-2) - keypoints.amin(-2)).sum(-1).clamp_min(SMALLEST_BOX)


def turn(pose: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The clips seen from cameras turned about the person by small random angles, yaw then pitch, one per clip."""
    angles = TURN * torch.randn(2, len(pose), generator=generator, device=generator.device).to(pose)
    (cy, cp), (sy, sp) = angles.cos(), angles.sin()
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)
    yaw = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 1, 3, 3)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 1, 3, 3)
    return pose @ (pitch @ yaw).transpose(-1, -2)


def noise_level(keypoints: list[torch.Tensor]) -> float:
    """How restless keypoints are: the median, over frames and joints, of their third difference over the box's size.

    The ratio of two such numbers tells how much noisier one detector is than another on the same kind of motion.

    Args:
        keypoints: sequences (F, J, 2), normalised screen coordinates, at the same frame rate.

    Returns:
        0 where every sequence is shorter than four frames.
    """
    levels = [k.diff(n=3, dim=0).norm(dim=-1) / _box_size(k)[3:, None] for k in keypoints if len(k) > 3]
    return torch.cat([level.flatten() for level in levels]).median().item() if levels else 0.0


def noise_factor(source: list[torch.Tensor], target: list[torch.Tensor]) -> float:
    """How many times noisier the target's keypoints are than the source's, in bounds that noise can plausibly have."""
    source_level = max(noise_level(source), torch.finfo(torch.float32).eps)
    return min(noise_level(target) / source_level, LARGEST_NOISE_FACTOR)


def cameras_differ(source: torch.Tensor, target: torch.Tensor, tolerance: float = 0.02) -> bool:
    """Whether some target camera (N, 9) has a focal length or centre that no source camera (M, 9) comes near."""
    gaps = (target[:, None, :4] - source[None, :, :4]).abs().amax(-1)
    return bool((gaps.amin(1) > tolerance).any())


def measure_bones(lifter: Lifter, sequences: list[Sequence], clips: int = 200) -> torch.Tensor:
    """`apparent_bone_lengths` of the people in some sequences, seen through a lifter. Labels are not read.

    Args:
        clips: windows to look at, spread evenly over all of them.
    """
    windows = torch.cat([split(s.keypoints, lifter.frames) for s in sequences])
    intrinsics = torch.cat([s.intrinsics.expand(-(-len(s) // lifter.frames), 9) for s in sequences])
    chosen = torch.linspace(0, len(windows) - 1, min(clips, len(windows))).long()
    device = next(lifter.parameters()).device
    rays, poses, roots = [], [], []
    for part in chosen.split(MEASURED_AT_ONCE):
        keypoints = windows[part].to(device)
        generator = torch.Generator().manual_seed(0)
        pose = lifter.sample(keypoints, 1, 1, flip=True, generator=generator)[:, 0, 0]
        ray = undistort(keypoints, intrinsics[part].to(device))
        rays.append(ray.flatten(0, 1).cpu())
        poses.append(pose.flatten(0, 1).cpu())
        roots.append(solve_root(pose, ray).flatten(0, 1).cpu())
    return apparent_bone_lengths(torch.cat(rays), torch.cat(poses), torch.cat(roots))
