"""The overall size of a person, which 2D does not show: what different assumptions make of it, against the truth.

    python h36m_transfer.py --sample -c checkpoint/sample
    python benchmarks/scale.py checkpoint/sample [more runs]

Every method sees the target's 2D through the adapted lifter. Target labels are only looked at to judge: the table shows
by how many percent the sum of the estimated bone lengths is too large.

    unanchored     apparent bone lengths as they are: the lifter's own idea of depth
    legs           legs as long as the source's people's, the project's choice (METHOD 5)
    stature        thigh, shank, trunk and head together as long as the source's
    camera height  cameras of the source's names as high above the floor as there, from the source's labels
    gravity        the hips' fastest fall, over windows of a fifth of a second, is free fall
"""

import argparse
import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.adaptation.floor import floor_normal, mean_upright
from common.datasets.h36m import FRAME_RATE, H36MFiles
from common.datasets.rates import fit_to_rate
from common.datasets.video import LabelledVideo
from common.errors import InputError, run_script
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.model.checkpoint import load_lifter
from common.reprojection.bones import bone_lengths, lift_some, measure_bones
from common.reprojection.root import solve_root
from common.run.models import stored_refinement, trained_rate
from common.run.stages import BEST_FILE

ROOT = Path(__file__).resolve().parent.parent
STATURE = ("RKnee", "RFoot", "LKnee", "LFoot", "Spine", "Thorax", "Neck/Nose", "Head")
GRAVITY = 9.81  # metres per second^2
FALL = 0.2  # seconds of a fall
PARABOLA = 0.1  # of the fall's depth: a path that misses its parabola by more is no free fall
METHODS = ("unanchored", "legs", "stature", "camera height", "gravity")
FEET = H36M_17.indices("RFoot", "LFoot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of h36m_transfer.py with an adapted model")
    args = parser.parse_args()
    lines = [f"{'size against the truth, %':34}" + "".join(f"{name:>15}" for name in METHODS)]
    errors: dict[str, list[float]] = {name: [] for name in METHODS}
    for run in args.runs:
        for person, found in sizes(run).items():
            shown = []
            for name in METHODS:
                value = found.get(name)
                shown.append(f"{'-':>15}" if value is None else f"{value:15.1f}")
                errors[name] += [] if value is None else [abs(value)]
            lines.append(f"{person:34}" + "".join(shown))
    means = (f"{np.mean(errors[name]):15.1f}" if errors[name] else f"{'-':>15}" for name in METHODS)
    lines.append(f"{'mean absolute':34}" + "".join(means))
    text = "\n".join(lines)
    (ROOT / "benchmarks" / "results").mkdir(exist_ok=True)
    (ROOT / "benchmarks" / "results" / "scale.txt").write_text(text + "\n")
    print(text)


def sizes(run: Path) -> dict[str, dict[str, float]]:
    """Per target person the error of each method, percent."""
    for name in ("metrics.json", BEST_FILE):
        if not (run / name).is_file():
            raise InputError(f"{run}: holds no {name}; expected the output folder of h36m_transfer.py")
    record = json.loads((run / "metrics.json").read_text())
    asked = Namespace(**record["arguments"])
    lifter = load_lifter(run / BEST_FILE).eval()
    refinement = stored_refinement(run / BEST_FILE)
    if refinement is None:
        raise InputError(f"{run}: its adapted model carries no bones; adapt it without --refine none")
    people = asked.subjects_train + asked.subjects_unlabeled
    rate = trained_rate(record["arguments"], FRAME_RATE)
    files = H36MFiles(Path(asked.data_dir), asked.keypoints, record["arguments"].get("fps", FRAME_RATE))
    data = fit_to_rate(files.labelled(people, asked.actions), rate, "videos")

    known = camera_heights([v.at_rate(rate) for v in data.of(asked.subjects_train)])
    upright = H36M_17.indices(*STATURE)
    table = {}
    for name in asked.subjects_unlabeled:
        videos = [v.at_rate(rate) for v in data.of([name])]
        truth = bone_lengths(videos).sum()
        source = refinement.bones.lengths
        apparent = measure_bones(lifter, videos) / refinement.bones.apparent * source
        apparent[H36M_17.root_index] = 0
        legs = refinement.lengths(lifter, videos)[name]
        found = {
            "unanchored": apparent.sum(),
            "legs": legs.sum(),
            "stature": apparent.sum() * source[upright].sum() / apparent[upright].sum(),
        }
        heights, falls = [], []
        for camera in dict.fromkeys(v.camera for v in videos):
            alike = [v for v in videos if v.camera == camera]
            seen = lift_some(lifter, [v.unlabelled() for v in alike])
            pose = refinement(seen.pose, seen.rays, legs, seen.confidence)
            placed = pose + solve_root(pose, seen.rays, seen.confidence)[:, None]
            up = mean_upright(pose)
            lower = placed[:, FEET][torch.arange(len(placed)), (placed[:, FEET] @ up).argmin(1)]
            up = floor_normal(lower, up)
            if camera in known:
                heights.append(known[camera] / -(lower @ up).median().item())
            full = [v for v in data.of([name]) if v.camera == camera]
            falls += [fall for v in full if (fall := fastest_fall(lifter, v, rate, up, refinement, legs))]
        if heights:
            found["camera height"] = legs.sum() * float(np.median(heights))
        if falls:
            found["gravity"] = legs.sum() * GRAVITY / max(falls)
        title = f"{run.name}, {name}"
        table[title] = {method: 100 * (value / truth - 1).item() for method, value in found.items()}
    return table


def camera_heights(labelled: list[LabelledVideo]) -> dict[str, float]:
    """How high the cameras of labelled videos stand above the floor, metres, by name."""
    heights = {}
    for camera in dict.fromkeys(v.camera for v in labelled):
        alike = [v for v in labelled if v.camera == camera]
        feet = torch.cat([(v.pose + v.trajectory[:, None])[:, FEET] @ v.up for v in alike])
        heights[camera] = -feet.amin(1).median().item()
    return heights


def fastest_fall(
    lifter: torch.nn.Module, video: LabelledVideo, rate: float, up: torch.Tensor, refinement, lengths: torch.Tensor
) -> float | None:
    """The largest downward acceleration of the hips in any window that is a parabola, metres per second^2.

    The hips' height is its ray's times the video's median depth, which is smoother than the depth of every frame.
    """
    seen = lift_some(lifter, [video.at_rate(rate).unlabelled()])
    pose = refinement(seen.pose, seen.rays, lengths, seen.confidence)
    depth = solve_root(pose, seen.rays, seen.confidence)[:, 2].median()
    ray = undistort(video.keypoints[:, H36M_17.root_index], video.intrinsics)
    height = depth * torch.cat([ray, torch.ones_like(ray[:, :1])], 1) @ up
    frames = round(FALL * video.fps) + 1
    if len(height) < frames:
        return None
    time = torch.arange(frames, dtype=torch.float32) / video.fps
    design = torch.stack([torch.ones_like(time), time, time**2], 1)
    windows = height.unfold(0, frames, 1)  # (W, frames)
    solved = torch.linalg.lstsq(design, windows.T).solution  # (3, W)
    misses = (windows.T - design @ solved).abs().amax(0)
    falls = -2 * solved[2]
    parabola = misses < PARABOLA * falls / 2 * (time[-1] / 2) ** 2
    return falls[parabola].max().item() if parabola.any() else None


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run_script(main)
