"""A whole video of one person lifted, every frame of it, without seams."""

from dataclasses import dataclass, replace

import torch

from ..adaptation.floor import up_of
from ..datasets.video import Video
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.inference import Sampling, lift_windows
from ..model.lifter import Lifter
from ..reprojection.bones import apparent_bone_lengths, bone_ratios, bone_vectors
from ..reprojection.lifting import spread
from ..reprojection.refinement import Refinement
from ..reprojection.root import ray_distance, solve_root

DETECTOR_NOISE = 0.005  # at unit depth: detectors and lifters mean other places by one joint's name
ODDEST_BONE = 1.3  # times the source's length, or one over it; more is a short clip's or a detector's error
ANKLE_HEIGHT = 0.039  # of a person's height (Winter, Biomechanics, 1990): what is below the lowest joint
_TRUNK = ("Spine", "Thorax", "Neck/Nose", "Head")


@dataclass(frozen=True)
class Lifted:
    """What a lifter makes of a video.

    Attributes:
        pose: (F, 17, 3) metres, camera axes, relative to the root. root: (F, 3) metres, camera axes.
        lengths: (17,) metres, the person's bones; None without a refinement.
        spread: (F, 17) metres, of the hypotheses. reprojection: (F, 17) pixels from the keypoints.
        up: (3,) unit vector against gravity, camera axes. height: metres, of the person.
    """

    pose: torch.Tensor
    root: torch.Tensor
    lengths: torch.Tensor | None
    spread: torch.Tensor
    reprojection: torch.Tensor
    up: torch.Tensor
    height: float


def blend_windows(length: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows that overlap by half, and how much each of their frames counts.

    Returns:
        (W, frames) which frames of a sequence; (W, frames) weights, largest in the middle, that sum to 1 over the
        windows for every frame; frames repeated at the end of a short sequence count once.
    """
    hop = max(frames // 2, 1)
    starts = torch.arange(0, max(length - frames, 0) + hop, hop).clamp(max=max(length - frames, 0)).unique()
    indices = starts[:, None] + torch.arange(frames)
    inside = indices < length
    ramp = torch.minimum(torch.arange(1, frames + 1), torch.arange(frames, 0, -1)).float()
    weights = ramp * inside
    indices = indices.clamp(max=length - 1)
    total = torch.zeros(length).index_add_(0, indices.flatten(), weights.flatten())
    return indices, weights / total[indices]


def lift_every_frame(
    lifter: Lifter, video: Video, rate: float, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of the hypotheses (F, 17, 3), metres, and their spread (F, 17).

    The frames between two of the lifter's are lifted as videos of their own, in turn; windows overlap and are blended.
    """
    step = min(video.step(rate), len(video))
    pose, spreads = torch.zeros(len(video), len(H36M_17.joints), 3), torch.zeros(len(video), len(H36M_17.joints))
    generator = torch.Generator().manual_seed(sampling.seed)
    for phase in range(step):
        keypoints = video.keypoints[phase::step]
        indices, weights = blend_windows(len(keypoints), lifter.frames)
        shape = (len(indices), sampling.num_proposals, *indices.shape[1:], len(H36M_17.joints), 3)
        draws = [torch.randn(shape, generator=generator) for _ in range(sampling.sampling_timesteps)]
        intrinsics = video.intrinsics.expand(len(indices), 9)
        hypotheses = lift_windows(lifter, keypoints[indices], intrinsics, sampling, draws)[:, -1]  # (W, H, T, J, 3)
        hypotheses[..., H36M_17.root_index, :] = 0
        for into, found in ((pose, hypotheses.mean(1)), (spreads, spread(hypotheses))):
            part = torch.zeros_like(into[phase::step])
            shaped = weights.reshape(*weights.shape, *[1] * (found.ndim - 2))
            into[phase::step] = part.index_add_(0, indices.flatten(), (shaped * found).flatten(0, 1))
    return pose, spreads


def smoothed(pose: torch.Tensor, step: int) -> torch.Tensor:
    """Poses (F, 17, 3) averaged over time by a raised cosine as long as `step` frames, of which the lifter sees one.

    Neighbouring frames are lifted apart from each other, see `lift_every_frame`, and their errors differ; the motion of
    the keypoints is put back by the refinement.
    """
    length = step | 1
    kernel = torch.hann_window(length + 2, periodic=False)[1:-1].to(pose)
    paths = pose.flatten(1).T[:, None]  # (51, 1, F)
    padded = torch.nn.functional.pad(paths, (length // 2, length // 2), mode="replicate")
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T.reshape(pose.shape)


def stature(lengths: torch.Tensor) -> float:
    """The height, metres, of somebody with these bones (17,): trunk, head and a leg upright, and what is below it."""
    leg = sum(lengths[H36M_17.indices(f"{side}Knee", f"{side}Foot")].sum() for side in "LR") / 2
    return ((leg + lengths[H36M_17.indices(*_TRUNK)].sum()) / (1 - ANKLE_HEIGHT)).item()


def lift_person(
    lifter: Lifter,
    video: Video,
    rate: float,
    sampling: Sampling,
    refinement: Refinement | None,
    height: float | None = None,
) -> Lifted:
    """Lift a video and place the person in front of the camera, at their size.

    Args:
        rate: the lifter's, frames a second. refinement: of the checkpoint; without one bones keep the lifter's lengths.
        height: metres, of the person; without it the size is that of the people the lifter has learnt from.
    """
    rays = undistort(video.keypoints, video.intrinsics)
    sure = video.confidence
    pose, spreads = lift_every_frame(lifter, video, rate, sampling)
    lengths = None
    if refinement is not None:
        pose = smoothed(pose, video.step(rate))
        apparent = apparent_bone_lengths(rays, pose, solve_root(pose, rays, sure), sure)
        apparent = apparent.where(apparent > 0, refinement.bones.apparent)  # out of the picture: as the source's
        ratios = bone_ratios(apparent, refinement.bones.apparent).clamp(1 / ODDEST_BONE, ODDEST_BONE)
        lengths = refinement.with_own(refinement.bones.lengths * ratios, pose)
        if height is not None:
            lengths = lengths * (height / stature(lengths))
        pose = replace(refinement, noise=max(refinement.noise, DETECTOR_NOISE))(pose, rays, lengths, sure)
        found = stature(lengths)
    else:
        found = stature(bone_vectors(pose).norm(dim=-1).median(0).values)
        if height is not None:
            pose, found = pose * (height / found), height
    root = solve_root(pose, rays, sure)
    focal = video.intrinsics[:2].mean() * video.width / 2
    reprojection = ray_distance(pose + root[:, None], rays) * focal
    return Lifted(pose, root, lengths, spreads, reprojection, up_of(pose, root, sure), found)
