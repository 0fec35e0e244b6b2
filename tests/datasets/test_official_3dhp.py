"""MPI-INF-3DHP as it is given out: files of its structure, written here, are read back exactly or refused by name."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import poses, trajectories
from scipy.io import savemat
from scripts import assert_ends_with_one_line

from common.datasets.cameras_3dhp import TEST_SEQUENCES
from common.datasets.cameras_3dhp import test_cameras as cameras_3dhp
from common.datasets.matlab import check_present, read_mat
from common.datasets.mpi_3dhp import TEST_FILE, TRAIN_FILE, load_3dhp_test, load_3dhp_train
from common.datasets.npz import entry_names, read_object, read_plain, read_text
from common.datasets.official_3dhp import JOINTS_28, joints_17, prepare_3dhp
from common.datasets.official_3dhp_cameras import read_calibration
from common.errors import InputError
from common.geometry.camera import project
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert

SCRIPT = Path(__file__).parents[2] / "data" / "prepare_3dhp.py"
FRAMES = 12
CAMERAS = 14
SEQ = "S2/Seq1"
UNIV = 1.1  # of the true scale


def person(seed: int) -> np.ndarray:
    """(F, 17, 3) mm, camera axes, 3DHP-17."""
    points = poses(1, FRAMES, seed)[0] + trajectories(1, FRAMES, seed)[0][:, None]
    return convert(points.numpy(), H36M_17, MPI_3DHP_17) * 1000


def seen(points: np.ndarray, intrinsics: tuple[float, ...]) -> np.ndarray:
    return project(torch.from_numpy(points), torch.tensor(intrinsics, dtype=torch.float64)).numpy()


def intrinsics(camera: int) -> tuple[float, ...]:
    return (1500.0 + camera, 1490.0 + camera, 1024.5 + camera, 1050.25, 0, 0, 0, 0, 0)


def cells(arrays: list[np.ndarray]) -> np.ndarray:
    """A MATLAB cell array (C, 1)."""
    found = np.empty((len(arrays), 1), dtype=object)
    for i, array in enumerate(arrays):
        found[i, 0] = array
    return found


def train_content(seed: int) -> dict[str, Any]:
    """What an annot.mat holds: every camera sees another person, the other eleven joints are at -1."""
    content: dict[str, Any] = {"cameras": np.arange(CAMERAS, dtype=np.uint8)[:, None]}
    content["frames"] = np.arange(FRAMES, dtype=np.uint16)[:, None]
    people = [person(100 * seed + camera) for camera in range(CAMERAS)]
    for name, values in (
        ("annot3", people),
        ("univ_annot3", [points * UNIV for points in people]),
        ("annot2", [seen(points, intrinsics(camera)) for camera, points in enumerate(people)]),
    ):
        rows = []
        for points in values:
            every = np.full((FRAMES, 28, points.shape[-1]), -1.0)
            every[:, [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]] = points
            rows.append(every.reshape(FRAMES, -1))
        content[name] = cells(rows)
    return content


def calibration_text() -> str:
    lines = ["Skeletool Camera Calibration File V1.0"]
    for camera in range(CAMERAS):
        fx, fy, cx, cy = intrinsics(camera)[:4]
        lines += [
            f"name          {camera}",
            "  sensor      10 10",
            "  size        2048 2048",
            "  animated    0",
            f"  intrinsic   {fx} 0 {cx} 0 0 {fy} {cy} 0 0 0 1 0 0 0 0 1 ",
            "  extrinsic   1 0 0 10 0 -1 0 1398.1 0 0 -1 3852.6 0 0 0 1 ",
            "  radial      0",
        ]
    return "\n".join(lines) + "\n"


def test_content(name: str) -> dict[str, np.ndarray]:
    """What an annot_data.mat holds, in MATLAB's orientation."""
    points = person(TEST_SEQUENCES.index(name))
    pixels = seen(points, cameras_3dhp()[name].intrinsics)
    valid = np.ones((1, FRAMES))
    valid[0, 3] = 0
    points[3] = np.nan  # means nothing there
    activity = np.full((1, FRAMES), 1.0 + TEST_SEQUENCES.index(name))
    stored = {"annot2": pixels, "annot3": points, "univ_annot3": points * UNIV}
    return {key: value.transpose(2, 1, 0)[:, :, None] for key, value in stored.items()} | {
        "valid_frame": valid,
        "activity_annotation": activity,
        "bb_crop": np.zeros((4, FRAMES)),
    }


test_content.__test__ = False  # type: ignore[attr-defined]


def save_73(path: Path, content: dict[str, Any]) -> None:
    """A MATLAB 7.3 file: HDF5 after a header of 512 bytes, dimensions reversed, cells as references."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            if value.dtype == object:
                group = file.require_group("#refs#")
                references = np.empty(value.T.shape, dtype=h5py.ref_dtype)
                for place in np.ndindex(value.shape):
                    cell = group.create_dataset(f"{name}{place}", data=value[place].T)
                    references[place[::-1]] = cell.ref
                dataset = file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
            else:
                dataset = file.create_dataset(name, data=value.T)
            dataset.attrs["MATLAB_class"] = np.bytes_("cell" if value.dtype == object else "double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" "))


def save_train(source: Path, recording: str, seed: int) -> Path:
    folder = source / recording
    folder.mkdir(parents=True)
    savemat(folder / "annot.mat", train_content(seed), do_compression=True)
    (folder / "camera.calibration").write_text(calibration_text())
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two recordings and six test sequences, all of level 5, with a folder of images beside."""
    folder = tmp_path / "3dhp"
    (save_train(folder, "S1/Seq2", 1) / "imageSequence").mkdir()
    save_train(folder, SEQ, 2)
    for name in TEST_SEQUENCES:
        (folder / "mpi_inf_3dhp_test_set" / name).mkdir(parents=True)
        savemat(folder / "mpi_inf_3dhp_test_set" / name / "annot_data.mat", test_content(name))
    return folder


def prepare(source: Path, **arguments: Any) -> tuple[Path, list[str]]:
    """Where the files are, and the lines said."""
    out, lines = source.parent / "out", []
    prepare_3dhp(source, out, say=lines.append, **arguments)
    return out, lines


def refusal(source: Path, *parts: str, **arguments: Any) -> None:
    with pytest.raises(InputError) as caught:
        prepare(source, **arguments)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_the_names_give_the_published_indices() -> None:
    assert joints_17() == [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
    assert len(set(JOINTS_28)) == 28


@pytest.mark.parametrize("level", ["5", "7.3"])
@pytest.mark.parametrize("univ", [False, True])
def test_training_file(source: Path, level: str, univ: bool) -> None:
    if level == "7.3":
        save_73(source / SEQ / "annot.mat", train_content(2))
    out, lines = prepare(source, univ=univ, parts=["train"])
    assert sorted(path.name for path in out.iterdir()) == [TRAIN_FILE]
    data, cameras = (read_object(out / TRAIN_FILE, key) for key in ("data", "cameras"))
    assert {recording: fps for recording, (_, fps) in data.items()} == {"S1 Seq2": 50, "S2 Seq1": 25}
    for seed, (recording, (views, fps)) in enumerate(data.items(), 1):
        assert type(fps) is int and list(views) == list("01245678") == list(cameras[recording])
        for camera, view in views.items():
            points = person(100 * seed + int(camera))
            assert {name: array.dtype for name, array in view.items()} == {"data_3d": np.float32, "data_2d": np.float32}
            np.testing.assert_allclose(view["data_3d"], points * (UNIV if univ else 1), rtol=1e-6)
            np.testing.assert_allclose(view["data_2d"], seen(points, intrinsics(int(camera))), rtol=1e-6)
            entry = cameras[recording][camera]
            assert (entry["name"], entry["width"], entry["height"]) == (camera, 2048, 2048)
            assert tuple(entry["intrinsics"]) == intrinsics(int(camera))
    provenance = read_text(out / TRAIN_FILE, "provenance")
    assert provenance and ("univ_annot3" in provenance) == univ and "S1 Seq2, S2 Seq1" in provenance
    assert not read_plain(out / TRAIN_FILE, "synthetic") and "fps" not in entry_names(out / TRAIN_FILE)
    assert [line.split(":")[0] for line in lines] == ["note", "S1 Seq2", "S2 Seq1"]
    assert "50 fps" in lines[1] and f"{FRAMES} frames" in lines[1]
    loaded = load_3dhp_train(out)
    assert {(v.subject, v.action, v.fps) for v in loaded.videos} == {("S1", "Seq2", 50.0), ("S2", "Seq1", 25.0)}
    assert len(loaded.videos) == 16 and not loaded.synthetic and loaded.provenance == provenance
    assert not any("from the projected 3D" in note for note in loaded.notes)


@pytest.mark.parametrize("levels", ["5", "7.3", "both"])
def test_test_file_loads(source: Path, levels: str) -> None:
    for name in TEST_SEQUENCES:
        if levels == "7.3" or (levels == "both" and name < "TS5"):
            save_73(source / "mpi_inf_3dhp_test_set" / name / "annot_data.mat", test_content(name))
    out, _ = prepare(source, parts=["test"])
    assert sorted(path.name for path in out.iterdir()) == [TEST_FILE]
    stored = read_object(out / TEST_FILE, "data")
    for name in TEST_SEQUENCES:
        assert {key: value.shape for key, value in stored[name].items()} == {
            "data_3d": (FRAMES, 17, 3), "data_2d": (FRAMES, 17, 2), "valid": (FRAMES,), "activity": (FRAMES,)
        }  # fmt: skip
        points = person(TEST_SEQUENCES.index(name))
        valid = np.arange(FRAMES) != 3
        assert (stored[name]["valid"] == valid).all()
        np.testing.assert_allclose(stored[name]["data_3d"][valid], points[valid], rtol=1e-6)
    loaded = load_3dhp_test(out)
    assert [video.subject for video in loaded.videos] == list(TEST_SEQUENCES) and not loaded.synthetic
    assert not any("from the projected 3D" in note for note in loaded.notes)
    assert "annot3" in loaded.provenance and "true scale" in loaded.provenance


def test_subjects_and_cameras_are_chosen(source: Path) -> None:
    out, _ = prepare(source, parts=["train"], subjects=["S2"], cameras=[13, 0])
    data = read_object(out / TRAIN_FILE, "data")
    assert {recording: list(views) for recording, (views, _) in data.items()} == {"S2 Seq1": ["13", "0"]}
    refusal(source, "--subjects: S7 not in", "found S1, S2", subjects=["S7"])
    refusal(source, "camera.calibration: no camera 14", "--cameras", cameras=[14])


def test_calibration_with_a_radial_flag_of_one(tmp_path: Path) -> None:
    path = tmp_path / "camera.calibration"
    path.write_text(calibration_text().replace("radial      0", "radial      1"))
    assert list(read_calibration(path)) == [str(camera) for camera in range(CAMERAS)]


def test_it_goes_on_where_it_was_stopped(source: Path) -> None:
    annotations = source / SEQ / "annot.mat"
    whole = annotations.read_bytes()
    annotations.write_bytes(whole[: len(whole) // 2])
    refusal(source, str(annotations), "download it again")
    out = source.parent / "out"
    assert [path.name for path in (out / ".prepare" / "3dhp").iterdir()] == ["S1_Seq2.npz"]
    annotations.write_bytes(whole)
    _, lines = prepare(source)
    assert ["(made before)" in line for line in lines if line.startswith("S")] == [True, False]
    assert sorted(path.name for path in out.iterdir()) == [TEST_FILE, TRAIN_FILE]


def test_what_was_kept_is_made_again_when_its_source_or_the_wish_changes(source: Path) -> None:
    out = source.parent / "out"
    last = source / "mpi_inf_3dhp_test_set" / "TS6" / "annot_data.mat"
    whole = last.read_bytes()

    def stopped(**arguments: Any) -> list[str]:
        last.write_bytes(whole[:200])
        lines: list[str] = []
        with pytest.raises(InputError):
            prepare_3dhp(source, out, say=lines.append, **arguments)
        return [line.split(":")[0] for line in lines if "(made before)" in line]

    tests = ["TS1", "TS2", "TS3", "TS4", "TS5"]
    assert stopped() == []
    assert stopped() == ["S1 Seq2", "S2 Seq1", *tests]
    os.utime(source / SEQ / "camera.calibration", (1, 1))
    assert stopped() == ["S1 Seq2", *tests]
    assert stopped(cameras=[1, 2]) == tests
    assert stopped(univ=True) == []
    (out / ".prepare" / "3dhp" / "TS1.npz").write_bytes(b"PK damaged")
    assert stopped(parts=["test"], univ=True) == tests[1:]


def test_a_calibration_of_another_recording_is_warned_of(source: Path) -> None:
    path = source / SEQ / "camera.calibration"
    path.write_text(calibration_text().replace("1050.25", "1150"))
    _, lines = prepare(source, parts=["train"])
    assert "lies 100 px from the projected 3D" in lines[-1] and str(path) in lines[-1]


def change(**values: Any) -> Callable[[Path], None]:
    """The training recording with other variables; None takes one out."""

    def write(source: Path) -> None:
        content = {name: value for name, value in (train_content(2) | values).items() if value is not None}
        savemat(source / SEQ / "annot.mat", content)

    return write


def change_test(name: str, **values: Any) -> Callable[[Path], None]:
    def write(source: Path) -> None:
        content = {key: value for key, value in (test_content(name) | values).items() if value is not None}
        savemat(source / "mpi_inf_3dhp_test_set" / name / "annot_data.mat", content)

    return write


def calibrate(old: str, new: str, times: int = 1) -> Callable[[Path], None]:
    def write(source: Path) -> None:
        assert old in calibration_text()
        (source / SEQ / "camera.calibration").write_text(calibration_text().replace(old, new, times))

    return write


def shorter(camera: int) -> np.ndarray:
    found = train_content(2)["annot2"]
    found[camera, 0] = found[camera, 0][:-2]
    return found


def holed(camera: int) -> np.ndarray:
    found = train_content(2)["annot3"]
    found[camera, 0][5] = np.nan
    return found


def put(name: str, content: bytes | None) -> Callable[[Path], None]:
    def write(source: Path) -> None:
        (source / name).unlink() if content is None else (source / name).write_bytes(content)

    return write


TS2 = "mpi_inf_3dhp_test_set/TS2"
BROKEN: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no annotations": (put(f"{SEQ}/annot.mat", None), (f"{SEQ}/annot.mat: no such file; finish", "S2 Seq1")),
    "no calibration": (put(f"{SEQ}/camera.calibration", None), (f"{SEQ}/camera.calibration: no such file",)),
    "half download": (put(f"{SEQ}/x.mat.crdownload", b""), ("x.mat.crdownload: a download that was not finished",)),
    "half test download": (put(f"{TS2}/annot_data.mat.part", b""), ("TS2/annot_data.mat.part: a download",)),
    "no test file": (put(f"{TS2}/annot_data.mat", None), ("TS2/annot_data.mat: no such file; finish",)),
    "web page": (put(f"{SEQ}/annot.mat", b"<!DOCTYPE html>"), ("annot.mat: expected a MATLAB file", "DOCTYPE")),
    "empty file": (put(f"{SEQ}/annot.mat", b""), ("annot.mat: expected a MATLAB file", "an empty file")),
    "empty subject": (lambda source: (source / "S3").mkdir(), ("S3: no Seq1 or Seq2",)),
    "empty recording": (lambda source: (source / "S3/Seq1").mkdir(parents=True), ("S3/Seq1/annot.mat: no such file",)),
    "unknown recording": (lambda source: (source / "S3/Seq3").mkdir(parents=True), ("has no S3 Seq3",)),
    "unknown test": (lambda source: (source / "mpi_inf_3dhp_test_set/TS7").mkdir(), ("has no TS7",)),
    "variable missing": (change(annot3=None), (f"{SEQ}/annot.mat: expected the variables", "annot3 missing, found")),
    "no cells": (change(annot3=np.zeros((FRAMES, 84))), ("expected annot3 of 14 cells",)),
    "no numbers": (change(cameras="abc"), ("cameras: expected numbers",)),
    "few cells": (change(annot3=cells([np.zeros((3, 84))])), ("expected annot3 of 14 cells", "found 1 cells")),
    "wrong columns": (change(annot2=cells([np.zeros((9, 34))] * 14)),
                      ("annot2 of camera 0: expected (frames, 56)", "(9, 34)")),
    "frames": (change(annot2=shorter(4)),
               ("as many frames", f"{FRAMES} of annot3, camera 0 and {FRAMES - 2} of annot2, camera 4")),
    "not a number": (change(annot3=holed(7)), ("annot3 of camera 7: 1 of 12 frames hold NaN", "frame 5")),
    "other cameras": (change(cameras=np.arange(1, 15)), ("annot.mat: no camera 0, found 1, 2",)),
    "calibration header": (calibrate("Skeletool", "<html>"), ("camera.calibration: expected a text that begins with",)),
    "calibration cut": (lambda source: put(f"{SEQ}/camera.calibration", calibration_text()[:-150].encode())(source),
                        ("camera 13: ", "extrinsic", "missing or cut short")),
    "calibration line": (calibrate("  size        2048 2048\n", ""), ("camera 0: size missing",)),
    "calibration number": (calibrate("1500.0 0", "f 0"), ("camera 0: size or intrinsic is no numbers",)),
    "skew": (calibrate("1501.0 0", "1501.0 50"), ("camera 1: expected a size", "skew 50")),
    "no cameras": (lambda source: put(f"{SEQ}/camera.calibration", b"Skeletool Camera Calibration File V1.0\n")(source),
                   ("no camera in it",)),
    "test variable": (change_test("TS2", valid_frame=None), ("TS2/annot_data.mat: ", "valid_frame missing")),
    "test shape": (change_test("TS2", annot2=np.zeros((2, 28, 1, FRAMES))), ("expected annot2 of (2, 17, 1, frames)",)),
    "test frames": (change_test("TS2", valid_frame=np.ones((1, 5))), ("as many frames", "valid_frame 5")),
    "test flags": (change_test("TS2", valid_frame=np.full((1, FRAMES), 3)), ("valid_frame from 0 to 1, found 3",)),
    "activity": (change_test("TS2", activity_annotation=np.full((1, FRAMES), 9)), ("from 0 to 7, found 9",)),
    "nothing valid": (change_test("TS2", valid_frame=np.zeros((1, FRAMES))), ("no frame is valid",)),
    "test NaN": (change_test("TS2", annot2=np.full((2, 17, 1, FRAMES), np.nan)), ("11 of 12 frames hold NaN",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_downloads_are_one_clear_line(source: Path, case: str) -> None:
    spoil, parts = BROKEN[case]
    spoil(source)
    refusal(source, *parts)
    assert not list((source.parent / "out").glob("*.npz")) or case.startswith(("test", "activity", "nothing"))


@pytest.mark.parametrize("level", ["5", "5 compressed", "7.3"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, level: str) -> None:
    path = tmp_path / "annot_data.mat"
    content = test_content("TS1")
    save_73(path, content) if level == "7.3" else savemat(path, content, do_compression="compressed" in level)
    names = "annot2", "annot3", "valid_frame", "activity_annotation"
    whole, bytes_ = read_mat(path, names), path.read_bytes()
    assert list(whole) == list(names)
    refused = 0
    for length in range(0, len(bytes_), 97):
        path.write_bytes(bytes_[:length])
        try:
            found = read_mat(path, names)
            check_present(found, names, path)
        except InputError as error:
            assert "download it again" in str(error) and "\n" not in str(error)
            refused += 1
        else:  # nothing that is read was cut off
            assert all(np.array_equal(found[name], whole[name], equal_nan=True) for name in names)
    assert refused > 0.5 * len(bytes_) / 97


def test_without_h5py(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_73(source / SEQ / "annot.mat", train_content(2))
    monkeypatch.setitem(sys.modules, "h5py", None)
    refusal(source, f"{SEQ}/annot.mat: reading it needs h5py", "pip install h5py")


def test_wrong_folders(tmp_path: Path, source: Path) -> None:
    refusal(tmp_path / "none", "--source", "no such folder")
    refusal(source / "S1" / "Seq2", "no S1 to S8 found", "--test-only")
    refusal(source / "S1", "no TS1 to TS6 found", "--train-only", parts=["test"])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--out .*file: expected a folder"):
        prepare_3dhp(source, tmp_path / "file")


def test_flags(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def door(*flags: str) -> str:
        out = tmp_path / "-".join(["out", *flags])
        monkeypatch.setattr(sys, "argv", ["prepare_3dhp.py", "--source", str(source), "--out", str(out), *flags])
        runpy.run_path(str(SCRIPT))["main"]()
        assert f"wrote {out}" in capsys.readouterr().out
        return " ".join(sorted(path.name for path in out.iterdir()))

    assert door() == f"{TEST_FILE} {TRAIN_FILE}"
    assert door("--test-only") == TEST_FILE
    assert door("--train-only", "--subjects", "S1", "--cameras", "0,8") == TRAIN_FILE
    with pytest.raises(InputError, match="--cameras a: expected numbers"):
        door("--cameras", "a")


@pytest.mark.slow
def test_an_error_ends_the_script_with_code_2(tmp_path: Path) -> None:
    assert_ends_with_one_line(SCRIPT, "--source", tmp_path, "--out", tmp_path)
