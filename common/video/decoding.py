"""The pictures of a video file, upright, one at a time, each with its place in an even row of frames. Needs PyAV."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.matlab import need
from ..errors import InputError
from ..keypoints.source import plain

ENDINGS = (
    ".mp4 .mov .m4v .avi .mkv .webm .mpg .mpeg .mts .m2ts .ts .3gp .wmv .flv .ogv .mxf .gif .m4a .mp3 .wav".split()
)  # sound is among them to be refused as what it is
_BEGINNINGS = (b"\x1a\x45\xdf\xa3", b"OggS", b"FLV", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75", b"GIF8")
_ROUGH = 0.25  # of a frame; pictures farther from their places come unevenly
_MOST_EMPTY = 20  # places a picture; more of them are times that jump


def is_video(path: Path) -> bool:
    """Whether a file calls itself a video, by its ending or its first bytes; it may still be none that can be read."""
    if not path.is_file():
        return False
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_BEGINNINGS) or head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:11] == b"AVI")


@dataclass(frozen=True)
class Recording:
    """A video file that was looked through once without decoding it.

    Attributes:
        path: the file.
        times: (N,) ascending seconds at which pictures are shown; empty where the file says none.
        pictures: how many the file holds.
        aspect: width of a pixel by its height.
        fps: frames a second of the even row that they are put in; None where the file does not say.
        notes: plain lines for the user.
    """

    path: Path
    times: np.ndarray
    pictures: int
    aspect: float
    fps: float | None
    notes: tuple[str, ...]

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Decode it: the frame's number, ascending, and the picture (H, W, 3) uint8 RGB, all of the first one's size.

        A picture is turned and mirrored as the file asks for, and its pixels are made square. One that cannot be
        decoded is left out, as is one that falls on the frame of the one before.

        Raises:
            InputError: PyAV is missing, or no picture can be decoded.
        """
        size, last = None, -1
        for frame in _decoded(self.path):
            if frame.pts is None or self.fps is None or not len(self.times):
                number = last + 1
            else:
                number = round((float(frame.pts * frame.time_base) - self.times[0]) * self.fps)
            if number <= last:
                continue
            size = size or (round(frame.width * self.aspect), frame.height)
            picture = frame.to_ndarray(width=size[0], height=size[1], format="rgb24")
            last = number
            yield number, upright(picture, _display_matrix(frame))
        if last < 0:
            raise InputError(f"{plain(self.path)}: expected a video, found none of its pictures decodable; {_COPY}")


_COPY = "copy it again, or convert it with ffmpeg"


def open_recording(path: Path) -> Recording:
    """Look through a video.

    Raises:
        InputError: PyAV is missing; it is no video, has no picture, was cut short, or its times jump.
    """
    place = plain(path)
    with _opened(path) as (container, stream):
        stamps, count, whole = array("q"), 0, True
        try:
            for packet in container.demux(stream):
                count += packet.size > 0
                if packet.size and packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
        except need("av", path).error.FFmpegError:
            whole = False
        expected, length = stream.frames, _length(stream.metadata.get("DURATION", ""))
        unit, guess = float(stream.time_base or 0), float(stream.guessed_rate or 0)
        aspect = float(stream.sample_aspect_ratio or 1)
    if count == 0:
        raise InputError(f"{place}: expected a video, found one without a single picture; record or copy it again")
    times = np.unique(np.frombuffer(stamps, dtype=np.int64)) * unit  # ascending seconds
    end = times[-1] if len(times) else np.inf
    if not whole or count < expected or end < length * 0.98 - 0.1:
        found = f"{count} of {expected} pictures" if expected > count else f"the first {end:.1f} s of {length:.1f}"
        mend = "copy it again, or keep what is there with ffmpeg -i FILE -c copy NEW"
        raise InputError(f"{place}: expected a whole video, found one cut short, {found}; {mend}")
    if len(times) < count * 0.5 or len(times) < 2:
        fps = guess or None
        note = f"the file does not say when its pictures are shown; taken to be {guess:.5g} a second" if guess else ""
        return Recording(path, np.empty(0), count, aspect, fps, (note,) if note and count > 1 else ())
    fps = even_rate(times, guess)
    places = np.rint((times - times[0]) * fps)
    if places[-1] > _MOST_EMPTY * len(places):
        found = f"times that jump by {np.diff(times).max():.0f} s"
        raise InputError(f"{place}: expected pictures one after the other, found {found}; convert it with ffmpeg")
    return Recording(path, times, count, aspect, fps, _unevenness(times, places, fps))


def even_rate(times: np.ndarray, guess: float = 0.0) -> float:
    """Frames a second of the row of frames that the pictures of a video stand in, some of which may be missing.

    Every step is taken for the whole number of frames nearest to it in steps of the median, so that a picture left out
    now and then, and times in rounded milliseconds, change nothing.

    Args:
        times: (N > 1,) ascending seconds. guess: what the file says, taken where it fits to 0.2 %.
    """
    steps = np.diff(times)
    counts = np.maximum(np.rint(steps / np.median(steps)), 1)
    rate = float(counts.sum() / steps.sum())
    return guess if abs(guess - rate) < 0.002 * rate else rate


def _unevenness(times: np.ndarray, places: np.ndarray, fps: float) -> tuple[str, ...]:
    """A note where pictures do not come evenly."""
    taken = len(np.unique(places))
    empty, over = int(places[-1]) + 1 - taken, len(places) - taken
    if not (empty or over or np.abs((times - times[0]) * fps - places).max() > _ROUGH):
        return ()
    steps = np.diff(times)
    found = f"pictures come unevenly, {1 / steps.max():.3g} to {1 / steps.min():.3g} a second; put at {fps:.4g}"
    what = [f"{empty} of {int(places[-1]) + 1} frames without one"] if empty else []
    what += [f"{over} left out"] if over else []
    return (", ".join([found, *what]),)


def upright(picture: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn and mirror a picture as its file asks for, to the nearest quarter turn.

    Args:
        picture: (H, W, 3). matrix: (3, 3) of MP4's track header, by which (column, row, 1) is multiplied from the
            left; None changes nothing.

    Returns:
        (H, W, 3) or (W, H, 3), contiguous.
    """
    if matrix is None:
        return picture
    (a, b), (c, d) = matrix[:2, :2].tolist()  # column' = a column + c row, row' = b column + d row
    if abs(a) + abs(d) < abs(b) + abs(c):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: Any) -> np.ndarray | None:
    side = frame.side_data.get("DISPLAYMATRIX")
    return None if side is None else np.frombuffer(bytes(side), dtype=np.int32).reshape(3, 3)


def _length(text: str) -> float:
    """Seconds of Matroska's `00:00:02.000000000`, 0 for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of moving pictures. Raises `InputError`."""
    av, place = need("av", path), plain(path)
    if not hasattr(av.stream, "Disposition"):
        raise InputError(f"{place}: reading it needs av 15 or newer, found {av.__version__}; pip install -U av")
    try:
        container = av.open(f"file:{path}")
    except (av.error.FFmpegError, OSError) as error:
        reason = plain(error.strerror or error)
        raise InputError(
            f"{place}: expected a video, found what FFmpeg cannot open ({reason}); cut short? {_COPY}"
        ) from error
    with container:
        covers = av.stream.Disposition.attached_pic
        moving = [stream for stream in container.streams.video if not stream.disposition & covers]
        if not moving:
            found = "sound only" if container.streams.audio else "none in it"
            raise InputError(f"{place}: expected a video, found {found}; give the file with the pictures")
        yield container, moving[0]


def _decoded(path: Path) -> Iterator[Any]:
    """The frames of a video as PyAV gives them; packets that cannot be decoded are passed over."""
    failing = need("av", path).error.FFmpegError
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except failing:
                continue
