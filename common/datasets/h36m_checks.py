"""What files in Human3.6M's layout must be like: their names, and the checks of what is in them."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import H36M_17, H36M_32
from .keypoints import Keypoints, filled_keypoints
from .npz import describe

FILE_3D = "data_3d_h36m.npz"
FILE_2D = "data_2d_h36m_{}.npz"
JOINTS = len(H36M_17.joints)
LARGEST_PERSON = 10  # metres; anything larger is in another unit
SMALLEST_PIXELS = 4  # keypoints all nearer to zero than this are not pixels


def find_files(data_dir: Path, keypoints: str) -> tuple[Path, Path]:
    path_3d, path_2d = data_dir / FILE_3D, data_dir / FILE_2D.format(keypoints)
    missing = [path.name for path in (path_3d, path_2d) if not path.is_file()]
    present = keypoint_names(data_dir)
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


def keypoint_names(data_dir: Path) -> list[str]:
    """The kinds of keypoints that a folder holds, as `-k` takes them."""
    pattern = FILE_2D.format("*")
    start, end = pattern.split("*")
    return sorted(path.name.removeprefix(start).removesuffix(end) for path in data_dir.glob(pattern))


def by_subject(tree: Any, path: Path, key: str) -> dict[str, dict[str, Any]]:
    if not isinstance(tree, dict) or not all(isinstance(actions, dict) for actions in tree.values()):
        raise InputError(
            f"{path}: expected {key!r} to be a dict of subjects, each a dict of actions; found another layout; "
            "prepare it as VideoPose3D's DATASETS.md says"
        )
    return tree


def check_metadata(metadata: Any, path: Path) -> None:
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


def check_poses(poses: Any, where: str) -> np.ndarray:
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


def read_view(view: Any, fps: float, where: str) -> Keypoints:
    """One camera's keypoints; lists of lists are understood."""
    if isinstance(view, (list, tuple)):
        try:
            view = np.array(view, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: expected numbers of shape (frames, {JOINTS}, 2 or 3), found a list") from None
    seen = filled_keypoints(view, JOINTS, fps, where)
    if np.abs(seen.pixels).max() < SMALLEST_PIXELS:
        raise InputError(f"{where}: all values are below {SMALLEST_PIXELS}, expected pixels; these look normalised")
    return seen


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == 3


def _check_finite(values: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(values).all((1, 2))
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} frames hold NaN or infinity, the first is frame {bad.argmax()}"
        )
