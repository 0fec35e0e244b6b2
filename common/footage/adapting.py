"""A lifter that learns one person, their motion and their camera from the 2D alone (PoSynDA; METHOD 4 to 6).

As in the transfer scripts: the person's own motion is labelled by the teacher, every frame of it, and seen from other
sides by their camera. The student learns from that and, where there is a source, from its clips, given the person's
bones. An adaptation that makes a label-free score worse is not kept.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..adaptation.floor import with_up
from ..adaptation.pseudo_labels import PseudoLabels
from ..adaptation.selection import bones_vary, flips_disagree, reprojection
from ..adaptation.synthesis import Synthesis, synthesise
from ..adaptation.teacher import Teacher, ray_errors
from ..datasets.clips import Clips
from ..datasets.video import LabelledVideo, Video
from ..geometry.skeleton import H36M_17
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.bones import bone_lengths, bone_vectors, lift_some
from ..reprojection.keypoint_noise import KeypointNoise
from ..reprojection.refinement import Refinement
from .lifting import for_detectors, lift_every_frame

STEPS, BATCH_SIZE = 120, 16  # updates; clips to learn from, and as many of the person to reproject
RELABEL = 40  # updates for which the teacher's labels stay
OWN_MOTION = 0.5  # of the clips, where there is a source
LEARNING_RATE, LAST_RATE = 0.0003, 0.1  # at first, and as a share of it at the end
EMA_DECAY, REPROJECTION_WEIGHT = 0.99, 0.5
KEPT = 0.5  # of the way that the weights have gone
SNAPSHOTS = 3  # of which the best is kept
PHASES = 6  # of a video that are scored
JITTER_FRAMES = 1000  # at the beginning of a video
WORSE = 1.05  # a score that rises by less is as good as before: one phase differs from the next by more

UNITS = {"reprojection": "px", "bones vary by": "mm", "flips disagree by": "mm", "jitter": "mm"}


@dataclass(frozen=True)
class Adaptation:
    """What became of a lifter.

    Attributes:
        lifter: the adapted one, or that which it began with. kept: which.
        before, after: of `label_free_scores`; lower is better. `after` is of the snapshot that is kept, else of the
            last one.
    """

    lifter: Lifter
    kept: bool
    before: dict[str, float]
    after: dict[str, float]


def label_free_scores(lifter: Lifter, videos: Sequence[Video], rate: float, lengths: torch.Tensor) -> dict[str, float]:
    """What can be said of a lifter without labels, of its poses before any refinement.

    Args:
        lengths: (17,) metres, the person's bones. Poses that are too small would err by less; millimetres are those of
            the person's size.

    Returns:
        In `UNITS`: how far joints are from their keypoints (J-Agg), the standard deviation of a bone's length, the
        distance of a pose from that of the mirrored video, and how far a joint is from the middle between its places
        a frame before and a frame after, every frame lifted.
    """
    thinned = [v.downsampled(v.step(rate), phase) for v in videos for phase in range(min(PHASES, v.step(rate), len(v)))]
    sampling = Sampling(1, 1)
    focal = torch.stack([v.intrinsics[:2].mean() * v.width / 2 for v in videos]).mean().item()
    size = bone_vectors(lift_some(lifter.eval(), thinned).pose).norm(dim=-1).median(0).values.sum()
    millimetres = 1000 * (lengths.sum() / size).item()
    return {
        "reprojection": focal * reprojection(lifter, thinned, sampling),
        "bones vary by": millimetres * bones_vary(lifter, thinned, sampling),
        "flips disagree by": millimetres * flips_disagree(lifter, thinned, sampling),
        "jitter": millimetres * _jitter(lifter, videos, rate, sampling),
    }


def _jitter(lifter: Lifter, videos: Sequence[Video], rate: float, sampling: Sampling) -> float:
    found = []
    for video in videos:
        pose, *_ = lift_every_frame(lifter.eval(), video.frames(slice(JITTER_FRAMES)), rate, sampling)
        found.append(((pose[:-2] + pose[2:]) / 2 - pose[1:-1]).norm(dim=-1).flatten())
    every = torch.cat(found)
    return every.mean().item() if len(every) else 0.0


def no_worse(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether no score has risen, and one has fallen."""
    return all(after[n] <= WORSE * before[n] for n in before) and any(after[n] < before[n] for n in before)


def adapt(
    lifter: Lifter,
    refinement: Refinement,
    videos: Sequence[Video],
    lengths: torch.Tensor,
    rate: float,
    source: Sequence[LabelledVideo] = (),
    steps: int | None = None,
    seed: int = 0,
    said: Callable[[str], None] = print,
) -> Adaptation:
    """Adapt a lifter to one person's videos.

    Args:
        refinement: of the lifter. videos: of one person, every frame. lengths: (17,) metres, their bones.
        rate: the lifter's, frames a second. source: labelled videos to learn from beside them.
        steps: updates, `STEPS` unless told otherwise. said: takes a line now and then.
    """
    steps, refinement = steps or STEPS, for_detectors(refinement)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    videos = with_up(lifter, videos, rate, refinement)
    clips = Clips(videos, lifter.frames, rate)
    stream = clips.endless(BATCH_SIZE, generator, flip=True)
    labels = PseudoLabels(clips, rate, 1, 1, OWN_MOTION)
    how = Synthesis(1.0, move=True)
    if source:
        thinned = [v.at_rate(rate) for v in source]
        how = replace(how, noise=KeypointNoise.measure(thinned, [v.at_rate(rate) for v in videos]).ratio)
        source_stream = Clips(source, lifter.frames, rate).endless(BATCH_SIZE, generator, flip=True)
        ratios = lengths / bone_lengths(thinned).clamp_min(torch.finfo(lengths.dtype).eps)
        ratios[H36M_17.root_index] = 1
    student = copy.deepcopy(lifter).train().requires_grad_(True)
    teacher = Teacher(student, EMA_DECAY)
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=0.0)

    before = label_free_scores(lifter, videos, rate, lengths)
    best: tuple[float, Lifter, dict[str, float]] | None = None
    for step in range(steps):
        if step % RELABEL == 0:
            labels.relabel(teacher.lifter, {videos[0].subject: lengths}, refinement, step // RELABEL)
            student.train()
        target = next(stream)
        if source:
            batch = synthesise(next(source_stream), target, ratios.expand(len(target), -1), how, generator)
            batch = labels.mixed_into(batch, target, how, generator)
        else:
            batch = labels.from_other_sides(target, how, generator)

        keypoints = torch.cat([batch.keypoints, target.keypoints])
        intrinsics = torch.cat([batch.intrinsics, target.intrinsics])
        pose = torch.cat([batch.pose, torch.zeros_like(batch.pose)])
        t = torch.full((len(pose),), student.diffusion.timesteps - 1)  # the one that one step samples at
        noisy = student.diffusion.add_noise(pose, t, torch.randn(pose.shape, generator=generator))
        predicted = student.denoise(keypoints, noisy[:, None], t, intrinsics)[:, 0]
        n, weight = len(batch), batch.weights()
        errors = (predicted[:n] - batch.pose).norm(dim=-1)
        loss = (weight * errors).sum() / weight.sum()
        rays = target.weights() * ray_errors(predicted[n:], target.keypoints, target.intrinsics, target.weights())
        loss = loss + REPROJECTION_WEIGHT * rays.sum() / target.weights().sum().clamp_min(1)

        progress = step / steps
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, 20 * progress) * LAST_RATE**progress
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        teacher.update(student)
        if (step + 1) % max(steps // SNAPSHOTS, 1) == 0:
            snapshot = part_of_the_way(lifter, teacher.lifter)
            after = label_free_scores(snapshot, videos, rate, lengths)
            score = sum(math.log(max(after[n], 1e-9) / max(before[n], 1e-9)) for n in before)
            said(f"step {step + 1}/{steps}: " + shown(after))
            if no_worse(before, after) and (best is None or score < best[0]):
                best = score, snapshot, after
    if best is None:
        return Adaptation(lifter, False, before, after)
    _, adapted, after = best
    return Adaptation(adapted, True, before, after)


def part_of_the_way(start: Lifter, end: Lifter) -> Lifter:
    """A lifter whose weights lie `KEPT` of the way from one lifter's to another's, of the same sizes.

    It keeps more of what the first one knew at little cost to what the second one learnt (WiSE-FT, Wortsman et al.,
    CVPR 2022).
    """
    mixed, theirs = copy.deepcopy(end).eval(), start.denoiser.state_dict()
    weights = end.denoiser.state_dict()
    mixed.denoiser.load_state_dict({name: theirs[name].lerp(value, KEPT) for name, value in weights.items()})
    return mixed


def shown(scores: dict[str, float]) -> str:
    """Scores in one line."""
    return ", ".join(f"{name} {value:.1f} {UNITS[name]}" for name, value in scores.items())
