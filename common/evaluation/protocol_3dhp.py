"""Predictions for every frame of 3DHP's test sequences, and their scores on the valid ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from .. import processes
from ..datasets.mpi_3dhp import TestSequence
from ..datasets.windows import stitch
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import Lifter
from ..reprojection.jpma import aggregate
from ..reprojection.lifting import spread
from ..reprojection.refinement import Refinement
from .metrics import joint_errors, velocity_errors
from .protocol import Scores, mean_mm, pose_errors
from .scores_3dhp import official_errors, score_3dhp


@dataclass
class Evaluation3DHP:
    """One model on TS1 to TS6, or those of them that there are.

    Attributes:
        predictions: per aggregation and sequence (F, K, 17, 3) metres, root-relative, Human3.6M-17 order.
        spreads: per sequence (F, 17) metres, of the last step's hypotheses, see `common.reprojection.lifting`.
        scores: as for Human3.6M, valid frames only; a sequence counts as an action.
        official: per aggregation the scores of `common.evaluation.scores_3dhp`, last diffusion step.
    """

    predictions: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    spreads: dict[str, torch.Tensor] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    official: dict[str, dict] = field(default_factory=dict)

    def results(
        self, aggregation: str, test: Sequence[TestSequence], scale: float | None
    ) -> Iterator[tuple[TestSequence, torch.Tensor, torch.Tensor | None]]:
        """Per sequence the poses (F, 17, 3) of an aggregation's last diffusion step, metres, and the expected errors
        (F, 17), the spreads times `scale`."""
        for video in test:
            expected = None if scale is None else scale * self.spreads[video.subject]
            yield video, self.predictions[aggregation][video.subject][:, -1], expected


def evaluate_3dhp(
    lifter: Lifter,
    test: Sequence[TestSequence],
    sampling: Sampling,
    root: str,
    downsample: int = 1,
    refinement: Refinement | None = None,
    rate: float | None = None,
) -> Evaluation3DHP:
    """Predict every frame, score the valid ones.

    Args:
        downsample: the lifter's frame rate is the files' over this; each phase is lifted by itself and the phases are
            put together again, so that no frame is left out.
        rate: the lifter's, frames a second: in place of `downsample` where the sequences' rates differ.
        refinement: measures each person's bones in the very sequence, from its 2D.

    Several processes share the sequences, and each gets the result for all.
    """
    lifter.eval()
    result = Evaluation3DHP()
    mine = [
        _predict(lifter, video, sampling, root, downsample if rate is None else video.step(rate), refinement)
        for video in test[processes.shard()]
    ]
    for video, (poses, result.spreads[video.subject]) in zip(test, processes.all_gather_items(mine)):
        for aggregation, pose in poses.items():
            result.predictions.setdefault(aggregation, {})[video.subject] = pose
        _score(result, video)
    known = {video.subject: video.activity[video.valid].numpy() for video in test if video.activity is not None}
    activities = known if len(known) == len(test) else None
    for aggregation, poses in result.predictions.items():
        errors = {
            video.subject: official_errors(poses[video.subject][video.valid, -1], video.pose[video.valid])
            for video in test
        }
        result.official[aggregation] = score_3dhp(errors, activities)
    return result


def _predict(
    lifter: Lifter,
    video: TestSequence,
    sampling: Sampling,
    root: str,
    downsample: int,
    refinement: Refinement | None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Per aggregation (F, K, 17, 3), and the spread (F, 17)."""
    length, steps = len(video), sampling.sampling_timesteps
    poses: dict[str, torch.Tensor] = {}
    spreads = torch.empty(length, video.keypoints.shape[1])
    phases = [video.downsampled(downsample, phase) for phase in range(min(downsample, length))]
    lengths = refinement.lengths(lifter, phases)[video.subject] if refinement else None
    for phase, (part, hypotheses) in enumerate(draw_hypotheses(lifter, phases, sampling)):
        for step in range(steps):
            for name, pose in aggregate(hypotheses[:, step], part, root, refinement, lengths)[0].items():
                whole = poses.setdefault(name, torch.empty(length, steps, *pose.shape[1:]))
                whole[phase::downsample, step] = pose
        spreads[phase::downsample] = stitch(spread(hypotheses[:, -1]), len(part))
    return poses, spreads


def _score(result: Evaluation3DHP, video: TestSequence) -> None:
    name, valid, target = video.subject, video.valid, video.pose
    together = valid[1:] & valid[:-1]
    steps = result.predictions["J_Agg"][name].unbind(1)
    by_step = [mean_mm(joint_errors(step[valid], target[valid])) for step in steps]
    errors = {}
    for aggregation, poses in result.predictions.items():
        pose = poses[name][:, -1]
        velocity = mean_mm(velocity_errors(pose, target)[together]) if together.any() else math.nan  # no two in a row
        errors[aggregation] = (*pose_errors(pose[valid], target[valid])[:-1], velocity)
    result.scores.add((name, name), int(valid.sum()), by_step, errors)
