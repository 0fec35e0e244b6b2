"""The .mat files that MATLAB and Octave share with this project: predictions on 3DHP's test sequences, and labels."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat, savemat

from common.cameras_3dhp import TEST_SEQUENCES
from common.errors import InputError
from common.mpi_3dhp import TestSequence
from common.scores_3dhp import MILLIMETRES, official_pose
from common.skeleton import H36M_17, MPI_3DHP_17, convert

_HEADER = b"MATLAB 5.0 MAT-file, written by PoSynDA".ljust(116)


def write_inference(path: Path, predictions: Mapping[str, torch.Tensor]) -> None:
    """Write predictions the way the published MATLAB scripts index them, all of the file or nothing.

    Args:
        path: usually `inference_data.mat`. Gets a variable per test sequence, double (3, 17, F, K) mm, relative to the
            pelvis, 3DHP-17 order; four dimensions in the file even when K = 1.
        predictions: per test sequence, every frame and diffusion step, (F, K, 17, 3) metres, Human3.6M-17 order.

    Raises:
        InputError: a prediction is not a number.
    """
    variables = {}
    for name, poses in predictions.items():
        if not poses.isfinite().all():
            raise InputError(f"{path}: not written, the prediction of {name} has NaN or infinity; was training stable?")
        variables[name] = official_pose(poses).transpose(3, 2, 0, 1)  # (3, 17, F, K)
    _write(path, variables)


def write_expected_errors(path: Path, spreads: Mapping[str, torch.Tensor], scale: float) -> None:
    """Write how far off each joint is expected to be, all of the file or nothing.

    Args:
        path: gets a variable per test sequence, double (17, F) mm, 3DHP-17 order.
        spreads: per test sequence (F, 17) metres, Human3.6M-17 order, see `common.uncertainty`.
        scale: expected error over spread.
    """
    errors = {name: convert(scale * s.double()[..., None], H36M_17, MPI_3DHP_17)[..., 0] for name, s in spreads.items()}
    _write(path, {name: error.numpy().T * MILLIMETRES for name, error in errors.items()})


def write_annotations(path: Path, test: Mapping[str, TestSequence]) -> None:
    """Write the test labels for `run_3dhp_eval.m`, all of the file or nothing.

    A struct per test sequence with the official files' names and shapes: `annot3` (3, 17, 1, F) mm, here relative to
    the pelvis, 3DHP-17 order; `valid_frame` (F, 1); `activity_annotation` (F, 1) where the labels have it.
    """
    variables = {}
    for name, labelled in test.items():
        fields = {
            "annot3": official_pose(labelled.sequence.pose).transpose(2, 1, 0)[:, :, None],
            "valid_frame": labelled.valid.cpu().double().numpy()[:, None],
        }
        if labelled.activity is not None:
            fields["activity_annotation"] = labelled.activity.cpu().double().numpy()[:, None]
        variables[name] = fields
    _write(path, variables)


def read_inference(path: Path) -> dict[str, np.ndarray]:
    """Read predictions of TS1 to TS6: per test sequence (F, K, 17, 3) double, mm, relative to the pelvis, 3DHP-17.

    Raises:
        InputError: no such file, not a .mat file that scipy reads, a sequence absent, another shape, or not numbers.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        variables = loadmat(path, variable_names=TEST_SEQUENCES)
    except NotImplementedError:
        raise InputError(f"{path}: is MAT version 7.3, which is not read; in MATLAB save it with -v7") from None
    except Exception as error:  # a damaged or forged file can raise anything on its way through scipy
        raise InputError(
            f"{path}: cannot be read, expected a .mat file (MATLAB 5.0), found: {' '.join(str(error).split())[:200]}"
        ) from error
    absent = [name for name in TEST_SEQUENCES if name not in variables]
    if absent:
        raise InputError(f"{path}: has no {', '.join(absent)}; expected predictions of TS1 to TS6")
    return {name: _poses(path, name, variables[name]) for name in TEST_SEQUENCES}


def _poses(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """(3, 17, F, K), or (3, 17, F) as MATLAB saves K = 1 -> (F, K, 17, 3), after checking it."""
    joints = len(MPI_3DHP_17.joints)
    if values.ndim not in (3, 4) or values.shape[:2] != (3, joints) or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {name} is {values.dtype} of shape {values.shape}, expected numbers of shape (3, {joints}, F, K)"
        )
    poses = values.reshape(*values.shape[:3], -1).transpose(2, 3, 1, 0).astype(np.float64)
    if not np.isfinite(poses).all():
        raise InputError(f"{path}: {name} has NaN or infinity, first at frame {np.argwhere(~np.isfinite(poses))[0, 0]}")
    return poses


def _write(path: Path, variables: dict[str, Any]) -> None:
    content = io.BytesIO()
    savemat(content, variables, do_compression=True)
    content.getbuffer()[: len(_HEADER)] = _HEADER  # scipy puts the time there; equal input should give equal bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content.getbuffer())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
