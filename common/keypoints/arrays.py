"""Bare arrays in npy or npz: (F, K, 2 or 3), one person, or (F, P, K, 2 or 3), several."""

from functools import partial
from typing import Any

import numpy as np

from ..datasets.npz import describe, read_plain
from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .reader import Asked, Reader, never
from .source import Source, listed, plain, shown

_NPY = b"\x93NUMPY"
_SCORES = ("keypoint_scores", "scores", "score", "confidence", "conf")
_EXPECTED = "numbers of shape (frames, joints, 2 or 3) or (frames, people, joints, 2 or 3)"
_LARGEST_SCORE, _MOST_ODD = 2.0, 0.1  # a third number above this in more of the joints is no confidence


def recognises(source: Source) -> bool:
    """An npy file, or an npz file without `positions_2d`."""
    return source.head.startswith(_NPY) or bool(source.entries) and "positions_2d" not in source.entries


def read(source: Source, asked: Asked, name: str = "array", order: str | None = None) -> Detections:
    """Read it: a frame a row; of an npz the only entry that can be keypoints, or `asked.video`."""
    source.need_file("an npy or npz file")
    if source.head.startswith(_NPY):
        if asked.video is not None:
            raise InputError(f"{source.place}: one array, expected no choice of one, found {shown(asked.video)}")
        array: Any = _npy(source)
    elif source.entries:
        array = _entry(source, asked.video)
    else:
        found = shown(source.head[:16])
        raise InputError(f"{source.place}: expected an npy or npz file, found one that begins with {found}; save it so")
    people, frames = people_of(array, source.place)
    return assemble(source, people, asked, About(name, order=order, listed=range(frames)))


def people_of(array: Any, place: str) -> tuple[list[Person], int]:
    """The people of an array (F, K, 2 or 3) or (F, P, K, 2 or 3), and F.

    Raises:
        InputError: another shape, no numbers, or a third number that is no confidence.
    """
    if isinstance(array, (list, tuple)) and len(array) == 1:
        array = array[0]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{place}: expected {_EXPECTED}, found {describe(array)}; save the numbers alone")
    if array.ndim not in (3, 4) or array.shape[-1] not in (2, 3) or 0 in array.shape:
        raise InputError(f"{place}: expected {_EXPECTED}, found {describe(array)}; reshape it")
    values = array.astype(np.float64)
    track = 0 if values.ndim == 3 else None  # one person, however they jump
    if values.ndim == 3:
        values = values[:, None]  # (F, 1, K, 2 or 3)
    if values.shape[-1] == 3:
        third = values[..., 2][np.isfinite(values[..., 2])]
        if len(third) and ((third < 0) | (third > _LARGEST_SCORE)).mean() > _MOST_ODD:
            found = f"{third.min():.3g} to {third.max():.3g}"
            raise InputError(f"{place}: expected a confidence as third number, found {found}; is it 3D? save pixels")
    return [Person(frame, one, track) for frame, people in enumerate(values) for one in people], len(values)


def _npy(source: Source) -> np.ndarray:
    try:
        with source.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"npy format {version}")
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            size = source.path.stat().st_size - file.tell()
        if dtype.hasobject:
            raise InputError(f"{source.place}: expected {_EXPECTED}, found Python objects; save the numbers alone")
        if int(np.prod(shape, dtype=object)) * dtype.itemsize > size:
            raise ValueError("it ends too early")
        return np.load(source.path, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # a damaged header can raise nearly anything
        reason = shown(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise InputError(f"{source.place}: expected an npy file, found damage ({reason}); save it again") from error


def _entry(source: Source, wanted: str | None) -> np.ndarray:
    """The keypoints of an npz, with the confidence that stands in another entry."""
    arrays: dict[str, np.ndarray] = {}
    objects = []
    for key in source.entries:
        try:
            value = read_plain(source.path, key)
        except InputError:
            objects.append(key)
            if len(source.entries) == 1 or key == wanted:
                raise
            continue
        if value is not None:
            arrays[key] = value
    if wanted is not None and wanted not in arrays:
        raise InputError(f"{source.place}: has no entry {shown(wanted)}; expected one of {listed(list(arrays))}")
    fitting = [key for key, a in arrays.items() if a.dtype.kind in "fiu" and a.ndim in (3, 4) and a.shape[-1] in (2, 3)]
    if wanted is None and len(fitting) != 1:
        found = ", ".join(f"{plain(key)} {value.shape}" for key, value in list(arrays.items())[:9]) or listed(objects)
        mend = "choose one with --video" if fitting else "save the numbers alone"
        raise InputError(f"{source.place}: expected one entry of {_EXPECTED}, found {found}; {mend}")
    array = arrays[wanted or fitting[0]]
    scores = next((arrays[key] for key in _SCORES if key in arrays), None)
    if scores is not None and scores.dtype.kind in "fiu" and array.ndim > 1 and array.shape[-1] == 2:
        if scores.shape != array.shape[:-1]:
            found = f"{scores.shape} for {array.shape}"
            raise InputError(f"{source.place}: expected a confidence a joint, found shape {found}; reshape it")
        array = np.concatenate([array.astype(np.float64), scores[..., None].astype(np.float64)], -1)
    return array


READER = Reader("array", recognises, read, several=True)
H36M = Reader("h36m-array", never, partial(read, name="h36m-array", order="h36m"), several=True)
