"""The synthetic detector errors have the size, shape and memory that `detector_noise` promises."""

import numpy as np
import pytest

from common.geometry.skeleton import H36M_17
from common.mocap.detector_noise import detector_noise

POSE = np.random.default_rng(7).uniform(200, 800, (17, 2))  # joints far apart, so that no pair is swapped


def errors(clips: int = 20, frames: int = 400, **options) -> np.ndarray:
    """(clips, F, 17, 2) pixels."""
    still = np.repeat(POSE[None], frames, 0)
    return np.stack([detector_noise(still, np.random.default_rng(seed), **options) - still for seed in range(clips)])


@pytest.fixture(scope="module")
def usual() -> np.ndarray:
    return errors()


def of(error: np.ndarray, *joints: str) -> np.ndarray:
    return np.linalg.norm(error[:, :, H36M_17.indices(*joints)], axis=-1)


def test_mean_error_is_what_is_asked_for(usual):
    assert 3.6 < np.linalg.norm(usual, axis=-1).mean() < 4.4
    assert np.linalg.norm(errors(mean_px=8.0), axis=-1).mean() == pytest.approx(
        2 * np.linalg.norm(usual, axis=-1).mean(), rel=1e-4
    )


def test_frame_rate_changes_the_memory_but_not_the_size(usual):
    slow = errors(fps=10.0)
    assert np.linalg.norm(slow, axis=-1).mean() == pytest.approx(np.linalg.norm(usual, axis=-1).mean(), rel=0.1)
    assert lag_one(slow) < lag_one(usual) - 0.1


def test_wrists_and_ankles_are_worst(usual):
    hard, middling, easy = (
        of(usual, *joints).mean()
        for joints in (("LWrist", "RWrist", "LFoot", "RFoot"), ("LKnee", "RKnee", "LElbow", "RElbow"), ("LHip", "RHip"))
    )
    assert hard > 1.2 * middling > 1.2 * easy


def lag_one(error: np.ndarray) -> float:
    moving = error - error.mean(1, keepdims=True)
    return float((moving[:, 1:] * moving[:, :-1]).sum() / (moving**2).sum())


def test_errors_are_correlated_in_time(usual):
    assert lag_one(usual) > 0.5
    far = usual - usual.mean(1, keepdims=True)
    assert abs((far[:, 100:] * far[:, :-100]).sum() / (far**2).sum()) < 0.15


def test_tails_are_heavier_than_a_gaussian(usual):
    moving = usual - usual.mean(1, keepdims=True)
    kurtosis = (moving**4).mean((0, 1, 3)) / (moving**2).mean((0, 1, 3)) ** 2
    assert (kurtosis > 4).all()  # 3 for a gaussian
    size = np.linalg.norm(usual, axis=-1)
    assert np.percentile(size, 99.5) > 5 * np.median(size)


def test_near_pairs_are_swapped_at_times():
    pose = POSE.copy()
    left, right = H36M_17.indices("LFoot", "RFoot")
    pose[right] = pose[left] + [60, 0]
    still = np.repeat(pose[None], 3000, 0)
    found = np.concatenate([detector_noise(still, np.random.default_rng(s), mean_px=0.5) for s in range(10)])
    swapped = np.linalg.norm(found[:, left] - pose[right], axis=-1) < 15
    both = np.linalg.norm(found[:, right] - pose[left], axis=-1) < 15
    assert 0 < (swapped & both).mean() < 0.02


def test_same_generator_same_noise_and_input_untouched():
    still = np.repeat(POSE[None], 30, 0)
    before = still.copy()
    first, second = (detector_noise(still, np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == still.shape
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(still, before)
    assert not np.array_equal(first, detector_noise(still, np.random.default_rng(4)))
