"""A motion as a C3D file of points, for biomechanics software. Needs the package ezc3d."""

from __future__ import annotations

import errno
import importlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..files import atomic_write
from ..units import MILLIMETRES
from .labels import MARKERS

if TYPE_CHECKING:
    from .poses import Poses

LAST_FRAME = 65535  # the header counts frames in 16 bits
POINT_BYTES = 16  # of a frame: x, y, z and residual, float32
TEXT = 120  # letters that one line of a parameter takes


def _lines(value: str | float | list) -> list[str]:
    """A value of `about` as lines of ASCII, the only letters that every reader of C3D takes."""
    items = value if isinstance(value, list) else [value]
    texts = [str(item).encode("ascii", "backslashreplace").decode() for item in items]
    return [text[start : start + TEXT] for text in texts for start in range(0, len(text), TEXT)] or [""]


def write_c3d(poses: Poses, path: Path) -> None:
    """Write the joints as points with a TRC file's names: millimetres, float32, x right, y away from the camera, z up.

    The parameters say so (POINT:UNITS, X_SCREEN, Y_SCREEN). The group ABOUT has what `about` says, and as FIRST_FRAME
    the number that the first frame has in the video; here it is frame 1. Residuals are 0, which in C3D marks a point
    that was computed; expected errors are left out, as readers do not agree on the byte that holds a residual.

    Raises:
        InputError: ezc3d is missing, or the motion is longer than C3D can say.
        OSError: the file cannot be written.
    """
    try:
        ezc3d = importlib.import_module("ezc3d")
    except ImportError as error:
        raise InputError(f"{path}: a C3D file needs the package ezc3d, which is missing; pip install ezc3d") from error
    count = len(poses.frames)
    if count > LAST_FRAME:
        raise InputError(
            f"{path}: a C3D file takes up to {LAST_FRAME} frames, found {count}; cut the motion, or use .trc"
        )
    x, y, z = MILLIMETRES * poses.joints.transpose(2, 1, 0)  # (17, F) each
    points = np.stack([x, -z, y, np.ones_like(x)])
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    c3d["parameters"]["POINT"]["RATE"]["value"] = [poses.fps]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = MARKERS
    c3d.add_parameter("POINT", "X_SCREEN", ["+X"])
    c3d.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    c3d.add_parameter("ABOUT", "FIRST_FRAME", [int(poses.frames[0])])
    for name, value in poses.about.items():
        c3d.add_parameter("ABOUT", re.sub(r"\W", "_", name.upper(), flags=re.ASCII), _lines(value))
    c3d["data"]["points"] = points
    with atomic_write(path) as partial:
        partial.touch()  # ezc3d's own error would not say why
        c3d.write(str(partial))
        _check_whole(partial, points.shape[1] * count)


def _check_whole(path: Path, points: int) -> None:
    """Raises OSError where data are missing: ezc3d does not notice a full disk."""
    with path.open("rb") as file:
        head = file.read(18)
    data = 512 * (int.from_bytes(head[16:], "little") - 1)  # the header says in which block, from 1 on, they begin
    if len(head) < 18 or path.stat().st_size < data + POINT_BYTES * points:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
