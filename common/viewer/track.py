"""What is looked at: one motion of a person."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..geometry.skeleton import H36M_17

JOINTS = len(H36M_17.joints)


@dataclass(frozen=True, eq=False)
class Track:
    """One motion of the person: a lifter's result, or the truth.

    Args:
        name: as it is called beside it.
        joints: (F, 17, 3) metres, Human3.6M-17, x right, y up, z towards the viewer; NaN where there is none.
        expected_error: (F, 17) metres; NaN where it is not known. error_name: what it is.
        hypotheses: (F, H, 17, 3) as `joints`.
        truth: drawn as a pale band behind the others.
        reprojected: (F, 17, 2) pixels; NaN where there is none.
    """

    name: str
    joints: np.ndarray
    expected_error: np.ndarray | None = None
    hypotheses: np.ndarray | None = None
    truth: bool = False
    reprojected: np.ndarray | None = None
    error_name: str = "expected error"

    def every(self, step: int) -> "Track":
        """The same with one frame in so many."""
        arrays: dict[str, Any] = {
            name: value[::step] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)


def invented(about: Sequence[str]) -> list[str]:
    """The lines that say that something is not real: they are shown where nobody overlooks them."""
    return [line for line in about if re.search("synthetic|invented", line, re.IGNORECASE)]


def plain(text: str) -> str:
    """Text on one line: control characters, line ends and those that turn the direction of writing become spaces."""
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    kept = "\u200c\u200d"  # join and part letters in Persian and in Indian scripts
    return "".join(" " if unicodedata.category(c) in unseen and c not in kept else c for c in text).strip()
