"""The recipes of CONTRIBUTING.md and the README's code, run as they stand there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scripts import ROOT, arguments

import h36m_transfer
from common.evaluation.protocol import evaluate
from common.geometry import skeleton
from common.geometry.camera import Camera
from common.keypoints.read import FORMATS, read_keypoints
from common.model.checkpoint import load_lifter
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.model.registry import DENOISERS
from common.reprojection.keypoint_noise import KeypointNoise
from common.reprojection.lifting import lift
from common.run.runlog import RunLog

CPU = torch.device("cpu")


def run_code(page: str, title: str = ".*?", **names: Any) -> dict[str, Any]:
    """Runs the Python of a page, or of one section of it; returns the names it made."""
    (section,) = re.findall(rf"^#+ {title}$(.*?)(?=^#+ |\Z)", (ROOT / page).read_text(), re.M | re.S)
    blocks = re.findall(r"^```python$(.*?)^```$", section, re.M | re.S)
    assert blocks
    for block in blocks:
        exec(block, names)
    return names


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """The recipes add to these; afterwards they are as before."""
    orders = patch.dict(skeleton.JOINT_ORDERS), patch.dict(skeleton._CONVERSIONS)
    with orders[0], orders[1], patch.dict(DENOISERS), patch.dict(FORMATS):
        yield


def transfer(source: list, target: list, folder: Path, *flags: object) -> tuple[Lifter, Lifter]:
    """A source model and what it is adapted to, by the script's own loops."""
    sizes = "-cs 16 -dep 1 -f 5 -b 4 -num_proposals 2 --source-epochs 2 -e 2 --teacher-start 0".split()
    args = arguments("-c", folder, *sizes, "--rate", source[0].fps, *flags)
    with RunLog(None) as log:
        model, _ = h36m_transfer.train_supervised("source_only", source, args, {}, CPU, log)
        noise = KeypointNoise.measure(source, target)
        adapted, _ = h36m_transfer.adapt(model, source, target, noise, None, args, {}, CPU, log)
    return model, adapted


def test_a_detectors_file_format(tmp_path):
    run_code("CONTRIBUTING.md", "To add a detector's file format")
    people = np.random.default_rng(0).uniform(100, 900, (3, 17, 3))
    people[..., 2] = 0.5
    (tmp_path / "file.json").write_text(json.dumps({"toy": people.tolist()}))
    found = read_keypoints(tmp_path / "file.json")
    assert (found.format, found.order, found.frame.tolist()) == ("toy", "coco", [0, 1, 2])
    np.testing.assert_allclose(found.pixels, people[..., :2])


def test_a_dataset(tmp_path):
    found = run_code("CONTRIBUTING.md", "To add a dataset")
    model, adapted = transfer(found["source"], found["target"], tmp_path)
    assert any(not torch.equal(one, other) for one, other in zip(model.parameters(), adapted.parameters()))
    scores = evaluate(adapted, found["data"].of(["B"]), Sampling(2, 1), "estimated")
    assert 0 < scores.all_frames("J_Agg") < 2000


def test_a_detectors_joint_order():
    run_code("CONTRIBUTING.md", "To add a detector's joint order")
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(3, 17, 16, 1), timesteps=10)
    pixels = np.random.default_rng(0).uniform(100, 900, (4, 3, 2))
    given = {"order": "toy", "num_proposals": 1}
    assert lift(lifter, pixels, Camera(1000, 1000, 1200.0), **given).shape == (4, 17, 3)
    with pytest.raises(KeyError, match="COCO-17 has no joint"):
        skeleton.add_order("other", skeleton.COCO_17, {})


def test_a_network(tmp_path):
    run_code("CONTRIBUTING.md", "To add a network")
    found = run_code("CONTRIBUTING.md", "To add a dataset")
    transfer(found["source"], found["target"], tmp_path, "--model", "pointwise")
    assert type(load_lifter(tmp_path / "best_epoch.bin").denoiser) is DENOISERS["pointwise"]


def test_the_readmes_five_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_code("README.md", "From Python", pixels=np.random.default_rng(0).uniform(100, 900, (7, 17, 2)))
    assert found["poses"].shape == (7, 17, 3) and np.isfinite(found["poses"]).all()
