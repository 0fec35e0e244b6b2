"""The camera that looks at the person: a rotation, a size, and nothing lost."""

import pytest
import torch
from bodies import batch, cameras, generator, poses

from common.datasets.clips import Batch
from common.geometry.camera import project, rotation_about, undistort
from common.geometry.skeleton import H36M_17
from common.geometry.virtual_camera import look_at_person

ROOT = H36M_17.root_index
AXIS = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
IDEAL = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)  # keypoints are rays


@pytest.fixture
def clips() -> Batch:
    return batch(8, 5)


def homogeneous(rays: torch.Tensor) -> torch.Tensor:
    return torch.cat([rays, torch.ones_like(rays[..., :1])], -1)


def directions(count: int) -> torch.Tensor:
    """(count, 3) unit vectors in front of a camera, up to far off its axis."""
    free = torch.randn(count, 3, generator=generator(), dtype=torch.float64)
    return torch.nn.functional.normalize(free * torch.tensor([1, 1, 0]) + free[:, 2:].abs() * AXIS, dim=-1)


def test_the_axis_goes_through_the_mean_root(clips):
    seen, rotation = look_at_person(clips.keypoints, clips.intrinsics)
    middle = homogeneous(undistort(clips.keypoints, clips.intrinsics))[..., ROOT, :].mean(1)
    on_axis = (rotation @ middle[..., None])[..., 0]
    torch.testing.assert_close(on_axis[:, :2], torch.zeros(8, 2).double(), rtol=0, atol=1e-9)
    assert (on_axis[:, 2] > 0).all()
    assert seen[..., ROOT, :].mean(1).abs().max() < 0.02  # of the box's mean side; the root moves a little


def test_the_person_has_the_size_of_one(clips):
    seen, _ = look_at_person(clips.keypoints, clips.intrinsics)
    sides = seen.amax(-2) - seen.amin(-2)
    torch.testing.assert_close(sides.mean((1, 2)), torch.ones(8).double())


def test_the_way_back_is_exact(clips):
    """One size a clip and its rotation are all that stands between what is seen and the real rays."""
    seen, rotation = look_at_person(clips.keypoints, clips.intrinsics)
    rays = homogeneous(undistort(clips.keypoints, clips.intrinsics))
    turned = rays @ rotation[:, None].mT
    turned = turned[..., :2] / turned[..., 2:]
    size = ((turned * seen).sum((1, 2, 3)) / (seen * seen).sum((1, 2, 3)))[:, None, None, None]
    back = homogeneous(seen * size) @ rotation[:, None]
    back = back[..., :2] / back[..., 2:]
    torch.testing.assert_close(back, rays[..., :2], rtol=0, atol=1e-9)
    torch.testing.assert_close(project(homogeneous(back), clips.intrinsics), clips.keypoints, rtol=0, atol=1e-9)


def standing(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (count, 5, 17, 3) of people whose roots stay on one ray each, and the rays (count, 3)."""
    ray = torch.nn.functional.normalize(directions(count) + 3 * AXIS, dim=-1)
    return poses(count, 5) + 5 * ray[:, None, None], ray


def remeasured(rotation: torch.Tensor, points: torch.Tensor, intrinsics: torch.Tensor):
    """What the virtual camera makes of a real one that is turned: (B, T, J, 2) and its rotation (B, 3, 3)."""
    keypoints = project(points @ rotation[:, None].mT, intrinsics)
    return look_at_person(keypoints, intrinsics)


@pytest.mark.parametrize("intrinsics", [IDEAL, *cameras()[:2]], ids=["ideal", "first", "second"])
def test_turning_the_real_camera_towards_or_away_changes_nothing(intrinsics):
    points, ray = standing(6)
    intrinsics = intrinsics.expand(6, 9)
    across = torch.nn.functional.normalize(torch.linalg.cross(ray, AXIS.expand_as(ray)), dim=-1)
    turn = rotation_about(across, 0.2 * torch.rand(6, generator=generator(2), dtype=torch.float64) - 0.1)
    still = torch.eye(3).double().expand(6, 3, 3)
    seen, rotation = remeasured(still, points, intrinsics)
    again, other = remeasured(turn, points, intrinsics)
    torch.testing.assert_close(again, seen, rtol=0, atol=1e-9)
    torch.testing.assert_close(other @ turn, rotation, rtol=0, atol=1e-9)


def test_turning_the_real_camera_anyhow_only_rolls_the_image():
    points, _ = standing(6)
    axes = torch.nn.functional.normalize(torch.randn(6, 3, generator=generator(3), dtype=torch.float64), dim=-1)
    turn = rotation_about(axes, torch.full((6,), 0.15, dtype=torch.float64))
    intrinsics = IDEAL.expand(6, 9)
    first, rotation = remeasured(torch.eye(3).double().expand(6, 3, 3), points, intrinsics)
    second, other = remeasured(turn, points, intrinsics)
    roll = other @ turn @ rotation.mT
    torch.testing.assert_close(roll[:, 2], AXIS.expand(6, 3), rtol=0, atol=1e-9)
    assert (roll - torch.eye(3).double()).abs().amax() > 1e-3
    rolled = first @ roll[:, None, :2, :2].mT
    ratio = rolled.norm(dim=-1).mean((1, 2)) / second.norm(dim=-1).mean((1, 2))  # the box is the image's own
    torch.testing.assert_close(second * ratio[:, None, None, None], rolled, rtol=0, atol=1e-9)


def test_the_same_person_farther_away_looks_the_same():
    """Size in the image is taken out: a flat person at twice the distance is seen alike."""
    flat = poses(3, 5) * torch.tensor([1, 1, 0])
    near, far = (look_at_person(project(flat + z * AXIS, IDEAL), IDEAL.expand(3, 9))[0] for z in (4.0, 8.0))
    torch.testing.assert_close(near, far, rtol=0, atol=1e-9)


def test_no_person_and_wild_keypoints_stay_finite():
    intrinsics = cameras()[:2]
    nowhere = torch.zeros(2, 5, 17, 2, dtype=torch.float64)
    wild = nowhere.clone()
    wild[0, 2, ROOT + 1] = 1.9
    wild[1] = 2 * torch.rand(5, 17, 2, generator=generator(), dtype=torch.float64) - 1
    for keypoints in (nowhere, wild):
        seen, rotation = look_at_person(keypoints, intrinsics)
        assert seen.isfinite().all() and rotation.isfinite().all()
        identity = torch.eye(3).double().expand(2, 3, 3)
        torch.testing.assert_close(rotation @ rotation.mT, identity, rtol=0, atol=1e-9)
