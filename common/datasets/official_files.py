"""What the preparation of official downloads shares: half downloads named, finished recordings kept."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import atomic_write

HALF = (".crdownload", ".part", ".partial", ".download", ".aria2")  # endings that browsers and download tools use
CACHE = ".prepare"  # below --out
_SIGNATURE = "signature"
_DEEPEST = 2  # folders between --source and what is looked for


def find_folders(source: Path, pattern: str) -> dict[str, Path]:
    """The folders whose whole name matches a regular expression, in `source` or up to two folders below.

    The highest folders that hold any decide.

    Returns:
        name -> folder, sorted by name.

    Raises:
        InputError: `source` is no folder, or a name occurs twice.
    """
    if not source.is_dir():
        raise InputError(f"--source {source}: no such folder")
    for depth in range(_DEEPEST + 1):
        found: dict[str, Path] = {}
        for path in sorted(source.glob("/".join(["*"] * (depth + 1)))):
            if not re.fullmatch(pattern, path.name) or not path.is_dir():
                continue
            if path.name in found:
                raise InputError(f"{path}: a second {path.name}, beside {found[path.name]}; give one as --source")
            found[path.name] = path
        if found:
            return dict(sorted(found.items()))
    return {}


def refuse_halves(folder: Path) -> None:
    """Raises `InputError` that names a file of a download that was not finished, in the folder itself."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(HALF):
            raise InputError(f"{path}: a download that was not finished; finish it, or delete this file")


class Recordings:
    """Finished recordings below `--out`, so that a preparation that was stopped goes on where it was.

    One is used again when the same is asked of sources whose names, sizes and times of change are the same.
    """

    def __init__(self, out: Path, name: str):
        """name: of the preparation, a folder below `.prepare`."""
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: expected a folder, found a file")
        self._folder = out / CACHE / name

    def get(
        self, recording: str, sources: Sequence[Path], settings: str, make: Callable[[], Mapping[str, np.ndarray]]
    ) -> tuple[dict[str, np.ndarray], bool]:
        """The arrays of one recording.

        Args:
            sources: the files it is made of. settings: what else decides the result. make: makes it.

        Returns:
            The arrays, and whether they had been made before.
        """
        states = [(path, path.stat()) for path in sources]
        signature = "\n".join([settings, *(f"{path.resolve()} {s.st_size} {s.st_mtime_ns}" for path, s in states)])
        path = self._folder / f"{recording.replace(' ', '_')}.npz"
        kept = _read(path)
        if str(kept.pop(_SIGNATURE, "")) == signature:
            return kept, True
        made = dict(make())
        with atomic_write(path) as partial:
            np.savez(partial, **made, **{_SIGNATURE: np.array(signature)})  # type: ignore[arg-type]
        return made, False

    def remove(self) -> None:
        """All is written: nothing is left to be kept."""
        if self._folder.is_dir():
            for path in self._folder.glob("*.npz"):
                path.unlink()
        for folder in (self._folder, self._folder.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _read(path: Path) -> dict[str, np.ndarray]:
    """A kept recording; nothing where there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # a file that was damaged is made again
        return {}
