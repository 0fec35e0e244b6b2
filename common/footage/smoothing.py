"""Paths of joints made smooth over time."""

import math

import numpy as np

SLOWEST_CUTOFF = 3.0  # Hz, of a joint at rest
SPEED_FACTOR = 6.0  # Hz more for every metre a second
SPEED_CUTOFF = 1.0  # Hz, of the speed itself


def one_euro(
    paths: np.ndarray, fps: float, slowest: float = SLOWEST_CUTOFF, factor: float = SPEED_FACTOR
) -> np.ndarray:
    """The 1 euro filter (Casiez, Roussel and Vogel, CHI 2012), which smooths less where there is motion.

    It runs forwards and backwards, and the mean of both is taken, so that nothing lags behind.

    Args:
        paths: (F, J, 3) metres. fps: frames a second. slowest: Hz. factor: Hz for every metre a second.
    """
    return (_one_way(paths, fps, slowest, factor) + _one_way(paths[::-1], fps, slowest, factor)[::-1]) / 2


def _one_way(paths: np.ndarray, fps: float, slowest: float, factor: float) -> np.ndarray:
    found = np.empty_like(paths)
    found[0] = last = paths[0]
    speed = np.zeros_like(last)
    of_speed = _weight(SPEED_CUTOFF, fps)
    for frame in range(1, len(paths)):
        speed = speed + of_speed * ((paths[frame] - paths[frame - 1]) * fps - speed)
        cutoff = slowest + factor * np.linalg.norm(speed, axis=-1, keepdims=True)
        found[frame] = last = last + _weight(cutoff, fps) * (paths[frame] - last)
    return found


def _weight(cutoff, fps):
    """Of the new value in an exponential average, for a cutoff in Hz."""
    return 1 / (1 + fps / (2 * math.pi * cutoff))
