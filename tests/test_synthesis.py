"""Source clips that look like the target: bones, place, camera, noise."""

from dataclasses import replace

import pytest
import torch
from bodies import batch, cameras, generator, poses, sequence, trajectories

from common import synthesis
from common.camera import project, undistort
from common.errors import InputError
from common.lifter import Lifter
from common.mixste import MixSTE
from common.skeleton import H36M_17
from common.synthesis import (
    BONE_JITTER,
    LARGEST_NOISE_FACTOR,
    SIZE_JITTER,
    TURN,
    apparent_bone_lengths,
    bone_lengths,
    bone_ratios,
    bone_vectors,
    cameras_differ,
    global_position,
    jitter_ratios,
    measure_bones,
    noise_factor,
    noise_level,
    rebone,
    scale_bones,
    smooth,
    synthesise,
    turn,
)

ROOT, MIRRORED = H36M_17.root_index, H36M_17.mirrored
BONES = [joint for joint, parent in enumerate(H36M_17.parents) if parent >= 0]
LEGS = H36M_17.indices("RKnee", "RFoot", "LKnee", "LFoot")


def lengths(pose: torch.Tensor) -> torch.Tensor:
    return bone_vectors(pose).norm(dim=-1)[..., BONES]


def some_ratios(people: int, seed: int = 0) -> torch.Tensor:
    """(people, 17) bone ratios between 0.8 and 1.25, left and right alike."""
    ratios = 0.8 + 0.45 * torch.rand(people, 17, generator=generator(seed), dtype=torch.float64)
    ratios = (ratios + ratios[:, MIRRORED]) / 2
    ratios[:, ROOT] = 1
    return ratios


@pytest.fixture
def no_jitter(monkeypatch):
    for name in ("BONE_JITTER", "SIZE_JITTER", "TURN"):
        monkeypatch.setattr(synthesis, name, 0.0)


@pytest.fixture
def source():
    """Labelled clips whose keypoints carry a detector's error."""
    clean = batch(4, 9, seed=1)
    error = 0.008 * torch.randn(clean.keypoints.shape, generator=generator(5), dtype=torch.float64)
    return replace(clean, keypoints=clean.keypoints + error)


@pytest.fixture
def target():
    """Other people before cameras of other focal lengths, without labels."""
    moved = batch(4, 9, seed=2)
    intrinsics = moved.intrinsics * moved.intrinsics.new_tensor([0.8, 0.8, 1, 1, 1, 1, 1, 1, 1])
    keypoints = project(moved.pose + moved.trajectory[..., None, :], intrinsics)
    return replace(moved, keypoints=keypoints, intrinsics=intrinsics, pose=None, trajectory=None)


# Bones


def test_scaled_bones_have_exact_lengths_and_their_directions():
    pose, ratios = poses(3, 4), some_ratios(3)
    scaled = scale_bones(pose, ratios[:, None])
    torch.testing.assert_close(lengths(scaled), lengths(pose) * ratios[:, None, BONES], rtol=1e-12, atol=0)
    before, after = (torch.nn.functional.normalize(bone_vectors(p)[..., BONES, :], dim=-1) for p in (pose, scaled))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    assert torch.equal(scaled[..., ROOT, :], pose[..., ROOT, :])


def test_ratios_of_one_and_back_again():
    pose, ratios = poses(3, 4), some_ratios(3)[:, None]
    torch.testing.assert_close(scale_bones(pose, torch.ones(17)), pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(scale_bones(scale_bones(pose, ratios), 1 / ratios), pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(scale_bones(pose, torch.full((17,), 1.25)), 1.25 * pose, rtol=0, atol=1e-12)


def test_rebone_gives_the_lengths_and_keeps_directions():
    wanted = 0.1 + torch.rand(3, 1, 17, generator=generator(), dtype=torch.float64)
    pose = scale_bones(poses(3, 4), some_ratios(1)[0])
    found = rebone(pose, wanted)
    torch.testing.assert_close(lengths(found), wanted[..., BONES].expand(3, 4, -1))
    torch.testing.assert_close(rebone(found, wanted), found)
    before, after = (torch.nn.functional.normalize(bone_vectors(p)[..., BONES, :], dim=-1) for p in (pose, found))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    assert (found[..., ROOT, :] == 0).all()
    assert rebone(torch.zeros(2, 17, 3), wanted[0].float()).isfinite().all()


def test_a_pose_has_its_own_bone_lengths():
    videos = [sequence(6, seed=1), sequence(4, seed=2)]  # the same person moving differently
    measured = bone_lengths(videos)
    assert measured[ROOT] == 0
    for video in videos:
        torch.testing.assert_close(lengths(video.pose), measured[BONES].expand(len(video), -1), rtol=1e-4, atol=0)
        torch.testing.assert_close(rebone(video.pose, measured), video.pose, rtol=0, atol=1e-5)


def test_jitter_stays_in_its_bounds_and_fills_them():
    ratios = some_ratios(1).expand(4000, 17)
    jittered = jitter_ratios(ratios, generator()) / ratios
    assert jittered.max() <= (1 + BONE_JITTER) * (1 + SIZE_JITTER) + 1e-9
    assert jittered.min() >= (1 - BONE_JITTER) * (1 - SIZE_JITTER) - 1e-9
    assert jittered.max() > 1 + 0.9 * (BONE_JITTER + SIZE_JITTER)
    assert jittered.min() < 1 - 0.9 * (BONE_JITTER + SIZE_JITTER)
    assert abs(jittered.mean() - 1) < 0.005
    assert torch.equal(jittered, jittered[:, MIRRORED])
    assert jittered.std(0).min() > 0.02 and jittered.std(1).mean() > 0.02  # clips differ, bones of a clip too


def test_ratios_keep_the_legs_and_not_the_size():
    source, target = 0.2 + torch.rand(2, 17, generator=generator())
    ratios = bone_ratios(target, source)
    assert ratios[ROOT] == 1
    torch.testing.assert_close((ratios * source)[LEGS].sum(), source[LEGS].sum())
    torch.testing.assert_close(bone_ratios(3 * target, source), ratios)
    torch.testing.assert_close((ratios * source / target)[BONES].std(), torch.tensor(0.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(bone_ratios(source, source), torch.ones(17))


@pytest.mark.parametrize("side", [0, 1])
def test_a_bone_nobody_sees_is_named(side):
    found = [torch.ones(17), torch.ones(17)]
    found[side][H36M_17.indices("LWrist", "RWrist")] = 0
    with pytest.raises(InputError, match="bones to LWrist, RWrist have no length"):
        bone_ratios(*found)


def test_bone_ratios_are_recovered_from_clean_2d():
    """Two people who move differently, before different cameras; the depth is the true one."""
    true = some_ratios(1, seed=3)[0]
    measured = []
    for seed, ratios, intrinsics in ((0, torch.ones(17), cameras()[0]), (1, true, cameras("S5")[3])):
        pose = scale_bones(poses(60, 15, seed, swing=1.0), ratios)
        root = trajectories(60, 15, seed)
        rays = undistort(project(pose + root[..., None, :], intrinsics), intrinsics)
        measured.append(apparent_bone_lengths(rays.flatten(0, 1), pose.flatten(0, 1), root.flatten(0, 1)))
    found = bone_ratios(measured[1], measured[0])
    off = (found / true)[BONES]
    assert (off / off.median() - 1).abs().max() < 0.03
    assert (true[BONES] / true[BONES].median() - 1).abs().max() > 0.1  # ones would not pass


def test_apparent_lengths_pool_the_sides_and_ignore_depth_scale():
    pose, root = poses(1, 40, swing=1.0)[0], trajectories(1, 40)[0]
    pose = scale_bones(pose, 1 + 0.2 * torch.rand(17, generator=generator(), dtype=torch.float64))  # lopsided
    rays = (pose + root[:, None])[..., :2] / (pose + root[:, None])[..., 2:]
    found = apparent_bone_lengths(rays, pose, root)
    assert found[ROOT] == 1 and torch.equal(found, found[MIRRORED])
    larger = apparent_bone_lengths(rays, 2 * pose, 2 * root)
    torch.testing.assert_close(larger[BONES], 2 * found[BONES])
    assert (apparent_bone_lengths(rays, pose, root, quantile=0.5) <= found).all()


# Place


@pytest.mark.parametrize("width", [1, 2, 3, 9, 40])
def test_smoothing_keeps_what_does_not_change(width):
    constant = torch.tensor([0.3, -2.0, 5.0]).expand(2, 12, 3)
    torch.testing.assert_close(smooth(constant, width), constant)


def test_smoothing_is_a_centred_mean():
    path = torch.randn(2, 12, 3, generator=generator())
    found = smooth(path, 5)
    for t in range(12):
        window = path[:, [min(max(i, 0), 11) for i in range(t - 2, t + 3)]]
        torch.testing.assert_close(found[:, t], window.mean(1))
    torch.testing.assert_close(smooth(path.flip(1), 5).flip(1), found)
    assert torch.equal(smooth(path, 1), path)
    torch.testing.assert_close(smooth(path, 4), found)  # made odd


def test_a_flat_person_fills_the_targets_box_exactly(source, target):
    """Where the formula's assumptions hold, all joints at one depth and no lens, nothing is approximate."""
    flat = source.pose * source.pose.new_tensor([1, 1, 0])
    pinhole = target.intrinsics * (torch.arange(9) < 4)
    found = global_position(flat, target.keypoints, pinhole)
    seen = project(flat + found[..., None, :], pinhole)
    box, wanted = ((k.amax(-2) - k.amin(-2)).sum(-1) for k in (seen, target.keypoints))
    torch.testing.assert_close(box, wanted, rtol=1e-9, atol=0)
    torch.testing.assert_close(seen[..., ROOT, :], target.keypoints[..., ROOT, :], rtol=0, atol=1e-9)


def test_a_real_person_about_fills_the_targets_box_from_the_targets_place(source, target):
    found = global_position(source.pose, target.keypoints, target.intrinsics)
    seen = project(source.pose + found[..., None, :], target.intrinsics)
    box, wanted = ((k.amax(-2) - k.amin(-2)).sum(-1) for k in (seen, target.keypoints))
    assert (box / wanted - 1).abs().max() < 0.15
    torch.testing.assert_close(seen[..., ROOT, :], target.keypoints[..., ROOT, :], rtol=0, atol=1e-9)


def test_a_larger_person_stands_farther_away(source, target):
    near = global_position(source.pose, target.keypoints, target.intrinsics)
    torch.testing.assert_close(global_position(2 * source.pose, target.keypoints, target.intrinsics), 2 * near)


def test_smoothing_calms_the_path_and_keeps_time_order(source, target):
    shaky = target.keypoints + 0.01 * torch.randn(4, 9, 1, 2, generator=generator(), dtype=torch.float64)
    rough = global_position(source.pose, shaky, target.intrinsics)
    calm = global_position(source.pose, shaky, target.intrinsics, smoothing=3)
    assert calm.diff(n=2, dim=1).norm(dim=-1).mean() < 0.5 * rough.diff(n=2, dim=1).norm(dim=-1).mean()
    backwards = global_position(source.pose.flip(1), shaky.flip(1), target.intrinsics, smoothing=3)
    torch.testing.assert_close(backwards.flip(1), calm)


# The whole


@pytest.mark.parametrize("move", [False, True])
def test_clean_clips_reproject_onto_themselves(source, target, move):
    found = synthesise(source, target, torch.ones(4, 17), 0.0, move, generator())
    seen = project(found.pose + found.trajectory[..., None, :], found.intrinsics)
    assert torch.equal(found.keypoints, seen)
    assert (found.pose[..., ROOT, :] == 0).all()
    assert found.subjects == source.subjects


def test_without_moving_place_and_camera_are_the_sources(source, target):
    found = synthesise(source, target, some_ratios(4), 1.0, False, generator())
    assert torch.equal(found.trajectory, source.trajectory) and torch.equal(found.intrinsics, source.intrinsics)
    changed = replace(target, keypoints=torch.zeros_like(target.keypoints))
    again = synthesise(source, changed, some_ratios(4), 1.0, False, generator())
    assert torch.equal(again.keypoints, found.keypoints)


def test_with_moving_place_and_camera_are_the_targets(source, target):
    found = synthesise(source, target, some_ratios(4), 0.0, True, generator())
    assert torch.equal(found.intrinsics, target.intrinsics)
    gap = (found.keypoints[..., ROOT, :] - target.keypoints[..., ROOT, :]).norm(dim=-1)
    assert gap.max() < 0.02  # smoothed over the clip
    assert (found.trajectory - source.trajectory).norm(dim=-1).min() > 0.1


@pytest.mark.parametrize("move", [False, True])
def test_bones_are_the_targets_within_the_jitter(source, target, move):
    ratios = some_ratios(4)
    found = synthesise(source, target, ratios, 1.0, move, generator())
    off = lengths(found.pose) / (lengths(source.pose) * ratios[:, None, BONES])
    assert off.max() < 1.06 * 1.04 + 1e-9 and off.min() > 0.94 * 0.96 - 1e-9
    torch.testing.assert_close(off, off[:, :1].expand_as(off))  # rigid over the clip


def test_nothing_to_change_changes_nothing(source, target, no_jitter):
    found = synthesise(source, target, torch.ones(4, 17), 1.0, False, generator())
    torch.testing.assert_close(found.pose, source.pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.keypoints, source.keypoints, rtol=0, atol=1e-12)


@pytest.mark.parametrize("move", [False, True])
def test_only_moved_clips_are_turned(source, target, no_jitter, monkeypatch, move):
    monkeypatch.setattr(synthesis, "TURN", TURN)
    found = synthesise(source, target, torch.ones(4, 17), 1.0, move, generator())
    assert ((found.pose - source.pose).abs().amax((1, 2, 3)) > 1e-3).tolist() == [move] * 4
    torch.testing.assert_close(torch.pdist(found.pose[0, 0]), torch.pdist(source.pose[0, 0]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("move", [False, True])
def test_detector_error_follows_the_factor_and_the_image_size(source, target, no_jitter, move):
    clean, once, twice = (synthesise(source, target, torch.ones(4, 17), n, move, generator()) for n in (0.0, 1.0, 2.0))
    error = once.keypoints - clean.keypoints
    torch.testing.assert_close(twice.keypoints - clean.keypoints, 2 * error)
    seen = project(source.pose + source.trajectory[..., None, :], source.intrinsics)
    before, after = ((k.amax(-2) - k.amin(-2)).sum(-1)[..., None, None] for k in (seen, clean.keypoints))
    torch.testing.assert_close(error / after, (source.keypoints - seen) / before)


@pytest.mark.parametrize("move", [False, True])
def test_the_generator_decides_and_inputs_are_left_alone(source, target, move):
    kept = {name: value.clone() for name, value in vars(source).items() if isinstance(value, torch.Tensor)}
    state = torch.get_rng_state()
    ratios = some_ratios(4)
    first, again, other = (synthesise(source, target, ratios, 1.0, move, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first.keypoints, again.keypoints) and torch.equal(first.pose, again.pose)
    assert not torch.equal(first.pose, other.pose)
    assert all(torch.equal(getattr(source, name), value) for name, value in kept.items())
    assert torch.equal(ratios, some_ratios(4)) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("move", [False, True])
def test_clips_without_a_person_stay_finite(source, target, move):
    """A failed detector puts every keypoint in one place, in the source, in the target or for a frame."""
    nowhere = torch.zeros_like(source.keypoints)
    gap = target.keypoints.clone()
    gap[:, 3] = 0
    for s, t in (
        (replace(source, keypoints=nowhere), target),
        (source, replace(target, keypoints=nowhere)),
        (source, replace(target, keypoints=gap)),
    ):
        found = synthesise(s, t, some_ratios(4), 1.0, move, generator())
        assert found.keypoints.isfinite().all() and found.trajectory.isfinite().all()
        assert found.keypoints.abs().max() < 5 and found.trajectory.abs().max() < 200


def test_float32_stays_float32(source, target):
    s, t = (
        replace(b, **{k: v.float() for k, v in vars(b).items() if isinstance(v, torch.Tensor)})
        for b in (source, target)
    )
    found = synthesise(s, t, some_ratios(4).float(), 1.0, True, generator())
    assert {x.dtype for x in (found.keypoints, found.pose, found.trajectory, found.intrinsics)} == {torch.float32}


def test_turning_is_one_rigid_rotation_per_clip():
    pose = poses(3, 4)
    turned = turn(pose, generator())
    for before, after in zip(pose.flatten(0, 1), turned.flatten(0, 1)):
        torch.testing.assert_close(torch.pdist(after), torch.pdist(before), rtol=0, atol=1e-9)
    rotations = [torch.linalg.lstsq(p.flatten(0, 1), t.flatten(0, 1)).solution for p, t in zip(pose, turned)]
    for rotation, p, t in zip(rotations, pose, turned):
        torch.testing.assert_close(p @ rotation, t, rtol=0, atol=1e-9)
        assert abs(torch.linalg.det(rotation) - 1) < 1e-9
    assert (rotations[0] - rotations[1]).abs().max() > 1e-3


def test_turns_have_the_stated_size():
    across, ahead = torch.eye(3, dtype=torch.float64)[[0, 2]]
    turned = turn(torch.stack([across, ahead]).expand(5000, 1, 2, 3), generator())[:, 0]
    yaw = torch.atan2(-turned[:, 0, 2], turned[:, 0, 0])
    pitch = torch.asin(-turned[:, 1, 1])
    for angle in (yaw, pitch):
        assert abs(angle.std() / TURN - 1) < 0.1 and abs(angle.mean()) < 0.01


# Noise and cameras


def still(frames: int, noise: float, seed: int = 0) -> torch.Tensor:
    """(frames, 17, 2) keypoints of a person who stands still, seen by a detector with that noise."""
    keypoints = project(poses(1, 1)[0] + torch.tensor([0, 0, 5.0]), cameras()[0])
    return keypoints + noise * torch.randn(frames, 17, 2, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_the_noise_factor_is_the_ratio_of_noises(factor):
    source = [still(200, 0.001, seed) for seed in (0, 1)]
    target = [still(200, 0.001 * factor, seed) for seed in (2, 3, 4)]
    assert noise_factor(source, target) == pytest.approx(factor, rel=0.06)


def test_the_noise_factor_is_bounded():
    assert noise_factor([still(50, 0.001)], [still(50, 0.1)]) == LARGEST_NOISE_FACTOR
    assert noise_factor([still(50, 0.0)], [still(50, 0.001)]) == LARGEST_NOISE_FACTOR
    assert noise_factor([still(50, 0.001)], [still(50, 0.0)]) == 0
    nowhere = torch.zeros(50, 17, 2)
    assert noise_factor([still(50, 0.001)], [nowhere.double(), still(3, 1.0)]) == 0


def test_noise_is_judged_against_the_persons_size():
    keypoints = still(60, 0.002)
    level = noise_level([keypoints])
    assert level > 0
    assert noise_level([0.7 * keypoints]) == pytest.approx(level)
    drift = torch.arange(60, dtype=torch.float64)[:, None, None] * torch.tensor([0.004, -0.002])
    assert noise_level([keypoints + drift]) == pytest.approx(level)  # steady motion is not noise


def test_the_same_cameras_do_not_differ():
    source = cameras()
    assert not cameras_differ(source, source)
    assert not cameras_differ(source, source[1:2].expand(5, 9))
    assert not cameras_differ(source, source + 0.01)
    assert not cameras_differ(source, source * (torch.arange(9) < 4))  # the lens alone is no other camera


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("change", [0.1, -0.1])
def test_another_focal_length_or_centre_is_another_camera(number, change):
    source, target = cameras(), cameras()
    target[2, number] += change
    assert cameras_differ(source, target)
    assert cameras_differ(target[2:3], source)
    assert not cameras_differ(torch.cat([source, target]), target)


# Measuring through a lifter


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(frames=5, joints=17, width=16, depth=1)).eval()


def test_bones_are_measured_without_labels(lifter):
    videos = [sequence(12, seed=1), sequence(3, seed=2, camera=1), sequence(10, seed=3, camera=2)]
    state = torch.get_rng_state()
    found = measure_bones(lifter, videos)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.shape == (17,) and found[ROOT] == 1 and (found > 0).all()
    assert torch.equal(found, found[MIRRORED])
    assert torch.equal(measure_bones(lifter, [v.unlabelled() for v in videos]), found)
    ruined = [replace(v, pose=torch.full_like(v.pose, torch.nan), trajectory=None) for v in videos]
    assert torch.equal(measure_bones(lifter, ruined), found)


def test_measuring_looks_at_evenly_spread_clips(lifter):
    video = sequence(50, seed=4)
    ends = replace(video, keypoints=torch.cat([video.keypoints[:5], video.keypoints[-5:]]))
    assert torch.equal(measure_bones(lifter, [video], clips=2), measure_bones(lifter, [ends]))
    assert not torch.equal(measure_bones(lifter, [video], clips=2), measure_bones(lifter, [video]))
