"""How far a lifter is off on real footage whose 3D several calibrated cameras have triangulated.

    python benchmarks/open_model.py FOOTAGE.npz [-m CHECKPOINT]

The file holds, for C cameras, F frames and a detector of K joints called NAME:

    K (C, 3, 3), dist (C, 4) OpenCV, R (C, 3, 3), t (C, 3), image_size (C, 2), fps
    NAME_names (K,), NAME_2d (C, F, K, 2) pixels, NAME_conf (C, F, K)      of `openpose` (BODY_25B), `mediapipe` or both
    openpose_3d (F, 25, 3) metres, openpose_inlier_cameras (F, 25)         the reference
    mediapipe_3d (F, 33, 3), mediapipe_inlier_cameras (F, 33)              another reference; may be left out
    mediapipe_world (C, F, 33, 3)                                          MediaPipe's own 3D, for comparison; likewise

Every camera is lifted by itself, as `lift.py` does it. Errors are over the twelve joints of the limbs where the
reference was seen by at least three cameras, relative to the middle of the hips. MPJPE / P-MPJPE, mm.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import InputError, run_script
from common.evaluation.metrics import joint_errors, procrustes
from common.footage.lifting import lift_person
from common.footage.preparing import prepare
from common.geometry.camera import Camera
from common.geometry.skeleton import BLAZEPOSE_33, H36M_17, JOINT_ORDERS
from common.keypoints.detections import Detections, to_h36m
from common.model.checkpoint import load_lifter, read_checkpoint
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.open import open_checkpoint
from common.reprojection.refinement import Refinement
from common.run.models import stored_refinement, trained_rate

DETECTORS = {"openpose": "body25b", "mediapipe": "blazepose"}
ENOUGH_CAMERAS = 3
FEWEST_JOINTS = 6  # of a frame, that a pose can be aligned by them
JOINTS = [side + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for side in "LR"]
OURS = H36M_17.indices(*(joint.replace("Ankle", "Foot") for joint in JOINTS))
HIPS = [JOINTS.index("LHip"), JOINTS.index("RHip")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("footage", type=Path, help="see the top of this script")
    parser.add_argument("-m", "--model", type=Path, help="a checkpoint (the open model)")
    args = parser.parse_args()
    path = args.model or open_checkpoint()
    footage = read_footage(args.footage)
    lifter, refinement = load_lifter(path).eval(), stored_refinement(path)
    rate = trained_rate((read_checkpoint(path).get("about") or {}).get("arguments", {}), float(footage["fps"]))
    print("\n".join(table(footage, lifter, refinement, rate)))


def read_footage(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises `InputError` where it is no such file."""
    try:
        with np.load(path) as file:
            footage = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected an npz file, see the top of benchmarks/open_model.py ({error})") from None
    needed = ["K", "dist", "R", "t", "image_size", "fps", "openpose_3d", "openpose_inlier_cameras"]
    if missing := [name for name in needed if name not in footage]:
        raise InputError(f"{path}: no array {missing[0]!r}, see the top of benchmarks/open_model.py")
    return footage


def table(footage: dict[str, np.ndarray], lifter: Lifter, refinement: Refinement | None, rate: float) -> list[str]:
    """A line per detector and reference: every camera, and their mean; raw and refined."""
    lines, cameras = [], range(len(footage["K"]))
    for name in DETECTORS:
        if f"{name}_2d" not in footage:
            continue
        for what, used in (("raw", None), ("refined", refinement)):
            if what == "refined" and refinement is None:
                continue
            poses = [lifted(footage, name, c, lifter, used, rate) for c in cameras]
            for source in dict.fromkeys(("openpose", name)):
                if f"{source}_3d" in footage:
                    errors = [errors_of(poses[c], *reference(footage, c, source)) for c in cameras]
                    own = "" if source == "openpose" else ", against its own triangulation"
                    lines.append(_line(f"{name} 2D, {what}{own}", errors))
    if "mediapipe_world" in footage:
        own = footage["mediapipe_world"].astype(float)[:, :, BLAZEPOSE_33.indices(*JOINTS)]
        lines.append(_line("MediaPipe's own 3D", [errors_of(own[c], *reference(footage, c)) for c in cameras]))
    return lines


def _line(name: str, errors: list[tuple[float, float]]) -> str:
    mean = np.mean(errors, 0)
    each = "  ".join(f"{a:.0f} / {b:.0f}" for a, b in errors)
    return f"{name:<56} {each}   mean {mean[0]:.1f} / {mean[1]:.1f}"


def reference(footage: dict[str, np.ndarray], camera: int, source: str = "openpose") -> tuple[np.ndarray, np.ndarray]:
    """(F, 12, 3) metres, the camera's axes, and which of them count (F, 12), as triangulated from a detector's 2D."""
    numbers = JOINT_ORDERS[DETECTORS[source]].indices(*JOINTS)
    points = footage[f"{source}_3d"].astype(float)[:, numbers] @ footage["R"][camera].T + footage["t"][camera]
    counts = footage[f"{source}_inlier_cameras"][:, numbers] >= ENOUGH_CAMERAS
    return points, counts & np.isfinite(points).all(-1)


def lifted(
    footage: dict[str, np.ndarray],
    name: str,
    camera: int,
    lifter: Lifter,
    refinement: Refinement | None,
    rate: float,
) -> np.ndarray:
    """(F, 12, 3) metres: what a detector found in one camera's video, lifted."""
    pixels = np.nan_to_num(footage[f"{name}_2d"][camera].astype(float))
    confidence = np.nan_to_num(footage[f"{name}_conf"][camera].astype(float)).clip(0, 1)
    frames, fps = np.arange(len(pixels)), float(footage["fps"])
    found = Detections(DETECTORS[name], frames, pixels, confidence, None, len(frames), None, fps, name)
    lens, (k1, k2, p1, p2) = footage["K"][camera], footage["dist"][camera].tolist()
    width, height = (int(side) for side in footage["image_size"][camera])
    # Human3.6M's tangential coefficients are OpenCV's the other way round.
    model = Camera(width, height, (lens[0, 0], lens[1, 1]), (lens[0, 2], lens[1, 2]), (k1, k2, 0.0, p2, p1))
    ready = prepare(frames, *to_h36m(found), model, fps, name, name)
    return lift_person(lifter, ready.video, rate, Sampling(1, 1), refinement).pose.double().numpy()[:, OURS]


def errors_of(found: np.ndarray, true: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """MPJPE and P-MPJPE, mm, of joints (F, 12, 3) where they count (F, 12)."""
    found, true = (torch.from_numpy(x - x[:, HIPS].mean(1, keepdims=True)) for x in (found, np.nan_to_num(true)))
    plain = joint_errors(found, true)[torch.from_numpy(counts)].mean()
    aligned = []
    for pose, label, here in zip(found, true, torch.from_numpy(counts)):
        if here.sum() >= FEWEST_JOINTS:
            aligned.append(joint_errors(procrustes(pose[here], label[here]), label[here]).mean())
    return 1000 * plain.item(), 1000 * torch.stack(aligned).mean().item()


if __name__ == "__main__":
    run_script(main)
