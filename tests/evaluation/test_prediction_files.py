"""Predictions of others, scored: their layouts, parts of the six sequences, and what is named and not scored."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from made_3dhp import (
    make_predictions,
    make_test,
    scores_of,
    write_h36m_order,
    write_metres,
    write_official,
    write_official_73,
    write_p_stmo,
)
from scipy.io import savemat

from common.datasets.mpi_3dhp import TestSequence
from common.errors import InputError
from common.evaluation.mat_files import write_annotations, write_inference
from common.evaluation.prediction_files import read_annotations, read_inference, score_file
from common.evaluation.scores_3dhp import format_3dhp, official_pose

PROJECT = Path(__file__).parents[2]
FILE = "inference_data.mat"


@pytest.fixture(scope="module")
def test() -> list[TestSequence]:
    return make_test()


@pytest.fixture(scope="module")
def predicted(test: list[TestSequence]) -> dict[str, torch.Tensor]:
    return make_predictions(test)


@pytest.fixture
def folder(tmp_path: Path, test: list[TestSequence], predicted: dict[str, torch.Tensor]) -> Path:
    """What a run leaves."""
    write_inference(tmp_path / FILE, predicted)
    write_annotations(tmp_path / "test_annotations.mat", test)
    return tmp_path


def assert_scores(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys() and found["sequences"].keys() == wanted["sequences"].keys()
    assert format_3dhp(found) == format_3dhp(wanted)
    for row in ("mean_of_sequences", "all_frames"):
        for table in ("mpjpe", "pck", "auc"):
            assert found[row][table] == pytest.approx(wanted[row][table], abs=1e-9)


def refusal(*places: Path) -> str:
    with pytest.raises(InputError) as caught:
        score_file(*places)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_our_own_file(folder, test, predicted):
    title, scores = score_file(folder / FILE)
    assert title == f"{folder / FILE}, diffusion step 2 of 2"
    assert_scores(scores, scores_of(predicted, test, -1))


@pytest.mark.parametrize("axis", [True, False])
def test_p_stmos_file_has_the_valid_frames_alone(folder, test, predicted, axis):
    write_p_stmo(folder / FILE, predicted, test, axis)
    title, scores = score_file(folder / FILE)
    assert title.endswith("diffusion step 1 of 1")
    assert_scores(scores, scores_of(predicted, test, -1))


def test_every_layout_gives_the_same_poses(folder, test):
    """One valid frame, one frame in all and one step are not mistaken for each other."""
    labels = read_annotations(folder / "test_annotations.mat")
    sizes = {name: (len(x.valid), int(x.valid.sum())) for name, x in labels.items()}
    assert all(1 < counted < frames for frames, counted in sizes.values())
    rng = np.random.default_rng(0)
    frames, counted = sizes["TS3"]
    valid = labels["TS3"].valid
    whole = rng.normal(size=(3, 17, frames, 4))
    for stored, wanted in (
        (whole, whole[:, :, valid]),
        (whole[..., 0], whole[:, :, valid, :1]),
        (whole[:, :, None, :, 0], whole[:, :, valid, :1]),
        (whole[:, :, valid], whole[:, :, valid]),
        (whole[:, :, valid, 0], whole[:, :, valid, :1]),
        (whole[:, :, None, valid, 0], whole[:, :, valid, :1]),
    ):
        savemat(folder / "some.mat", {"TS3": stored})
        (found,) = read_inference(folder / "some.mat", labels).values()
        np.testing.assert_array_equal(found, wanted.transpose(2, 3, 1, 0))
    short = {"TS3": replace(labels["TS3"], valid=valid[:1], pose=labels["TS3"].pose[:1])}
    savemat(folder / "some.mat", {"TS3": whole[:, :, :1]})  # one frame, four steps
    assert read_inference(folder / "some.mat", short)["TS3"].shape == (1, 4, 17, 3)


@pytest.mark.parametrize("write", [write_official, write_official_73])
def test_the_official_folder(folder, test, predicted, write):
    if write is write_official_73:
        pytest.importorskip("h5py")
    (folder / "test_annotations.mat").unlink()
    write(folder / "official", test)
    _, scores = score_file(folder / FILE, folder / "official")
    assert_scores(scores, scores_of(predicted, test, -1))
    (folder / "official" / "TS4" / "annot_data.mat").unlink()
    title, scores = score_file(folder / FILE, folder / "official")
    assert title.endswith(", without TS4")
    assert_scores(scores, scores_of(predicted, [video for video in test if video.subject != "TS4"], -1))


@pytest.mark.skipif(find_spec("h5py") is None, reason="h5py is not installed")
def test_hdf5_files_ask_for_h5py_by_name(folder, test, monkeypatch):
    write_official_73(folder / "official", test)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install h5py" in refusal(folder / FILE, folder / "official")


def test_some_of_the_six(folder, test, predicted):
    some = {name: predicted[name] for name in ("TS5", "TS6")}
    write_inference(folder / FILE, some)
    title, scores = score_file(folder / FILE)
    assert title.endswith(", without TS1, TS2, TS3, TS4") and scores["sequences_of_six"] == 2
    assert_scores(scores, scores_of(predicted, test[4:], -1))
    assert "mean of 2 of the six sequences" in format_3dhp(scores)
    write_inference(folder / FILE, predicted)
    write_annotations(folder / "test_annotations.mat", test[4:])
    again_title, again = score_file(folder / FILE)
    assert (again_title, again) == (title, scores)


def test_labels_without_activities(folder, test, predicted):
    write_annotations(folder / "test_annotations.mat", [replace(video, activity=None) for video in test])
    _, scores = score_file(folder / FILE)
    assert scores["frames_without_activity"] == scores["all_frames"]["frames"]
    wanted = scores_of(predicted, test, -1)["all_frames"]
    assert scores["all_frames"]["mpjpe"] == pytest.approx(wanted["mpjpe"], abs=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.06, 0.12])
def test_metres_and_the_other_joint_order_are_named(folder, test, noise):
    """However good or bad the predictions are; right files are never taken for wrong ones."""
    rng = torch.Generator().manual_seed(1)
    poses = {
        video.subject: (video.pose + noise * torch.randn(video.pose.shape, generator=rng, dtype=torch.float64))[:, None]
        for video in test
    }
    write_metres(folder / FILE, poses)
    assert "expected millimetres; these look like metres, multiply by 1000" in refusal(folder / FILE)
    write_h36m_order(folder / FILE, poses)
    message = refusal(folder / FILE)
    assert str(folder / FILE) in message and "its joints look like Human3.6M-17 order" in message
    assert "expected MPI-INF-3DHP-17 order, head_top first; reorder them" in message
    write_inference(folder / FILE, poses)
    assert score_file(folder / FILE)[1]["sequences_of_six"] == 6


def test_metres_in_the_other_joint_order_are_metres_first(folder, predicted):
    write_h36m_order(folder / FILE, {name: poses / 1000 for name, poses in predicted.items()})
    assert "these look like metres" in refusal(folder / FILE)


def test_poor_predictions_are_scored(folder, test):
    """A person who never moves, one mirrored, one who is a point, and what a network says that has learnt nothing."""
    rng = torch.Generator().manual_seed(2)
    for poor in (
        lambda pose: pose.mean(0, keepdim=True).expand_as(pose),
        lambda pose: pose * torch.tensor([-1, 1, 1]),
        torch.zeros_like,
        lambda pose: 1e-3 * torch.randn(pose.shape, generator=rng, dtype=torch.float64),
        lambda pose: torch.randn(pose.shape, generator=rng, dtype=torch.float64),
    ):
        write_inference(folder / FILE, {video.subject: poor(video.pose)[:, None] for video in test})
        assert score_file(folder / FILE)[1]["mean_of_sequences"]["mpjpe"]["Average"] > 100


def test_what_is_wrong_is_named(folder, test, predicted):
    raw = {name: official_pose(p).transpose(3, 2, 0, 1) for name, p in predicted.items()}

    def wrong(**changes: object) -> str:
        savemat(folder / FILE, raw | changes)
        return refusal(folder / FILE)

    assert "TS4 of" in (message := wrong(TS4=raw["TS4"].transpose(2, 1, 0, 3))) and "26x17x3x2" in message
    assert "TS2 of" in (message := wrong(TS2=raw["TS2"][..., :1])) and "1 diffusion steps, TS1 has 2" in message
    assert "has 24 frames, its annotation has 26, of which" in wrong(TS4=raw["TS4"][:, :, :-2])
    broken = raw["TS4"].copy()
    broken[2, 5, 8] = np.nan
    assert "TS4 of" in (message := wrong(TS4=broken)) and "NaN or Inf, first at frame 9 (from 1)" in message
    savemat(folder / FILE, {"TS7": raw["TS1"]})
    assert "none of TS1 to TS6" in refusal(folder / FILE)
    savemat(folder / FILE, {"TS1": raw["TS1"]})
    write_annotations(folder / "test_annotations.mat", test[4:])
    assert "has TS1, the annotations have TS5, TS6: none in both" in refusal(folder / FILE)
    savemat(folder / "test_annotations.mat", raw)
    assert "test_annotations.mat: expected structs TS1 to TS6" in refusal(folder / FILE)
    (folder / "test_annotations.mat").unlink()
    assert "test_annotations.mat: no such file" in refusal(folder / FILE)
    (folder / "official").mkdir()
    assert "no TS1/annot_data.mat to TS6/annot_data.mat in it" in refusal(folder / FILE, folder / "official")
    (folder / FILE).write_text("text")
    write_annotations(folder / "test_annotations.mat", test)
    assert "expected a MATLAB file of level 5 or 7.3" in refusal(folder / FILE)
    assert "no such file" in refusal(folder / "absent.mat")


def test_from_a_shell(folder, test, predicted):
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "common.evaluation.scores_3dhp", *map(str, words)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)

    done = run(folder / FILE)
    assert (done.returncode, done.stderr) == (0, "")
    tables = format_3dhp(scores_of(predicted, test, -1))
    assert done.stdout == f"{folder / FILE}, diffusion step 2 of 2\n\n{tables}\n"
    done = run(folder / FILE, folder / "absent")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {folder / 'absent'}: no such file")
