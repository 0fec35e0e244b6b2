"""The .mat files that MATLAB and Octave share with this project: predictions on 3DHP's test sequences, and labels."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.io import savemat

from ..datasets.mpi_3dhp import TestSequence
from ..errors import InputError
from ..files import atomic_write
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from ..units import MILLIMETRES
from .scores_3dhp import official_pose

_HEADER = b"MATLAB 5.0 MAT-file, written by PoSynDA".ljust(116)


def write_results(
    folder: Path,
    predictions: Mapping[str, Mapping[str, torch.Tensor]],
    result: str,
    spreads: Mapping[str, torch.Tensor],
    scale: float | None,
    test: Sequence[TestSequence],
) -> None:
    """Write a model's predictions, a file per aggregation and the result's once more as `inference_data.mat`, the
    expected errors, where they are known, and the labels it is scored against.

    Args:
        predictions: per aggregation and test sequence, see `write_inference`. result: one of the aggregations.
        spreads, scale: see `write_expected_errors`.
    """
    if scale is not None:
        write_expected_errors(folder / "expected_error.mat", spreads, scale)
    for aggregation, poses in predictions.items():
        write_inference(folder / f"inference_data_{aggregation}.mat", poses)
    write_inference(folder / "inference_data.mat", predictions[result])
    write_annotations(folder / "test_annotations.mat", test)


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
        spreads: per test sequence (F, 17) metres, Human3.6M-17 order, see `common.reprojection.lifting.spread`.
        scale: expected error over spread.
    """
    errors = {name: convert(scale * s.double()[..., None], H36M_17, MPI_3DHP_17)[..., 0] for name, s in spreads.items()}
    _write(path, {name: error.numpy().T * MILLIMETRES for name, error in errors.items()})


def write_annotations(path: Path, test: Sequence[TestSequence]) -> None:
    """Write the test labels for `run_3dhp_eval.m`, all of the file or nothing.

    A struct per test sequence with the official files' names and shapes: `annot3` (3, 17, 1, F) mm, here relative to
    the pelvis, 3DHP-17 order; `valid_frame` (F, 1); `activity_annotation` (F, 1) where the labels have it.
    """
    variables = {}
    for video in test:
        fields = {
            "annot3": official_pose(video.pose).transpose(2, 1, 0)[:, :, None],
            "valid_frame": video.valid.cpu().double().numpy()[:, None],
        }
        if video.activity is not None:
            fields["activity_annotation"] = video.activity.cpu().double().numpy()[:, None]
        variables[video.subject] = fields
    _write(path, variables)


def _write(path: Path, variables: dict[str, Any]) -> None:
    content = io.BytesIO()
    savemat(content, variables, do_compression=True)
    content.getbuffer()[: len(_HEADER)] = _HEADER  # scipy puts the time there; equal input should give equal bytes
    with atomic_write(path) as partial:
        partial.write_bytes(content.getbuffer())
