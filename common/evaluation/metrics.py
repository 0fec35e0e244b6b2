"""Pose errors, in the unit of the input (metres inside the package). Reports turn them into millimetres."""

import torch

from ..geometry.skeleton import H36M_17


def joint_errors(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Euclidean distance per joint: (..., J, 3) and (..., J, 3) -> (..., J). Its mean is the MPJPE."""
    return (predicted - target).norm(dim=-1)


def procrustes(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The predicted poses after the similarity transform that fits them best to the target, each frame by itself.

    Rotation, translation and scale by the orthogonal Procrustes solution without reflection (Schoenemann 1966;
    Umeyama 1991).

    Args:
        predicted, target: (..., J, 3), shapes that broadcast.
    """
    predicted, target = torch.broadcast_tensors(predicted, target)
    centre = target.mean(-2, keepdim=True)
    moved = predicted - predicted.mean(-2, keepdim=True)
    fixed = target - centre
    u, s, vt = torch.linalg.svd(moved.transpose(-1, -2) @ fixed)
    sign = torch.ones_like(s)
    sign[..., -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    size = (moved**2).sum((-1, -2)).clamp_min(torch.finfo(moved.dtype).tiny)
    scale = (s * sign).sum(-1) / size
    return scale[..., None, None] * (moved @ rotation) + centre


def rescaled(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The predicted poses times the least-squares scale of each frame (Rhodin et al., CVPR 2018); for N-MPJPE."""
    size = (predicted**2).sum((-1, -2), keepdim=True).clamp_min(torch.finfo(predicted.dtype).tiny)
    return (predicted * target).sum((-1, -2), keepdim=True) / size * predicted


def wrong_sign_depth(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How much of a pose's depth points to the wrong side of the image plane, in [0, 1].

    A bone seen in 2D may lean towards the camera or away from it. Of the depth that the target's bones span in all,
    this is the share of those whose depth has the other sign in the prediction.

    Args:
        predicted, target: (..., J, 3), Human3.6M-17 order, camera axes.

    Returns:
        (), over all frames.
    """
    parents = H36M_17.parents[1:]
    found, true = (pose[..., 1:, 2] - pose[..., parents, 2] for pose in (predicted, target))
    wrong = true.abs().where(found * true < 0, 0)
    return wrong.sum() / true.abs().sum().clamp_min(torch.finfo(true.dtype).tiny)


def velocity_errors(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Error of the frame-to-frame motion: (..., F, J, 3) -> (..., F - 1, J). Its mean is the MPJVE, per frame."""
    return joint_errors(predicted.diff(dim=-3), target.diff(dim=-3))
