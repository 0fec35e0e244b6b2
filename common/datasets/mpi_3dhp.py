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
from ..geometry.camera import Camera
from ..geometry.skeleton import MPI_3DHP_17
from .cameras_3dhp import TEST_SEQUENCES, TrainingCameras, test_cameras
from .keypoints import Keypoints
from .mpi_3dhp_files import (
    FRAME_RATE,
    check_flags,
    check_frames,
    check_video,
    find_file,
    rate_note,
    read_2d,
    read_3d,
    read_flags,
    seen_joints,
    split_name,
    test_rate,
    training_videos,
    usable,
)
from .npz import read_label, read_object
from .open_layout import Rates
from .plausibility import check_videos
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

    Where there is 3D, it is held against the 2D, for notes where the two do not belong together, and forgotten; with
    "estimate", cameras are fitted to it.
    """
    return _load_train(data_dir, intrinsics, labelled=False)


def _load_train(data_dir: Path, intrinsics: str, labelled: bool) -> Dataset[Video]:
    path = find_file(data_dir, TRAIN_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    data = read_object(path, "data")
    cameras, missing = TrainingCameras(intrinsics, path), _Missing()
    train: list[Video] = []
    unusable: list[str] = []
    for recording, camera_name, fps, entry in training_videos(data, path):
        name = f"{recording}, camera {camera_name}"
        where = f"{path}: {name}"
        keypoints, camera = read_2d(entry, fps, where), cameras.camera(recording, camera_name)
        has_labels = isinstance(entry, dict) and "data_3d" in entry
        points = None
        if labelled or has_labels and intrinsics == "estimate":
            points = _labels(entry, keypoints, camera, where)
        else:
            check_video(None, keypoints, camera, where)
            try:
                points = _labels(entry, keypoints, camera, name) if has_labels else None
            except InputError as error:
                unusable.append(str(error))
        camera = cameras.fitted(camera, points, keypoints.pixels, seen_joints(keypoints), where)
        both = (*split_name(recording), camera)
        train.append(_video(*both, keypoints, fps) if points is None else _labelled(*both, points, keypoints, fps))
        missing.look_at(keypoints, name)
    known = [video for video in train if isinstance(video, LabelledVideo)]
    found = check_videos(known, str(path), exact=intrinsics == "file", order=MPI_3DHP_17)
    wrong, doubts = (_with_intrinsics(lines, intrinsics) for lines in (found.contradictions, found.doubts))
    if labelled and wrong:
        raise InputError(wrong[0])
    if unusable:
        count = f"the 3D of {len(unusable)} of {len(train)} videos"
        wrong.append(f"{path}: {count} is not held against the 2D, it cannot be used: {unusable[0]}")
    notes = [cameras.summary(), *rate_note(data, path), *wrong, *doubts, *missing.notes(path, len(train))]
    videos = train if labelled else [video.unlabelled() for video in train]
    return Dataset(videos, provenance, synthetic, {path.name: sha256(path)}, notes)


def _with_intrinsics(lines: list[str], intrinsics: str) -> list[str]:
    """Lines about 2D and 3D, with what else may be wrong where the user gave the intrinsics."""
    given = "" if intrinsics in ("file", "estimate") else ", or give the true --target-intrinsics"
    return [f"{said}{given}" if "2D and 3D" in said else said for said in lines]


def _labels(entry: Any, keypoints: Keypoints, camera: Camera, where: str) -> np.ndarray:
    """(F, 17, 3) metres, checked together with the keypoints."""
    points = read_3d(entry, where, "without labels a recording can be adapted to, but nothing is trained on it")
    check_frames(keypoints, points, where)
    check_video(points, keypoints, camera, where)
    return points


def load_3dhp_test(data_dir: Path) -> Dataset[TestSequence]:
    """Read `data_test_3dhp_ori.npz`: those of TS1 to TS6 that it holds.

    The cameras are the data set's own, see `cameras_3dhp.test_cameras`. Labels of invalid frames are not judged; frames
    of them that hold NaN or infinity are set to zero.

    Raises:
        InputError: the file is missing or is not what the layout says, or holds none of TS1 to TS6.
    """
    path = find_file(data_dir, TEST_FILE)
    provenance, synthetic = read_label(path, UNLABELLED)
    data, missing, rates = read_object(path, "data"), _Missing(), Rates(path, FRAME_RATE)
    names = list(data) if isinstance(data, dict) else []
    cameras = {name: camera for name, camera in test_cameras().items() if name in names}
    if not cameras:
        raise InputError(
            f"{path}: expected 'data' to hold some of {', '.join(TEST_SEQUENCES)}, found "
            f"{', '.join(map(str, names)) or 'none'}; prepare the file from the official test sequences"
        )
    test: list[TestSequence] = []
    for name, camera in cameras.items():
        entry, where = data[name], f"{path}: {name}"
        fps = test_rate(entry, name, rates, where)
        points, keypoints = read_3d(entry, where, "test sequences are scored against it"), read_2d(entry, fps, where)
        check_frames(keypoints, points, where)
        valid, activity = _flags(entry, len(points), where)
        points[~valid & ~usable(points)] = 0
        check_video(points, keypoints, camera, where, valid)
        video = _labelled(name, name, camera, points, keypoints, fps)
        test.append(TestSequence(**vars(video), valid=torch.from_numpy(valid), activity=activity))
        missing.look_at(keypoints, name)
    found = check_videos(test, str(path), exact=True, valid=[video.valid for video in test], order=MPI_3DHP_17)
    if found.contradictions:
        raise InputError(found.contradictions[0])
    notes = [*found.doubts, *missing.notes(path, len(test))]
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
class _Missing:
    """Videos with missing joints: one line for all of them."""

    videos: list[tuple[float, str]] = field(default_factory=list)  # share of the joints, text

    def look_at(self, keypoints: Keypoints, name: str) -> None:
        if keypoints.missing:
            self.videos.append((keypoints.share, f"{name}: {keypoints.note()}"))

    def notes(self, path: Path, total: int) -> list[str]:
        if not self.videos:
            return []
        worst = max(self.videos)[1]
        return [f"{path}: {len(self.videos)} of {total} videos have missing joints, most of all {worst}"]
