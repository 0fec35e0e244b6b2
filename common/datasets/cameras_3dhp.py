"""The cameras of MPI-INF-3DHP (Mehta et al., 3DV 2017): known for the test sequences, chosen for the training ones.

And the frame rates of the training recordings.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from .npz import entry_names, read_object

_SENSOR = 10.0  # mm, the sensor width that the focal lengths and centre shifts below refer to
_STUDIO = ("TS1", "TS2", "TS3", "TS4")
_OUTDOOR = ("TS5", "TS6")
TEST_SEQUENCES = _STUDIO + _OUTDOOR
TRAIN_SIZE = 2048  # pixels, width and height of the training videos
RECORDINGS = tuple(f"S{subject} Seq{sequence}" for subject in range(1, 9) for sequence in (1, 2))  # for training
_FIFTY_FPS = ("S1 Seq2", "S3 Seq1", "S3 Seq2", "S5 Seq1", "S5 Seq2")
LARGEST_MISFIT = 20.0  # pixels between 2D and projected 3D that lens distortion and rounding can explain
LARGEST_OFFSET = 0.25  # of the image, along either side, that an estimated principal point may lie from the middle


def frame_rate(recording: str) -> float:
    """Frames a second of one of `RECORDINGS`."""
    return 50.0 if recording in _FIFTY_FPS else 25.0


def test_cameras() -> dict[str, Camera]:
    """Per test sequence the camera that took it, without its place in the room, which 2D to 3D work does not need.

    The outdoor camera's pixels are not square: fy is 0.7 % smaller than fx. The keypoints in the files are made
    without lens distortion.
    """
    return {name: _studio(name) for name in _STUDIO} | {name: _outdoor(name) for name in _OUTDOOR}


test_cameras.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test by its name


def _studio(name: str) -> Camera:
    width = height = 2048
    pixels = width / _SENSOR
    focal = 7.32506 * pixels
    centre = (width / 2 - 0.0322884 * pixels, height / 2 + 0.0929296 * pixels)
    return Camera(width, height, focal, centre, name=name)


def _outdoor(name: str) -> Camera:
    width, height, aspect = 1920, 1080, 0.993236423
    pixels = width / _SENSOR
    focal = 8.770747185 * pixels
    centre = (width / 2 - 0.104908645 * pixels, height / 2 + 0.104899704 * pixels)
    return Camera(width, height, (focal, focal * aspect), centre, name=name)


@dataclass
class TrainingCameras:
    """The training sequences' cameras, from where the user said (--target-intrinsics).

    Attributes:
        choice: "file", the entry `cameras` of the npz file: camera id -> {width, height, intrinsics: nine numbers,
            pixels}, or "S1 Seq1" -> the same, where recordings differ; "estimate", `fit_intrinsics` on each video's
            own pairs of 2D and 3D: this reads the target's 3D labels, for calibration only, and happens only when it
            is asked for; or "FX,FY,CX,CY" in pixels, for all.
        misfits: per estimated video what the fit left over, pixels.
    """

    choice: str
    path: Path
    misfits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.choice == "file":
            self._stored = _stored_cameras(self.path)
        elif self.choice != "estimate":
            self._given = parse_intrinsics(self.choice)

    def camera(self, recording: str, name: str) -> Camera:
        """The camera of one video, by a recording such as "S1 Seq1" and the camera's id.

        Raises:
            InputError: the file does not hold this camera or holds nonsense.
        """
        if self.choice == "file":
            where = f"{self.path}: {recording}, camera {name}"
            return _stored_camera(self._stored.get(recording, self._stored), name, where)
        if self.choice == "estimate":  # until `fitted`
            return Camera(TRAIN_SIZE, TRAIN_SIZE, TRAIN_SIZE, (TRAIN_SIZE / 2, TRAIN_SIZE / 2), name=name)
        return Camera(TRAIN_SIZE, TRAIN_SIZE, self._given[:2], self._given[2:], name=name)

    def fitted(
        self, camera: Camera, points: np.ndarray | None, pixels: np.ndarray, seen: np.ndarray | None, where: str
    ) -> Camera:
        """The camera as it is, but with "estimate" fitted to its video.

        Args:
            points: (F, J, 3) in camera space, any unit, of numbers that can be; None where there is no 3D. pixels:
                (F, J, 2). seen: (F, J) bool, the joints to go by; None for all. where: the video, named in the error.

        Raises:
            InputError: there is no 3D, or 2D and 3D do not belong together.
        """
        if self.choice != "estimate":
            return camera
        if points is None:
            raise InputError(
                f"{where}: it has no data_3d, to which --target-intrinsics estimate fits the camera; give "
                "FX,FY,CX,CY in pixels"
            )
        if seen is not None:
            points, pixels = points[seen][:, None], pixels[seen][:, None]  # as many frames of one joint
        (fx, fy, cx, cy), misfit = fit_intrinsics(points, pixels, where)
        if max(abs(cx / camera.width - 0.5), abs(cy / camera.height - 0.5)) > LARGEST_OFFSET:
            raise InputError(
                f"{where}: the estimated principal point is ({cx:.0f}, {cy:.0f}), expected it within "
                f"{LARGEST_OFFSET * camera.width:.0f} px of the middle of {camera.width} x {camera.height}; 2D and 3D "
                "do not belong together, or give FX,FY,CX,CY in pixels"
            )
        self.misfits.append(misfit)
        return replace(camera, focal=(fx, fy), centre=(cx, cy))

    def summary(self) -> str:
        """One line that says which intrinsics were used."""
        if self.choice == "file":
            return f"training cameras as stored in {self.path.name}"
        if self.choice == "estimate":
            return (
                f"training cameras estimated, video by video, from pairs of 2D and 3D: target 3D labels were read for "
                f"calibration (largest rms misfit {max(self.misfits, default=0):.2f} px)"
            )
        return f"training cameras as given, fx,fy,cx,cy = {','.join(f'{x:g}' for x in self._given)} px for all"


def _stored_cameras(path: Path) -> Mapping[str, Any]:
    if "cameras" not in entry_names(path):
        raise InputError(
            f"{path}: the file stores no 'cameras', which --target-intrinsics file reads; give "
            "--target-intrinsics estimate (fits them to the 2D and 3D labels) or FX,FY,CX,CY in pixels"
        )
    cameras = read_object(path, "cameras")
    if not isinstance(cameras, dict):
        raise InputError(f"{path}: expected 'cameras' to be a dict of cameras, found {type(cameras).__name__}")
    return cameras


def _stored_camera(cameras: Any, name: str, where: str) -> Camera:
    if not isinstance(cameras, dict) or name not in cameras:
        raise InputError(
            f"{where}: not among the file's 'cameras'; prepare the file again, or give --target-intrinsics estimate"
        )
    entry = cameras[name]
    try:
        fx, fy, cx, cy, k1, k2, k3, p1, p2 = intrinsics = [float(value) for value in entry["intrinsics"]]
        width, height = int(entry["width"]), int(entry["height"])
        good = all(map(math.isfinite, intrinsics)) and min(fx, fy, width, height) > 0
    except (KeyError, TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise InputError(
            f"{where}: expected its entry in 'cameras' to have width, height and nine intrinsics (fx fy cx cy k1 k2 k3 "
            "p1 p2, pixels), found something else; prepare the file again, or give --target-intrinsics estimate"
        )
    return Camera(width, height, (fx, fy), (cx, cy), (k1, k2, k3, p1, p2), name)


def parse_intrinsics(text: str) -> tuple[float, float, float, float]:
    """'1500,1500,1024,1024' -> fx, fy, cx, cy. Raises `InputError` on anything else."""
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
        good = 0 < fx < math.inf and 0 < fy < math.inf and math.isfinite(cx) and math.isfinite(cy)
    except ValueError:
        good = False
    if not good:
        raise InputError(
            f"--target-intrinsics {text}: expected file, estimate or FX,FY,CX,CY in pixels, such as 1500,1500,1024,1024"
        )
    return fx, fy, cx, cy


def fit_intrinsics(
    points: np.ndarray, pixels: np.ndarray, where: str
) -> tuple[tuple[float, float, float, float], float]:
    """fx, fy, cx, cy by linear least squares: u = fx x/z + cx, v = fy y/z + cy, no lens distortion.

    Args:
        points: (F, J, 3) in camera space, any unit, in front of the camera. pixels: (F, J, 2).
        where: named in the error.

    Returns:
        The intrinsics in pixels, and the root mean square of what they leave of u and v, pixels.

    Raises:
        InputError: 2D and 3D do not belong together.
    """
    rays = points[..., :2] / points[..., 2:]
    (fx, cx), (fy, cy) = (_line(rays[..., axis].ravel(), pixels[..., axis].ravel()) for axis in (0, 1))
    misfit = float(np.sqrt(np.mean((rays * [fx, fy] + [cx, cy] - pixels) ** 2)))
    if fx <= 0 or fy <= 0 or misfit > LARGEST_MISFIT:
        raise InputError(
            f"{where}: intrinsics cannot be estimated, the best fx={fx:.0f}, fy={fy:.0f} leave {misfit:.0f} px (rms) "
            f"between 2D and 3D, expected less than {LARGEST_MISFIT:.0f}; the two do not belong together"
        )
    return (fx, fy, cx, cy), misfit


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the line through (N,) points."""
    slope, intercept = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
    return float(slope), float(intercept)
