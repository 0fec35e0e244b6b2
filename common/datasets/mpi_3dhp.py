"""MPI-INF-3DHP as two npz files (layout: P-STMO): training recordings, with 3D or without, and the test sequences.

Joints are permuted by name to Human3.6M-17, millimetres become metres, pixels normalised screen coordinates.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch

from ..errors import InputError
from ..files import sha256
from ..geometry.camera import Camera, project
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from .cameras_3dhp import LARGEST_MISFIT, TEST_SEQUENCES, TrainingCameras, test_cameras
from .joint_order import check_joint_order
from .keypoints import Keypoints
from .mpi_3dhp_files import (
    FRAME_RATE,
    check_3d,
    check_flags,
    check_frames,
    check_pixels,
    find_file,
    rate_note,
    read_2d,
    read_3d,
    read_flags,
    split_name,
    test_rate,
    training_videos,
    usable,
)
from .npz import read_label, read_object
from .open_layout import Rates
from .video import Dataset, LabelledVideo, Video

TRAIN_FILE, TEST_FILE = "data_train_3dhp_ori.npz", "data_test_3dhp_ori.npz"
ACTIVITIES = range(1, 8)  # 3DHP's classes, see `common.evaluation.scores_3dhp`
UNLABELLED = "MPI-INF-3DHP-layout file without a provenance entry (taken as the user's own)"


@dataclass(frozen=True, kw_only=True)
class TestSequence(LabelledVideo):
    """One of TS1 to TS6: subject, action and camera are its name. Labels of invalid frames mean nothing.

    Attributes:
        valid: (F,) bool, the frames that count.
        activity: (F,) int64, 3DHP's classes 1 to 7, 0 in some of the invalid frames; None where the file has none.
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
    return cast(Dataset[LabelledVideo], _load_train(data_dir, intrinsics, labelled=True))


def load_3dhp_videos(data_dir: Path, intrinsics: str = "file") -> Dataset[Video]:
    """The same videos without labels, to adapt to; recordings without `data_3d` are good, too.

    Where there is 3D, it is held against the 2D, for a note that the two do not belong together, and forgotten; with
    "estimate", cameras are fitted to it.
    """
    return _load_train(data_dir, intrinsics, labelled=False)


def _load_train(data_dir: Path, intrinsics: str, labelled: bool) -> Dataset[Video]:
    path = find_file(data_dir, TRAIN_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    data = read_object(path, "data")
    cameras, doubts = TrainingCameras(intrinsics, path), _Doubts(path)
    train: list[Video] = []
    for recording, camera_name, fps, entry in training_videos(data, path):
        name = f"{recording}, camera {camera_name}"
        where = f"{path}: {name}"
        needed = labelled or intrinsics == "estimate" and isinstance(entry, dict) and "data_3d" in entry
        points = _labels(entry, where) if needed else None
        keypoints = read_2d(entry, fps, where)
        if points is not None:
            check_frames(keypoints, points, where)
        else:
            points = _labels_if_good(entry, len(keypoints.pixels), where)
        seen = None if keypoints.confidence is None else keypoints.confidence > 0
        camera = cameras.camera(recording, camera_name, points, keypoints.pixels, seen)
        check_pixels(keypoints.pixels, camera, where)
        both = (*split_name(recording), camera)
        video = _video(*both, keypoints, fps) if points is None else _labelled(*both, points, keypoints, fps)
        doubts.look_at(video, keypoints, name)
        train.append(video if labelled else video.unlabelled())
    notes = [cameras.summary(), *rate_note(data, path), *doubts.notes()]
    return Dataset(train, provenance, synthetic, {path.name: sha256(path)}, notes)


def _labels(entry: Any, where: str) -> np.ndarray:
    points = read_3d(entry, where, "without labels a recording can be adapted to, but nothing is trained on it")
    check_3d(points, np.ones(len(points), dtype=bool), where)
    return points


def _labels_if_good(entry: Any, frames: int, where: str) -> np.ndarray | None:
    """The labels of `frames` frames where the file has such; None where they are of no use."""
    try:
        points = _labels(entry, where)
    except InputError:
        return None
    return points if len(points) == frames else None


def load_3dhp_test(data_dir: Path) -> Dataset[TestSequence]:
    """Read `data_test_3dhp_ori.npz`: those of TS1 to TS6 that it holds.

    The cameras are the data set's own, see `cameras_3dhp.test_cameras`. Labels of invalid frames are not judged; frames
    of them that hold NaN or infinity are set to zero.

    Raises:
        InputError: the file is missing or is not what the layout says, or holds none of TS1 to TS6.
    """
    path = find_file(data_dir, TEST_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    data, doubts, rates = read_object(path, "data"), _Doubts(path), Rates(path, FRAME_RATE)
    found = list(data) if isinstance(data, dict) else []
    cameras = {name: camera for name, camera in test_cameras().items() if name in found}
    if not cameras:
        raise InputError(
            f"{path}: expected 'data' to hold some of {', '.join(TEST_SEQUENCES)}, found "
            f"{', '.join(map(str, found)) or 'none'}; prepare the file from the official test sequences"
        )
    test: list[TestSequence] = []
    for name, camera in cameras.items():
        entry, where = data[name], f"{path}: {name}"
        fps = test_rate(entry, name, rates, where)
        points, keypoints = read_3d(entry, where, "test sequences are scored against it"), read_2d(entry, fps, where)
        check_frames(keypoints, points, where)
        valid, activity = _flags(entry, len(points), where)
        points[~valid & ~usable(points)] = 0
        check_3d(points, valid, where)
        check_pixels(keypoints.pixels, camera, where)
        video = _labelled(name, name, camera, points, keypoints, fps)
        test.append(TestSequence(**vars(video), valid=torch.from_numpy(valid), activity=activity))
        doubts.look_at(test[-1], keypoints, name)
    notes = doubts.notes()
    if len(test) < len(TEST_SEQUENCES):
        notes.insert(0, f"{path}: {len(test)} of the six test sequences, {', '.join(cameras)}; scores are over these")
    return Dataset(test, provenance, synthetic, {path.name: sha256(path)}, notes)


def _flags(entry: Any, frames: int, where: str) -> tuple[np.ndarray, torch.Tensor | None]:
    """The frames that count (F,) bool, and the activities (F,) int64, which only count in them."""
    flags = read_flags(entry, ("valid", "valid_frame"), frames, where)
    check_flags(flags, ~np.isin(flags, (0, 1)), f"{where}: expected 'valid' to be 0 or 1 in every frame")
    valid = flags == 1
    if not valid.any():
        raise InputError(f"{where}: no frame is valid, expected some with 'valid' 1; prepare the file again")
    keys = ("activity", "activity_annotation")
    if not any(key in entry for key in keys):
        return valid, None
    activity = read_flags(entry, keys, frames, where)
    known = np.isin(activity, list(ACTIVITIES))
    check_flags(activity, valid & ~known, f"{where}: expected 'activity' to be 1 to 7 in every valid frame")
    return valid, torch.from_numpy(np.where(known, activity, 0).astype(np.int64))


def _video(subject: str, action: str, camera: Camera, keypoints: Keypoints, fps: float) -> Video:
    return Video.from_pixels(
        subject, action, camera, torch.from_numpy(keypoints.pixels), fps, confidence=_tensor(keypoints.confidence)
    )


def _labelled(
    subject: str, action: str, camera: Camera, points: np.ndarray, keypoints: Keypoints, fps: float
) -> LabelledVideo:
    both = torch.from_numpy(points), torch.from_numpy(keypoints.pixels)
    return LabelledVideo.from_points(subject, action, camera, *both, fps, confidence=_tensor(keypoints.confidence))


def _tensor(confidence: np.ndarray | None) -> torch.Tensor | None:
    return None if confidence is None else torch.from_numpy(confidence)


@dataclass
class _Doubts:
    """What does not stop the reading but the user should know, one line per kind and not per video."""

    path: Path
    videos: int = 0
    order: list[str] = field(default_factory=list)
    misfit: list[str] = field(default_factory=list)
    missing: list[tuple[float, str]] = field(default_factory=list)  # share of the joints

    def look_at(self, video: Video, keypoints: Keypoints, where: str) -> None:
        self.videos += 1
        if keypoints.missing:
            share = keypoints.missing / (keypoints.pixels.size / 2)
            self.missing.append((share, f"{where}: {keypoints.note()}"))
        if not isinstance(video, LabelledVideo):
            return
        valid = video.valid if isinstance(video, TestSequence) else slice(None)
        pose, trajectory = video.pose[valid], video.trajectory[valid]
        warning = check_joint_order(pose)
        if warning:
            as_read = convert(pose, H36M_17, MPI_3DHP_17)  # the file's joints, whatever they are
            other = check_joint_order(as_read) is None
            self.order.append(f"{where}: {warning}{f'; it looks like {H36M_17.name} order' if other else ''}")
        projected = project(pose + trajectory[:, None], video.intrinsics)
        distance = (projected - video.keypoints[valid]).norm(dim=-1)  # (F, 17)
        if video.confidence is not None:
            distance = distance[video.confidence[valid] > 0]
        median = distance.median().item() * video.width / 2 if distance.numel() else 0.0
        if median > LARGEST_MISFIT:
            self.misfit.append(f"{where}: the 2D lies {median:.0f} px (median) from the projected 3D")

    def notes(self) -> list[str]:
        mends = (
            (self.order, f"the file must have its joints in {MPI_3DHP_17.name} order, {MPI_3DHP_17.joints[0]} first"),
            (self.misfit, "2D and 3D or the intrinsics do not belong together"),
        )
        lines = [
            f"{self.path}: {found[0]} ({len(found)} of {self.videos} videos like this); {mend}"
            for found, mend in mends
            if found
        ]
        if self.missing:
            count = f"{len(self.missing)} of {self.videos} videos have missing joints"
            lines.append(f"{self.path}: {count}, most of all {max(self.missing)[1]}")
        return lines
