"""Pose errors: zero where they must be, and blind to what they must not see."""

import pytest
import torch
from bodies import generator, poses

from common.evaluation.metrics import joint_errors, procrustes, rescaled, velocity_errors, wrong_sign_depth
from common.geometry.skeleton import H36M_17


@pytest.fixture
def pose() -> torch.Tensor:
    return poses(2, 6)  # (2, 6, 17, 3)


@pytest.fixture
def guess(pose) -> torch.Tensor:
    return pose + 0.05 * torch.randn(pose.shape, generator=generator(), dtype=pose.dtype)


def rotations(count: int) -> torch.Tensor:
    """(count, 3, 3) proper rotations."""
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator(1), dtype=torch.float64))
    q = q * torch.sign(torch.linalg.det(q))[:, None, None]
    return q


def test_a_perfect_pose_has_no_error(pose):
    for metric in (joint_errors(pose, pose), velocity_errors(pose, pose)):
        assert (metric == 0).all()
    for aligned in (procrustes(pose, pose), rescaled(pose, pose)):
        assert joint_errors(aligned, pose).max() < 1e-12


def test_joint_errors_are_distances():
    moved = torch.zeros(2, 17, 3)
    moved[1, 4] = torch.tensor([3.0, 0, -4.0])
    errors = joint_errors(moved, torch.zeros(2, 17, 3))
    assert errors.shape == (2, 17) and errors[1, 4] == 5 and errors.sum() == 5


def test_procrustes_ignores_every_similarity(pose, guess):
    expected = joint_errors(procrustes(guess, pose), pose)
    turn = rotations(12).reshape(2, 6, 3, 3)
    scale = torch.linspace(0.2, 3, 12, dtype=torch.float64).reshape(2, 6, 1, 1)
    shift = torch.randn(2, 6, 1, 3, generator=generator(2), dtype=torch.float64)
    found = procrustes(scale * (guess @ turn) + shift, pose)
    torch.testing.assert_close(joint_errors(found, pose), expected, rtol=0, atol=1e-10)
    assert joint_errors(procrustes(scale * (pose @ turn) + shift, pose), pose).max() < 1e-10


@pytest.mark.parametrize("handed", [1.0, -1.0])  # as it is, and where a reflection would fit better
def test_procrustes_is_the_least_squares_similarity(pose, guess, handed):
    """No small rotation, scaling or shift of the answer brings it nearer."""
    best = procrustes(guess * guess.new_tensor([handed, 1, 1]), pose)
    found = ((best - pose) ** 2).sum((-1, -2))
    centre = best.mean(-2, keepdim=True)
    for turn in torch.linalg.matrix_exp(0.02 * (g := torch.randn(8, 3, 3, generator=generator(3))) - 0.02 * g.mT):
        turned = (best - centre) @ turn.double() + centre
        assert (((turned - pose) ** 2).sum((-1, -2)) >= found).all()
    for factor in (0.99, 1.01):
        assert ((((best - centre) * factor + centre - pose) ** 2).sum((-1, -2)) > found).all()
    assert (((best + 0.001 - pose) ** 2).sum((-1, -2)) > found).all()


def test_procrustes_never_reflects(pose):
    reflected = pose * pose.new_tensor([-1, 1, 1])  # not mirrored by name: left stays left
    aligned = procrustes(reflected, pose)
    assert joint_errors(aligned, pose).mean() > 0.01
    # The transform found from reflected to aligned keeps orientation.
    source = (reflected - reflected.mean(-2, keepdim=True))[0, 0]
    image = (aligned - aligned.mean(-2, keepdim=True))[0, 0]
    assert torch.linalg.det(torch.linalg.lstsq(source, image).solution) > 0


def test_procrustes_broadcasts_over_hypotheses(pose, guess):
    hypotheses = torch.stack([guess, pose, guess * 1.1], 1)  # (B, H, T, J, 3)
    together = procrustes(hypotheses, pose[:, None])
    assert together.shape == hypotheses.shape
    for h in range(3):
        torch.testing.assert_close(together[:, h], procrustes(hypotheses[:, h], pose), rtol=0, atol=1e-12)


def test_rescaling_ignores_scale_alone(pose, guess):
    expected = rescaled(guess, pose)
    for factor in (0.1, 0.9, 4.0):
        torch.testing.assert_close(rescaled(factor * guess, pose), expected, rtol=0, atol=1e-12)
        assert joint_errors(rescaled(factor * pose, pose), pose).max() < 1e-12
    turned = pose.flip(-1)
    assert joint_errors(rescaled(turned, pose), pose).mean() > 0.01


def test_rescaling_is_least_squares(pose, guess):
    best = rescaled(guess, pose)
    found = ((best - pose) ** 2).sum((-1, -2))
    for factor in (0.99, 1.01):
        assert (((factor * best - pose) ** 2).sum((-1, -2)) > found).all()


def test_each_alignment_can_only_help(pose, guess):
    def squares(x):
        return ((x - pose) ** 2).sum((-1, -2))

    assert (squares(rescaled(guess, pose)) <= squares(guess) + 1e-12).all()
    assert (squares(procrustes(guess, pose)) <= squares(rescaled(guess, pose)) + 1e-12).all()


def test_a_constant_offset_has_no_velocity_error(pose):
    offset = torch.randn(2, 1, 17, 3, generator=generator(), dtype=pose.dtype)
    assert velocity_errors(pose + offset, pose).max() < 1e-12
    assert velocity_errors(pose, pose).shape == (2, 5, 17)


def test_a_steady_drift_is_its_speed(pose):
    drift = torch.arange(6, dtype=pose.dtype)[:, None, None] * pose.new_tensor([0, 0.003, 0.004])
    torch.testing.assert_close(velocity_errors(pose + drift, pose), pose.new_full((2, 5, 17), 0.005))


def test_a_collapsed_prediction_stays_finite(pose):
    nothing = torch.zeros_like(pose).float()
    for aligned in (procrustes(nothing, pose.float()), rescaled(nothing, pose.float())):
        assert aligned.isfinite().all()


def test_depth_on_the_wrong_side_is_what_flipped_bones_span(pose):
    assert wrong_sign_depth(pose, pose) == 0
    assert wrong_sign_depth(0.3 * pose, pose) == 0  # sizes are another metric's matter
    assert wrong_sign_depth(pose * pose.new_tensor([1, 1, -1]), pose) == 1
    assert wrong_sign_depth(pose * pose.new_tensor([-1, -1, 1]), pose) == 0  # nor does the image plane matter
    # One forearm pointing to the other side is its own share of all the depth there is.
    wrist, elbow = H36M_17.indices("LWrist", "LElbow")
    flipped = pose.clone()
    flipped[..., wrist, 2] = 2 * pose[..., elbow, 2] - pose[..., wrist, 2]
    depths = torch.stack([(pose[..., j, 2] - pose[..., p, 2]).abs().sum() for j, p in enumerate(H36M_17.parents) if j])
    share = (pose[..., wrist, 2] - pose[..., elbow, 2]).abs().sum() / depths.sum()
    torch.testing.assert_close(wrong_sign_depth(flipped, pose), share)
