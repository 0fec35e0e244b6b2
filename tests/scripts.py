"""Running the scripts as a user does, and comparing what they leave."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from common.datasets.cameras_3dhp import TEST_SEQUENCES
from common.model.checkpoint import read_checkpoint
from common.model.lifter import Lifter
from common.run import stages
from common.run.arguments import h36m_parser, parse

ROOT = Path(__file__).parent.parent
SAMPLE = {"channels": 64, "epochs": 10, "learning_rate": 3e-3, "data_dir": Path("data/sample"), "rank": 16}


def arguments(*flags: object, sample_defaults: dict[str, object] = SAMPLE) -> Namespace:
    """The flags of h36m_transfer.py, parsed. Raises SystemExit as the command line does."""
    old, sys.argv = sys.argv, ["h36m_transfer.py", *map(str, flags)]
    try:
        return parse(h36m_parser("a test"), sample_defaults)
    finally:
        sys.argv = old


def run_script(name: str, *flags: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a script of the project on one thread, so that runs can be compared bit by bit."""
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, flags)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@contextmanager
def full_disk(size: int = 1024) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_ends_with_one_line(script: Path, *flags: object) -> None:
    """An error ends the script with code 2 and one line that begins with the first flag."""
    result = subprocess.run([sys.executable, script, *map(str, flags)], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith(f"error: {flags[0]}")
    assert len(result.stderr.splitlines()) == 1


def run_here(script: ModuleType, *flags: object) -> None:
    """The same in this process: sooner done, and what the script calls can be replaced. Errors come as they are raised.

    As `run_script` on one thread, so that the weights of both can be compared.
    """
    words, threads = sys.argv, torch.get_num_threads()
    sys.argv = [f"{script.__name__}.py", *map(str, flags)]
    torch.set_num_threads(1)
    try:
        script.main()
    finally:
        sys.argv = words
        torch.set_num_threads(threads)


class Stopped(Exception):
    """In place of what ends a run from outside."""


@contextmanager
def stopped_in(epoch: int, kept: bool = True) -> Iterator[None]:
    """A run stops in an epoch of adaptation, just after its latest checkpoint is written, or just before."""
    save = stages.save_checkpoint

    def save_or_stop(path: Path, lifter: Lifter, number: int, *rest: object) -> None:
        last = path.name == "latest_epoch.bin" and number == epoch
        if kept or not last:
            save(path, lifter, number, *rest)
        if last:
            raise Stopped

    stages.save_checkpoint = save_or_stop
    try:
        with pytest.raises(Stopped):
            yield
    finally:
        stages.save_checkpoint = save


def metrics(folder: Path) -> dict[str, Any]:
    """The metrics.json a run left."""
    return json.loads((folder / "metrics.json").read_text())


def predictions_mm(path: Path) -> dict[str, np.ndarray]:
    """The poses in an inference_data.mat: per test sequence (F, K, 17, 3) mm."""
    contents = loadmat(path)
    return {name: contents[name].transpose(2, 3, 1, 0) for name in TEST_SEQUENCES}


def mpjpe(row: dict[str, Any], aggregation: str) -> float:
    """A row's overall MPJPE, mm."""
    return row[aggregation]["mpjpe_mm"]["overall"]


def weights(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's weights."""
    return read_checkpoint(path)["model_pos"]


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
