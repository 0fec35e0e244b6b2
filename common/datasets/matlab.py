"""MATLAB files, level 5 (scipy) and 7.3, which is HDF5 (h5py, an extra): variables by name, as MATLAB shows them."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError

Content = TypeVar("Content")
Value = np.ndarray | list[np.ndarray]  # a cell array becomes the list of its cells, column by column

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes of MATLAB's own header before the HDF5 file
_LEVEL_5 = b"MATLAB 5.0 MAT-file"
AGAIN = "the download is not complete or damaged, download it again"


def need(module: str, path: Path) -> ModuleType:
    """Import an extra. Raises `InputError` that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"{path}: reading it needs {module}, which is not installed; pip install {module}") from None


def read_mat(path: Path, names: Iterable[str]) -> dict[str, Value]:
    """Read variables of a .mat file of level 5 or 7.3, or of an HDF5 file that MATLAB wrote (.h5).

    Returns:
        name -> an array in MATLAB's orientation, or of a cell array the list of its arrays. Variables that the file
        lacks are left out, see `check_present`.

    Raises:
        InputError: no such file, neither of the two formats, truncated, h5py is needed and absent, or a variable is no
            numbers.
    """
    wanted = list(names)
    start = _start(path)
    if _HDF5 in (start[: len(_HDF5)], start[_USER_BLOCK:]):
        return whole(path, lambda: _read_hdf5(path, wanted))
    if not start.startswith(_LEVEL_5):
        found = f"a file that begins with {start[:16]!r}" if start else "an empty file"
        raise InputError(f"{path}: expected a MATLAB file of level 5 or 7.3, found {found}; {AGAIN}")
    from scipy.io import loadmat

    content = whole(path, lambda: loadmat(path, variable_names=wanted))
    return {name: _level_5(content[name], f"{path}: {name}") for name in wanted if name in content}


def check_present(content: dict[str, Value], names: Sequence[str], path: Path) -> None:
    """Raises `InputError` that names the variables a file lacks."""
    missing = [name for name in names if name not in content]
    if missing:
        found = ", ".join(content) or "none of those wanted"
        raise InputError(
            f"{path}: expected the variables {', '.join(names)}; {', '.join(missing)} missing, found {found}; {AGAIN}"
        )


def _start(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {AGAIN}")
    with path.open("rb") as file:
        return file.read(_USER_BLOCK + len(_HDF5))


def whole(path: Path, read: Callable[[], Content]) -> Content:
    """What `read` returns; whatever a truncated file makes the libraries raise becomes an `InputError`."""
    try:
        return read()
    except (InputError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({text}); {AGAIN}") from None


def _level_5(value: np.ndarray, where: str) -> Value:
    if value.dtype == object:
        return [_numbers(cell, where) for cell in value.ravel(order="F")]
    return _numbers(value, where)


def _read_hdf5(path: Path, names: list[str]) -> dict[str, Value]:
    h5py = need("h5py", path)
    content: dict[str, Value] = {}
    with h5py.File(path, "r") as file:
        for name in names:
            where = f"{path}: {name}"
            if name not in file:
                continue
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset):
                raise InputError(f"{where}: expected numbers or cells, found a struct")
            if h5py.check_ref_dtype(dataset.dtype):  # a cell array holds references to its cells
                content[name] = [_dataset(file[reference], where) for reference in np.ravel(dataset[()])]
            else:
                content[name] = _dataset(dataset, where)
    return content


def _dataset(dataset: Any, where: str) -> np.ndarray:
    """A data set in MATLAB's orientation: the file has the last dimension first."""
    stored = np.asarray(dataset[()])
    if dataset.attrs.get("MATLAB_empty"):  # then the size is stored
        return np.zeros([int(size) for size in stored])
    return _numbers(stored.T, where)


def _numbers(value: Any, where: str) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{where}: expected numbers, found {found}")
    return value
