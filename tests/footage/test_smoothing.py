"""The 1 euro filter, both ways: noise goes, motion stays, nothing lags."""

import numpy as np
import pytest

from common.footage.smoothing import one_euro

FPS = 50.0
SECONDS = np.arange(200) / FPS


def moving(hertz: float, metres: float) -> np.ndarray:
    """(F, 1, 3) a joint that swings along every axis."""
    return np.repeat(metres * np.sin(2 * np.pi * hertz * SECONDS)[:, None, None], 3, -1)


def jitter(paths: np.ndarray) -> float:
    return np.abs(paths[2:] - 2 * paths[1:-1] + paths[:-2]).mean()


def test_noise_about_a_resting_joint_goes():
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 17, 3))
    found = one_euro(noise, FPS)
    assert np.abs(found).mean() < 0.6 * np.abs(noise).mean() and jitter(found) < 0.25 * jitter(noise)


@pytest.mark.parametrize(("hertz", "metres"), [(0.5, 0.3), (1.0, 0.3), (2.0, 0.15)])
def test_motion_stays(hertz, metres):
    """A slow and a fast swing, of a walker's arm: nine tenths of it and no lag."""
    path = moving(hertz, metres)
    found = one_euro(path, FPS)[20:-20, 0, 0]
    true = path[20:-20, 0, 0]
    size = found @ true / (true @ true)
    assert 0.9 < size < 1.02 and np.abs(found - size * true).max() < 0.05 * metres
    lags = [np.sum(found[5:-5] * np.roll(true, lag)[5:-5]) for lag in range(-3, 4)]
    assert np.argmax(lags) == 3


def test_what_does_not_move_is_unchanged_and_time_may_run_backwards():
    still = np.full((30, 17, 3), 0.7)
    np.testing.assert_allclose(one_euro(still, FPS), still, atol=1e-12)
    path = moving(1.3, 0.2) + np.random.default_rng(1).normal(0, 0.01, (200, 1, 3))
    np.testing.assert_allclose(one_euro(path[::-1], FPS)[::-1], one_euro(path, FPS), atol=1e-12)
    np.testing.assert_array_equal(one_euro(path[:1], FPS), path[:1])
