"""Cameras from calibration files in TOML, as Pose2Sim, Caliscope, OpenCap and Anipose write them."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera

LARGEST = 1 << 20  # bytes; a file of some cameras has a thousand each
LARGEST_SIDE = 100_000  # pixels
SAME_SHAPE = 0.01  # by which width over height of calibrated and filmed images may differ


def read_calibration(path: Path, size: tuple[int, int] | None = None, name: str | None = None) -> Camera:
    """One camera's lens and image. Where it stands is not read: a lifter works in the camera's frame.

    Human3.6M's lens model has OpenCV's radial terms, but of the tangential 2xy, 2x^2 and 2y^2 only half: with p1 and p2
    of 0.004 it is 2 pixels off at the corner of an image 1000 pixels wide, and exact without them.

    Args:
        size: width and height, pixels, of the images that were filmed; None for those of the calibration.
        name: of the camera; not needed where the file has one.

    Raises:
        InputError: no such file, none of TOML cameras, another camera's name, a fisheye, or images of another shape.
    """
    cameras = {key: value for key, value in _document(path).items() if isinstance(value, dict) and "matrix" in value}
    if not cameras:
        raise InputError(f"{path}: expected cameras, each a section with matrix, distortions and size; found none")
    named = {str(value.get("name", key)): value for key, value in cameras.items()}
    chosen = named | cameras
    if name is None and len(cameras) > 1:
        raise InputError(f"{path}: holds the cameras {', '.join(named)}; say which with --camera")
    if name is not None and name not in chosen:
        raise InputError(f"{path}: no camera {name!r}, expected one of {', '.join(named)}")
    section = chosen[name] if name is not None else next(iter(cameras.values()))
    where = f"{path}, camera {name or next(iter(named))}"
    if section.get("fisheye"):
        raise InputError(f"{where}: a fisheye lens, which is not supported; undistort the video or the keypoints first")
    matrix, distortion = _numbers(section, "matrix", where), _numbers(section, "distortions", where, [0.0] * 4)
    if matrix.shape != (3, 3) or not (matrix[[0, 1], [0, 1]] > 0).all():
        raise InputError(f"{where}: matrix should be 3 x 3 with two focal lengths above 0, found {matrix.tolist()}")
    if distortion.ndim != 1 or len(distortion) not in (4, 5):
        raise InputError(f"{where}: distortions should be k1 k2 p1 p2 or k1 k2 p1 p2 k3, found {distortion.tolist()}")
    calibrated = _numbers(section, "size", where, size)
    if calibrated.shape != (2,) or not ((calibrated >= 1) & (calibrated <= LARGEST_SIDE)).all():
        raise InputError(f"{where}: size should be width and height in pixels, found {calibrated.tolist()}")
    width, height = size or (round(calibrated[0]), round(calibrated[1]))
    factor = width / calibrated[0]
    if abs(calibrated[1] * factor / height - 1) > SAME_SHAPE:
        raise InputError(
            f"{where}: is of images {calibrated[0]:.0f}x{calibrated[1]:.0f}, the keypoints' {width}x{height}; "
            "expected the same shape; was the video turned or cropped after calibration"
        )
    k1, k2, p1, p2, k3 = (*distortion.tolist(), 0.0)[:5]
    return Camera(
        width=width,
        height=height,
        focal=(factor * matrix[0, 0], factor * matrix[1, 1]),
        centre=(factor * matrix[0, 2], factor * matrix[1, 2]),
        distortion=(k1, k2, k3, p2, p1),  # Human3.6M counts the tangential ones the other way round
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise InputError(f"{path}: reading TOML needs Python 3.11, or: pip install tomli") from None
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a calibration file, found a folder or a device")
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: {path.stat().st_size} bytes, expected a calibration file of some thousand")
        return toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # TOML's own errors are ValueErrors
        raise InputError(f"{path}: expected a calibration in TOML, found something else ({error})") from None


def _numbers(section: dict[str, Any], key: str, where: str, otherwise: Any = None) -> np.ndarray:
    value = section.get(key, otherwise)
    if value is None:
        raise InputError(f"{where}: {key} is missing")
    try:
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if found.size == 0 or not np.isfinite(found).all():
        raise InputError(f"{where}: {key} should be numbers, found {str(value)[:60]}")
    return found
