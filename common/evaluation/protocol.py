"""One evaluation for every dataset: hypotheses for whole videos, joined by each aggregation, scored per frame."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .. import processes
from ..datasets.h36m import action_of
from ..datasets.video import LabelledVideo
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import Lifter
from ..reprojection.jpma import aggregate
from ..reprojection.refinement import Refinement
from ..units import MILLIMETRES
from .metrics import joint_errors, procrustes, rescaled, velocity_errors, wrong_sign_depth

METRICS = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "wrong_depth_percent", "mpjve_mm")


@dataclass
class Scores:
    """Errors of one model: per aggregation and metric, the mean of each video, mm or percent, and the frames behind."""

    videos: list[tuple[str, str]] = field(default_factory=list)  # (subject, action)
    frames: list[int] = field(default_factory=list)
    errors: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    by_step: list[list[float]] = field(default_factory=list)  # J-Agg MPJPE of every diffusion step, per video

    def add(
        self, video: tuple[str, str], frames: int, by_step: list[float], errors: Mapping[str, tuple[float, ...]]
    ) -> None:
        """One more video; `errors` per aggregation in the order of `METRICS`."""
        self.videos.append(video)
        self.frames.append(frames)
        self.by_step.append(by_step)
        for aggregation, values in errors.items():
            found = self.errors.setdefault(aggregation, {metric: [] for metric in METRICS})
            for metric, value in zip(METRICS, values):
                found[metric].append(value)

    def all_frames(self, aggregation: str, metric: str = "mpjpe_mm") -> float:
        """The mean over all frames."""
        return _mean(metric, np.array(self.errors[aggregation][metric]), np.array(self.frames))

    def summary(self, aggregation: str, metric: str) -> dict[str, float | dict[str, float]]:
        """Means: over the actions ("overall", as papers print it), over all frames, per action, per subject."""
        values, frames = np.array(self.errors[aggregation][metric]), np.array(self.frames)
        actions = np.array([action_of(action) for _, action in self.videos])
        subjects = np.array([subject for subject, _ in self.videos])

        def per(groups: np.ndarray) -> dict[str, float]:
            return {
                str(g): _mean(metric, values[groups == g], frames[groups == g]) for g in dict.fromkeys(groups.tolist())
            }

        by_action = dict(sorted(per(actions).items()))
        known = np.array(list(by_action.values()))
        return {
            "overall": _mean(metric, known, np.ones(len(known))),
            "all_frames": self.all_frames(aggregation, metric),
            "by_action": by_action,
            "by_subject": per(subjects),
        }


def _mean(metric: str, values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean. Videos of one frame have no MPJVE and are left out of it; any other gap stays one."""
    known = np.isfinite(values) if metric == "mpjve_mm" else np.ones(len(values), dtype=bool)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan


def evaluate(
    lifter: Lifter,
    videos: Sequence[LabelledVideo],
    sampling: Sampling,
    root: str,
    refinement: Refinement | None = None,
) -> Scores:
    """Score a lifter on labelled videos. Errors are those of the last diffusion step unless said.

    P-Best is the best hypothesis per clip of T frames. A refinement measures the people's bones in these very videos,
    from the 2D. Several processes share the videos, and each gets the scores of all.
    """
    lifter.eval()
    lengths = refinement.lengths(lifter, videos) if refinement else {}
    mine = []
    for video, hypotheses in draw_hypotheses(lifter, videos[processes.shard()], sampling):
        person = lengths.get(video.subject)
        steps = [aggregate(step, video, root, refinement, person)[0] for step in hypotheses.unbind(1)]
        by_step = [mean_mm(joint_errors(poses["J_Agg"], video.pose)) for poses in steps]
        errors = {name: pose_errors(pose, video.pose) for name, pose in steps[-1].items()}
        mine.append(((video.subject, video.action), len(video), by_step, errors))
    scores = Scores()
    for found in processes.all_gather_items(mine):
        scores.add(*found)
    return scores


def pose_errors(predicted: torch.Tensor, target: torch.Tensor) -> tuple[float, ...]:
    """What `METRICS` names, in its order, of a video (F, J, 3), metres in, mm and percent out; one frame has no MPJVE,
    which is not a number then."""
    return (
        mean_mm(joint_errors(predicted, target)),
        mean_mm(joint_errors(procrustes(predicted, target), target)),
        mean_mm(joint_errors(rescaled(predicted, target), target)),
        100 * wrong_sign_depth(predicted, target).item(),
        mean_mm(velocity_errors(predicted, target)) if len(target) > 1 else math.nan,
    )


def mean_mm(errors: torch.Tensor) -> float:
    """The mean of errors in metres, millimetres."""
    return errors.double().mean().item() * MILLIMETRES
