"""The space that a set of cameras sees in common, and where to put a motion so that it stays there."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from ..geometry.camera import Camera, camera_to_world, undistort

MARGIN_PX = 20.0  # what a fitted motion keeps free at the image borders


class CaptureSpace:
    """The space that all cameras see, as half-spaces `normals @ point + offsets >= 0` (metres, inside is positive).

    Args:
        farthest: from each camera along its axis, metres; without, a camera sees to infinity, and so may two.
    """

    def __init__(self, cameras: Sequence[Camera], farthest: Sequence[float] | None = None):
        planes = [plane for camera in cameras for plane in self._sides(camera)]
        for camera, depth in zip(cameras, farthest or ()):
            ends = camera_to_world(
                torch.tensor([[0, 0, depth], [0, 0, depth - 1]], dtype=torch.float64), camera
            ).numpy()
            planes.append((ends[1] - ends[0], float(-(ends[1] - ends[0]) @ ends[0])))
        self.normals = np.array([normal for normal, _ in planes])
        self.offsets = np.array([offset for _, offset in planes])
        # Where the least distance to the planes is greatest, three of them are equally near: all triples are tried.
        triples = np.array(list(itertools.combinations(range(len(planes)), 3)))
        systems = np.concatenate([self.normals[triples][..., :2], -np.ones((len(triples), 3, 1))], -1)
        regular = np.abs(np.linalg.det(systems)) > 1e-6
        self.triples, self.inverses = triples[regular], np.linalg.inv(systems[regular])

    @staticmethod
    def _sides(camera: Camera) -> list[tuple[np.ndarray, float]]:
        """The four sides of a camera's view, inside its image by the margin whatever its lens does."""
        intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float64)
        across = torch.linspace(MARGIN_PX, camera.width - MARGIN_PX, 101, dtype=torch.float64)
        down = torch.linspace(MARGIN_PX, camera.height - MARGIN_PX, 101, dtype=torch.float64)
        sides = []
        for axis, along, size in ((0, down, camera.width), (1, across, camera.height)):
            for edge, sign in ((MARGIN_PX, 1.0), (size - MARGIN_PX, -1.0)):
                pixels = torch.stack([torch.full_like(along, edge), along], -1)
                rays = undistort(pixels if axis == 0 else pixels.flip(-1), intrinsics)[:, axis]
                tangent = float((sign * rays).max()) * sign
                normal = torch.zeros(3, dtype=torch.float64)
                normal[axis], normal[2] = sign, -sign * tangent
                ends = camera_to_world(torch.stack([torch.zeros_like(normal), normal / normal.norm()]), camera).numpy()
                sides.append((ends[1] - ends[0], float(-(ends[1] - ends[0]) @ ends[0])))
        return sides

    def place(self, positions: np.ndarray) -> np.ndarray | None:
        """(F, J, 3) -> (2,) the horizontal shift that puts the points farthest inside; None when none keeps them in."""
        distances = (positions.reshape(-1, 3) @ self.normals.T).min(0) + self.offsets
        candidates = (self.inverses @ -distances[self.triples][..., None])[..., 0]  # (triples, x y slack)
        slack = (candidates[:, :2] @ self.normals[:, :2].T + distances).min(1)
        best = int(slack.argmax())
        return candidates[best, :2] if slack[best] >= 0 else None

    def pieces(self, positions: np.ndarray, shortest: int = 0) -> list[np.ndarray] | None:
        """A clip moved into view, halved as often as that takes.

        Args:
            positions: (F, J, 3) metres.
            shortest: frames of a piece; what does not fit in pieces of that length is left out. 0 leaves nothing out.

        Returns:
            The pieces in order; None when nothing is left, or a single frame does not fit and nothing may be left out.
        """
        shift = self.place(positions)
        if shift is not None:
            return [positions + [*shift, 0]]
        if len(positions) < 2 * max(shortest, 1):
            return None
        middle = len(positions) // 2
        halves = [self.pieces(half, shortest) for half in (positions[:middle], positions[middle:])]
        if shortest == 0 and None in halves:
            return None
        return [piece for half in halves for piece in half or []] or None
