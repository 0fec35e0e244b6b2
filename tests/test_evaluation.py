"""The evaluation, on lifters whose errors are known."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from bodies import generator, sequence
from torch import nn

from common.datasets.mpi_3dhp import TestSequence
from common.datasets.video import Sequence
from common.datasets.windows import split
from common.evaluation.metrics import joint_errors
from common.evaluation.protocol import METRICS, Scores, evaluate
from common.evaluation.protocol_3dhp import evaluate_3dhp
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling, hypothesise
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones, bone_lengths, bone_vectors
from common.reprojection.jpma import AGGREGATIONS, NEED_LABELS, REFINED, aggregate
from common.reprojection.refinement import Refinement

T = 4


class Oracle(nn.Module):
    """Knows the answer to every window and is off by a given mean distance (mm) along the optical axis, per video.

    Its root is far off too, which must not matter: poses are relative to it. So the other joints bear the whole mean.
    """

    def __init__(self, sequences: list[Sequence], off_mm: dict[tuple[str, str], float]):
        super().__init__()
        self.frames, self.device = T, nn.Parameter(torch.zeros(1))
        self.answers = {}
        for s in sequences:
            joints = len(H36M_17.joints)
            off = off_mm.get((s.subject, s.action), 0.0) / 1000 * joints / (joints - 1)
            answer = s.pose + torch.tensor([0, 0, off])
            answer[:, H36M_17.root_index] = 9.0
            for seen, pose in zip(split(s.keypoints, T), split(answer, T)):
                self.answers[seen.numpy().tobytes()] = pose

    def sample(
        self, x_2d: torch.Tensor, num_proposals: int, sampling_timesteps: int, flip: bool, **_: object
    ) -> torch.Tensor:
        poses = torch.stack([self.answers[seen.numpy().tobytes()] for seen in x_2d])
        return poses[:, None, None].repeat(1, sampling_timesteps, num_proposals, 1, 1, 1)


def video(frames: int, seed: int, subject: str = "S5", action: str = "Walking", camera: int = 0) -> Sequence:
    return replace(sequence(frames, seed, camera), subject=subject, action=action)


@pytest.fixture(scope="module")
def videos() -> list[Sequence]:
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


def hypotheses_of(lifter: Lifter, videos: list[Sequence], sampling: Sampling) -> dict[tuple[str, str], torch.Tensor]:
    return {(s.subject, s.action): h for s, h in hypothesise(lifter, videos, sampling)}


@pytest.mark.parametrize("root", ["estimated", "gt"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_truth_scores_zero(videos, root, batch_size):
    scores = evaluate(Oracle(videos, {}), videos, Sampling(2, 3, batch_size=batch_size), root)
    assert scores.videos == [(s.subject, s.action) for s in videos]
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
        mpjpe, p_mpjpe, n_mpjpe, _ = (scores.summary(name, metric)["all_frames"] for metric in METRICS)
        assert p_mpjpe < n_mpjpe < mpjpe
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
        assert list(found) == [(s.subject, s.action) for s in chosen]
        for name, hypotheses in found.items():
            torch.testing.assert_close(hypotheses, together[name], atol=1e-5, rtol=0)


def test_windows_and_hypotheses_have_draws_of_their_own(lifter):
    one = video(8, 0)
    twin = replace(one, camera="another")
    (_, mine), (_, theirs) = hypothesise(lifter.eval(), [one, twin], Sampling(2, 1))
    assert mine.shape == (2, 1, 2, T, len(H36M_17.joints), 3)
    assert (mine - theirs).abs().amax((1, 2, 3, 4, 5)).min() > 1e-3
    still = replace(one, keypoints=one.keypoints[:1].expand(8, -1, -1))
    ((_, found),) = hypothesise(lifter, [still], Sampling(2, 1))
    assert (found[0] - found[1]).abs().max() > 1e-3 and (found[:, :, 0] - found[:, :, 1]).abs().max() > 1e-3


def test_videos_are_handed_out_as_soon_as_a_batch_is_full(videos):
    read = []

    class Watched(list):
        def __iter__(self) -> Iterator[Sequence]:
            for item in super().__iter__():
                read.append(item)
                yield item

    results = hypothesise(Oracle(videos, {}), Watched(videos), Sampling(1, 1, batch_size=4))
    next(results)
    assert len(read) == 2  # three windows and one


def test_root_from_the_label_or_from_the_2d():
    seen = video(9, 4)
    truth = split(seen.pose, T)
    aside = truth.clone()
    aside[..., 0] += 0.1
    hypotheses = torch.stack([aside, truth], 1)
    poses, place = aggregate(hypotheses, seen, "gt")
    assert torch.equal(place, seen.trajectory)
    assert torch.equal(poses["J_Agg"], seen.pose)  # only the truth reprojects where the true root stands
    assert torch.equal(poses["P_Best"], seen.pose) and torch.equal(poses["J_Best"], seen.pose)
    torch.testing.assert_close(poses["P_Agg"], seen.pose + torch.tensor([0.05, 0, 0]))

    # The estimate is taken from the mean pose, so it makes up for half of the 10 cm.
    _, estimated = aggregate(hypotheses, seen, "estimated")
    torch.testing.assert_close(estimated, seen.trajectory - torch.tensor([0.05, 0, 0]), atol=2e-3, rtol=0)
    _, exact = aggregate(truth[:, None], seen, "estimated")
    torch.testing.assert_close(exact, seen.trajectory, atol=2e-3, rtol=0)


def test_aggregation_without_labels():
    seen = video(9, 4)
    hypotheses = split(seen.pose, T)[:, None] + 0.05 * torch.randn(
        3, 5, T, len(H36M_17.joints), 3, generator=generator()
    )
    blind, place = aggregate(hypotheses, seen.unlabelled(), "estimated")
    labelled, same_place = aggregate(hypotheses, seen, "estimated")
    assert blind.keys() == set(AGGREGATIONS) - set(NEED_LABELS) and labelled.keys() == set(AGGREGATIONS)
    assert torch.equal(place, same_place)
    assert all(torch.equal(blind[name], labelled[name]) for name in blind)
    assert place.shape == seen.trajectory.shape
    error = {name: joint_errors(pose, seen.pose).mean() for name, pose in labelled.items()}
    assert error["J_Best"] < error["P_Best"] and error["J_Best"] < error["J_Agg"]


def shaken(sequences: list[Sequence], metres: float = 0.03) -> Oracle:
    """A lifter whose every joint is off by some centimetres."""
    rng = generator(7)
    return Oracle([replace(s, pose=s.pose + metres * torch.randn(s.pose.shape, generator=rng)) for s in sequences], {})


@pytest.fixture(scope="module")
def refinement(videos) -> Refinement:
    return Refinement(SourceBones.measured(Oracle(videos, {}), videos), 0.0)


def test_a_refinement_adds_refined_poses_and_changes_no_other(videos, refinement):
    lifter, sampling = shaken(videos), Sampling(2, 2)
    plain, refined = (evaluate(lifter, videos, sampling, "estimated", given) for given in (None, refinement))
    assert plain.errors.keys() == set(AGGREGATIONS)
    assert refined.errors.keys() == {*AGGREGATIONS, REFINED}
    assert {name: refined.errors[name] for name in AGGREGATIONS} == plain.errors
    assert refined.by_step == plain.by_step
    error = {name: refined.summary(name, "mpjpe_mm")["all_frames"] for name in refined.errors}
    assert error[REFINED] < 0.8 * error["P_Agg"]  # keypoints and bones are exact here


def test_refined_poses_come_from_the_mean_and_have_the_persons_bones(refinement):
    seen = video(8, 4)
    hypotheses = split(seen.pose, T)[:, None] + 0.02 * torch.randn(2, 3, T, 17, 3, generator=generator())
    true = bone_lengths([seen])
    found, errors = {}, {}
    for size in (1.0, 1.1):
        found[size] = aggregate(hypotheses, seen, "estimated", refinement, size * true)[0][REFINED]
        bones = bone_vectors(found[size]).norm(dim=-1)[:, 1:]
        errors[size] = (bones / true[1:] - size).abs().mean()
        assert errors[size] < 0.03
    blind = aggregate(hypotheses, seen.unlabelled(), "estimated", refinement, true)[0][REFINED]
    assert torch.equal(blind, found[1.0])
    expected = refinement(hypotheses.mean(1).flatten(0, 1), undistort(seen.keypoints, seen.intrinsics), true)
    torch.testing.assert_close(found[1.0], expected, atol=1e-4, rtol=0)


def test_every_person_is_measured_alone(videos, refinement, monkeypatch):
    used = []

    def refine(self: Refinement, pose: torch.Tensor, rays: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        used.append(lengths)
        return pose

    monkeypatch.setattr(Refinement, "__call__", refine)
    lifter = Oracle(videos, {})
    evaluate(lifter, videos, Sampling(1, 1), "estimated", refinement)
    assert len(used) == len(videos)
    alone = [refinement.lengths(lifter, [v for v in videos if v.subject == s.subject])[s.subject] for s in videos]
    assert all(torch.equal(one, other) for one, other in zip(used, alone))
    assert not torch.equal(used[0], used[-1])


@pytest.fixture(scope="module")
def tested() -> dict[str, TestSequence]:
    """In the form of 3DHP's test sequences; one frame in three does not count."""
    found = {}
    for seed, name in enumerate(("TS1", "TS2")):
        length = 11 + 6 * seed
        seen = replace(sequence(length, seed, seed), subject=name, action=name, camera=name)
        found[name] = TestSequence(seen, torch.arange(length) % 3 > 0, torch.arange(length) % 7 + 1)
    return found


@pytest.mark.parametrize("downsample", [1, 3])
def test_every_frame_of_3dhp_is_predicted_and_the_valid_ones_scored(tested, downsample):
    phases = [s.sequence.downsampled(downsample, p) for s in tested.values() for p in range(downsample)]
    lifter, sampling = Oracle(phases, {("TS1", "TS1"): 10.0, ("TS2", "TS2"): 30.0}), Sampling(2, 3)
    result = evaluate_3dhp(lifter, tested, sampling, "estimated", downsample)
    assert result.predictions.keys() == result.official.keys() == result.scores.errors.keys() == set(AGGREGATIONS)
    for name, entry in tested.items():
        assert result.predictions["J_Agg"][name].shape == (len(entry.sequence), 3, 17, 3)
        off = result.predictions["J_Agg"][name] - entry.sequence.pose[:, None]
        assert off[..., 2].amax() < 0.04 and off[..., :2].abs().amax() < 1e-5
    assert result.scores.frames == [int(entry.valid.sum()) for entry in tested.values()]
    assert result.scores.summary("P_Agg", "mpjpe_mm")["by_action"] == pytest.approx({"TS1": 10, "TS2": 30}, rel=1e-3)
    ruined = {
        name: replace(entry, sequence=replace(entry.sequence, pose=entry.sequence.pose.clone()))
        for name, entry in tested.items()
    }
    for entry in ruined.values():
        entry.sequence.pose[~entry.valid] = 1e3
    again = evaluate_3dhp(lifter, ruined, sampling, "estimated", downsample)
    assert again.scores.errors["J_Agg"] == result.scores.errors["J_Agg"]


def test_refined_poses_of_3dhp(tested):
    phases = [entry.sequence.downsampled(2, p) for entry in tested.values() for p in range(2)]
    refinement = Refinement(SourceBones.measured(Oracle(phases, {}), phases), 0.0)
    given = (shaken(phases), tested, Sampling(2, 2), "estimated", 2)
    plain, refined = evaluate_3dhp(*given), evaluate_3dhp(*given, refinement)
    assert refined.predictions.keys() == refined.official.keys() == {*AGGREGATIONS, REFINED}
    assert {name: refined.scores.errors[name] for name in AGGREGATIONS} == plain.scores.errors
    assert refined.scores.errors.keys() == {*AGGREGATIONS, REFINED}
    errors = {name: refined.official[name]["all_frames"]["mpjpe"]["Average"] for name in (REFINED, "P_Agg")}
    assert errors[REFINED] < 0.8 * errors["P_Agg"]


def test_a_video_of_one_frame_has_a_score():
    one = [video(1, 0)]
    scores = evaluate(Oracle(one, {("S5", "Walking"): 7.0}), one, Sampling(1, 1), "estimated")
    assert scores.summary("J_Agg", "mpjpe_mm")["overall"] == pytest.approx(7, rel=1e-3)
    assert scores.summary("J_Agg", "mpjve_mm")["overall"] == 0


def test_summary_of_given_numbers():
    scores = Scores([("S5", "B 1"), ("S6", "A")], [1, 3], {"J_Agg": {"mpjpe_mm": [8.0, 4.0]}})
    assert scores.summary("J_Agg", "mpjpe_mm") == {
        "overall": 6.0, "all_frames": 5.0, "by_action": {"A": 4.0, "B": 8.0}, "by_subject": {"S5": 8.0, "S6": 4.0},
    }  # fmt: skip
