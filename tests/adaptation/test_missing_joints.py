"""What adaptation makes of a target some of whose joints were not seen: they count nowhere."""

from dataclasses import replace

import pytest
import torch
from bodies import batch, generator, some_ratios, video
from lifters import Knows

from common.adaptation.floor import find_up, with_up
from common.adaptation.selection import CRITERIA, reprojection
from common.adaptation.synthesis import Synthesis, synthesise
from common.adaptation.teacher import ray_errors
from common.datasets.clips import LabelledBatch
from common.datasets.video import LabelledVideo
from common.evaluation.metrics import joint_errors
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement

WRIST = H36M_17.index("LWrist")


@pytest.fixture
def clips() -> LabelledBatch:
    """Of 5 % of the joints there is no keypoint."""
    clean = batch(4, 9)
    noise = 0.004 * torch.randn(clean.keypoints.shape, generator=generator(5), dtype=torch.float64)
    seen = (torch.rand(4, 9, 17, generator=generator(6), dtype=torch.float64) >= 0.05).double()
    assert 0.02 < (seen == 0).double().mean() < 0.08
    return replace(clean, keypoints=clean.keypoints + noise, confidence=seen)


def moved(clips: LabelledBatch, by: float = 50.0) -> LabelledBatch:
    """The same with the keypoints nobody saw in absurd places."""
    away = by * torch.randn(clips.keypoints.shape, generator=generator(9), dtype=torch.float64)
    return replace(clips, keypoints=torch.where(clips.confidence[..., None] > 0, clips.keypoints, away))


def test_reprojection_errors_of_the_others_stay(clips):
    pose = clips.pose + 0.03 * torch.randn(clips.pose.shape, generator=generator(), dtype=torch.float64)
    seen = clips.confidence > 0
    one, other = (ray_errors(pose, c.keypoints, c.intrinsics, c.confidence) for c in (clips, moved(clips)))
    torch.testing.assert_close(one[seen], other[seen], rtol=0, atol=1e-9)
    plain = ray_errors(pose, clips.keypoints, clips.intrinsics)
    assert torch.equal(ray_errors(pose, clips.keypoints, clips.intrinsics, torch.ones_like(clips.confidence)), plain)


def test_a_step_of_adaptation_learns_nothing_from_them(clips):
    """The loss as the training loops write it, for a student of which all is a free parameter: its gradient is the same
    wherever those keypoints are, and none for those joints."""
    gradients = []
    for seen in (clips, moved(clips)):
        predicted = (clips.pose + 0.05).requires_grad_()
        weight = seen.weights() / seen.weights().sum().clamp_min(1)
        rays = seen.weights() * ray_errors(predicted, seen.keypoints, seen.intrinsics, seen.weights())
        loss = (weight * joint_errors(predicted, clips.pose)).sum() + 0.5 * rays.sum() / seen.weights().sum().clamp_min(
            1
        )
        loss.backward()
        gradients.append(predicted.grad)
    unseen = clips.confidence == 0
    assert all((gradient[unseen] == 0).all() and (gradient[~unseen] != 0).any() for gradient in gradients)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-9)


@pytest.mark.parametrize("move", [False, True])
def test_what_was_not_seen_in_the_source_has_no_error_to_carry_over(clips, move):
    target = batch(4, 9, seed=2)
    how = Synthesis(1.5, move)
    found, other = (synthesise(source, target, some_ratios(4), how, generator(1)) for source in (clips, moved(clips)))
    for name in ("keypoints", "pose", "trajectory"):
        torch.testing.assert_close(getattr(found, name), getattr(other, name), rtol=0, atol=1e-9)
    clean = synthesise(clips, target, some_ratios(4), replace(how, noise=0.0), generator(1))
    unseen = clips.confidence == 0
    assert torch.equal(found.keypoints[unseen], clean.keypoints[unseen])
    assert (found.keypoints[~unseen] - clean.keypoints[~unseen]).abs().max() > 1e-3
    sure, silent = (replace(clips, confidence=c) for c in (torch.ones_like(clips.confidence), None))
    one, another = (synthesise(source, target, some_ratios(4), how, generator(1)) for source in (sure, silent))
    assert torch.equal(one.keypoints, another.keypoints)


# Of whole videos.


@pytest.fixture
def videos() -> list[LabelledVideo]:
    """Float32 as they are read, 5 % of the joints not seen."""
    found = []
    for seed in range(2):
        seen = (torch.rand(40, 17, generator=generator(seed)) >= 0.05).float()
        found.append(replace(video(40, seed), action=f"Walking {seed}", confidence=seen))
    return found


def elsewhere(videos: list[LabelledVideo]) -> list[LabelledVideo]:
    return [
        replace(v, keypoints=torch.where(v.confidence[..., None] > 0, v.keypoints, v.keypoints + 0.5)) for v in videos
    ]


def both(videos: list[LabelledVideo], off: float) -> Knows:
    """A lifter that answers alike for keypoints in either place."""
    lifter = Knows([*videos, *elsewhere(videos)], 8)
    lifter.apart = off
    return lifter


def test_the_reprojection_criterion_looks_at_what_was_seen(videos):
    lifter, sampling = both(videos, 0.05), Sampling(2, 1)
    found = reprojection(lifter, videos, sampling)
    assert found > 1e-4 and reprojection(lifter, elsewhere(videos), sampling) == pytest.approx(found, rel=1e-4)
    blind = [replace(v, confidence=None) for v in elsewhere(videos)]
    assert reprojection(lifter, blind, sampling) > 2 * found
    sure = [replace(v, confidence=torch.ones_like(v.confidence)) for v in videos]
    silent = [replace(v, confidence=None) for v in videos]
    for name, criterion in CRITERIA.items():
        assert criterion(lifter, sure, sampling) == criterion(lifter, silent, sampling), name


def test_up_is_found_from_what_was_seen(videos):
    lifter = both(videos, 0.0)
    refinement = Refinement(SourceBones.measure(lifter, videos), 0.002)
    blind = [v.unlabelled() for v in videos]
    found = find_up(lifter, blind, refinement)
    spoilt = find_up(lifter, [v.unlabelled() for v in elsewhere(videos)], refinement)
    torch.testing.assert_close(found, spoilt, rtol=0, atol=1e-4)
    believed = find_up(lifter, [replace(v.unlabelled(), confidence=None) for v in elsewhere(videos)], refinement)
    assert (believed - found).norm() > 1e-3
    sure, silent = (
        [replace(v, confidence=torch.ones_like(v.confidence) if said else None) for v in blind]
        for said in (True, False)
    )
    assert torch.equal(find_up(lifter, sure, refinement), find_up(lifter, silent, refinement))
    assert torch.equal(with_up(lifter, blind, 50.0, refinement)[0].up, found)


def test_up_is_found_even_where_no_foot_was_ever_seen(videos):
    feet = H36M_17.indices("RFoot", "LFoot")
    lifter = both(videos, 0.0)
    refinement = Refinement(SourceBones.measure(lifter, videos), 0.002)
    hidden = [replace(v.unlabelled(), confidence=v.confidence.clone()) for v in videos]
    for v in hidden:
        v.confidence[5:, feet] = 0
    assert find_up(lifter, hidden, refinement).norm() == pytest.approx(1, abs=1e-5)
