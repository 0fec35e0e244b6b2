"""MediaPipe Pose in csv: a row a frame (`L0_x`, `nose_x`, `x0`, ...), or a row a landmark (`Frame,LandmarkID,X,Y`)."""

import re

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import JOINT_ORDERS
from .assemble import About, Person, assemble
from .detections import Detections
from .orders import joint_key
from .reader import Asked, Reader
from .source import Source, cell_number, listed, shown

_ORDER = "blazepose"
_JOINTS = JOINT_ORDERS[_ORDER].joints
_KEYS = {joint_key(joint): number for number, joint in enumerate(_JOINTS)}
_AXES = {"x": 0, "y": 1, "v": 2, "vis": 2, "visibility": 2, "c": 2, "conf": 2, "confidence": 2, "score": 2}
_BEFORE = re.compile(rf"({'|'.join(_AXES)})[ _.-]?(\d{{1,2}})")  # x0
_AFTER = re.compile(rf"(?:[a-z]*[ _.-]?)?(\d{{1,2}})[ _.-]?({'|'.join(_AXES)})")  # l0_x, landmark_0_x, 0_x
_NAMED = re.compile(rf"(.+?)[ _.-]({'|'.join(_AXES)})")  # nose_x
_FRAME = {"frame", "frameid", "framenumber", "frameno", "frameidx", "frameindex", "framenum"}
_LANDMARK = {"landmark", "landmarkid", "landmarkindex", "landmarkidx", "landmarkno", "landmarknumber", "joint", "id"}


def recognises(source: Source) -> bool:
    """A header of both coordinates of many landmarks, or of a frame, a landmark, x and y."""
    if source.folder or not any(mark in source.head for mark in b",;\t") or source.head.lstrip()[:1] in (b"{", b"["):
        return False
    try:
        header = source.rows[0] if source.rows else []
    except InputError:
        return False
    return len(_wide(header)) > 2 * len(_NEEDED) or len(_long(header)) >= 4


_NEEDED = [joint for joint in _JOINTS if joint[1:] in ("Shoulder", "Hip", "Knee")]


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.lower())


def _wide(header: list[str]) -> dict[tuple[int, int], int]:
    """(landmark, 0 for x, 1 for y, 2 for visibility) -> column."""
    numbered: dict[tuple[int, int], int] = {}
    named: dict[tuple[int, int], int] = {}
    for column, cell in enumerate(header):
        low = cell.lower()
        if found := _BEFORE.fullmatch(low):
            numbered.setdefault((int(found[2]), _AXES[found[1]]), column)
        elif found := _AFTER.fullmatch(low):
            numbered.setdefault((int(found[1]), _AXES[found[2]]), column)
        elif (found := _NAMED.fullmatch(low)) and (key := joint_key(found[1])) in _KEYS:
            named.setdefault((_KEYS[key], _AXES[found[2]]), column)
    known = {landmark for landmark, _ in numbered}
    first = 1 if 0 not in known and len(_JOINTS) in known else 0  # counted from 1
    return named or {(joint - first, axis): column for (joint, axis), column in numbered.items()}


def _long(header: list[str]) -> dict[str, int]:
    """frame, landmark, x, y and, where there is one, v -> column; empty where one is lacking."""
    columns: dict[str, int] = {}
    for column, cell in enumerate(map(_plain, header)):
        if cell in _FRAME or cell in _LANDMARK:
            columns.setdefault("frame" if cell in _FRAME else "landmark", column)
        elif cell in _AXES:
            columns.setdefault("xyv"[_AXES[cell]], column)
    return columns if {"frame", "landmark", "x", "y"} <= columns.keys() else {}


def read(source: Source, asked: Asked) -> Detections:
    """Read it: frames from the column of that name, else a row a frame; one person."""
    if len(source.rows) < 2:
        raise InputError(
            f"{source.place}: expected a header and rows of landmarks, found {len(source.rows)} rows; export it again"
        )
    header, *rows = source.rows
    lengths = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
    if lengths:
        found = f"{len(rows[lengths[0] - 2])} in row {lengths[0]}"
        raise InputError(
            f"{source.place}: expected {len(header)} cells a row as in the header, found {found}; export again"
        )
    columns = _long(header)
    people = _landmarks(source, rows, columns) if columns else _frames(source, header, rows)
    return assemble(source, people, asked, About("mediapipe-csv", order=_ORDER, listed=[p.frame for p in people]))


def _frames(source: Source, header: list[str], rows: list[list[str]]) -> list[Person]:
    columns = _wide(header)
    lacking = [joint for j, joint in enumerate(_JOINTS) if not {(j, 0), (j, 1)} <= columns.keys()]
    if lacking or max(joint for joint, _ in columns) >= len(_JOINTS):
        found = f"none for {listed(lacking)}" if lacking else "more landmarks"
        raise InputError(f"{source.place}: expected columns x and y of 33 landmarks, found {found}; export all of them")
    frame_column = next((c for c, cell in enumerate(header) if _plain(cell) in _FRAME), None)
    people = []
    for number, row in enumerate(rows):
        place = f"{source.place}, row {number + 2}"
        values = np.ones((len(_JOINTS), 3))
        for (joint, axis), column in columns.items():
            values[joint, axis] = cell_number(row[column], place)
        people.append(Person(number if frame_column is None else _whole(row[frame_column], place, "a frame"), values))
    if len({person.frame for person in people}) < len(people):
        raise InputError(f"{source.place}: expected one row a frame, found a frame twice; keep people and videos apart")
    return people


def _landmarks(source: Source, rows: list[list[str]], columns: dict[str, int]) -> list[Person]:
    frames: dict[int, np.ndarray] = {}
    done: set[tuple[int, int]] = set()
    axes = [columns[name] for name in "xyv" if name in columns]
    first = _first_landmark(rows, columns["landmark"])
    for number, row in enumerate(rows, 2):
        place = f"{source.place}, row {number}"
        frame, joint = (
            _whole(row[columns["frame"]], place, "a frame"),
            _landmark(row[columns["landmark"]], place) - first,
        )
        if not 0 <= joint < len(_JOINTS) or (frame, joint) in done:
            found = "one twice" if (frame, joint) in done else shown(row[columns["landmark"]])
            raise InputError(
                f"{place}: expected each of {len(_JOINTS)} landmarks once a frame, found {found}; one person a file"
            )
        done.add((frame, joint))
        values = frames.setdefault(frame, np.full((len(_JOINTS), 3), np.nan))
        values[joint] = [*(cell_number(row[column], place) for column in axes), 1.0][:3]
    return [Person(frame, values) for frame, values in frames.items()]


def _first_landmark(rows: list[list[str]], column: int) -> int:
    """1 where landmarks are counted from 1, else 0."""
    cells = {row[column] for row in rows}
    return 1 if str(len(_JOINTS)) in cells and "0" not in cells else 0


def _landmark(cell: str, place: str) -> int:
    key = joint_key(cell)
    return _KEYS[key] if key in _KEYS else _whole(cell, place, "a landmark")


def _whole(cell: str, place: str, what: str) -> int:
    value = cell_number(cell, place)
    if not (0 <= value < 2**53 and value == int(value)):  # not a number is neither
        raise InputError(f"{place}: expected the number of {what}, found {shown(cell)}; export it again")
    return int(value)


READER = Reader("mediapipe-csv", recognises, read)
