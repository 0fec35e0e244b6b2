"""How far off a detector's keypoints are: measured on labelled videos, carried over to unlabelled ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..datasets.video import LabelledVideo, Video
from ..geometry.camera import project

SMALLEST_BOX = 0.05  # sides summed, normalised screen coordinates; less is no person but a failed detection
LARGEST_NOISE_RATIO = 3.0  # more than that is motion, or a source without noise


@dataclass(frozen=True)
class KeypointNoise:
    """The target's detector beside the source's.

    Attributes:
        ratio: how many times noisier the target's keypoints are, see `noise_ratio`.
        target: their error at unit depth, root mean square of the distance: the source's, from its labels, times the
            ratio.
    """

    ratio: float
    target: float

    @classmethod
    def measure(cls, source: Sequence[LabelledVideo], target: Sequence[Video]) -> "KeypointNoise":
        """From labelled source videos and the 2D of the target's."""
        ratio = noise_ratio([_where_seen(v) for v in source], [_where_seen(v) for v in target])
        return cls(ratio, ratio * detector_error(source))


def _where_seen(video: Video) -> torch.Tensor:
    """The keypoints (F, J, 2), not numbers where the confidence is 0."""
    if video.confidence is None:
        return video.keypoints
    return video.keypoints.where(video.confidence[..., None] > 0, torch.nan)


def box_size(keypoints: torch.Tensor) -> torch.Tensor:
    """(..., J, 2) -> (...) the sum of the box's sides, never zero; joints that are no numbers stay outside."""
    unseen, infinity = keypoints.isnan(), torch.inf
    highest, lowest = keypoints.where(~unseen, -infinity).amax(-2), keypoints.where(~unseen, infinity).amin(-2)
    return (highest - lowest).sum(-1).clamp_min(SMALLEST_BOX)


def noise_level(keypoints: list[torch.Tensor]) -> float:
    """How restless keypoints are: the median, over frames and joints, of their third difference over the box's size.

    The ratio of two such numbers tells how much noisier one detector is than another on the same kind of motion.

    Args:
        keypoints: per video (F, J, 2), normalised screen coordinates, at the same frame rate; not numbers where a joint
            was not seen.

    Returns:
        0 where every video is shorter than four frames.
    """
    levels = []
    for k in keypoints:
        if len(k) > 3:
            level = k.diff(n=3, dim=0).norm(dim=-1) / box_size(k)[3:, None]
            levels.append(level[level.isfinite()])
    return torch.cat(levels).median().item() if any(len(level) for level in levels) else 0.0


def noise_ratio(source: list[torch.Tensor], target: list[torch.Tensor]) -> float:
    """How many times noisier the target's keypoints are than the source's, in bounds that noise can plausibly have."""
    source_level = max(noise_level(source), torch.finfo(torch.float32).eps)
    return min(noise_level(target) / source_level, LARGEST_NOISE_RATIO)


def detector_error(videos: Sequence[LabelledVideo]) -> float:
    """A detector's error at unit depth on labelled videos: the root of the mean squared distance over all joints."""
    squares = []
    for v in videos:
        exact = project(v.pose + v.trajectory[:, None], v.intrinsics)
        square = (((v.keypoints - exact) / v.intrinsics[:2]) ** 2).sum(-1)
        squares.append(square.flatten() if v.confidence is None else square[v.confidence > 0])
    return torch.cat(squares).mean().sqrt().item()
