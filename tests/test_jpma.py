"""The root from 2D, and hypotheses to one pose."""

import pytest
import torch
from bodies import batch, generator

from common.datasets.clips import Batch
from common.evaluation.metrics import joint_errors
from common.geometry.camera import project, undistort
from common.geometry.skeleton import H36M_17
from common.reprojection.jpma import SOFTNESS, j_agg, j_best, p_agg, p_best, pick_joints, reprojection_errors, s_agg
from common.reprojection.root import NEAREST_ROOT, estimate_root, solve_root

WRIST = H36M_17.index("LWrist")


@pytest.fixture
def clips() -> Batch:
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


def far(root: torch.Tensor, clips: Batch) -> float:
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
    root = estimate_root(hypotheses, clips.keypoints, clips.intrinsics)
    j_agg(hypotheses, root, clips.keypoints, clips.intrinsics)
    assert all(torch.equal(x, b) for x, b in zip(inputs, before))


def test_the_shared_root_comes_from_the_mean(clips, hypotheses):
    centred = hypotheses - hypotheses.mean(1, keepdim=True) + clips.pose[:, None]
    assert far(estimate_root(centred, clips.keypoints, clips.intrinsics), clips) < 1e-9


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
