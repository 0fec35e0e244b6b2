"""MPI-INF-3DHP as two npz files (layout: P-STMO): the only file that knows what these files look like.

Joints are permuted by name to Human3.6M-17, millimetres become metres, pixels normalised screen coordinates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ..errors import InputError
from ..files import sha256
from ..geometry.camera import Camera, project
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from ..units import MILLIMETRES
from .cameras_3dhp import LARGEST_MISFIT, TEST_SEQUENCES, TrainingCameras, test_cameras
from .npz import describe, read_label, read_object
from .plausibility import check_joint_order
from .video import Dataset, LabelledVideo

TRAIN_FILE, TEST_FILE = "data_train_3dhp_ori.npz", "data_test_3dhp_ori.npz"
FRAME_RATE = 50.0  # of the studio's videos, which are most
ACTIVITIES = range(1, 8)  # 3DHP's classes, see `common.evaluation.scores_3dhp`
JOINTS = len(MPI_3DHP_17.joints)
UNLABELLED = "MPI-INF-3DHP-layout file without a provenance entry (taken as the user's own)"
SMALLEST_PERSON, LARGEST_PERSON = 0.3, 4.0  # metres across, as the median over a video
LARGEST_NUMBER = 1e9  # of any unit; float32 can still square it
SMALLEST_PIXELS = 4  # keypoints all nearer to zero than this are not pixels


@dataclass(frozen=True, kw_only=True)
class TestSequence(LabelledVideo):
    """One of TS1 to TS6: subject, action and camera are its name. Labels of invalid frames mean nothing.

    Attributes:
        valid: (F,) bool, the frames that count.
        activity: (F,) int64, 3DHP's classes 1 to 7; None where the file has none.
    """

    __test__: ClassVar[bool] = False  # pytest would take it for tests by its name
    PER_FRAME: ClassVar[tuple[str, ...]] = (*LabelledVideo.PER_FRAME, "valid", "activity")

    valid: torch.Tensor
    activity: torch.Tensor | None = None


def load_3dhp_train(data_dir: Path, intrinsics: str = "file") -> Dataset[LabelledVideo]:
    """Read `data_train_3dhp_ori.npz`: recording by recording, its cameras in turn.

    Subject is "S1", action "Seq1", camera "0".

    Args:
        intrinsics: "file", "estimate" or "FX,FY,CX,CY" in pixels, see `common.datasets.cameras_3dhp.TrainingCameras`.

    Raises:
        InputError: the file is missing or is not what the layout says, or its cameras are not to be had.
    """
    path = _find_file(data_dir, TRAIN_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    cameras, doubts = TrainingCameras(intrinsics, path), _Doubts(path)
    train = []
    for recording, camera_name, entry in _videos(read_object(path, "data"), path):
        where = f"{path}: {recording}, camera {camera_name}"
        points, pixels = _read_3d(entry, where), _read_2d(entry, where)
        valid = np.ones(len(points), dtype=bool)
        _check_labels(points, valid, where)
        camera = cameras.camera(recording, camera_name, points, pixels)
        _check_pixels(pixels, camera, where)
        subject, action = recording.split()
        both = torch.from_numpy(points), torch.from_numpy(pixels)
        train.append(LabelledVideo.from_points(subject, action, camera, *both, FRAME_RATE))
        doubts.look_at(train[-1], valid, f"{recording}, camera {camera_name}")
    notes = [cameras.summary(), *doubts.notes()]
    return Dataset(train, provenance, synthetic, {path.name: sha256(path)}, notes)


def load_3dhp_test(data_dir: Path) -> Dataset[TestSequence]:
    """Read `data_test_3dhp_ori.npz`. The cameras are the data set's own, see `cameras_3dhp.test_cameras`.

    Labels of invalid frames are not judged; frames of them that hold NaN or infinity are set to zero.

    Raises:
        InputError: the file is missing or is not what the layout says, or lacks one of TS1 to TS6.
    """
    path = _find_file(data_dir, TEST_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    data, doubts = read_object(path, "data"), _Doubts(path)
    found = list(data) if isinstance(data, dict) else []
    missing = [name for name in TEST_SEQUENCES if name not in found]
    if missing:
        raise InputError(
            f"{path}: expected 'data' to hold {', '.join(TEST_SEQUENCES)}; {', '.join(missing)} missing, found "
            f"{', '.join(map(str, found)) or 'none'}; prepare the file from all six test sequences"
        )
    test: list[TestSequence] = []
    for name, camera in test_cameras().items():
        where = f"{path}: {name}"
        points, pixels = _read_3d(data[name], where), _read_2d(data[name], where)
        valid = _read_flags(data[name], "valid", len(points), (0, 1), where).astype(bool)
        if not valid.any():
            raise InputError(f"{where}: no frame is valid, expected some with 'valid' 1; prepare the file again")
        points[~valid & ~_usable(points)] = 0
        _check_labels(points, valid, where)
        _check_pixels(pixels, camera, where)
        activity = None
        if "activity" in data[name]:
            activity = torch.from_numpy(_read_flags(data[name], "activity", len(points), ACTIVITIES, where))
        both = torch.from_numpy(points), torch.from_numpy(pixels)
        video = LabelledVideo.from_points(name, name, camera, *both, FRAME_RATE)
        test.append(TestSequence(**vars(video), valid=torch.from_numpy(valid), activity=activity))
        doubts.look_at(video, valid, name)
    return Dataset(test, provenance, synthetic, {path.name: sha256(path)}, doubts.notes())


def _find_file(data_dir: Path, name: str) -> Path:
    path = data_dir / name
    if not path.is_file():
        raise InputError(
            f"{name} not found in {data_dir}; MPI-INF-3DHP is had from https://vcai.mpi-inf.mpg.de/3dhp-dataset/ and "
            "prepared as P-STMO does, with annot3 and not univ_annot3; to try the project without data give --sample"
        )
    return path


def _videos(data: Any, path: Path) -> Iterator[tuple[str, str, Any]]:
    """Recording, camera and arrays of every training video."""
    if not isinstance(data, dict) or not data:
        raise InputError(
            f"{path}: expected 'data' to be a dict of recordings such as 'S1 Seq1', found {describe(data)}"
        )
    for recording, groups in data.items():
        where = f"{path}: {recording}"
        if not isinstance(recording, str) or len(recording.split()) != 2:
            raise InputError(f"{where}: expected a subject and a sequence such as 'S1 Seq1' as its name")
        if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
            raise InputError(f"{where}: expected a list of dicts, camera id to arrays, found {describe(groups)}")
        for group in groups:
            yield from ((recording, str(camera), entry) for camera, entry in group.items())


def _array(entry: Any, key: str, where: str) -> np.ndarray:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: expected an array of numbers {key!r}, found {'none' if value is None else describe(value)}"
        )
    return value


def _read_3d(entry: Any, where: str) -> np.ndarray:
    """(F, 17, 3) float64 metres, Human3.6M-17, a copy."""
    points = _array(entry, "data_3d", where)
    if points.ndim != 3 or points.shape[1:] != (JOINTS, 3) or len(points) == 0:
        raise InputError(f"{where}: expected data_3d of shape (frames, {JOINTS}, 3), found {describe(points)}")
    return convert(points, MPI_3DHP_17, H36M_17).astype(np.float64) / MILLIMETRES


def _read_2d(entry: Any, where: str) -> np.ndarray:
    """(F, 17, 2) float64 pixels, Human3.6M-17."""
    pixels, frames = _array(entry, "data_2d", where), len(entry["data_3d"])
    if pixels.shape != (frames, JOINTS, 2):
        raise InputError(
            f"{where}: expected data_2d of shape ({frames}, {JOINTS}, 2), as data_3d, found {describe(pixels)}"
        )
    _check_finite(pixels, f"{where}: data_2d")
    return convert(pixels, MPI_3DHP_17, H36M_17).astype(np.float64)


def _read_flags(entry: Any, key: str, frames: int, allowed: Any, where: str) -> np.ndarray:
    """(F,) int64. MATLAB's single rows and columns are understood."""
    flags = _array(entry, key, where)
    if flags.size != frames or max(flags.shape) != frames:
        raise InputError(f"{where}: expected {key!r} to have {frames} frames, as data_3d, found {describe(flags)}")
    wrong = flags[~np.isin(flags, list(allowed))]
    if wrong.size:
        raise InputError(
            f"{where}: expected {key!r} to be {'0 or 1' if key == 'valid' else '1 to 7'} in every frame, found "
            f"{wrong[0]} and the like in {wrong.size} of {frames} frames; prepare the file again"
        )
    return flags.reshape(frames).astype(np.int64)


def _usable(values: np.ndarray) -> np.ndarray:
    """(F,) bool of (F, 17, D): every number of the frame can be computed with."""
    return (np.abs(values) < LARGEST_NUMBER).all((1, 2))  # False for NaN too


def _check_finite(values: np.ndarray, where: str) -> None:
    bad = ~_usable(values)
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} frames hold NaN, infinity or absurd numbers, the first is frame "
            f"{bad.argmax()}; fill or leave out these frames"
        )


def _check_labels(points: np.ndarray, valid: np.ndarray, where: str) -> None:
    """Of the valid frames: finite, of a person's size, in front of the camera."""
    judged = np.where(valid[:, None, None], points, points[valid.argmax()])  # as many, so that frame numbers stay
    _check_finite(judged, f"{where}: data_3d")
    size = float(np.median(np.linalg.norm(np.ptp(points[valid], axis=1), axis=-1)))
    if not SMALLEST_PERSON <= size <= LARGEST_PERSON:
        hint = "; these look like metres, multiply by 1000" if size < 10 / MILLIMETRES else ""
        raise InputError(
            f"{where}: data_3d is {size * MILLIMETRES:.3g} across, expected a person in millimetres, "
            f"{SMALLEST_PERSON * MILLIMETRES:.0f} to {LARGEST_PERSON * MILLIMETRES:.0f}{hint}"
        )
    behind = np.any(judged[..., 2] <= 0, axis=1)
    if behind.any():
        raise InputError(
            f"{where}: data_3d has joints at or behind the camera in {behind.sum()} of {len(behind)} frames, the first "
            f"is frame {behind.argmax()}; expected camera space, not relative to the pelvis; prepare it from annot3"
        )


def _check_pixels(pixels: np.ndarray, camera: Camera, where: str) -> None:
    if np.abs(pixels).max() < SMALLEST_PIXELS:
        raise InputError(
            f"{where}: all of data_2d is below {SMALLEST_PIXELS}, expected pixels; these look normalised, prepare it "
            "from annot2"
        )
    size = np.array([camera.width, camera.height])
    inside = ((pixels > -size / 2) & (pixels < size * 3 / 2)).all(-1).mean()
    if inside < 0.5:
        raise InputError(
            f"{where}: {1 - inside:.0%} of data_2d lies far outside the image, expected pixels of "
            f"{camera.width} x {camera.height}; prepare it from annot2 of the original videos"
        )


@dataclass
class _Doubts:
    """What does not stop the reading but the user should know, one line per kind and not per video."""

    path: Path
    videos: int = 0
    order: list[str] = field(default_factory=list)
    misfit: list[str] = field(default_factory=list)

    def look_at(self, video: LabelledVideo, valid: np.ndarray, where: str) -> None:
        self.videos += 1
        pose, trajectory = video.pose[valid], video.trajectory[valid]
        warning = check_joint_order(pose)
        if warning:
            as_read = convert(pose, H36M_17, MPI_3DHP_17)  # the file's joints, whatever they are
            other = check_joint_order(as_read) is None
            self.order.append(f"{where}: {warning}{f'; it looks like {H36M_17.name} order' if other else ''}")
        projected = project(pose + trajectory[:, None], video.intrinsics)
        distance = (projected - video.keypoints[valid]).norm(dim=-1).median().item() * video.width / 2
        if distance > LARGEST_MISFIT:
            self.misfit.append(f"{where}: the 2D lies {distance:.0f} px (median) from the projected 3D")

    def notes(self) -> list[str]:
        mends = (
            (self.order, f"the file must have its joints in {MPI_3DHP_17.name} order, {MPI_3DHP_17.joints[0]} first"),
            (self.misfit, "2D and 3D or the intrinsics do not belong together"),
        )
        return [
            f"{self.path}: {found[0]} ({len(found)} of {self.videos} videos like this); {mend}"
            for found, mend in mends
            if found
        ]
