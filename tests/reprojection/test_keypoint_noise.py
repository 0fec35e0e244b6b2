"""How noisy keypoints are: measured on labelled videos, and compared between detectors."""

from dataclasses import replace

import pytest
import torch
from bodies import cameras, generator, poses, video

from common.datasets.video import LabelledVideo
from common.geometry.camera import project
from common.reprojection.keypoint_noise import (
    LARGEST_NOISE_RATIO,
    KeypointNoise,
    detector_error,
    noise_level,
    noise_ratio,
)

# Of two detectors


def still(frames: int, noise: float, seed: int = 0) -> torch.Tensor:
    """(frames, 17, 2) keypoints of a person who stands still, seen by a detector with that noise."""
    keypoints = project(poses(1, 1)[0] + torch.tensor([0, 0, 5.0]), cameras()[0])
    return keypoints + noise * torch.randn(frames, 17, 2, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_the_ratio_is_that_of_the_noises(ratio):
    source = [still(200, 0.001, seed) for seed in (0, 1)]
    target = [still(200, 0.001 * ratio, seed) for seed in (2, 3, 4)]
    assert noise_ratio(source, target) == pytest.approx(ratio, rel=0.06)


def test_the_ratio_is_bounded():
    assert noise_ratio([still(50, 0.001)], [still(50, 0.1)]) == LARGEST_NOISE_RATIO
    assert noise_ratio([still(50, 0.0)], [still(50, 0.001)]) == LARGEST_NOISE_RATIO
    assert noise_ratio([still(50, 0.001)], [still(50, 0.0)]) == 0
    nowhere = torch.zeros(50, 17, 2)
    assert noise_ratio([still(50, 0.001)], [nowhere.double(), still(3, 1.0)]) == 0


def test_noise_is_judged_against_the_persons_size():
    keypoints = still(60, 0.002)
    level = noise_level([keypoints])
    assert level > 0
    assert noise_level([0.7 * keypoints]) == pytest.approx(level)
    drift = torch.arange(60, dtype=torch.float64)[:, None, None] * torch.tensor([0.004, -0.002])
    assert noise_level([keypoints + drift]) == pytest.approx(level)  # steady motion is not noise


# Against labels


@pytest.mark.parametrize("level", [0.0, 0.002, 0.01])
def test_the_noise_of_a_detector_is_recovered(level):
    videos = []
    for seed in range(3):
        clean = video(60, seed, camera=seed)
        error = level * torch.randn(clean.keypoints.shape, generator=generator(seed)) * clean.intrinsics[:2]
        videos.append(replace(clean, keypoints=clean.keypoints + error))
    # The distance of two coordinates, each with that deviation.
    assert detector_error(videos) == pytest.approx(level * 2**0.5, rel=0.03, abs=1e-6)


def test_the_targets_noise_is_the_sources_times_the_ratio():
    def seen(level: float, seed: int) -> LabelledVideo:
        one = video(1, seed)  # motion is no noise
        frames = torch.zeros(200, dtype=torch.long)
        error = level * torch.randn(200, 17, 2, generator=generator(seed)) * one.intrinsics[:2]
        return replace(
            one, keypoints=one.keypoints[frames] + error, pose=one.pose[frames], trajectory=one.trajectory[frames]
        )

    source, target = [seen(0.002, 1)], [seen(0.004, 1).unlabelled()]
    found, own = KeypointNoise.measure(source, target), KeypointNoise.measure(source, source)
    assert found.target == pytest.approx(2 * detector_error(source), rel=0.1)
    assert own.target == pytest.approx(detector_error(source))
    assert own.ratio == 1
    assert found.ratio == noise_ratio([source[0].keypoints], [target[0].keypoints])
    assert found.target == found.ratio * detector_error(source)
