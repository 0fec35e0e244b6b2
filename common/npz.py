"""Npz files that hold pickled objects, read without trusting them and written so that equal input gives equal bytes.

The data sets of this field are pickled object arrays from download links. A pickle is a programme: it names functions
and calls them. Here it can only name the few stand-ins below, which build arrays and containers and nothing else, so
that not even numpy's own constructors see what the file says.
"""

import hashlib
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from common.errors import InputError

_DTYPE_CODE = re.compile(r"[?]|b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SU]\d{1,6}|O[48]?")
_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_PENDING = object()


class _Refused(Exception):
    """The pickle is whole but is not what this project reads; the text follows the name of the file and entry."""


class _Call:
    """A function that a pickle may call but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("the pickle sets the state of a function")


class _Dtype:
    """Stands in for `numpy.dtype`: a plain number, string or object type."""

    def __init__(self, code: str, *flags: Any) -> None:
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise pickle.UnpicklingError(f"arrays of type {code!r} are not read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, subarray, names, fields = state[:5]
        if (subarray, names, fields) != (None, None, None):
            raise pickle.UnpicklingError("structured arrays are not read")
        if byte_order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(byte_order)


class _Array:
    """Stands in for a `numpy.ndarray` while the pickle is read."""

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, stand_in, fortran, self.data = state
        self.dtype, self.order = stand_in.dtype, "F" if fortran else "C"

    def numbers(self) -> np.ndarray:
        """The array, in the machine's byte order. Not for arrays of objects."""
        raw = _bytes(self.data)
        array = np.frombuffer(raw, self.dtype) if raw else np.empty(0, self.dtype)
        return array.reshape(self.shape, order=self.order).astype(self.dtype.newbyteorder("="), order="C")


def _bytes(data: Any) -> bytes:
    """Array data; pickles of Python 2 hold it as a string."""
    if isinstance(data, bytes):
        return data
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes are written as {encoding!r}, expected latin1")
    return text.encode("latin1")


def _scalar(stand_in: _Dtype, data: Any) -> np.generic:
    if stand_in.dtype.hasobject:
        raise pickle.UnpicklingError("a numpy scalar holds an object")
    return np.frombuffer(_bytes(data), stand_in.dtype, count=1)[0]


def _frombuffer(data: Any, stand_in: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, stand_in, order == "F", data))
    return array


def _not_callable(*args: Any) -> None:
    raise pickle.UnpicklingError("numpy.ndarray is called directly")


_NUMERIC_MODULES = ("numpy.core", "numpy._core")  # numpy 1 and numpy 2
_BUILTIN_MODULES = ("builtins", "__builtin__")  # Python 3 and Python 2
_ALLOWED: dict[tuple[str, str], _Call] = {
    ("numpy", "ndarray"): _Call(_not_callable),
    ("numpy", "dtype"): _Call(_Dtype),
    ("_codecs", "encode"): _Call(_encode),
    ("collections", "OrderedDict"): _Call(lambda items=(): dict(items)),
    ("collections", "defaultdict"): _Call(lambda factory=None: {}),
    **{(m, "bytes"): _Call(lambda: b"") for m in _BUILTIN_MODULES},  # how old protocols write empty bytes
    **{(f"{m}.multiarray", "_reconstruct"): _Call(lambda *args: _Array()) for m in _NUMERIC_MODULES},
    **{(f"{m}.multiarray", "scalar"): _Call(_scalar) for m in _NUMERIC_MODULES},
    **{(f"{m}.numeric", "_frombuffer"): _Call(_frombuffer) for m in _NUMERIC_MODULES},
    **{(m, kind.__name__): _Call(kind) for m in _BUILTIN_MODULES for kind in (dict, list, tuple, set, frozenset)},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Call:
        if (module, name) not in _ALLOWED:
            raise _Refused(
                f"wants to run {module}.{name}, which is not a numpy array or a plain container; nothing was run; "
                "do not trust this file, get it again from the data set's makers"
            )
        return _ALLOWED[module, name]


def _resolve(value: Any, where: str, done: dict[int, Any]) -> Any:
    """Replace the stand-ins in an unpickled tree by arrays. `done` keeps shared parts shared and finds circles."""
    if isinstance(value, _PLAIN):
        return value
    if id(value) in done:
        if done[id(value)] is _PENDING:
            raise pickle.UnpicklingError("it contains itself")
        return done[id(value)]
    done[id(value)] = _PENDING
    if isinstance(value, _Array):
        result = value.numbers() if not value.dtype.hasobject else _object_array(value, where, done)
    elif isinstance(value, dict):
        result = {_resolve(k, where, done): _resolve(v, f"{where} / {k}", done) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        result = type(value)(_resolve(v, f"{where} / {i}", done) for i, v in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        result = type(value)(_resolve(v, where, done) for v in value)
    else:
        raise pickle.UnpicklingError(f"{where} is neither an array nor a plain container")
    done[id(value)] = result
    return result


def _object_array(array: _Array, where: str, done: dict[int, Any]) -> Any:
    """A 0-d object array is what it holds, a 1-d one of arrays and containers is a list; all else is a mistake."""
    if len(array.shape) == 0 and len(array.data) == 1:
        return _resolve(array.data[0], where, done)
    if len(array.shape) == 1 and not any(isinstance(item, _PLAIN) for item in array.data):
        return [_resolve(item, f"{where} / {i}", done) for i, item in enumerate(array.data)]
    raise _Refused(
        f"holds an array of Python objects of shape {array.shape} at {where}, expected an array of numbers; "
        "save it with dtype float32"
    )


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
            start = file.read(16)
        if not start.startswith(b"PK"):
            raise InputError(
                f"{path}: expected an npz file (a zip archive), found a file that begins with {start!r}; "
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
    except _Refused as error:
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
        return _resolve(_Unpickler(stream, encoding="latin1").load(), key, {})


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


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
