"""The output folder, resuming, and the checkpoints a run is given."""

from argparse import Namespace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import arguments

from common.errors import InputError
from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.run.arguments import arguments_dict
from common.run.models import load_matching_lifter
from common.run.runlog import RunLog
from common.run.stages import (
    BEST_FILE,
    MUST_MATCH,
    MUST_MATCH_IN,
    WARMUP_STEPS,
    Stage,
    prepare_folder,
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


# Resuming.


def small_lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(3, 17, 16, 1), timesteps=20)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Namespace, torch.Generator]:
    """A folder with an adaptation stopped after its second epoch, and the generator as it was left."""
    args = arguments("-c", tmp_path, "-cf", 2, "-cs", 16, "-dep", 1, "-f", 3, "-timestep", 20, "--rate", 50)
    stage, generator = stage_of("adapted", args)
    torch.rand(7, generator=generator)
    for _ in islice(stage.epochs(), 2):
        stage.record({"source_mm": torch.tensor(0.3)}, 2)
        stage.save({"arguments": arguments_dict(args)}, {"base": "00"})
    args.resume = ""
    return args, generator


def stage_of(name: str, args: Namespace) -> tuple[Stage, torch.Generator]:
    """A stage of four epochs that trains a small lifter, and its generator."""
    lifter, generator = small_lifter(), torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=0.1)
    return Stage(name, 4, 3, lifter, optimizer, generator, args, RunLog(None)), generator


def resumed(name: str, args: Namespace) -> tuple[int, dict[str, Any]]:
    """How many epochs a stage finds done, and what it was left."""
    stage, _ = stage_of(name, args)
    training = stage.resume()
    return len(stage.history), training


def test_a_stage_goes_on_where_it_was(kept, capsys):
    args, generator = kept
    assert {path.name for path in args.checkpoint.iterdir()} == {"latest_epoch.bin", "epoch_2.bin"}
    wanted = torch.rand(3, generator=generator)
    stage, again = stage_of("adapted", args)
    assert stage.resume(base="00")["base"] == "00"
    assert "epoch 2" in capsys.readouterr().out
    assert [record["epoch"] for record in stage.history] == [1, 2]
    assert stage.history[0]["source_mm"] == pytest.approx(150)
    assert torch.equal(torch.rand(3, generator=again), wanted)
    assert list(stage.epochs()) == [3, 4]


def test_another_source_model_is_refused(kept):
    args, _ = kept
    with pytest.raises(InputError, match="another source model"):
        stage_of("adapted", args)[0].resume(base="11")


def test_what_is_not_there_begins_anew(kept):
    args, _ = kept
    assert resumed("source_only", args) == (0, {})
    args.resume = None
    assert resumed("adapted", args) == (0, {})


def test_a_named_file_is_resumed_by_its_own_stage(kept):
    args, _ = kept
    (args.checkpoint / "latest_epoch.bin").rename(args.checkpoint / "stopped.bin")
    args.resume = "stopped.bin"
    assert resumed("source_only", args)[0] == 0
    assert resumed("adapted", args)[0] == 2


def test_a_checkpoint_from_before_a_flag_is_resumed(kept):
    args, _ = kept
    path = args.checkpoint / "latest_epoch.bin"
    content = torch.load(path, weights_only=True)
    del content["about"]["arguments"]["model"], content["about"]["arguments"]["rate"]
    torch.save(content, path)
    assert resumed("adapted", args)[0] == 2


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
    assert resumed("adapted", args)[0] == 2


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
    # load_matching_lifter puts the file's sizes into the arguments: what is stored and compared must be these.
    save_checkpoint(tmp_path / "source.bin", small_lifter(), 1, 0.1, {})
    flags = "-c", tmp_path / "out", "--source-checkpoint", tmp_path / "source.bin"
    args = arguments(*flags, "--rate", 50)
    load_matching_lifter(args.source_checkpoint, args, torch.device("cpu"), "h36m")
    assert (args.channels, args.depth, args.number_of_frames, args.timestep) == (16, 1, 3, 20)
    stage, _ = stage_of("adapted", args)
    next(stage.epochs())
    stage.record({}, 1)
    stage.save({"arguments": arguments_dict(args)})
    again = arguments(*flags, "--rate", 50, "--resume")
    load_matching_lifter(again.source_checkpoint, again, torch.device("cpu"), "h36m")
    assert resumed("adapted", again)[0] == 1


def test_the_best_epoch_is_kept(tmp_path):
    args = arguments("-c", tmp_path)
    stage, _ = stage_of("adapted", args)
    best = []
    for epoch, score in zip(stage.epochs(), (3.0, 1.0, 2.0, 1.5)):
        with torch.no_grad():
            next(stage._lifter.parameters()).fill_(epoch)
        stage.record({}, 1)["selection_score"] = score
        stage.save({"arguments": {}}, keep_best=True)
        best.append(torch.load(tmp_path / BEST_FILE, weights_only=True)["epoch"])
    assert best == [1, 2, 2, 2]
    assert (next(stage.best(torch.device("cpu")).parameters()) == 2).all()


def test_learning_rate_rises_then_falls_by_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)

    def rate(epoch: int, step: int) -> float:
        set_learning_rate(optimizer, 0.2, 0.9, epoch, step)
        return optimizer.param_groups[0]["lr"]

    assert rate(1, 0) == pytest.approx(0.2 / WARMUP_STEPS)
    assert rate(1, WARMUP_STEPS // 2 - 1) == pytest.approx(0.1)
    assert rate(1, WARMUP_STEPS) == pytest.approx(0.2)
    assert rate(4, 10 * WARMUP_STEPS) == pytest.approx(0.2 * 0.9**3)
