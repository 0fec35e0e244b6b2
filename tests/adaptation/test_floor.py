"""Which way is up, from feet and bodies whose floor is known."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import generator, poses, units
from lifters import Knows

from common.adaptation.floor import find_up, floor_normal, mean_upright, with_up
from common.datasets.video import LabelledVideo, Video
from common.geometry.camera import rotation_about
from common.geometry.skeleton import H36M_17
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement

UP = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)  # of a level camera
ACROSS = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
IDEAL = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0, 0])  # keypoints are rays
HEIGHT = 1.5  # metres, of the camera over the floor
MIDDLE = torch.tensor([0.0, 0.5, 5.0], dtype=torch.float64)  # of the place people walk in


def degrees(one: torch.Tensor, other: torch.Tensor) -> float:
    return math.degrees((one.double() * other.double()).sum().clamp(max=1).acos())


def pitched(angle: float) -> torch.Tensor:
    """The rotation (3, 3) of a scene whose camera looks down by some degrees."""
    return rotation_about(ACROSS, torch.tensor(math.radians(angle), dtype=torch.float64))


def trodden(frames: int, extent: float = 1.5, seed: int = 0) -> torch.Tensor:
    """(frames, 3) places all over a level floor, metres, 3 cm of noise."""
    rng = generator(seed)
    place = extent * (2 * torch.rand(frames, 3, generator=rng, dtype=torch.float64) - 1) * torch.tensor([1, 0, 1])
    noise = 0.03 * torch.randn(frames, 3, generator=rng, dtype=torch.float64)
    return torch.tensor([0, HEIGHT, 5.0]) + place + noise


def lifted(feet: torch.Tensor, share: float, seed: int = 1) -> torch.Tensor:
    """The feet, a share of them 10 to 50 cm off the floor."""
    rng = generator(seed)
    up = torch.rand(len(feet), generator=rng) < share
    height = 0.1 + 0.4 * torch.rand(len(feet), generator=rng, dtype=torch.float64)
    return feet + (up * height)[:, None] * UP


# The floor

AWAY = rotation_about(torch.tensor([0.6, 0.0, 0.8]).double(), torch.tensor(math.radians(8)).double())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("tilt", [0, 12, 30])
def test_a_tilted_floor_is_found_from_a_guess_that_is_off(tilt, share):
    """Noise, and steps lifted now and then or half of the time."""
    rotation = pitched(tilt)
    feet = lifted(trodden(600), share) @ rotation.T
    guess = rotation @ AWAY @ UP
    assert degrees(guess, rotation @ UP) > 6
    found = floor_normal(feet, guess)
    assert abs(found.norm() - 1) < 1e-9
    assert degrees(found, rotation @ UP) < 1


def test_steps_lifted_on_one_side_of_the_room_alone_tilt_the_floor_little():
    level = trodden(600)
    feet = torch.where(level[:, :1] > 0, lifted(level, 0.5), level)
    plain = torch.linalg.lstsq(torch.cat([torch.ones(600, 1), feet[:, [0, 2]]], 1).double(), feet[:, 1:2]).solution
    assert math.degrees(math.atan(plain[1].abs())) > 3  # what least squares would make of it
    assert degrees(floor_normal(feet, UP), UP) < 1


def test_the_floor_turns_with_the_camera_and_has_no_place():
    feet, rotation = lifted(trodden(300), 0.3), rotation_about(*_turn())
    found = floor_normal(feet, AWAY @ UP)
    torch.testing.assert_close(floor_normal(feet @ rotation.T, rotation @ AWAY @ UP), rotation @ found)
    torch.testing.assert_close(floor_normal(feet + torch.tensor([3.0, -2.0, 7.0]), AWAY @ UP), found)


def _turn() -> tuple[torch.Tensor, torch.Tensor]:
    return units(1, seed=2)[0], torch.tensor(0.7, dtype=torch.float64)


@pytest.mark.parametrize("frames", [1, 600])
def test_feet_in_one_place_leave_the_guess(frames):
    guess = AWAY @ UP
    torch.testing.assert_close(floor_normal(trodden(1).expand(frames, 3), guess), guess, rtol=0, atol=1e-9)
    if frames > 1:
        assert degrees(floor_normal(trodden(frames, extent=0.02), guess), guess) < 2


def test_a_wide_floor_says_more_than_a_narrow_one():
    guess = AWAY @ UP
    left = [degrees(floor_normal(trodden(600, extent), guess), UP) for extent in (0.02, 0.1, 1.6)]
    assert left == sorted(left, reverse=True) and left[0] > 5 and left[-1] < 0.5


def test_seen_from_right_above_the_guess_stays():
    above = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    assert torch.equal(floor_normal(trodden(50), above), above)


# Bodies


def test_the_mean_body_is_the_direction_most_of_them_have():
    hip, thorax = H36M_17.indices("Hip", "Thorax")
    pose = poses(1, 30)[0]
    rotation = pitched(10)
    pose[:, thorax] = pose[:, hip] + 0.5 * UP
    torch.testing.assert_close(mean_upright(pose @ rotation.T), rotation @ UP)
    pose[::3, thorax] = pose[::3, hip] + 0.5 * ACROSS  # a third of them lie
    torch.testing.assert_close(mean_upright(pose @ rotation.T), rotation @ UP)
    torch.testing.assert_close(mean_upright(3 * pose @ rotation.T), rotation @ UP)


# Through a lifter


def walk(tilt: float, seed: int, subject: str = "S5", camera: str = "one", frames: int = 240) -> LabelledVideo:
    """A labelled walk about a level floor, before an ideal camera that looks down by some degrees."""
    pose = poses(1, frames, seed, swing=0.35)[0]
    turn = 2 * math.pi * torch.arange(frames, dtype=torch.float64) / frames + seed
    facing = rotation_about(UP.expand(frames, 3), turn)
    pose = pose @ facing.mT
    lowest = pose[:, H36M_17.indices("RFoot", "LFoot"), 1].amax(1)
    root = torch.stack([1.5 * turn.sin(), HEIGHT - lowest, 5 + 1.5 * turn.cos()], 1)
    points = (pose + root[:, None] - MIDDLE) @ pitched(tilt).T + MIDDLE
    root = points[:, H36M_17.root_index]
    return LabelledVideo(
        subject=subject, action=f"Walking {seed}", camera=camera,
        keypoints=(points[..., :2] / points[..., 2:]).float(), intrinsics=IDEAL, width=1000, height=1000, fps=50.0,
        up=(pitched(tilt) @ UP).float(), pose=(points - root[:, None]).float(), trajectory=root.float(),
    )  # fmt: skip


def nearly_true(videos: list[LabelledVideo]) -> tuple[Knows, Refinement]:
    """A lifter with 3 cm of error in every coordinate, and what it knows of these very people's bones."""
    rng = generator(9)
    noisy = [replace(v, pose=v.pose + 0.03 * torch.randn(v.pose.shape, generator=rng)) for v in videos]
    lifter = Knows(noisy, frames=15)
    return lifter, Refinement(SourceBones.measure(lifter, videos), 0.0)


@pytest.mark.parametrize("tilt", [-10, 0, 15, 30])
def test_the_cameras_pitch_is_found_from_walking_people(tilt):
    videos = [walk(tilt, seed) for seed in range(3)]
    lifter, refinement = nearly_true(videos)
    state = torch.get_rng_state()
    found = find_up(lifter, [v.unlabelled() for v in videos], refinement)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.shape == (3,) and abs(found.norm() - 1) < 1e-5
    assert degrees(found, videos[0].up) < 2
    ruined = [replace(v, pose=torch.full_like(v.pose, torch.nan), trajectory=None, up=-v.up) for v in videos]
    assert torch.equal(find_up(lifter, ruined, refinement), found)


def test_the_floor_is_better_than_the_bodies_of_people_who_stoop():
    """All bow towards the camera, so that bodies alone mislead."""
    videos = []
    for seed in range(3):
        seen = walk(15, seed)
        upper = [j for j, name in enumerate(H36M_17.joints) if not name.endswith(("Hip", "Knee", "Foot"))]
        pose = seen.pose.clone()
        pose[:, upper] = pose[:, upper] @ pitched(12).float().T
        points = pose + seen.trajectory[:, None]
        videos.append(replace(seen, pose=pose, keypoints=points[..., :2] / points[..., 2:]))
    lifter, refinement = nearly_true(videos)
    bodies = degrees(mean_upright(torch.cat([v.pose for v in videos])), videos[0].up)
    assert bodies > 8
    assert degrees(find_up(lifter, videos, refinement), videos[0].up) < bodies / 3


def legs(side: str) -> list[int]:
    return H36M_17.indices(f"{side}Knee", f"{side}Foot")


def test_the_foot_on_the_floor_counts():
    """The right leg is kicked up in one half of the room, the left one in the other half."""
    videos = []
    for seed in range(3):
        seen = walk(0, seed)
        pose = seen.pose.clone()
        for side, chosen in (("R", seen.trajectory[:, 0] > 0.5), ("L", seen.trajectory[:, 0] < -0.5)):
            hip = pose[:, H36M_17.indices(f"{side}Hip")]
            kicked = (pose[:, legs(side)] - hip) @ pitched(-80).float().T + hip
            pose[:, legs(side)] = torch.where(chosen[:, None, None], kicked, pose[:, legs(side)])
        lowest = pose[:, H36M_17.indices("RFoot", "LFoot"), 1].amax(1)
        root = torch.stack([seen.trajectory[:, 0], HEIGHT - lowest, seen.trajectory[:, 2]], 1)
        points = pose + root[:, None]
        videos.append(replace(seen, pose=pose, trajectory=root, keypoints=points[..., :2] / points[..., 2:]))
    lifter, refinement = nearly_true(videos)
    assert degrees(find_up(lifter, videos, refinement), videos[0].up) < 2


def test_bones_are_set_before_the_floor_is_looked_for():
    """A lifter that takes people far away for larger ones; with their bones set they stand where they do."""
    videos = [walk(15, seed) for seed in range(3)]
    size = [(v.trajectory[:, 2] / MIDDLE[2].item())[:, None, None] for v in videos]
    lifter = Knows([replace(v, pose=v.pose * s) for v, s in zip(videos, size)], frames=15)
    refinement = Refinement(SourceBones.measure(lifter, videos), 0.0)
    assert degrees(find_up(lifter, videos, refinement), videos[0].up) < 2


def test_videos_of_a_person_by_a_camera_share_what_is_found():
    tilts = {("S5", "one"): 5, ("S5", "two"): 25, ("S6", "one"): 15}
    labelled = [walk(tilt, seed, *who) for seed in range(2) for who, tilt in tilts.items()]
    lifter, refinement = nearly_true(labelled)
    blind = [v.unlabelled() for v in labelled]
    found = with_up(lifter, blind, 25.0, refinement)
    for before, after, true in zip(blind, found, labelled):
        assert type(after) is Video and torch.equal(after.keypoints, before.keypoints)
        assert (after.subject, after.action, after.camera) == (before.subject, before.action, before.camera)
        assert degrees(after.up, true.up) < 3
    first, second = found[:3], found[3:]
    assert all(torch.equal(one.up, other.up) for one, other in zip(first, second))
    assert len({tuple(v.up.tolist()) for v in first}) == 3
    thin = [v.downsampled(2) for v in blind if (v.subject, v.camera) == ("S5", "one")]
    # At the lifter's frame rate, from all its videos.
    assert torch.equal(first[0].up, find_up(lifter, thin, refinement))
