"""Time and peak memory of what surrounds the network, against the number of frames: does it grow in proportion?

    python benchmarks/bench_pipeline.py                          # up to the size of Human3.6M's training subjects
    python benchmarks/bench_pipeline.py --frames 10000,50000 --compare benchmarks/results/pipeline.json

Synthetic videos in Human3.6M's files, written first and not timed. A frame is one image of one of the four cameras.

    load         `load_h36m`: unpacking, checks, into the cameras' frames
    windows      `split` and `stitch` of every video's keypoints and poses, T 243
    clips        one epoch of `Clips`, mirrored at random
    evaluate     `evaluate` with a stand-in for the lifter that returns its noise, H 2, K 1, root estimated, no refining
    report       the record, the tables and their files
    predictions  `write_predictions` of every video

Every number of frames is measured in a process of its own, warmed up at the smallest one. Seconds are the median of the
repeats; the memory is the process's peak so far, after each stage of the first of them. Writes
benchmarks/results/pipeline.json and a table.
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.datasets.clips import Clips
from common.datasets.h36m import load_h36m
from common.datasets.h36m_writing import project_h36m, write_h36m
from common.datasets.windows import split, stitch
from common.errors import InputError, run_script
from common.evaluation.protocol import evaluate
from common.model.inference import Sampling
from common.run.predictions import predict, write_predictions
from common.run.report import metrics_record, run_facts, tables, versions, write_json, write_report
from common.sample.actions import ACTIONS, make_clip
from common.sample.files import BODIES, CENTRE, STYLES

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STAGES = ("load", "windows", "clips", "evaluate", "report", "predictions")
PROVENANCE = "SYNTHETIC: procedural human motion for benchmarks/bench_pipeline.py, no person was recorded"
CAMERAS = 4
CLIP, BATCH = 243, 32  # frames in a clip; clips in a batch
SAMPLING = Sampling(num_proposals=2, sampling_timesteps=1, batch_size=BATCH)
SPREAD = 0.1  # metres, of the stand-in's hypotheses
SHORTEST, LONGEST = 1000, 6000  # frames of a video; short ones are more frequent, as in Human3.6M
LEAST = 400  # frames that can be asked for
MEBI = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--frames", default="10000,50000,200000,600000,1500000", metavar="LIST",
        help="numbers of frames, all cameras together (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of every stage (default: %(default)s)")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier pipeline.json, to show beside")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)  # "write DIR" or "measure DIR FRAMES": a child
    args = parser.parse_args()
    sizes = parse_sizes(args.frames)
    if args.repeats < 1:
        raise InputError(f"--repeats: expected 1 or more, found {args.repeats}")
    if args.part and args.part[0] == "write":
        for frames in sizes:
            write_data(Path(args.part[1]) / str(frames), frames)
    elif args.part:
        print(json.dumps(measure(Path(args.part[1]), int(args.part[2]), sizes[0], args.repeats)))
    else:
        before = read_record(args.compare) if args.compare else None
        record = study(sizes, args.repeats)
        RESULTS.mkdir(exist_ok=True)
        write_json(RESULTS / "pipeline.json", record)
        text = table(record, before)
        (RESULTS / "pipeline.txt").write_text(text + "\n")
        print(f"\n{text}")


def parse_sizes(text: str) -> list[int]:
    """The numbers of frames of --frames, ascending."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if not word.isdecimal() or int(word) < LEAST]
    if wrong or not words:
        raise InputError(f"--frames: expected whole numbers from {LEAST} up, found {wrong[0] if wrong else 'none'!r}")
    return sorted({int(word) for word in words})


def read_record(path: Path) -> dict[str, Any]:
    """An earlier result."""
    try:
        record = json.loads(path.read_text())
        _ = [(size["frames"], float(size["seconds"][stage])) for size in record["sizes"] for stage in STAGES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = type(error).__name__
        raise InputError(f"--compare {path}: expected a pipeline.json of this benchmark ({found})") from None
    return record


def study(sizes: list[int], repeats: int) -> dict[str, Any]:
    """Measure every number of frames, each in a process of its own; this one stays small.

    A child's peak memory begins with its parent's (Linux), so that the data is written by a child too.
    """
    listed = ",".join(map(str, sizes))
    measured = []
    with TemporaryDirectory() as folder:
        print("writing the data", flush=True)
        _child("--part", "write", folder, "--frames", listed)
        for size in sizes:
            print(f"{size} frames", flush=True)
            lines = _child("--part", "measure", folder, str(size), "--frames", listed, "--repeats", str(repeats))
            measured.append(json.loads(lines[-1]))
    frames = [size["frames"] for size in measured]
    return {
        "data": PROVENANCE,
        "synthetic": True,
        "clip_frames": CLIP,
        "sampling": vars(SAMPLING),
        "repeats": repeats,
        "versions": versions(),
        "sizes": measured,
        "exponents": {s: exponent(frames, [size["seconds"][s] for size in measured]) for s in STAGES},
        "bytes_per_added_frame": {s: slope(frames, [size["peak_bytes"][s] for size in measured]) for s in STAGES},
    }


def _child(*flags: str) -> list[str]:
    """The lines that this script prints when it runs with some flags."""
    command = [sys.executable, str(Path(__file__).resolve()), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise InputError(f"{' '.join(flags)}: ended with {done.returncode}: {lines[-1] if lines else ''}")
    return done.stdout.strip().splitlines()


def exponent(frames: Sequence[float], seconds: Sequence[float]) -> float | None:
    """b of the least-squares line through log seconds = a + b log frames; None for a single size."""
    return slope(np.log(frames), np.log(seconds))


def slope(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Of the least-squares line; None for a single point."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else None


def recordings(frames: int) -> list[tuple[str, str, int]]:
    """Subject, action and length of recordings that, seen by four cameras, have so many frames (less up to three)."""
    wanted = frames // CAMERAS
    count = max(round(wanted / (SHORTEST + (LONGEST - SHORTEST) / 3)), 1)
    shares = np.random.default_rng(0).permutation((np.arange(count) + 0.5) / count)
    lengths = SHORTEST + (LONGEST - SHORTEST) * shares**2
    ends = np.round(lengths.cumsum() / lengths.sum() * wanted).astype(int)
    people, actions, found = list(BODIES), list(ACTIONS), []
    for number, length in enumerate(np.diff(ends, prepend=0).tolist()):
        turn, subject = divmod(number, len(people))
        take, action = divmod(turn, len(actions))
        found.append((people[subject], f"{actions[action]} {take + 1}", length))
    return found


def write_data(folder: Path, frames: int) -> None:
    """Files in Human3.6M's layout, exact 2D."""
    positions, exact = {}, {}
    for number, (subject, action, length) in enumerate(recordings(frames)):
        rng = np.random.default_rng(number)
        clip = make_clip(action, BODIES[subject], STYLES[subject], length, rng, CENTRE).astype(np.float32)
        positions.setdefault(subject, {})[action] = clip
        exact.setdefault(subject, {})[action] = project_h36m(clip, subject)
    write_h36m(folder, positions, {"gt": exact}, PROVENANCE, synthetic=True)


class NoiseLifter(nn.Module):
    """Stands in for a lifter and costs next to nothing: its hypotheses are the noise it is given, around zero."""

    frames = CLIP

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))  # whose device is asked for

    def sample(self, x_2d: torch.Tensor, *_: object, noise: Sequence[torch.Tensor], **__: object) -> torch.Tensor:
        """(B, K, H, T, J, 3)."""
        return SPREAD * torch.stack(list(noise), 1)


def measure(folder: Path, frames: int, smallest: int, repeats: int) -> dict[str, Any]:
    """What this process needs for data of so many frames, after a warm-up with the smallest."""
    imports = peak_memory()
    run_stages(folder / str(smallest), smallest)
    runs = [run_stages(folder / str(frames), frames) for _ in range(repeats)]
    every = {stage: [run["seconds"][stage] for run in runs] for stage in STAGES}
    return runs[0] | {
        "seconds": {stage: median(values) for stage, values in every.items()},
        "seconds_of_every_run": every,
        "import_bytes": imports,
        "threads": torch.get_num_threads(),
    }


def run_stages(folder: Path, frames: int) -> dict[str, Any]:
    """Every stage once: its seconds, and the process's peak memory so far."""
    seconds, peaks = {}, {}

    @contextlib.contextmanager
    def stage(name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - begin
        peaks[name] = peak_memory()

    subjects = list(dict.fromkeys(subject for subject, *_ in recordings(frames)))
    with stage("load"):
        data = load_h36m(folder, "gt", subjects)
    videos = data.of(subjects)
    with stage("windows"):
        for video in videos:
            for track in (video.keypoints, video.pose):
                stitch(split(track, CLIP), len(track))
    with stage("clips"):
        for _ in Clips(videos, CLIP).epoch(BATCH, torch.Generator().manual_seed(0), flip=True):
            pass
    lifter, out = NoiseLifter(), folder / "report"
    with stage("evaluate"):
        scores = evaluate(lifter, videos, SAMPLING, "estimated")
    with stage("report"), contextlib.redirect_stdout(io.StringIO()):
        asked = Namespace(root="estimated", select="last", number_of_frames=CLIP, downsample=1, **vars(SAMPLING))
        about = {"protocol": "benchmark", "data": data.provenance, "synthetic": True, "keypoints": "gt"}
        record = metrics_record(
            {"source_only": scores}, run_facts(about, subjects, data.files, {}, videos[0].fps, asked)
        )
        write_report(record, tables(record, p2=True, by_subject=True), out)
    with stage("predictions"):
        write_predictions(out, predict(lifter, videos, SAMPLING, None, scale=1.0))
    return {
        "frames": sum(map(len, videos)),
        "videos": len(videos),
        "seconds": seconds,
        "peak_bytes": peaks,
        "data_bytes": sum(x.nbytes for v in videos for x in (v.keypoints, v.pose, v.trajectory)),
    }


def peak_memory() -> int:
    """The most memory this process has had so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(record: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """The sizes as text: times, beside an earlier result's where there is one, then memory."""
    sizes, sampling, more = record["sizes"], record["sampling"], record["bytes_per_added_frame"]
    earlier = {size["frames"]: size["seconds"] for size in before["sizes"]} if before else {}
    wide = 25 if before else 17

    def cells(values: Iterable[Any], form: str = "", width: int = 12) -> str:
        return "".join(f"{'-' if value is None else format(value, form):>{width}}" for value in values)

    lines = [
        record["data"],
        f"T {record['clip_frames']}, H {sampling['num_proposals']}, K {sampling['sampling_timesteps']}, threads "
        f"{sizes[0]['threads']}, median of {record['repeats']}; a frame is one camera's image",
        "",
        f"{'':16}{cells(STAGES, width=wide)}",
        f"{'frames':>8} {'videos':>7}"
        + f"{'s':>8}{'before' if before else '':>{wide - 17}}{'us/frame':>9}" * len(STAGES),
    ]
    for size in sizes:
        line = f"{size['frames']:8} {size['videos']:7}"
        for stage, seconds in size["seconds"].items():
            beside = [earlier.get(size["frames"], {}).get(stage)] if before else []
            line += cells([seconds, *beside], ".3f", 8) + cells([seconds / size["frames"] * 1e6], ".2f", 9)
        lines.append(line)
    lines += [
        f"{'exponent':16}{cells(record['exponents'].values(), '.2f', wide)}",
        "exponent: b of time ~ frames^b, least squares; 1 is linear",
        "",
        "Peak memory, MiB, after the imports and after each stage; bytes per frame beyond the imports, and of the data",
        f"{'frames':>8}{cells(['imports', *STAGES, 'B/frame', 'data'])}",
    ]
    for size in sizes:
        peaks = [size["import_bytes"], *size["peak_bytes"].values()]
        per_frame = [used / size["frames"] for used in (peaks[-1] - peaks[0], size["data_bytes"])]
        lines.append(f"{size['frames']:8}{cells((peak / MEBI for peak in peaks), '.0f')}{cells(per_frame, '.0f')}")
    lines.append(f"{'B per added frame':20}{cells(more.values(), '.0f')}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
