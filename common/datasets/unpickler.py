"""An unpickler that runs nothing.

The data sets of this field are pickled object arrays from download links. A pickle is a programme: it names functions
and calls them. Here it can only name the few stand-ins below, which build arrays and containers and nothing else, so
that not even numpy's own constructors see what the file says.
"""

import pickle
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

_DTYPE_CODE = re.compile(r"[?]|b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SU]\d{1,6}|O[48]?")
_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_NUMBERS = (int, float, np.number)
_PENDING = object()


class Refused(Exception):
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
        self.dtype = stand_in.dtype
        self.order: Literal["C", "F"] = "F" if fortran else "C"

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


# What honest files name that were saved without being turned into plain arrays: (module, name) -> what it is, the mend.
_NEARLY = {
    **dict.fromkeys(
        [("torch._utils", f"_rebuild_{kind}") for kind in ("tensor", "tensor_v2", "parameter")]
        + [("torch._tensor", "_rebuild_from_type_v2"), ("torch.storage", "_load_from_bytes"), ("torch", "Size")],
        ("torch tensors", "save them as arrays, tensor.numpy()"),
    ),
    **dict.fromkeys(
        [(m, name) for m in ("numpy.ma.core", "numpy.ma") for name in ("_mareconstruct", "MaskedArray")],
        ("masked arrays", "save them as arrays, array.filled(numpy.nan)"),
    ),
}


class Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Call:
        if (module, name) in _NEARLY:
            kind, mend = _NEARLY[module, name]
            raise Refused(f"holds {kind}, expected numpy arrays and plain containers; nothing was run; {mend}")
        if (module, name) not in _ALLOWED:
            raise Refused(
                f"wants to run {module}.{name}, which is not a numpy array or a plain container; nothing was run; "
                "do not trust this file, get it again from the data set's makers"
            )
        return _ALLOWED[module, name]


def resolve(value: Any, where: str, done: dict[int, Any]) -> Any:
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
        result = {resolve(k, where, done): resolve(v, f"{where} / {k}", done) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        result = type(value)(resolve(v, f"{where} / {i}", done) for i, v in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        result = type(value)(resolve(v, where, done) for v in value)
    else:
        raise pickle.UnpicklingError(f"{where} is neither an array nor a plain container")
    done[id(value)] = result
    return result


def _object_array(array: _Array, where: str, done: dict[int, Any]) -> Any:
    """A 0-d object array is what it holds, a 1-d one of arrays and containers is a list, and so is one of dicts and
    single numbers (MPI-INF-3DHP's cameras and frame rate); one of more dimensions is numbers; all else is a mistake."""
    if len(array.shape) == 0 and len(array.data) == 1:
        return resolve(array.data[0], where, done)
    if len(array.shape) > 1 and all(isinstance(item, _NUMBERS) for item in array.data):
        return np.array(array.data, dtype=np.float64).reshape(array.shape, order=array.order)
    plain = [item for item in array.data if isinstance(item, _PLAIN)] if len(array.shape) == 1 else []
    numbers = all(isinstance(item, _NUMBERS) for item in plain) and any(isinstance(item, dict) for item in array.data)
    if len(array.shape) == 1 and (not plain or numbers):
        return [resolve(item, f"{where} / {i}", done) for i, item in enumerate(array.data)]
    raise Refused(
        f"holds an array of Python objects of shape {array.shape} at {where}, expected an array of numbers; "
        "save it with dtype float32"
    )
