"""The evaluation, on lifters whose errors are known."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from bodies import generator, sequence
from torch import nn

from common.evaluation import METRICS, Sampling, Scores, aggregate, evaluate, hypothesise, reprojection_score
from common.jpma import AGGREGATIONS
from common.lifter import Lifter
from common.metrics import joint_errors
from common.mixste import MixSTE
from common.sequences import Sequence
from common.skeleton import H36M_17
from common.windows import split

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


def test_videos_windows_and_hypotheses_have_draws_of_their_own(lifter):
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
    assert blind.keys() == {"P_Agg", "J_Agg"} and labelled.keys() == set(AGGREGATIONS)
    assert torch.equal(place, same_place)
    assert all(torch.equal(blind[name], labelled[name]) for name in blind)
    assert place.shape == seen.trajectory.shape
    error = {name: joint_errors(pose, seen.pose).mean() for name, pose in labelled.items()}
    assert error["J_Best"] < error["P_Best"] and error["J_Best"] < error["J_Agg"]


def test_reprojection_score_needs_no_label(videos):
    blind = [s.unlabelled() for s in videos]
    right = reprojection_score(Oracle(videos, {}), blind, Sampling(2, 1))
    assert right == reprojection_score(Oracle(videos, {}), videos, Sampling(2, 1))
    assert right < 1e-5
    squeezed = [replace(s, pose=s.pose * torch.tensor([0.8, 1, 1])) for s in videos]
    assert reprojection_score(Oracle(squeezed, {}), blind, Sampling(2, 1)) > 1e-3


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
