"""One evaluation for every dataset: hypotheses for whole sequences, joined by each aggregation, scored per frame."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from common import jpma, processes
from common.camera import undistort
from common.lifter import Lifter
from common.metrics import joint_errors, procrustes, rescaled, velocity_errors
from common.refinement import Refinement
from common.sequences import Sequence
from common.skeleton import H36M_17
from common.windows import split, stitch

METRICS = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm")
ROOTS = ("estimated", "gt")
REFINED = "Refined"  # beside `jpma.AGGREGATIONS`, where there is a refinement
MILLIMETRES = 1000


@dataclass(frozen=True)
class Sampling:
    """How hypotheses are drawn: H, K, whether flips are averaged, clips in a forward pass, and the seed."""

    num_proposals: int
    sampling_timesteps: int
    flip: bool = True
    batch_size: int = 32
    seed: int = 0


@torch.no_grad()
def hypothesise(
    lifter: Lifter, sequences: list[Sequence], sampling: Sampling
) -> Iterator[tuple[Sequence, torch.Tensor]]:
    """Each sequence with its hypotheses (W, K, H, T, J, 3), W windows; the same draws whatever else is evaluated.

    Windows of different sequences share a forward pass, and nothing is kept longer than needed.
    """
    device = next(lifter.parameters()).device
    waiting: list[tuple[Sequence, int]] = []
    windows: list[torch.Tensor] = []
    draws: list[list[torch.Tensor]] = []

    def lift() -> Iterator[tuple[Sequence, torch.Tensor]]:
        chunks = torch.cat(windows).split(sampling.batch_size)
        lenses = torch.cat([s.intrinsics.expand(count, 9) for s, count in waiting]).split(sampling.batch_size)
        noise = zip(*(torch.cat(step).split(sampling.batch_size) for step in zip(*draws)))
        hypotheses = torch.cat(
            [
                lifter.sample(
                    chunk.to(device),
                    sampling.num_proposals,
                    sampling.sampling_timesteps,
                    sampling.flip,
                    noise=draw,
                    intrinsics=lens.to(device),
                ).cpu()
                for chunk, lens, draw in zip(chunks, lenses, noise)
            ]
        )
        hypotheses[..., H36M_17.root_index, :] = 0  # poses are relative to it; the network only nearly says so
        for sequence, count in waiting:
            yield sequence, hypotheses[:count]
            hypotheses = hypotheses[count:]

    for sequence in sequences:
        windows.append(split(sequence.keypoints, lifter.frames))
        draws.append(_draws(sequence, (len(windows[-1]), sampling.num_proposals, *windows[-1].shape[1:3], 3), sampling))
        waiting.append((sequence, len(windows[-1])))
        if sum(count for _, count in waiting) >= sampling.batch_size:
            yield from lift()
            waiting, windows, draws = [], [], []
    if waiting:
        yield from lift()


def _draws(sequence: Sequence, shape: tuple[int, ...], sampling: Sampling) -> list[torch.Tensor]:
    """The K draws for a sequence, from the seed and the video's name alone."""
    name = f"{sampling.seed} {sequence.subject} {sequence.action} {sequence.camera}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(sampling.sampling_timesteps)]


def aggregate(
    hypotheses: torch.Tensor,
    sequence: Sequence,
    root: str,
    refinement: Refinement | None = None,
    lengths: torch.Tensor | None = None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Every aggregation of one diffusion step's hypotheses for a whole sequence.

    Args:
        hypotheses: (W, H, T, J, 3). sequence: with labels when `root` is "gt"; best-of needs them too.
        root: "estimated" from the 2D, or "gt", the papers' protocol.
        refinement: adds "Refined", made from P-Agg; the keypoints count once, so not from J-Agg.
        lengths: (J,) metres, the person's bones, for the refinement.

    Returns:
        Per name of `jpma.AGGREGATIONS` the pose (F, J, 3), best-of only where there are labels, and the root used
        (F, 3).
    """
    frames, length = hypotheses.shape[2], len(sequence)
    keypoints = split(sequence.keypoints, frames)
    intrinsics = sequence.intrinsics.expand(len(keypoints), 9)
    if root == "gt":
        place = split(sequence.trajectory, frames)
    else:
        place = jpma.estimate_root(hypotheses, keypoints, intrinsics)
    poses = {
        "P_Agg": jpma.p_agg(hypotheses),
        "J_Agg": jpma.j_agg(hypotheses, place, keypoints, intrinsics),
        "S_Agg": jpma.s_agg(hypotheses, place, keypoints, intrinsics),
    }
    if refinement is not None:
        poses[REFINED] = refinement(poses["P_Agg"], undistort(keypoints, intrinsics), lengths)
    if sequence.pose is not None:
        target = split(sequence.pose, frames)
        poses |= {"P_Best": jpma.p_best(hypotheses, target), "J_Best": jpma.j_best(hypotheses, target)}
    return {name: stitch(pose, length) for name, pose in poses.items()}, stitch(place, length)


@dataclass
class Scores:
    """Errors of one model: per aggregation and metric, the mean of each video, mm, and the frames behind it."""

    videos: list[tuple[str, str]] = field(default_factory=list)  # (subject, action)
    frames: list[int] = field(default_factory=list)
    errors: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    by_step: list[list[float]] = field(default_factory=list)  # J-Agg MPJPE of every diffusion step, per video

    def add(
        self, video: tuple[str, str], frames: int, by_step: list[float], errors: dict[str, tuple[float, ...]]
    ) -> None:
        """One more video; `errors` per aggregation in the order of `METRICS`."""
        self.videos.append(video)
        self.frames.append(frames)
        self.by_step.append(by_step)
        for aggregation, values in errors.items():
            found = self.errors.setdefault(aggregation, {metric: [] for metric in METRICS})
            for metric, value in zip(METRICS, values):
                found[metric].append(value)

    def summary(self, aggregation: str, metric: str) -> dict[str, float | dict[str, float]]:
        """Means: over the actions ("overall", as papers print it), over all frames, per action, per subject."""
        values, frames = np.array(self.errors[aggregation][metric]), np.array(self.frames)
        actions = np.array([action.split(" ")[0] for _, action in self.videos])
        subjects = np.array([subject for subject, _ in self.videos])

        def per(groups: np.ndarray) -> dict[str, float]:
            return {
                str(g): float(np.average(values[groups == g], weights=frames[groups == g]))
                for g in dict.fromkeys(groups.tolist())
            }

        by_action = dict(sorted(per(actions).items()))
        return {
            "overall": float(np.mean(list(by_action.values()))),
            "all_frames": float(np.average(values, weights=frames)),
            "by_action": by_action,
            "by_subject": per(subjects),
        }


def evaluate(
    lifter: Lifter, sequences: list[Sequence], sampling: Sampling, root: str, refinement: Refinement | None = None
) -> Scores:
    """Score a lifter on labelled sequences. Errors are those of the last diffusion step unless said.

    P-Best is the best hypothesis per clip of T frames. A refinement measures the people's bones in these very
    sequences, from the 2D. Several processes share the sequences, and each gets the scores of all.
    """
    lifter.eval()
    lengths = refinement.lengths(lifter, sequences) if refinement else {}
    mine = []
    for sequence, hypotheses in hypothesise(lifter, sequences[processes.own()], sampling):
        person = lengths.get(sequence.subject)
        steps = [aggregate(step, sequence, root, refinement, person)[0] for step in hypotheses.unbind(1)]
        by_step = [_mm(joint_errors(poses["J_Agg"], sequence.pose)) for poses in steps]
        errors = {name: pose_errors(pose, sequence.pose) for name, pose in steps[-1].items()}
        mine.append(((sequence.subject, sequence.action), len(sequence), by_step, errors))
    scores = Scores()
    for found in processes.gathered(mine):
        scores.add(*found)
    return scores


def pose_errors(predicted: torch.Tensor, target: torch.Tensor) -> tuple[float, float, float, float]:
    """MPJPE, P-MPJPE, N-MPJPE and MPJVE of a sequence (F, J, 3), metres in, mm out, in the order of `METRICS`."""
    return (
        _mm(joint_errors(predicted, target)),
        _mm(joint_errors(procrustes(predicted, target), target)),
        _mm(joint_errors(rescaled(predicted, target), target)),
        _mm(velocity_errors(predicted, target)) if len(target) > 1 else 0.0,
    )


def _mm(errors: torch.Tensor) -> float:
    return errors.double().mean().item() * MILLIMETRES
