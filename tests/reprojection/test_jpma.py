"""Hypotheses to one pose: every aggregation, of clips and of whole videos."""

from dataclasses import replace

import pytest
import torch
from bodies import batch, generator, video

from common.datasets.clips import LabelledBatch
from common.datasets.windows import split
from common.evaluation.metrics import joint_errors
from common.geometry.camera import project, undistort
from common.geometry.skeleton import H36M_17
from common.reprojection.bones import SourceBones, bone_lengths, bone_vectors
from common.reprojection.jpma import (
    AGGREGATIONS,
    NEED_LABELS,
    REFINED,
    SOFTNESS,
    aggregate,
    j_agg,
    j_best,
    p_agg,
    p_best,
    pick_joints,
    reprojection_errors,
    s_agg,
)
from common.reprojection.refinement import Refinement
from common.reprojection.root import estimate_root

T, WRIST = 4, H36M_17.index("LWrist")


@pytest.fixture
def clips() -> LabelledBatch:
    return batch(4, 5)


@pytest.fixture
def hypotheses(clips) -> torch.Tensor:
    """(B, 6, T, J, 3) the true pose with noise, the root where it is."""
    noise = 0.05 * torch.randn(4, 6, 5, 17, 3, generator=generator(), dtype=torch.float64)
    noise[..., H36M_17.root_index, :] = 0
    return clips.pose[:, None] + noise


def test_reprojection_errors_are_distances_in_the_image(clips, hypotheses):
    errors = reprojection_errors(hypotheses, clips.trajectory, clips.keypoints, clips.intrinsics)
    assert errors.shape == (4, 6, 5, 17)
    for b, h in ((0, 0), (3, 5)):
        seen = project(hypotheses[b, h] + clips.trajectory[b][:, None], clips.intrinsics[b])
        torch.testing.assert_close(errors[b, h], (seen - clips.keypoints[b]).norm(dim=-1), rtol=0, atol=1e-12)
    assert reprojection_errors(clips.pose[:, None], clips.trajectory, clips.keypoints, clips.intrinsics).max() < 1e-12


def test_j_agg_finds_the_planted_hypothesis_of_every_joint(clips, hypotheses):
    planted = torch.randint(6, (4, 5, 17), generator=generator(2))
    truth = torch.nn.functional.one_hot(planted, 6).permute(0, 3, 1, 2)[..., None].bool()  # (B, H, T, J, 1)
    mixed = torch.where(truth, clips.pose[:, None], hypotheses)
    found = j_agg(mixed, clips.trajectory, clips.keypoints, clips.intrinsics)
    assert torch.equal(found, clips.pose)
    assert torch.equal(j_best(mixed, clips.pose), clips.pose)
    assert not torch.equal(p_best(mixed, clips.pose), clips.pose)


def test_inputs_are_left_alone(clips, hypotheses):
    inputs = [hypotheses, clips.keypoints, clips.trajectory]
    before = [x.clone() for x in inputs]
    j_agg(hypotheses, clips.trajectory, clips.keypoints, clips.intrinsics)
    assert all(torch.equal(x, b) for x, b in zip(inputs, before))


def test_soft_aggregation_has_the_hard_one_and_the_mean_as_limits(clips, hypotheses):
    seen = (clips.trajectory, clips.keypoints, clips.intrinsics)
    hard, mean = j_agg(hypotheses, *seen), p_agg(hypotheses)
    torch.testing.assert_close(s_agg(hypotheses, *seen, softness=1e-9), hard, rtol=0, atol=1e-9)
    torch.testing.assert_close(s_agg(hypotheses, *seen, softness=1e6), mean, rtol=0, atol=1e-6)
    between = s_agg(hypotheses, *seen)
    assert (between - hard).norm(dim=-1).mean() > 1e-3 and (between - mean).norm(dim=-1).mean() > 1e-3
    ends = [(hard - mean).norm(dim=-1).mean()]
    for softness in (0.0005, 0.002, 0.008, 0.03):  # ever nearer to the mean
        ends.append((s_agg(hypotheses, *seen, softness) - mean).norm(dim=-1).mean())
    assert all(later < earlier for earlier, later in zip(ends, ends[1:]))


def test_soft_weights_are_the_stated_ones(clips, hypotheses):
    two = hypotheses[:, :2]
    errors = reprojection_errors(two, clips.trajectory, clips.keypoints, clips.intrinsics)
    odds = ((errors[:, 1] - errors[:, 0]) / SOFTNESS).exp()[..., None]  # of the first over the second
    expected = (odds * two[:, 0] + two[:, 1]) / (1 + odds)
    found = s_agg(two, clips.trajectory, clips.keypoints, clips.intrinsics)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert (found <= two.amax(1) + 1e-9).all() and (found >= two.amin(1) - 1e-9).all()
    alike = clips.pose[:, None].expand(-1, 4, -1, -1, -1)
    torch.testing.assert_close(s_agg(alike, clips.trajectory, clips.keypoints, clips.intrinsics), clips.pose)


def test_picking_takes_the_smallest_error():
    hypotheses = torch.arange(3.0)[None, :, None, None, None].expand(2, 3, 4, 17, 3)
    wanted = torch.randint(3, (2, 4, 17), generator=generator())
    errors = (torch.arange(3)[None, :, None, None] - wanted[:, None]).abs().float()
    assert torch.equal(pick_joints(hypotheses, errors), wanted[..., None].expand(-1, -1, -1, 3).float())


def test_one_hypothesis_is_every_answer(clips, hypotheses):
    single = hypotheses[:, :1]
    root = estimate_root(single, clips.keypoints, clips.intrinsics)
    for answer in (
        p_agg(single),
        j_agg(single, root, clips.keypoints, clips.intrinsics),
        s_agg(single, root, clips.keypoints, clips.intrinsics),
        p_best(single, clips.pose),
        j_best(single, clips.pose),
    ):
        assert torch.equal(answer, single[:, 0])


def test_the_order_of_hypotheses_does_not_matter(clips, hypotheses):
    shuffled = hypotheses[:, [3, 0, 5, 1, 4, 2]]
    root = clips.trajectory
    assert torch.equal(
        j_agg(shuffled, root, clips.keypoints, clips.intrinsics),
        j_agg(hypotheses, root, clips.keypoints, clips.intrinsics),
    )
    assert torch.equal(p_best(shuffled, clips.pose), p_best(hypotheses, clips.pose))
    assert torch.equal(j_best(shuffled, clips.pose), j_best(hypotheses, clips.pose))
    torch.testing.assert_close(p_agg(shuffled), p_agg(hypotheses))
    torch.testing.assert_close(
        s_agg(shuffled, root, clips.keypoints, clips.intrinsics),
        s_agg(hypotheses, root, clips.keypoints, clips.intrinsics),
    )


def test_upper_bounds_are_ordered(clips, hypotheses):
    def error(pose):
        return joint_errors(pose, clips.pose)

    j, p = error(j_best(hypotheses, clips.pose)), error(p_best(hypotheses, clips.pose))
    j_reprojected = error(j_agg(hypotheses, clips.trajectory, clips.keypoints, clips.intrinsics))
    each = error(hypotheses.transpose(0, 1))  # (H, B, T, J)
    assert torch.equal(j, each.amin(0))  # per joint and frame
    assert torch.equal(p.mean((-1, -2)), each.mean((-1, -2)).amin(0))  # per clip
    assert (j <= p).all() and (j <= j_reprojected).all()
    assert j.mean() < p.mean()


def test_p_best_chooses_clip_by_clip(clips, hypotheses):
    hypotheses = hypotheses.clone()
    best = [2, 0, 5, 3]
    for b, h in enumerate(best):
        hypotheses[b, h] = clips.pose[b] + 0.001
    found = p_best(hypotheses, clips.pose)
    for b, h in enumerate(best):
        assert torch.equal(found[b], hypotheses[b, h])


# Whole videos


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
    noise = 0.05 * torch.randn(3, 5, T, len(H36M_17.joints), 3, generator=generator())
    hypotheses = split(seen.pose, T)[:, None] + noise
    blind, place = aggregate(hypotheses, seen.unlabelled(), "estimated")
    labelled, same_place = aggregate(hypotheses, seen, "estimated")
    assert blind.keys() == set(AGGREGATIONS) - set(NEED_LABELS) and labelled.keys() == set(AGGREGATIONS)
    assert torch.equal(place, same_place)
    assert all(torch.equal(blind[name], labelled[name]) for name in blind)
    assert place.shape == seen.trajectory.shape
    error = {name: joint_errors(pose, seen.pose).mean() for name, pose in labelled.items()}
    assert error["J_Best"] < error["P_Best"] and error["J_Best"] < error["J_Agg"]


def test_the_label_of_a_video_without_labels_cannot_be_had():
    seen = video(9, 4)
    with pytest.raises(ValueError, match="S1 Walking .*no labels to take the root from"):
        aggregate(split(seen.pose, T)[:, None], seen.unlabelled(), "gt")


def test_a_videos_confidence_says_which_keypoints_the_root_trusts():
    exact = video(9, 4)
    keypoints, confidence = exact.keypoints.clone(), torch.ones(9, 17)
    keypoints[:, WRIST] += torch.tensor([0.3, -0.2])
    confidence[5:, WRIST] = 0
    hypotheses = split(exact.pose, T)[:, None]
    _, place = aggregate(hypotheses, replace(exact, keypoints=keypoints, confidence=confidence), "estimated")
    off = (place - exact.trajectory).norm(dim=-1)
    assert off[:5].min() > 0.005 and off[5:].max() < 0.002  # frame by frame, across windows
    _, blind = aggregate(hypotheses, replace(exact, keypoints=keypoints), "estimated")
    torch.testing.assert_close(place[:5], blind[:5])
    _, known = aggregate(hypotheses, replace(exact, keypoints=keypoints, confidence=confidence), "gt")
    assert torch.equal(known, exact.trajectory)


def test_refined_poses_come_from_the_mean_and_have_the_persons_bones():
    seen = video(8, 4)
    hypotheses = split(seen.pose, T)[:, None] + 0.02 * torch.randn(2, 3, T, 17, 3, generator=generator())
    true = bone_lengths([seen])
    refinement = Refinement(SourceBones(true, true), 0.0)
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


def test_refining_needs_the_persons_bones():
    seen = video(8, 4)
    true = bone_lengths([seen])
    with pytest.raises(ValueError, match="S1 Walking .*needs the person's bone lengths"):
        aggregate(split(seen.pose, T)[:, None], seen, "estimated", Refinement(SourceBones(true, true), 0.0))
