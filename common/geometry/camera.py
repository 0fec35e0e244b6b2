"""Camera geometry: projection, its inverse, and rotations.

Two image coordinate systems are used: pixels at the edges, and *normalised screen coordinates* inside: x in [-1, 1]
over the image width, y scaled by the same factor. Intrinsics are a vector of nine numbers, fx fy cx cy k1 k2 k3
p1 p2, in either system (the distortion coefficients have no unit).
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..tensors import constant

UNDISTORTION_STEPS = 30


@dataclass(frozen=True)
class Camera:
    """A calibrated camera, in pixels.

    Attributes:
        width, height: of the image.
        focal: focal length, or two of them for pixels that are not square.
        centre: the principal point; the image's middle when left out.
        distortion: k1 k2 k3 p1 p2 of Human3.6M's lens model, see `project`.
        orientation: unit quaternion (w, x, y, z) that rotates camera axes to world axes.
        translation: the camera's position in the world, metres.
    """

    width: int
    height: int
    focal: float | tuple[float, float]
    centre: tuple[float, float] | None = None
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    name: str = "camera"
    orientation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def intrinsics(self) -> tuple[float, ...]:
        """fx fy cx cy k1 k2 k3 p1 p2, pixels."""
        focal = self.focal if isinstance(self.focal, tuple) else (self.focal, self.focal)
        return (*focal, *(self.centre or (self.width / 2, self.height / 2)), *self.distortion)

    def normalised_intrinsics(self) -> torch.Tensor:
        """(9,) float64, in normalised screen coordinates."""
        pixels = torch.tensor(self.intrinsics, dtype=torch.float64)
        focal = pixels[:2] / self.width * 2
        centre = normalise(pixels[2:4], self.width, self.height)
        return torch.cat([focal, centre, pixels[4:]])

    def up(self) -> torch.Tensor:
        """(3,) float64: the world's z axis, against gravity, in the camera's frame."""
        inverse = torch.tensor(self.orientation, dtype=torch.float64) * torch.tensor([1, -1, -1, -1])
        return rotate(inverse, inverse.new_tensor([0, 0, 1]))


def normalise(pixels: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Pixels (..., 2) -> normalised screen coordinates (..., 2): p / w * 2 - [1, h / w]."""
    scaled = pixels / width * 2  # a float even where the pixels are whole numbers
    return scaled - scaled.new_tensor([1, height / width])


def denormalise(points: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The inverse of `normalise`."""
    return (points + points.new_tensor([1, height / width])) * width / 2


def mirror_intrinsics(intrinsics: torch.Tensor) -> torch.Tensor:
    """The intrinsics (..., 9), normalised, of the camera that takes the mirrored image: cx and p1 change sign."""
    return intrinsics * constant((1, 1, -1, 1, 1, 1, 1, -1, 1), intrinsics.dtype, intrinsics.device)


def rotate(quaternion: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Rotate vectors (..., 3) by a unit quaternion (4,), w first."""
    w, axis = quaternion[0], quaternion[1:].expand_as(vectors)
    cross = torch.linalg.cross(axis, vectors)
    return vectors + 2 * (w * cross + torch.linalg.cross(axis, cross))


def quaternion_of(turn: np.ndarray) -> tuple[float, float, float, float]:
    """The unit quaternion (w, x, y, z) of a rotation matrix (3, 3)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    # It is the dominant eigenvector of this matrix (Bar-Itzhack 2000), whatever its largest component.
    symmetric = [
        [xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, xx - yy - zz, yx + xy, xz + zx],
        [xz - zx, yx + xy, yy - xx - zz, zy + yz],
        [yx - xy, xz + zx, zy + yz, zz - xx - yy],
    ]
    quaternion = np.linalg.eigh(np.array(symmetric))[1][:, -1]
    w, x, y, z = (quaternion * np.sign(quaternion[np.abs(quaternion).argmax()])).tolist()
    return w, x, y, z


def rotation_about(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) about unit axes (..., 3) by angles (...) in radians (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return torch.eye(3, dtype=axis.dtype, device=axis.device) + sine * cross + (1 - cosine) * (cross @ cross)


def rotation_between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The smallest rotations (..., 3, 3) that turn unit vectors (..., 3) onto others, not the opposite ones."""
    both = one + other
    outer = both[..., :, None] * both[..., None, :] / (1 + (one * other).sum(-1))[..., None, None]
    eye = torch.eye(3, dtype=one.dtype, device=one.device)
    return eye - outer + 2 * other[..., :, None] * one[..., None, :]


def world_to_camera(points: torch.Tensor, camera: Camera) -> torch.Tensor:
    """World points (..., 3), metres -> the camera's frame (x right, y down, z forward)."""
    inverse = points.new_tensor(camera.orientation) * points.new_tensor([1, -1, -1, -1])
    return rotate(inverse, points - points.new_tensor(camera.translation))


def camera_to_world(points: torch.Tensor, camera: Camera) -> torch.Tensor:
    """The inverse of `world_to_camera`."""
    return rotate(points.new_tensor(camera.orientation), points) + points.new_tensor(camera.translation)


def _distort(rays: torch.Tensor, intrinsics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The factor and the offset the lens applies to ideal rays (..., 2): distorted = rays * factor + offset."""
    k1, k2, k3, p1, p2 = intrinsics[..., 4:9, None].unbind(-2)  # sums over axes of two or three would be slow
    x, y = rays[..., None].unbind(-2)
    r2 = x * x + y * y
    factor = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + p1 * x + p2 * y
    return factor, intrinsics[..., 7:9] * r2


def _per_point(intrinsics: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Intrinsics (..., 9) with as many dimensions as `points`, so that leading dimensions pair up."""
    return intrinsics.reshape(*intrinsics.shape[:-1], *[1] * (points.ndim - intrinsics.ndim), 9)


def project(points: torch.Tensor, intrinsics: torch.Tensor, distorted: bool = True) -> torch.Tensor:
    """Project camera-space points with the Human3.6M camera model (METHOD 4; Human3.6M, PAMI 2014).

    The ideal ray's x and y are clamped to 45 degrees off the axis before the lens is applied, as in VideoPose3D, so
    that a point behind or beside the camera cannot send the polynomial to infinity.

    Args:
        points: (..., 3) metres.
        intrinsics: (9,), or (B, 9) for points (B, ..., 3).
        distorted: False leaves the lens distortion out.

    Returns:
        (..., 2) in the coordinates of `intrinsics`.
    """
    intrinsics = _per_point(intrinsics, points)
    rays = (points[..., :2] / points[..., 2:]).clamp(-1, 1)
    if distorted:
        factor, offset = _distort(rays, intrinsics)
        rays = rays * factor + offset
    return rays * intrinsics[..., :2] + intrinsics[..., 2:4]


def undistort(keypoints: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Image points to ideal rays: the inverse of the lens, by fixed-point iteration.

    Args:
        keypoints: (..., 2) in the coordinates of `intrinsics`.
        intrinsics: (9,), or (B, 9) for keypoints (B, ..., 2).

    Returns:
        (..., 2) the ray (x/z, y/z) through each point.
    """
    intrinsics = _per_point(intrinsics, keypoints)
    distorted = (keypoints - intrinsics[..., 2:4]) / intrinsics[..., :2]
    rays = distorted
    for _ in range(UNDISTORTION_STEPS):
        factor, offset = _distort(rays, intrinsics)
        rays = (distorted - offset) / factor
    return rays
