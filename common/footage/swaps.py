"""Left and right exchanged by a detector: found over time, for whole bodies, and exchanged back.

A detector that sees a person from the back or in poor light may call every left joint right, for one frame or a second,
with full confidence. A body cannot turn round between two frames, so the exchange shows as a jump of all paired joints.
Limbs exchanged by themselves are left alone: mending them one by one does more harm than good.
"""

import numpy as np

from ..geometry.skeleton import H36M_17

FARTHEST = 0.3  # of the person's box, sides summed: a joint that moves more between two frames counts as this
SWITCH = 0.02  # the same measure, per joint: what an exchange must explain, so that noise in profile views is none
CUT = 0.12  # the same, per joint, in the better of both states: no body moves so far, this is another scene
_PAIRED = H36M_17.left_indices + H36M_17.right_indices


def mirrored_labels(values: np.ndarray) -> np.ndarray:
    """(..., 17, D) with left and right exchanged; nothing moves in the image."""
    return values[..., H36M_17.mirrored, :]


def find_swaps(pixels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The frames in which the detector exchanged the person's left and right.

    Two states a frame, exchanged or not; the path along which the paired joints travel least, plus a price for every
    change of state (Viterbi). Which state is the right one is the majority's word.

    Args:
        pixels: (F, 17, 2), frames in the order of the video, at its own rate. confidence: (F, 17), 0 where not seen.

    Returns:
        (F,) bool.
    """
    ways = np.stack([pixels, mirrored_labels(pixels)], 1)[..., _PAIRED, :]  # (F, 2, joints, 2)
    seen = np.stack([confidence, confidence[:, H36M_17.mirrored]], 1)[..., _PAIRED] > 0
    moved = np.linalg.norm(ways[1:, None] - ways[:-1, :, None], axis=-1) / _box(pixels, confidence)
    both = seen[1:, None] & seen[:-1, :, None]  # (F - 1, before, now, joints)
    steps = (np.minimum(moved, FARTHEST) * both).sum(-1) / np.maximum(both.sum(-1), 1)  # (F - 1, before, now)
    steps = np.where(steps.min((1, 2), keepdims=True) > CUT, 0, steps) + SWITCH * (1 - np.eye(2))
    here, there, came_from = 0.0, 0.0, []  # what the cheapest path to either state costs, and from where it comes
    for (stay, leave), (enter, remain) in steps.tolist():
        came_from.append((here + stay > there + enter, here + leave >= there + remain))
        here, there = min(here + stay, there + enter), min(here + leave, there + remain)
    state = [there < here]
    for origin in reversed(came_from):
        state.append(origin[state[-1]])
    found = np.array(state[::-1])
    return found != (found.mean() > 0.5)


def repair_swaps(pixels: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The keypoints and confidences with the exchanges of `find_swaps` undone, and these, (F,) bool."""
    swapped = find_swaps(pixels, confidence)
    mended = np.where(swapped[:, None, None], mirrored_labels(pixels), pixels)
    return mended, np.where(swapped[:, None], confidence[:, H36M_17.mirrored], confidence), swapped


def _box(pixels: np.ndarray, confidence: np.ndarray) -> float:
    """The median over frames of the person's width and height, summed, pixels, of the joints that were seen."""
    seen = (confidence > 0)[..., None]
    high = np.where(seen, pixels, -np.inf).max(1) - np.where(seen, pixels, np.inf).min(1)
    sizes = high.sum(-1)[seen[..., 0].sum(1) > 1]
    return max(float(np.median(sizes)), 1.0) if len(sizes) else 1.0
