"""Npz files that hold pickled objects, read without trusting them and written so that equal input gives equal bytes."""

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import InputError
from ..files import LFS, atomic_write
from .unpickler import Refused, Unpickler, resolve


def _one_line(error: Exception) -> str:
    """The text of an error as it can be shown: what a forged file makes it say must not reach the terminal raw."""
    text = str(error) or type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in text)[:400]


@contextmanager
def _open_entry(path: Path, key: str) -> Iterator[IO[bytes] | None]:
    """The bytes of an npz entry, None when the file has no such entry; damage becomes an `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS))
        if start == LFS:
            raise InputError(f"{path}: a Git LFS pointer, not the file itself; run git lfs pull")
        if not start.startswith(b"PK"):
            raise InputError(
                f"{path}: expected an npz file (a zip archive), found a file that begins with {start[:16]!r}; "
                "download it again or export it with numpy.savez_compressed"
            )
        with zipfile.ZipFile(path) as archive:
            if f"{key}.npy" not in archive.namelist():
                yield None
            else:
                with archive.open(f"{key}.npy") as stream:
                    yield stream
    except InputError:
        raise
    except Refused as error:
        raise InputError(f"{path}: its entry {key!r} {_one_line(error)}") from None
    except Exception as error:  # a damaged or forged file can raise anything on its way through zipfile and pickle
        raise InputError(
            f"{path}: its entry {key!r} cannot be read, the file is truncated or damaged ({_one_line(error)}); "
            "download or make it again"
        ) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"npy format {version} is not known")
    shape, _, dtype = readers[version](stream)
    return shape, dtype


def entry_names(path: Path) -> list[str]:
    """The names of the entries of an npz file."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_object(path: Path, key: str) -> Any:
    """Read an entry that holds one pickled object, such as a dict of dicts of arrays, running nothing the file says.

    Files of numpy 1, numpy 2 and Python 2 are understood. Subclasses of dict come back as dict, 1-d object arrays of
    arrays or containers as list; numbers in the machine's byte order.

    Raises:
        InputError: no such file or entry, not an npz file, truncated, not one object, numbers stored as Python
            objects, or the pickle names anything but numpy arrays and plain containers.
    """
    with _open_entry(path, key) as stream:
        if stream is None:
            raise InputError(
                f"{path}: expected an entry {key!r}, found {', '.join(map(repr, entry_names(path))) or 'none'}"
            )
        shape, dtype = _header(stream)
        if not dtype.hasobject or shape != ():
            raise InputError(
                f"{path}: entry {key!r} is an array of {dtype} of shape {shape}, expected one pickled object "
                "(numpy.savez_compressed given a dict)"
            )
        return resolve(Unpickler(stream, encoding="latin1").load(), key, {})


def read_plain(path: Path, key: str) -> np.ndarray | None:
    """Read an entry of numbers or text, None when the file has no such entry. Raises `InputError` as `read_object`."""
    with _open_entry(path, key) as stream:
        return None if stream is None else np.lib.format.read_array(stream, allow_pickle=False)


def read_text(path: Path, key: str) -> str | None:
    """Read an entry that holds one string, None when the file has no such entry. Raises `InputError` otherwise."""
    value = read_plain(path, key)
    if value is None:
        return None
    if value.shape != () or value.dtype.kind != "U":
        raise InputError(f"{path}: entry {key!r} is an array of {value.dtype} of shape {value.shape}, expected text")
    return str(value)


def _canonical(value: Any) -> Any:
    """A copy whose pickle depends on values alone: pickle writes a shared object and two equal ones differently."""
    if isinstance(value, dict):
        return {_canonical(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an object array inside a dict would not be read back; use a list")
        array = np.empty(value.shape, np.dtype(value.dtype.newbyteorder("=").str))  # numpy's own dtype object
        array[...] = value
        return array
    return sys.intern(str(value)) if isinstance(value, str) else value


def write_npz(path: Path, **entries: Any) -> None:
    """Write a compressed npz file, all of it or nothing; equal input gives equal bytes.

    Arrays, text and numbers become plain entries; dicts and lists become 0-d object arrays (tuples inside them
    become lists), to be read with `read_object`.
    """
    arrays = {}
    for key, value in entries.items():
        if isinstance(value, (dict, list)):
            arrays[key] = np.empty((), dtype=object)
            arrays[key][()] = _canonical(value)
        else:
            arrays[key] = np.asarray(_canonical(value))
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_label(path: Path, unlabelled: str) -> tuple[str, bool]:
    """A file's `provenance` entry, `unlabelled` where it has none, and whether its `synthetic` entry says yes."""
    provenance, synthetic = read_text(path, "provenance"), read_plain(path, "synthetic")
    if synthetic is not None and (synthetic.shape != () or synthetic.dtype != bool):
        raise InputError(f"{path}: entry 'synthetic' is an array of {synthetic.dtype}, expected one bool")
    return unlabelled if provenance is None else " ".join(provenance.split()), bool(synthetic)


def describe(value: Any) -> str:
    """What a value is, for an error message."""
    return f"an array of {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
