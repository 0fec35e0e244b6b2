"""A detector's file, or folder of files, read once for all who ask what it is."""

import csv
import io
import json
import reprlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.npz import entry_names
from ..errors import InputError
from ..files import LFS, read_text

LONGEST_SHOWN = 60  # letters of what a file holds, in an error


def plain(text: object) -> str:
    """Text as it can stand in one line of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def shown(value: object) -> str:
    """A value of a file as an error shows it: short, in one line."""
    text = plain(reprlib.repr(value))
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def listed(names: list[str], most: int = 6) -> str:
    """The first names of a list, for an error."""
    short = [name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 3]}..." for name in names[:most]]
    return ", ".join(map(plain, short)) + (f" and {len(names) - most} more" if len(names) > most else "")


def numbers(values: object, place: str) -> np.ndarray:
    """A flat list of a JSON file as float64, null as not a number.

    Raises:
        InputError: it is no list, or holds anything but numbers; `place` begins the message.
    """
    if not isinstance(values, list):
        raise InputError(f"{place}: expected a list of numbers, found {shown(values)}")
    if set(map(type, values)) - {int, float, type(None)}:
        odd = next(value for value in values if type(value) not in (int, float, type(None)))
        raise InputError(f"{place}: expected numbers, found {shown(odd)}; write them without quotes, a list a person")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise InputError(f"{place}: expected pixels, found a number of hundreds of digits; make it again") from error


def whole(value: object, place: str, what: str) -> int:
    """A whole number of a JSON file, written as 3 or 3.0. Raises `InputError` for anything else."""
    if (type(value) is int or (type(value) is float and value.is_integer())) and abs(value) < 2**53:
        return int(value)
    raise InputError(f"{place}: expected {what}, a whole number, found {shown(value)}; count from 0")


def image_size(width: object, height: object) -> tuple[int, int] | None:
    """The size of an image where a file says two sensible whole numbers."""
    if not (isinstance(width, int) and isinstance(height, int) and 1 < width < 10**5 and 1 < height < 10**5):
        return None
    return width, height


def frame_rate(value: object) -> float | None:
    """Frames a second where a file says a sensible number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e5:
        return None
    return float(value)


def cell_number(cell: str, place: str) -> float:
    """A number of a csv file; an empty cell is not a number. Raises `InputError` for anything else."""
    if cell.lower() in ("", "nan", "none", "null", "na", "n/a"):
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        raise InputError(f"{place}: expected a number, found {shown(cell)}; export it with decimal points") from error


def _load_json(path: Path) -> Any:
    text = read_text(path, "JSON")
    if not text.strip():
        raise InputError(f"{plain(path)}: expected JSON, found an empty file; run the detector again")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        end = "the file ends too early, copy it again" if error.pos >= len(text.rstrip()) - 1 else "mend or remake it"
        found = f"an error in line {error.lineno}, column {error.colno} ({error.msg})"
        raise InputError(f"{plain(path)}: expected JSON, found {found}; {end}") from error
    except (ValueError, RecursionError) as error:
        found = "lists nested without end" if isinstance(error, RecursionError) else "a number of thousands of digits"
        raise InputError(f"{plain(path)}: expected keypoints in JSON, found {found}; make the file again") from error


class Source:
    """Attributes: path; place: how errors name it; folder: whether it is one."""

    def __init__(self, path: Path):
        self.path, self.place = path, plain(path)
        try:
            self.folder = path.is_dir()
            if not path.exists():
                raise InputError(f"{self.place}: no such file or folder; give what the detector wrote")
            if not (self.folder or path.is_file()):
                raise InputError(f"{self.place}: expected a file or a folder, found a device or a pipe; save it first")
            self._names = sorted(p.name for p in path.iterdir() if p.is_file()) if self.folder else [path.name]
            self.head = b"" if self.folder else self._first_bytes()
        except (OSError, ValueError) as error:  # a name that no file system has, a folder that may not be looked into
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.place}: cannot be read ({plain(reason)})") from error
        if not self.folder and not self.head:
            raise InputError(f"{self.place}: expected keypoints, found an empty file; run the detector again")
        if self.head.startswith(LFS):
            raise InputError(f"{self.place}: a Git LFS pointer, not the file itself; run git lfs pull")

    def _first_bytes(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(256)

    def files(self, suffix: str) -> list[Path]:
        """The files of a folder that end so, by name, without hidden ones; or the one file."""
        if not self.folder:
            return [self.path]
        return [self.path / n for n in self._names if n.lower().endswith(suffix) and not n.startswith(".")]

    @cached_property
    def documents(self) -> list[tuple[str, Any]]:
        """Name and content of every JSON file of a folder, or of the one file; none where it begins otherwise.

        Raises:
            InputError: one of them is empty or damaged.
        """
        if not self.folder and self.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"["):
            return []
        return [(plain(path.name), _load_json(path)) for path in self.files(".json")]

    def forget(self) -> None:
        """Lets go of the documents, which take a gigabyte for an hour; they are read again where they are asked for."""
        self.__dict__.pop("documents", None)

    @property
    def document(self) -> Any:
        """The content of the one JSON file. Raises `InputError` where it is a folder or something else."""
        self.need_file("one JSON file")
        if not self.documents:
            raise InputError(
                f"{self.place}: expected JSON, found a file that begins with {shown(self.head[:16])}; name its format"
            )
        return self.documents[0][1]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The rows of a csv file, cells without spaces round them, blank lines left out. Raises `InputError`."""
        self.need_file("one csv file")
        text = read_text(self.path, "csv")
        mark = max(",;\t", key=text[:4096].count)
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark)]
        except csv.Error as error:
            raise InputError(f"{self.place}: expected csv, found an error ({plain(error)}); export it again") from error
        return [row for row in rows if len(row) > 1 or any(row)]  # a row of empty cells is a frame with nobody

    @cached_property
    def entries(self) -> list[str]:
        """The names of the entries of an npz file, none for any other file. Raises `InputError` where it is damaged."""
        if not self.head.startswith(b"PK"):
            return []
        try:
            return entry_names(self.path)
        except Exception as error:  # zipfile raises many kinds on a damaged file
            raise InputError(f"{self.place}: expected an npz file, found a damaged one; copy it again") from error

    def need_file(self, expected: str) -> None:
        """Raises `InputError` where a folder was given."""
        if self.folder:
            raise InputError(f"{self.place}: expected {expected}, found a folder; give the file in it")

    def need_folder(self, expected: str) -> None:
        """Raises `InputError` where a file was given."""
        if not self.folder:
            raise InputError(f"{self.place}: expected {expected}, found one file; give the folder it lies in")
