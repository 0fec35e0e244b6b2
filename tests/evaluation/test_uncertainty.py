"""Spread of the hypotheses made an expected error: its scale and its calibration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bodies import generator, video
from lifters import Knows

from common.datasets.video import LabelledVideo
from common.evaluation import uncertainty
from common.evaluation.uncertainty import calibration_curve, fit_scale, fitted_scale
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement

T, JOINTS = 4, len(H36M_17.joints)


@pytest.fixture(scope="module")
def videos() -> list[LabelledVideo]:
    return [
        replace(video(frames, seed, camera=seed), action=action)
        for seed, (frames, action) in enumerate([(10, "Walking"), (3, "Walking 1"), (8, "Sitting")])
    ]


@pytest.fixture(scope="module")
def refinement(videos) -> Refinement:
    return Refinement(SourceBones.measure(Knows(videos, T), videos), 0.0)


def test_the_scale_makes_the_mean_spread_the_mean_error():
    spreads, errors = torch.rand(2, 50, JOINTS, generator=generator())
    scale = fit_scale(spreads, 3 * errors)
    assert (scale * spreads).mean().item() == pytest.approx(3 * errors.mean().item(), rel=1e-5)
    assert fit_scale(2 * spreads, 3 * errors) == pytest.approx(scale / 2)
    assert fit_scale(torch.zeros(5, JOINTS), torch.ones(5, JOINTS)) is None


def test_right_expectations_lie_on_the_diagonal():
    rng = generator()
    expected = 5 + 95 * torch.rand(3000, JOINTS, generator=rng)
    errors = expected * -torch.rand(3000, JOINTS, generator=rng).clamp_min(1e-9).log()  # of mean one
    curve = calibration_curve(expected, errors, bins=8)
    assert curve.shape == (8, 2) and (np.diff(curve[:, 0]) > 0).all()
    np.testing.assert_allclose(curve[:, 1], curve[:, 0], rtol=0.06)
    np.testing.assert_allclose(calibration_curve(expected / 2, errors, bins=8)[:, 1], curve[:, 1], rtol=1e-5)
    # Errors that know nothing of what was expected make a level line.
    level = calibration_curve(expected, errors.flatten()[torch.randperm(errors.numel(), generator=rng)], bins=8)
    np.testing.assert_allclose(level[:, 1], errors.mean(), rtol=0.1)


def test_bins_hold_equally_many_joints():
    expected = torch.tensor([[4.0, 1.0], [3.0, 2.0], [6.0, 5.0]])
    assert calibration_curve(expected, 10 * expected, bins=3).tolist() == [[1.5, 15], [3.5, 35], [5.5, 55]]


@pytest.mark.parametrize("refined", [False, True])
def test_the_scale_is_fitted_on_labelled_videos(videos, refinement, refined):
    """Hypotheses are off by 3 cm of depth either way, and labels by 10 cm to the side."""
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    off = torch.ones(JOINTS, 1) * torch.tensor([0.1, 0, 0])
    off[H36M_17.root_index] = 0
    labelled = [replace(v, pose=v.pose + off) for v in videos]
    scale = fitted_scale(lifter, labelled, Sampling(2, 1), refinement if refined else None)
    error = 0.1 if refined else (0.1**2 + 0.03**2) ** 0.5  # J-Agg keeps one of the two
    assert scale == pytest.approx(error / (2**0.5 * 0.03), rel=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_hypotheses_that_are_all_alike_have_no_scale(videos, count):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(T, JOINTS, 16, 1), timesteps=20, deterministic=True)
    assert fitted_scale(lifter, videos, Sampling(count, 1), None) is None
    assert fitted_scale(Knows(videos, T), videos, Sampling(count, 1), None) is None


def test_the_scale_is_fitted_on_evenly_spread_videos(videos, monkeypatch):
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    many = [replace(v, pose=v.pose * (1 + 0.1 * i)) for i, v in enumerate(videos)]  # labels ever farther off
    monkeypatch.setattr(uncertainty, "VIDEOS", 2)
    given = Sampling(2, 1), None
    assert fitted_scale(lifter, [*many, *many], *given) == fitted_scale(lifter, [many[0], many[0]], *given)


def test_a_diffusion_lifter_has_a_scale(videos):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(T, JOINTS, 16, 2, drop_path=0.5), timesteps=20).train()
    scale = fitted_scale(lifter, videos, Sampling(3, 1), None)
    assert scale > 0 and fitted_scale(lifter.train(), videos, Sampling(3, 1), None) == scale
