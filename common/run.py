"""The parts of a run both scripts share: device, output folder, epoch checkpoints, resuming."""

import ctypes
import itertools
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from common import processes
from common.arguments import JOINT_ORDERS
from common.checkpoint import load_lifter, read_checkpoint, reorder_joints, save_checkpoint
from common.errors import InputError
from common.lifter import Lifter
from common.refinement import Refinement
from common.report import PREDICTIONS_FILE, RENDER_FILE, REPORT_FILES
from common.skeleton import H36M_17

SOURCE_FILE = "h36m_best_epoch.bin"  # a source model the user puts into -c; runs read it and leave it alone
BEST_FILE = "best_epoch.bin"  # the adapted model
STAGES = {"source_only": "source_", "adapted": "", "oracle": "oracle_"}  # stage -> how its checkpoints' names begin
WARMUP_STEPS = 100  # of every stage, the learning rate rises linearly
# mallopt parameters of glibc (malloc.h), and the highest threshold it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MMAP_THRESHOLD_MAX = -1, -3, 32 * 2**20
# What a resumed stage must ask for as before, so that it ends as if it had never stopped.
MUST_MATCH = (
    "channels", "depth", "number_of_frames", "timestep", "scale", "batch_size", "downsample", "keypoints", "seed",
    "subjects_train", "actions", "drop_path", "no_data_augmentation", "virtual_camera", "deterministic",
    "accumulate", "amp",
)  # fmt: skip
TARGET = ("subjects_unlabeled", "target_split", "target_intrinsics")  # each script has its own of these
MUST_MATCH_IN = {
    "source_only": ("source_lr", "source_lrd"),
    "adapted": (
        *TARGET, "learning_rate", "lr_decay", "ema_decay", "num_proposals", "rank", "select", "pseudo_weight",
        "lora", "no_teacher", "teacher_start", "no_source_augmentation", "no_bone_ratios", "yaw", "refine",
    ),
    "oracle": (*TARGET, "source_lr", "source_lrd", "source_epochs", "oracle_epochs", "supervised_target"),
}  # fmt: skip


def pick_device(gpu: str) -> torch.device:
    """The CUDA device asked for or the first one; the CPU, with a word, where there is none.

    Processes of torchrun join here, and get a device each.
    """
    device = _device(gpu)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def _device(gpu: str) -> torch.device:
    if processes.started_by_torchrun():
        if gpu:
            raise InputError("-gpu: torchrun gives each process a GPU; leave it out, CUDA_VISIBLE_DEVICES=0,1 chooses")
        return processes.start()
    if "," in gpu:
        asked = ("-gpu", "--gpu", gpu, f"-gpu={gpu}", f"--gpu={gpu}")
        words = shlex.join(word for word in sys.argv if word not in asked)
        number = len(gpu.split(","))
        raise InputError(
            f"-gpu {gpu}: one process works on one GPU; for several run "
            f"CUDA_VISIBLE_DEVICES={gpu} torchrun --nproc-per-node {number} {words}"
        )
    if not torch.cuda.is_available():
        if gpu:
            print(f"-gpu {gpu}: no CUDA device here, running on the CPU")
        return torch.device("cpu")
    if gpu and (not gpu.isdigit() or int(gpu) >= torch.cuda.device_count()):
        raise InputError(f"-gpu: expected a number below {torch.cuda.device_count()}, found {gpu}")
    return torch.device("cuda", int(gpu or 0))


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next step, where it is glibc. By itself it hands large blocks back
    to the system, which clears them anew: a tenth or more of a large step on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_MAX)


def prepare_folder(args: Namespace) -> None:
    """Make the output folder; a run already there is moved aside unless it is resumed."""
    if processes.is_first():
        _prepare_folder(args)
    processes.wait()


def _prepare_folder(args: Namespace) -> None:
    try:
        args.checkpoint.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-c: {args.checkpoint} cannot be made a folder ({error.strerror}); give another") from None
    checkpoints = sorted(set(args.checkpoint.glob("*.bin")) - {args.checkpoint / SOURCE_FILE})
    if args.resume is not None:
        if not checkpoints:
            raise InputError(f"--resume: {args.checkpoint} holds no checkpoint; leave it out to begin a new run")
        return
    if args.source_checkpoint and args.source_checkpoint.resolve() in [path.resolve() for path in checkpoints]:
        raise InputError(f"--source-checkpoint: {args.source_checkpoint} lies in the output folder; give another -c")
    set_aside(args.checkpoint, checkpoints)


def set_aside(folder: Path, checkpoints: Iterable[Path] = ()) -> None:
    """Move an earlier run's reports, and the checkpoints given, to a new folder previous-N: nothing is overwritten."""
    reports = [folder / name for name in (*REPORT_FILES, RENDER_FILE, PREDICTIONS_FILE)] + sorted(folder.glob("*.mat"))
    old = [*checkpoints, *(path for path in reports if path.exists())]
    if old:
        names = (folder / f"previous-{number}" for number in itertools.count(1))
        aside = next(path for path in names if not path.exists())
        aside.mkdir()
        for path in old:
            shutil.move(path, aside / path.name)
        print(f"{', '.join(path.name for path in old)}: of an earlier run, moved to {aside}")


def find_checkpoint(name: str, folder: Path) -> Path:
    """A checkpoint given as a path, or as a name inside the output folder."""
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"{name}: no such checkpoint, neither here nor in {folder}")


def fitting_lifter(path: Path, args: Namespace, device: torch.device, foreign_order: str | None) -> Lifter:
    """A lifter from a file. Its sizes are the file's, whatever the flags say, and are noted in `args`.

    Args:
        foreign_order: the joint order a checkpoint of another project has when `--checkpoint-joint-order` does not
            say; None where that must be said.

    Raises:
        InputError: not a lifter of 17 joints, one trained at another frame rate than this run's, or one whose joint
            order is not known.
    """
    lifter = load_lifter(path, device)
    if lifter.pose_estimator.joints != len(H36M_17.joints):
        raise InputError(f"{path}: lifts {lifter.pose_estimator.joints} joints, expected {len(H36M_17.joints)}")
    about = read_checkpoint(path).get("about")
    if about is None:
        order = args.checkpoint_joint_order or foreign_order
        if order is None:
            raise InputError(
                f"{path}: does not say its joint order, and released 3DHP models have another than released Human3.6M "
                f"models; add --checkpoint-joint-order {' or '.join(JOINT_ORDERS)}"
            )
        print(f"{path}: of another project, taken to be in {JOINT_ORDERS[order].name} order (--checkpoint-joint-order)")
        reorder_joints(lifter, JOINT_ORDERS[order])
    trained = (about or {}).get("arguments", {}).get("downsample", args.downsample)
    if trained != args.downsample:
        raise InputError(
            f"{path}: was trained on one frame in {trained}, this run takes one in {args.downsample}; "
            f"add --downsample {trained}"
        )
    if args.deterministic and not lifter.deterministic:
        raise InputError(f"--deterministic: {path} is a diffusion lifter; leave the flag out")
    args.channels, args.depth = lifter.pose_estimator.width, lifter.pose_estimator.depth
    args.number_of_frames = lifter.frames
    args.timestep, args.scale = lifter.diffusion.timesteps, lifter.diffusion.scale
    args.virtual_camera, args.deterministic = lifter.virtual_camera, lifter.deterministic
    if lifter.deterministic:
        args.num_proposals = args.sampling_timesteps = 1
    return lifter


def stored_refinement(path: Path, args: Namespace) -> Refinement | None:
    """What an adapted checkpoint carries to refine poses; None where it carries nothing or `--refine none` is given."""
    plain = (read_checkpoint(path).get("about") or {}).get("refinement")
    return None if plain is None or args.refine == "none" else Refinement.from_plain(plain, str(path))


def seed_dropping(seed: int, epoch: int) -> None:
    """Seed PyTorch's own generators, which stochastic depth draws from: by epoch, so that a resumed run need not know
    their state, and by process."""
    torch.manual_seed(hash((seed, epoch, processes.rank())) % 2**63)


def set_speed(lifter: Lifter, args: Namespace) -> Lifter:
    """What `--amp`, `--compile` and `--gradient-checkpointing` ask for; a copy of a lifter needs it again."""
    lifter.half = args.amp == "bf16"
    lifter.pose_estimator.recompute = args.gradient_checkpointing
    if args.compile:
        lifter.pose_estimator.compile_blocks()
    return lifter


def set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, decay: float, epoch: int, step: int) -> None:
    """A factor per epoch, as in VideoPose3D, after a linear rise over the first steps."""
    for group in optimizer.param_groups:
        group["lr"] = peak * decay ** (epoch - 1) * min(1.0, (step + 1) / WARMUP_STEPS)


def keep_epoch(
    stage: str,
    lifter: Lifter,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
    generator: torch.Generator,
    about: dict[str, Any],
    args: Namespace,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write an epoch's checkpoints: the latest with all that resuming needs, every `-cf` epochs one to stay."""
    if not processes.is_first():
        return
    training = {
        "stage": stage,
        "student": lifter.pose_estimator.state_dict(),
        "history": history,
        "generator": generator.get_state(),
        **(extra or {}),
    }
    epoch, lr, prefix = history[-1]["epoch"], history[-1]["lr"], STAGES[stage]
    latest = args.checkpoint / f"{prefix}latest_epoch.bin"
    save_checkpoint(latest, lifter, epoch, lr, about, optimizer.state_dict(), training)
    if epoch % args.checkpoint_frequency == 0:
        save_checkpoint(args.checkpoint / f"{prefix}epoch_{epoch}.bin", lifter, epoch, lr, about)


def resumed(stage: str, args: Namespace) -> dict[str, Any] | None:
    """The checkpoint a stage goes on from with --resume, None to begin anew."""
    if args.resume is None:
        return None
    path = args.checkpoint / f"{STAGES[stage]}latest_epoch.bin"
    if args.resume:
        named = find_checkpoint(args.resume, args.checkpoint)
        if _resumable(named)["training"]["stage"] == stage:
            path = named
    if not path.is_file():
        return None
    state = _resumable(path)
    for name in MUST_MATCH + MUST_MATCH_IN[stage]:
        found, asked = state["about"]["arguments"].get(name), plain_arguments(args).get(name)
        if found != asked:
            raise InputError(f"{path}: was made with {name} {found}, this run asks for {asked}; give the same value")
    print(f"{stage}: resumed from {path}, epoch {state['epoch']}")
    return state


def _resumable(path: Path) -> dict[str, Any]:
    content = read_checkpoint(path)
    if not content.get("training"):
        raise InputError(f"{path}: holds weights only, nothing to resume from; give a ...latest_epoch.bin")
    return content


def restore(state: dict[str, Any], generator: torch.Generator) -> list[dict[str, float]]:
    """Put the random number generator back where it was; returns the history."""
    generator.set_state(state["training"]["generator"])
    return list(state["training"]["history"])


def plain_arguments(args: Namespace) -> dict[str, Any]:
    """The flags as plain values for files."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
