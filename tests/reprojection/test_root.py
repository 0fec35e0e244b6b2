"""The root from 2D, and how far joints are from their rays."""

import pytest
import torch
from bodies import batch, generator

from common.datasets.clips import LabelledBatch
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.reprojection.root import NEAREST_ROOT, estimate_root, ray_distance, solve_root

WRIST = H36M_17.index("LWrist")


@pytest.fixture
def clips() -> LabelledBatch:
    return batch(4, 5)


@pytest.fixture
def rays(clips) -> torch.Tensor:
    return undistort(clips.keypoints, clips.intrinsics)


@pytest.fixture
def hypotheses(clips) -> torch.Tensor:
    """(B, 6, T, J, 3) the true pose with noise, the root where it is."""
    noise = 0.05 * torch.randn(4, 6, 5, 17, 3, generator=generator(), dtype=torch.float64)
    noise[..., H36M_17.root_index, :] = 0
    return clips.pose[:, None] + noise


def far(root: torch.Tensor, clips: LabelledBatch) -> float:
    """The largest distance from the true root, metres."""
    return (root - clips.trajectory).norm(dim=-1).max().item()


@pytest.mark.parametrize("reweight", [False, True])
def test_the_root_of_a_true_pose_is_exact_through_every_lens(clips, rays, reweight):
    assert far(solve_root(clips.pose, rays, reweight=reweight), clips) < 1e-9
    single = solve_root(clips.pose.float(), undistort(clips.keypoints.float(), clips.intrinsics.float()))
    assert far(single, clips) < 1e-4  # 0.1 mm in the precision used


def test_leaving_the_lens_out_costs_millimetres(clips):
    pinhole = clips.intrinsics * (torch.arange(9) < 4)
    assert far(solve_root(clips.pose, undistort(clips.keypoints, pinhole)), clips) > 0.005


@pytest.mark.parametrize("offset", [0.05, 0.1])  # about 60 and 120 px of a person 400 px tall
def test_one_outlier_is_weighed_down(clips, rays, offset):
    def off(weighed: bool) -> torch.Tensor:
        return (solve_root(clips.pose, noisy, reweight=weighed) - clips.trajectory).norm(dim=-1).mean()

    noisy = rays + 0.002 * torch.randn(rays.shape, generator=generator(), dtype=rays.dtype)
    usual = off(True)
    noisy[..., WRIST, :] += torch.tensor([offset, -offset])
    assert off(True) < off(False) / 3
    assert off(True) < 4 * usual


def test_weights_say_which_joints_count(clips, rays):
    spoilt = rays.clone()
    spoilt[..., WRIST, :] += torch.tensor([0.3, -0.2])
    weights = torch.ones(rays.shape[:-1], dtype=rays.dtype)
    weights[..., WRIST] = 0
    assert far(solve_root(clips.pose, spoilt, weights, reweight=False), clips) < 1e-9
    errors = []
    for weight in (1.0, 0.1, 0.01):
        weights[..., WRIST] = weight
        errors.append(far(solve_root(clips.pose, spoilt, weights, reweight=False), clips))
    assert errors[0] > errors[1] > errors[2]


def test_only_the_proportions_of_weights_matter(clips, rays):
    noisy = rays + 0.01 * torch.randn(rays.shape, generator=generator(), dtype=rays.dtype)
    weights = 0.1 + torch.rand(rays.shape[:-1], generator=generator(1), dtype=rays.dtype)
    expected = solve_root(clips.pose, noisy, weights)
    torch.testing.assert_close(solve_root(clips.pose, noisy, 7 * weights), expected)
    nothing = solve_root(clips.pose, noisy, torch.zeros_like(weights))
    torch.testing.assert_close(nothing, solve_root(clips.pose, noisy))


def test_the_root_solves_the_normal_equations(clips, rays):
    """The closed form against a general least-squares solver."""
    noisy = rays + 0.01 * torch.randn(rays.shape, generator=generator(), dtype=rays.dtype)
    weights = 0.1 + torch.rand(rays.shape[:-1], generator=generator(1), dtype=rays.dtype)
    found = solve_root(clips.pose, noisy, weights, reweight=False)
    x, y, z = clips.pose.unbind(-1)
    u, v = noisy.unbind(-1)
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    rows = torch.cat([torch.stack([one, zero, -u], -1), torch.stack([zero, one, -v], -1)], -2)  # (B, T, 2J, 3)
    wanted = torch.cat([u * z - x, v * z - y], -1)[..., None]
    strength = torch.cat([weights, weights], -1)[..., None].sqrt()
    expected = torch.linalg.lstsq(rows * strength, wanted * strength).solution[..., 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_gradients_of_the_root_are_right(clips, rays):
    pose = clips.pose[:1, :1].clone().requires_grad_()
    noisy = rays[:1, :1] + 0.01 * torch.randn(1, 1, 17, 2, generator=generator(), dtype=rays.dtype)
    assert torch.autograd.gradcheck(lambda p: solve_root(p, noisy, reweight=False), pose)
    solve_root(pose, noisy).sum().backward()
    assert pose.grad.isfinite().all() and (pose.grad != 0).any()


def test_keypoints_in_one_point_give_a_finite_root():
    pose = torch.randn(2, 3, 17, 3, generator=generator()).requires_grad_()
    root = solve_root(pose, torch.zeros(2, 3, 17, 2))
    root.sum().backward()
    assert root.isfinite().all() and pose.grad.isfinite().all()
    assert (root[..., 2] >= NEAREST_ROOT).all()
    flat = solve_root(torch.zeros(2, 3, 17, 3), torch.rand(2, 3, 17, 2, generator=generator()))
    assert flat.isfinite().all()


def test_a_pose_turned_inside_out_stays_in_front(clips, rays):
    assert (solve_root(-clips.pose, rays)[..., 2] >= NEAREST_ROOT).all()


def test_inputs_are_left_alone(clips, rays, hypotheses):
    weights = torch.rand(rays.shape[:-1], generator=generator(), dtype=rays.dtype)
    weights[..., WRIST] = 0
    inputs = [clips.pose, rays, weights, hypotheses, clips.keypoints]
    before = [x.clone() for x in inputs]
    solve_root(clips.pose, rays, weights)
    estimate_root(hypotheses, clips.keypoints, clips.intrinsics, weights)
    assert all(torch.equal(x, b) for x, b in zip(inputs, before))


def test_the_shared_root_comes_from_the_mean(clips, hypotheses):
    centred = hypotheses - hypotheses.mean(1, keepdim=True) + clips.pose[:, None]
    assert far(estimate_root(centred, clips.keypoints, clips.intrinsics), clips) < 1e-9


def test_confidence_says_which_keypoints_count(clips, hypotheses):
    """A detector that lost the wrist and knows it: the root is as if the wrist had been found."""
    lost = clips.keypoints.clone()
    lost[..., WRIST, :] += torch.tensor([0.3, -0.2])
    confidence = torch.ones(lost.shape[:-1], dtype=lost.dtype)
    confidence[..., WRIST] = 0
    centred = hypotheses - hypotheses.mean(1, keepdim=True) + clips.pose[:, None]
    assert far(estimate_root(centred, lost, clips.intrinsics, confidence), clips) < 1e-9
    blind = estimate_root(centred, lost, clips.intrinsics)
    assert far(blind, clips) > 0.01
    assert torch.equal(estimate_root(centred, lost, clips.intrinsics, torch.ones_like(confidence)), blind)
    confidence[1:] = 1  # every clip has its own
    assert torch.equal(estimate_root(centred, lost, clips.intrinsics, confidence)[1:], blind[1:])


def test_confidence_in_nothing_counts_all_alike(clips, hypotheses):
    none = torch.zeros(clips.keypoints.shape[:-1], dtype=clips.keypoints.dtype)
    expected = estimate_root(hypotheses, clips.keypoints, clips.intrinsics)
    torch.testing.assert_close(estimate_root(hypotheses, clips.keypoints, clips.intrinsics, none), expected)


# Distance from the rays


def test_joints_on_their_rays_have_no_distance(clips, rays):
    placed = clips.pose + clips.trajectory[..., None, :]
    found = ray_distance(placed, rays)
    assert found.shape == (4, 5, 17) and found.max() < 1e-9
    assert ray_distance(3 * placed, rays).max() < 1e-9  # farther out on the same ray


def test_the_distance_from_a_ray_is_at_unit_depth(clips, rays):
    placed = clips.pose + clips.trajectory[..., None, :]
    aside = placed + 0.1 * placed[..., 2:] * placed.new_tensor([0.6, -0.8, 0])
    found = ray_distance(aside, rays)
    torch.testing.assert_close(found, torch.full_like(found, 0.1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("depth", [0.05, 0.0, -3.0])
def test_joints_at_or_behind_the_camera_count_as_just_before_it(depth):
    placed = torch.tensor([0.3, -0.4, depth], dtype=torch.float64).expand(2, 17, 3).clone().requires_grad_()
    found = ray_distance(placed, torch.zeros(2, 17, 2, dtype=torch.float64))
    torch.testing.assert_close(found, torch.full_like(found, 0.5 / NEAREST_ROOT))
    found.sum().backward()
    assert placed.grad.isfinite().all() and (placed.grad[..., 2] == 0).all()
