"""Cameras and frame rates inside the npz files: with them any people, cameras and rates are good.

Two optional entries of `data_3d_h36m.npz` and `data_2d_h36m_<name>.npz`: `cameras`, subject -> list of {`name`,
`width`, `height`, `K` (3, 3) pixels, `dist` (k1 k2 p1 p2 k3, as OpenCV orders them), `R` (3, 3) and `t` (3,) metres,
world to camera}, in the order of the subject's views; and `fps`, one number or subject -> action -> number. Files
without them are Human3.6M's, with its cameras and 50 frames a second.

OpenCV counts the product terms of p1 and p2 twice, Human3.6M's model, which is used here, once: for |p| up to 0.002
that is less than a tenth of a pixel near the middle of an image and less than a pixel at its edges.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..geometry.camera import Camera, quaternion_of, rotate
from .npz import entry_names, read_object, read_plain

HIGHEST_RATE = 1000  # frames a second


def cameras_entry(cameras: Mapping[str, Sequence[Camera]]) -> dict[str, list[dict[str, Any]]]:
    """The entry `cameras`; the inverse of `read_cameras`."""
    return {subject: [_as_entry(camera) for camera in views] for subject, views in cameras.items()}


def _as_entry(camera: Camera) -> dict[str, Any]:
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = camera.intrinsics
    inverse = torch.tensor(camera.orientation, dtype=torch.float64) * torch.tensor([1, -1, -1, -1])
    turn = rotate(inverse, torch.eye(3, dtype=torch.float64)).numpy().T  # its columns are where the axes go
    return {
        "name": camera.name, "width": camera.width, "height": camera.height,
        "K": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), "dist": np.array([k1, k2, p2, p1, k3]),
        "R": turn, "t": -turn @ np.array(camera.translation),
    }  # fmt: skip


def read_cameras(path: Path) -> dict[str, list[Camera]] | None:
    """The entry `cameras` of a file, None where it has none.

    Raises:
        InputError: it is not what the layout says; names the subject and the number of the view.
    """
    if "cameras" not in entry_names(path):
        return None
    entry = read_object(path, "cameras")
    if not isinstance(entry, dict) or not all(isinstance(views, list) and views for views in entry.values()):
        raise InputError(f"{path}: expected 'cameras' to be a dict of subjects, each a list of cameras")
    cameras = {
        str(subject): [_camera(view, f"{path}: cameras of {subject}, number {i}") for i, view in enumerate(views)]
        for subject, views in entry.items()
    }
    for subject, views in cameras.items():
        names = [camera.name for camera in views]
        if len(set(names)) < len(names):
            raise InputError(f"{path}: cameras of {subject}: two have one name among {', '.join(names)}; rename them")
    return cameras


def _camera(view: Any, where: str) -> Camera:
    needed = {"K": (3, 3), "R": (3, 3), "t": (3,)}
    try:
        numbers = {name: np.asarray(view[name], dtype=np.float64).reshape(shape) for name, shape in needed.items()}
        lens = np.zeros(5)
        given = np.asarray(view.get("dist", ()), dtype=np.float64).ravel()
        lens[: len(given[:5])] = given[:5]
        width, height, name = int(view["width"]), int(view["height"]), str(view.get("name", where.rsplit(" ", 1)[-1]))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: expected width, height, K (3, 3), R (3, 3), t (3,) and dist (k1 k2 p1 p2 k3); cannot read it "
            f"({type(error).__name__}: {error})"
        ) from None
    k, turn = numbers["K"], numbers["R"]
    finite = all(np.isfinite(x).all() for x in (*numbers.values(), lens))
    if given[5:].any():
        raise InputError(f"{where}: dist has {len(given)} numbers, expected k1 k2 p1 p2 k3; undistort the images first")
    if not finite or min(k[0, 0], k[1, 1], width, height) <= 0:
        raise InputError(f"{where}: expected a size and focal lengths above zero and finite numbers")
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise InputError(f"{where}: R is no rotation; expected one of world to camera axes")
    if np.abs([k[1, 0], *(k[2] - [0, 0, 1])]).max() > 1e-6:
        raise InputError(f"{where}: K is {k.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels")
    if abs(k[0, 1]) > 1e-6 * k[0, 0]:
        raise InputError(f"{where}: K has a skew of {k[0, 1]:g}, which is not supported; undistort the images first")
    k1, k2, p1, p2, k3 = lens.tolist()
    x, y, z = (-turn.T @ numbers["t"]).tolist()
    return Camera(
        width, height, (float(k[0, 0]), float(k[1, 1])), (float(k[0, 2]), float(k[1, 2])), (k1, k2, k3, p2, p1), name,
        quaternion_of(turn.T), (x, y, z),
    )  # fmt: skip


class Rates:
    """Frames a second of every take: the entry `fps` of a file, or what the user says where it has none.

    Args:
        path: the file. otherwise: the rate of files without the entry.
    """

    def __init__(self, path: Path, otherwise: float):
        self._path, self._otherwise, self.stated = path, otherwise, "fps" in entry_names(path)
        self._rates: Any = None
        if self.stated:
            plain = None
            try:
                plain = read_plain(path, "fps")
            except InputError:
                self._rates = read_object(path, "fps")
            if plain is not None:
                self._rates = plain.item() if plain.shape == () else plain

    def of(self, subject: str, action: str) -> float:
        """The rate of a take.

        Raises:
            InputError: the entry has none for it, or one that cannot be.
        """
        rate = self._rates if self.stated else self._otherwise
        if isinstance(rate, dict):
            actions = rate.get(subject)
            rate = actions.get(action) if isinstance(actions, dict) else actions
        number = float(rate) if isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool) else 0.0
        if not 0 < number <= HIGHEST_RATE:
            raise InputError(
                f"{self._path}: fps of {subject} {action} is {rate!r}, expected frames a second up to {HIGHEST_RATE}"
            )
        return number
