"""Source clips that look like the target: bones, view, place, camera, noise."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import BONES, batch, cameras, generator, lengths, some_ratios, ups

from common.adaptation import synthesis
from common.adaptation.synthesis import (
    BONE_JITTER,
    PITCH,
    SIZE_JITTER,
    Synthesis,
    cameras_differ,
    global_position,
    jitter_ratios,
    smooth,
    synthesise,
    view_rotations,
)
from common.datasets.clips import Batch, LabelledBatch
from common.geometry.camera import project, rotation_between
from common.geometry.skeleton import H36M_17

ROOT, MIRRORED = H36M_17.root_index, H36M_17.mirrored
HOW = [Synthesis(1.0, move, yaw) for move in (False, True) for yaw in (0.0, math.pi)]
EACH_WAY = pytest.mark.parametrize("how", HOW, ids=lambda how: f"move={how.move},yaw={how.yaw:.0f}")


@pytest.fixture
def no_jitter(monkeypatch):
    for name in ("BONE_JITTER", "SIZE_JITTER", "PITCH"):
        monkeypatch.setattr(synthesis, name, 0.0)


@pytest.fixture
def source() -> LabelledBatch:
    """Labelled clips whose keypoints carry a detector's error."""
    clean = batch(4, 9, seed=1)
    error = 0.008 * torch.randn(clean.keypoints.shape, generator=generator(5), dtype=torch.float64)
    return replace(clean, keypoints=clean.keypoints + error)


@pytest.fixture
def target() -> Batch:
    """Other people before cameras of other focal lengths, without labels."""
    moved = batch(4, 9, seed=2)
    intrinsics = moved.intrinsics * moved.intrinsics.new_tensor([0.8, 0.8, 1, 1, 1, 1, 1, 1, 1])
    keypoints = project(moved.pose + moved.trajectory[..., None, :], intrinsics)
    return Batch(keypoints=keypoints, intrinsics=intrinsics, subjects=moved.subjects)


def heights(points: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """(B, ..., 3), (B, 3) -> (B, ...) metres along `up`."""
    return torch.einsum("b...c,bc->b...", points, up)


# Bones


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


@EACH_WAY
def test_clean_clips_reproject_onto_themselves(source, target, how):
    found = synthesise(source, target, torch.ones(4, 17), replace(how, noise=0.0), generator())
    seen = project(found.pose + found.trajectory[..., None, :], found.intrinsics)
    assert torch.equal(found.keypoints, seen)
    assert (found.pose[..., ROOT, :] == 0).all()
    assert found.subjects == source.subjects


@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_without_moving_place_and_camera_are_the_sources(source, target, yaw):
    how = Synthesis(1.0, False, yaw)
    found = synthesise(source, target, some_ratios(4), how, generator())
    assert torch.equal(found.intrinsics, source.intrinsics)
    torch.testing.assert_close(found.trajectory.mean(1), source.trajectory.mean(1))
    changed = replace(target, keypoints=torch.zeros_like(target.keypoints))
    again = synthesise(source, changed, some_ratios(4), how, generator())
    assert torch.equal(again.keypoints, found.keypoints)
    if yaw == 0:
        torch.testing.assert_close(found.trajectory, source.trajectory, rtol=0, atol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_with_moving_place_and_camera_are_the_targets(source, target, yaw):
    found = synthesise(source, target, some_ratios(4), Synthesis(0.0, True, yaw), generator())
    assert torch.equal(found.intrinsics, target.intrinsics)
    gap = (found.keypoints[..., ROOT, :] - target.keypoints[..., ROOT, :]).norm(dim=-1)
    assert gap.max() < 0.02  # smoothed over the clip
    assert (found.trajectory - source.trajectory).norm(dim=-1).min() > 0.1


@EACH_WAY
def test_bones_are_the_targets_within_the_jitter(source, target, how):
    ratios = some_ratios(4)
    found = synthesise(source, target, ratios, how, generator())
    off = lengths(found.pose) / (lengths(source.pose) * ratios[:, None, BONES])
    assert off.max() < 1.06 * 1.04 + 1e-9 and off.min() > 0.94 * 0.96 - 1e-9
    torch.testing.assert_close(off, off[:, :1].expand_as(off))  # rigid over the clip


@EACH_WAY
def test_bones_are_exactly_the_targets_without_jitter(source, target, no_jitter, how):
    ratios = some_ratios(4)
    found = synthesise(source, target, ratios, how, generator())
    torch.testing.assert_close(lengths(found.pose), lengths(source.pose) * ratios[:, None, BONES])


def test_nothing_to_change_changes_nothing(source, target, no_jitter):
    found = synthesise(source, target, torch.ones(4, 17), Synthesis(1.0, False, 0.0), generator())
    torch.testing.assert_close(found.pose, source.pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.trajectory, source.trajectory, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.keypoints, source.keypoints, rtol=0, atol=1e-12)


@EACH_WAY
def test_clips_are_turned_as_asked_and_stay_rigid(source, target, no_jitter, monkeypatch, how):
    monkeypatch.setattr(synthesis, "PITCH", PITCH)
    found = synthesise(source, target, torch.ones(4, 17), how, generator())
    turned = how.move or how.yaw > 0
    assert ((found.pose - source.pose).abs().amax((1, 2, 3)) > 1e-3).tolist() == [turned] * 4
    torch.testing.assert_close(torch.pdist(found.pose[0, 0]), torch.pdist(source.pose[0, 0]), rtol=0, atol=1e-9)


def test_a_person_seen_from_another_side_keeps_every_height(source, target, no_jitter):
    found = synthesise(source, target, torch.ones(4, 17), Synthesis(1.0, False), generator())
    assert (found.pose - source.pose).norm(dim=-1).amax((1, 2)).min() > 0.1
    torch.testing.assert_close(heights(found.pose, source.up), heights(source.pose, source.up), rtol=0, atol=1e-9)
    before, after = (heights(b.trajectory, source.up) for b in (source, found))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.up, source.up, rtol=0, atol=1e-9)


def test_the_path_turns_with_the_person(source, target, no_jitter):
    found = synthesise(source, target, torch.ones(4, 17), Synthesis(1.0, False), generator())
    for b in range(4):
        before, after = (torch.cat([x.pose[b].flatten(0, 1), x.trajectory[b].diff(dim=0)]) for x in (source, found))
        rotation = torch.linalg.lstsq(before, after).solution
        torch.testing.assert_close(before @ rotation, after, rtol=0, atol=1e-9)


def test_up_follows_a_tilted_view(source, target, no_jitter, monkeypatch):
    monkeypatch.setattr(synthesis, "PITCH", PITCH)
    found = synthesise(source, target, torch.ones(4, 17), Synthesis(1.0, True), generator())
    assert (found.up - source.up).norm(dim=-1).min() > 1e-3
    torch.testing.assert_close(heights(found.pose, found.up), heights(source.pose, source.up), rtol=0, atol=1e-9)


@pytest.fixture
def tilted(target) -> Batch:
    """The target before cameras whose tilt has been found: not those of the source."""
    return replace(target, up=ups("S5").flip(0))


@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_the_scene_gets_the_targets_tilt_where_it_is_known(source, tilted, no_jitter, yaw):
    found = synthesise(source, tilted, torch.ones(4, 17), Synthesis(1.0, True, yaw), generator())
    assert (tilted.up - source.up).norm(dim=-1).min() > 1e-3
    torch.testing.assert_close(found.up, tilted.up, rtol=0, atol=1e-9)
    torch.testing.assert_close(heights(found.pose, tilted.up), heights(source.pose, source.up), rtol=0, atol=1e-9)


def test_the_sources_tilt_is_kept_where_the_targets_is_not_known(source, target, no_jitter):
    found = synthesise(source, target, torch.ones(4, 17), Synthesis(1.0, True), generator())
    assert target.up is None
    torch.testing.assert_close(found.up, source.up, rtol=0, atol=1e-9)
    torch.testing.assert_close(heights(found.pose, source.up), heights(source.pose, source.up), rtol=0, atol=1e-9)


def test_the_targets_tilt_is_of_no_account_between_the_same_cameras(source, target, tilted):
    how = Synthesis(1.0, False)
    one, other = (synthesise(source, t, some_ratios(4), how, generator()) for t in (target, tilted))
    assert torch.equal(one.pose, other.pose) and torch.equal(one.keypoints, other.keypoints)
    torch.testing.assert_close(one.up, source.up, rtol=0, atol=1e-9)


@EACH_WAY
def test_detector_error_follows_the_noise_ratio_and_the_image_size(source, target, no_jitter, how):
    clean, once, twice = (
        synthesise(source, target, torch.ones(4, 17), replace(how, noise=n), generator()) for n in (0.0, 1.0, 2.0)
    )
    error = once.keypoints - clean.keypoints
    torch.testing.assert_close(twice.keypoints - clean.keypoints, 2 * error)
    assert torch.equal(clean.keypoints, project(once.pose + once.trajectory[..., None, :], once.intrinsics))
    seen = project(source.pose + source.trajectory[..., None, :], source.intrinsics)
    before, after = ((k.amax(-2) - k.amin(-2)).sum(-1)[..., None, None] for k in (seen, clean.keypoints))
    torch.testing.assert_close(error / after, (source.keypoints - seen) / before)


@EACH_WAY
def test_the_generator_decides_and_inputs_are_left_alone(source, target, how):
    kept = {name: value.clone() for name, value in vars(source).items() if isinstance(value, torch.Tensor)}
    state = torch.get_rng_state()
    ratios = some_ratios(4)
    first, again, other = (synthesise(source, target, ratios, how, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first.keypoints, again.keypoints) and torch.equal(first.pose, again.pose)
    assert not torch.equal(first.pose, other.pose)
    assert all(torch.equal(getattr(source, name), value) for name, value in kept.items())
    assert torch.equal(ratios, some_ratios(4)) and torch.equal(torch.get_rng_state(), state)


@EACH_WAY
def test_clips_without_a_person_stay_finite(source, target, how):
    """A failed detector puts every keypoint in one place, in the source, in the target or for a frame."""
    nowhere = torch.zeros_like(source.keypoints)
    gap = target.keypoints.clone()
    gap[:, 3] = 0
    for s, t in (
        (replace(source, keypoints=nowhere), target),
        (source, replace(target, keypoints=nowhere)),
        (source, replace(target, keypoints=gap)),
    ):
        found = synthesise(s, t, some_ratios(4), how, generator())
        assert found.keypoints.isfinite().all() and found.trajectory.isfinite().all()
        assert found.keypoints.abs().max() < 5 and found.trajectory.abs().max() < 200


def test_float32_stays_float32(source, tilted):
    s, t = (
        replace(b, **{k: v.float() for k, v in vars(b).items() if isinstance(v, torch.Tensor)})
        for b in (source, tilted)
    )
    found = synthesise(s, t, some_ratios(4).float(), Synthesis(1.0, True), generator())
    values = (found.keypoints, found.pose, found.trajectory, found.intrinsics, found.up)
    assert {x.dtype for x in values} == {torch.float32}


# View


def applied(rotations: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return (rotations @ vectors[..., None])[..., 0]


def test_no_turn_is_the_identity():
    found = view_rotations(ups(), ups(), 0.0, 0.0, generator())
    torch.testing.assert_close(found, torch.eye(3).double().expand(4, 3, 3), rtol=0, atol=1e-12)


def test_turns_are_rotations_one_for_each_clip():
    found = view_rotations(ups().repeat(5, 1), ups("S5").repeat(5, 1), math.pi, 0.3, generator())
    identity = torch.eye(3).double().expand(20, 3, 3)
    torch.testing.assert_close(found @ found.mT, identity, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(20).double(), rtol=0, atol=1e-9)
    assert torch.pdist(found.flatten(1)).min() > 1e-3


def test_yaw_leaves_the_vertical_where_it_is():
    up = ups().repeat(5, 1)
    found = view_rotations(up, up, math.pi, 0.0, generator())
    torch.testing.assert_close(applied(found, up), up, rtol=0, atol=1e-9)
    assert (found - torch.eye(3).double()).abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize("yaw", [0.5, math.pi])
def test_yaw_is_uniform_to_either_side(yaw):
    up = ups()[:1].expand(4000, 3)
    found = view_rotations(up, up, yaw, 0.0, generator())
    ahead = torch.nn.functional.normalize(torch.linalg.cross(up, up.new_tensor([0.3, 0.1, 1]).expand_as(up)), dim=-1)
    turned = applied(found, ahead)
    angle = torch.atan2((torch.linalg.cross(ahead, turned) * up).sum(-1), (ahead * turned).sum(-1))
    assert angle.abs().max() <= yaw + 1e-9 and angle.min() < -0.98 * yaw and angle.max() > 0.98 * yaw
    quarters = torch.histc(angle, 4, -yaw, yaw) / len(angle)
    assert (quarters - 0.25).abs().max() < 0.03


@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_without_pitch_the_new_vertical_is_reached_exactly(yaw):
    up, new = ups().repeat(5, 1), ups("S5").flip(0).repeat(5, 1)
    found = view_rotations(up, new, yaw, 0.0, generator())
    torch.testing.assert_close(applied(found, up), new, rtol=0, atol=1e-9)
    assert (up - new).norm(dim=-1).min() > 1e-3
    if yaw == 0:  # then by the smallest rotation
        torch.testing.assert_close(found, rotation_between(up, new), rtol=0, atol=1e-9)


def test_pitch_misses_the_new_vertical_as_drawn():
    up, new = ups().repeat(1000, 1), ups("S5").flip(0).repeat(1000, 1)
    reached = applied(view_rotations(up, new, math.pi, PITCH, generator()), up)
    missed = (reached * new).sum(-1).clamp(max=1).acos()
    assert abs(missed.square().mean().sqrt() / PITCH - 1) < 0.05
    level = torch.linalg.cross(new, new.new_tensor([0, 0, 1]).expand_as(new))
    assert (reached * level).sum(-1).abs().max() < 1e-9  # up or down, as the new camera sees it


def test_pitch_changes_the_tilt_alone():
    """The camera goes up or down: what points across its view, level, stays; the vertical tilts as drawn."""
    up = ups().repeat(1000, 1)
    found = view_rotations(up, up, 0.0, PITCH, generator())
    level = torch.linalg.cross(up, up.new_tensor([0, 0, 1]).expand_as(up))
    torch.testing.assert_close(applied(found, level), level, rtol=0, atol=1e-9)
    tilted = applied(found, up)
    assert (tilted * level).sum(-1).abs().max() < 1e-9
    angle = torch.asin((torch.linalg.cross(up, tilted) * torch.nn.functional.normalize(level, dim=-1)).sum(-1))
    assert abs(angle.std() / PITCH - 1) < 0.05 and abs(angle.mean()) < 0.005


def test_a_camera_above_the_person_can_be_turned_too():
    """Looking straight down there is no level axis across the view: only the yaw remains."""
    up = torch.tensor([[0.0, 0.0, -1.0]]).double()
    found = view_rotations(up, up, math.pi, PITCH, generator())
    torch.testing.assert_close(applied(found, up), up)
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double()[None])


# Cameras


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
