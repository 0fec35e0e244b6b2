"""Several processes do what one does: on the CPU, two of them, started by torchrun as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scripts import ROOT, metrics, run_here, weights

import h36m_3dhp_transfer
import h36m_transfer
from common import processes
from common.datasets.clips import Clips
from common.datasets.h36m import load_h36m
from common.errors import InputError
from common.run.device import pick_device

CLOSE = 1e-5
TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -num_proposals 2 -sampling_timesteps 2 --nolog --drop-path 0".split()
SPLIT = "-sun S5,S6 -a Walking,Sitting".split()
SOURCE = "--source-only --source-epochs 60 --source-lr 3e-3 -b 6".split()  # good enough to be taught by
ADAPT = "-e 2 -lr 1e-4 --teacher-start 0.4".split()  # the teacher begins with the second epoch


def torchrun(script: str, *flags: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(ROOT / script), *map(str, flags)],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert bool(done.returncode) is fails, done.stderr
    return done


def assert_close(one: Path, other: Path, stage: str, checkpoint: str) -> None:
    """The losses of every epoch, and the weights at the end."""
    mine, theirs = (metrics(folder)["history"][stage] for folder in (one, other))
    assert len(mine) == len(theirs)
    for epoch, same in zip(mine, theirs):
        losses = {name: value for name, value in epoch.items() if name.endswith("_mm") or name == "reprojection"}
        assert losses == pytest.approx({name: same[name] for name in losses}, rel=CLOSE)
    mine, theirs = (weights(folder / checkpoint) for folder in (one, other))
    torch.testing.assert_close(mine, theirs, atol=CLOSE, rtol=0)


@pytest.fixture(scope="module")
def source(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source model, trained by one process."""
    folder = tmp_path_factory.mktemp("source")
    run_here(h36m_transfer, "--data-dir", sample_dir, *TINY, *SPLIT, *SOURCE, "-c", folder)
    return folder


@pytest.fixture(scope="module")
def alone(source: Path, sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its adaptation by one process."""
    folder = tmp_path_factory.mktemp("alone")
    run_here(h36m_transfer, *adaptation(source, sample_dir), "-b", 14, "-c", folder)
    return folder


def adaptation(source: Path, sample_dir: Path) -> list[object]:
    given = source / "source_latest_epoch.bin"
    return ["--data-dir", sample_dir, *TINY, *SPLIT, *ADAPT, "--source-checkpoint", given]


@pytest.mark.slow
def test_two_processes_train_as_one(sample_dir, tmp_path):
    """The last batch is of one clip: a process has none."""
    data = load_h36m(sample_dir, "cpn_ft_h36m_dbb", ["S1"], ["Walking", "Sitting"])
    assert len(Clips(data.videos, 5, 5.0)) % 11 == 1
    flags = ["--data-dir", sample_dir, *TINY, *SPLIT, *"--source-only --source-epochs 3 --source-lr 1e-3 -b 11".split()]
    run_here(h36m_transfer, *flags, "-c", tmp_path / "one")
    done = torchrun("h36m_transfer.py", *flags, "-c", tmp_path / "two")
    assert done.stdout.count("source_only 3/3") == 1  # one process prints
    assert_close(tmp_path / "one", tmp_path / "two", "source_only", "source_latest_epoch.bin")


@pytest.mark.slow
def test_two_processes_adapt_as_one(alone, source, sample_dir, tmp_path):
    torchrun("h36m_transfer.py", *adaptation(source, sample_dir), "-b", 14, "-c", tmp_path)
    assert_close(alone, tmp_path, "adapted", "best_epoch.bin")
    assert {path.name for path in alone.iterdir()} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_accumulated_batches_adapt_as_a_large_one(alone, source, sample_dir, tmp_path):
    run_here(h36m_transfer, *adaptation(source, sample_dir), "-b", 7, "--accumulate", 2, "-c", tmp_path)
    assert_close(alone, tmp_path, "adapted", "best_epoch.bin")


@pytest.mark.slow
def test_accumulated_batches_train_as_a_large_one(source, sample_dir, tmp_path):
    for number, batch in (("one", 6), ("three", 2)):
        flags = f"--source-only --source-epochs 2 -b {batch} --accumulate {6 // batch}".split()
        run_here(h36m_transfer, "--data-dir", sample_dir, *TINY, *SPLIT, *flags, "-c", tmp_path / number)
    assert_close(tmp_path / "one", tmp_path / "three", "source_only", "source_latest_epoch.bin")


@pytest.mark.slow
@pytest.mark.parametrize("script", [h36m_transfer, h36m_3dhp_transfer], ids=lambda script: script.__name__)
def test_two_processes_evaluate_exactly_as_one(script, alone, sample_dir, tmp_path):
    flags = ["--data-dir", sample_dir, *TINY, "--evaluate", alone / "best_epoch.bin"]
    flags += SPLIT if script is h36m_transfer else []
    run_here(script, *flags, "-c", tmp_path / "one")
    torchrun(f"{script.__name__}.py", *flags, "-c", tmp_path / "two")
    one, two = (metrics(tmp_path / name)["rows"] for name in ("one", "two"))
    assert one == two and one["evaluated"]["frames"] > 0
    for path in (tmp_path / "one").glob("*.mat"):
        assert path.read_bytes()[128:] == (tmp_path / "two" / path.name).read_bytes()[128:], path  # after the date


@pytest.mark.slow
def test_wrong_input_is_said_once(tmp_path):
    done = torchrun("h36m_transfer.py", "--data-dir", tmp_path, "-c", tmp_path / "out", fails=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("error:")][0].count(str(tmp_path)) == 1
    assert (
        done.stderr.count("error: ") == 1 and "Traceback (most recent call last)" not in done.stderr.split("error: ")[0]
    )
    assert not (tmp_path / "out").exists()


def as_process(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    monkeypatch.setattr(processes, "rank", lambda: rank)
    monkeypatch.setattr(processes, "world_size", lambda: count)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("clips", [1, 2, 5, 16])
@pytest.mark.parametrize("least", [1, 2, 4])
def test_every_clip_is_in_one_pass_of_one_process(clips, count, least, device, monkeypatch):
    for values in (1, processes.PASS_VALUES // 2, 2 * processes.PASS_VALUES):
        seen, numbers = [], set()
        for rank in range(count):
            as_process(monkeypatch, rank, count)
            parts = processes.micro_batches(clips, least, values, torch.device(device))
            numbers.add(len(parts))
            taken = [list(range(clips)[part]) for part in parts]
            if device == "cpu":
                assert all(len(part) * values <= max(values, processes.PASS_VALUES) for part in taken)
            assert sum(taken, []) == list(range(clips)[processes.shard()])
            seen += sum(taken, [])
        assert sorted(seen) == list(range(clips))
        assert len(numbers) == 1  # as many passes in each: they exchange gradients after the last
        if device == "cuda":
            assert numbers.pop() <= least


@pytest.mark.parametrize("words", [["-gpu", "0,1"], ["--gpu", "0,1"], ["-gpu=0,1"], ["--gpu=0,1"]])
def test_several_gpus_are_asked_for_with_torchrun(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["h36m_transfer.py", *words, "-k", "gt"])
    with pytest.raises(InputError) as caught:
        pick_device("0,1")
    assert "CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc-per-node 2 h36m_transfer.py -k gt" in str(caught.value)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(InputError, match="torchrun gives each process a GPU"):
        pick_device("1")
