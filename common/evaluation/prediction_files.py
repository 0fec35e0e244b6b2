"""Predictions on 3DHP's test sequences from .mat files, this project's and others', and their official scores.

`run_3dhp_eval.m` reads the same files in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.cameras_3dhp import TEST_SEQUENCES
from ..datasets.matlab import check_present, read_mat, whole
from ..errors import InputError
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, Skeleton, convert
from ..units import MILLIMETRES
from .scores_3dhp import score_3dhp

ANNOTATIONS, OFFICIAL = "test_annotations.mat", "annot_data.mat"
SMALLEST_PERSON = 10.0  # mm across; what is smaller is in another unit
CLEARLY = 3  # times smaller: an error that says in which order the joints are
JOINTS = len(MPI_3DHP_17.joints)
_FIELDS = ("annot3", "valid_frame", "activity_annotation")


@dataclass(frozen=True)
class Labels:
    """A test sequence: pose (F, 17, 3) mm, 3DHP-17 order; valid (F,) bool; activity (F,), 0 where it is not told."""

    pose: np.ndarray
    valid: np.ndarray
    activity: np.ndarray


def score_file(inference: Path, annotations: Path | None = None) -> tuple[str, dict[str, Any]]:
    """The official scores of the last diffusion step, over the test sequences that both files hold.

    Args:
        inference: see `read_inference`. annotations: see `read_annotations`; when left out, `test_annotations.mat` in
            the folder of `inference`.

    Returns:
        A title that names file, step and the sequences that are left out; and what `score_3dhp` returns.

    Raises:
        InputError: a file is not what it should be, no sequence is in both, or the predictions are not in
            millimetres, 3DHP-17 order.
    """
    if not inference.is_file():
        raise InputError(f"{inference}: no such file, expected predictions such as inference_data.mat")
    labels = read_annotations(annotations or inference.parent / ANNOTATIONS)
    poses = read_inference(inference, labels)
    truth = {name: labels[name].pose[labels[name].valid] for name in poses}
    last = {name: found[:, -1] for name, found in poses.items()}
    _check_unit_and_order(last, truth, inference)
    errors = {name: _errors(last[name], truth[name]) for name in poses}
    scores = score_3dhp(errors, {name: labels[name].activity[labels[name].valid] for name in poses})
    steps = next(iter(poses.values())).shape[1]
    absent = [name for name in TEST_SEQUENCES if name not in poses]
    without = f", without {', '.join(absent)}" if absent else ""
    return f"{inference}, diffusion step {steps} of {steps}{without}", scores


def read_inference(path: Path, labels: Mapping[str, Labels]) -> dict[str, np.ndarray]:
    """Predictions of the valid frames of the test sequences that a file and the labels hold.

    Args:
        path: has TS1 to TS6 or some of them, of size 3x17xFxK (K diffusion steps) or 3x17xF, where F are all frames or
            the valid ones; or 3x17x1xF, as P-STMO writes them.

    Returns:
        Per sequence (valid frames, K, 17, 3), double.
    """
    content = read_mat(path, TEST_SEQUENCES)
    if not content:
        raise InputError(f"{path} has none of TS1 to TS6, expected predictions of some of them")
    found: dict[str, np.ndarray] = {}
    for name in [name for name in TEST_SEQUENCES if name in content and name in labels]:
        found[name] = _arranged(content[name], labels[name].valid, f"{name} of {path}")
        first = next(iter(found))
        if found[name].shape[1] != found[first].shape[1]:
            raise InputError(
                f"{name} of {path} has {found[name].shape[1]} diffusion steps, {first} has {found[first].shape[1]}"
            )
    if not found:
        raise InputError(f"{path} has {', '.join(content)}, the annotations have {', '.join(labels)}: none in both")
    return found


def _arranged(values: Any, valid: np.ndarray, where: str) -> np.ndarray:
    good = isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.ndim in (2, 3, 4)
    if not good or values.shape[:2] != (3, JOINTS):
        size = "x".join(map(str, values.shape)) if isinstance(values, np.ndarray) else "no array"
        raise InputError(f"{where} is of size {size}, expected numbers of size 3x{JOINTS}xFxK")
    poses = np.asarray(values, np.float64).reshape(*values.shape, *[1] * (4 - values.ndim))  # (3, 17, F, K)
    frames, counted = len(valid), int(valid.sum())
    if poses.shape[2] == 1 and poses.shape[2] not in (frames, counted) and poses.shape[3] in (frames, counted):
        poses = poses.transpose(0, 1, 3, 2)
    if poses.shape[2] not in (frames, counted):
        raise InputError(
            f"{where} has {poses.shape[2]} frames, its annotation has {frames}, of which {counted} are valid; expected "
            "all of these or the valid ones"
        )
    bad = ~np.isfinite(poses).all((0, 1, 3))
    if bad.any():
        raise InputError(f"{where} has NaN or Inf, first at frame {bad.argmax() + 1} (from 1)")
    return (poses[:, :, valid] if poses.shape[2] == frames else poses).transpose(2, 3, 1, 0)


def read_annotations(place: Path) -> dict[str, Labels]:
    """The labels of the test sequences that are there.

    Args:
        place: `test_annotations.mat`, as this project writes it; or the official test set's folder, with
            TS1/annot_data.mat to TS6/annot_data.mat.
    """
    if place.is_dir():
        files = {name: place / name / OFFICIAL for name in TEST_SEQUENCES if (place / name / OFFICIAL).is_file()}
        if not files:
            raise InputError(f"{place}: no TS1/{OFFICIAL} to TS6/{OFFICIAL} in it; give the folder that holds TS1")
        return {name: _labels(read_mat(path, _FIELDS), f"{path}: {name}", path) for name, path in files.items()}
    if not place.is_file():
        raise InputError(
            f"{place}: no such file; give the {ANNOTATIONS} of a run, or the official test set's folder, as ANNOTATIONS"
        )
    from scipy.io import loadmat

    content = whole(place, lambda: loadmat(place, variable_names=TEST_SEQUENCES))
    structs = {name: content[name] for name in TEST_SEQUENCES if name in content}
    if not structs or not all(struct.dtype.names and struct.size == 1 for struct in structs.values()):
        raise InputError(f"{place}: expected structs TS1 to TS6, or some of them, found none; give {ANNOTATIONS}")
    found = {}
    for name, struct in structs.items():
        fields = {field: struct[field].item() for field in struct.dtype.names}
        found[name] = _labels(fields, f"{place}: {name}", place)
    return found


def _labels(fields: dict[str, Any], where: str, path: Path) -> Labels:
    check_present(fields, _FIELDS[:2], path)
    pose = np.asarray(fields["annot3"])
    frames = pose.size // (3 * JOINTS)
    if pose.shape not in ((3, JOINTS, 1, frames), (3, JOINTS, frames)) or pose.dtype.kind not in "biuf" or not frames:
        raise InputError(f"{where}: annot3 is of size {'x'.join(map(str, pose.shape))}, expected 3x{JOINTS}x1xF")
    flags = {name: np.ravel(fields[name]) for name in _FIELDS[1:] if name in fields}
    for name, values in flags.items():
        if len(values) != frames or values.dtype.kind not in "biuf":
            raise InputError(f"{where}: {name} has {len(values)} entries, expected {frames} numbers, as annot3 frames")
    valid = flags["valid_frame"] > 0
    if not valid.any():
        raise InputError(f"{where} has no valid frame")
    pose = pose.reshape(3, JOINTS, frames).transpose(2, 1, 0).astype(np.float64)
    bad = valid & ~np.isfinite(pose).all((1, 2))
    if bad.any():
        raise InputError(f"{where}: annot3 has NaN or Inf, first at frame {bad.argmax() + 1} (from 1)")
    return Labels(pose, valid, flags.get("activity_annotation", np.zeros(frames)))


def _errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(F, 17, 3) and (F, 17, 3) mm -> (F, 17) mm, each pose relative to its pelvis."""
    pelvis = [MPI_3DHP_17.root_index]
    return np.linalg.norm(predicted - predicted[:, pelvis] - (truth - truth[:, pelvis]), axis=-1)


def _check_unit_and_order(predicted: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], path: Path) -> None:
    """Metres and Human3.6M's joint order would score, and terribly; they are told by the size and by trying."""
    across = np.median(np.concatenate([np.linalg.norm(np.ptp(pose, axis=1), axis=-1) for pose in predicted.values()]))

    def mean(times: float, order: Skeleton) -> float:
        poses = {name: times * convert(pose, order, MPI_3DHP_17) for name, pose in predicted.items()}
        return float(np.mean(np.concatenate([_errors(poses[name], truth[name]) for name in poses])))

    here, there = mean(1, MPI_3DHP_17), mean(1, H36M_17)
    if across < SMALLEST_PERSON and min(mean(MILLIMETRES, MPI_3DHP_17), mean(MILLIMETRES, H36M_17)) < here:
        raise InputError(
            f"{path}: its people are {across:.3g} across, expected millimetres; these look like metres, multiply by "
            "1000"
        )
    if CLEARLY * there < here:
        raise InputError(
            f"{path}: its joints look like {H36M_17.name} order (error {there:.0f} mm, as they stand {here:.0f}); "
            f"expected {MPI_3DHP_17.name} order, {MPI_3DHP_17.joints[0]} first; reorder them"
        )
