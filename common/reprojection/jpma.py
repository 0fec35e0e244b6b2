"""Hypotheses to one pose: joint-wise reprojection-based aggregation and its relatives (D3DP, ICCV 2023, section 3.3).

Shapes: hypotheses (B, H, T, J, 3) metres relative to the root; root (B, T, 3) metres; keypoints (B, T, J, 2).
"""

import torch

from ..datasets.video import LabelledVideo, Video
from ..datasets.windows import split, stitch
from ..geometry.camera import project, undistort
from .refinement import Refinement
from .root import estimate_root

AGGREGATIONS = ("P_Agg", "J_Agg", "S_Agg", "P_Best", "J_Best")
NEED_LABELS = ("P_Best", "J_Best")  # upper bounds, never a method's result
REFINED = "Refined"  # beside these, where there is a refinement
ROOTS = ("estimated", "gt")
SOFTNESS = 0.002  # of S-Agg, normalised screen coordinates, about a pixel of a 1000 px image


def reprojection_errors(
    hypotheses: torch.Tensor, root: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor
) -> torch.Tensor:
    """Distance of each reprojected joint from its keypoint, (B, H, T, J), normalised screen coordinates."""
    reprojected = project(hypotheses + root[:, None, :, None], intrinsics)
    return (reprojected - keypoints[:, None]).norm(dim=-1)


def pick_joints(hypotheses: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    """Per joint and frame the hypothesis with the smallest error: (B, H, T, J, 3), (B, H, T, J) -> (B, T, J, 3)."""
    best = errors.argmin(1)[:, None, ..., None].expand(-1, 1, -1, -1, 3)
    return hypotheses.gather(1, best)[:, 0]


def p_agg(hypotheses: torch.Tensor) -> torch.Tensor:
    """The mean of the hypotheses."""
    return hypotheses.mean(1)


def j_agg(
    hypotheses: torch.Tensor,
    root: torch.Tensor,
    keypoints: torch.Tensor,
    intrinsics: torch.Tensor,
    confidence: torch.Tensor | None = None,
) -> torch.Tensor:
    """JPMA: per joint and frame the hypothesis whose reprojection is nearest to the keypoint.

    Args:
        confidence: (B, T, J); a joint of confidence 0 was not seen and is the mean of the hypotheses.
    """
    picked = pick_joints(hypotheses, reprojection_errors(hypotheses, root, keypoints, intrinsics))
    return picked if confidence is None else torch.where(confidence[..., None] > 0, picked, p_agg(hypotheses))


def s_agg(
    hypotheses: torch.Tensor,
    root: torch.Tensor,
    keypoints: torch.Tensor,
    intrinsics: torch.Tensor,
    softness: float = SOFTNESS,
    confidence: torch.Tensor | None = None,
) -> torch.Tensor:
    """Soft JPMA: per joint and frame the mean of the hypotheses, weighted by softmax(-reprojection error / softness).

    The limits are J-Agg for a softness near 0 and P-Agg for a large one (METHOD 4).
    """
    errors = reprojection_errors(hypotheses, root, keypoints, intrinsics)
    if confidence is not None:
        errors = errors * (confidence[:, None] > 0)  # all alike where the joint was not seen
    return ((-errors / softness).softmax(1)[..., None] * hypotheses).sum(1)


def p_best(hypotheses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Per clip the hypothesis with the smallest MPJPE against the label; an upper bound."""
    errors = (hypotheses - target[:, None]).norm(dim=-1).mean((-1, -2))  # (B, H)
    return hypotheses[torch.arange(len(hypotheses)), errors.argmin(1)]


def j_best(hypotheses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Per joint and frame the hypothesis nearest to the label; an upper bound."""
    return pick_joints(hypotheses, (hypotheses - target[:, None]).norm(dim=-1))


def aggregate(
    hypotheses: torch.Tensor,
    video: Video,
    root: str,
    refinement: Refinement | None = None,
    lengths: torch.Tensor | None = None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Every aggregation of one diffusion step's hypotheses for a whole video.

    Args:
        hypotheses: (W, H, T, J, 3).
        root: "estimated" from the 2D, or "gt", the papers' protocol, which reads the video's labels.
        refinement: adds "Refined", made from P-Agg; the keypoints count once, so not from J-Agg.
        lengths: (J,) metres, the person's bones, for the refinement.

    Returns:
        Per name of `AGGREGATIONS` the pose (F, J, 3), best-of only where there are labels, and the root used (F, 3).

    Raises:
        ValueError: root "gt" of a video without labels, or a refinement without bone lengths.
    """
    frames, length = hypotheses.shape[2], len(video)
    keypoints = split(video.keypoints, frames)
    intrinsics = video.intrinsics.expand(len(keypoints), 9)
    confidence = None if video.confidence is None else split(video.confidence, frames)
    if root == "gt":
        if not isinstance(video, LabelledVideo):
            raise ValueError(f"{video.name}: has no labels to take the root from")
        place = split(video.trajectory, frames)
    else:
        place = estimate_root(hypotheses, keypoints, intrinsics, confidence)
    poses = {
        "P_Agg": p_agg(hypotheses),
        "J_Agg": j_agg(hypotheses, place, keypoints, intrinsics, confidence),
        "S_Agg": s_agg(hypotheses, place, keypoints, intrinsics, confidence=confidence),
    }
    if refinement is not None:
        if lengths is None:
            raise ValueError(f"{video.name}: refining needs the person's bone lengths")
        poses[REFINED] = refinement(poses["P_Agg"], undistort(keypoints, intrinsics), lengths, confidence)
    if isinstance(video, LabelledVideo):
        target = split(video.pose, frames)
        poses |= {"P_Best": p_best(hypotheses, target), "J_Best": j_best(hypotheses, target)}
    return {name: stitch(pose, length) for name, pose in poses.items()}, stitch(place, length)
