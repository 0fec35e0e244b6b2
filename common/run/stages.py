"""The parts of a run both scripts share: device, output folder, epoch checkpoints, resuming."""

import itertools
import shutil
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from .. import processes
from ..errors import InputError
from ..model.checkpoint import read_checkpoint, save_checkpoint
from ..model.lifter import Lifter
from .arguments import plain_arguments
from .models import find_checkpoint
from .report import PREDICTIONS_FILE, RENDER_FILE, REPORT_FILES

SOURCE_FILE = "h36m_best_epoch.bin"  # a source model the user puts into -c; runs read it and leave it alone
BEST_FILE = "best_epoch.bin"  # the adapted model
STAGES = {"source_only": "source_", "adapted": "", "oracle": "oracle_"}  # stage -> how its checkpoints' names begin
WARMUP_STEPS = 100  # of every stage, the learning rate rises linearly
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


def seed_dropping(seed: int, epoch: int) -> None:
    """Seed PyTorch's own generators, which stochastic depth draws from: by epoch, so that a resumed run need not know
    their state, and by process."""
    torch.manual_seed(hash((seed, epoch, processes.rank())) % 2**63)


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
