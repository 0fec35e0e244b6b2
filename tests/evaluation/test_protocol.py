"""The evaluation, on lifters whose errors are known."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import bodies
import pytest
import torch
from torch import nn

from common.datasets.mpi_3dhp import TestSequence
from common.datasets.video import LabelledVideo
from common.datasets.windows import split
from common.evaluation.protocol import METRICS, Scores, evaluate
from common.evaluation.protocol_3dhp import evaluate_3dhp
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling, draw_hypotheses
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.jpma import AGGREGATIONS, REFINED
from common.reprojection.refinement import Refinement

T = 4


class Oracle(nn.Module):
    """Knows the answer to every window and is off by a given mean distance (mm) along the optical axis, per video.

    Its root is far off too, which must not matter: poses are relative to it. So the other joints bear the whole mean.
    """

    def __init__(self, videos: list[LabelledVideo], off_mm: dict[tuple[str, str], float]):
        super().__init__()
        self.frames, self.device = T, nn.Parameter(torch.zeros(1))
        self.answers = {}
        for v in videos:
            joints = len(H36M_17.joints)
            off = off_mm.get((v.subject, v.action), 0.0) / 1000 * joints / (joints - 1)
            answer = v.pose + torch.tensor([0, 0, off])
            answer[:, H36M_17.root_index] = 9.0
            for seen, pose in zip(split(v.keypoints, T), split(answer, T)):
                self.answers[seen.numpy().tobytes()] = pose

    def sample(
        self, x_2d: torch.Tensor, num_proposals: int, sampling_timesteps: int, flip: bool, **_: object
    ) -> torch.Tensor:
        poses = torch.stack([self.answers[seen.numpy().tobytes()] for seen in x_2d])
        return poses[:, None, None].repeat(1, sampling_timesteps, num_proposals, 1, 1, 1)


def video(frames: int, seed: int, subject: str = "S5", action: str = "Walking", camera: int = 0) -> LabelledVideo:
    return replace(bodies.video(frames, seed, camera), subject=subject, action=action)


@pytest.fixture(scope="module")
def videos() -> list[LabelledVideo]:
    """Longer than, shorter than, a multiple of and just above the window."""
    return [
        video(10, 0, "S5", "Walking", 0),
        video(3, 1, "S5", "Walking 1", 1),
        video(8, 2, "S6", "Walking", 2),
        video(5, 3, "S6", "Sitting", 3),
    ]


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, len(H36M_17.joints), 16, 2, drop_path=0.5), timesteps=20)


def hypotheses_of(
    lifter: Lifter, videos: list[LabelledVideo], sampling: Sampling
) -> dict[tuple[str, str], torch.Tensor]:
    return {(v.subject, v.action): h for v, h in draw_hypotheses(lifter, videos, sampling)}


@pytest.mark.parametrize("root", ["estimated", "gt"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_truth_scores_zero(videos, root, batch_size):
    scores = evaluate(Oracle(videos, {}), videos, Sampling(2, 3, batch_size=batch_size), root)
    assert scores.videos == [(v.subject, v.action) for v in videos]
    assert scores.frames == [10, 3, 8, 5]
    assert scores.errors.keys() == set(AGGREGATIONS)
    for found in scores.errors.values():
        assert found.keys() == set(METRICS)
        assert all(error < 1e-3 for errors in found.values() for error in errors)  # mm, float32 in metres
    assert [len(steps) for steps in scores.by_step] == [3] * 4


def test_means_weigh_frames_within_a_group_and_actions_alike(videos):
    off = {("S5", "Walking"): 10.0, ("S5", "Walking 1"): 20.0, ("S6", "Walking"): 30.0, ("S6", "Sitting"): 40.0}
    scores = evaluate(Oracle(videos, off), videos, Sampling(2, 1), "estimated")
    found = scores.summary("P_Agg", "mpjpe_mm")
    walking = (10 * 10 + 3 * 20 + 8 * 30) / 21  # both takes are one action
    assert found["by_action"] == pytest.approx({"Sitting": 40, "Walking": walking}, rel=1e-4)
    assert list(found["by_action"]) == ["Sitting", "Walking"]
    assert found["by_subject"] == pytest.approx({"S5": 160 / 13, "S6": (240 + 200) / 13}, rel=1e-4)
    assert found["overall"] == pytest.approx((40 + walking) / 2, rel=1e-4)
    assert found["all_frames"] == pytest.approx((100 + 60 + 240 + 200) / 26, rel=1e-4)
    # A constant shift is no error of speed.
    assert scores.summary("P_Agg", "mpjve_mm")["overall"] < 1e-2


def test_metrics_are_in_millimetres_and_ordered(videos, lifter):
    scores = evaluate(lifter, videos, Sampling(3, 2), "estimated")
    for name in AGGREGATIONS:
        mpjpe, p_mpjpe, n_mpjpe, wrong, _ = (scores.summary(name, metric)["all_frames"] for metric in METRICS)
        assert p_mpjpe < n_mpjpe < mpjpe
        assert 20 < wrong < 80  # percent; a guess is wrong half of the time
        assert 50 < mpjpe < 5000  # an untrained lifter
    best = {name: scores.summary(name, "mpjpe_mm")["all_frames"] for name in AGGREGATIONS}
    assert best["J_Best"] <= min(best.values()) and best["P_Best"] > best["J_Best"]
    assert best["J_Best"] < best["J_Agg"]
    last = [steps[-1] for steps in scores.by_step]
    assert last == pytest.approx(scores.errors["J_Agg"]["mpjpe_mm"])


def test_the_seed_alone_decides(videos, lifter):
    sampling = Sampling(2, 2, seed=1)
    torch.manual_seed(1)
    first = evaluate(lifter.train(), videos, sampling, "estimated")
    torch.manual_seed(2)
    assert evaluate(lifter.train(), videos, sampling, "estimated") == first  # drop path is switched off
    assert evaluate(lifter, videos, replace(sampling, seed=2), "estimated").errors != first.errors


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_a_video_is_lifted_the_same_whatever_else_is(videos, lifter, batch_size):
    together = hypotheses_of(lifter.eval(), videos, Sampling(2, 3, batch_size=100))
    for chosen in (videos, videos[::-1], videos[2:], videos[1:2]):
        found = hypotheses_of(lifter, chosen, Sampling(2, 3, batch_size=batch_size))
        assert list(found) == [(v.subject, v.action) for v in chosen]
        for name, hypotheses in found.items():
            torch.testing.assert_close(hypotheses, together[name], atol=1e-5, rtol=0)


def test_windows_and_hypotheses_have_draws_of_their_own(lifter):
    one = video(8, 0)
    twin = replace(one, camera="another")
    (_, mine), (_, theirs) = draw_hypotheses(lifter.eval(), [one, twin], Sampling(2, 1))
    assert mine.shape == (2, 1, 2, T, len(H36M_17.joints), 3)
    assert (mine - theirs).abs().amax((1, 2, 3, 4, 5)).min() > 1e-3
    still = replace(one, keypoints=one.keypoints[:1].expand(8, -1, -1))
    ((_, found),) = draw_hypotheses(lifter, [still], Sampling(2, 1))
    assert (found[0] - found[1]).abs().max() > 1e-3 and (found[:, :, 0] - found[:, :, 1]).abs().max() > 1e-3


def test_videos_are_handed_out_as_soon_as_a_batch_is_full(videos):
    read = []

    class Watched(list):
        def __iter__(self) -> Iterator[LabelledVideo]:
            for item in super().__iter__():
                read.append(item)
                yield item

    results = draw_hypotheses(Oracle(videos, {}), Watched(videos), Sampling(1, 1, batch_size=4))
    next(results)
    assert len(read) == 2  # three windows and one


def shaken(videos: list[LabelledVideo], metres: float = 0.03) -> Oracle:
    """A lifter whose every joint is off by some centimetres."""
    rng = bodies.generator(7)
    return Oracle([replace(v, pose=v.pose + metres * torch.randn(v.pose.shape, generator=rng)) for v in videos], {})


@pytest.fixture(scope="module")
def refinement(videos) -> Refinement:
    return Refinement(SourceBones.measure(Oracle(videos, {}), videos), 0.0)


def test_a_refinement_adds_refined_poses_and_changes_no_other(videos, refinement):
    lifter, sampling = shaken(videos), Sampling(2, 2)
    plain, refined = (evaluate(lifter, videos, sampling, "estimated", given) for given in (None, refinement))
    assert plain.errors.keys() == set(AGGREGATIONS)
    assert refined.errors.keys() == {*AGGREGATIONS, REFINED}
    assert {name: refined.errors[name] for name in AGGREGATIONS} == plain.errors
    assert refined.by_step == plain.by_step
    error = {name: refined.summary(name, "mpjpe_mm")["all_frames"] for name in refined.errors}
    assert error[REFINED] < 0.8 * error["P_Agg"]  # keypoints and bones are exact here


def test_every_person_is_measured_alone(videos, refinement, monkeypatch):
    used = []

    def refine(
        self: Refinement, pose: torch.Tensor, rays: torch.Tensor, lengths: torch.Tensor, *_: Any
    ) -> torch.Tensor:
        used.append(lengths)
        return pose

    monkeypatch.setattr(Refinement, "__call__", refine)
    lifter = Oracle(videos, {})
    evaluate(lifter, videos, Sampling(1, 1), "estimated", refinement)
    assert len(used) == len(videos)
    alone = [refinement.lengths(lifter, [o for o in videos if o.subject == v.subject])[v.subject] for v in videos]
    assert all(torch.equal(one, other) for one, other in zip(used, alone))
    assert not torch.equal(used[0], used[-1])


@pytest.fixture(scope="module")
def tested() -> list[TestSequence]:
    """In the form of 3DHP's test sequences; one frame in three does not count."""
    found = []
    for seed, name in enumerate(("TS1", "TS2")):
        length = 11 + 6 * seed
        seen = replace(bodies.video(length, seed, seed), subject=name, action=name, camera=name)
        valid, activity = torch.arange(length) % 3 > 0, torch.arange(length) % 7 + 1
        found.append(TestSequence(**vars(seen), valid=valid, activity=activity))
    return found


@pytest.mark.parametrize("downsample", [1, 3])
def test_every_frame_of_3dhp_is_predicted_and_the_valid_ones_scored(tested, downsample):
    phases = [v.downsampled(downsample, p) for v in tested for p in range(downsample)]
    lifter, sampling = Oracle(phases, {("TS1", "TS1"): 10.0, ("TS2", "TS2"): 30.0}), Sampling(2, 3)
    result = evaluate_3dhp(lifter, tested, sampling, "estimated", downsample)
    assert result.predictions.keys() == result.official.keys() == result.scores.errors.keys() == set(AGGREGATIONS)
    for v in tested:
        assert result.predictions["J_Agg"][v.subject].shape == (len(v), 3, 17, 3)
        off = result.predictions["J_Agg"][v.subject] - v.pose[:, None]
        assert off[..., 2].amax() < 0.04 and off[..., :2].abs().amax() < 1e-5
    assert result.scores.frames == [int(v.valid.sum()) for v in tested]
    assert result.scores.summary("P_Agg", "mpjpe_mm")["by_action"] == pytest.approx({"TS1": 10, "TS2": 30}, rel=1e-3)
    ruined = [replace(v, pose=v.pose.clone()) for v in tested]
    for v in ruined:
        v.pose[~v.valid] = 1e3
    again = evaluate_3dhp(lifter, ruined, sampling, "estimated", downsample)
    assert again.scores.errors["J_Agg"] == result.scores.errors["J_Agg"]


def test_every_sequence_of_3dhp_is_lifted_at_the_lifters_rate(tested):
    """Seen frame by frame in one, one frame in two in the other; still every frame is predicted."""
    mixed = [replace(tested[0], fps=25.0), replace(tested[1], fps=50.0)]
    lifted = [mixed[0], *(mixed[1].downsampled(2, phase) for phase in range(2))]
    result = evaluate_3dhp(Oracle(lifted, {("TS1", "TS1"): 7.0}), mixed, Sampling(1, 1), "estimated", rate=25.0)
    assert result.scores.summary("P_Agg", "mpjpe_mm")["by_action"] == pytest.approx({"TS1": 7, "TS2": 0}, abs=1e-2)
    assert [len(poses) for poses in result.predictions["J_Agg"].values()] == [len(video) for video in mixed]


def test_refined_poses_of_3dhp(tested):
    phases = [v.downsampled(2, p) for v in tested for p in range(2)]
    refinement = Refinement(SourceBones.measure(Oracle(phases, {}), phases), 0.0)
    given = (shaken(phases), tested, Sampling(2, 2), "estimated", 2)
    plain, refined = evaluate_3dhp(*given), evaluate_3dhp(*given, refinement)
    assert refined.predictions.keys() == refined.official.keys() == {*AGGREGATIONS, REFINED}
    assert {name: refined.scores.errors[name] for name in AGGREGATIONS} == plain.scores.errors
    assert refined.scores.errors.keys() == {*AGGREGATIONS, REFINED}
    errors = {name: refined.official[name]["all_frames"]["mpjpe"]["Average"] for name in (REFINED, "P_Agg")}
    assert errors[REFINED] < 0.8 * errors["P_Agg"]


def test_a_test_sequence_without_two_valid_frames_in_a_row_has_no_velocity_error(tested):
    """Not an error of zero."""
    lone = [replace(v, valid=torch.arange(len(v)) % 2 > 0) for v in tested[:1]] + tested[1:]
    result = evaluate_3dhp(Oracle(tested, {("TS1", "TS1"): 7.0}), lone, Sampling(1, 1), "estimated")
    without, usual = result.scores.errors["J_Agg"]["mpjve_mm"]
    assert math.isnan(without) and result.scores.summary("J_Agg", "mpjve_mm")["overall"] == usual
    assert result.scores.errors["J_Agg"]["mpjpe_mm"][0] == pytest.approx(7, rel=1e-3)


def test_a_video_of_one_frame_has_a_score():
    one = [video(1, 0)]
    scores = evaluate(Oracle(one, {("S5", "Walking"): 7.0}), one, Sampling(1, 1), "estimated")
    assert scores.summary("J_Agg", "mpjpe_mm")["overall"] == pytest.approx(7, rel=1e-3)
    assert math.isnan(scores.summary("J_Agg", "mpjve_mm")["overall"])  # which a frame by itself has not


def test_summary_of_given_numbers():
    scores = Scores([("S5", "B 1"), ("S6", "A")], [1, 3], {"J_Agg": {"mpjpe_mm": [8.0, 4.0]}})
    assert scores.summary("J_Agg", "mpjpe_mm") == {
        "overall": 6.0, "all_frames": 5.0, "by_action": {"A": 4.0, "B": 8.0}, "by_subject": {"S5": 8.0, "S6": 4.0},
    }  # fmt: skip
