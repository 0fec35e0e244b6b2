"""What detectors make of people: where they put joints, how far off they are, and gaps filled as the loaders do."""

import numpy as np
import torch
from bodies import generator
from invented import upright

from common.datasets.keypoints import filled_keypoints
from common.geometry.skeleton import H36M_17
from common.openmodel import detectors


def test_joints_lie_where_a_family_puts_them():
    pose = upright(60, 3, swing=0.1)
    family = torch.arange(60) % 3
    moved = detectors.detector_joints(pose, family, generator(0))
    torch.testing.assert_close(moved[family == detectors.EXACT], pose[family == detectors.EXACT])
    others = moved[family != detectors.EXACT]
    name = dict(zip(H36M_17.joints, others.unbind(-2)))
    torch.testing.assert_close(name["Hip"], (name["LHip"] + name["RHip"]) / 2)
    torch.testing.assert_close(name["Thorax"], (name["LShoulder"] + name["RShoulder"]) / 2)
    torch.testing.assert_close(name["Spine"], (name["Hip"] + name["Thorax"]) / 2)
    head, nose = H36M_17.indices("Head", "Neck/Nose")
    eyes, top = (moved[family == kind][..., head, :] for kind in (detectors.EYES, detectors.HEAD_TOP))
    was = pose[..., head, :]
    lower = was[family == detectors.EYES] - eyes
    assert (lower[..., 2] > 0.03).all() and lower.norm(dim=-1).mean() > 0.1
    assert (was[family == detectors.HEAD_TOP] - top).norm(dim=-1).max() < 0.1
    ahead = (moved - pose)[family != detectors.EXACT][..., nose, :] @ torch.tensor([0.0, -1.0, 0.0])
    assert ahead.mean() > 0.03  # they face -y


def test_noise_has_the_size_and_the_zeros_it_should():
    points = upright(400, 9)[..., [0, 2]]
    family = torch.zeros(400, dtype=torch.long)
    error = (detectors.add_noise(points, family, generator(1)) - points).norm(dim=-1) / detectors.box_sides(points)[
        ..., 0
    ]
    clean = error.amax((1, 2)) == 0
    assert 0.1 < clean.float().mean() < 0.3
    assert 0.5 * detectors.NOISE < error[~clean].median() < 3 * detectors.NOISE
    wrist, hip = H36M_17.indices("LWrist", "LHip")
    assert error[:, :, wrist].mean() > 1.5 * error[:, :, hip].mean()


def test_means_of_joints_carry_their_errors():
    points = upright(20, 4)[..., [0, 2]]
    noisy = detectors.add_noise(points, torch.ones(20, dtype=torch.long), generator(2))
    hip, left, right = H36M_17.indices("Hip", "LHip", "RHip")
    torch.testing.assert_close(noisy[..., hip, :], (noisy[..., left, :] + noisy[..., right, :]) / 2)


def test_swaps_exchange_partners_and_nothing_else():
    points = upright(500, 9)[..., [0, 2]]
    swapped = detectors.swap_sides(points, generator(3))
    same = (swapped == points).all(-1)
    partner = (swapped == points[:, :, H36M_17.mirrored]).all(-1)
    assert (same | partner).all()
    assert 0.04 < (~same).any(2).any(1).float().mean() < 0.15


def test_gaps_are_filled_as_the_loaders_fill_them():
    points = upright(40, 9)[..., [0, 2]] * 100 + 500
    seen = detectors.seen_joints(points, generator(4), True, True)
    seen[:20] &= torch.rand(20, 9, 17, generator=generator(5)) > 0.5
    filled = detectors.fill_gaps(points, seen)
    assert not seen.all() and not seen.any(1).all()
    assert (filled == points)[seen].all()
    ever = seen.any(1, keepdim=True).expand_as(seen)
    for clip, known, found, counts in zip(points.double().numpy(), seen.numpy(), filled, ever):
        files = filled_keypoints(np.concatenate([clip, known[..., None]], -1), 17, 5.0, "a test")
        torch.testing.assert_close(found[counts], torch.from_numpy(files.pixels).float()[counts], atol=1e-2, rtol=0)
    lost = ~ever
    middle = (filled * ever[..., None]).sum(2, keepdim=True) / ever.sum(2)[..., None, None]
    torch.testing.assert_close(filled[lost], middle.expand_as(filled)[lost], atol=1e-2, rtol=0)
