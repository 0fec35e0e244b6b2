"""The sample data set: synthetic people who move in front of the real Human3.6M cameras.

Everything is procedural: no person was recorded. The files have the layouts of the real data sets (Human3.6M and
MPI-INF-3DHP), so that every script runs on them; numbers measured on them say nothing about real people.
"""

import shutil
from pathlib import Path

import numpy as np

from ..datasets.h36m_writing import project_h36m, write_h36m
from ..errors import InputError
from ..mocap.detector_noise import detector_noise
from .actions import ACTIONS, make_clip, on_grid
from .body import Body
from .files_3dhp import make_3dhp
from .motion import FPS, Style

PROVENANCE = "SYNTHETIC sample: procedural human motion, no person was recorded (data/make_sample.py, seed {seed})"
CENTRE = (0.08, 0.36)  # metres: about where the axes of the Human3.6M cameras meet

# S1 has longer thighs, shorter shanks, arms and trunk and narrower shoulders than S5 to S8, but legs as long as theirs,
# because overall size cannot be seen in an image. It moves less, turns less and mostly faces two cameras.
# fmt: off
BODIES = {  # stature, then factors: thigh, shank, trunk, head, upper arm, forearm, shoulders, hips
    "S1": Body(1.66, 1.07, 0.99, 0.95, 0.95, 0.96, 0.93, 0.94, 1.06),
    "S5": Body(1.68, 0.97, 1.01, 1.03, 1.02, 1.03, 1.07, 1.02, 0.97),
    "S6": Body(1.80, 0.95, 0.97, 1.05, 1.00, 1.05, 1.03, 1.06, 0.94),
    "S7": Body(1.74, 0.94, 1.02, 1.02, 1.05, 1.02, 1.05, 1.04, 0.98),
    "S8": Body(1.70, 0.98, 1.00, 1.06, 1.03, 1.06, 1.04, 1.00, 0.95),
    "S9": Body(1.77, 1.01, 0.98, 1.01, 0.98, 1.00, 1.01, 1.01, 1.02),
    "S11": Body(1.72, 0.99, 1.03, 0.98, 1.01, 1.03, 0.97, 1.03, 1.00),
}
# fmt: on
STYLES = {
    "S1": Style(amplitude=0.8, tempo=0.92, square=0.7, turning=1.0, hand="R", width=0.95),
    "S5": Style(amplitude=1.1, tempo=1.05, turning=2.4, hand="R", width=1.2),
    "S6": Style(amplitude=1.0, tempo=0.95, turning=2.0, hand="L", width=1.3),
    "S7": Style(amplitude=1.2, tempo=1.1, turning=2.8, hand="R", width=1.1),
    "S8": Style(amplitude=0.95, tempo=1.0, turning=2.2, hand="L", width=1.0),
    "S9": Style(amplitude=1.05, tempo=1.0, turning=2.0, hand="R"),
    "S11": Style(amplitude=0.9, tempo=1.08, turning=1.6, hand="L"),
}
SECONDS = {"S1": 8.0, "S5": 6.0, "S6": 6.0, "S7": 6.0, "S8": 6.0, "S9": 4.0, "S11": 4.0}  # of every take
SECONDS_3DHP = 2.0  # of every action
TAKES = (*ACTIONS, "Walking 1")


def make_sample(out_dir: Path, seed: int = 0, length: float = 1.0) -> None:
    """Write the sample data set: three files in Human3.6M's layout, two in MPI-INF-3DHP's. All of it or nothing.

    Args:
        out_dir: the folder to make; files of an earlier sample in it are replaced.
        seed: equal seeds give equal bytes. The people are always the same, their movements follow the seed.
        length: factor on the length of every take.

    Raises:
        InputError: `out_dir` is not a folder, or the seed is negative.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: expected a number from 0 up")
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir}: expected a folder to write the sample to, found a file; give another --out")
    provenance = PROVENANCE.format(seed=seed)
    partial = out_dir.with_name(f".{out_dir.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _make_h36m(partial, seed, length, provenance)
        make_3dhp(partial, seed, SECONDS_3DHP * length, provenance)
        if not out_dir.exists():
            partial.rename(out_dir)
        else:
            for path in partial.iterdir():
                path.replace(out_dir / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_h36m(out_dir: Path, seed: int, length: float, provenance: str) -> None:
    positions: dict[str, dict[str, np.ndarray]] = {subject: {} for subject in BODIES}
    exact: dict[str, dict[str, list[np.ndarray]]] = {subject: {} for subject in BODIES}
    detected: dict[str, dict[str, list[np.ndarray]]] = {subject: {} for subject in BODIES}
    for number, (subject, body) in enumerate(BODIES.items()):
        frames = round(SECONDS[subject] * length * FPS)
        for take, action in enumerate(TAKES):
            rng = np.random.default_rng([seed, number, take])
            clip = on_grid(make_clip(action, body, STYLES[subject], frames, rng, CENTRE), 2.0**-16)
            views = project_h36m(clip, subject)
            positions[subject][action] = clip
            exact[subject][action] = [on_grid(view, 2.0**-6) for view in views]
            detected[subject][action] = [on_grid(detector_noise(view, rng, fps=FPS), 2.0**-3) for view in views]
    write_h36m(out_dir, positions, {"gt": exact, "cpn_ft_h36m_dbb": detected}, provenance, synthetic=True)
