"""The person's place from 2D alone: where the root must be for a pose to project onto its keypoints (METHOD 4).

Shapes: poses (..., J, 3) metres relative to the root; rays (..., J, 2), see `common.geometry.camera.undistort`.
"""

import torch

from ..geometry.camera import undistort

NEAREST_ROOT = 0.1  # metres; a root nearer than this comes from a pose that cannot explain the keypoints


def ray_distance(placed: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
    """Distance of joints (..., J, 3), metres in the camera's frame, from their rays (..., J, 2), at unit depth."""
    return (placed[..., :2] / placed[..., 2:].clamp_min(NEAREST_ROOT) - rays).norm(dim=-1)


def solve_root(
    pose: torch.Tensor, rays: torch.Tensor, weights: torch.Tensor | None = None, reweight: bool = True
) -> torch.Tensor:
    """The root's position from 2D alone: weighted least squares over the joints (METHOD 4).

    Every joint asks that its position lie on its ray: X - u Z = u z - x and Y - v Z = v z - y. The normal equations
    are solved in closed form. With `reweight` they are solved once more with joints far from their ray weighed down.

    Args:
        pose: (..., J, 3) metres relative to the root.
        rays: (..., J, 2) ideal rays, see `common.geometry.camera.undistort`.
        weights: (..., J) non-negative, the detector's confidence for example; a joint without any counts nowhere.
            Where fewer than two have some, which tells no depth, all count alike.

    Returns:
        (..., 3) metres in the camera's frame, at least `NEAREST_ROOT` in front of it.
    """
    if weights is None:
        weights = torch.ones_like(pose[..., 0])
    weights = weights.masked_fill((weights > 0).sum(-1, keepdim=True) < 2, 1.0)
    root = _least_squares_root(pose, rays, weights)
    if not reweight:
        return root
    placed = pose + root[..., None, :]
    residual = ray_distance(placed, rays).detach()
    residual_seen = residual.where(weights > 0, torch.nan)
    usual = residual_seen.nanmedian(-1, keepdim=True).values.clamp_min(torch.finfo(residual.dtype).eps)
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


def estimate_root(
    hypotheses: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor, confidence: torch.Tensor | None = None
) -> torch.Tensor:
    """One root for all hypotheses, from their mean: a root each would hide what tells them apart.

    Args:
        hypotheses: (B, H, T, J, 3). keypoints: (B, T, J, 2). intrinsics: (B, 9). confidence: (B, T, J), the detector's.

    Returns:
        (B, T, 3) metres.
    """
    return solve_root(hypotheses.mean(1), undistort(keypoints, intrinsics), confidence)
