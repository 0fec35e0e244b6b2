"""How sure a prediction is: the spread of the hypotheses, turned into an expected error (METHOD 4)."""

from pathlib import Path

import numpy as np
import torch

from ..datasets.npz import write_npz
from ..datasets.video import Sequence
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.lifting import predictions
from ..reprojection.refinement import Refinement
from .metrics import joint_errors

VIDEOS = 32  # on which the scale is fitted
SMALLEST_SPREAD = 1e-6  # metres, on average; less is rounding


def fitted_scale(
    lifter: Lifter, source: list[Sequence], sampling: Sampling, refinement: Refinement | None
) -> float | None:
    """`fit_scale` on labelled source videos, evenly spread ones."""
    lifter.eval()
    chosen = source[:: max(len(source) // VIDEOS, 1)]
    found = list(predictions(lifter, chosen, sampling, refinement))
    errors = torch.cat([joint_errors(pose, sequence.pose) for sequence, pose, _ in found])
    return fit_scale(torch.cat([spreads for *_, spreads in found]), errors)


def write_predictions(
    path: Path,
    lifter: Lifter,
    sequences: list[Sequence],
    sampling: Sampling,
    refinement: Refinement | None,
    scale: float | None,
) -> None:
    """Write the results for some videos, all of the file or nothing.

    An npz: for every video 'SUBJECT/ACTION/CAMERA/pose' (F, 17, 3) float32 metres, relative to the root, camera axes,
    Human3.6M-17, and '.../expected_error' (F, 17) float32 metres where `scale` is known.
    """
    arrays = {}
    for sequence, pose, spreads in predictions(lifter, sequences, sampling, refinement):
        name = f"{sequence.subject}/{sequence.action}/{sequence.camera}"
        arrays[f"{name}/pose"] = pose.numpy()
        if scale is not None:
            arrays[f"{name}/expected_error"] = (scale * spreads).numpy()
    write_npz(path, **arrays)


def fit_scale(spreads: torch.Tensor, errors: torch.Tensor) -> float | None:
    """The factor that makes the mean spread the mean error. None where the hypotheses are all alike.

    To be fitted on source data.
    """
    mean = spreads.double().mean().item()
    return errors.double().mean().item() / mean if mean > SMALLEST_SPREAD else None


def calibration_curve(expected: torch.Tensor, errors: torch.Tensor, bins: int = 10) -> np.ndarray:
    """Expected and true error in bins of equally many joints, from the surest to the least sure, (bins, 2)."""
    order = expected.flatten().argsort()
    return np.array([
        (expected.flatten()[part].mean().item(), errors.flatten()[part].mean().item())
        for part in order.tensor_split(bins)
    ])  # fmt: skip
