"""A joint that was not seen, of confidence 0, counts nowhere: wherever its keypoint is, nothing else changes. And where
all are sure, all is as if nobody had said so."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from bodies import batch, generator, video
from lifters import Knows

from common.datasets.clips import LabelledBatch
from common.datasets.video import LabelledVideo
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones, apparent_bone_lengths, bone_lengths, bone_vectors, lift_some
from common.reprojection.jpma import aggregate, j_agg, p_agg, s_agg
from common.reprojection.keypoint_noise import KeypointNoise, box_size, detector_error, noise_level
from common.reprojection.lifting import lift_videos
from common.reprojection.refinement import Refinement, rebone_and_snap, refine
from common.reprojection.root import estimate_root, solve_root

ABSURD = 50.0  # screens away
ABSENT = H36M_17.indices("LWrist", "Head", "RFoot")


@pytest.fixture
def clips() -> LabelledBatch:
    """Noisy keypoints of bodies, some joints of some frames not seen."""
    clean = batch(4, 5)
    noise = 0.005 * torch.randn(clean.keypoints.shape, generator=generator(5), dtype=torch.float64)
    confidence = 0.2 + 0.8 * torch.rand(4, 5, 17, generator=generator(6), dtype=torch.float64)
    confidence[:, 1:4, ABSENT] = 0
    return replace(clean, keypoints=clean.keypoints + noise, confidence=confidence)


@pytest.fixture
def rough(clips) -> torch.Tensor:
    """(B, T, J, 3) poses with errors, root where it is."""
    noise = 0.03 * torch.randn(clips.pose.shape, generator=generator(7), dtype=torch.float64)
    noise[..., H36M_17.root_index, :] = 0
    return clips.pose + noise


@pytest.fixture
def hypotheses(clips) -> torch.Tensor:
    """(B, H, T, J, 3)."""
    noise = 0.05 * torch.randn(4, 3, 5, 17, 3, generator=generator(), dtype=torch.float64)
    noise[..., H36M_17.root_index, :] = 0
    return clips.pose[:, None] + noise


def moved(values: torch.Tensor, confidence: torch.Tensor, by: float = ABSURD) -> torch.Tensor:
    """Keypoints or rays with those of confidence 0 elsewhere."""
    away = by * torch.randn(values.shape, generator=generator(9), dtype=values.dtype)
    assert (confidence == 0).any()
    return torch.where(confidence[..., None] > 0, values, values + away)


def lengths_of(clips: LabelledBatch) -> torch.Tensor:
    return bone_vectors(clips.pose).norm(dim=-1)[0, 0]


# Name -> (rays (B, T, J, 2), confidence (B, T, J) or None, pose, lengths) -> what must not change.
ON_RAYS: dict[str, Callable] = {
    "solve_root": lambda rays, sure, pose, lengths: solve_root(pose, rays, sure),
    "solve_root, once": lambda rays, sure, pose, lengths: solve_root(pose, rays, sure, reweight=False),
    "apparent_bone_lengths": lambda rays, sure, pose, lengths: apparent_bone_lengths(
        rays.flatten(0, 1),
        pose.flatten(0, 1),
        solve_root(pose, rays, sure).flatten(0, 1),
        None if sure is None else sure.flatten(0, 1),
    ),
    "refine": lambda rays, sure, pose, lengths: refine(pose, rays, lengths, 0.003, sure),
    "rebone_and_snap": lambda rays, sure, pose, lengths: rebone_and_snap(pose, rays, lengths, 0.003, sure),
    "Refinement, map": lambda rays, sure, pose, lengths: Refinement(None, 0.003)(pose, rays, lengths, sure),
    "Refinement, snap": lambda rays, sure, pose, lengths: Refinement(None, 0.003, "snap")(pose, rays, lengths, sure),
}
EACH_ON_RAYS = pytest.mark.parametrize("name", ON_RAYS)


@EACH_ON_RAYS
@pytest.mark.parametrize("by", [0.1, ABSURD, 1e4])
def test_a_ray_without_confidence_changes_nothing(clips, rough, name, by):
    rays, lengths = undistort(clips.keypoints, clips.intrinsics), lengths_of(clips)
    there = ON_RAYS[name](rays, clips.confidence, rough, lengths)
    elsewhere = ON_RAYS[name](moved(rays, clips.confidence, by), clips.confidence, rough, lengths)
    torch.testing.assert_close(elsewhere, there, rtol=0, atol=1e-9)
    seen = clips.confidence.clamp_min(0.5)
    believed = ON_RAYS[name](moved(rays, clips.confidence, by), seen, rough, lengths)
    assert (believed - ON_RAYS[name](rays, seen, rough, lengths)).abs().max() > 1e-4  # with confidence it would


@EACH_ON_RAYS
def test_rays_that_are_sure_are_as_if_nobody_had_said_so(clips, rough, name):
    rays, ones = undistort(clips.keypoints, clips.intrinsics), torch.ones_like(clips.confidence)
    for dtype in (torch.float64, torch.float32):
        given = rough.to(dtype), lengths_of(clips).to(dtype)
        plain = ON_RAYS[name](rays.to(dtype), None, *given)
        assert torch.equal(ON_RAYS[name](rays.to(dtype), ones.to(dtype), *given), plain)


@pytest.mark.parametrize("seen", [0, 1])
def test_with_fewer_than_two_joints_the_others_help(clips, seen):
    """Where a frame has one joint or none, its filled keypoints say where the person is, more or less."""
    confidence = torch.zeros_like(clips.confidence)
    confidence[..., :seen] = 1
    rays = undistort(clips.keypoints, clips.intrinsics)
    found = solve_root(clips.pose, rays, confidence)
    assert torch.equal(found, solve_root(clips.pose, rays))
    assert ((found - clips.trajectory).norm(dim=-1) < 0.5).all()
    confidence[..., :2] = 0.3
    assert not torch.equal(solve_root(clips.pose, rays, confidence), found)


def test_refining_a_joint_that_was_not_seen_keeps_its_bone(clips, rough):
    rays, lengths = undistort(clips.keypoints, clips.intrinsics), lengths_of(clips)
    rays = moved(rays, clips.confidence)
    for mode in ("map", "snap"):
        found = Refinement(None, 0.003, mode)(rough, rays, lengths, clips.confidence)
        off = (found - clips.pose).norm(dim=-1)[clips.confidence == 0]
        assert off.median() < 0.1 and off.max() < 0.4, mode
    believed = refine(rough, rays, lengths, 0.003)
    assert (believed - clips.pose).norm(dim=-1)[clips.confidence == 0].median() > 0.15


def test_bones_that_are_never_seen_have_no_length(clips, rough):
    confidence = torch.ones(20, 17, dtype=torch.float64)
    confidence[:, H36M_17.indices("LWrist", "RWrist")] = 0
    rays = undistort(clips.keypoints, clips.intrinsics).flatten(0, 1)
    pose, root = rough.flatten(0, 1), clips.trajectory.flatten(0, 1)
    found, plain = apparent_bone_lengths(rays, pose, root, confidence), apparent_bone_lengths(rays, pose, root)
    wrists = H36M_17.indices("LWrist", "RWrist")
    others = [joint for joint in range(17) if joint not in wrists]
    assert (found[wrists] == 0).all() and torch.equal(found[others], plain[others])
    confidence[:, wrists[0]] = 1  # left and right are one bone
    assert (apparent_bone_lengths(rays, pose, root, confidence)[wrists] > 0).all()


# Hypotheses.


def test_a_joint_that_was_not_seen_is_the_mean_of_its_hypotheses(clips, hypotheses):
    elsewhere = moved(clips.keypoints, clips.confidence, by=0.5)
    given = clips.intrinsics, clips.confidence
    unseen = clips.confidence == 0
    for name, join in {"j_agg": j_agg, "s_agg": lambda h, r, k, i, c: s_agg(h, r, k, i, confidence=c)}.items():
        found = [
            join(hypotheses, estimate_root(hypotheses, keypoints, *given), keypoints, *given)
            for keypoints in (clips.keypoints, elsewhere)
        ]
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-9, msg=name)
        torch.testing.assert_close(found[0][unseen], p_agg(hypotheses)[unseen])
        assert (found[0][~unseen] - p_agg(hypotheses)[~unseen]).abs().max() > 0.01


def test_hypotheses_of_joints_that_are_sure_are_joined_as_ever(clips, hypotheses):
    ones, place = torch.ones_like(clips.confidence), clips.trajectory
    given = hypotheses, place, clips.keypoints, clips.intrinsics
    assert torch.equal(j_agg(*given, ones), j_agg(*given))
    assert torch.equal(s_agg(*given, confidence=ones), s_agg(*given))
    assert torch.equal(estimate_root(hypotheses, *given[2:], ones), estimate_root(hypotheses, *given[2:]))


# Videos.


def missing(frames: int = 40, seed: int = 0, share: float = 0.2) -> LabelledVideo:
    """A noisy video, a share of whose joints was not seen."""
    clean = video(frames, seed)
    error = 0.004 * torch.randn(clean.keypoints.shape, generator=generator(seed))
    seen = (torch.rand(frames, 17, generator=generator(seed + 50)) >= share).float()
    return replace(clean, keypoints=clean.keypoints + error, confidence=seen)


@pytest.mark.parametrize("refined", [False, True])
def test_a_video_is_aggregated_without_what_was_not_seen(refined):
    seen = missing(10)
    hypotheses = (seen.pose + 0.05 * torch.randn(3, 10, 17, 3, generator=generator())).unflatten(1, (2, 5))
    hypotheses = hypotheses.transpose(0, 1)  # (W, H, T, J, 3)
    extra = (Refinement(None, 0.003), bone_lengths([seen])) if refined else (None, None)
    found = [
        aggregate(hypotheses, replace(seen, keypoints=keypoints), "estimated", *extra)
        for keypoints in (seen.keypoints, moved(seen.keypoints, seen.confidence, by=0.3))
    ]
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-5)
    assert found[0][0].keys() == found[1][0].keys() and ("Refined" in found[0][0]) is refined
    for name, pose in found[0][0].items():
        torch.testing.assert_close(pose, found[1][0][name], rtol=0, atol=1e-5)


def test_noise_is_measured_where_joints_were_seen():
    source, target = [missing(60, 1), missing(60, 2)], [missing(60, 3), missing(60, 4)]
    found = KeypointNoise.measure(source, [v.unlabelled() for v in target])
    spoilt = [replace(v, keypoints=moved(v.keypoints, v.confidence)) for v in (*source, *target)]
    again = KeypointNoise.measure(spoilt[:2], [v.unlabelled() for v in spoilt[2:]])
    assert again == found
    assert found.ratio == pytest.approx(1, rel=0.15)
    whole = detector_error([replace(v, confidence=None) for v in source])
    assert detector_error(source) == pytest.approx(whole, rel=0.1)
    sure = [replace(v, confidence=torch.ones_like(v.confidence)) for v in (*source, *target)]
    silent = [replace(v, confidence=None) for v in sure]
    assert KeypointNoise.measure(sure[:2], sure[2:]) == KeypointNoise.measure(silent[:2], silent[2:])


def test_missing_joints_do_not_move_the_noise_level():
    """Nor is a person's box stretched to where nobody saw a joint; here the person stands in a corner."""
    frame = video(1).keypoints[[0] * 400] * 0.2 + torch.tensor([0.7, -0.7])
    keypoints = frame + 0.001 * torch.randn(400, 17, 2, generator=generator())
    unseen = torch.rand(400, 17, generator=generator(1)) < 0.05
    level = noise_level([keypoints])
    assert noise_level([keypoints.masked_fill(unseen[..., None], torch.nan)]) == pytest.approx(level, rel=0.05)
    nowhere = torch.full((10, 17, 2), torch.nan)
    assert noise_level([nowhere]) == 0 and noise_level([nowhere, keypoints]) == level


def test_the_box_is_of_the_joints_that_are_numbers():
    keypoints = torch.rand(5, 17, 2, generator=generator())
    with_gaps = keypoints.clone()
    with_gaps[:, 3] = torch.nan
    assert torch.equal(box_size(with_gaps), box_size(keypoints[:, [j for j in range(17) if j != 3]]))
    assert torch.equal(box_size(keypoints), (keypoints.amax(-2) - keypoints.amin(-2)).sum(-1))
    assert (box_size(torch.full((2, 17, 2), torch.nan)) > 0).all()


def test_lifting_some_brings_the_confidence_along():
    videos = [missing(12, 1), replace(missing(7, 2), confidence=None)]
    lifter = Knows(videos, 5)
    seen = lift_some(lifter, [v.unlabelled() for v in videos])
    assert seen.confidence.shape == seen.rays.shape[:2] == seen.pose.shape[:2] and seen.root.shape == (25, 3)
    assert torch.equal(seen.confidence[:10], videos[0].confidence[:10]) and (seen.confidence[15:] == 1).all()
    silent = [replace(v, confidence=None) for v in videos]
    plain = lift_some(lifter, silent)
    assert plain.confidence is None
    sure = lift_some(lifter, [replace(v, confidence=torch.ones(len(v), 17)) for v in videos])
    assert all(torch.equal(a, b) for a, b in zip(plain[:3], sure[:3]))
    assert torch.equal(apparent_bone_lengths(*plain), apparent_bone_lengths(*sure))


def test_a_lifters_answer_does_not_depend_on_what_says_nothing():
    """Ones, or no confidence: the whole way through a lifter's evaluation."""
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(5, 17, 16, 1), timesteps=10).eval()
    silent = replace(missing(12), confidence=None)
    sure = replace(silent, confidence=torch.ones(12, 17))
    for refinement in (None, Refinement(SourceBones.measure(lifter, [silent]), 0.003)):
        found = [list(lift_videos(lifter, [v], Sampling(3, 2), refinement)) for v in (silent, sure)]
        for (_, pose, spread), (_, other, other_spread) in zip(*found):
            assert torch.equal(pose, other) and torch.equal(spread, other_spread)
