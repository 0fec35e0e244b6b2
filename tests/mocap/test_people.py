"""Which files are whose."""

from pathlib import Path

import pytest

from common.errors import InputError
from common.mocap.people import assign_names, find_people


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def takes(folder: Path, wanted: str | None = None) -> dict[str, list[str]]:
    return {name: [path.name for path in person.takes] for name, person in find_people(folder, wanted).items()}


def test_numbers_folders_and_skeletons_say_who_it_is(tmp_path):
    folder = make(
        tmp_path, "05/05_01.bvh", "05/05_02.bvh", "all/06_01.bvh", "all/07_01.bvh", "anna/walk.bvh", "anna/run_02.bvh",
        "02/02.asf", "02/02_01.amc", "02/02_02.bvh", "dance1_subject3.bvh", "dance2_subject3.bvh", "bob_1.bvh",
    )  # fmt: skip
    assert takes(folder) == {
        "02": ["02_01.amc", "02_02.bvh"], "05": ["05_01.bvh", "05_02.bvh"], "06": ["06_01.bvh"], "07": ["07_01.bvh"],
        "anna": ["run_02.bvh", "walk.bvh"], "bob": ["bob_1.bvh"],
        "subject3": ["dance1_subject3.bvh", "dance2_subject3.bvh"],
    }  # fmt: skip


def test_files_beside_each_other_are_of_one_person(tmp_path):
    assert takes(make(tmp_path / "clara", "walk.bvh", "run.bvh")) == {"clara": ["run.bvh", "walk.bvh"]}


def test_a_take_in_both_formats_is_taken_once(tmp_path, capsys):
    folder = make(tmp_path, "07.asf", "07_01.amc", "07_01.bvh", "07_02.bvh")
    assert takes(folder) == {"07": ["07_01.amc", "07_02.bvh"]}
    assert "07: 07_01 in both formats, taken from ASF/AMC" in capsys.readouterr().out
    assert takes(folder, "bvh") == {"07": ["07_01.bvh", "07_02.bvh"]}
    assert takes(folder, "amc") == {"07": ["07_01.amc"]}


def test_people_without_the_wanted_format_are_left_out_and_said(tmp_path, capsys):
    folder = make(tmp_path, "05/05.asf", "05/05_01.bvh", "07/07.asf", "07/07_01.amc")
    assert takes(folder, "amc") == {"07": ["07_01.amc"]}
    assert "05: left out, no amc file" in capsys.readouterr().out
    assert takes(folder, "bvh") == {"05": ["05_01.bvh"]}


def test_a_skeleton_without_any_motion_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"05\.asf: no \.amc motion belongs"):
        find_people(make(tmp_path, "05.asf", "07.asf", "07_01.amc"))


def test_two_files_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="a second motion named 05_01 of person 05"):
        find_people(make(tmp_path, "a/05_01.bvh", "b/05_01.bvh"))


def test_nothing_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"--source .*: no \.asf and \.amc or \.bvh files"):
        find_people(tmp_path)
    with pytest.raises(InputError, match=r"no \.bvh files"):
        find_people(make(tmp_path, "07.asf", "07_01.amc"), "bvh")


def test_names():
    found = ["02", "03"]
    assert assign_names(found, None) == {"02": "02", "03": "03"}
    assert assign_names(found, None, h36m=True) == {"02": "S1", "03": "S5"}
    assert assign_names(found, "03") == {"03": "03"}
    assert assign_names(found, "03=anna, 02") == {"03": "anna", "02": "02"}
    with pytest.raises(InputError, match="8 skeletons for 7 subjects"):
        assign_names(list("abcdefgh"), None, h36m=True)
