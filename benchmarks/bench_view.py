"""How fast a motion becomes a page and a film, on one core.

    python benchmarks/bench_view.py                # 1,000 frames
    python benchmarks/bench_view.py --frames 200

A synthetic walk before one camera: one motion beside its keypoints, as `lift.py` shows it, and before and after over
the truth, as `--render` does, at the usual size. Frames a second are per second of processor time, all threads
together, so that other work on the machine does not count. Writes benchmarks/results/view.txt.
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import InputError, run_script
from common.geometry.skeleton import H36M_17, H36M_32, convert
from common.sample.actions import make_clip
from common.sample.files import BODIES, STYLES
from common.viewer.track import Track
from common.viewer.view import write_view

RESULTS = Path(__file__).resolve().parent / "results"
SIZE, FOCAL, FPS = (1000, 1000), 1145.0, 50.0
ENDINGS = (".html", ".gif", ".mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1000, metavar="N", help="of the walk (default: %(default)s)")
    args = parser.parse_args()
    if args.frames < 2:
        raise InputError(f"--frames: expected 2 or more, found {args.frames}")
    text = "\n".join(table(args.frames))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "view.txt").write_text(text + "\n")
    print(text)


def walk(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints (F, 17, 3) metres as the viewer takes them, of somebody who walks, and their pixels (F, 17, 2)."""
    world = make_clip("Walking", BODIES["S1"], STYLES["S1"], frames, np.random.default_rng(0))
    joints = convert(world, H36M_32, H36M_17)[..., [1, 2, 0]] + [0.0, -1.1, -5.2]
    return joints, np.array(SIZE) / 2 + FOCAL * joints[..., :2] * [1, -1] / -joints[..., 2:]


def scenes(frames: int) -> tuple[dict[str, list[Track]], np.ndarray]:
    """What is shown, by name, and the keypoints (F, 17, 2)."""
    joints, pixels = walk(frames)
    rng = np.random.default_rng(1)

    def guess(name: str, size: float) -> Track:
        reprojected = pixels + rng.normal(0, 3, pixels.shape)
        return Track(name, joints + rng.normal(0, size, joints.shape), reprojected=reprojected)

    before, after, truth = guess("before", 0.02), guess("after", 0.01), Track("truth", joints, truth=True)
    return {"one motion": [after], "before, after, truth": [before, after, truth]}, pixels


def table(frames: int) -> list[str]:
    """The lines of the result."""
    lines = [f"SYNTHETIC walk, {frames} frames", f"{'':26}{'frames/s':>10}{'kB':>8}"]
    for ending in ENDINGS:
        if ending == ".mp4" and importlib.util.find_spec("av") is None:
            lines.append(".mp4: PyAV is not installed")
            continue
        measure(ending, 2)  # warms up
        for name, (rate, size) in measure(ending, frames).items():
            lines.append(f"{name:20}{ending:>6}{rate:10.0f}{size / 1000:8.0f}")
    return lines


def measure(ending: str, frames: int) -> dict[str, tuple[float, int]]:
    """Per scene the frames per second of processor time, and the file's bytes."""
    found, (shown, pixels) = {}, scenes(frames)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        for name, tracks in shown.items():
            begin = time.process_time()
            write_view(path, tracks, FPS, "A walk", ["Synthetic: an invented walk"], pixels, SIZE)
            found[name] = frames / (time.process_time() - begin), path.stat().st_size
    return found


if __name__ == "__main__":
    run_script(main)
