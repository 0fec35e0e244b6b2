"""From a video to a file of 2D keypoints beside it, so that the detector runs once."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..keypoints.source import plain
from .choosing import choose, start, version
from .decoding import Recording, is_video, open_recording
from .detector import Find
from .saving import read_info, same_video, video_info, write

_OFTEN = 0.2  # seconds between two looks of the line of progress


def keypoints_of(path: Path, detector: str | None = None, again: bool = False, out: Path | None = None) -> Path:
    """The file with the keypoints of a video, found now or before; a file that is no video as it is.

    They are saved beside the video, or in `out` where that folder cannot be written, and are found anew where the video
    has changed, another detector is asked for or `again` is set.

    Args:
        path: a video, or what a detector wrote. detector: a key of `DETECTORS`; None takes what was saved, else the
            first one that is installed.

    Raises:
        InputError: the video cannot be read, PyAV or a detector is missing, nobody was found, there is no place to save
            them to, or a detector is asked for and `path` is no video.
    """
    place = plain(path)
    if not is_video(path):
        if path.exists() and (detector or again):
            flag = "--detector" if detector else "--detect-again"
            found = "a folder" if path.is_dir() else "a file of another kind"
            raise InputError(f"{place}: {flag} is for videos, found {found}; leave it out")
        return path
    name = f"{path.stem}_keypoints.json"
    folders = [path.parent, *([out] if out else [])]
    for saved in (folder / name for folder in folders if (folder / name).exists()):
        info = read_info(saved)
        if info is None:
            found = "a file that was not made from a video here"
            raise InputError(f"{plain(saved)}: expected saved keypoints of {place}, found {found}; lift it, or move it")
        stale = _stale(info, path, detector, again)
        if not stale:
            words = f"keypoints that {_who(info)} found before, read from {saved}; --detect-again finds them anew"
            print(plain(f"{place}: {words}"))
            _tell(info)
            return saved
        print(plain(f"{saved}: {stale}; the detector runs again"))
    recording = open_recording(path)
    chosen = choose(detector, place)
    target = _writable(folders, place) / name
    find = start(chosen, place)
    begin = time.monotonic()
    info = video_info(path, chosen, version(chosen), recording.fps, recording.notes)
    try:
        inhabited, decoded = write(target, info, chosen.order, _found(recording, find, place))
    except OSError as error:
        raise InputError(f"{plain(target)}: cannot be written ({error.strerror or error}); make room") from error
    seconds = time.monotonic() - begin
    counts = f"people in {inhabited} of {decoded} pictures ({seconds:.1f} s)"
    print(plain(f"{place}: {_who(info)} found {counts}, saved to {target}"))
    if lost := recording.expected - decoded:
        print(
            plain(f"{lost} of {recording.expected} pictures of the file could not be decoded; their frames are empty")
        )
    _tell(info)
    return target


def _stale(info: dict, video: Path, detector: str | None, again: bool) -> str:
    """Why saved keypoints are not used, empty where they are."""
    if again:
        return "set aside as asked"
    if info.get("video") != video.name:
        return f"made from {info.get('video')}"
    if not same_video(info, video):
        return f"{video.name} has changed since it was made"
    if detector is not None and info.get("detector") != detector:
        return f"made by {info.get('detector')}"
    return ""


def _who(info: dict) -> str:
    return f"{info.get('detector')} {info.get('version')}".strip()


def _tell(info: dict) -> None:
    for note in info.get("notes") or ():
        print(plain(note))


def _writable(folders: list[Path], place: str) -> Path:
    """The first folder that a file can be written to."""
    reason = ""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reason = f"{folder} cannot be written ({error.strerror})"
    raise InputError(f"{place}: its keypoints need a place, {plain(reason)}; give another folder with -o")


def _found(recording: Recording, find: Find, place: str) -> Iterator[tuple[int, tuple[int, int], list[np.ndarray]]]:
    """Frame, size and people of every picture, with one line of progress where somebody can see it."""
    shows, begin, next_look, width = sys.stderr.isatty(), time.monotonic(), 0.0, 0
    try:
        for done, (number, picture) in enumerate(recording.frames(), 1):
            yield number, (picture.shape[1], picture.shape[0]), find(picture)
            now = time.monotonic()
            if shows and now >= next_look:
                rate = done / (now - begin)
                left = max(recording.pictures - done, 0) / rate
                line = f"{place}: {done} of {recording.pictures} pictures, {rate:.1f} a second, {left:.0f} s to go"
                sys.stderr.write(f"\r{line:{width}}")
                sys.stderr.flush()
                width, next_look = len(line), now + _OFTEN
    finally:
        if width:
            sys.stderr.write(f"\r{'':{width}}\r")
