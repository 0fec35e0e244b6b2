"""The output folder, resuming, and the checkpoints a run is given."""

import os
import platform
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from scripts import ROOT, arguments

from common.errors import InputError
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement
from common.run.arguments import plain_arguments
from common.run.device import pick_device
from common.run.models import find_checkpoint, fitting_lifter, stored_refinement
from common.run.stages import (
    MUST_MATCH,
    MUST_MATCH_IN,
    WARMUP_STEPS,
    keep_epoch,
    prepare_folder,
    restore,
    resumed,
    set_learning_rate,
)

# The output folder.


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def files_under(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_new_folder_is_made(tmp_path, capsys):
    prepare_folder(arguments("-c", tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir() and capsys.readouterr().out == ""


def test_an_old_run_is_moved_aside_and_nothing_is_lost(tmp_path, capsys):
    out = folder_of(
        tmp_path / "out", best_epoch__bin="1", source_epoch_20__bin="2", metrics__json="3", table__txt="4",
        curves__png="5", notes__md="mine",
    )  # fmt: skip
    args = arguments("-c", out)
    prepare_folder(args)
    moved = {
        "best_epoch.bin": "1",
        "source_epoch_20.bin": "2",
        "metrics.json": "3",
        "table.txt": "4",
        "curves.png": "5",
    }
    first = {f"previous-1/{name}": text for name, text in moved.items()}
    assert files_under(out) == first | {"notes.md": "mine"}
    assert "previous-1" in capsys.readouterr().out
    prepare_folder(args)
    assert files_under(out) == first | {"notes.md": "mine"}  # nothing to move

    (out / "latest_epoch.bin").write_text("second")
    prepare_folder(args)
    assert files_under(out) == first | {"notes.md": "mine", "previous-2/latest_epoch.bin": "second"}
    for path in (out / "previous-1").iterdir():
        path.unlink()
    (out / "previous-1").rmdir()
    (out / "latest_epoch.bin").write_text("third")
    prepare_folder(args)  # previous-1 is free, previous-2 is not
    (out / "latest_epoch.bin").write_text("fourth")
    prepare_folder(args)
    assert files_under(out) == {
        "notes.md": "mine", "previous-1/latest_epoch.bin": "third", "previous-2/latest_epoch.bin": "second",
        "previous-3/latest_epoch.bin": "fourth",
    }  # fmt: skip


def test_a_report_without_checkpoints_is_kept_too(tmp_path):
    out = folder_of(tmp_path / "out", metrics__json="3")
    prepare_folder(arguments("-c", out))
    assert files_under(out) == {"previous-1/metrics.json": "3"}


def test_resuming_moves_nothing_and_needs_something(tmp_path):
    out = folder_of(tmp_path / "out", latest_epoch__bin="1", metrics__json="2")
    before = files_under(out)
    prepare_folder(arguments("-c", out, "--resume"))
    assert files_under(out) == before
    with pytest.raises(InputError, match="holds no checkpoint"):
        prepare_folder(arguments("-c", tmp_path / "empty", "--resume"))


def test_the_source_checkpoint_is_not_moved_from_under_a_run(tmp_path, monkeypatch):
    out = folder_of(tmp_path / "out", best_epoch__bin="1")
    monkeypatch.chdir(tmp_path)
    for given in ("out/best_epoch.bin", "./out/best_epoch.bin", out / "best_epoch.bin", "out/../out/best_epoch.bin"):
        with pytest.raises(InputError, match="lies in the output folder"):
            prepare_folder(arguments("-c", "out", "--source-checkpoint", given))
    assert files_under(out) == {"best_epoch.bin": "1"}


def test_an_output_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="-c"):
            prepare_folder(arguments("-c", path))


def test_checkpoints_are_found_in_the_folder_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = folder_of(tmp_path / "out", a__bin="inside")
    (tmp_path / "a.bin").write_text("here")
    (tmp_path / "b.bin").write_text("here")
    assert find_checkpoint("a.bin", out).read_text() == "inside"
    assert find_checkpoint("b.bin", out).read_text() == "here"
    assert find_checkpoint("out/a.bin", Path("out")).read_text() == "inside"
    assert find_checkpoint(str(tmp_path / "a.bin"), out).read_text() == "here"
    with pytest.raises(InputError, match="c.bin"):
        find_checkpoint("c.bin", out)


# Resuming.


def small_lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(3, 17, 16, 1), timesteps=20)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Namespace, torch.Generator]:
    """A folder with an adaptation stopped after its second epoch, and the generator as it was left."""
    args = arguments("-c", tmp_path, "-cf", 2, "-cs", 16, "-dep", 1, "-f", 3, "-timestep", 20)
    lifter, generator = small_lifter(), torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(lifter.parameters())
    torch.rand(7, generator=generator)
    history, about = [{"epoch": 1, "lr": 0.1}], {"arguments": plain_arguments(args)}
    keep_epoch("adapted", lifter, optimizer, history, generator, about, args)
    history.append({"epoch": 2, "lr": 0.1})
    keep_epoch("adapted", lifter, optimizer, history, generator, about, args, {"base": "00"})
    args.resume = ""
    return args, generator


def test_resumed_state(kept):
    args, generator = kept
    assert {path.name for path in args.checkpoint.iterdir()} == {"latest_epoch.bin", "epoch_2.bin"}
    wanted = torch.rand(3, generator=generator)
    state = resumed("adapted", args)
    assert state["epoch"] == 2 and state["training"]["base"] == "00"
    again = torch.Generator()
    assert restore(state, again) == [{"epoch": 1, "lr": 0.1}, {"epoch": 2, "lr": 0.1}]
    assert torch.equal(torch.rand(3, generator=again), wanted)
    lifter = small_lifter()
    lifter.pose_estimator.load_state_dict(state["training"]["student"])
    torch.optim.AdamW(lifter.parameters()).load_state_dict(state["optimizer"])


def test_what_is_not_there_begins_anew(kept):
    args, _ = kept
    assert resumed("source_only", args) is None
    args.resume = None
    assert resumed("adapted", args) is None


def test_a_named_file_is_resumed_by_its_own_stage(kept):
    args, _ = kept
    (args.checkpoint / "latest_epoch.bin").rename(args.checkpoint / "stopped.bin")
    args.resume = "stopped.bin"
    assert resumed("source_only", args) is None
    assert resumed("adapted", args)["epoch"] == 2


@pytest.mark.parametrize("name", MUST_MATCH + MUST_MATCH_IN["adapted"])
def test_another_setting_is_refused_by_name(kept, name):
    args, _ = kept
    old = getattr(args, name, None)  # a script has only its own target's flags
    new = (
        "x"
        if old is None
        else not old
        if isinstance(old, bool)
        else ["S11"]
        if isinstance(old, list)
        else old + old or 1
    )
    assert new != old
    setattr(args, name, new)
    with pytest.raises(InputError) as caught:
        resumed("adapted", args)
    message = str(caught.value)
    assert f"{name} {old}" in message and str(new) in message and "latest_epoch.bin" in message


def test_settings_that_a_run_may_change(kept):
    args, _ = kept
    args.epochs, args.source_lr, args.checkpoint_frequency, args.log = 100, 1e-5, 7, Path("elsewhere")
    assert resumed("adapted", args)["epoch"] == 2


@pytest.mark.parametrize("stage", ["source_only", "adapted"])
def test_weights_alone_cannot_be_resumed(kept, stage):
    args, _ = kept
    args.resume = "epoch_2.bin"
    with pytest.raises(InputError, match="epoch_2.bin.*weights only"):
        resumed(stage, args)


def test_resuming_from_a_file_that_is_not_there(kept):
    args, _ = kept
    args.resume = "absent.bin"
    with pytest.raises(InputError, match="absent.bin"):
        resumed("adapted", args)


def test_sizes_of_a_given_model_can_be_resumed_without_naming_them(tmp_path):
    # fitting_lifter puts the file's sizes into the arguments: what is stored and compared must be these.
    save_checkpoint(tmp_path / "source.bin", small_lifter(), 1, 0.1, {})
    flags = "-c", tmp_path / "out", "--source-checkpoint", tmp_path / "source.bin"
    args = arguments(*flags)
    lifter = fitting_lifter(args.source_checkpoint, args, torch.device("cpu"), "h36m")
    assert (args.channels, args.depth, args.number_of_frames, args.timestep) == (16, 1, 3, 20)
    optimizer = torch.optim.AdamW(lifter.parameters())
    about = {"arguments": plain_arguments(args)}
    keep_epoch("adapted", lifter, optimizer, [{"epoch": 1, "lr": 0.1}], torch.Generator(), about, args)
    again = arguments(*flags, "--resume")
    fitting_lifter(again.source_checkpoint, again, torch.device("cpu"), "h36m")
    assert resumed("adapted", again)["epoch"] == 1


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_given_model_says_how_it_looks_and_draws(tmp_path, deterministic):
    lifter = Lifter(small_lifter().pose_estimator, 20, virtual_camera=not deterministic, deterministic=deterministic)
    save_checkpoint(tmp_path / "a.bin", lifter, 1, 0.1, {})
    args = arguments("-num_proposals", 7, "-sampling_timesteps", 3, *([] if deterministic else ["--no-virtual-camera"]))
    fitting_lifter(tmp_path / "a.bin", args, torch.device("cpu"), "h36m")
    assert (args.virtual_camera, args.deterministic) == (not deterministic, deterministic)
    assert (args.num_proposals, args.sampling_timesteps) == ((1, 1) if deterministic else (7, 3))


def test_a_lifter_of_other_joints_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.bin", Lifter(MixSTE(3, 16, 16, 1)), 1, 0.1, {})
    with pytest.raises(InputError, match="16 joints, expected 17"):
        fitting_lifter(tmp_path / "a.bin", arguments(), torch.device("cpu"), "h36m")


def test_a_lifter_of_another_frame_rate_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.bin", small_lifter(), 1, 0.1, {"arguments": {"downsample": 5}})
    with pytest.raises(InputError, match="add --downsample 5"):
        fitting_lifter(tmp_path / "a.bin", arguments(), torch.device("cpu"), "h36m")
    fitting_lifter(tmp_path / "a.bin", arguments("--downsample", 5), torch.device("cpu"), "h36m")


# What a checkpoint carries to refine poses.


@pytest.fixture
def refinement() -> Refinement:
    return Refinement(SourceBones(0.1 * torch.rand(17), torch.rand(17)), 0.003, "snap")


def test_a_stored_refinement_is_found_unless_unwanted(tmp_path, refinement):
    for name, about in (("adapted.bin", {"refinement": refinement.plain()}), ("source.bin", {"arguments": {}})):
        save_checkpoint(tmp_path / name, small_lifter(), 1, 0.1, about)
    foreign(tmp_path / "released.bin")
    found = stored_refinement(tmp_path / "adapted.bin", arguments())  # the file's mode, whatever the default
    assert found.plain() == refinement.plain()
    assert stored_refinement(tmp_path / "adapted.bin", arguments("--refine", "none")) is None
    assert stored_refinement(tmp_path / "source.bin", arguments()) is None
    assert stored_refinement(tmp_path / "released.bin", arguments()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": [0.1] * 16}, {"apparent": None}, {"apparent": [[1.0]] * 17}, {"noise": "much"}, {"noise": 1.0},
        {"noise": float("nan")}, {"mode": "none"}, {"mode": 3}, {"lengths": ["x"] * 17},
    ],
)  # fmt: skip
def test_a_refinement_that_cannot_be_is_refused(tmp_path, refinement, change):
    save_checkpoint(tmp_path / "a.bin", small_lifter(), 1, 0.1, {"refinement": refinement.plain() | change})
    with pytest.raises(InputError, match="a.bin: its refinement.*train it again"):
        stored_refinement(tmp_path / "a.bin", arguments())


# The rest.


def test_learning_rate_rises_then_falls_by_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)

    def rate(epoch: int, step: int) -> float:
        set_learning_rate(optimizer, 0.2, 0.9, epoch, step)
        return optimizer.param_groups[0]["lr"]

    assert rate(1, 0) == pytest.approx(0.2 / WARMUP_STEPS)
    assert rate(1, WARMUP_STEPS // 2 - 1) == pytest.approx(0.1)
    assert rate(1, WARMUP_STEPS) == pytest.approx(0.2)
    assert rate(4, 10 * WARMUP_STEPS) == pytest.approx(0.2 * 0.9**3)


def test_device():
    if torch.cuda.is_available():
        assert pick_device("").type == "cuda"
        with pytest.raises(InputError, match="-gpu"):
            pick_device("99")
    else:
        assert pick_device("") == pick_device("3") == torch.device("cpu")


# Checkpoints of other projects.


def foreign(path: Path) -> Lifter:
    """A file as D3DP writes it, with nothing but weights; returns the lifter in it."""
    lifter = small_lifter()
    named = {f"module.pose_estimator.{name}": value for name, value in lifter.pose_estimator.state_dict().items()}
    torch.save({"epoch": 1, "lr": 0.1, "optimizer": None, "model_pos": named}, path)
    return lifter


def test_the_joint_order_of_a_foreign_checkpoint_must_be_said_where_it_is_not_known(tmp_path, capsys):
    foreign(tmp_path / "a.bin")
    with pytest.raises(InputError, match="a.bin.*--checkpoint-joint-order h36m or 3dhp"):
        fitting_lifter(tmp_path / "a.bin", arguments(), torch.device("cpu"), None)
    fitting_lifter(tmp_path / "a.bin", arguments(), torch.device("cpu"), "h36m")
    assert "Human3.6M-17" in capsys.readouterr().out
    save_checkpoint(tmp_path / "ours.bin", small_lifter(), 1, 0.1, {})
    fitting_lifter(tmp_path / "ours.bin", arguments(), torch.device("cpu"), None)


def test_a_lifter_in_3dhp_order_gives_the_same_poses_in_ours(tmp_path):
    theirs = foreign(tmp_path / "a.bin").eval()
    flags = arguments("--checkpoint-joint-order", "3dhp")
    ours = fitting_lifter(tmp_path / "a.bin", flags, torch.device("cpu"), None)
    x_2d, x_3d, t = torch.randn(2, 3, 17, 2), torch.randn(2, 1, 3, 17, 3), torch.tensor([3, 12])
    with torch.no_grad():
        wanted = theirs.denoise(x_2d, x_3d, t)
        found = ours.denoise(*(convert(x, MPI_3DHP_17, H36M_17) for x in (x_2d, x_3d)), t)
    assert torch.allclose(found, convert(wanted, MPI_3DHP_17, H36M_17), atol=1e-5)


# Memory.


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives memory back by its own rules")
def test_memory_freed_on_a_cpu_is_kept():
    program = (
        "import resource, torch\n"
        "from common.run.device import pick_device\n"
        "pick_device('')\n"
        "def pages():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    blocks = [torch.zeros(2**22) for _ in range(8)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "[pages() for _ in range(4)], print(sum(pages() for _ in range(6)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    # Cleared anew each time it would be six times all. The heap grows at first: aligned blocks leave gaps.
    assert int(done.stdout) < 8 * 2**22 * 4 // os.sysconf("SC_PAGESIZE") // 2
