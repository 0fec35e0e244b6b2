"""Numbers on their way into text, some poses at a time, so that long motions fit the memory."""

from collections.abc import Iterator

import numpy as np

POSES_AT_ONCE = 4096


def parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """(F, ...) in parts of up to `POSES_AT_ONCE`."""
    for first in range(0, len(values), POSES_AT_ONCE):
        yield values[first : first + POSES_AT_ONCE]


def rows(values: np.ndarray) -> Iterator[list]:
    """The rows of (F, ...) as lists of plain numbers."""
    for part in parts(values):
        yield from part.tolist()
