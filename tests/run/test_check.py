"""The doctor: what it finds in a good data folder, in one without 3DHP, and in one with faults."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from common.__main__ import cli
from common.datasets.h36m_checks import FILE_2D, FILE_3D
from common.datasets.mpi_3dhp import TEST_FILE, TRAIN_FILE
from common.datasets.npz import read_label, read_object, write_npz
from common.errors import InputError
from common.run.check import check_folder, main


@pytest.fixture
def folder(sample_dir: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    for path in sample_dir.glob("*.npz"):
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / FILE_2D.format("gt")).unlink()
    return tmp_path


def change(path: Path, key: str, how) -> None:
    """Change an entry of a file in place; `how` is given the entry."""
    names = {"positions_3d": (), "positions_2d": ("metadata",), "data": ()}[key]
    others = {name: read_object(path, name) for name in names}
    entry = read_object(path, key)
    how(entry)
    provenance, synthetic = read_label(path, "")
    write_npz(path, **{key: entry}, **others, provenance=provenance, synthetic=synthetic)


def test_a_good_folder(folder, capsys):
    main([str(folder)])
    printed = capsys.readouterr().out
    assert "wrong:" not in printed
    assert "h36m_transfer.py: can run" in printed and "h36m_3dhp_transfer.py: can run" in printed
    row = next(
        line.split() for line in printed.splitlines() if line.startswith(f"{FILE_2D.format('cpn_ft_h36m_dbb')}  S1")
    )
    assert row[2:5] == ["60", "1", "4"] and row[-3:] == ["50", "0.00%", "yes"]
    assert printed.count("SYNTHETIC") == 3  # a file each


def test_a_folder_without_3dhp_is_good_for_the_other_script(folder, capsys):
    for name in (TRAIN_FILE, TEST_FILE):
        (folder / name).unlink()
    main([str(folder)])
    assert f"h36m_3dhp_transfer.py: lacks a good {TRAIN_FILE}, {TEST_FILE}" in capsys.readouterr().out


def test_five_faults(folder, capsys):
    def millimetres(poses):
        poses["S5"]["Walking"] = poses["S5"]["Walking"] * 1000

    def views(pixels):
        pixels["S6"]["Posing"] = pixels["S6"]["Posing"][:3]
        pixels["S7"]["Photo"][2][5, 3] = 1e9
        pixels["S8"]["Eating"][1] = np.zeros_like(pixels["S8"]["Eating"][1])

    change(folder / FILE_3D, "positions_3d", millimetres)
    change(folder / FILE_2D.format("cpn_ft_h36m_dbb"), "positions_2d", views)
    (folder / TRAIN_FILE).write_bytes((folder / TRAIN_FILE).read_bytes()[:5000])
    with pytest.raises(SystemExit) as caught:
        main([str(folder)])
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    wrong = [line for line in printed.splitlines() if line.startswith("wrong:")]
    for words in ("S5 Walking", "S6 Posing", "S7 Photo", "S8 Eating", TRAIN_FILE):
        assert sum(words in line for line in wrong) == 1, words
    assert len(wrong) == 5


def test_people_without_3d_are_said(folder, capsys):
    change(folder / FILE_3D, "positions_3d", lambda poses: poses.pop("S5"))
    main([str(folder)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "  S5 " in line]
    assert [row[-1] for row in rows] == ["no"]


def test_nothing_there(tmp_path):
    assert not check_folder(tmp_path).well
    with pytest.raises(InputError, match="no such folder"):
        check_folder(tmp_path / "absent")


def test_the_commands_of_the_package(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["posynda", "check", str(folder)])
    cli()
    assert "can run" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["posynda", "dance"])
    with pytest.raises(SystemExit) as caught:
        cli()
    assert caught.value.code == 2 and "expected one of check, lift, sample" in capsys.readouterr().err
