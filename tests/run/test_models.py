"""The lifters a run is given: finding them, what they decide, and what they carry."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from scripts import arguments as flags_of

from common.errors import InputError
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.keypoint_noise import KeypointNoise
from common.reprojection.refinement import Refinement
from common.run.models import (
    find_checkpoint,
    given_models,
    load_matching_lifter,
    refinement_of,
    stored_refinement,
    trained_rate,
)

CPU = torch.device("cpu")


def arguments(*flags: object) -> Namespace:
    """The flags of a run whose source videos have 50 frames a second, as the script completes them."""
    args = flags_of(*flags)
    args.rate = args.rate or 50 / args.downsample
    return args


def small_lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(3, 17, 16, 1), timesteps=20)


def foreign(path: Path) -> Lifter:
    """A file as D3DP writes it, with nothing but weights; returns the lifter in it."""
    lifter = small_lifter()
    named = {f"module.pose_estimator.{name}": value for name, value in lifter.denoiser.state_dict().items()}
    torch.save({"epoch": 1, "lr": 0.1, "optimizer": None, "model_pos": named}, path)
    return lifter


def test_checkpoints_are_found_in_the_folder_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.bin").write_text("inside")
    (tmp_path / "a.bin").write_text("here")
    (tmp_path / "b.bin").write_text("here")
    assert find_checkpoint("a.bin", out).read_text() == "inside"
    assert find_checkpoint("b.bin", out).read_text() == "here"
    assert find_checkpoint("out/a.bin", Path("out")).read_text() == "inside"
    assert find_checkpoint(str(tmp_path / "a.bin"), out).read_text() == "here"
    with pytest.raises(InputError, match="c.bin"):
        find_checkpoint("c.bin", out)


def test_what_is_given_has_a_name(tmp_path):
    save_checkpoint(tmp_path / "a.bin", small_lifter(), 1, 0.1, {})
    for flag, name in (("--evaluate", "evaluated"), ("--source-checkpoint", "source_only")):
        assert list(given_models(arguments("-c", tmp_path, flag, tmp_path / "a.bin"), CPU, "h36m")) == [name]
    assert given_models(arguments("-c", tmp_path), CPU, "h36m") == {}
    both = arguments("-c", tmp_path, "--evaluate", "a.bin", "--source-checkpoint", tmp_path / "a.bin")
    assert list(given_models(both, CPU, "h36m")) == ["source_only", "evaluated"]  # before and after


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_given_model_says_how_it_looks_and_draws(tmp_path, deterministic):
    error = 0.0 if deterministic else 0.05
    lifter = Lifter(small_lifter().denoiser, 20, 2.0, not deterministic, deterministic, error)
    save_checkpoint(tmp_path / "a.bin", lifter, 1, 0.1, {})
    args = arguments("-num_proposals", 7, "-sampling_timesteps", 3, *([] if deterministic else ["--no-virtual-camera"]))
    load_matching_lifter(tmp_path / "a.bin", args, CPU, "h36m")
    assert (args.virtual_camera, args.deterministic) == (not deterministic, deterministic)
    assert (args.timestep, args.scale, args.prior_error) == (20, 2.0, error)
    assert (args.num_proposals, args.sampling_timesteps) == ((1, 1) if deterministic else (7, 3))


def test_a_lifter_of_other_joints_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.bin", Lifter(MixSTE(3, 16, 16, 1)), 1, 0.1, {})
    with pytest.raises(InputError, match="16 joints, expected 17"):
        load_matching_lifter(tmp_path / "a.bin", arguments(), CPU, "h36m")


def test_a_lifter_of_another_frame_rate_is_refused(tmp_path):
    path = tmp_path / "a.bin"
    # Before there was --rate, checkpoints told --downsample of 50 frames a second.
    for trained in ({"downsample": 5}, {"downsample": 1, "rate": 10.0}, {"downsample": 10, "rate": 10}):
        save_checkpoint(path, small_lifter(), 1, 0.1, {"arguments": trained})
        for other in ((), ("--downsample", 2), ("--rate", 9.5), ("--rate", 10.5)):
            with pytest.raises(InputError, match="was trained at 10 frames a second, this run has .*add --rate 10$"):
                load_matching_lifter(path, arguments(*other), CPU, "h36m")
        for same in (("--downsample", 5), ("--rate", 10), ("--rate", 10.1)):
            load_matching_lifter(path, arguments(*same), CPU, "h36m")


def test_a_lifter_that_does_not_say_its_frame_rate_is_taken(tmp_path):
    for about in ({}, {"arguments": {}}):
        save_checkpoint(tmp_path / "a.bin", small_lifter(), 1, 0.1, about)
        load_matching_lifter(tmp_path / "a.bin", arguments("--rate", 12), CPU, "h36m")
    assert trained_rate({}, 12.0) == 12 and trained_rate({"rate": None, "downsample": 2}, 12.0) == 25
    for damaged in ([1], {"rate": "x"}, {"rate": -1.0}, {"rate": float("nan")}, {"downsample": 0}):
        with pytest.raises(InputError, match="tell no frame rate"):
            trained_rate(damaged, 12.0)


def test_the_joint_order_of_a_foreign_checkpoint_must_be_said_where_it_is_not_known(tmp_path, capsys):
    foreign(tmp_path / "a.bin")
    with pytest.raises(InputError, match="a.bin.*--checkpoint-joint-order h36m or 3dhp"):
        load_matching_lifter(tmp_path / "a.bin", arguments(), CPU, None)
    load_matching_lifter(tmp_path / "a.bin", arguments(), CPU, "h36m")
    assert "Human3.6M-17" in capsys.readouterr().out
    save_checkpoint(tmp_path / "ours.bin", small_lifter(), 1, 0.1, {})
    load_matching_lifter(tmp_path / "ours.bin", arguments(), CPU, None)


def test_a_lifter_in_3dhp_order_gives_the_same_poses_in_ours(tmp_path):
    theirs = foreign(tmp_path / "a.bin").eval()
    flags = arguments("--checkpoint-joint-order", "3dhp")
    ours = load_matching_lifter(tmp_path / "a.bin", flags, CPU, None)
    x_2d, x_3d, t = torch.randn(2, 3, 17, 2), torch.randn(2, 1, 3, 17, 3), torch.tensor([3, 12])
    with torch.no_grad():
        wanted = theirs.denoise(x_2d, x_3d, t)
        found = ours.denoise(*(convert(x, MPI_3DHP_17, H36M_17) for x in (x_2d, x_3d)), t)
    assert torch.allclose(found, convert(wanted, MPI_3DHP_17, H36M_17), atol=1e-5)


@pytest.fixture
def refinement() -> Refinement:
    return Refinement(SourceBones(0.1 * torch.rand(17), torch.rand(17)), 0.003, "snap")


def test_a_stored_refinement_is_found_unless_unwanted(tmp_path, refinement):
    for name, about in (("adapted.bin", {"refinement": refinement.to_dict()}), ("source.bin", {"arguments": {}})):
        save_checkpoint(tmp_path / name, small_lifter(), 1, 0.1, about)
    foreign(tmp_path / "released.bin")
    lifter, noise = small_lifter(), KeypointNoise(1.0, 0.002)

    def found(name: str, *flags: str) -> Refinement | None:
        return refinement_of("evaluated", lifter, [], noise, arguments("--evaluate", tmp_path / name, *flags))

    assert found("adapted.bin").to_dict() == refinement.to_dict()  # the file's mode, whatever the default
    assert found("adapted.bin", "--refine", "none") is None
    assert found("source.bin") is None and found("released.bin") is None
    assert stored_refinement(tmp_path / "source.bin") is None


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": [0.1] * 16}, {"apparent": None}, {"apparent": [[1.0]] * 17}, {"noise": "much"}, {"noise": 1.0},
        {"noise": float("nan")}, {"mode": "none"}, {"mode": 3}, {"lengths": ["x"] * 17},
    ],
)  # fmt: skip
def test_a_refinement_that_cannot_be_is_refused(tmp_path, refinement, change):
    save_checkpoint(tmp_path / "a.bin", small_lifter(), 1, 0.1, {"refinement": refinement.to_dict() | change})
    with pytest.raises(InputError, match="a.bin: its refinement.*train it again"):
        stored_refinement(tmp_path / "a.bin")
