"""A motion as a JSON document, for programs that have no numpy and for the web."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import atomic_write
from ..geometry.skeleton import H36M_17
from .labels import AXES, UNITS
from .rows import parts

if TYPE_CHECKING:
    from .poses import Poses


def _lists(values: np.ndarray, digits: int) -> Iterator[str]:
    """JSON of nested lists in pieces, null in the place of NaN, which JSON has not."""
    yield "["
    for number, part in enumerate(parts(values)):
        rounded = np.round(part.astype(float), digits)
        lists = np.where(np.isnan(rounded), None, rounded).tolist()  # type: ignore[call-overload]
        yield (", " if number else "") + json.dumps(lists, allow_nan=False)[1:-1]
    yield "]"


def write_document(poses: Poses, path: Path) -> None:
    """Write one object: `about`, `units`, `axes`, `fps`, `joints` (names), `parents` (a number each, -1 for the root),
    `camera` (null where unknown; else `name`, `width`, `height`, `intrinsics` fx fy cx cy k1 k2 k3 p1 p2 in pixels),
    `to_camera` (4 rows), `frames`, `seconds`, `positions` [pose][joint][x, y, z], and as far as they are known
    `expected_error` and `confidence` [pose][joint] and `pixels` [pose][joint][x, y], null where missing.

    Metres have six decimals, pixels three. A key a line.

    Raises:
        OSError: the file cannot be written.
    """
    camera = poses.camera
    document = {
        "about": poses.about,
        "units": UNITS,
        "axes": AXES,
        "fps": poses.fps,
        "joints": H36M_17.joints,
        "parents": H36M_17.parents,
        "camera": camera
        and {
            "name": camera.name,
            "width": camera.width,
            "height": camera.height,
            "intrinsics": camera.intrinsics,
        },
        "to_camera": poses.to_camera.tolist(),
        "frames": poses.frames.tolist(),
    }
    known = {
        "seconds": (poses.seconds, 6),
        "positions": (poses.joints, 6),
        "expected_error": (poses.expected_error, 6),
        "confidence": (poses.confidence, 4),
        "pixels": (poses.pixels, 3),
    }
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        mark = "{"
        for name, value in document.items():
            file.write(f'{mark}\n"{name}": {json.dumps(value, ensure_ascii=False, allow_nan=False)}')
            mark = ","
        for name, (values, digits) in known.items():
            if values is not None:
                file.write(f'{mark}\n"{name}": ')
                file.writelines(_lists(values, digits))
        file.write("\n}\n")
