"""`lift.py` from end to end: a detector's file in, every kind of file out, one line for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bodies import batch
from scripts import ROOT, assert_ends_with_one_line, run_script

from common.errors import InputError
from common.footage import adapting
from common.geometry.skeleton import COCO_17, H36M_17
from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.motion.poses import WRITERS
from common.reprojection.bones import SourceBones, bone_lengths
from common.reprojection.refinement import Refinement
from common.run import footage
from common.run.footage_arguments import WRITTEN, endings
from common.viewer import motion
from common.viewer.view import PAGE

FRAMES = 31
SAME = {"nose": "Neck/Nose", "LAnkle": "LFoot", "RAnkle": "RFoot"}
BESIDE_THE_NOSE = {"LEye": (6, -5), "REye": (-6, -5), "LEar": (12, -3), "REar": (-12, -3)}


def coco(shift: float = 0.0) -> np.ndarray:
    """(F, 17, 2) pixels in a picture of 1000 x 1000."""
    seen = (batch(1, FRAMES).keypoints[0].numpy() + 1) * 500
    joints = []
    for name in COCO_17.joints:
        near = BESIDE_THE_NOSE.get(name, (0, 0))
        joint = "Neck/Nose" if name in BESIDE_THE_NOSE else SAME.get(name, name)
        joints.append(seen[:, H36M_17.index(joint)] + near)
    return np.stack(joints, 1) + [shift, 0]


def alphapose(path: Path, *people: np.ndarray, missing: range = range(0)) -> Path:
    """A file of people (F, 17, 2), seen in the same frames."""
    rows = [
        {"image_id": f"{f}.jpg", "category_id": 1, "score": 2.0, "keypoints": [x for p in pose for x in (*p, 0.9)]}
        for f in range(len(people[0]))
        if f not in missing
        for pose in (person[f].tolist() for person in people)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lifter that has learnt nothing, and bones to refine with."""
    torch.manual_seed(0)
    bones = bone_lengths([_bodies()])
    refinement = Refinement(SourceBones(bones, bones.clamp_min(0.01)), 0.002, "limits").to_dict()
    path = tmp_path_factory.mktemp("model") / "tiny.bin"
    about = {"arguments": {"rate": 5.0}, "refinement": refinement, "synthetic": True}
    save_checkpoint(path, Lifter(MixSTE(9, 17, 16, 1), virtual_camera=True).eval(), 1, 0.0, about)
    return path


def _bodies():
    from bodies import video

    return video(9)


def test_every_file_is_written(model, tmp_path, capsys):
    file = alphapose(tmp_path / "keypoints.json", coco())
    footage.main([str(file), "-m", str(model), "--size", "1000x1000", "--fps", "25", "--height", "1.8"])
    folder = tmp_path / "keypoints_3d"
    assert {p.name for p in folder.iterdir()} == {f"poses{ending}" for ending in WRITTEN}
    with np.load(folder / "poses.npz") as found:
        assert found["positions"].shape == (FRAMES, 17, 3) and np.isfinite(found["positions"]).all()
        about = json.loads(str(found["about"]))
    assert "COCO-17" in about["conversion"] and about["checkpoint"] == "tiny.bin"
    assert any("focal length" in line for line in about["assumed"])
    assert not any("size" in line or "frames a second" in line for line in about["assumed"])
    said = capsys.readouterr().out
    assert "alphapose, 31 frames" in said and "assumed focal length: 1200 pixels" in said and "reprojection" in said
    page = (folder / "poses.html").read_text()
    assert "synthetic people" in page


def test_what_is_not_known_is_assumed_aloud(model, tmp_path, capsys):
    file = alphapose(tmp_path / "keypoints.json", coco())
    footage.main([str(file), "-m", str(model), "--write", "npz", "-o", str(tmp_path / "out")])
    said = capsys.readouterr().out
    for words in ("frames a second: 30; give --fps", "image: ", "focal length: ", "size: that of the people"):
        assert f"assumed {words}" in said
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["poses.npz"]


@pytest.mark.parametrize("lens", [["--focal", "1500"], ["--fov", "36.87"]])
def test_a_lens_that_is_given_is_used(model, tmp_path, lens):
    file = alphapose(tmp_path / "keypoints.json", coco())
    footage.main([str(file), "-m", str(model), "--size", "1000x1000", "--write", "json", *lens])
    record = json.loads((tmp_path / "keypoints_3d" / "poses.json").read_text())
    assert record["camera"]["intrinsics"][0] == pytest.approx(1500, rel=1e-3)


def test_one_person_or_all(model, tmp_path, capsys):
    """Two people side by side, one of them out of sight for some frames; the other one is lifted unless asked."""
    file = alphapose(tmp_path / "keypoints.json", coco(), coco(400.0))
    rows = [row for row in json.loads(file.read_text()) if not (row["keypoints"][0] > 700 and row["image_id"] < "2")]
    file.write_text(json.dumps(rows))
    flags = [str(file), "-m", str(model), "--size", "1400x1000", "--write", "csv"]
    footage.main(flags)
    assert "2 people: 0 (31 frames)" in capsys.readouterr().out
    footage.main([*flags, "--person", "all", "-o", str(tmp_path / "all")])
    assert {p.name for p in (tmp_path / "all").iterdir()} == {"poses_0.csv", "poses_1.csv"}
    one = (tmp_path / "keypoints_3d" / "poses.csv").read_text()
    assert one == (tmp_path / "all" / "poses_0.csv").read_text()
    footage.main([*flags, "--person", "1", "-o", str(tmp_path / "second")])
    assert (tmp_path / "second" / "poses.csv").read_text() == (tmp_path / "all" / "poses_1.csv").read_text()


def test_frames_without_the_person_are_bridged_and_said(model, tmp_path, capsys):
    file = alphapose(tmp_path / "keypoints.json", coco(), missing=range(10, 20))
    footage.main([str(file), "-m", str(model), "--size", "1000x1000", "--fps", "30", "--write", "npz"])
    with np.load(tmp_path / "keypoints_3d" / "poses.npz") as found:
        assert len(found["positions"]) == FRAMES
    said = capsys.readouterr().out
    assert "32.3% of the joints missing" in said and "do not trust: 32% of joints missing" in said


def test_lifting_again_gives_the_same(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco())
    for folder in "ab":
        footage.main([str(file), "-m", str(model), "-o", str(tmp_path / folder)])
    for ending in WRITTEN:
        one, other = (tmp_path / folder / f"poses{ending}" for folder in "ab")
        if ending != ".npz":  # a zip has the time in it
            assert one.read_bytes() == other.read_bytes(), ending


def test_films_and_hypotheses_where_they_are_asked_for(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco())
    flags = [str(file), "-m", str(model), "--size", "1000x1000", "--fps", "25"]
    footage.main([*flags, "--write", "html,gif,png", "-num_proposals", "3", "-o", str(tmp_path / "three")])
    footage.main([*flags, "--write", "html", "-o", str(tmp_path / "one")])
    assert {p.name for p in (tmp_path / "three").iterdir()} == {"poses.html", "poses.gif", "poses.png"}
    assert (tmp_path / "three" / "poses.gif").read_bytes()[:4] == b"GIF8"
    three, one = ((tmp_path / name / "poses.html").read_text() for name in ("three", "one"))
    assert '"hypotheses":{"shape":[31,3,17,3]' in three and '"errorName":"spread of the hypotheses"' in three
    assert '"hypotheses":null' in one and '"error":null' in one
    assert "hypotheses, before refining" in three and "hypotheses, before refining" not in one


def test_a_film_that_cannot_be_written_is_said_before_any_work(model, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    file = alphapose(tmp_path / "keypoints.json", coco())
    with pytest.raises(InputError, match="poses.mp4: needs PyAV: pip install av"):
        footage.main([str(file), "-m", str(model), "--write", "npz,mp4"])
    assert not (tmp_path / "keypoints_3d").exists()


@pytest.mark.slow
def test_from_the_command_line(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco())
    done = run_script("lift.py", file, "-m", model, "--size", "1000x1000")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "keypoints_3d" / "poses.html").stat().st_size < 300_000
    help_text = run_script("lift.py", "--help").stdout
    assert len(help_text.splitlines()) < 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "flags"),
    [("", []), ("[]", []), ('[{"image_id": 1', []), ('{"a": 1}', []), (None, [])],
    ids=["empty", "nobody", "truncated", "something else", "no file"],
)
def test_bad_files_end_with_one_line(model, tmp_path, content, flags):
    file = tmp_path / "keypoints.json"
    if content is not None:
        file.write_text(content)
    assert_ends_with_one_line(ROOT / "lift.py", file, "-m", model, *flags)
    assert not (tmp_path / "keypoints_3d").exists()


@pytest.mark.parametrize(
    "flags",
    ["--size 10", "--size 0x5", "--fps 0", "--fps nan", "--focal -3", "--fov 180", "--height 9", "--write pdf",
     "--person 7", "--format gif", "-m missing.bin", "--focal 900 --fov 60", "-num_proposals 0"],
)  # fmt: skip
def test_bad_flags(model, tmp_path, flags):
    file = alphapose(tmp_path / "keypoints.json", coco())
    words = ["-m", str(model), "--size", "1000x1000", *flags.split()]
    with pytest.raises((SystemExit, Exception)) as caught:
        footage.main([str(file), *words])
    assert type(caught.value).__name__ in ("SystemExit", "InputError")
    assert not (tmp_path / "keypoints_3d").exists()


def test_a_place_that_cannot_be_written_is_said(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco())
    with pytest.raises(InputError, match="keypoints.json: cannot be made"):
        footage.main([str(file), "-m", str(model), "--size", "1000x1000", "-o", str(file)])
    assert json.loads(file.read_text())


def test_endings_are_known_before_any_work():
    assert set(WRITTEN) <= {*WRITERS, PAGE}
    assert endings("npz, .HTML,npz,") == [".npz", ".html"]
    for text, found in (("npz,pdf", "found .pdf"), ("", "found none"), (" ,", "found none")):
        with pytest.raises(InputError, match=f"--write: expected some of .npz.*{found}"):
            endings(text)


def test_a_folder_given_as_a_dot_is_called_by_its_name(model, tmp_path, monkeypatch):
    (tmp_path / "clip").mkdir()
    for number, pose in enumerate(coco()):
        joints = np.concatenate([pose, np.full((17, 1), 0.9)], 1)
        people = {"people": [{"pose_keypoints_2d": joints.ravel().tolist()}]}
        (tmp_path / "clip" / f"{number:012}_keypoints.json").write_text(json.dumps(people))
    monkeypatch.chdir(tmp_path / "clip")
    footage.main([".", "-m", str(model), "--size", "1000x1000", "--write", "json"])
    assert json.loads((tmp_path / "clip_3d" / "poses.json").read_text())["about"]["source"] == "clip"


@pytest.mark.parametrize(
    ("flags", "words"),
    [("--camera left", "is read with --calibration only"), ("--source .", "is read with --adapt only")],
)
def test_a_flag_without_the_one_it_belongs_to_is_refused(flags, words):
    with pytest.raises(InputError, match=words):
        footage.main(["keypoints.json", *flags.split()])


@pytest.mark.parametrize("flags", ["--format openpose", "--video left"])
def test_flags_of_keypoint_files_are_not_for_videos(tmp_path, flags):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(InputError, match="is for files of keypoints, found a video"):
        footage.main([str(tmp_path / "clip.mp4"), *flags.split()])


def test_detectors_are_not_for_folders(tmp_path):
    with pytest.raises(InputError, match="--detector is for videos, found a folder"):
        footage.main([str(tmp_path), "--detector", "rtmlib"])


def test_adapting_needs_bones_from_somewhere(tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "bare.bin", Lifter(MixSTE(9, 17, 16, 1)).eval(), 1, 0.0, {})
    file = alphapose(tmp_path / "keypoints.json", coco())
    with pytest.raises(InputError, match="carries no bones .* give --source DIR"):
        footage.main([str(file), "-m", str(tmp_path / "bare.bin"), "--adapt"])
    assert not (tmp_path / "keypoints_3d").exists()


def test_an_adapter_is_not_for_everybody(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco(), coco(400.0))
    with pytest.raises(InputError, match="is of one person, found 2"):
        footage.main([str(file), "-m", str(model), "--person", "all", "--adapter", "adapter.bin"])


@pytest.mark.slow
def test_adapting_first_and_the_adapter_again(tmp_path, sample_dir, monkeypatch, capsys):
    """The sample at a tenth of its length stands for the source; some updates are enough to see that all is wired."""
    monkeypatch.setattr(adapting, "STEPS", 24)
    monkeypatch.setattr(adapting, "BATCH_SIZE", 4)
    file = alphapose(tmp_path / "keypoints.json", np.concatenate([coco(), coco()[::-1]]))
    flags = [str(file), "--size", "1000x1000", "--fps", "20"]
    footage.main([*flags, "--adapt", "--source", str(sample_dir)])
    said, out = capsys.readouterr().out, tmp_path / "keypoints_3d"
    assert "learnt from SYNTHETIC" in said and "reprojection" in said and "before adaptation" in said
    if "stays as it was" in said:
        assert not (out / "adapter.bin").exists()
        pytest.fail("these updates made some score worse: choose other ones for this test")
    page = (out / "poses.html").read_text()
    assert "before adaptation" in page and "adapted" in page
    assert (out / "adapter.bin").stat().st_size < 600_000
    footage.main([*flags, "--adapter", str(out / "adapter.bin"), "-o", str(tmp_path / "again")])
    with np.load(out / "poses.npz") as one, np.load(tmp_path / "again" / "poses.npz") as other:
        np.testing.assert_allclose(one["positions"], other["positions"], atol=5e-3)
    footage.main([*flags, "-o", str(tmp_path / "plain")])
    with np.load(out / "poses.npz") as one, np.load(tmp_path / "plain" / "poses.npz") as other:
        assert np.abs(one["positions"] - other["positions"]).max() > 0.01


def test_too_little_to_adapt_to(model, tmp_path, sample_dir):
    file = alphapose(tmp_path / "keypoints.json", coco())
    with pytest.raises(InputError, match="seen for 31 frames, 0.5 s, expected 1.5 s or more"):
        footage.main([str(file), "-m", str(model), "--fps", "60", "--adapt", "--source", str(sample_dir)])
    with pytest.raises(InputError, match="data_3d_h36m"):
        footage.main([str(file), "-m", str(model), "--fps", "20", "--adapt", "--source", str(tmp_path)])


def test_smoothing_is_a_choice_and_said(model, tmp_path):
    file = alphapose(tmp_path / "keypoints.json", coco() + np.random.default_rng(0).normal(0, 3, (FRAMES, 17, 2)))
    found = {}
    for how in ("one-euro", "none"):
        footage.main([str(file), "-m", str(model), "--write", "json", "--smooth", how, "-o", str(tmp_path / how)])
        record = json.loads((tmp_path / how / "poses.json").read_text())
        assert record["about"]["smoothed"] == how
        found[how] = np.abs(np.diff(np.array(record["positions"]), n=2, axis=0)).mean()
    assert found["one-euro"] < 0.6 * found["none"]


def test_the_page_of_a_long_motion_is_thinned_out(model, tmp_path, monkeypatch):
    monkeypatch.setattr(motion, "LONGEST_PAGE", 10)
    file = alphapose(tmp_path / "keypoints.json", coco())
    footage.main([str(file), "-m", str(model), "--fps", "32", "--write", "html,json", "-o", str(tmp_path / "out")])
    page = (tmp_path / "out" / "poses.html").read_text()
    assert "one frame in 4 is shown" in page and '"fps":8.0' in page and '"frames":8,' in page
    assert len(json.loads((tmp_path / "out" / "poses.json").read_text())["positions"]) == FRAMES
