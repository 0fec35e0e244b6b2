"""A motion as an npz file, for numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.npz import write_npz as write_arrays
from ..geometry.skeleton import H36M_17
from .labels import AXES, UNITS

if TYPE_CHECKING:
    from .poses import Poses


def write_npz(poses: Poses, path: Path) -> None:
    """Write arrays that `numpy.load` reads without pickle.

    `positions` (F, 17, 3) float64, `joints` (17,) their names, `parents` (17,) the number of each one's parent or -1,
    `fps`, `frames` (F,), `seconds` (F,), `units`, `axes`, `to_camera` (4, 4); `intrinsics` (9,) fx fy cx cy k1 k2 k3 p1
    p2 in pixels, `size` width and height, and `camera` its name; `expected_error` and `confidence` (F, 17), `pixels`
    (F, 17, 2); `about` as JSON text. What is not known is left out.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, object] = {
        "positions": poses.joints,
        "joints": np.array(H36M_17.joints),
        "parents": np.array(H36M_17.parents),
        "fps": poses.fps,
        "frames": poses.frames,
        "seconds": poses.seconds,
        "units": UNITS,
        "axes": AXES,
        "to_camera": poses.to_camera,
        "about": json.dumps(poses.about, ensure_ascii=False),
    }
    if poses.camera is not None:
        arrays["intrinsics"] = np.array(poses.camera.intrinsics)
        arrays["size"] = np.array([poses.camera.width, poses.camera.height])
        arrays["camera"] = poses.camera.name
    known = {"expected_error": poses.expected_error, "confidence": poses.confidence, "pixels": poses.pixels}
    arrays |= {name: values for name, values in known.items() if values is not None}
    write_arrays(path, **arrays)
