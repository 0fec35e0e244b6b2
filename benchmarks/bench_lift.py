"""Time and peak memory of `lift.py` against the number of frames, by stage: a thousand frames, ..., an hour of video.

    python benchmarks/bench_lift.py                           # 1,000 to 216,000 frames (an hour at 60 a second)
    python benchmarks/bench_lift.py --frames 1000 --repeats 5

One synthetic person, exact 2D, in an .npy file at 60 frames a second; a lifter of the size of --sample (C 64, depth 2,
T 9 at 5 frames a second) that has learnt nothing. Every run is a process of its own, as a user starts it; everything
that is written by default is written. Seconds are medians of the repeats, memory is the highest peak.

    start     Python and imports, up to the first line of `main`
    read      `read_keypoints`, people, gaps, left and right
    network   `lift_windows`
    lift      the rest of `lift_person`: blending, bones, refining, smoothing, the vertical
    write     npz, csv, json, trc, bvh; and the page

Writes benchmarks/results/lift.json and a table.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

START = time.time()

import numpy as np  # noqa: E402
import torch  # noqa: E402

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import InputError, run_script  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FPS, SECONDS = 60, 20  # of the video; the synthetic motion repeats after so long
STAGES = ("start", "read", "network", "lift", "write", "page", "all")
MEBI = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", default="1000,10000,54000,216000", metavar="LIST", help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of each (default: %(default)s)")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)  # FILE MODEL OUT STARTED: a child
    args = parser.parse_args()
    if args.part:
        child(*args.part)
        return
    sizes = [int(n) for n in args.frames.split(",") if n.isdecimal() and int(n) > 0]
    if len(sizes) != args.frames.count(",") + 1 or args.repeats < 1:
        raise InputError(f"--frames, --repeats: expected numbers above 0, found {args.frames}, {args.repeats}")
    rows = {}
    with TemporaryDirectory() as made:
        folder = Path(made)
        model = write_model(folder / "model.bin")
        motion = write_motion()
        for frames in sizes:
            file = folder / f"{frames}.npy"
            np.save(file, np.resize(motion, (frames, *motion.shape[1:])))
            runs = [measured(file, model, folder / "out") for _ in range(args.repeats)]
            seconds = {stage: median(run["seconds"][stage] for run in runs) for stage in STAGES}
            rows[frames] = {"seconds": seconds, "peak_mb": max(run["peak_mb"] for run in runs)}
            print(line(frames, rows[frames]), flush=True)
    gemm = matrix_rate()
    record = {
        "synthetic": True, "repeats": args.repeats, "threads": torch.get_num_threads(), "gemm_gflops": gemm,
        "versions": {"torch": torch.__version__, "numpy": np.__version__}, "rows": rows,
    }  # fmt: skip
    head = [
        f"SYNTHETIC person, lifter of C 64, depth 2, T 9 that has learnt nothing; {torch.get_num_threads()} threads, "
        f"matrix product {gemm:.0f} GFLOP/s",
        f"{'frames':>8}" + "".join(f"{stage:>9}" for stage in STAGES) + "  network  peak MB",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lift.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "lift.txt").write_text("\n".join([*head, *(line(n, row) for n, row in rows.items())]) + "\n")
    print("\n".join(head))


def line(frames: int, row: dict[str, Any]) -> str:
    """A row of the table; the network's share is of everything."""
    seconds = row["seconds"]
    return (
        f"{frames:8}" + "".join(f"{seconds[stage]:9.2f}" for stage in STAGES)
        + f"  {seconds['network'] / seconds['all']:6.0%}  {row['peak_mb']:8.0f}"
    )  # fmt: skip


def measured(file: Path, model: Path, out: Path) -> dict[str, Any]:
    """One run in a process of its own."""
    part = [str(file), str(model), str(out), repr(time.time())]
    done = subprocess.run([sys.executable, __file__, "--part", *part], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"lift.py ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(file: str, model: str, out: str, started: str) -> None:
    """What `lift.py` does, with a watch on its stages."""
    from common.footage import lifting
    from common.run import footage

    seconds = dict.fromkeys(STAGES, 0.0)
    seconds["start"] = time.time() - float(started)

    def watched(stage: str, function: Callable) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[stage] += time.perf_counter() - begin

        return timed

    for name in ("read_keypoints", "chosen_people", "to_h36m", "prepare"):
        setattr(footage, name, watched("read", getattr(footage, name)))
    footage.lift_person = watched("lift", footage.lift_person)
    lifting.lift_windows = watched("network", lifting.lift_windows)
    footage.Poses.save = watched("write", footage.Poses.save)  # type: ignore[method-assign]
    footage.view_motion = watched("page", footage.view_motion)
    begin = time.perf_counter()
    footage.main([file, "-m", model, "-o", out, "--size", "1000x1000", "--fps", str(FPS), "--format", "h36m-array"])
    seconds["all"] = seconds["start"] + time.perf_counter() - begin
    seconds["lift"] -= seconds["network"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBI
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def write_model(path: Path) -> Path:
    """A lifter of random weights, with bones to refine with."""
    from common.model.checkpoint import save_checkpoint
    from common.model.lifter import Lifter
    from common.model.mixste import MixSTE
    from common.reprojection.bones import SourceBones
    from common.reprojection.refinement import Refinement

    torch.manual_seed(0)
    bones = torch.full((17,), 0.25)
    about = {
        "arguments": {"rate": 5.0}, "synthetic": True,
        "refinement": Refinement(SourceBones(bones, bones), 0.005, "limits").to_dict(),
    }  # fmt: skip
    save_checkpoint(path, Lifter(MixSTE(9, 17, 64, 2), virtual_camera=True), 1, 0.0, about)
    return path


def write_motion() -> np.ndarray:
    """(F, 17, 2) pixels of a synthetic person who walks."""
    from common.datasets.h36m_writing import project_h36m
    from common.sample.actions import make_clip
    from common.sample.files import BODIES, CENTRE, STYLES

    rng = np.random.default_rng(0)
    clip = make_clip("Walking", BODIES["S1"], STYLES["S1"], FPS * SECONDS, rng, CENTRE)
    return project_h36m(clip, "S1")[0]


def matrix_rate() -> float:
    """GFLOP/s of a product of two float32 matrices, the best of some."""
    one = torch.randn(2048, 2048)
    best = 0.0
    for _ in range(8):
        begin = time.perf_counter()
        one @ one
        best = max(best, 2 * 2048**3 / (time.perf_counter() - begin) / 1e9)
    return best


if __name__ == "__main__":
    run_script(main)
