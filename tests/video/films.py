"""Small video files made by PyAV, and a detector that reads from a picture where its square is."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.geometry.skeleton import BLAZEPOSE_33, H36M_17, joint_sources
from common.video.detector import Detector

av: Any = pytest.importorskip("av")

SIZE = 160, 120  # width, height
STEP = 4  # pixels to the right that the square moves from picture to picture
MILLISECOND = Fraction(1, 1000)


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: black, a white square of 16 x 16 that moves, its left upper corner at (8 + STEP number, 40)."""
    made = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    left = 8 + STEP * number
    made[40:56, left : left + 16] = 255
    return made


def film(
    path: Path, count: int = 24, milliseconds: Sequence[int] | None = None, codec: str = "libx264", **stream: Any
) -> Path:
    """A video of `picture`s, 30 a second or at the given times; `stream` are attributes of the codec's context, and
    `rotation` in degrees, `container` options of the file.
    """
    rotation, container = stream.pop("rotation", None), stream.pop("container", {})
    with av.open(str(path), "w", options=container) as file:
        made = file.add_stream(codec, rate=30)
        made.width, made.height, made.pix_fmt = *SIZE, "yuv420p"
        for name, value in stream.items():
            setattr(made.codec_context, name, value)
        if milliseconds is not None:
            made.codec_context.time_base = MILLISECOND
        if rotation is not None:
            if not hasattr(made, "set_display_rotation"):
                pytest.skip("this PyAV cannot write a rotation")
            made.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            if milliseconds is None:
                frame.pts = number
            else:
                frame.pts, frame.time_base = milliseconds[number], MILLISECOND
            for packet in made.encode(frame):
                file.mux(packet)
        for packet in made.encode():
            file.mux(packet)
    return path


def cut(path: Path, share: float, new: Path) -> Path:
    """The first part of a file."""
    content = path.read_bytes()
    new.write_bytes(content[: int(len(content) * share)])
    return new


def corner(shown: np.ndarray) -> tuple[int, int]:
    """Left and upper edge of the square."""
    rows, columns = np.nonzero(shown.mean(-1) > 128)
    return int(columns.min()), int(rows.min())


class Finder:
    """A detector without a network: a standing person, as large as the square and its shadow, and where asked a second
    one who stands below the first.

    Attributes:
        pictures: how many it was shown. starts: how often it was started.
    """

    def __init__(self, body: np.ndarray, people: int = 1):
        self.body, self.people, self.pictures, self.starts = body, people, 0, 0

    def start(self):
        self.starts += 1
        return self.find

    def find(self, shown: np.ndarray) -> list[np.ndarray]:
        self.pictures += 1
        if shown.max() < 128:
            return []
        return [self.person(*corner(shown), below) for below in range(self.people)]

    def person(self, left: int, top: int, below: int = 0) -> np.ndarray:
        """(33, 3)"""
        return np.concatenate([self.body + [left, top + 60 * below], np.full((len(self.body), 1), 0.875)], 1)

    def detector(self, name: str = "fake", module: str = "json") -> Detector:
        return Detector(name, module, f"{name}-package", "blazepose", self.start)


def standing() -> np.ndarray:
    """(33, 2) pixels: BlazePose's joints of a person about 50 pixels tall."""
    joints = dict(zip(H36M_17.joints, np.array([
        (8, 30), (5, 30), (5, 40), (5, 50), (11, 30), (11, 40), (11, 50), (8, 20), (8, 10), (8, 5), (8, 1),
        (13, 11), (15, 19), (15, 27), (3, 11), (1, 19), (1, 27),
    ], dtype=float)))  # fmt: skip
    body = np.tile(joints["Neck/Nose"], (len(BLAZEPOSE_33.joints), 1))
    for joint, theirs in zip(H36M_17.joints, joint_sources(BLAZEPOSE_33, H36M_17)):
        if len(theirs) == 1:
            body[theirs[0]] = joints[joint]
    body[BLAZEPOSE_33.indices("LEye", "REye")] = joints["Head"] + [[1, 1], [-1, 1]]
    return body
