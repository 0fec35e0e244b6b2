"""From a lifter and 2D keypoints to one pose per frame: the package's way in, and the loop behind every result."""

from collections.abc import Iterator

import torch

from ..datasets.video import Sequence
from ..datasets.windows import stitch
from ..model.inference import Sampling, hypothesise
from ..model.lifter import Lifter
from .jpma import REFINED, aggregate
from .refinement import Refinement


def spread(hypotheses: torch.Tensor) -> torch.Tensor:
    """Per joint the root of the mean squared distance from the mean, (..., H, T, J, 3) -> (..., T, J), metres.

    Divided by H - 1, so that its square does not depend on H on average; zero for a single hypothesis.
    """
    count = hypotheses.shape[-4]
    distances = (hypotheses - hypotheses.mean(-4, keepdim=True)).norm(dim=-1)
    return (distances.square().sum(-3) / max(count - 1, 1)).sqrt()


def predictions(
    lifter: Lifter,
    sequences: list[Sequence],
    sampling: Sampling,
    refinement: Refinement | None,
    root: str = "estimated",
) -> Iterator[tuple[Sequence, torch.Tensor, torch.Tensor]]:
    """Each video with its result (F, J, 3), refined or else J-Agg, and the spread (F, J), of the last diffusion step.

    Labels are not read, but for J-Agg with the root "gt".
    """
    lengths = refinement.lengths(lifter, sequences) if refinement else {}
    for sequence, hypotheses in hypothesise(lifter, sequences, sampling):
        last, person = hypotheses[:, -1], lengths.get(sequence.subject)
        given = sequence if root == "gt" else sequence.unlabelled()
        poses, _ = aggregate(last, given, root, refinement, person)
        yield sequence, poses[REFINED if refinement else "J_Agg"], stitch(spread(last), len(sequence))
