"""MPI-INF-3DHP as its makers give it out (Mehta et al., 3DV 2017) to the two npz files of `mpi_3dhp`.

Training: `S*/Seq*/annot.mat` and `camera.calibration`, 14 cameras, 28 joints. Test: `TS*/annot_data.mat`, 17 joints.
Which of the 28 joints are the 17 is written here and nowhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import MPI_3DHP_17
from .cameras_3dhp import RECORDINGS, TEST_SEQUENCES, frame_rate
from .matlab import AGAIN, Value, check_present, read_mat
from .mpi_3dhp import TEST_FILE, TRAIN_FILE
from .npz import write_npz
from .official_3dhp_cameras import read_calibration
from .official_files import Recordings, find_folders, refuse_halves

JOINTS_28 = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top",
    "left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe",
    "right_hip", "right_knee", "right_ankle", "right_foot", "right_toe",
)  # fmt: skip
_SIDES = {"L": "left_", "R": "right_"}
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # of 14: the eight that published work trains on
ACTIVITIES = range(8)  # 1 to 7; 0 in frames that do not count
LARGEST_MISFIT = 20.0  # pixels, the median distance of 2D from projected 3D that `univ_annot3` stays far below

Say = Callable[[str], None]


def joints_17() -> list[int]:
    """The numbers among the 28 joints of those of `MPI_3DHP_17`, in its order."""
    named = [_SIDES[name[0]] + name[1:].lower() if name[0] in _SIDES else name for name in MPI_3DHP_17.joints]
    return [JOINTS_28.index(name) for name in named]


def prepare_3dhp(
    source: Path,
    out: Path,
    univ: bool = False,
    subjects: Sequence[str] | None = None,
    cameras: Sequence[int] = CAMERAS,
    parts: Sequence[str] = ("train", "test"),
    say: Say = print,
) -> list[Path]:
    """Write `data_train_3dhp_ori.npz` and `data_test_3dhp_ori.npz`.

    Args:
        source: the folder that holds S1 to S8 and TS1 to TS6, or one or two levels above.
        univ: take `univ_annot3`, everybody scaled to one skeleton, and not `annot3`, the true scale.
        subjects: of the training part, such as S1; None takes all that are there.
        cameras: of the training part, 0 to 13.
        say: is given a line per recording.

    Returns:
        The files written.

    Raises:
        InputError: a file is missing, half downloaded or not what the data set's are.
    """
    key = "univ_annot3" if univ else "annot3"
    train = _find_train(source, subjects) if "train" in parts else {}
    test = _find_test(source) if "test" in parts else {}
    kept, written = Recordings(out, "3dhp"), []
    scale = "scaled to one skeleton" if univ else "true scale"
    origin = f"MPI-INF-3DHP, official download, {key} ({scale}), prepared by data/prepare_3dhp.py"
    for found, every in ((train, RECORDINGS), (test, TEST_SEQUENCES)):
        absent = [name for name in every if name not in found]
        if found and absent:
            say(f"note: the full data set has {len(every)}; left out or not in {source}: {', '.join(absent)}")
    if train:
        data, calibration = {}, {}
        for recording, folder in train.items():
            data[recording], calibration[recording] = _train_recording(kept, recording, folder, key, cameras, say)
        label = {"provenance": f"{origin}; training recordings {_list(train, RECORDINGS)}", "synthetic": False}
        write_npz(out / TRAIN_FILE, data=data, cameras=calibration, **label)
        written.append(out / TRAIN_FILE)
    if test:
        sequences = {name: _test_sequence(kept, name, folder, key, say) for name, folder in test.items()}
        label = {"provenance": f"{origin}; test sequences {_list(test, TEST_SEQUENCES)}", "synthetic": False}
        write_npz(out / TEST_FILE, data=sequences, **label)
        written.append(out / TEST_FILE)
    kept.remove()
    return written


def _list(found: Mapping[str, Path], every: Sequence[str]) -> str:
    """Which of a part were there, short where all were."""
    return f"all {len(every)}" if set(found) == set(every) else ", ".join(found)


def _find_train(source: Path, subjects: Sequence[str] | None) -> dict[str, Path]:
    """Recording -> its folder, both of whose files are there."""
    people = find_folders(source, r"S\d+")
    if not people:
        raise InputError(
            f"--source {source}: no S1 to S8 found, expected S1/Seq1/annot.mat and so on; "
            "give the folder that holds them, or --test-only"
        )
    missing = [subject for subject in subjects or () if subject not in people]
    if missing:
        raise InputError(f"--subjects: {', '.join(missing)} not in {source}; found {', '.join(people)}")
    found = {}
    for subject in subjects or people:
        sequences = find_folders(people[subject], r"Seq\d+")
        if not sequences:
            raise InputError(
                f"{people[subject]}: no Seq1 or Seq2 in it; finish its download, or leave it out with --subjects"
            )
        for sequence, folder in sequences.items():
            recording = f"{subject} {sequence}"
            if recording not in RECORDINGS:
                raise InputError(
                    f"{folder}: MPI-INF-3DHP has no {recording}, expected S1 to S8, Seq1 and Seq2; move it"
                )
            refuse_halves(folder)
            for name in ("annot.mat", "camera.calibration"):
                if not (folder / name).is_file():
                    raise InputError(f"{folder / name}: no such file; finish the download of {recording}")
            found[recording] = folder
    return found


def _find_test(source: Path) -> dict[str, Path]:
    found = find_folders(source, r"TS\d+")
    if not found:
        raise InputError(
            f"--source {source}: no TS1 to TS6 found, expected TS1/annot_data.mat and so on; "
            "give the folder that holds them, or --train-only"
        )
    for name, folder in found.items():
        if name not in TEST_SEQUENCES:
            raise InputError(f"{folder}: MPI-INF-3DHP has no {name}, expected {', '.join(TEST_SEQUENCES)}; move it")
        refuse_halves(folder)
        if not (folder / "annot_data.mat").is_file():
            raise InputError(f"{folder / 'annot_data.mat'}: no such file; finish the download of {name}")
    return found


def _train_recording(
    kept: Recordings, recording: str, folder: Path, key: str, cameras: Sequence[int], say: Say
) -> tuple[list, dict[str, dict[str, Any]]]:
    """[camera id -> arrays, frame rate] of one recording, and camera id -> calibration."""
    sources = folder / "annot.mat", folder / "camera.calibration"
    settings = f"{key} {','.join(map(str, cameras))}"
    calibration = read_calibration(sources[1])
    absent = [camera for camera in cameras if str(camera) not in calibration]
    if absent:
        raise InputError(f"{sources[1]}: no camera {absent[0]}, found {', '.join(calibration)}; mend --cameras")
    arrays, before = kept.get(recording, sources, settings, lambda: _read_train(sources[0], key, cameras))
    fps, views, misfits = int(frame_rate(recording)), {}, {}
    for camera in map(str, cameras):
        views[camera] = {"data_3d": arrays[f"3d {camera}"], "data_2d": arrays[f"2d {camera}"]}
        misfits[camera] = _misfit(**views[camera], intrinsics=calibration[camera]["intrinsics"])
    frames = len(views[str(cameras[0])]["data_3d"])
    worst = max(misfits, key=lambda camera: misfits[camera])
    say(
        f"{recording}: {len(views)} cameras, {frames} frames, {fps} fps, 2D {misfits[worst]:.2g} px (median) from the "
        f"projected 3D{' (made before)' if before else ''}"
    )
    if misfits[worst] > LARGEST_MISFIT:
        say(
            f"warning: {sources[1]}: by camera {worst} the 2D lies {misfits[worst]:.0f} px from the projected 3D; "
            "it does not belong to annot.mat, download both again"
        )
    return [views, fps], {camera: calibration[camera] for camera in views}


def _read_train(path: Path, key: str, cameras: Sequence[int]) -> dict[str, np.ndarray]:
    """Per camera "3d C" (F, 17, 3) mm, camera axes, and "2d C" (F, 17, 2) pixels, float32."""
    names = "annot2", key, "cameras"
    content = read_mat(path, names)
    check_present(content, names, path)
    ids = [int(number) for number in np.ravel(_array(content, "cameras", path))]
    found = {}
    for name, dimensions in ((key, 3), ("annot2", 2)):
        cells = content[name]
        if not isinstance(cells, list) or len(cells) != len(ids):
            size = f"{len(cells)} cells" if isinstance(cells, list) else f"an array {cells.shape}"
            raise InputError(f"{path}: expected {name} of {len(ids)} cells, one per camera, found {size}; {AGAIN}")
        for camera in cameras:
            if camera not in ids:
                raise InputError(f"{path}: no camera {camera}, found {', '.join(map(str, ids))}; mend --cameras")
            cell = cells[ids.index(camera)]
            columns = len(JOINTS_28) * dimensions
            if cell.ndim != 2 or cell.shape[1] != columns or len(cell) == 0:
                raise InputError(
                    f"{path}: {name} of camera {camera}: expected (frames, {columns}), found {cell.shape}; {AGAIN}"
                )
            joints = cell.reshape(len(cell), len(JOINTS_28), dimensions)[:, joints_17()].astype(np.float32)
            _check_finite(joints, np.ones(len(joints), dtype=bool), f"{path}: {name} of camera {camera}")
            found[f"{dimensions}d {camera}"] = joints
    counts = {name: len(joints) for name, joints in found.items()}
    if len(set(counts.values())) > 1:
        first, other = next((a, b) for a in counts for b in counts if counts[a] != counts[b])
        says = " and ".join(
            f"{counts[name]} of {key if name[0] == '3' else 'annot2'}, camera {name[3:]}" for name in (first, other)
        )
        raise InputError(f"{path}: expected as many frames in 2D, 3D and every camera, found {says}; {AGAIN}")
    return found


def _test_sequence(kept: Recordings, name: str, folder: Path, key: str, say: Say) -> dict[str, np.ndarray]:
    path = folder / "annot_data.mat"
    arrays, before = kept.get(name, (path,), key, lambda: _read_test(path, key))
    valid = int(arrays["valid"].sum())
    say(f"{name}: {len(arrays['valid'])} frames, {valid} of them valid{' (made before)' if before else ''}")
    return arrays


def _read_test(path: Path, key: str) -> dict[str, np.ndarray]:
    """data_3d (F, 17, 3) mm and data_2d (F, 17, 2) pixels, float32; valid (F,) float32, activity (F,) int64."""
    names = "annot2", key, "valid_frame", "activity_annotation"
    content = read_mat(path, names)
    check_present(content, names, path)
    found = {}
    for name, dimensions in ((key, 3), ("annot2", 2)):
        stored = _array(content, name, path)
        shape = dimensions, len(MPI_3DHP_17.joints), 1  # and the frames, MATLAB's last
        if stored.shape[:-1] not in (shape, shape[:2]) or stored.size == 0:
            raise InputError(f"{path}: expected {name} of ({dimensions}, 17, 1, frames), found {stored.shape}; {AGAIN}")
        joints = stored.reshape(*shape[:2], -1, order="F").transpose(2, 1, 0)  # (F, 17, dimensions)
        found[f"data_{dimensions}d"] = np.ascontiguousarray(joints, dtype=np.float32)
    frames = len(found["data_2d"])
    flags = {name: np.ravel(_array(content, name, path)) for name in ("valid_frame", "activity_annotation")}
    counts = {key: len(found["data_3d"]), "annot2": frames} | {name: len(values) for name, values in flags.items()}
    if len(set(counts.values())) > 1:
        says = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"{path}: expected as many frames in every variable, found {says}; {AGAIN}")
    for name, allowed in (("valid_frame", (0, 1)), ("activity_annotation", ACTIVITIES)):
        wrong = flags[name][~np.isin(flags[name], list(allowed))]
        if wrong.size:
            raise InputError(
                f"{path}: expected {name} from {min(allowed)} to {max(allowed)}, found {wrong[0]:g} and the like in "
                f"{wrong.size} frames; {AGAIN}"
            )
    valid = flags["valid_frame"] == 1
    if not valid.any():
        raise InputError(f"{path}: no frame is valid, expected some with valid_frame 1; {AGAIN}")
    for joints in found.values():
        _check_finite(joints, valid, str(path))
    return found | {"valid": valid.astype(np.float32), "activity": flags["activity_annotation"].astype(np.int64)}


def _array(content: Mapping[str, Value], name: str, path: Path) -> np.ndarray:
    value = content[name]
    if isinstance(value, list):
        raise InputError(f"{path}: expected an array {name}, found {len(value)} cells; {AGAIN}")
    return value


def _check_finite(joints: np.ndarray, valid: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(joints).all((1, 2)) & valid
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} frames hold NaN or infinity, the first is frame {bad.argmax()}; "
            f"{AGAIN}"
        )


def _misfit(data_3d: np.ndarray, data_2d: np.ndarray, intrinsics: Sequence[float]) -> float:
    """Pixels, the median distance of 2D from projected 3D."""
    fx, fy, cx, cy = intrinsics[:4]
    with np.errstate(divide="ignore", invalid="ignore"):  # a joint in the plane of the lens
        projected = data_3d[..., :2] / data_3d[..., 2:] * [fx, fy] + [cx, cy]
    return float(np.nanmedian(np.linalg.norm(projected - data_2d, axis=-1)))
