"""Camera geometry: every transform against its inverse, and the edges of the image."""

import math

import pytest
import torch
from bodies import cameras, generator, poses, trajectories, units

from common.datasets.cameras_h36m import UNPLACED, h36m_cameras, h36m_subjects
from common.geometry.camera import (
    Camera,
    camera_to_world,
    denormalise,
    mirror_intrinsics,
    normalise,
    project,
    rotate,
    rotation_about,
    rotation_between,
    undistort,
    world_to_camera,
)

ALL_CAMERAS = [camera for subject in ("S1", "S5", "S11") for camera in h36m_cameras(subject)]


def image_grid(camera: Camera, points: int = 21) -> torch.Tensor:
    """(points^2, 2) pixels that span the whole image, corners included."""
    x, y = (torch.linspace(0, side, points, dtype=torch.float64) for side in (camera.width, camera.height))
    return torch.stack(torch.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)


def at_depth(rays: torch.Tensor, depth: float = 4.0) -> torch.Tensor:
    return torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * depth


def test_seven_subjects_have_four_cameras():
    assert sorted(h36m_subjects()) == sorted(["S1", "S5", "S6", "S7", "S8", "S9", "S11"])
    for subject in h36m_subjects():
        assert [c.name for c in h36m_cameras(subject)] == ["54138969", "55011271", "58860488", "60457274"]
    with pytest.raises(KeyError):
        h36m_cameras("S12")


def test_cameras_of_subjects_without_labels_stand_nowhere():
    for subject in UNPLACED:
        for camera, placed in zip(h36m_cameras(subject), h36m_cameras("S1")):
            assert camera.focal == placed.focal and camera.distortion == placed.distortion
            assert camera.translation == (0, 0, 0) and camera.orientation == (1, 0, 0, 0)


@pytest.mark.parametrize("subject", h36m_subjects())
def test_extrinsics_are_a_room_with_people_in_the_middle(subject):
    for camera in h36m_cameras(subject):
        assert abs(torch.tensor(camera.orientation, dtype=torch.float64).norm() - 1) < 1e-6
        assert 1 < camera.translation[2] < 2.5  # metres above the floor
        centre = world_to_camera(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), camera)
        assert 3 < centre[2] < 8
        up = world_to_camera(torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64), camera) - centre
        assert up[1] < -0.9  # the world's up is the image's up


@pytest.mark.parametrize("camera", ALL_CAMERAS, ids=lambda c: c.name)
def test_world_to_camera_and_back(camera):
    points = torch.randn(5, 17, 3, generator=generator(), dtype=torch.float64)
    there = world_to_camera(points, camera)
    torch.testing.assert_close(camera_to_world(there, camera), points, rtol=0, atol=5e-6)  # published in float32
    torch.testing.assert_close(torch.pdist(there[0]), torch.pdist(points[0]), rtol=1e-6, atol=0)
    position = points.new_tensor(camera.translation)
    assert world_to_camera(position, camera).abs().max() < 1e-12


def test_rotating_by_a_known_quaternion():
    half = math.pi / 4  # a quarter turn about z takes x to y
    quaternion = torch.tensor([math.cos(half), 0, 0, math.sin(half)], dtype=torch.float64)
    found = rotate(quaternion, torch.eye(3, dtype=torch.float64))
    expected = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


X, Y, Z = torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize(("axis", "before", "after"), [(X, Y, Z), (Y, Z, X), (Z, X, Y), (-Z, Y, X)])
def test_a_quarter_turn_about_an_axis(axis, before, after):
    rotation = rotation_about(axis, torch.tensor(math.pi / 2, dtype=torch.float64))
    torch.testing.assert_close(rotation @ before, after, rtol=0, atol=1e-12)
    torch.testing.assert_close(rotation @ axis, axis, rtol=0, atol=1e-12)


def test_rotations_about_any_axis():
    axis = torch.nn.functional.normalize(torch.randn(4, 5, 3, generator=generator(), dtype=torch.float64), dim=-1)
    angle, more = 6 * torch.rand(2, 4, 5, generator=generator(1), dtype=torch.float64) - 3
    found = rotation_about(axis, angle)
    assert found.shape == (4, 5, 3, 3)
    identity = torch.eye(3, dtype=torch.float64).expand_as(found)
    for left, right in (
        (found @ found.mT, identity),
        (torch.linalg.det(found), torch.ones_like(angle)),
        (found @ rotation_about(axis, -angle), identity),
        (rotation_about(-axis, -angle), found),
        (rotation_about(axis, more) @ found, rotation_about(axis, angle + more)),
        ((found @ axis[..., None])[..., 0], axis),
        (found.diagonal(dim1=-2, dim2=-1).sum(-1), 1 + 2 * angle.cos()),
        (rotation_about(axis, 0 * angle), identity),
    ):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_a_rotation_about_an_axis_is_that_of_the_quaternion():
    axis = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64), dim=0)
    angle = torch.tensor(1.1, dtype=torch.float64)
    quaternion = torch.cat([(angle / 2).cos()[None], (angle / 2).sin() * axis])
    points = torch.randn(6, 3, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(points @ rotation_about(axis, angle).mT, rotate(quaternion, points))


def test_the_smallest_rotation_between_two_vectors():
    one, other = units(4, 50), units(4, 50, seed=1)
    found = rotation_between(one, other)
    assert found.shape == (4, 50, 3, 3)
    identity = torch.eye(3, dtype=torch.float64).expand_as(found)
    for left, right in (
        (found @ found.mT, identity),
        (torch.linalg.det(found), torch.ones(4, 50, dtype=torch.float64)),
        ((found @ one[..., None])[..., 0], other),
        # No smaller one would do: its angle is the one between the vectors.
        ((found.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2, (one * other).sum(-1)),
        (rotation_between(other, one), found.mT),
        (rotation_between(one, one), identity),
    ):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-9)
    assert torch.equal(found[2, 7], rotation_between(one[2, 7], other[2, 7]))


def test_a_rotation_between_vectors_turns_about_what_is_across_both():
    one, other = units(20), units(20, seed=1)
    across = torch.linalg.cross(one, other)
    sine, axis = across.norm(dim=-1), torch.nn.functional.normalize(across, dim=-1)
    angle = torch.atan2(sine, (one * other).sum(-1))
    torch.testing.assert_close(rotation_between(one, other), rotation_about(axis, angle), rtol=0, atol=1e-9)
    half = 0.5**0.5
    found = rotation_between(half * (X + Z), Z)
    torch.testing.assert_close(found, found.new_tensor([[half, 0, -half], [0, 1, 0], [half, 0, half]]))


def test_up_is_against_gravity():
    level = Camera(1000, 1000, 1000.0)  # its axes are the world's
    assert torch.equal(level.up(), Z)
    for subject in h36m_subjects():
        for camera in h36m_cameras(subject):
            up = camera.up()
            assert up.dtype == torch.float64 and abs(up.norm() - 1) < 1e-6
            assert up[1] < -0.9  # the image's y goes down
            floor = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
            raised = world_to_camera(floor + 1.5 * Z, camera) - world_to_camera(floor, camera)
            torch.testing.assert_close(raised, (1.5 * up).expand(5, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("camera", h36m_cameras("S1"), ids=lambda c: c.name)
def test_undistort_inverts_the_lens_over_the_whole_image(camera):
    pixels = image_grid(camera)
    intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float64)
    rays = undistort(pixels, intrinsics)
    assert (project(at_depth(rays), intrinsics) - pixels).abs().max() < 1e-6  # px
    # The lens bends the corners by several pixels, so leaving it out would show.
    assert (project(at_depth(rays), intrinsics, distorted=False) - pixels).norm(dim=-1).max() > 3
    single = undistort(pixels.float(), intrinsics.float())
    assert (single - rays).abs().max() < 1e-6


@pytest.mark.parametrize("camera", h36m_cameras("S1"), ids=lambda c: c.name)
def test_project_then_undistort_gives_the_ray(camera):
    points = poses(3, 2) + trajectories(3, 2)[..., None, :]
    intrinsics = camera.normalised_intrinsics()
    rays = undistort(project(points, intrinsics), intrinsics)
    torch.testing.assert_close(rays, points[..., :2] / points[..., 2:], rtol=0, atol=1e-12)


def test_without_distortion_projection_is_the_pinhole():
    intrinsics = torch.tensor([2.0, 3.0, 0.1, -0.2, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
    point = torch.tensor([1.0, -1.0, 4.0], dtype=torch.float64)
    found = project(point, intrinsics, distorted=False)
    torch.testing.assert_close(found, found.new_tensor([2 * 0.25 + 0.1, -3 * 0.25 - 0.2]))
    lens_free = intrinsics * (torch.arange(9) < 4)
    assert torch.equal(project(point, lens_free), found)
    assert torch.equal(undistort(found, lens_free), point[:2] / 4)


def test_the_lens_as_written_in_the_method():
    """METHOD 4: xy (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p.xy) + p r2, worked out with plain numbers."""
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = values = (2.3, 2.2, 0.02, -0.01, -0.2, 0.24, -0.003, -0.001, -0.0014)
    x, y = 0.3 / 2, -0.5 / 2
    r2 = x * x + y * y
    factor = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * x + p2 * y
    expected = [fx * (x * factor + p1 * r2) + cx, fy * (y * factor + p2 * r2) + cy]
    found = project(torch.tensor([0.3, -0.5, 2.0], dtype=torch.float64), torch.tensor(values, dtype=torch.float64))
    torch.testing.assert_close(found, found.new_tensor(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1000, 1002), (1920, 1080), (2048, 2048)])
def test_normalise_and_back(size):
    width, height = size
    pixels = torch.rand(7, 17, 2, generator=generator(), dtype=torch.float64) * torch.tensor(size)
    points = normalise(pixels, width, height)
    torch.testing.assert_close(denormalise(points, width, height), pixels, rtol=0, atol=1e-9)
    corners = normalise(torch.tensor([[0.0, 0.0], [width, height]], dtype=torch.float64), width, height)
    expected = [[-1, -height / width], [1, height / width]]
    torch.testing.assert_close(corners, corners.new_tensor(expected))
    whole = torch.tensor([[0, height], [width, 0]])  # int64
    assert torch.equal(normalise(whole, width, height), normalise(whole.float(), width, height))


@pytest.mark.parametrize("camera", h36m_cameras("S1"), ids=lambda c: c.name)
def test_projection_in_pixels_and_normalised_agree(camera):
    points = poses(1, 4)[0] + trajectories(1, 4)[0][:, None]
    pixels = project(points, torch.tensor(camera.intrinsics, dtype=torch.float64))
    normalised = project(points, camera.normalised_intrinsics())
    torch.testing.assert_close(normalise(pixels, camera.width, camera.height), normalised, rtol=0, atol=1e-12)


def test_mirrored_intrinsics_are_an_involution():
    intrinsics = cameras()
    flipped = mirror_intrinsics(intrinsics)
    assert torch.equal(mirror_intrinsics(flipped), intrinsics)
    assert (flipped != intrinsics).sum() == 2 * len(intrinsics)


@pytest.mark.parametrize("trailing", [(), (17,), (3, 17), (2, 3, 17)])
def test_batched_intrinsics_equal_a_loop(trailing):
    intrinsics = cameras()
    points = torch.randn(4, *trailing, 3, generator=generator(), dtype=torch.float64) * 0.5
    points[..., 2] += 4
    seen = project(points, intrinsics)
    assert torch.equal(seen, torch.stack([project(p, i) for p, i in zip(points, intrinsics)]))
    rays = undistort(seen, intrinsics)
    assert torch.equal(rays, torch.stack([undistort(s, i) for s, i in zip(seen, intrinsics)]))


def test_gradients_are_right_and_finite():
    intrinsics = cameras()[:2]
    points = (poses(2, 1) + trajectories(2, 1)[..., None, :])[:, 0, :4].requires_grad_()
    assert torch.autograd.gradcheck(lambda p: project(p, intrinsics), points)
    keypoints = project(points, intrinsics).detach().requires_grad_()
    undistort(keypoints, intrinsics).sum().backward()
    assert keypoints.grad.isfinite().all() and (keypoints.grad != 0).any()


def test_points_beside_and_behind_the_camera_stay_finite():
    points = torch.tensor([[5.0, 0, 0.01], [0, -3, -1], [1, 1, -1e-6], [0, 0, -2]], requires_grad=True)
    seen = project(points, cameras()[0].float())
    seen.sum().backward()
    assert seen.abs().max() < 4
    assert points.grad.isfinite().all()
