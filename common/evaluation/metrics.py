"""Pose errors, in the unit of the input (metres inside the package). Reports turn them into millimetres."""

import torch


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


def velocity_errors(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Error of the frame-to-frame motion: (..., F, J, 3) -> (..., F - 1, J). Its mean is the MPJVE, per frame."""
    return joint_errors(predicted.diff(dim=-3), target.diff(dim=-3))
