"""Running the scripts as a user does, and comparing what they leave."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from common.checkpoint import read_checkpoint

ROOT = Path(__file__).parent.parent


def run_script(name: str, *flags: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a script of the project on one thread, so that runs can be compared bit by bit."""
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, flags)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def weights(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's weights."""
    return read_checkpoint(path)["model_pos"]


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
