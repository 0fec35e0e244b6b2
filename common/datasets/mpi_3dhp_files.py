"""What stands in MPI-INF-3DHP's two npz files, as P-STMO's and D3DP's scripts write them or as this project does.

Every function checks what it reads; what comes out is in Human3.6M-17 order, metres and pixels.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from ..units import MILLIMETRES
from .cameras_3dhp import RECORDINGS, frame_rate
from .joint_order import LARGEST_NUMBER, check_numbers, check_pixels
from .keypoints import Keypoints, filled_keypoints
from .npz import describe
from .open_layout import HIGHEST_RATE, Rates

FRAME_RATE = 50.0  # frames a second, where neither a file nor the data set's makers say it
JOINTS = len(MPI_3DHP_17.joints)
LARGEST_CONFIDENCE = 20  # detectors' own reach 3 now and then; beyond it the third number is none


def find_file(data_dir: Path, name: str) -> Path:
    """The path of a file that is there."""
    path = data_dir / name
    if not path.is_file():
        raise InputError(
            f"{name} not found in {data_dir}; MPI-INF-3DHP is had from https://vcai.mpi-inf.mpg.de/3dhp-dataset/ and "
            "prepared by data/prepare_3dhp.py or as P-STMO does, with annot3 and not univ_annot3; to try the project "
            "without data give --sample"
        )
    return path


def training_videos(data: Any, path: Path) -> Iterator[tuple[str, str, float, Any]]:
    """Recording ("S1 Seq1"), camera, frames a second and arrays of every training video.

    A recording is [cameras, frames a second], where cameras maps a camera's id to its arrays; or a list of such dicts
    without a rate, and then the file's entry `fps` holds, or the data set's own table, or 50.
    """
    if not isinstance(data, dict) or not data:
        raise InputError(
            f"{path}: expected 'data' to be a dict of recordings such as 'S1 Seq1', found "
            f"{'an empty one' if data == {} else describe(data)}; prepare the file again"
        )
    rates = Rates(path, FRAME_RATE)
    for recording, value in data.items():
        where = f"{path}: {recording}"
        if not isinstance(recording, str) or len(recording.split()) < 2:
            raise InputError(f"{where}: expected a subject and a sequence such as 'S1 Seq1' as its name")
        groups = list(value) if isinstance(value, (list, tuple)) else [value]
        stated = [groups.pop()] if len(groups) > 1 and not isinstance(groups[-1], dict) else []
        if not isinstance(value, (list, tuple)) or not groups or not all(isinstance(group, dict) for group in groups):
            raise InputError(
                f"{where}: expected [cameras, frames a second], cameras a dict of camera id to arrays, found "
                f"{_outline(value)}"
            )
        fps = _rate(stated[0], where) if stated else _unstated_rate(rates, recording)
        if not any(groups):
            raise InputError(f"{where}: it has no cameras, expected a dict of camera id to arrays; leave it out")
        for group in groups:
            yield from ((recording, str(camera), fps, entry) for camera, entry in group.items())


def split_name(recording: str) -> tuple[str, str]:
    """Subject and sequence of a recording's name."""
    subject, action = recording.split(maxsplit=1)
    return subject, action


def rate_note(data: dict[str, Any], path: Path) -> list[str]:
    """A line for the user where a training file says no rate and one is taken for it."""
    if Rates(path, FRAME_RATE).stated:
        return []
    silent = [name for name, value in data.items() if all(isinstance(group, dict) for group in value)]
    lines = []
    for found, taken in (
        ([name for name in silent if name in RECORDINGS], "the data set's own are taken, 50 or 25"),
        ([name for name in silent if name not in RECORDINGS], f"{FRAME_RATE:g} are taken; an entry 'fps' would say it"),
    ):
        if found:
            first = f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}"
            lines.append(f"{path}: no frames a second for {first}; {taken}")
    return lines


def test_rate(entry: Any, name: str, rates: Rates, where: str) -> float:
    """Frames a second of a test sequence: its own entry `fps`, the file's, or 50."""
    if isinstance(entry, dict) and "fps" in entry:
        return _rate(entry["fps"], where)
    return rates.of(name, name)


test_rate.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test by its name


def _unstated_rate(rates: Rates, recording: str) -> float:
    if rates.stated:
        return rates.of(*split_name(recording))
    return frame_rate(recording) if recording in RECORDINGS else FRAME_RATE


def _rate(value: Any, where: str) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not 0 < float(value) <= HIGHEST_RATE:
        raise InputError(f"{where}: expected frames a second, up to {HIGHEST_RATE}, found {_outline(value)}")
    return float(value)


def _outline(value: Any) -> str:
    """What stands in the place of a recording or a rate."""
    if isinstance(value, (list, tuple)):
        parts = ", ".join(describe(part) for part in value[:4])
        return f"a {type(value).__name__} of {parts or 'nothing'}{', ...' if len(value) > 4 else ''}"
    return f"{value!r}" if isinstance(value, (bool, int, float, np.number, str)) else describe(value)


def _array(entry: Any, key: str, where: str, mend: str) -> np.ndarray:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: expected an array of numbers {key!r}, found {'none' if value is None else describe(value)}; "
            f"{mend}"
        )
    return value


def read_3d(entry: Any, where: str, mend: str) -> np.ndarray:
    """(F, 17, 3) float64 metres, Human3.6M-17, a copy; `check_video` is yet to look at it. `mend`: for a lack."""
    stored = _array(entry, "data_3d", where, mend)
    points = stored[:, 0] if stored.ndim == 4 and stored.shape[1] == 1 else stored
    if points.ndim != 3 or points.shape[1:] != (JOINTS, 3) or len(points) == 0:
        raise InputError(f"{where}: expected data_3d of shape (frames, {JOINTS}, 3), found {describe(stored)}")
    return convert(points, MPI_3DHP_17, H36M_17).astype(np.float64) / MILLIMETRES


def read_2d(entry: Any, fps: float, where: str) -> Keypoints:
    """Keypoints (F, 17, 2) in pixels with their confidence, Human3.6M-17; gaps are filled, see `filled_keypoints`."""
    stored = _array(entry, "data_2d", where, "prepare it again")
    third = stored[..., 2] if stored.ndim and stored.shape[-1] == 3 else np.zeros(0)
    known = third[np.isfinite(third)]
    if known.size and np.median(known) > LARGEST_CONFIDENCE:
        raise InputError(
            f"{where}: the third number of data_2d is {np.median(known):.4g} (median), expected a confidence; it looks "
            "like 3D, prepare it from annot2"
        )
    found = filled_keypoints(stored, JOINTS, fps, f"{where}: data_2d")
    confidence = found.confidence
    if confidence is not None:
        confidence = convert(confidence[..., None], MPI_3DHP_17, H36M_17)[..., 0]
    return replace(found, pixels=convert(found.pixels, MPI_3DHP_17, H36M_17), confidence=confidence)


def read_flags(entry: Any, keys: tuple[str, ...], frames: int, where: str) -> np.ndarray:
    """(F,) numbers under the first of some names that is there. MATLAB's single rows and columns are understood."""
    key = next((key for key in keys if isinstance(entry, dict) and key in entry), keys[0])
    flags = _array(entry, key, where, "prepare it again")
    if flags.size != frames or max(flags.shape, default=0) != frames:
        raise InputError(f"{where}: expected {key!r} to have {frames} frames, as data_3d, found {describe(flags)}")
    return flags.reshape(frames)


def check_flags(flags: np.ndarray, wrong: np.ndarray, where: str) -> None:
    """No frame (F,) may be wrong; `where` names the flag and what is allowed."""
    if wrong.any():
        raise InputError(
            f"{where}, found {flags[wrong][0]:g} and the like in "
            f"{wrong.sum()} of {len(flags)} frames; prepare the file again"
        )


def check_frames(keypoints: Keypoints, points: np.ndarray, where: str) -> None:
    """2D and 3D must have the same frames."""
    if len(keypoints.pixels) != len(points):
        raise InputError(
            f"{where}: expected data_2d to have {len(points)} frames, as data_3d, found {len(keypoints.pixels)}; "
            "prepare it again"
        )


def usable(values: np.ndarray) -> np.ndarray:
    """(F,) bool of (F, 17, D): every number of the frame can be computed with."""
    return (np.abs(values) < LARGEST_NUMBER).all((1, 2))  # False for NaN too


def check_video(
    points: np.ndarray | None, keypoints: Keypoints, camera: Camera, where: str, valid: np.ndarray | None = None
) -> None:
    """Refuse what no person before this camera can be, see `check_numbers`.

    Args:
        points: (F, 17, 3) metres; None looks at the keypoints alone. valid: (F,) bool, the frames that count.
    """
    pixels = keypoints.pixels  # missing joints stand between those seen, so all can be judged
    if valid is not None:
        pixels = np.where(valid[:, None, None], pixels, pixels[valid.argmax()])
    if points is None:
        wrong = check_pixels(pixels, camera, where, None)
    else:
        wrong = check_numbers(points, pixels, camera, where, valid)
    if wrong:
        raise InputError(f"{wrong[0]} (data_3d: annot3, camera space in millimetres; data_2d: annot2, pixels)")


def seen_joints(keypoints: Keypoints) -> np.ndarray | None:
    """(F, 17) bool, the joints that were seen; None where all were."""
    return None if keypoints.confidence is None else keypoints.confidence > 0
