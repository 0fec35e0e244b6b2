"""`lift.py` given a video: the detector runs once, its keypoints keep size and rate, one line for what fails."""

import json
import os
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from films import STEP, Finder, film, standing
from scripts import ROOT, assert_ends_with_one_line

from common.errors import InputError
from common.keypoints.read import read_keypoints
from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.run import footage
from common.video import choosing, detecting, saving
from common.video.choosing import DETECTORS
from common.video.detecting import keypoints_of
from common.video.detector import Detector


@pytest.fixture
def finder(monkeypatch) -> Finder:
    """The one detector that is installed."""
    made = Finder(standing())
    for name in list(DETECTORS):
        monkeypatch.delitem(DETECTORS, name)
    monkeypatch.setitem(DETECTORS, "fake", made.detector())
    return made


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model" / "tiny.bin"
    save_checkpoint(path, Lifter(MixSTE(9, 17, 16, 1), virtual_camera=True).eval(), 1, 0.0, {"arguments": {"rate": 10}})
    return path


def test_size_rate_joints_and_people_survive(finder, tmp_path):
    finder.people = 2
    saved = keypoints_of(film(tmp_path / "a.mp4"))
    assert saved == tmp_path / "a_keypoints.json"
    found = read_keypoints(saved)
    assert (found.format, found.order, found.frames, found.size, found.fps) == ("coco", "blazepose", 24, (160, 120), 30)
    assert found.frame.tolist() == [frame for frame in range(24) for _ in range(2)]
    np.testing.assert_array_equal(found.confidence, 0.875)
    for row, frame in enumerate(found.frame):
        expected = finder.person(8 + STEP * frame, 40, row % 2)
        np.testing.assert_allclose(found.pixels[row], expected[:, :2], atol=1)


def test_frames_without_people_or_pictures_stay_where_they_are(finder, tmp_path):
    """The square leaves the picture after 38 frames; the last two have nobody, and pictures 3 and 4 are missing."""
    there = [number for number in range(42) if number not in (3, 4)]
    found = read_keypoints(keypoints_of(film(tmp_path / "a.mkv", 40, [round(n * 1000 / 30) for n in there])))
    assert found.frames == 42 and found.fps == 30
    assert found.frame.tolist() == there[:38]
    assert "4 of 42 frames without a person" in found.notes


def test_the_detector_runs_once(finder, tmp_path, capsys):
    video = film(tmp_path / "a.mp4")
    saved = keypoints_of(video)
    assert "fake found people in 24 of 24 pictures" in capsys.readouterr().out
    first = saved.read_bytes()
    assert keypoints_of(video) == saved == keypoints_of(video, "fake")
    assert (finder.starts, finder.pictures) == (1, 24) and saved.read_bytes() == first
    assert "keypoints that fake found before, read from" in capsys.readouterr().out
    os.utime(video, (1, 1))  # copied: the time is another, the content is not
    keypoints_of(video)
    assert finder.starts == 1
    keypoints_of(video, again=True)
    assert finder.starts == 2
    film(video, 20)
    capsys.readouterr()
    assert read_keypoints(keypoints_of(video)).frames == 20
    assert finder.starts == 3 and "a.mp4 has changed since it was made" in capsys.readouterr().out


def test_saved_keypoints_need_neither_detector_nor_pyav(finder, tmp_path, monkeypatch):
    video = film(tmp_path / "a.mp4")
    saved = keypoints_of(video)
    monkeypatch.delitem(DETECTORS, "fake")
    monkeypatch.setitem(detecting.__dict__, "open_recording", None)
    assert keypoints_of(video) == saved


def test_another_detector_or_video_of_that_name_finds_them_anew(finder, tmp_path, monkeypatch, capsys):
    other = Finder(standing())
    monkeypatch.setitem(DETECTORS, "other", other.detector("other"))
    keypoints_of(film(tmp_path / "a.mp4"))
    assert keypoints_of(tmp_path / "a.mp4", "other") == keypoints_of(tmp_path / "a.mp4")
    assert (finder.starts, other.starts) == (
        1,
        1,
    ) and "made by fake; the detector runs again" in capsys.readouterr().out
    shutil.copy(tmp_path / "a.mp4", tmp_path / "a.mov")
    keypoints_of(tmp_path / "a.mov")
    assert finder.starts == 2 and "made from a.mp4" in capsys.readouterr().out


def test_a_file_of_somebody_else_is_not_overwritten(finder, tmp_path):
    video, theirs = film(tmp_path / "a.mp4", 3), tmp_path / "a_keypoints.json"
    for content in ("", '{"info": {"fps": 3},\n', "[]", '{"info": null}', "\udcff"):
        theirs.write_text(content, errors="surrogateescape")
        with pytest.raises(
            InputError, match="a_keypoints.json: expected saved keypoints of .*a.mp4, found a file that"
        ):
            keypoints_of(video, again=True)
        assert theirs.read_text(errors="surrogateescape") == content


def test_where_the_folder_cannot_be_written_they_go_to_o(finder, tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    video, out = film(tmp_path / "films" / "a.mp4", 3), tmp_path / "out"

    def only_out(dir):
        if dir != out:
            raise PermissionError(13, "Permission denied")
        return open(dir / "try", "w")

    monkeypatch.setattr(detecting.tempfile, "TemporaryFile", only_out)
    with pytest.raises(InputError, match=r"films cannot be written \(Permission denied\); give another folder with -o"):
        keypoints_of(video)
    assert finder.starts == 0
    assert keypoints_of(video, out=out) == out / "a_keypoints.json" == keypoints_of(video, out=out)
    assert finder.starts == 1 and [p.name for p in video.parent.iterdir()] == ["a.mp4"]


def test_nobody_in_the_video(finder, tmp_path):
    finder.people = 0
    with pytest.raises(InputError, match="a.mp4: expected people, fake found nobody in 24 frames"):
        keypoints_of(film(tmp_path / "a.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_run_that_is_stopped_leaves_nothing(finder, tmp_path, monkeypatch):
    video = film(tmp_path / "a.mp4")
    find = finder.find

    def stop(shown):
        if finder.pictures == 9:
            raise KeyboardInterrupt
        return find(shown)

    finder.find = stop
    with pytest.raises(KeyboardInterrupt):
        keypoints_of(video)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_line_of_progress(finder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(detecting.sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(detecting, "_OFTEN", 0)
    keypoints_of(film(tmp_path / "a.mp4"))
    said = capsys.readouterr().err
    assert "\n" not in said and "a.mp4: 24 of 24 pictures, " in said and said.endswith(" \r")


def test_no_detector_or_a_broken_one(tmp_path, monkeypatch):
    video = film(tmp_path / "a.mp4", 3)
    with pytest.raises(InputError, match="--detector 'openpose': not known, expected one of rtmlib, ultralytics, med"):
        keypoints_of(video, "openpose")
    monkeypatch.setattr(choosing.importlib.util, "find_spec", lambda name: None)
    every = "pip install rtmlib onnxruntime or pip install ultralytics or pip install mediapipe==0.10.21"
    with pytest.raises(InputError, match=f"a.mp4: a video, and no detector .* is installed; {every}"):
        keypoints_of(video)
    with pytest.raises(InputError, match="the detector rtmlib is not installed; pip install rtmlib onnxruntime$"):
        keypoints_of(video, "rtmlib")
    monkeypatch.undo()

    def no_weights():
        raise ConnectionError("Name or service\nnot known")

    def broken():
        raise ImportError("numpy 2 is not numpy 1")

    for start, words in ((no_weights, r"could not download them \(Name or service\)"), (broken, "numpy 2 .* pip inst")):
        monkeypatch.setitem(DETECTORS, "fake", Detector("fake", "json", "fake", "coco", start))
        with pytest.raises(InputError, match=f"a.mp4: the detector fake .*{words}") as caught:
            keypoints_of(video, "fake")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_flags_for_videos_with_a_file_of_keypoints(tmp_path):
    file = tmp_path / "keypoints.json"
    file.write_text("[]")
    assert keypoints_of(file) == file and keypoints_of(tmp_path) == tmp_path
    for flags, words in (({"detector": "mediapipe"}, "--detector is"), ({"again": True}, "--detect-again is")):
        with pytest.raises(InputError, match=f"keypoints.json: {words} for videos"):
            keypoints_of(file, **flags)


def test_memory_does_not_grow_with_the_video(tmp_path):
    """20 times as many frames take no more than the number of each."""
    body = standing()
    people = [np.concatenate([body, np.ones((len(body), 1))], 1)]

    def peak(count: int) -> int:
        found = ((number, (160, 120), people) for number in range(count))
        tracemalloc.start()
        saving.write(tmp_path / "a.json", {"video": "a", "detector": "b"}, "blazepose", found)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    few, many = peak(100), peak(2000)
    assert many - few < 2000 * 40


def test_a_video_is_lifted(finder, model, tmp_path, capsys):
    video = film(tmp_path / "a.mp4")
    footage.main([str(video), "-m", str(model), "--write", "npz,html"])
    assert {path.name for path in (tmp_path / "a_3d").iterdir()} == {"poses.npz", "poses.html"}
    with np.load(tmp_path / "a_3d" / "poses.npz") as found:
        about = json.loads(str(found["about"]))
        assert found["positions"].shape == (24, 17, 3) and np.isfinite(found["positions"]).all()
    assert about["source"] == "a.mp4" and not any("frames a second" in line for line in about["assumed"])
    said = capsys.readouterr().out
    assert "a.mp4: fake found people in 24 of 24 pictures" in said and "assumed image" not in said


@pytest.mark.slow
def test_bad_videos_end_with_one_line(model, tmp_path):
    file = tmp_path / "a.mp4"
    for content in (b"", b"no video"):
        file.write_bytes(content)
        assert_ends_with_one_line(ROOT / "lift.py", file, "-m", model)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "model"]
