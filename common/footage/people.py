"""Who is who: a detector's people linked from frame to frame, so that one person can be followed."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

LONGEST_GAP = 1.0  # seconds for which a person may be out of sight and still be the same
NEAR = 0.25  # of the person's box, sides summed: mean way of the joints between two detections of the same person
FASTER = 0.02  # the same, more for every frame between them


@dataclass(frozen=True)
class Person:
    """One person's detections.

    Attributes:
        name: the file's id, or a number in order of length.
        rows: which of the detections are theirs, (n,), in the order of the frames, one a frame at most.
    """

    name: str
    rows: np.ndarray


def find_people(
    frame: np.ndarray, pixels: np.ndarray, confidence: np.ndarray, track: np.ndarray | None, fps: float
) -> list[Person]:
    """The people in a video, the one of whom most is seen first: the confidences' sum.

    By the file's own ids where it has any; else every detection goes on with the person whose joints are nearest, one
    to one, as long as they are near enough (Hungarian method).

    Args:
        frame: (N,) ascending. pixels: (N, K, 2). confidence: (N, K), 0 where not seen. track: (N,) ids, or None.
        fps: by which `LONGEST_GAP` becomes frames.
    """
    if track is None:
        track = _linked(frame, pixels, confidence, max(1, round(LONGEST_GAP * fps)))
        named = False
    else:
        track, named = track.copy(), True
    shown = confidence.sum(1)
    groups = []
    for identity in np.unique(track):
        rows = np.flatnonzero(track == identity)
        # The same id twice in a frame: the detection that shows more.
        order = rows[np.lexsort((-shown[rows], frame[rows]))]
        groups.append((int(identity), order[np.unique(frame[order], return_index=True)[1]]))
    groups.sort(key=lambda group: -shown[group[1]].sum())
    return [Person(str(identity) if named else str(i), rows) for i, (identity, rows) in enumerate(groups)]


def _linked(frame: np.ndarray, pixels: np.ndarray, confidence: np.ndarray, longest: int) -> np.ndarray:
    """(N,) a number per person."""
    found = np.full(len(frame), -1)
    last: dict[int, int] = {}  # person -> their latest detection
    starts = np.flatnonzero(np.r_[True, frame[1:] != frame[:-1]]) if len(frame) else np.zeros(0, int)
    for begin, end in zip(starts, [*starts[1:], len(frame)]):
        now = frame[begin]
        last = {person: row for person, row in last.items() if now - frame[row] <= longest}
        people, rows = list(last), np.arange(begin, end)
        if people:
            before = np.array([last[person] for person in people])
            far = _distances(pixels, confidence, before, rows)
            limit = NEAR + FASTER * (now - frame[before] - 1)
            far = np.where(far <= limit[:, None], far, 1e3)
            for i, j in zip(*linear_sum_assignment(far)):
                if far[i, j] < 1e3:
                    found[rows[j]] = people[i]
        for row in rows:
            if found[row] < 0:
                found[row] = found.max() + 1
            last[int(found[row])] = int(row)
    return found


def _distances(pixels: np.ndarray, confidence: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(B, A) mean distance of the joints seen in both, over the larger box; 1000 where they share none."""
    one, other = pixels[before][:, None], pixels[after][None]
    both = (confidence[before][:, None] > 0) & (confidence[after][None] > 0)
    size = np.maximum(
        _boxes(pixels[before], confidence[before])[:, None], _boxes(pixels[after], confidence[after])[None]
    )
    way = (np.linalg.norm(one - other, axis=-1) * both).sum(-1) / np.maximum(both.sum(-1), 1)
    return np.where(both.any(-1), way / size, 1e3)


def _boxes(pixels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """(n, K, 2) -> (n,) width and height, summed, pixels, of the joints that were seen; at least 1."""
    seen = (confidence > 0)[..., None]
    sides = np.where(seen, pixels, -np.inf).max(1) - np.where(seen, pixels, np.inf).min(1)
    return np.where(seen[..., 0].any(1), sides.sum(-1), 1.0).clip(min=1.0)
