"""How close the lifter comes to what the machine can do: forward, sampling, training and adaptation steps, evaluation.

    python benchmarks/bench_lifter.py --size small
    python benchmarks/bench_lifter.py --size full --threads 1
    python benchmarks/bench_lifter.py --size small --compare benchmarks/results/lifter_small.json

Every row runs in a process of its own, which also multiplies two 4096 x 4096 float32 matrices: efficiency is the
row's FLOPs over its time over that rate. FLOPs are what PyTorch counts in the network, once per hypothesis, flip and
step, three times in training, whatever an optimisation may save or repeat. Times are medians after a warm-up; peak
memory is the whole process's, with the libraries. "plain" rows are the baseline: the same weights, attention written
out, a copy at every change of layout, and all clips and hypotheses in one block.

Writes benchmarks/results/lifter_SIZE.json and .txt, with the flags that were given in the name.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from einops import rearrange
from torch.utils.flop_counter import FlopCounterMode

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import processes
from common.adaptation.pseudo_labels import PHASES, label_videos
from common.adaptation.teacher import Teacher, ray_errors
from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.clips import LabelledBatch
from common.datasets.video import LabelledVideo
from common.errors import InputError, run_script
from common.evaluation.metrics import joint_errors
from common.evaluation.protocol import evaluate
from common.geometry.camera import project
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.mixste import Attention, MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement
from common.run.device import keep_freed_memory
from common.run.models import apply_speed_flags
from common.run.report import write_json
from common.tensors import to_device

RESULTS = Path(__file__).resolve().parent / "results"
GEMM = 4096
JOINTS = len(H36M_17.joints)
CLIPS = 2  # in a training step; in adaptation one is the source's, one the target's
TEACHER_HYPOTHESES, RELABEL = 3, 5  # of a label; steps with a clip until it is made anew
GIGABYTE = 1e9
ROUNDS = 5
LONG = 20.0  # seconds; rows that take longer have one warm-up and three rounds


@dataclass(frozen=True)
class Size:
    """A network and how often it is timed in a round."""

    frames: int
    width: int
    depth: int
    repeats: int


SIZES = {"small": Size(81, 128, 4, 4), "full": Size(243, 512, 8, 1)}


@dataclass(frozen=True)
class Row:
    """What is timed: its title, the passes of the network it stands for (of one clip), and the target per size; `steps`
    of it are timed together."""

    title: str
    passes: float
    efficiency: dict[str, float] = field(default_factory=dict)
    peak_gb: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    steps: int = 1


# The student's forward passes with activation gradients, and no gradients of the frozen weights; the teacher's labels.
ADAPT_PASSES = 2 * CLIPS + 2 * TEACHER_HYPOTHESES * PHASES / RELABEL
ADAPT_RATIO = 1.5  # at most, of a LoRA adaptation step's time over a plain training step's
ROWS = {
    "plain_forward": Row("plain: forward, 1 clip", 1),
    "forward": Row("forward, 1 clip", 1, {"full": 0.85, "small": 0.60}),
    "plain_sample": Row("plain: sampling H5 K5, flip", 50),
    "sample_1_1": Row("sampling H1 K1, flip", 2),
    "sample_5_1": Row("sampling H5 K1, flip", 10),
    "sample_5_5": Row("sampling H5 K5, flip", 50, {"full": 0.80, "small": 0.60}),
    "plain_train": Row("plain: training step, 2 clips", 3 * CLIPS),
    "train": Row("training step, 2 clips", 3 * CLIPS, {"full": 0.80, "small": 0.55}, {"full": 5, "small": 5}),
    "train_recompute": Row("  --gradient-checkpointing", 3 * CLIPS, {}, {"full": 2.5, "small": 2.5}),
    "adapt": Row("LoRA adaptation step, 2 clips", ADAPT_PASSES, {}, {"full": 3, "small": 3}, steps=RELABEL),
    "adapt_without_tcache": Row(
        "  GLIBC_TUNABLES (see README)",
        ADAPT_PASSES,
        {},
        {"full": 3, "small": 3},
        {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"},
        RELABEL,
    ),
    "evaluate": Row("evaluation, 8 windows, H2 K1", 8 * 2 * 2),
}


class PlainAttention(Attention):
    """Softmax written out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = rearrange(self.qkv(x), "b n l (three h d) -> three b n h l d", three=3, h=self.heads).contiguous()
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj(rearrange(weights @ v, "b n h l d -> b n l (h d)"))


class PlainMixSTE(MixSTE):
    """The network, each block given a contiguous copy in its own layout."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        for module in self.modules():
            if isinstance(module, Attention):
                module.__class__ = PlainAttention

    def forward(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        B, H, T, J, _ = x_3d.shape
        x = torch.cat([x_2d[:, None].expand(B, H, T, J, 2), x_3d], -1)
        x = self.Spatial_patch_to_embedding(x) + self.Spatial_pos_embed
        x = (x + self.time_mlp(t)[:, None, None, None]).flatten(0, 1)  # (B H, T, J, C)
        for i, (spatial, temporal) in enumerate(zip(self.STEblocks, self.TTEblocks)):
            x = self.Spatial_norm(spatial(x)).transpose(1, 2).contiguous()
            if i == 0:
                x = x + self.Temporal_pos_embed
            x = self.Temporal_norm(temporal(x)).transpose(1, 2).contiguous()
        return self.head(x).view(B, H, T, J, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", default=",".join(ROWS), metavar="LIST", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--amp", choices=("bf16",), help="as the scripts' flag; the plain rows stay as they are")
    parser.add_argument("--compile", action="store_true", help="likewise")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier result, to stand beside")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)  # in the child
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device; use --device cpu")
    if args.row:
        print(json.dumps(measure(args.row, args)))
        return
    wanted = args.rows.split(",")
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        raise InputError(f"--rows: no row {unknown[0]!r}, there are {', '.join(ROWS)}")
    earlier = earlier_result(args.compare, args.size) if args.compare else None
    record = {
        "size": args.size,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {args.threads} threads",
        "torch": torch.__version__,
        "flags": " ".join([*(["--amp bf16"] if args.amp else []), *(["--compile"] if args.compile else [])]),
        "rows": {},
    }
    for name in wanted:
        print(f"{ROWS[name].title.strip()} ...", flush=True)
        record["rows"][name] = apart(name, args)
    where = [args.device] if args.device != "cpu" else []
    name = "_".join(["lifter", args.size, *where, *record["flags"].replace("-", "").split()])
    write_json(RESULTS / f"{name}.json", record)
    text = table(record, earlier)
    (RESULTS / f"{name}.txt").write_text(text + "\n")
    print(f"\n{text}")


def earlier_result(path: Path, size: str) -> dict[str, Any]:
    """A record this script wrote.

    Raises:
        InputError: there is none, or it is of another size.
    """
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"--compare: {path} cannot be read ({error}); give a .json of this benchmark") from None
    if not isinstance(record, dict) or record.get("size") != size:
        raise InputError(f"--compare: {path} is no result of this benchmark at --size {size}; give another")
    return record


def apart(row: str, args: argparse.Namespace) -> dict[str, Any]:
    """One row measured in a process of its own, whose peak memory is then the row's."""
    flags = ["--size", args.size, "--threads", str(args.threads), "--device", args.device, "--row", row]
    flags += ["--amp", args.amp] if args.amp else []
    flags += ["--compile"] if args.compile else []
    environment = os.environ | ROWS[row].environment | {"OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run([sys.executable, __file__, *flags], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{row}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Median time, peak memory and efficiency of one row, in this process."""
    size, device = SIZES[args.size], args.device
    if device == "cpu":
        keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    run = prepared(name, size, args)
    long = timed(run, 1, device)[0] > LONG
    timed(run, 0 if long else 2, device)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    a, b = torch.rand(2, GEMM, GEMM, device=device, dtype=torch.bfloat16 if args.amp else torch.float32)
    timed(lambda: a @ b, 2, device)
    times: list[float] = []
    products: list[float] = []
    for _ in range(3 if long else ROUNDS):  # in turn, as the machine may be slower at one time than at another
        times += [seconds / ROWS[name].steps for seconds in timed(run, size.repeats, device)]
        products += timed(lambda: a @ b, 1, device)
    rate = 2 * GEMM**3 / median(products)
    seconds = median(times)
    low, _, high = quantiles(times, n=4)
    flops = ROWS[name].passes * forward_flops(size)
    return {
        "seconds": seconds, "quartiles": [low, high], "repeats": len(times), "peak_gb": peak / GIGABYTE,
        "gemm_gflops": rate / 1e9, "gflop": flops / 1e9, "efficiency": flops / seconds / rate,
    }  # fmt: skip


def timed(run: Callable[[], Any], repeats: int, device: str) -> list[float]:
    """Seconds of each repeat."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return times


def prepared(name: str, size: Size, args: argparse.Namespace) -> Callable[[], Any]:
    """What a row times, ready to be called."""
    plain, device = name.startswith("plain_"), args.device
    kind = PlainMixSTE if plain else MixSTE
    lifter = Lifter(kind(size.frames, JOINTS, size.width, size.depth, drop_path=0.0)).to(device)
    speed = Namespace(amp=args.amp, compile=args.compile, gradient_checkpointing=name == "train_recompute")
    if not plain:
        apply_speed_flags(lifter, speed)
    batch = clips(8 if name == "evaluate" else CLIPS, size.frames, device)
    what, *numbers = name.removeprefix("plain_").split("_")
    if what == "forward":
        lifter.eval()
        x_2d, t = batch.keypoints[:1], torch.zeros(1, dtype=torch.long, device=device)
        noisy = torch.randn(1, 1, size.frames, JOINTS, 3, device=device)
        return lambda: torch.no_grad()(lifter.denoise)(x_2d, noisy, t)
    if what == "sample":
        proposals, steps = (int(n) for n in numbers) if numbers else (5, 5)
        lifter.eval()
        return lambda: lifter.sample(batch.keypoints[:1], proposals, steps, flip=True)
    if what == "train":
        return training_step(lifter, batch)
    if what == "adapt":
        return adaptation_step(lifter, batch, speed)
    videos = as_videos(batch)
    return lambda: evaluate(lifter, videos, Sampling(2, 1), "estimated")


def training_step(lifter: Lifter, batch: LabelledBatch) -> Callable[[], None]:
    """A step of source training."""
    device = batch.pose.device
    optimizer = torch.optim.AdamW(lifter.parameters(), fused=device.type == "cuda")
    weight = torch.ones_like(batch.pose[..., 0]) / batch.pose[..., 0].numel()
    generator = torch.Generator().manual_seed(0)
    return lambda: student_step(lifter, optimizer, batch, batch.pose, weight, generator)


def adaptation_step(lifter: Lifter, batch: LabelledBatch, speed: Namespace) -> Callable[[], None]:
    """`RELABEL` steps of LoRA adaptation: a teacher labels `PHASES` phases of the target's half of the clips, then the
    student learns from both halves."""
    generator = torch.Generator().manual_seed(0)
    add_lora(lifter.denoiser, rank=4)
    teacher = Teacher(lifter, 0.999)
    apply_speed_flags(teacher.lifter, speed)
    optimizer = torch.optim.AdamW([p for p in lifter.parameters() if p.requires_grad], fused=batch.pose.is_cuda)
    half = len(batch) // 2
    target, source_pose = [v.unlabelled() for v in as_videos(batch.first(half))] * PHASES, batch.pose[half:]
    lengths = {"S1": torch.full((JOINTS,), 0.25)}
    refinement = Refinement(SourceBones(lengths["S1"], lengths["S1"]), noise=0.005, mode="limits")
    weight = torch.ones_like(batch.pose[..., 0]) / source_pose[..., 0].numel()

    def steps() -> None:
        labelled = label_videos(teacher.lifter, target, lengths, refinement, TEACHER_HYPOTHESES)
        pseudo = torch.stack([v.pose for v in labelled[:half]]).to(batch.pose.device)
        for _ in range(RELABEL):
            student_step(lifter, optimizer, batch, torch.cat([pseudo, source_pose]), weight, generator, rays_of=half)
            teacher.update(lifter)

    return steps


def as_videos(batch: LabelledBatch) -> list[LabelledVideo]:
    """A video per clip."""
    return [
        LabelledVideo(
            subject="S1", action="Walking", camera=str(i), keypoints=keypoints, intrinsics=intrinsics, width=1000,
            height=1000, fps=50.0, pose=pose, trajectory=trajectory,
        )
        for i, (keypoints, intrinsics, pose, trajectory) in enumerate(
            zip(batch.keypoints.cpu(), batch.intrinsics.cpu(), batch.pose.cpu(), batch.trajectory.cpu())
        )
    ]  # fmt: skip


def student_step(
    lifter: Lifter,
    optimizer: torch.optim.Optimizer,
    batch: LabelledBatch,
    pose: torch.Tensor,
    weight: torch.Tensor,
    generator: torch.Generator,
    rays_of: int = 0,
) -> None:
    """The scripts' step, in their passes; the first `rays_of` clips have the reprojection loss too."""
    device = pose.device
    t = to_device(torch.randint(1000, (len(pose),), generator=generator), device)
    noise = to_device(torch.randn(pose.shape, generator=generator), device)
    noisy = lifter.diffusion.add_noise(pose, t, noise)
    of_target = torch.arange(len(pose), device=device)[:, None, None] < rays_of
    optimizer.zero_grad(set_to_none=True)
    plain = isinstance(lifter.denoiser, PlainMixSTE)
    passes = processes.micro_batches(len(pose), 1, lifter.denoiser.clip_values, device)
    for part in [slice(None)] if plain else passes:
        keypoints, intrinsics = batch.keypoints[part], batch.intrinsics[part]
        predicted = lifter(keypoints, noisy[part, None], t[part], intrinsics)[:, 0]
        loss = (weight[part] * joint_errors(predicted, pose[part])).sum()
        if rays_of:
            rays = ray_errors(predicted, keypoints, intrinsics).where(of_target[part], 0)
            loss = loss + 0.5 * rays.sum() / weight[:rays_of].numel()
        loss.backward()
    optimizer.step()


def clips(count: int, frames: int, device: str) -> LabelledBatch:
    """Random poses 5 m before a Human3.6M camera: shapes and ranges are real, motion is not."""
    pose = 0.3 * torch.randn(count, frames, JOINTS, 3)
    pose[:, :, H36M_17.root_index] = 0
    trajectory = torch.tensor([0.0, 0.0, 5.0]).expand(count, frames, 3)
    intrinsics = h36m_cameras("S1")[0].normalised_intrinsics().float().expand(count, 9)
    keypoints = project(pose + trajectory[..., None, :], intrinsics)
    batch = LabelledBatch(
        keypoints=keypoints, intrinsics=intrinsics, subjects=["S1"] * count, pose=pose, trajectory=trajectory
    )
    return batch.to(torch.device(device))


def forward_flops(size: Size) -> float:
    """FLOPs of the plain network for one clip, as PyTorch counts them."""
    estimator = MixSTE(size.frames, JOINTS, size.width, size.depth).eval()
    x_2d, x_3d = torch.zeros(1, size.frames, JOINTS, 2), torch.zeros(1, 1, size.frames, JOINTS, 3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        estimator(x_2d, x_3d, torch.zeros(1))
    return counter.get_total_flops()


def table(record: dict[str, Any], earlier: dict[str, Any] | None = None) -> str:
    """The rows as text, each beside its targets, and beside an earlier result."""
    size, rows = record["size"], record["rows"]
    lines = [
        " ".join(f"{size} size, {record['device']}, torch {record['torch']} {record['flags']}".split()),
        f"{'':32}{'median':>11}{'quartiles':>20}{'GEMM':>8}{'efficiency':>12}{'target':>8}{'peak':>7}{'target':>8}"
        + (f"{'earlier':>11}{'ratio':>7}" if earlier else ""),
        f"{'':32}{'ms':>11}{'ms':>20}{'GFLOP/s':>8}{'':20}{'GB':>7}{'GB':>8}" + (f"{'ms':>11}" if earlier else ""),
    ]
    for name, row in rows.items():
        known = ROWS[name]
        low, high = (f"{1000 * value:.1f}" for value in row["quartiles"])
        wanted = f">= {known.efficiency[size]:.2f}" if size in known.efficiency else "-"
        most = f"< {known.peak_gb[size]}" if size in known.peak_gb else "-"
        line = (
            f"{known.title:32}{1000 * row['seconds']:11.1f}{low + ' - ' + high:>20}{row['gemm_gflops']:8.0f}"
            f"{row['efficiency']:12.2f}{wanted:>8}{row['peak_gb']:7.2f}{most:>8}"
        )
        if earlier and name in earlier["rows"]:
            before = earlier["rows"][name]["seconds"]
            line += f"{1000 * before:11.1f}{row['seconds'] / before:7.2f}"
        lines.append(line)
    lines.append("")
    for name, other in (("adapt", "train"), ("adapt", "plain_train")):
        if name in rows and other in rows:
            ratio = rows[name]["seconds"] / rows[other]["seconds"]
            titles = ROWS[name].title, ROWS[other].title
            lines.append(f"{titles[0]} / {titles[1]}: {ratio:.2f} (target <= {ADAPT_RATIO})")
    for name in ("forward", "sample_5_5", "train"):
        plain = f"plain_{name.split('_')[0]}"
        if name in rows and plain in rows:
            lines.append(
                f"{ROWS[plain].title} / {ROWS[name].title}: {rows[plain]['seconds'] / rows[name]['seconds']:.2f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
