"""The restricted npz reader: reads what the data sets hold, runs nothing, says what is wrong."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from common.datasets.npz import read_object, read_plain, read_text, write_npz
from common.errors import InputError
from common.files import sha256


def forge(path: Path, payload: bytes, key: str = "positions_3d", shape: tuple = ()) -> Path:
    """An npz file whose entry `key` claims to be an object array and is followed by any bytes."""
    with zipfile.ZipFile(path, "w") as archive, archive.open(f"{key}.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "|O", "fortran_order": False, "shape": shape})
        entry.write(payload)
    return path


def refusal(path: Path, key: str = "positions_3d") -> str:
    """The message of the one-line error that reading gives."""
    with pytest.raises(InputError) as caught:
        read_object(path, key)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


class RunsCode:
    """Pickles to a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_pickle_is_refused_by_name_and_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    deep = np.empty(2, dtype=object)
    deep[:] = [np.zeros(3), [{"x": RunsCode(f"touch {marker}")}]]
    for tree in (RunsCode(f"touch {marker}"), {"S1": {"Walking": [deep]}}):
        holder = np.empty((), dtype=object)
        holder[()] = tree
        path = forge(tmp_path / "bad.npz", pickle.dumps(holder, protocol))
        message = refusal(path)
        assert not marker.exists()
        assert f"{os.system.__module__}.system" in message and "'positions_3d'" in message
    with np.load(path, allow_pickle=True) as archive:  # the same file does its harm where it is trusted
        archive["positions_3d"]
    assert marker.exists()


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"cnumpy.lib.npyio\nload\n.", "numpy.lib.npyio.load"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "numpy.ndarray.__class__"),
        (b"ccommon.npz\n_ALLOWED\n.", "common.npz._ALLOWED"),
        (b"\x80\x04\x8c\x09os\n\x1b[31mx\x8c\x06system\x93.", "[31mx.system"),
    ],
)
def test_names_outside_the_list_are_refused(tmp_path: Path, payload: bytes, named: str) -> None:
    message = refusal(forge(tmp_path / "bad.npz", payload))
    assert named in message and "do not trust" in message and "\x1b" not in message


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"cnumpy\nndarray\n(I8\ntR.", "numpy.ndarray is called"),
        (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "'rot13', expected latin1"),
        (b"c_codecs\nencode\n}S'__defaults__'\nI1\nsb.", "sets the state of a function"),
        (b"c_codecs\nencode\n.", "neither an array nor a plain container"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(tR.", "damaged"),  # an array that never gets its content
        (b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'|'\nN(S'x'\nt}S'x'\nNsI8\nI8\nI0\ntb.", "structured arrays"),
        (b"cnumpy\ndtype\n(S'V8'\ntR.", "arrays of type 'V8'"),
        (b"(lp0\ng0\na.", "contains itself"),
        (b"(l" * 100_000 + b"a" * 99_999 + b".", "recursion"),
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
    ],
)
def test_forged_or_damaged_pickles_end_in_one_line(tmp_path: Path, payload: bytes, reason: str) -> None:
    message = refusal(forge(tmp_path / "bad.npz", payload))
    assert "truncated or damaged" in message and reason in message
    write_npz(tmp_path / "good.npz", positions_3d={"S1": b"x"})  # reading the bad file changed nothing
    assert read_object(tmp_path / "good.npz", "positions_3d") == {"S1": b"x"}


def test_shared_references_do_not_explode(tmp_path: Path) -> None:
    tree: list = [np.ones(2)]
    for _ in range(60):
        tree = [tree, tree]
    result = read_object(forge(tmp_path / "a.npz", pickle.dumps(tree)), "positions_3d")
    assert result[0] is result[1]


ARRAYS = {
    "float32": np.arange(24, dtype=np.float32).reshape(2, 4, 3),
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 4, 3)),
    "big endian": np.arange(5, dtype=">i2"),
    "bool": np.array([True, False]),
    "half": np.ones((2, 2), np.float16),
    "complex": np.array([1j]),
    "empty": np.zeros((0, 17, 2), np.float32),
    "0-d": np.array(3.5),
    "text": np.array(["S1", "S11"]),
    "strided": np.arange(10)[::2],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_both_numpy_generations_are_read(tmp_path: Path, protocol: int, core: bytes) -> None:
    payload = pickle.dumps(ARRAYS, protocol)
    if protocol >= 4:
        payload = _without_frame(payload)
    for module in (b"multiarray", b"numeric"):
        for ours in (b"numpy.core.", b"numpy._core."):
            old, new = ours + module, core + b"." + module
            payload = payload.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
            payload = payload.replace(b"c" + old + b"\n", b"c" + new + b"\n")
    result = read_object(forge(tmp_path / "a.npz", payload), "positions_3d")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(result[name], array)
        assert result[name].dtype == array.dtype.newbyteorder("=") and result[name].flags.writeable, name


def _without_frame(payload: bytes) -> bytes:
    """Protocol 4 wraps its opcodes in a frame of a stated length; without it the length may change."""
    assert payload[2:3] == b"\x95"
    return payload[:2] + payload[11:]


def test_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    data = struct.pack("<2f", 1.5, -200.25)  # has bytes above 127
    payload = (
        b"\x80\x02}U\x02S1ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RU\x07Walking"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + data + b"tbss."
    )
    result = read_object(forge(tmp_path / "a.npz", payload), "positions_3d")
    np.testing.assert_array_equal(result["S1"]["Walking"], np.array([1.5, -200.25], np.float32))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_scalars_are_read(tmp_path: Path, protocol: int) -> None:
    nested = np.empty(2, dtype=object)
    nested[:] = [np.arange(3), {"a": np.arange(2)}]
    tree = {
        "ordered": OrderedDict(b=1, a=2),
        "default": defaultdict(dict, x={"y": 1}),
        "set": {1, 2},
        "scalars": [np.float32(1.5), np.dtype(">f4").type(2.5), np.int64(-3), np.bool_(True), np.str_("S1"), 1.0, None],
        "bytes": b"\xff\x00",
        "nested": nested,
        7: (1, "two"),
    }
    result = read_object(forge(tmp_path / "a.npz", pickle.dumps(tree, protocol)), "positions_3d")
    assert list(result["ordered"].items()) == [("b", 1), ("a", 2)]
    for name in ("default", "set", "scalars", "bytes", 7):
        assert result[name] == tree[name], name
    assert type(result["ordered"]) is type(result["default"]) is dict
    np.testing.assert_array_equal(result["nested"][0], np.arange(3))
    np.testing.assert_array_equal(result["nested"][1]["a"], np.arange(2))


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    tree = {"S1": {"Walking 1": ARRAYS["float32"]}}
    np.savez_compressed(tmp_path / "a.npz", positions_3d=tree, fps=50)
    np.testing.assert_array_equal(read_object(tmp_path / "a.npz", "positions_3d")["S1"]["Walking 1"], ARRAYS["float32"])
    assert read_plain(tmp_path / "a.npz", "fps") == 50


def test_numbers_stored_as_objects_are_read(tmp_path: Path) -> None:
    """As numpy keeps lists of cameras that it was given with dtype object."""
    wanted = np.arange(4 * 3 * 17 * 2, dtype=np.float64).reshape(4, 3, 17, 2)
    tree = {"S1": {"Walking": wanted.astype(object)}}
    found = read_object(forge(tmp_path / "a.npz", pickle.dumps(tree)), "positions_3d")["S1"]["Walking"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("wrong", ["text", None, [1.0]])
def test_other_objects_in_an_array_are_named(tmp_path: Path, wrong: object) -> None:
    array = np.zeros((2, 17, 2), dtype=object)
    array[1, 2, 1] = wrong
    message = refusal(forge(tmp_path / "a.npz", pickle.dumps({"S1": {"Walking": [np.zeros((2, 17, 2)), array]}})))
    assert "positions_3d / S1 / Walking / 1" in message and "(2, 17, 2)" in message and "float32" in message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_number_among_dicts_is_read_and_numbers_alone_are_not(tmp_path: Path, protocol: int) -> None:
    """MPI-INF-3DHP's [cameras, frames a second], which numpy makes an object array of."""

    def objects(*items: object) -> np.ndarray:
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array

    def saved(array: np.ndarray) -> Path:
        return forge(tmp_path / "a.npz", pickle.dumps({"S1 Seq1": array}, protocol), "data")

    for number in (25, 50.0, np.int64(25), np.float32(50)):
        cameras, fps = read_object(saved(objects({"0": np.arange(3)}, number)), "data")["S1 Seq1"]
        assert fps == number and cameras["0"].tolist() == [0, 1, 2]
    for wrong in (objects(25, 50), objects({}, "25"), objects({}, None), objects([1], 25), objects(np.zeros(2), 25)):
        message = refusal(saved(wrong), "data")
        assert "data / S1 Seq1" in message and "Python objects of shape (2,)" in message
    marker = tmp_path / "marker"
    assert "wants to run" in refusal(saved(objects({"0": RunsCode(f"touch {marker}")}, 25)), "data")
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_torch_tensors_and_masked_arrays_are_named(tmp_path: Path, protocol: int) -> None:
    masked = np.ma.masked_invalid([1.0, np.nan])
    for value, words in (
        (torch.zeros(2, 17, 2), ("torch tensors", "tensor.numpy()")),
        (torch.nn.Parameter(torch.zeros(2)), ("torch tensors", "tensor.numpy()")),
        (masked, ("masked arrays", "array.filled(numpy.nan)")),
    ):
        for tree in (value, {"S1": {"Walking": [np.zeros(2), value]}}):
            message = refusal(forge(tmp_path / "a.npz", pickle.dumps(tree, protocol)))
            assert all(word in message for word in words) and "nothing was run" in message
            assert "trust" not in message and "damaged" not in message


@pytest.mark.parametrize("payload", [b"ctorch\nload\n.", b"ctorch.storage\nos\n.", b"cnumpy.ma.core\nnp\n."])
def test_nothing_else_of_torch_and_masked_arrays_is_excused(tmp_path: Path, payload: bytes) -> None:
    assert "do not trust" in refusal(forge(tmp_path / "bad.npz", payload))


def test_missing_entry_names_those_found(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", data={"TS1": 1}, provenance="x")
    message = refusal(tmp_path / "a.npz")
    assert "'positions_3d'" in message and "'data', 'provenance'" in message
    assert read_text(tmp_path / "a.npz", "remark") is None and read_plain(tmp_path / "a.npz", "remark") is None


def test_not_an_npz_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"<!DOCTYPE html><html>")
    assert "<!DOCTYPE" in refusal(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"")
    assert "zip archive" in refusal(tmp_path / "a.npz")


def test_truncated_and_flipped_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, positions_3d={"S1": np.random.default_rng(0).normal(size=1000)})
    whole = path.read_bytes()
    for length in (10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "truncated" in refusal(path)
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:])
    assert "damaged" in refusal(path)


def test_an_entry_of_another_kind(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", positions_3d=np.zeros((2, 17, 3)), provenance=np.zeros(2))
    message = refusal(tmp_path / "a.npz")
    assert "float64" in message and "(2, 17, 3)" in message and "expected one pickled object" in message
    assert "(3,)" in refusal(forge(tmp_path / "b.npz", pickle.dumps(1), shape=(3,)))
    with pytest.raises(InputError, match=r"a\.npz: entry 'provenance' .* expected text"):
        read_text(tmp_path / "a.npz", "provenance")
    with pytest.raises(InputError, match=r"b\.npz: its entry 'positions_3d' cannot be read"):
        read_plain(tmp_path / "b.npz", "positions_3d")


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    def entries(action: str, array: np.ndarray, shared: bool) -> dict:
        again = action if shared else "".join(action.partition(" "))
        return {"positions_2d": {"S1": {action: [array, array]}, "S5": {again: (array.copy(),)}}, "provenance": action}

    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_npz(tmp_path / "a.npz", **entries("Walking 1", array, True))
    write_npz(tmp_path / "b.npz", **entries("Walking 1", np.asfortranarray(array.astype(">f4")), False))
    tree = read_object(tmp_path / "a.npz", "positions_2d")
    write_npz(tmp_path / "c.npz", positions_2d=tree, provenance=read_text(tmp_path / "a.npz", "provenance"))
    assert sha256(tmp_path / "a.npz") == sha256(tmp_path / "b.npz") == sha256(tmp_path / "c.npz")
    np.testing.assert_array_equal(tree["S5"]["Walking 1"][0], array)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", positions_3d={"S1": 1})
    before = sha256(tmp_path / "a.npz")
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        write_npz(tmp_path / "a.npz", positions_3d={"S1": lambda: None})
    assert sha256(tmp_path / "a.npz") == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
