"""`open_model.py`: trains from a folder of motion capture, goes on where it stopped, and says what is wrong."""

import math

import pytest
import torch
from invented import some_motion
from mocap.bvh_files import bvh_text, dance
from scripts import ROOT, assert_ends_with_one_line

from common.errors import InputError
from common.model.checkpoint import load_lifter, read_checkpoint, weights_hash
from common.openmodel import command
from common.openmodel.clips import one_batch
from common.openmodel.training import CHECKPOINT, Settings, learning_rate, loss_of, train
from common.openmodel.validation import EXACT, Errors, ValidationSet, lifted, measured_refinement
from common.reprojection.bones import SourceBones

TINY = {"channels": 16, "depth": 1, "frames": 4, "epochs": 2, "steps": 3, "batch_size": 4}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path):
    motion, said = some_motion(), []
    held_out = ValidationSet.of(some_motion(seed=5), 4, 5.0, seed=0, count=8)
    settings = Settings(**TINY)
    whole = train(settings, motion, held_out, tmp_path / "whole", {}, say=said.append)
    assert len(said) == 2 and "held out exact" in said[-1]
    train(settings, motion, held_out, tmp_path / "parts", {}, minutes=0)
    assert read_checkpoint(tmp_path / "parts" / CHECKPOINT)["epoch"] == 1
    rest = train(settings, motion, held_out, tmp_path / "parts", {}, resume=True)
    assert weights_hash(rest) == weights_hash(whole)
    history = read_checkpoint(tmp_path / "parts" / CHECKPOINT)["about"]["history"]
    assert [record["epoch"] for record in history] == [1, 2] and "exact" in history[1]


def test_a_finished_run_is_not_overwritten_and_sizes_must_agree(tmp_path):
    motion = some_motion()
    train(Settings(**TINY), motion, None, tmp_path, {})
    with pytest.raises(InputError, match="--resume"):
        train(Settings(**TINY), motion, None, tmp_path, {})
    with pytest.raises(InputError, match="another size"):
        train(Settings(**TINY | {"channels": 32}), motion, None, tmp_path, {}, resume=True)


@pytest.mark.slow
def test_training_learns(tmp_path):
    motion = some_motion()
    settings = Settings(**TINY | {"epochs": 1, "steps": 120, "batch_size": 16, "lr": 0.02})
    held_out = ValidationSet.of(motion, 4, 5.0, seed=1, count=32)
    before = held_out.errors(settings.lifter().eval())["exact"].mpjpe
    after = held_out.errors(train(settings, motion, None, tmp_path, {}))["exact"].mpjpe
    assert after < 0.7 * before


def test_losses_vanish_at_the_truth_and_depth_counts_more():
    pose = one_batch(some_motion(), 4, 5.0, EXACT, 8, torch.Generator().manual_seed(0)).pose
    ones = torch.ones(8, 1, 1)
    sideways, deeper = pose.clone(), pose.clone()
    sideways[..., 5, 0] += 0.1
    deeper[..., 5, 2] += 0.1
    for kind in ("mpjpe", "squared", "depth"):
        assert loss_of(pose, pose, ones, kind) == 0
        assert loss_of(deeper, pose, ones, kind) > 0
    assert loss_of(deeper, pose, ones, "depth") > loss_of(sideways, pose, ones, "depth")


def test_the_learning_rate_rises_and_falls():
    settings = Settings(epochs=10, steps=400)
    rates = [learning_rate(settings, step) for step in range(4001)]
    assert rates.index(max(rates)) < 400 and rates[0] < 0.01 * settings.lr
    assert math.isclose(rates[-1], 0.02 * settings.lr)


def test_errors_are_of_the_limbs_in_millimetres():
    pose = torch.randn(3, 4, 17, 3)
    off = pose + torch.tensor([0.03, 0.0, 0.04])
    errors = Errors.of(off, pose)
    assert math.isclose(errors.mpjpe, 50, rel_tol=1e-3) and errors.aligned < 0.01


def test_refined_validation_uses_the_bones_that_are_seen():
    motion = some_motion()
    held_out = ValidationSet.of(motion, 4, 5.0, seed=1, count=8)

    class Knows(type(Settings(**TINY).lifter())):  # a lifter that knows the clips
        def sample(self, x_2d, *_, **__):
            known = (held_out.exact, held_out.detected, truth)
            batch = next(b for b in known if torch.equal(b.keypoints[: len(x_2d)], x_2d))
            return batch.pose[:, None, None]

    truth = one_batch(motion, 4, 5.0, EXACT, 8, torch.Generator().manual_seed(3))
    lifter = Settings(**TINY).lifter()
    lifter.__class__ = Knows
    torch.testing.assert_close(lifted(lifter, truth), truth.pose)
    assert held_out.errors(lifter)["exact"].mpjpe < 1e-3


@pytest.mark.slow
def test_the_command_trains_from_bvh_files(tmp_path, capsys):
    for number in range(3):
        folder = tmp_path / "mocap" / f"person_{number}"
        folder.mkdir(parents=True)
        (folder / "walk.bvh").write_text(bvh_text(dance(600, seed=number)))
    flags = ["--mocap", str(tmp_path / "mocap"), "-o", str(tmp_path / "run"), "--no-sample", *FLAGS]
    command.main([*flags, "--hold-out", "person_2"])
    printed = capsys.readouterr().out
    assert "held out: 1 people" in printed and "epoch 2/2" in printed
    about = read_checkpoint(tmp_path / "run" / CHECKPOINT)["about"]
    assert about["held_out"] == ["person_2"] and "person_2" not in about["data"]
    assert load_lifter(tmp_path / "run" / CHECKPOINT).frames == 4
    with pytest.raises(InputError, match="--hold-out nobody"):
        command.main([*flags, "--hold-out", "nobody"])
    with pytest.raises(InputError, match="--without wings"):
        command.main([*flags, "--without", "noise,wings"])


@pytest.mark.slow
def test_a_missing_folder_is_one_line(tmp_path):
    assert_ends_with_one_line(ROOT / "open_model.py", "--mocap", tmp_path / "none")


@pytest.mark.parametrize(("flags", "wrong"), [
    ([], "--mocap: expected a folder"), (["--steps", "0"], "--steps: expected a number above zero, found 0"),
    (["--channels", "30"], "--channels: expected a multiple of 8"), (["--without", "wings"], "--without wings"),
])  # fmt: skip
def test_wrong_flags_are_said(tmp_path, flags, wrong):
    with pytest.raises(InputError, match=wrong):
        command.main([*(["--mocap", str(tmp_path)] if flags else []), *flags])


def test_a_lifter_too_poor_to_measure_bones_with_carries_no_refinement(tmp_path, monkeypatch):
    def fail(*_):
        raise InputError("no bone has a length")

    monkeypatch.setattr(SourceBones, "measure", fail)
    assert measured_refinement(Settings(**TINY).lifter().eval(), some_motion(), 5.0, 0) is None
    train(Settings(**TINY), some_motion(), None, tmp_path, {})
    assert "refinement" not in read_checkpoint(tmp_path / CHECKPOINT)["about"]
