"""A motion as a table in CSV, for spreadsheets and statistics."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import atomic_write
from ..geometry.skeleton import H36M_17
from .rows import rows

if TYPE_CHECKING:
    from .poses import Poses


def write_table(poses: Poses, path: Path) -> None:
    """Write a row of names and a row per pose: frame, seconds, the joints' x, y and z, their expected errors if known.

    The names say the unit, `Hip x (m)`. Comma and decimal point, UTF-8. Metres to six decimals, in the axes of `Poses`.

    Raises:
        OSError: the file cannot be written.
    """
    names = ["frame", "seconds", *(f"{joint} {axis} (m)" for joint in H36M_17.joints for axis in "xyz")]
    columns = poses.joints.reshape(len(poses.joints), -1)
    if poses.expected_error is not None:
        names += [f"{joint} expected error (m)" for joint in H36M_17.joints]
        columns = np.concatenate([columns, poses.expected_error], 1)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for frame, second, row in zip(poses.frames.tolist(), poses.seconds.tolist(), rows(columns)):
            writer.writerow([frame, f"{second:.6f}", *(f"{value:.6f}" for value in row)])
