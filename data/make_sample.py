"""Make the sample data: synthetic people who move in front of the real Human3.6M cameras.

    python data/make_sample.py --out data/sample --seed 0

Everything is procedural: no person was recorded. The files have the layouts of the real data sets (Human3.6M and
MPI-INF-3DHP), so that every script runs on them; numbers measured on them say nothing about real people.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):  # run as a script: Python looks in data/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.camera import h36m_cameras, project, world_to_camera
from common.detector_noise import detector_noise
from common.errors import InputError, run_script
from common.h36m import FILE_3D, project_h36m, write_h36m
from common.npz import read_object
from common.skeleton import H36M_32
from data.sample_3dhp import make_3dhp
from data.sample_actions import ACTIONS, make_clip, on_grid
from data.sample_body import Body
from data.sample_motion import FPS, Style

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
WALK_STEP = 9  # frames between the moments of a walk on the contact sheet: seven of them are one gait cycle
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
    positions, exact, detected = ({subject: {} for subject in BODIES} for _ in range(3))
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


def contact_sheet(positions: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw six moments of every action of a sample, as one of the cameras sees them.

    Args:
        positions: subject -> action -> (F, 32, 3) world metres.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    from common.figures import draw_pose_2d

    moments, blocks = 6, 2
    rows = -(-len(ACTIONS) // blocks)
    figure = Figure(figsize=(12.6, 1.62 * rows + 0.4), facecolor="white")
    axes = figure.subplots(rows, moments * blocks)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.935, wspace=0.02, hspace=0.16)
    figure.suptitle("SYNTHETIC sample data, no person was recorded (left limbs orange, right limbs blue)", y=0.985)
    subjects = list(positions)
    for number, action in enumerate(ACTIONS):
        subject = subjects[number % len(subjects)]
        clip = torch.from_numpy(positions[subject][action].astype(np.float64))
        views = []
        for camera in h36m_cameras(subject):
            in_camera = world_to_camera(clip, camera)
            pixels = project(in_camera, clip.new_tensor(camera.intrinsics)).numpy()
            metre = camera.intrinsics[0] / in_camera[:, H36M_32.root_index, 2].numpy()  # pixels per metre, (F,)
            views.append((pixels, metre))
        pixels, metre = max(views, key=lambda view: np.ptp(view[0][..., 0], axis=1).mean())
        step = WALK_STEP if ACTIONS[action].carriage == "walk" else (len(clip) - 1) // moments
        for moment in range(moments):
            ax = axes[number % rows, number // rows * moments + moment]
            frame = min(moment * step, len(clip) - 1)
            draw_pose_2d(ax, pixels[frame], H36M_32, width=1.7, clip_on=False)
            middle = pixels[frame, H36M_32.root_index, 0]
            floor = pixels[frame, H36M_32.indices("LFoot", "RFoot", "LToeSite", "RToeSite"), 1].max()
            ax.set_xlim(middle - 0.66 * metre[frame], middle + 0.66 * metre[frame])
            ax.set_ylim(floor + 0.08 * metre[frame], floor - 2.0 * metre[frame])
            if moment == 0:
                ax.set_title(f"{action} ({subject})", fontsize=9, loc="left", pad=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="folder to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the movements (default: %(default)s)")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also draw the people")
    args = parser.parse_args()
    start = time.perf_counter()
    make_sample(args.out, args.seed)
    size = sum(path.stat().st_size for path in args.out.glob("*.npz"))
    print(f"{PROVENANCE.format(seed=args.seed)}: {args.out}, {size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s")
    if args.contact_sheet:
        contact_sheet(read_object(args.out / FILE_3D, "positions_3d"), args.contact_sheet)


if __name__ == "__main__":
    run_script(main)
