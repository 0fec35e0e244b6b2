"""DeepLabCut in csv: three rows of headers, four with several individuals, then a row a frame.

Its h5 file is not read: that needs pandas and PyTables, and may run what the file says.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .frames import frame_numbers
from .reader import Asked, Reader
from .source import Source, cell_number, shown

_H5 = b"\x89HDF\r\n\x1a\n"
_AXES = {"x": 0, "y": 1, "likelihood": 2}


def recognises(source: Source) -> bool:
    """A first cell `scorer`, or an HDF5 file."""
    words = source.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:8].lower()
    return source.head.startswith(_H5) or words[:6] == b"scorer" and words[6:7] in (b",", b";", b"\t")


@dataclass
class _Header:
    """start: the first column with numbers. columns: per individual, body part and axis the column; rows: of header."""

    start: int
    columns: dict[str, dict[str, dict[int, int]]]
    rows: int
    several: bool


def read(source: Source, asked: Asked) -> Detections:
    """Read it: joints by the names of the body parts, tracks from the individuals."""
    if source.head.startswith(_H5):
        raise InputError(
            f"{source.place}: expected DeepLabCut's csv, found an h5 file, which is not read (it needs pandas and "
            "PyTables and may run code); analyse with save_as_csv=True or use pandas.read_hdf(file).to_csv(name)"
        )
    rows = source.rows
    header = _header(source, rows)
    body = rows[header.rows :]
    if not body:
        raise InputError(f"{source.place}: expected rows of frames below the header, found none; analyse it again")
    for number, row in enumerate(body, header.rows + 1):
        if len(row) != len(rows[0]):
            place = f"{source.place}, row {number}"
            raise InputError(f"{place}: expected {len(rows[0])} cells, found {len(row)}; copy the file again")
    frames = _labels(source, [row[header.start - 1] for row in body])
    names = list(dict.fromkeys(part for parts in header.columns.values() for part in parts))
    people = []
    for number, (frame, row) in enumerate(zip(frames, body), header.rows + 1):
        for track, parts in enumerate(header.columns.values()):
            values = np.full((len(names), 3), np.nan)
            for joint, name in enumerate(names):
                for axis, column in parts.get(name, {}).items():
                    values[joint, axis] = cell_number(row[column], f"{source.place}, row {number}")
                if len(parts.get(name, {})) == 2:
                    values[joint, 2] = 1
            if np.isfinite(values[:, :2]).any():
                people.append(Person(frame, values, track if header.several else None))
    notes = (f"tracks are individuals: {', '.join(map(shown, list(header.columns)[:9]))}",) if header.several else ()
    return assemble(source, people, asked, About("deeplabcut", names=names, listed=frames, notes=notes))


def _header(source: Source, rows: list[list[str]]) -> _Header:
    titles = {row[0].lower(): row for row in rows[:4] if row}
    parts, axes, individuals = (titles.get(title) for title in ("bodyparts", "coords", "individuals"))
    if "scorer" not in titles or parts is None or axes is None:
        found = ", ".join(map(shown, [row[0] for row in rows[:4]]))
        raise InputError(
            f"{source.place}: expected rows scorer, (individuals,) bodyparts, coords, found {found}; give its own csv"
        )
    count = 3 if individuals is None else 4
    if len({len(row) for row in rows[:count]}) > 1:
        raise InputError(f"{source.place}: expected header rows of one length, found several; copy the file again")
    start = next((column for column, cell in enumerate(axes) if cell.lower() in _AXES), len(axes))
    columns: dict[str, dict[str, dict[int, int]]] = {}
    for column in range(start, len(axes)):
        who = individuals[column] if individuals else ""
        axis = _AXES.get(axes[column].lower())
        held = columns.setdefault(who, {}).setdefault(parts[column], {})
        if axis is None or axis in held:
            what = "one twice" if axis is not None else shown(axes[column])
            place = f"{source.place}, column {column + 1}"
            raise InputError(f"{place}: expected x, y, likelihood a body part, found {what}; export the csv again")
        held[axis] = column
    lacking = [part for held in columns.values() for part, axis in held.items() if not {0, 1} <= axis.keys()]
    if lacking or not columns or start == 0:
        found = f"none for {shown(lacking[0])}" if lacking else "none"
        raise InputError(f"{source.place}: expected columns x and y of every body part, found {found}; export it again")
    return _Header(start, columns, count, individuals is not None)


def _labels(source: Source, labels: list[str]) -> list[int]:
    """The frames of rows, which begin with a number or with the name of an image."""
    if len(set(labels)) < len(labels):
        raise InputError(f"{source.place}: expected one row a frame, found a frame twice; keep videos apart")
    numbers = frame_numbers(labels, source.place)
    return [numbers[label] for label in labels]


READER = Reader("deeplabcut", recognises, read)
