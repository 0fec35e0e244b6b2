"""Hypotheses to one pose: joint-wise reprojection-based aggregation and its relatives (D3DP, ICCV 2023, section 3.3).

Shapes: hypotheses (B, H, T, J, 3) metres relative to the root; root (B, T, 3) metres; keypoints (B, T, J, 2).
"""

import torch

from common.camera import project, undistort

AGGREGATIONS = ("P_Agg", "J_Agg", "S_Agg", "P_Best", "J_Best")
NEED_LABELS = ("P_Best", "J_Best")  # upper bounds, never a method's result
SOFTNESS = 0.002  # of S-Agg, normalised screen coordinates, about a pixel of a 1000 px image
NEAREST_ROOT = 0.1  # metres; a root nearer than this comes from a pose that cannot explain the keypoints


def solve_root(
    pose: torch.Tensor, rays: torch.Tensor, weights: torch.Tensor | None = None, reweight: bool = True
) -> torch.Tensor:
    """The root's position from 2D alone: weighted least squares over the joints (METHOD 4).

    Every joint asks that its position lie on its ray: X - u Z = u z - x and Y - v Z = v z - y. The normal equations
    are solved in closed form. With `reweight` they are solved once more with joints far from their ray weighed down.

    Args:
        pose: (..., J, 3) metres relative to the root.
        rays: (..., J, 2) ideal rays, see `common.camera.undistort`.
        weights: (..., J) non-negative, the detector's confidence for example; where all are zero they count alike.

    Returns:
        (..., 3) metres in the camera's frame, at least `NEAREST_ROOT` in front of it.
    """
    if weights is None:
        weights = torch.ones_like(pose[..., 0])
    weights = weights.clamp_min(torch.finfo(weights.dtype).eps)
    root = _least_squares_root(pose, rays, weights)
    if not reweight:
        return root
    placed = pose + root[..., None, :]
    residual = (placed[..., :2] / placed[..., 2:].clamp_min(NEAREST_ROOT) - rays).norm(dim=-1).detach()
    usual = residual.median(-1, keepdim=True).values.clamp_min(torch.finfo(residual.dtype).eps)
    return _least_squares_root(pose, rays, weights / (1 + (residual / (2 * usual)) ** 2))


def _least_squares_root(pose: torch.Tensor, rays: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    wanted = rays * pose[..., 2:] - pose[..., :2]  # right-hand sides, (..., J, 2)
    mean_ray = (weights * rays).sum(-2)
    mean_wanted = (weights * wanted).sum(-2)
    spread = (weights * (rays - mean_ray[..., None, :]) ** 2).sum((-1, -2))
    together = (weights * (rays - mean_ray[..., None, :]) * (wanted - mean_wanted[..., None, :])).sum((-1, -2))
    depth = (-together / spread.clamp_min(torch.finfo(spread.dtype).eps)).clamp_min(NEAREST_ROOT)[..., None]
    return torch.cat([mean_wanted + mean_ray * depth, depth], -1)


def estimate_root(hypotheses: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """One root for all hypotheses, from their mean: a root each would hide what tells them apart. (B, T, 3)."""
    return solve_root(hypotheses.mean(1), undistort(keypoints, intrinsics))


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
    hypotheses: torch.Tensor, root: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor
) -> torch.Tensor:
    """JPMA: per joint and frame the hypothesis whose reprojection is nearest to the keypoint."""
    return pick_joints(hypotheses, reprojection_errors(hypotheses, root, keypoints, intrinsics))


def s_agg(
    hypotheses: torch.Tensor,
    root: torch.Tensor,
    keypoints: torch.Tensor,
    intrinsics: torch.Tensor,
    softness: float = SOFTNESS,
) -> torch.Tensor:
    """Soft JPMA: per joint and frame the mean of the hypotheses, weighted by softmax(-reprojection error / softness).

    The limits are J-Agg for a softness near 0 and P-Agg for a large one (METHOD 4).
    """
    errors = reprojection_errors(hypotheses, root, keypoints, intrinsics)
    return ((-errors / softness).softmax(1)[..., None] * hypotheses).sum(1)


def p_best(hypotheses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Per clip the hypothesis with the smallest MPJPE against the label; an upper bound."""
    errors = (hypotheses - target[:, None]).norm(dim=-1).mean((-1, -2))  # (B, H)
    return hypotheses[torch.arange(len(hypotheses)), errors.argmin(1)]


def j_best(hypotheses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Per joint and frame the hypothesis nearest to the label; an upper bound."""
    return pick_joints(hypotheses, (hypotheses - target[:, None]).norm(dim=-1))
