"""A motion as a picture or as a film: .png, .gif, .mp4."""

import importlib.util
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from ..files import atomic_write
from ..geometry.figures import LEFT, MIDDLE, RIGHT
from .picture import GRID, IMAGE, INK, PAPER, SHADOW, SOFT, TRUTH, USUAL_HEIGHT, WARNING, Picture
from .strokes import colour_bytes, pale
from .track import Track

ENDINGS = (".png", ".gif", ".mp4")
STILL = 2  # how much larger a single picture is
FASTEST_GIF = 50  # frames a second; browsers slow down what is faster
LONGEST_DELAY = 65535  # hundredths of a second, that a GIF can say
LEVELS = 12  # of an edge, between two colours
CLEAR = 255  # in a GIF's frame: as in the frame before


def check_av(path: Path) -> None:
    """Raises `InputError` where PyAV, which writes this .mp4 file, is missing."""
    if importlib.util.find_spec("av") is None:
        raise InputError(f"{path}: needs PyAV: pip install av; or name a .gif")


def write_film(
    path: Path,
    tracks: Sequence[Track],
    fps: float,
    title: str,
    about: Sequence[str],
    pixels: np.ndarray | None = None,
    image_size: tuple[int, int] | None = None,
    height: int = USUAL_HEIGHT,
    start: float = 0.0,
) -> None:
    """Draw the tracks beside the keypoints, see `Picture`: the first frame (.png), or all of them (.gif, .mp4).

    One frame is in memory at a time. It plays as fast as what was filmed; a GIF leaves frames out above 50 a second.

    Args:
        tracks, fps, title, about, pixels, image_size: as of `write_page`.
        height: pixels, of which every view is as wide; a single picture is twice as large.
        start: seconds, the time of the first frame.

    Raises:
        InputError: an .mp4 without PyAV.
        ValueError: another ending.
    """
    suffix = path.suffix.lower()
    if suffix not in ENDINGS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}")
    if suffix == ".mp4":
        check_av(path)
    height = max(height // 2 * 2, 2) * (STILL if suffix == ".png" else 1)  # films have even sides
    picture = Picture(tracks, fps, title, about, pixels, image_size, height, start)
    with atomic_write(path) as partial:
        if suffix == ".png":
            from PIL import Image

            Image.fromarray(picture.frame(0)).convert("RGB").save(partial)
        elif suffix == ".gif":
            step = max(1, -int(-fps // FASTEST_GIF))
            with partial.open("wb") as file:
                write_gif(file, map(picture.frame, range(0, picture.frames, step)), fps / step)
        else:
            write_mp4(partial, map(picture.frame, range(picture.frames)), fps)


def write_gif(file: BinaryIO, frames: Iterator[np.ndarray], fps: float) -> None:
    """A GIF (version 89a) without end from frames (height, width, 4), bytes, each written when it comes.

    Of every frame only what has changed is written. Times are whole hundredths of a second, `LONGEST_DELAY` at most,
    and rounded so that they add up.
    """
    from PIL import GifImagePlugin, Image

    colours, nearest = _palette()
    before: np.ndarray | None = None
    for number, frame in enumerate(frames):
        now = frame.view(np.uint32)[..., 0]  # (height, width): a colour as one number
        if before is None:
            before = np.zeros_like(now)  # which no opaque pixel is
            file.write(b"GIF89a" + struct.pack("<HHBBB", now.shape[1], now.shape[0], 0xF7, 0, 0) + colours.tobytes())
            file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
        rows, columns = np.nonzero(now != before)
        if not len(rows):
            rows = columns = np.zeros(1, int)
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        part = np.full((bottom - top, right - left), CLEAR, np.uint8)
        part[rows - top, columns - left] = nearest[_coarse(now[rows, columns])]
        delay = min(round(100 * (number + 1) / fps) - round(100 * number / fps), LONGEST_DELAY)
        for block in GifImagePlugin.getdata(
            Image.fromarray(part), (int(left), int(top)), duration=10 * delay, disposal=1, transparency=CLEAR
        ):
            file.write(block)
        before = now
    file.write(b";")


def _coarse(colours: np.ndarray) -> np.ndarray:
    """Colours as one number of 32 bits (N,), red lowest -> the upper five bits of each part as a number below 2^15."""
    return (colours >> 3 & 0x1F) | (colours >> 6 & 0x3E0) | (colours >> 9 & 0x7C00)


def _palette() -> tuple[np.ndarray, np.ndarray]:
    """The colours (256, 3) of everything drawn and of its edges; for every coarse colour (2^15,) the nearest one."""
    figure = [LEFT, RIGHT, MIDDLE]
    inks = [*figure, *(pale(c, TRUTH) for c in figure), GRID, SHADOW, SOFT, INK]
    pairs = [*((PAPER, ink) for ink in inks), *((IMAGE, ink) for ink in figure), (WARNING, INK)]
    share = np.linspace(0, 1, LEVELS)[:, None]
    found = np.concatenate([
        (1 - share) * colour_bytes(paper)[:3] + share * colour_bytes(ink)[:3] for paper, ink in pairs
    ])  # fmt: skip
    colours = np.unique(found.round().astype(np.uint8), axis=0)
    every = np.arange(1 << 15)
    middles = np.stack([every & 31, every >> 5 & 31, every >> 10], 1) * 8.0 + 4
    wanted = colours.astype(float)
    nearest = (np.square(wanted).sum(1) - 2 * middles @ wanted.T).argmin(1).astype(np.uint8)
    for colour in (PAPER, IMAGE, WARNING, *inks):  # what is drawn in full stays as it is
        exact = colour_bytes(colour)
        nearest[_coarse(exact.view(np.uint32))] = np.flatnonzero((colours == exact[:3]).all(1))[0]
    return np.concatenate([colours, np.zeros((256 - len(colours), 3), np.uint8)]), nearest


def write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    """An MP4 of H.264 from frames (height, width, 4), bytes, each encoded when it comes. Needs PyAV."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"  # what every player knows
                stream.options = {"preset": "veryfast", "crf": "20"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
        if stream is not None:
            container.mux(stream.encode())
