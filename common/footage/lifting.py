"""A whole video of one person lifted, every frame of it, without seams."""

from dataclasses import dataclass, replace

import torch

from ..adaptation.floor import up_of
from ..adaptation.synthesis import smooth
from ..datasets.video import Video
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.inference import Sampling, lift_windows
from ..model.lifter import Lifter
from ..reprojection.bones import apparent_bone_lengths, bone_ratios, bone_vectors
from ..reprojection.lifting import spread
from ..reprojection.refinement import Refinement
from ..reprojection.root import ray_distance, solve_root
from .smoothing import one_euro

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
        hypotheses: (F, H, 17, 3) float16 metres, as `pose`, before refining but in the person's size; where kept.
        moved: metres, by how much refining has moved a joint, mean: a lifter at its wits' end is moved far.
    """

    pose: torch.Tensor
    root: torch.Tensor
    lengths: torch.Tensor | None
    spread: torch.Tensor
    reprojection: torch.Tensor
    up: torch.Tensor
    height: float
    hypotheses: torch.Tensor | None = None
    moved: float = 0.0


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
    lifter: Lifter, video: Video, rate: float, sampling: Sampling, keep: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean of the hypotheses (F, 17, 3), metres, their spread (F, 17), and the first `keep` of them, float16.

    The frames between two of the lifter's are lifted as videos of their own, in turn; windows overlap and are blended.
    """
    step = min(video.step(rate), len(video))
    joints, keep = len(H36M_17.joints), min(keep, sampling.num_proposals)
    pose, spreads = torch.zeros(len(video), joints, 3), torch.zeros(len(video), joints)
    kept = torch.zeros(len(video), keep, joints, 3, dtype=torch.float16)  # half a millimetre at 1 m
    generator = torch.Generator().manual_seed(sampling.seed)
    for phase in range(step):
        keypoints = video.keypoints[phase::step]
        indices, weights = blend_windows(len(keypoints), lifter.frames)
        shape = (len(indices), sampling.num_proposals, *indices.shape[1:], len(H36M_17.joints), 3)
        draws = [torch.randn(shape, generator=generator) for _ in range(sampling.sampling_timesteps)]
        intrinsics = video.intrinsics.expand(len(indices), 9)
        hypotheses = lift_windows(lifter, keypoints[indices], intrinsics, sampling, draws)[:, -1]  # (W, H, T, J, 3)
        hypotheses[..., H36M_17.root_index, :] = 0
        first = hypotheses[:, :keep].transpose(1, 2)  # (W, T, keep, J, 3)
        for into, found in ((pose, hypotheses.mean(1)), (spreads, spread(hypotheses)), (kept, first)):
            part = torch.zeros_like(into[phase::step], dtype=torch.float32)
            shaped = weights.reshape(*weights.shape, *[1] * (found.ndim - 2))
            into[phase::step] = part.index_add_(0, indices.flatten(), (shaped * found).flatten(0, 1))
    return pose, spreads, kept


def stature(lengths: torch.Tensor) -> float:
    """The height, metres, of somebody with these bones (17,): trunk, head and a leg upright, and what is below it."""
    leg = sum(lengths[H36M_17.indices(f"{side}Knee", f"{side}Foot")].sum() for side in "LR") / 2
    return ((leg + lengths[H36M_17.indices(*_TRUNK)].sum()) / (1 - ANKLE_HEIGHT)).item()


def for_detectors(refinement: Refinement) -> Refinement:
    """The same refinement, for keypoints that are at least as noisy as detectors'."""
    return replace(refinement, noise=max(refinement.noise, DETECTOR_NOISE))


def person_bones(
    refinement: Refinement,
    rays: torch.Tensor,
    pose: torch.Tensor,
    root: torch.Tensor,
    confidence: torch.Tensor | None,
) -> torch.Tensor:
    """A person's bones (17,), metres, from their 2D, see `apparent_bone_lengths`, and from the lifter's own poses.

    Odd ones in the 2D are kept near the source's; a bone that is never seen is the source's.
    """
    apparent = apparent_bone_lengths(rays, pose, root, confidence)
    apparent = apparent.where(apparent > 0, refinement.bones.apparent)  # out of the picture: as the source's
    ratios = bone_ratios(apparent, refinement.bones.apparent).clamp(1 / ODDEST_BONE, ODDEST_BONE)
    return refinement.with_own(refinement.bones.lengths * ratios, pose)


def lift_person(
    lifter: Lifter,
    video: Video,
    rate: float,
    sampling: Sampling,
    refinement: Refinement | None,
    height: float | None = None,
    smoothed: bool = False,
    keep: int = 0,
    lengths: torch.Tensor | None = None,
) -> Lifted:
    """Lift a video and place the person in front of the camera, at their size.

    Args:
        rate: the lifter's, frames a second. refinement: of the checkpoint; without one bones keep the lifter's lengths.
        height: metres, of the person; without it the size is that of the people the lifter has learnt from.
        smoothed: by `one_euro`, joints about the root and the root's path. keep: hypotheses to return.
        lengths: (17,) metres, of the person's bones, where they are known; a refinement measures them otherwise.
    """
    rays = undistort(video.keypoints, video.intrinsics)
    sure = video.confidence
    pose, spreads, kept = lift_every_frame(lifter, video, rate, sampling, keep)
    step = min(video.step(rate), len(video))
    if keep:
        kept = smooth(kept.float().flatten(1)[None], step)[0].unflatten(1, kept.shape[1:]).half()
    pose = smooth(pose.flatten(1)[None], step)[0].unflatten(1, pose.shape[1:])  # what the videos in turn disagree in
    seen = stature(bone_vectors(pose).norm(dim=-1).median(0).values)  # of the lifter's own result
    own = pose
    if refinement is not None:
        if lengths is None:
            lengths = person_bones(refinement, rays, pose, solve_root(pose, rays, sure), sure)
        if height is not None:
            lengths = lengths * (height / stature(lengths))
        pose = for_detectors(refinement)(pose, rays, lengths, sure)
        found = stature(lengths)
    else:
        found = seen if height is None else height
        pose = pose * (found / seen)
    moved = (pose - own * (found / seen)).norm(dim=-1).mean().item()
    root = solve_root(pose, rays, sure)
    if smoothed:
        pose, root = (torch.from_numpy(one_euro(x.double().numpy(), video.fps)).to(x) for x in (pose, root[:, None]))
        root = root[:, 0]
    focal = video.intrinsics[:2].mean() * video.width / 2
    reprojection = ray_distance(pose + root[:, None], rays) * focal
    kept, spreads = kept * (found / seen), spreads * (found / seen)
    up, hypotheses = up_of(pose, root, sure), kept if keep else None
    return Lifted(pose, root, lengths, spreads, reprojection, up, found, hypotheses, moved)
