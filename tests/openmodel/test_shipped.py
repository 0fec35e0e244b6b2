"""The open model as it comes with the project: whole, small, lifting at once, and refused when it was tampered with."""

import json
import shutil

import numpy as np
import pytest
import torch
from bodies import batch, video
from scripts import ROOT

from common import load_lifter
from common.errors import InputError
from common.files import sha256
from common.model import open as shipped
from common.model.checkpoint import read_checkpoint, save_checkpoint, weights_hash
from common.openmodel import command
from common.openmodel.training import CHECKPOINT, Settings
from common.reprojection.bones import SourceBones, bone_lengths
from common.reprojection.refinement import Refinement
from common.run import footage
from common.run.arguments import checkpoint_path
from common.run.models import stored_refinement

FOLDER = ROOT / "checkpoint" / "open"


@pytest.fixture
def trained(tmp_path):
    """A folder as training leaves it."""
    bones = bone_lengths([video(20)])
    about = {
        "arguments": {"rate": 5.0},
        "refinement": Refinement(SourceBones(bones, bones.clamp_min(0.01)), 0.01).to_dict(),
    }
    lifter = Settings(channels=16, depth=1, frames=4).lifter()
    save_checkpoint(tmp_path / "run" / CHECKPOINT, lifter, 3, 0.0, about, {"much": torch.zeros(99)}, {"more": 1})
    return lifter, tmp_path / "run"


def test_it_is_there_small_and_as_published():
    path = shipped.open_checkpoint()
    assert path == FOLDER / shipped.WEIGHTS and path.stat().st_size < 8 * 2**20
    content = read_checkpoint(path)
    assert {value.dtype for value in content["model_pos"].values()} == {torch.float16}
    assert content["optimizer"] is None and content["training"] is None
    assert stored_refinement(path) is not None
    card = (FOLDER / shipped.CARD).read_text()
    for words in ("mocap.cs.cmu.edu", "NSF EIA-0196217", "open_model.py", "Where it fails"):
        assert words in card, words


def test_without_a_path_it_is_what_load_lifter_gives():
    lifter = load_lifter()
    assert lifter.denoiser.joints == 17 and not lifter.training
    assert weights_hash(lifter) == weights_hash(load_lifter(FOLDER / shipped.WEIGHTS))
    assert checkpoint_path("open") == FOLDER / shipped.WEIGHTS


def test_a_changed_or_missing_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "open")
    monkeypatch.setattr(shipped, "FOLDERS", (tmp_path / "open",))
    assert shipped.open_checkpoint() == tmp_path / "open" / shipped.WEIGHTS
    weights = tmp_path / "open" / shipped.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        load_lifter()
    (tmp_path / "open" / shipped.DIGEST).unlink()
    with pytest.raises(InputError, match="SHA-256"):
        load_lifter()
    weights.unlink()
    with pytest.raises(InputError, match="the open model is missing"):
        load_lifter()


def test_shipping_halves_the_weights_and_drops_what_resumes(trained, tmp_path, capsys):
    lifter, run = trained
    command.main(["-o", str(run), "--ship", str(tmp_path / "open")])
    assert "wrote" in capsys.readouterr().out
    path = tmp_path / "open" / shipped.WEIGHTS
    assert (tmp_path / "open" / shipped.DIGEST).read_text().split() == [sha256(path), shipped.WEIGHTS]
    assert read_checkpoint(path)["optimizer"] is None
    half = load_lifter(path)
    for name, value in lifter.denoiser.state_dict().items():
        torch.testing.assert_close(half.denoiser.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_a_model_without_refinement_is_not_shipped(trained, tmp_path):
    lifter, run = trained
    save_checkpoint(run / CHECKPOINT, lifter, 1, 0.0, {})
    with pytest.raises(InputError, match="refinement"):
        command.main(["-o", str(run), "--ship", str(tmp_path / "open")])
    assert not (tmp_path / "open").exists()


def test_lift_needs_no_checkpoint(tmp_path, capsys):
    seen = (batch(1, 20).keypoints[0].numpy() + 1) * 500
    rows = [
        {"image_id": f"{f}.jpg", "category_id": 1, "score": 2.0, "keypoints": [x for p in pose for x in (*p, 0.9)]}
        for f, pose in enumerate(seen.tolist())
    ]
    (tmp_path / "keypoints.json").write_text(json.dumps(rows))
    footage.main([str(tmp_path / "keypoints.json"), "--size", "1000x1000", "--write", "npz"])
    with np.load(tmp_path / "keypoints_3d" / "poses.npz") as poses:
        assert any(np.isfinite(poses[name]).all() for name in poses.files if poses[name].dtype.kind == "f")
    assert "written to" in capsys.readouterr().out
