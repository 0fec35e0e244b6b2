"""A motion as a TRC file of markers, for OpenSim and Pose2Sim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..files import atomic_write
from .labels import MARKERS
from .rows import rows

if TYPE_CHECKING:
    from .poses import Poses


def write_trc(poses: Poses, path: Path) -> None:
    """Write the joints as markers: metres (the header's `Units`), y up as OpenSim has it, a row per pose.

    The names are those of the COCO and Halpe marker sets of OpenSim's models, see `labels.MARKERS`. Laid out as
    Pose2Sim does it: each name over three columns with tabs to the end, and no empty line before the data. A TRC has
    no place for anything else, such as the axes.

    Raises:
        OSError: the file cannot be written.
    """
    count, rate = len(poses.frames), f"{poses.fps:.10g}"
    first = int(poses.frames[0])
    facts = [rate, rate, count, len(MARKERS), "m", rate, first, count]
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for line in (
            ["PathFileType", "4", "(X/Y/Z)", path.name],
            "DataRate CameraRate NumFrames NumMarkers Units OrigDataRate OrigDataStartFrame OrigNumFrames".split(),
            map(str, facts),
            ["Frame#", "Time", *(cell for name in MARKERS for cell in (name, "", "")), ""],
            ["", "", *(f"{axis}{number}" for number in range(1, len(MARKERS) + 1) for axis in "XYZ"), ""],
        ):
            file.write("\t".join(line) + "\n")
        values = rows(poses.joints.reshape(count, -1))
        for frame, second, row in zip(poses.frames.tolist(), poses.seconds.tolist(), values):
            file.write("\t".join([str(frame), f"{second:.6f}", *(f"{value:.6f}" for value in row)]) + "\n")
