"""YOLO-pose (Ultralytics `save_txt`): a folder with a text file a frame, a line a person, all from 0 to 1."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_text
from .assemble import About, Person, assemble
from .detections import Detections
from .frames import frame_numbers
from .reader import Asked, Reader
from .source import Source, plain, shown

_BOX = 5  # class, centre and size of the box
_PLAIN, _SURE = _BOX + 2 * 17, _BOX + 3 * 17  # columns without and with a confidence a joint
_EXPECTED = f"{_SURE} columns ({_SURE + 1} with a track, {_PLAIN} without confidence)"


def recognises(source: Source) -> bool:
    """A text file whose first line has so many numbers."""
    try:
        for path in source.files(".txt"):
            if source.folder or source.path.suffix.lower() == ".txt":
                lines = read_text(path, "text").splitlines()
                if lines and _columns(lines[0]):
                    return True
    except InputError:
        pass
    return False


def _columns(line: str) -> int:
    """How many numbers a line has, 0 where YOLO would write another number of them, or words."""
    words = line.split()
    try:
        [float(word) for word in words]
    except ValueError:
        return 0
    return len(words) if any(kind <= len(words) <= kind + 2 for kind in (_PLAIN, _SURE)) else 0


def read(source: Source, asked: Asked) -> Detections:
    """Read it: frames from the numbers in the files' names, tracks from the last column where it is whole."""
    source.need_folder("YOLO's folder of labels, a text file a frame")
    texts = {path.name: read_text(path, "YOLO's text") for path in source.files(".txt")}
    texts = {name: text for name, text in texts.items() if not text.strip() or _is_label(name)}
    if not texts:
        raise InputError(
            f"{source.place}: expected YOLO's text files, a frame each, found none; give the folder labels"
        )
    frames = frame_numbers(list(texts), source.place)
    rows, owners, places = [], [], []
    for name, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                places.append(f"{source.place}/{plain(name)}, line {number}")
                rows.append(_row(line, places[-1]))
                owners.append(frames[name])
    widths = {len(row): place for row, place in zip(rows, places)}
    if len(widths) > 1:
        found = " and ".join(map(str, sorted(widths)))
        raise InputError(f"{source.place}: expected as many columns in every line, found {found}; keep runs apart")
    width = next(iter(widths), _SURE)
    end = _SURE if width >= _SURE else _PLAIN
    values = [row[_BOX:end].reshape(17, -1) for row in rows]
    tracks = _tracks(np.array(rows)[:, -1]) if width > end else [None] * len(rows)
    people = [Person(*one) for one in zip(owners, values, tracks)]
    about = About("yolo", order="coco", listed=frames.values(), labelled=width == _SURE, normalised=True)
    return assemble(source, people, asked, about)


def _is_label(name: str) -> bool:
    return Path(name).stem.lower() not in ("classes", "readme", "requirements")


def _row(line: str, place: str) -> np.ndarray:
    try:
        row = np.array([float(word) for word in line.split()])
    except ValueError as error:
        odd = next(word for word in line.split() if not _is_number(word))
        raise InputError(f"{place}: expected numbers, found {shown(odd)}; keep other text files elsewhere") from error
    if not _columns(line):
        raise InputError(f"{place}: expected {_EXPECTED}, found {len(row)}; use a pose model of 17 joints")
    return row


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _tracks(column: np.ndarray) -> list[int | None]:
    """The last column is a track where it is whole, else a confidence of the box."""
    whole = np.isfinite(column).all() and (column == np.floor(column)).all() and (np.abs(column) < 2**53).all()
    return [int(value) for value in column] if whole else [None] * len(column)


READER = Reader("yolo", recognises, read)
