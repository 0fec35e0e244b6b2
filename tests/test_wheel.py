"""What `pip install .` gives: the package `posynda` with its data and the sample generator, nothing called `common`."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from scripts import ROOT

PROGRAM = """
import importlib.util
import numpy as np, torch
import posynda
from posynda.model.mixste import MixSTE
assert importlib.util.find_spec("common") is None
torch.manual_seed(0)
lifter = posynda.Lifter(MixSTE(9, 17, 16, 1), timesteps=10).eval()
pixels = np.random.default_rng(0).uniform(300, 700, (20, 17, 2))
poses = posynda.lift(lifter, pixels, posynda.Camera(width=1920, height=1080, focal=1500), order="coco")
print(poses.shape, np.isfinite(poses).all())
camera = posynda.Camera(width=1920, height=1080, focal=1500)
assert posynda.lift(posynda.load_lifter(), pixels, camera).shape == (20, 17, 3)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, project = (tmp_path_factory.mktemp(name) for name in ("wheel", "project"))  # building leaves files behind
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "common", project / "common", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "checkpoint" / "open", project / "checkpoint" / "open")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(project)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("posynda-*.whl"))


@pytest.mark.slow
def test_every_module_is_in_it_under_its_own_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"posynda/{path.relative_to(ROOT / 'common')}" for path in (ROOT / "common").rglob("*.py")}
    data = {"datasets/h36m_cameras.json", "METHOD.md", "viewer/page.html"}
    data |= {f"open/{path.name}" for path in (ROOT / "checkpoint" / "open").iterdir()}
    assert names == expected | {f"posynda/{name}" for name in data}


@pytest.mark.slow
def test_it_lifts_and_makes_the_sample(wheel, tmp_path):
    place = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    elsewhere = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(place)}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", PROGRAM], **elsewhere)
    assert done.stdout.strip() == "(20, 17, 3) True", done.stderr
    done = subprocess.run([sys.executable, "-m", "posynda.sample", "--out", "sample"], **elsewhere)
    assert done.returncode == 0 and "SYNTHETIC" in done.stdout, done.stderr
    assert len(list((tmp_path / "sample").glob("*.npz"))) == 5
    done = subprocess.run([sys.executable, "-m", "posynda", "check", "sample"], **elsewhere)
    assert done.returncode == 0 and "h36m_3dhp_transfer.py: can run" in done.stdout, done.stderr
