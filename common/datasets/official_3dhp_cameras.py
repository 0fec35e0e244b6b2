"""`camera.calibration`, the text beside every training recording of MPI-INF-3DHP (Mehta et al., 3DV 2017)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .matlab import AGAIN

LARGEST_SKEW = 1.0  # pixels; the projection has no place for it
_CALIBRATION = "Skeletool Camera Calibration File"
# Line of camera.calibration -> how many values follow at the least.
_LINES = {"sensor": 2, "size": 2, "animated": 1, "intrinsic": 16, "extrinsic": 16, "radial": 1}


def read_calibration(path: Path) -> dict[str, dict[str, Any]]:
    """Read a `camera.calibration` text.

    `annot2` is a projection without lens distortion, so the distortion is zero whatever the file's `radial` flag says,
    which no numbers follow.

    Returns:
        camera id -> name, width, height (pixels), intrinsics: fx fy cx cy k1 k2 k3 p1 p2, pixels.

    Raises:
        InputError: not such a file, or a camera in it is not complete.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines or not " ".join(lines[0]).startswith(_CALIBRATION):
        found = repr(" ".join(lines[0])[:40]) if lines else "an empty file"
        raise InputError(f"{path}: expected a text that begins with {_CALIBRATION!r}, found {found}; {AGAIN}")
    blocks: dict[str, dict[str, list[str]]] = {}
    block: dict[str, list[str]] = {}
    for word, *values in lines[1:]:
        if word == "name":
            block = blocks.setdefault(values[0] if values else "", {})
        else:
            block[word] = values
    if not blocks:
        raise InputError(f"{path}: no camera in it, expected 14; {AGAIN}")
    return {name: _camera(name, block, f"{path}: camera {name}") for name, block in blocks.items()}


def _camera(name: str, block: Mapping[str, list[str]], where: str) -> dict[str, Any]:
    short = [line for line, count in _LINES.items() if len(block.get(line, ())) < count]
    if short:
        raise InputError(f"{where}: {', '.join(short)} missing or cut short; {AGAIN}")
    try:
        width, height = (int(float(value)) for value in block["size"][:2])
        matrix = np.array(block["intrinsic"][:16], dtype=np.float64).reshape(4, 4)
    except (ValueError, OverflowError):
        raise InputError(f"{where}: size or intrinsic is no numbers; {AGAIN}") from None
    fx, fy, cx, cy, skew = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2), (0, 1)))
    if not np.isfinite(matrix).all() or min(fx, fy, width, height) <= 0 or abs(skew) > LARGEST_SKEW:
        raise InputError(
            f"{where}: expected a size and focal lengths above zero and no skew, found {width} x {height}, fx {fx:g}, "
            f"fy {fy:g}, skew {skew:g}; {AGAIN}"
        )
    return {"name": name, "width": width, "height": height, "intrinsics": [fx, fy, cx, cy, 0.0, 0.0, 0.0, 0.0, 0.0]}
