"""Label-free criteria for which epoch of an adaptation to keep. Lower is better for every one of them.

How well each ranks epochs is measured by `benchmarks/epochs.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..datasets.video import Video
from ..datasets.windows import stitch
from ..geometry.camera import mirror_intrinsics, undistort
from ..geometry.skeleton import mirror
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import Lifter
from ..reprojection.bones import bone_vectors
from ..reprojection.jpma import aggregate
from ..reprojection.root import ray_distance


def reprojection(lifter: Lifter, videos: Sequence[Video], sampling: Sampling) -> float:
    """Mean distance of J-Agg's joints from their rays, at unit depth, with the estimated root."""

    def of(video: Video, hypotheses: torch.Tensor) -> torch.Tensor:
        poses, root = aggregate(hypotheses, video.unlabelled(), "estimated")
        distance = ray_distance(poses["J_Agg"] + root[:, None], undistort(video.keypoints, video.intrinsics))
        return distance if video.confidence is None else distance * (video.confidence > 0)

    return _mean(lifter, videos, sampling, of)


def hypotheses_disagree(lifter: Lifter, videos: Sequence[Video], sampling: Sampling) -> float:
    """Mean distance of the hypotheses from their mean, metres."""

    def of(video: Video, hypotheses: torch.Tensor) -> torch.Tensor:
        return (hypotheses - hypotheses.mean(1, keepdim=True)).norm(dim=-1)

    return _mean(lifter, videos, sampling, of)


def flips_disagree(lifter: Lifter, videos: Sequence[Video], sampling: Sampling) -> float:
    """Mean distance between the pose of a video and the pose of its mirror image, mirrored back, metres."""
    mirrored = [_replaced(v, mirror(v.keypoints), mirror_intrinsics(v.intrinsics)) for v in videos]
    one_way = _poses(lifter, videos, sampling, flip=False)
    other_way = _poses(lifter, mirrored, sampling, flip=False)
    return _distance(one_way, [mirror(pose) for pose in other_way])


def windows_disagree(lifter: Lifter, videos: Sequence[Video], sampling: Sampling) -> float:
    """Mean distance between the poses of a video cut into windows and of the same cut half a window later, metres."""
    half = lifter.frames // 2
    long = [v for v in videos if len(v) > half] if half else []
    if not long:
        return 0.0
    later = [_replaced(v, v.keypoints[half:], v.intrinsics) for v in long]
    whole = _poses(lifter, long, sampling, flip=True)
    return _distance([pose[half:] for pose in whole], _poses(lifter, later, sampling, flip=True))


def bones_vary(lifter: Lifter, videos: Sequence[Video], sampling: Sampling) -> float:
    """Mean standard deviation of a bone's length over a video, metres."""
    poses = _poses(lifter, videos, sampling, flip=True)
    spreads = [bone_vectors(pose)[:, 1:].norm(dim=-1).std(0, correction=0) for pose in poses]
    return torch.stack(spreads).mean().item()


CRITERIA: dict[str, Callable[[Lifter, Sequence[Video], Sampling], float]] = {
    "reprojection": reprojection,
    "hypotheses": hypotheses_disagree,
    "flips": flips_disagree,
    "windows": windows_disagree,
    "bones": bones_vary,
}


def _replaced(video: Video, keypoints: torch.Tensor, intrinsics: torch.Tensor) -> Video:
    return replace(video.unlabelled(), keypoints=keypoints, intrinsics=intrinsics)


def _poses(lifter: Lifter, videos: Sequence[Video], sampling: Sampling, flip: bool) -> list[torch.Tensor]:
    """Per video the mean of the hypotheses, (F, J, 3)."""
    lifter.eval()
    sampling = Sampling(sampling.num_proposals, 1, flip, sampling.batch_size, sampling.seed)
    drawn = draw_hypotheses(lifter, videos, sampling)
    return [stitch(hypotheses[:, -1].mean(1), len(video)) for video, hypotheses in drawn]


def _distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return torch.cat([(a - b).norm(dim=-1) for a, b in zip(one, other)]).mean().item()


def _mean(
    lifter: Lifter,
    videos: Sequence[Video],
    sampling: Sampling,
    of: Callable[[Video, torch.Tensor], torch.Tensor],
) -> float:
    """The mean over all frames of what `of` says of a video and the hypotheses of its last diffusion step."""
    lifter.eval()
    total, frames = 0.0, 0
    for video, hypotheses in draw_hypotheses(lifter, videos, sampling):
        total += of(video, hypotheses[:, -1]).mean().item() * len(video)
        frames += len(video)
    return total / frames
