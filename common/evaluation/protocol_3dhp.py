"""Predictions for every frame of 3DHP's test sequences, and their scores on the valid ones."""

from dataclasses import dataclass, field

import torch

from .. import processes
from ..datasets.mpi_3dhp import TestSequence
from ..datasets.windows import stitch
from ..model.inference import Sampling, hypothesise
from ..model.lifter import Lifter
from ..reprojection.jpma import aggregate
from ..reprojection.lifting import spread
from ..reprojection.refinement import Refinement
from ..units import MILLIMETRES
from .metrics import joint_errors, velocity_errors
from .protocol import Scores, pose_errors
from .scores_3dhp import official_errors, score_3dhp


@dataclass
class Evaluation3DHP:
    """One model on TS1 to TS6.

    Attributes:
        predictions: per aggregation and sequence (F, K, 17, 3) metres, root-relative, Human3.6M-17 order.
        spreads: per sequence (F, 17) metres, of the last step's hypotheses, see `common.uncertainty`.
        scores: as for Human3.6M, valid frames only; a sequence counts as an action.
        official: per aggregation the scores of `common.scores_3dhp`, last diffusion step.
    """

    predictions: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    spreads: dict[str, torch.Tensor] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    official: dict[str, dict] = field(default_factory=dict)


def evaluate_3dhp(
    lifter: Lifter,
    test: dict[str, TestSequence],
    sampling: Sampling,
    root: str,
    downsample: int = 1,
    refinement: Refinement | None = None,
) -> Evaluation3DHP:
    """Predict every frame, score the valid ones.

    Args:
        downsample: the lifter's frame rate is the files' over this; each phase is lifted by itself and the phases are
            put together again, so that no frame is left out.
        refinement: measures each person's bones in the very sequence, from its 2D.

    Several processes share the sequences, and each gets the result for all.
    """
    lifter.eval()
    result = Evaluation3DHP()
    mine = [
        _predict(lifter, entry, sampling, root, downsample, refinement)
        for entry in list(test.values())[processes.own()]
    ]
    for (name, entry), (poses, result.spreads[name]) in zip(test.items(), processes.gathered(mine)):
        for aggregation, pose in poses.items():
            result.predictions.setdefault(aggregation, {})[name] = pose
        _score(result, name, entry)
    activities = None
    if all(entry.activity is not None for entry in test.values()):
        activities = {name: entry.activity[entry.valid].numpy() for name, entry in test.items()}
    for aggregation, poses in result.predictions.items():
        errors = {
            name: official_errors(poses[name][entry.valid, -1], entry.sequence.pose[entry.valid])
            for name, entry in test.items()
        }
        result.official[aggregation] = score_3dhp(errors, activities)
    return result


def _predict(
    lifter: Lifter,
    entry: TestSequence,
    sampling: Sampling,
    root: str,
    downsample: int,
    refinement: Refinement | None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Per aggregation (F, K, 17, 3), and the spread (F, 17)."""
    length, steps = len(entry.sequence), sampling.sampling_timesteps
    poses: dict[str, torch.Tensor] = {}
    spreads = torch.empty(length, entry.sequence.keypoints.shape[1])
    phases = [entry.sequence.downsampled(downsample, phase) for phase in range(min(downsample, length))]
    lengths = refinement.lengths(lifter, phases)[entry.sequence.subject] if refinement else None
    for phase, (sequence, hypotheses) in enumerate(hypothesise(lifter, phases, sampling)):
        for step in range(steps):
            for name, pose in aggregate(hypotheses[:, step], sequence, root, refinement, lengths)[0].items():
                whole = poses.setdefault(name, torch.empty(length, steps, *pose.shape[1:]))
                whole[phase::downsample, step] = pose
        spreads[phase::downsample] = stitch(spread(hypotheses[:, -1]), len(sequence))
    return poses, spreads


def _score(result: Evaluation3DHP, name: str, entry: TestSequence) -> None:
    valid, target = entry.valid, entry.sequence.pose
    together = valid[1:] & valid[:-1]
    steps = result.predictions["J_Agg"][name].unbind(1)
    by_step = [joint_errors(step[valid], target[valid]).double().mean().item() * MILLIMETRES for step in steps]
    errors = {}
    for aggregation, poses in result.predictions.items():
        pose = poses[name][:, -1]
        velocity = velocity_errors(pose, target)[together].double().mean().item() * MILLIMETRES
        errors[aggregation] = (*pose_errors(pose[valid], target[valid])[:-1], velocity)
    result.scores.add((name, name), int(valid.sum()), by_step, errors)
