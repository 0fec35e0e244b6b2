"""What a lifted motion must be, and how it is saved."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from motions import bare, motion
from scripts import full_disk

from common.errors import InputError
from common.motion.poses import WRITERS

TEXTS = (".csv", ".json", ".trc", ".bvh")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"joints": np.zeros((40, 16, 3))}, r"joints should be of shape \(40, 17, 3\), found \(40, 16, 3\)"),
        ({"frames": np.arange(39)}, r"joints should be of shape \(39, 17, 3\)"),
        ({"to_camera": np.eye(3)}, "to_camera should be of shape"),
        ({"confidence": np.zeros((40, 17, 1))}, "confidence should be of shape"),
        ({"pixels": np.zeros((40, 17, 3))}, "pixels should be of shape"),
        ({"expected_error": np.full((40, 17), np.nan)}, "expected_error should be finite"),
        ({"to_camera": np.diag([1.0, 1.0, -1.0, 1.0])}, "rotation"),
        ({"to_camera": np.diag([2.0, 2.0, 2.0, 1.0])}, "rotation"),
        ({"to_camera": np.diag([1.0, 1.0, 1.0, 2.0])}, "rotation"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"frames": np.arange(40) ** 2}, "same step"),
        ({"frames": np.arange(40)[::-1]}, "same step"),
        ({"frames": np.zeros(40, dtype=int)}, "same step"),
        ({"frames": np.arange(40) / 2}, "whole numbers"),
    ],
)
def test_what_is_no_motion_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        motion(**changes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_joint_that_is_no_number_is_refused(value):
    joints = motion().joints
    joints[3, 5, 1] = value
    with pytest.raises(ValueError, match="joints should be finite"):
        motion(joints=joints)


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="needs a frame"):
        bare(joints=np.zeros((0, 17, 3)), frames=np.zeros(0, dtype=int))


def test_seconds_count_from_the_start_of_the_video():
    np.testing.assert_allclose(motion().seconds, np.arange(100, 140) / 29.97)
    every_second = motion(frames=np.arange(100, 180, 2))  # of a video of twice the rate
    np.testing.assert_allclose(every_second.seconds, np.arange(50, 90) / 29.97)
    np.testing.assert_allclose(motion(1).seconds, [100 / 29.97])


@pytest.mark.parametrize("name", ["a.fbx", "a", "a.npz.gz"])
def test_another_ending_is_an_input_error_that_names_the_endings(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=r"\.npz, \.csv, \.json, \.trc, \.bvh, \.c3d"):
        motion().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path: Path, suffix: str):
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        motion().save(tmp_path / "file" / f"a{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        motion().save(tmp_path / f"folder{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == {"file", f"folder{suffix}"}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_full_disk_is_an_input_error_and_leaves_nothing(tmp_path: Path, suffix: str):
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    with full_disk(), pytest.raises(InputError, match="cannot be written"):
        motion().save(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", TEXTS)
def test_text_is_utf_8_with_plain_line_ends_and_the_same_each_time(tmp_path: Path, suffix: str):
    motion().save(tmp_path / f"ä{suffix.upper()}")
    contents = (tmp_path / f"ä{suffix.upper()}").read_bytes()
    assert b"\r" not in contents and contents.endswith(b"\n") and contents.decode("utf-8")
    motion().save(tmp_path / f"ä{suffix.upper()}")
    assert (tmp_path / f"ä{suffix.upper()}").read_bytes() == contents


def test_a_missing_ezc3d_is_named_with_its_mend(tmp_path: Path, monkeypatch):
    def missing(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match="pip install ezc3d"):
        motion().save(tmp_path / "a.c3d")
    assert list(tmp_path.iterdir()) == []
