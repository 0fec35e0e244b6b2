"""Human3.6M as it is given out: files of its structure, written here, are read back exactly or refused by name."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies import poses
from scipy.io import savemat
from scripts import assert_ends_with_one_line

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import load_h36m
from common.datasets.npz import read_object, read_plain, read_text, write_npz
from common.datasets.official_h36m import action_name, prepare_h36m, read_positions
from common.errors import InputError
from common.geometry.skeleton import H36M_17, H36M_32

SCRIPT = Path(__file__).parents[2] / "data" / "prepare_h36m.py"
FRAMES = 10
INSIDE = "MyPoseFeatures/D3_Positions"
SYMMETRY = [H36M_17.left_indices, H36M_17.right_indices]
METADATA = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
COCO = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]


def positions(seed: int, frames: int = FRAMES) -> np.ndarray:
    """(F, 32, 3) world millimetres, z up; whole numbers, so that every format keeps them exactly."""
    pose = poses(1, frames, seed, swing=0.05)[0].numpy()  # camera axes: x right, y down, z forward
    world = np.stack([pose[..., 0], pose[..., 2], -pose[..., 1] + 0.95], -1)  # (F, 17, 3) metres
    known = [H36M_17.index(joint) if joint in H36M_17.joints else 0 for joint in H36M_32.joints]
    return np.round(world[:, known] * 1000)


def save_mat(path: Path, values: np.ndarray) -> None:
    """As VideoPose3D's MATLAB script does: a cell of (F, 96)."""
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = values.reshape(len(values), -1).astype(np.float32)
    savemat(path, {"data": cell})


def save_cdf(path: Path, values: np.ndarray, name: str = "Pose") -> None:
    """As the data set is given out: one record (F, 96)."""
    cdfwrite = pytest.importorskip("cdflib.cdfwrite")
    table = values.reshape(1, len(values), -1).astype(np.float32)
    file = cdfwrite.CDF(str(path), delete=True)
    spec = {
        "Variable": name, "Data_Type": file.CDF_REAL4, "Num_Elements": 1, "Rec_Vary": True,
        "Dim_Sizes": list(table.shape[1:]), "Var_Type": "zVariable", "Compress": 6,
    }  # fmt: skip
    file.write_var(spec, var_data=table)
    file.close()


def save_h5(path: Path, values: np.ndarray) -> None:
    """As Martinez et al. did: (96, F), written by Python."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["3D_positions"] = values.reshape(len(values), -1).T


SAVE = {".cdf": save_cdf, ".cdf.mat": save_mat, ".h5": save_h5}
# Of every subject: the file's name, the action's.
TAKES = {"Directions 1": "Directions 1", "TakingPhoto": "Photo", "WalkingDog 1": "WalkDog 1", "Walking 1": "Walking 1"}


def fill(source: Path, ending: str) -> Path:
    for s, subject in enumerate(("S1", "S11")):
        folder = source / subject / INSIDE
        folder.mkdir(parents=True)
        for t, take in enumerate(TAKES):
            SAVE[ending](folder / f"{take}{ending}", positions(10 * s + t))
    SAVE[ending](source / "S11" / INSIDE / f"Directions{ending}", positions(99))
    return source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two subjects, four takes each and the corrupt one, as .mat, which needs no extra."""
    return fill(tmp_path / "h36m", ".cdf.mat")


def prepare(source: Path, *detections: Path) -> tuple[Path, list[str]]:
    """Where the files are, and the lines said."""
    out, lines = source.parent / "out", []
    prepare_h36m(source, out, detections, say=lines.append)
    return out, lines


def refusal(source: Path, *parts: str, detections: tuple[Path, ...] = ()) -> None:
    with pytest.raises(InputError) as caught:
        prepare(source, *detections)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("file", "action"),
    [
        ("Walking 1.cdf", "Walking 1"),
        ("Walking 1.cdf.mat", "Walking 1"),
        ("Walking.54138969.CDF", "Walking"),
        ("TakingPhoto 1.55011271.cdf.h5", "Photo 1"),
        ("WalkingDog.h5", "WalkDog"),
        ("WalkTogether 2.mat", "WalkTogether 2"),
    ],
)
def test_action_names(file: str, action: str) -> None:
    assert action_name(file) == action


@pytest.mark.parametrize("ending", SAVE)
def test_the_files_load(tmp_path: Path, ending: str) -> None:
    out, lines = prepare(fill(tmp_path / "h36m", ending))
    assert sorted(path.name for path in out.iterdir()) == ["data_2d_h36m_gt.npz", "data_3d_h36m.npz"]
    stored = read_object(out / "data_3d_h36m.npz", "positions_3d")
    assert {subject: list(actions) for subject, actions in stored.items()} == dict.fromkeys(
        ("S1", "S11"), sorted(TAKES.values())
    )
    for s, subject in enumerate(stored):
        for t, action in enumerate(TAKES.values()):
            np.testing.assert_array_equal(stored[subject][action], (positions(10 * s + t) / 1000).astype(np.float32))
    data = load_h36m(out, "gt", ["S1", "S11"])
    assert len(data.videos) == 2 * len(TAKES) * 4 and not data.notes and not data.synthetic
    assert data.provenance.startswith("Human3.6M, official download, 3D positions of S1, S11")
    assert "note: S11 Directions is left out, the official file is known to be corrupt" in lines
    assert "note: S1 has 4 recordings, the full data set 30" in lines
    assert f"S1 Photo: {FRAMES} frames" in lines
    assert any("S5, S6, S7, S8, S9" in line for line in lines)


def test_of_several_formats_one_is_taken(source: Path) -> None:
    folder = source / "S1" / INSIDE
    for take in TAKES:
        (folder / f"{take}.cdf").write_bytes(b"not looked at")
    prepare(source)


@pytest.mark.parametrize("above", ["", "a", "a/b"])
def test_the_folder_of_martinez_and_folders_above(source: Path, above: str) -> None:
    for subject in ("S1", "S11"):
        (source / subject / "MyPoses").mkdir()
        (source / subject / INSIDE).rename(source / subject / "MyPoses" / "3D_positions")
    for folder in reversed(above.split("/") if above else ()):
        source.rename(source.parent / "moved")
        source.mkdir()
        (source.parent / "moved").rename(source / folder)
    out, _ = prepare(source)
    assert list(read_object(out / "data_3d_h36m.npz", "positions_3d")) == ["S1", "S11"]


def detections(out: Path, noise: float = 0.0, channels: int = 2, extra: int = 3) -> dict[str, Any]:
    """Exact 2D moved a little, as long as the videos are, with a recording and a subject that have no 3D."""
    positions_2d = read_object(out / "data_2d_h36m_gt.npz", "positions_2d")
    for actions in positions_2d.values():
        for views in actions.values():
            for i, view in enumerate(views):
                longer = np.concatenate([view + noise, view[:extra]])
                views[i] = np.concatenate([longer, np.ones((len(longer), 17, channels - 2))], -1).astype(np.float32)
    positions_2d["S11"]["Directions"] = positions_2d["S11"]["Photo"]
    positions_2d["S9"] = {"Photo": positions_2d["S1"]["Photo"]}
    return positions_2d


@pytest.mark.parametrize("channels", [2, 3])
def test_detections_are_copied(source: Path, channels: int) -> None:
    out, _ = prepare(source)
    path = source / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    write_npz(path, positions_2d=detections(out, 1.5, channels), metadata=METADATA)
    _, lines = prepare(source, path)
    assert "data_2d_h36m_cpn_ft_h36m_dbb.npz: fits; note: 2 recordings without 3D are left out" in lines
    copied = read_object(out / path.name, "positions_2d")
    exact = read_object(out / "data_2d_h36m_gt.npz", "positions_2d")
    assert {s: list(actions) for s, actions in copied.items()} == {s: list(actions) for s, actions in exact.items()}
    for subject, actions in copied.items():
        for action, views in actions.items():
            for view, true in zip(views, exact[subject][action], strict=True):
                assert view.shape == (FRAMES, 17, channels)
                np.testing.assert_allclose(view[..., :2], true + 1.5, rtol=1e-6)
    assert read_text(out / path.name, "provenance") == read_text(out / "data_3d_h36m.npz", "provenance")
    assert not read_plain(out / path.name, "synthetic")
    if channels == 2:
        assert len(load_h36m(out, "cpn_ft_h36m_dbb", ["S1"]).videos) == 4 * len(TAKES)


def without(subject: str, action: str | None = None) -> Callable[[dict], dict]:
    def change(tree: dict) -> dict:
        tree.pop(subject) if action is None else tree[subject].pop(action)
        return tree

    return change


def replaced(value: Any) -> Callable[[dict], dict]:
    def change(tree: dict) -> dict:
        tree["S1"]["Photo"] = value(tree["S1"]["Photo"])
        return tree

    return change


UNFIT: dict[str, tuple[Callable[[dict], Any], str]] = {
    "subject": (without("S11"), "subject S11 is missing, found S1, S9"),
    "action": (without("S11", "Photo"), "S11 Photo: missing, the 3D has it; found Directions 1"),
    "layout": (lambda tree: {"S1": [tree]}, "expected positions_2d to be a dict"),
    "cameras": (replaced(lambda views: views[:3]), "S1 Photo: expected a list of 4 cameras, found list"),
    "frames": (replaced(lambda views: [v[:5] for v in views]), f"camera 0: 5 frames, the 3D has {FRAMES}"),
    "joints": (replaced(lambda views: [v[:, :16] for v in views]), "numbers of shape (frames, 17, 2 or 3)"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_detections_that_do_not_fit_are_refused(source: Path, case: str) -> None:
    out, _ = prepare(source)
    for file in out.iterdir():
        file.rename(source / file.name)
    change, part = UNFIT[case]
    path = source / "data_2d_h36m_mine.npz"
    np.savez(path, positions_2d=np.array(change(detections(source)), dtype=object), metadata=np.array(METADATA, object))
    refusal(source, str(path), part, detections=(path,))
    assert not list(out.glob("*.npz"))


def test_wrong_detection_files(source: Path) -> None:
    out, _ = prepare(source)
    for name, part in (("cpn.npz", "expected a name like"), ("data_2d_h36m_gt.npz", "and not gt"),
                       ("data_2d_h36m_a.npz", "no such file")):  # fmt: skip
        refusal(source, "--detections", part, detections=(source / name,))
    inside = out / "data_2d_h36m_a.npz"
    write_npz(inside, positions_2d=detections(out), metadata=METADATA)
    refusal(source, "it would be written over; move it", detections=(inside,))
    other = source / "data_2d_h36m_a.npz"
    for change in ({"num_joints": 16}, {"keypoints_symmetry": COCO}, {"keypoints_symmetry": None}):
        write_npz(other, positions_2d=detections(out), metadata=METADATA | change)
        refusal(source, "expected metadata of Human3.6M-17, num_joints 17", str(change)[1:-1][:30], detections=(other,))


def test_it_goes_on_where_it_was_stopped(source: Path) -> None:
    path = source / "S11" / INSIDE / "WalkingDog 1.cdf.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[:-500])
    refusal(source, str(path), "download it again")
    out = source.parent / "out"
    assert len(list((out / ".prepare" / "h36m").iterdir())) == 6
    path.write_bytes(whole)
    os.utime(source / "S1" / INSIDE / "TakingPhoto.cdf.mat", (1, 1))
    _, lines = prepare(source)
    made = [line.split(":")[0] for line in lines if line.endswith("frames")]
    assert made == ["S1 Photo", "S11 WalkDog 1", "S11 Walking 1"]
    assert not (out / ".prepare").exists()


def put(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda source: (source / "S1" / INSIDE / name).write_bytes(content)


def save(values: np.ndarray, name: str = "data") -> Callable[[Path], None]:
    return lambda source: savemat(source / "S1" / INSIDE / "Walking 1.cdf.mat", {name: values})


def empty(source: Path) -> None:
    for path in (source / "S1" / INSIDE).iterdir():
        path.unlink()


FLAT = positions(1).reshape(FRAMES, -1)
BROKEN: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "half download": (put("Eating.cdf.part", b""), ("Eating.cdf.part: a download that was not finished",)),
    "no folder": (lambda source: (source / "S5").mkdir(), ("S5: no MyPoseFeatures/D3_Positions in it; unpack",)),
    "no files": (empty, ("no .mat, .h5, .cdf files; unpack Poses_D3_Positions_S1.tgz there",)),
    "web page": (put("Eating.cdf.mat", b"<html>"), ("Eating.cdf.mat: expected a MATLAB file", "<html>")),
    "camera files": (
        lambda source: [save_mat(source / "S1" / INSIDE / f"Eating.{i}.cdf.mat", positions(i)) for i in (54138969, 5)],
        ("a second file of S1 Eating", "not D3_Positions_mono"),
    ),
    "variable": (save(FLAT, "poses"), ("Walking 1.cdf.mat: expected one of the variables Pose, data, 3D_positions",)),
    "joints": (save(FLAT[:, :51]), (f"expected data of (1, frames, 96), found ({FRAMES}, 51)",)),
    "cells": (save(np.array([[FLAT, FLAT]], dtype=object)[:, :2].reshape(1, -1)), ("expected data of one cell",)),
    "metres": (save(FLAT / 1000), ("expected millimetres, 300 to 4000", "multiply by 1000")),
    "not a number": (save(np.where(np.arange(FRAMES)[:, None] == 4, np.nan, FLAT)), ("1 of 10 frames", "frame 4")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_downloads_are_one_clear_line(source: Path, case: str) -> None:
    spoil, parts = BROKEN[case]
    spoil(source)
    refusal(source, *parts)
    assert not list((source.parent / "out").glob("*.npz"))


@pytest.mark.parametrize("ending", [".cdf", ".h5"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"Walking{ending}"
    SAVE[ending](path, positions(1, 40))
    whole, content = read_positions(path), path.read_bytes()
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        try:
            found = read_positions(path)
        except InputError as error:
            assert "download it again" in str(error) and "\n" not in str(error)
            refused += 1
        else:  # nothing that is read was cut off
            np.testing.assert_array_equal(found, whole)
    assert refused > 30


def test_a_cdf_without_the_variable(tmp_path: Path) -> None:
    save_cdf(tmp_path / "Walking.cdf", positions(1), "Position")
    with pytest.raises(InputError, match="Walking.cdf: expected the variable Pose, numbers, found none"):
        read_positions(tmp_path / "Walking.cdf")


@pytest.mark.parametrize(("module", "name"), [("cdflib", "Eating.cdf"), ("h5py", "Eating.h5")])
def test_without_an_extra(source: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    put(name, b"\x89HDF\r\n\x1a\n")(source)
    monkeypatch.setitem(sys.modules, module, None)
    refusal(source, f"{name}: reading it needs {module}", f"pip install {module}")


def test_wrong_folders(tmp_path: Path, source: Path) -> None:
    refusal(tmp_path / "none", "--source", "no such folder")
    refusal(source / "S1" / INSIDE, "no S1 to S11 found", "give the folder that holds them")
    (source / "copy").mkdir()
    (source / "S1").rename(source / "copy" / "S1")
    (source / "other" / "S1").mkdir(parents=True)
    (source / "S11").rename(source / "other" / "S11")
    refusal(source, "S1: a second S1, beside")


def test_the_cameras_are_four() -> None:
    assert {len(h36m_cameras(subject)) for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11")} == {4}


def test_flags(source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def door(out: Path, *flags: object) -> str:
        arguments = ["prepare_h36m.py", "--source", source, "--out", out, *flags]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        runpy.run_path(str(SCRIPT))["main"]()
        return capsys.readouterr().out

    first, second = source.parent / "first", source.parent / "second"
    assert f"wrote {first}/data_3d_h36m.npz and {first}/data_2d_h36m_gt.npz\n" in door(first)
    paths = [source / f"data_2d_h36m_{name}.npz" for name in "ab"]
    for path in paths:
        write_npz(path, positions_2d=detections(first), metadata=METADATA)
    assert f"{second}/data_2d_h36m_b.npz" in door(second, "--detections", *paths)


@pytest.mark.slow
def test_an_error_ends_the_script_with_code_2(tmp_path: Path) -> None:
    assert_ends_with_one_line(SCRIPT, "--source", tmp_path, "--out", tmp_path)
