"""Synthetic keypoints with the errors of a 2D pose detector."""

import numpy as np

from ..geometry.skeleton import H36M_17

CORRELATION_SECONDS = 0.15
TAIL = 4  # degrees of freedom of the Student t distribution whose square root the error bursts follow
JUMPS_PER_SECOND = 0.03  # per joint
JUMP_SECONDS = (0.04, 0.2)
JUMP_SIZE = (3.0, 9.0)  # times the joint's own scale
SWAPS_PER_SECOND = 0.03  # a left and right limb taken for each other

# Error of a joint relative to the others. Small, fast and often hidden joints are the hardest.
DIFFICULTY = {
    "Hip": 0.6, "RHip": 0.8, "LHip": 0.8, "RKnee": 1.05, "LKnee": 1.05, "RFoot": 1.4, "LFoot": 1.4,
    "Spine": 0.7, "Thorax": 0.6, "Neck/Nose": 0.65, "Head": 0.7, "LShoulder": 0.85, "RShoulder": 0.85,
    "LElbow": 1.25, "RElbow": 1.25, "LWrist": 1.75, "RWrist": 1.75,
}  # fmt: skip
EXPECTED_LENGTH = 1.83  # mean length of an error before it is scaled, measured over many clips
SWAPPED_PAIRS = (("LWrist", "RWrist"), ("LElbow", "RElbow"), ("LFoot", "RFoot"), ("LKnee", "RKnee"))


def detector_noise(
    keypoints: np.ndarray, rng: np.random.Generator, mean_px: float = 4.0, fps: float = 50.0
) -> np.ndarray:
    """Add errors like a detector's: correlated in time, heavy tailed, largest at wrists and ankles.

    A first-order autoregression per joint is multiplied by a slowly changing size (together about Student t), and a
    joint now and then jumps away for some frames. All that is scaled so that the mean over the clip is near `mean_px`.
    Rare left/right swaps come on top; they are drawn to the partner joint's place, so their size follows the pose.

    Args:
        keypoints: (F, 17, 2) Human3.6M-17 joints, pixels.
        mean_px: mean Euclidean error, pixels, swaps left out.
        fps: frames a second.

    Returns:
        (F, 17, 2) float32, pixels.
    """
    frames, joints = keypoints.shape[:2]
    scale = np.array([DIFFICULTY[joint] for joint in H36M_17.joints])
    steady = _autoregression(rng.normal(size=(frames, joints, 2)), rng, CORRELATION_SECONDS * fps)
    # The t distribution is a normal one divided by the root of a mean of TAIL squared normals; slow ones here.
    slow = _autoregression(rng.normal(size=(frames, joints, TAIL)), rng, 3 * CORRELATION_SECONDS * fps)
    error = steady / np.sqrt((slow**2).mean(-1, keepdims=True).clip(0.05))
    bias = 0.6 * rng.normal(size=(1, joints, 2))  # a detector's idea of a joint is off by a constant for a person
    error = (error + bias + _jumps(rng, frames, joints, fps)) * scale[:, None]
    # The expected length over many clips, not this clip's own: clips differ in difficulty.
    noisy = keypoints + error * mean_px / EXPECTED_LENGTH
    _swap(noisy, rng, fps)
    return noisy.astype(np.float32)


def _autoregression(innovations: np.ndarray, rng: np.random.Generator, frames: float) -> np.ndarray:
    """Unit-variance noise (F, ...) that forgets itself with a time constant of `frames`."""
    keep = np.exp(-1 / frames)
    out = innovations * np.sqrt(1 - keep**2)
    out[0] = innovations[0]
    for i in range(1, len(out)):
        out[i] += keep * out[i - 1]
    return out


def _jumps(rng: np.random.Generator, frames: int, joints: int, fps: float) -> np.ndarray:
    """Sudden constant offsets (F, joints, 2) of a few frames, zero elsewhere."""
    offsets = np.zeros((frames, joints, 2))
    for _ in range(rng.poisson(JUMPS_PER_SECOND * joints * frames / fps)):
        start, joint, angle = rng.integers(frames), rng.integers(joints), rng.uniform(0, 2 * np.pi)
        length = max(1, round(rng.uniform(*JUMP_SECONDS) * fps))
        offsets[start : start + length, joint] += rng.uniform(*JUMP_SIZE) * np.array([np.cos(angle), np.sin(angle)])
    return offsets


def _swap(keypoints: np.ndarray, rng: np.random.Generator, fps: float) -> None:
    """Exchange a left and a right joint for some frames, in place, where they lie near each other in the image."""
    size = np.ptp(keypoints, axis=1).max(-1)  # (F,)
    for _ in range(rng.poisson(SWAPS_PER_SECOND * len(keypoints) / fps)):
        pair = H36M_17.indices(*SWAPPED_PAIRS[rng.integers(len(SWAPPED_PAIRS))])
        start = rng.integers(len(keypoints))
        span = slice(start, start + max(1, round(rng.uniform(*JUMP_SECONDS) * fps)))
        distance = np.linalg.norm(keypoints[span, pair[0]] - keypoints[span, pair[1]], axis=-1)
        if (distance < 0.15 * size[span]).all():
            keypoints[span, pair] = keypoints[span, pair[::-1]]
