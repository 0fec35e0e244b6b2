"""Human3.6M in VideoPose3D's npz layout: the only file that knows what these files look like."""

from collections.abc import Mapping
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..files import sha256
from ..geometry.camera import project, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, convert
from .cameras_h36m import h36m_cameras, h36m_subjects
from .npz import describe, read_label, read_object, write_npz
from .video import Dataset, LabelledVideo

FILE_3D = "data_3d_h36m.npz"
FILE_2D = "data_2d_h36m_{}.npz"
FRAME_RATE = 50  # of the motion capture and, after cutting, of the videos
JOINTS = len(H36M_17.joints)
UNLABELLED = "Human3.6M-layout files without a provenance entry (taken as the user's own)"
# The one video that releases of the data set are known to lack or to have damaged.
UNRELIABLE = ("S11", "Directions")
LARGEST_PERSON = 10  # metres; anything larger is in another unit
SMALLEST_PIXELS = 4  # keypoints all nearer to zero than this are not pixels


def load_h36m(
    data_dir: Path, keypoints: str, subjects: Many[str], actions: Many[str] = ("*",)
) -> Dataset[LabelledVideo]:
    """Read `data_3d_h36m.npz` and `data_2d_h36m_<keypoints>.npz` (layout: VideoPose3D, DATASETS.md).

    The videos come subject by subject, action by action, the four cameras of an action in turn.
    Both 3D with the 32 joints of the data set and with the 17 that move are understood. 2D longer than the 3D is cut.

    Args:
        keypoints: whose 2D: gt, cpn_ft_h36m_dbb, ...
        subjects: S1, S5, ...
        actions: names without the take's number, "Walking" for "Walking" and "Walking 1"; or with it; "*" is all.

    Raises:
        InputError: a file, subject, action or camera is missing, or an array is not what the layout says.
    """
    path_3d, path_2d = _find_files(data_dir, keypoints)
    positions_3d = _by_subject(read_object(path_3d, "positions_3d"), path_3d, "positions_3d")
    positions_2d = _by_subject(read_object(path_2d, "positions_2d"), path_2d, "positions_2d")
    _check_metadata(read_object(path_2d, "metadata"), path_2d)
    provenance, synthetic = read_label(path_3d, UNLABELLED)
    label_2d = read_label(path_2d, UNLABELLED)
    if (provenance, synthetic) != label_2d:
        raise InputError(
            f"{path_2d}: its provenance is {label_2d[0]!r}, that of {path_3d.name} is {provenance!r}; "
            "use files that were made together"
        )
    for subject in subjects:
        for path, positions in ((path_3d, positions_3d), (path_2d, positions_2d)):
            if subject not in positions:
                raise InputError(f"{path}: subject {subject} is missing, found {', '.join(positions) or 'none'}")
        if subject not in h36m_subjects():
            raise InputError(
                f"{path_3d}: subject {subject} has no camera calibration, expected one of {', '.join(h36m_subjects())}"
            )
    files = {path.name: sha256(path) for path in (path_3d, path_2d)}
    data: Dataset[LabelledVideo] = Dataset([], provenance, synthetic, files)
    chosen = _choose_actions(positions_3d, positions_2d, subjects, actions, path_3d)
    for subject in subjects:
        before = len(data.videos)
        for action in chosen[subject]:
            try:
                data.videos += _load_action(path_3d, path_2d, positions_3d, positions_2d, subject, action)
            except InputError as error:
                if (subject, action) != UNRELIABLE:
                    raise
                data.notes.append(f"left out {subject} {action}, which some releases lack or have damaged: {error}")
        if len(data.videos) == before:
            raise InputError(f"{path_3d}: subject {subject} has no usable action among {', '.join(actions)}")
    return data


def _find_files(data_dir: Path, keypoints: str) -> tuple[Path, Path]:
    path_3d, path_2d = data_dir / FILE_3D, data_dir / FILE_2D.format(keypoints)
    missing = [path.name for path in (path_3d, path_2d) if not path.is_file()]
    pattern = FILE_2D.format("*")
    start, end = pattern.split("*")
    present = sorted(path.name.removeprefix(start).removesuffix(end) for path in data_dir.glob(pattern))
    if missing == [path_2d.name] and present:
        raise InputError(
            f"{path_2d}: no such file, so there are no keypoints named {keypoints!r}; "
            f"{data_dir} has {', '.join(present)}: ask for one of these"
        )
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not found in {data_dir}; Human3.6M is had from "
            "http://vision.imar.ro/human3.6m (by licence) and prepared as VideoPose3D's DATASETS.md says; for motion "
            "capture run python data/prepare_mocap.py; to try the project without data give --sample"
        )
    return path_3d, path_2d


def _by_subject(tree: Any, path: Path, key: str) -> dict[str, dict[str, Any]]:
    if not isinstance(tree, dict) or not all(isinstance(actions, dict) for actions in tree.values()):
        raise InputError(
            f"{path}: expected {key!r} to be a dict of subjects, each a dict of actions; found another layout; "
            "prepare it as VideoPose3D's DATASETS.md says"
        )
    return tree


def _check_metadata(metadata: Any, path: Path) -> None:
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: expected 'metadata' to be a dict, found {type(metadata).__name__}")
    joints, symmetry = metadata.get("num_joints"), metadata.get("keypoints_symmetry")
    if joints != JOINTS:
        raise InputError(f"{path}: metadata says num_joints {joints}, expected {JOINTS} ({H36M_17.name})")
    expected = [H36M_17.left_indices, H36M_17.right_indices]
    try:
        pairs = set(zip(*list(symmetry or ()), strict=True))
    except (TypeError, ValueError):
        pairs = set()
    if pairs != set(zip(*expected)):
        raise InputError(
            f"{path}: metadata says keypoints_symmetry {symmetry}, expected [left, right] = {expected} ({H36M_17.name})"
        )


def _choose_actions(
    positions_3d: Mapping[str, Mapping],
    positions_2d: Mapping[str, Mapping],
    subjects: Many[str],
    actions: Many[str],
    path: Path,
) -> dict[str, list[str]]:
    """Per subject the actions of either file that are asked for, in the 3D file's order."""
    known = {s: list(dict.fromkeys([*positions_3d[s], *positions_2d[s]])) for s in subjects}
    every = list(dict.fromkeys(action for names in known.values() for action in names))
    for wanted in actions:
        if wanted != "*" and not any(wanted in (name, name.split(" ")[0]) for name in every):
            names = ", ".join(sorted({name.split(" ")[0] for name in every}))
            raise InputError(f"{path}: no action {wanted!r} for {', '.join(subjects)}, found {names}")
    if "*" in actions:
        return known
    return {s: [n for n in names if n in actions or n.split(" ")[0] in actions] for s, names in known.items()}


def _load_action(
    path_3d: Path, path_2d: Path, positions_3d: Mapping, positions_2d: Mapping, subject: str, action: str
) -> list[LabelledVideo]:
    """The four views of one recording."""
    for path, positions in ((path_3d, positions_3d), (path_2d, positions_2d)):
        if action not in positions[subject]:
            other = path_2d if path is path_3d else path_3d
            raise InputError(f"{path}: subject {subject} lacks action {action!r}, which {other.name} has")
    poses = _check_poses(positions_3d[subject][action], f"{path_3d}: {subject} {action}")
    views, cameras = positions_2d[subject][action], h36m_cameras(subject)
    where = f"{path_2d}: {subject} {action}"
    if not isinstance(views, (list, tuple)) and not (isinstance(views, np.ndarray) and views.ndim == 4):
        raise InputError(f"{where}: expected a list of {len(cameras)} cameras, found {describe(views)}")
    if len(views) != len(cameras):
        names = ", ".join(camera.name for camera in cameras)
        lacking = "".join(f"; camera {camera.name} is missing" for camera in cameras[len(views) :])
        raise InputError(f"{where}: expected {len(cameras)} cameras ({names}), found {len(views)}{lacking}")
    world = torch.from_numpy(convert(poses, H36M_17 if poses.shape[1] == JOINTS else H36M_32, H36M_17))
    videos = []
    for view, camera in zip(views, cameras):
        pixels = torch.from_numpy(_check_keypoints(view, len(poses), f"{where}, camera {camera.name}"))
        points = world_to_camera(world, camera)
        videos.append(LabelledVideo.from_points(subject, action, camera, points, pixels, FRAME_RATE, camera.up()))
    return videos


def _check_poses(poses: Any, where: str) -> np.ndarray:
    """(F, 32 or 17, 3) float64."""
    counts = (len(H36M_32.joints), JOINTS)
    if not _is_numbers(poses) or poses.shape[1] not in counts or poses.shape[2] != 3 or len(poses) == 0:
        raise InputError(
            f"{where}: expected numbers of shape (frames, {counts[0]} or {counts[1]}, 3), found {describe(poses)}"
        )
    _check_finite(poses, where)
    size = float(np.median(np.linalg.norm(np.ptp(poses, axis=1), axis=-1)))
    if size > LARGEST_PERSON:
        raise InputError(
            f"{where}: the person is {size:.0f} across, expected metres; these look like millimetres, divide by 1000"
        )
    return poses.astype(np.float64)


def _check_keypoints(pixels: Any, frames: int, where: str) -> np.ndarray:
    """(frames, 17, 2) float64, cut to the length of the motion capture."""
    if not _is_numbers(pixels) or pixels.shape[1:] != (JOINTS, 2):
        raise InputError(f"{where}: expected numbers of shape (frames, {JOINTS}, 2), found {describe(pixels)}")
    if len(pixels) < frames:
        raise InputError(f"{where}: 2D of {len(pixels)} frames is shorter than the 3D of {frames} frames")
    pixels = pixels[:frames].astype(np.float64)
    _check_finite(pixels, where)
    if np.abs(pixels).max() < SMALLEST_PIXELS:
        raise InputError(f"{where}: all values are below {SMALLEST_PIXELS}, expected pixels; these look normalised")
    return pixels


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == 3


def _check_finite(values: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(values).all((1, 2))
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} frames hold NaN or infinity, the first is frame {bad.argmax()}"
        )


def project_h36m(positions: np.ndarray, subject: str) -> list[np.ndarray]:
    """What the four cameras of a subject see, lens distortion included.

    Args:
        positions: (F, 32, 3) Human3.6M-32 joints, world metres.

    Returns:
        Per camera (F, 17, 2) float32, Human3.6M-17 joints, pixels.

    Raises:
        InputError: the subject's cameras are not known.
    """
    if subject not in h36m_subjects():
        raise InputError(f"subject {subject!r} has no Human3.6M cameras; those that have: {', '.join(h36m_subjects())}")
    world = torch.from_numpy(convert(positions, H36M_32, H36M_17).astype(np.float64))  # (F, 17, 3)
    return [
        project(world_to_camera(world, camera), world.new_tensor(camera.intrinsics)).float().numpy()
        for camera in h36m_cameras(subject)
    ]


def write_h36m(
    out_dir: Path,
    positions_3d: Mapping[str, Mapping[str, np.ndarray]],
    keypoints: Mapping[str, Mapping[str, Mapping[str, list[np.ndarray]]]],
    provenance: str,
    synthetic: bool,
) -> None:
    """Write `data_3d_h36m.npz` and per set of keypoints `data_2d_h36m_<name>.npz` (layout: VideoPose3D, DATASETS.md).

    Args:
        positions_3d: subject -> action -> (F, 32, 3), world metres, 50 fps.
        keypoints: name -> subject -> action -> per camera (F, 17, 2), pixels.
        provenance: one line that says what the data is; every report repeats it.
        synthetic: True when no person was recorded.
    """
    label = {"provenance": provenance, "synthetic": synthetic}
    metadata = {
        "layout_name": "h36m",
        "num_joints": JOINTS,
        "keypoints_symmetry": [H36M_17.left_indices, H36M_17.right_indices],
    }
    write_npz(
        out_dir / FILE_3D,
        positions_3d={
            subject: {action: poses.astype(np.float32) for action, poses in actions.items()}
            for subject, actions in positions_3d.items()
        },
        **label,
    )
    for name, subjects in keypoints.items():
        positions_2d = {
            subject: {action: [view.astype(np.float32) for view in views] for action, views in actions.items()}
            for subject, actions in subjects.items()
        }
        write_npz(out_dir / FILE_2D.format(name), positions_2d=positions_2d, metadata=metadata, **label)
