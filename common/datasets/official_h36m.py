"""Human3.6M as its makers give it out (Ionescu et al., PAMI 2014) to the npz files of `h36m`.

`S*/MyPoseFeatures/D3_Positions/*.cdf`, variable `Pose` (1, frames, 96), world axes, millimetres: 32 joints. Also what
others made of these files: `.cdf.mat` of VideoPose3D's MATLAB script (cell `data`) and `.h5` of Martinez et al.
(`MyPoses/3D_positions`, variable `3D_positions` (96, frames)).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import H36M_17, H36M_32
from ..units import MILLIMETRES
from .h36m import UNRELIABLE
from .h36m_checks import FILE_2D, FILE_3D
from .h36m_writing import project_h36m, write_h36m
from .matlab import AGAIN, need, read_mat, whole
from .npz import describe, read_object
from .official_files import Recordings, find_folders, refuse_halves

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
FOLDERS = ("MyPoseFeatures/D3_Positions", "MyPoses/3D_positions")
ENDINGS = (".mat", ".h5", ".cdf")  # where one recording is there in several, the first; they hold the same numbers
VARIABLES = ("Pose", "data", "3D_positions")
TAKES = 30  # of every subject
CAMERAS = 4
# VideoPose3D's names of actions, which published files and tables use.
RENAMED = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
SMALLEST_PERSON, LARGEST_PERSON = 300, 4000  # millimetres across, as the median over a recording
DETECTIONS = re.compile(r"data_2d_h36m_(.+)\.npz")

Say = Callable[[str], None]


def prepare_h36m(source: Path, out: Path, detections: Sequence[Path] = (), say: Say = print) -> list[Path]:
    """Write `data_3d_h36m.npz`, `data_2d_h36m_gt.npz` (projected) and `data_2d_h36m_<name>.npz` per file of detections.

    Args:
        source: the folder that holds S1, S5 and so on, or one or two levels above.
        detections: 2D of detectors in VideoPose3D's layout, `data_2d_h36m_<name>.npz`.
        say: is given a line per recording.

    Returns:
        The files written.

    Raises:
        InputError: a file is missing, half downloaded or not what the data set's are, or detections do not fit.
    """
    names = {_detection_name(path, out): path for path in detections}
    recordings, kept = _find(source), Recordings(out, "h36m")
    if recordings.pop(UNRELIABLE, None):
        say(f"note: {' '.join(UNRELIABLE)} is left out, the official file is known to be corrupt")
    poses: dict[str, dict[str, np.ndarray]] = {}
    exact: dict[str, dict[str, list[np.ndarray]]] = {}
    for (subject, action), path in recordings.items():
        arrays, before = kept.get(f"{subject} {action}", (path,), "", partial(_make, subject, path))
        poses.setdefault(subject, {})[action] = arrays["poses"]
        exact.setdefault(subject, {})[action] = [arrays[f"view{i}"] for i in range(CAMERAS)]
        say(f"{subject} {action}: {len(arrays['poses'])} frames{' (made before)' if before else ''}")
    for subject, actions in poses.items():
        takes = TAKES - (subject == UNRELIABLE[0])
        if len(actions) != takes:
            say(f"note: {subject} has {len(actions)} recordings, the full data set {takes}")
    absent = [subject for subject in SUBJECTS if subject not in poses]
    if absent:
        say(f"note: not in {source}: {', '.join(absent)}")
    keypoints: dict[str, Any] = {"gt": exact}
    for name, path in names.items():
        keypoints[name] = _detected(path, poses, say)
    provenance = (
        f"Human3.6M, official download, 3D positions of {', '.join(poses)}, prepared by data/prepare_h36m.py; "
        "gt 2D is projected, lens distortion included"
    )
    write_h36m(out, poses, keypoints, provenance, synthetic=False)
    kept.remove()
    return [out / FILE_3D, *(out / FILE_2D.format(name) for name in keypoints)]


def action_name(file_name: str) -> str:
    """Without endings and the camera's number: "WalkingDog 1.54138969.cdf.mat" -> "WalkDog 1"."""
    name = re.sub(r"(\.\d+)?(\.cdf|\.mat|\.h5)+$", "", file_name, flags=re.IGNORECASE)
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    return name


def _find(source: Path) -> dict[tuple[str, str], Path]:
    """(subject, action) -> its file, subject by subject in the data set's order."""
    folders = find_folders(source, "|".join(SUBJECTS))
    if not folders:
        raise InputError(
            f"--source {source}: no S1 to S11 found, expected S1/{FOLDERS[0]} and so on; "
            "give the folder that holds them"
        )
    found: dict[tuple[str, str], Path] = {}
    for subject in sorted(folders, key=SUBJECTS.index):
        inside = [folders[subject] / name for name in FOLDERS if (folders[subject] / name).is_dir()]
        if not inside:
            raise InputError(
                f"{folders[subject]}: no {FOLDERS[0]} in it; unpack Poses_D3_Positions_{subject}.tgz there, or move "
                "the folder out of --source to leave the subject out"
            )
        refuse_halves(inside[0])
        files = [path for path in sorted(inside[0].iterdir()) if path.suffix.lower() in ENDINGS]
        if not files:
            raise InputError(
                f"{inside[0]}: no {', '.join(ENDINGS)} files; unpack Poses_D3_Positions_{subject}.tgz there"
            )
        for path in sorted(files, key=lambda path: ENDINGS.index(path.suffix.lower())):
            key = subject, action_name(path.name)
            if key in found and found[key].suffix.lower() == path.suffix.lower():
                raise InputError(
                    f"{path}: a second file of {' '.join(key)}, beside {found[key].name}; expected one per recording, "
                    "in world axes (D3_Positions, not D3_Positions_mono); move one away"
                )
            found.setdefault(key, path)
    return {key: found[key] for key in sorted(found, key=lambda key: (SUBJECTS.index(key[0]), key[1]))}


def _make(subject: str, path: Path) -> dict[str, np.ndarray]:
    """poses (F, 32, 3) world metres, and view0 to view3 (F, 17, 2) pixels, float32."""
    poses = read_positions(path)
    return {"poses": poses} | {f"view{i}": view for i, view in enumerate(project_h36m(poses, subject))}


def read_positions(path: Path) -> np.ndarray:
    """The positions in one of the data set's files.

    Returns:
        (F, 32, 3) float32 world metres.

    Raises:
        InputError: truncated, no such variable, not 32 joints, not millimetres, or an extra that is not installed.
    """
    name, values = _read_cdf(path) if path.suffix.lower() == ".cdf" else _read_mat(path)
    columns = 3 * len(H36M_32.joints)
    table = values.reshape([size for size in values.shape if size != 1] or [1])
    if table.ndim == 2 and table.shape[1] != columns:
        table = table.T
    if table.ndim != 2 or table.shape[1] != columns:
        raise InputError(f"{path}: expected {name} of (1, frames, {columns}), found {values.shape}; {AGAIN}")
    poses = table.reshape(-1, len(H36M_32.joints), 3).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(poses).all((1, 2)))
    if len(bad):
        raise InputError(
            f"{path}: {len(bad)} of {len(poses)} frames hold NaN or infinity, the first is frame {bad[0]}; {AGAIN}"
        )
    size = float(np.median(np.linalg.norm(np.ptp(poses, axis=1), axis=-1)))
    if not SMALLEST_PERSON <= size <= LARGEST_PERSON:
        raise InputError(
            f"{path}: the person is {size:.3g} across, expected millimetres, {SMALLEST_PERSON} to {LARGEST_PERSON}; "
            "use the official files, or multiply by 1000 if these are metres"
        )
    return (poses / MILLIMETRES).astype(np.float32)


def _read_cdf(path: Path) -> tuple[str, np.ndarray]:
    cdflib = need("cdflib", path)

    def read() -> np.ndarray | None:
        with cdflib.CDF(path) as file:
            info = file.cdf_info()
            return np.asarray(file.varget("Pose")) if "Pose" in (*info.zVariables, *info.rVariables) else None

    values = whole(path, read)
    if values is None or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected the variable Pose, numbers, found none; {AGAIN}")
    return "Pose", values


def _read_mat(path: Path) -> tuple[str, np.ndarray]:
    content = read_mat(path, VARIABLES)
    if not content:
        raise InputError(f"{path}: expected one of the variables {', '.join(VARIABLES)}, found none of them; {AGAIN}")
    name, values = next(iter(content.items()))
    if isinstance(values, list):
        if len(values) != 1:
            raise InputError(f"{path}: expected {name} of one cell, found {len(values)}; {AGAIN}")
        return name, values[0]
    return name, values


def _detection_name(path: Path, out: Path) -> str:
    match = DETECTIONS.fullmatch(path.name)
    if not match or match[1] == "gt":
        raise InputError(
            f"--detections {path}: expected a name like data_2d_h36m_cpn_ft_h36m_dbb.npz, and not gt; rename"
        )
    if not path.is_file():
        raise InputError(f"--detections {path}: no such file")
    if path.resolve() == (out / path.name).resolve():
        raise InputError(f"--detections {path}: it would be written over; move it out of {out}, or give another --out")
    return match[1]


def _detected(path: Path, poses: Mapping[str, Mapping[str, np.ndarray]], say: Say) -> dict[str, dict[str, list]]:
    """The detections of the recordings that have 3D; confidences, where there are, stay."""
    positions, metadata = read_object(path, "positions_2d"), read_object(path, "metadata")
    joints = len(H36M_17.joints)
    sides = [H36M_17.left_indices, H36M_17.right_indices]
    try:
        same = metadata["num_joints"] == joints and {*zip(*metadata["keypoints_symmetry"])} == {*zip(*sides)}
    except (KeyError, IndexError, TypeError, ValueError):
        same = False
    if not same:
        raise InputError(
            f"{path}: expected metadata of {H36M_17.name}, num_joints {joints} and keypoints_symmetry {sides}, found "
            f"{repr(metadata)[:200]}; detections in another joint order, such as COCO's, do not fit"
        )
    if not isinstance(positions, dict) or not all(isinstance(actions, dict) for actions in positions.values()):
        raise InputError(f"{path}: expected positions_2d to be a dict of subjects, each a dict of actions")
    found: dict[str, dict[str, list]] = {}
    for subject, actions in poses.items():
        if subject not in positions:
            raise InputError(f"{path}: subject {subject} is missing, found {', '.join(map(str, positions))}")
        for action, pose in actions.items():
            where = f"{path}: {subject} {action}"
            if action not in positions[subject]:
                raise InputError(f"{where}: missing, the 3D has it; found {', '.join(map(str, positions[subject]))}")
            views = positions[subject][action]
            if not isinstance(views, (list, tuple, np.ndarray)) or len(views) != CAMERAS:
                raise InputError(f"{where}: expected a list of {CAMERAS} cameras, found {describe(views)}")
            found.setdefault(subject, {})[action] = [
                _view(view, len(pose), f"{where}, camera {number}") for number, view in enumerate(views)
            ]
    extra = sum(action not in poses.get(s, ()) for s, actions in positions.items() for action in actions)
    say(f"{path.name}: fits{f'; note: {extra} recordings without 3D are left out' if extra else ''}")
    return found


def _view(view: Any, frames: int, where: str) -> np.ndarray:
    """(frames, 17, 2 or 3), cut to the length of the 3D: some videos go on a little longer."""
    joints = len(H36M_17.joints)
    good = isinstance(view, np.ndarray) and view.dtype.kind in "fiu" and view.ndim == 3 and view.shape[1] == joints
    if not good or view.shape[2] not in (2, 3):
        raise InputError(f"{where}: expected numbers of shape (frames, {joints}, 2 or 3), found {describe(view)}")
    if len(view) < frames:
        raise InputError(f"{where}: {len(view)} frames, the 3D has {frames}; these detections are of other videos")
    return view[:frames]
