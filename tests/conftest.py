"""What several test files share: the reference numbers and a very small sample data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from common.sample.files import make_sample

DATA = Path(__file__).parent / "data"


@pytest.fixture
def golden() -> Callable[[str], dict[str, torch.Tensor]]:
    """Reads a file of reference numbers (tests/data/README.md) as tensors."""

    def read(name: str) -> dict[str, torch.Tensor]:
        with np.load(DATA / f"{name}.npz") as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    return read


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample data at a tenth of its length."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    make_sample(folder, length=0.1)
    return folder
