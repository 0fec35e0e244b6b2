"""Spread of the hypotheses: its size, its scale, and the file it is written to."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from bodies import generator, sequence
from lifters import Knows

from common.datasets.video import Sequence
from common.datasets.windows import stitch
from common.evaluation import uncertainty
from common.evaluation.uncertainty import calibration_curve, fit_scale, fitted_scale, write_predictions
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling, hypothesise
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.jpma import aggregate
from common.reprojection.lifting import predictions, spread
from common.reprojection.refinement import Refinement

T, JOINTS = 4, len(H36M_17.joints)


@pytest.fixture(scope="module")
def videos() -> list[Sequence]:
    return [
        replace(sequence(frames, seed, camera=seed), action=action)
        for seed, (frames, action) in enumerate([(10, "Walking"), (3, "Walking 1"), (8, "Sitting")])
    ]


@pytest.fixture(scope="module")
def refinement(videos) -> Refinement:
    return Refinement(SourceBones.measured(Knows(videos, T), videos), 0.0)


# Spread


def test_two_hypotheses_either_side_of_the_mean():
    side = torch.tensor([1.0, -1.0])[:, None, None, None] * torch.tensor([0.0, 0.03, 0.04])
    hypotheses = torch.randn(6, 1, T, JOINTS, 3, generator=generator()).double() + side.expand(2, T, JOINTS, 3)
    found = spread(hypotheses)
    assert found.shape == (6, T, JOINTS)
    torch.testing.assert_close(found, torch.full_like(found, 2**0.5 * 0.05))
    torch.testing.assert_close(spread(7 * hypotheses), 7 * found)
    assert torch.equal(spread(hypotheses[2]), found[2])


def test_a_single_hypothesis_has_none():
    assert torch.equal(spread(torch.randn(5, 1, T, JOINTS, 3, generator=generator())), torch.zeros(5, T, JOINTS))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_mean_square_does_not_depend_on_how_many_there_are(count):
    hypotheses = 0.02 * torch.randn(4000, count, 2, 3, 3, generator=generator(), dtype=torch.float64)
    assert spread(hypotheses).square().mean().item() == pytest.approx(3 * 0.02**2, rel=0.02)


def test_every_joint_has_its_own():
    hypotheses = torch.zeros(1, 5, T, JOINTS, 3)
    hypotheses[:, :, 1, H36M_17.index("LKnee")] = torch.randn(5, 3, generator=generator())
    assert spread(hypotheses).nonzero().tolist() == [[0, 1, H36M_17.index("LKnee")]]


# Scale and calibration


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


# Predictions


def test_predictions_come_without_labels(videos, refinement):
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    for given in (None, refinement):
        open_, blind = (
            list(predictions(lifter, seen, Sampling(2, 1), given))
            for seen in (videos, [v.unlabelled() for v in videos])
        )
        for video, (_, pose, spreads), (_, same_pose, same_spreads) in zip(videos, open_, blind):
            assert pose.shape == (len(video), JOINTS, 3) and spreads.shape == (len(video), JOINTS)
            assert torch.equal(pose, same_pose) and torch.equal(spreads, same_spreads)
            off = (pose - video.pose).norm(dim=-1)[:, 1:]
            if given:
                assert off.mean() < 0.01  # from the mean, which is right
            else:
                torch.testing.assert_close(off, torch.full_like(off, 0.03), rtol=0, atol=1e-5)


def test_the_last_diffusion_step_counts(videos):
    torch.manual_seed(0)
    lifter, sampling = Lifter(MixSTE(T, JOINTS, 16, 1), timesteps=20).eval(), Sampling(2, 3)
    drawn = hypothesise(lifter, videos, sampling)
    for (video, pose, spreads), (_, hypotheses) in zip(predictions(lifter, videos, sampling, None), drawn):
        last = hypotheses[:, -1]
        assert torch.equal(pose, aggregate(last, video, "estimated")[0]["J_Agg"])
        assert torch.equal(spreads, stitch(spread(last), len(video)))


def test_the_file_has_a_pose_and_an_expected_error_for_every_video(videos, tmp_path: Path):
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    given = lifter, videos, Sampling(2, 1), None
    write_predictions(tmp_path / "predictions.npz", *given, scale=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        contents = dict(file)
    names = [f"{v.subject}/{v.action}/{v.camera}" for v in videos]
    assert names[1].startswith("S1/Walking 1/") and len(set(names)) == 3
    assert contents.keys() == {f"{name}/{kind}" for name in names for kind in ("pose", "expected_error")}
    for name, (video, pose, spreads) in zip(names, predictions(*given)):
        assert {contents[f"{name}/{kind}"].dtype for kind in ("pose", "expected_error")} == {np.dtype(np.float32)}
        assert contents[f"{name}/pose"].shape == (len(video), JOINTS, 3)
        np.testing.assert_array_equal(contents[f"{name}/pose"], pose)
        np.testing.assert_allclose(contents[f"{name}/expected_error"], 0.5 * spreads)

    write_predictions(tmp_path / "predictions.npz", *given, scale=None)
    with np.load(tmp_path / "predictions.npz") as file:
        assert set(file.files) == {f"{name}/pose" for name in names}


@pytest.mark.parametrize("before", [None, b"an earlier run's"])
def test_all_of_the_file_is_written_or_nothing(videos, tmp_path: Path, monkeypatch, before):
    path = tmp_path / "predictions.npz"
    if before:
        path.write_bytes(before)

    def full(partial: BinaryIO, **_: np.ndarray) -> None:
        partial.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        write_predictions(path, Knows(videos, T), videos, Sampling(1, 1), None, None)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])
