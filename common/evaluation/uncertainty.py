"""How sure a prediction is: the spread of the hypotheses, turned into an expected error (METHOD 4)."""

from collections.abc import Sequence

import numpy as np
import torch

from ..datasets.video import LabelledVideo
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.lifting import lift_videos
from ..reprojection.refinement import Refinement
from .metrics import joint_errors

VIDEOS = 32  # at least, on which the scale is fitted
SMALLEST_SPREAD = 1e-6  # metres, on average; less is rounding


def fitted_scale(
    lifter: Lifter, source: Sequence[LabelledVideo], sampling: Sampling, refinement: Refinement | None
) -> float | None:
    """`fit_scale` on labelled source videos, evenly spread ones."""
    lifter.eval()
    chosen = source[:: max(len(source) // VIDEOS, 1)]
    found = list(lift_videos(lifter, chosen, sampling, refinement))
    errors = torch.cat([joint_errors(pose, video.pose) for video, pose, _ in found])
    return fit_scale(torch.cat([spreads for *_, spreads in found]), errors)


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
