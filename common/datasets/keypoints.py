"""2D keypoints as files have them: with or without confidence, with joints a detector missed.

A missed joint is (0, 0), (-1, -1), not a number, or has confidence 0. Networks want a number everywhere, so it is given
one: between the frames around the gap, on a straight line; at the ends of a video, that of the nearest frame. Short
gaps are good for use. In long ones the joint's confidence is 0, so that it counts nowhere.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .npz import describe

LONGEST_FILLED = 0.2  # seconds; a joint moves by a straight line for so long, more or less
FILLED_CONFIDENCE = 0.5  # of a joint that stands between two frames, of the lower of theirs
LARGEST_PIXELS = 1e6  # beyond it a coordinate is no place in an image


@dataclass(frozen=True)
class Keypoints:
    """A video's keypoints, ready for use.

    Attributes:
        pixels: (F, J, 2) float64, finite everywhere.
        confidence: (F, J) float64 from 0 to 1; None where no file says it and no joint is missing.
        missing: how many joints, over all frames, were not seen. filled: how many of them in gaps that were filled.
        total: how many joints there are over all frames.
    """

    pixels: np.ndarray
    confidence: np.ndarray | None
    missing: int = 0
    filled: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """Of the joints, how many were missing."""
        return self.missing / self.total

    def note(self) -> str:
        """What was missing, for the user; empty where nothing was."""
        if not self.missing:
            return ""
        return f"{self.share:.1%} of the joints missing, {self.filled / self.missing:.0%} of these filled in"


def seen_joints(values: np.ndarray) -> np.ndarray:
    """Which joints a detector saw, (..., J, 2) or with a confidence (..., J, 3) -> (..., J) bool; see above."""
    pixels = values[..., :2]
    seen = np.isfinite(pixels).all(-1) & ~((pixels == 0).all(-1) | (pixels == -1).all(-1))
    return seen & (np.nan_to_num(values[..., 2]) > 0) if values.shape[-1] == 3 else seen


def filled_keypoints(values: object, joints: int, fps: float, where: str) -> Keypoints:
    """Check an array of keypoints and fill its gaps.

    Args:
        values: numbers (F, J, 2) pixels, or (F, J, 3) with a confidence; (F, 1, J, 2 or 3) likewise.
        fps: frames a second, by which `LONGEST_FILLED` becomes frames. where: named in errors.

    Raises:
        InputError: no such array, or no joint is seen in any frame.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected numbers of shape (frames, {joints}, 2 or 3), found {describe(values)}")
    array = values[:, 0] if values.ndim == 4 and values.shape[1] == 1 else values
    if array.ndim != 3 or array.shape[1] != joints or array.shape[2] not in (2, 3) or len(array) == 0:
        raise InputError(f"{where}: expected numbers of shape (frames, {joints}, 2 or 3), found {describe(values)}")
    pixels = array[..., :2].astype(np.float64)
    confidence = array[..., 2].astype(np.float64) if array.shape[2] == 3 else None
    plain, sees_all = array[..., :2], confidence is None or bool(confidence.min() > 0)
    bounded = np.abs((plain.min(), plain.max())).max() <= LARGEST_PIXELS  # NaN is not
    if sees_all and bounded and not (plain == 0).any() and not (plain == -1).any():  # as nearly always
        return Keypoints(pixels, None if confidence is None else confidence.clip(0, 1))
    seen = seen_joints(array)
    absurd = seen & (np.abs(pixels) > LARGEST_PIXELS).any(-1)
    if absurd.any():
        frame, joint = np.argwhere(absurd)[0]
        raise InputError(
            f"{where}: {int(np.any(absurd, axis=1).sum())} of {len(pixels)} frames hold a coordinate beyond "
            f"{LARGEST_PIXELS:g} pixels, the first is frame {frame}, joint {joint}; leave out these frames or mark the "
            "joints as missing"
        )
    if seen.all():
        return Keypoints(pixels, None if confidence is None else confidence.clip(0, 1))
    if not seen.any():
        raise InputError(f"{where}: no joint is seen in any of {len(pixels)} frames; leave out this video")
    sure = np.where(seen, 1.0 if confidence is None else np.nan_to_num(confidence).clip(0, 1), 0.0)
    longest = max(1, round(LONGEST_FILLED * fps))
    filled = sum(_fill(pixels[:, j], sure[:, j], seen[:, j], longest) for j in range(joints))
    never = ~seen.any(0)
    if never.any():  # where the rest of the person is
        weights = sure[:, ~never, None] + 1e-6  # (F, J, 1)
        pixels[:, never] = (weights * pixels[:, ~never]).sum(1, keepdims=True) / weights.sum(1, keepdims=True)
    return Keypoints(pixels, sure, int((~seen).sum()), filled, seen.size)


def _fill(path: np.ndarray, sure: np.ndarray, seen: np.ndarray, longest: int) -> int:
    """Fill the gaps of one joint, in place.

    Args:
        path: (F, 2). sure: (F,), becomes `FILLED_CONFIDENCE` of its neighbours' in gaps of up to `longest` frames.
        seen: (F,) bool.

    Returns:
        How many frames such gaps had.
    """
    known = np.flatnonzero(seen)
    if len(known) in (0, len(path)):
        return 0
    gaps = np.flatnonzero(~seen)
    for axis in range(2):
        path[gaps, axis] = np.interp(gaps, known, path[known, axis])
    after = np.searchsorted(known, gaps)
    inside = (after > 0) & (after < len(known))
    low, high = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
    short = inside & (high - low - 1 <= longest)
    sure[gaps[short]] = FILLED_CONFIDENCE * np.minimum(sure[low[short]], sure[high[short]])
    return int(short.sum())
