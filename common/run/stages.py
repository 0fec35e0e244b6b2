"""The stages of a run, which are its epochs, their checkpoints and resuming; and the folder they are written to."""

import itertools
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import processes
from ..adaptation.selection import CRITERIA
from ..datasets.video import LabelledVideo, Video
from ..errors import InputError
from ..evaluation.protocol import evaluate
from ..model.checkpoint import load_lifter, read_checkpoint, save_checkpoint
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..units import MILLIMETRES
from .arguments import arguments_dict
from .models import apply_speed_flags, find_checkpoint, trained_rate
from .report import PREDICTIONS_FILE, RENDER_FILES, REPORT_FILES, TABLE_FILE
from .runlog import Progress, Record, RunLog

SOURCE_FILE = "h36m_best_epoch.bin"  # a source model the user puts into -c; runs read it and leave it alone
BEST_FILE = "best_epoch.bin"  # the adapted model
STAGES = {"source_only": "source_", "adapted": "", "oracle": "oracle_"}  # stage -> how its checkpoints' names begin
SELECTION_VIDEOS = 32  # at least, looked at after each epoch when the epoch is selected
WARMUP_STEPS = 100  # of every stage, the learning rate rises linearly
# What a resumed stage must ask for as before, so that it ends as if it had never stopped.
MUST_MATCH = (
    "channels", "depth", "number_of_frames", "timestep", "scale", "batch_size", "downsample", "keypoints", "seed",
    "subjects_train", "actions", "drop_path", "no_data_augmentation", "virtual_camera", "deterministic",
    "accumulate", "amp", "model", "rate", "prior_error",
)  # fmt: skip
# Flags that older checkpoints do not know, and what they stood for.
ADDED = {"model": "mixste", "prior_error": 0.0, "own_motion": 0.0, "relabel": "for every batch"}
TARGET = ("subjects_unlabeled", "target_split", "target_intrinsics")  # each script has its own of these
MUST_MATCH_IN = {
    "source_only": ("source_lr", "source_lrd"),
    "adapted": (
        *TARGET, "learning_rate", "lr_decay", "ema_decay", "num_proposals", "rank", "select", "pseudo_weight",
        "lora", "no_teacher", "teacher_start", "no_source_augmentation", "no_bone_ratios", "yaw", "refine",
        "own_motion", "relabel",
    ),
    "oracle": (*TARGET, "source_lr", "source_lrd", "source_epochs", "oracle_epochs", "supervised_target"),
}  # fmt: skip


def prepare_folder(args: Namespace) -> None:
    """Make the output folder; a run already there is moved aside unless it is resumed."""
    if processes.is_main():
        _prepare_folder(args)
    processes.barrier()


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
    archive_previous_run(args.checkpoint, checkpoints)


def archive_previous_run(folder: Path, checkpoints: Iterable[Path] = ()) -> None:
    """Move an earlier run's reports, and the checkpoints given, to a new folder previous-N: nothing is overwritten."""
    if not processes.is_main():
        return
    reports = [folder / name for name in (*REPORT_FILES, *RENDER_FILES, PREDICTIONS_FILE, TABLE_FILE)] + sorted(
        folder.glob("*.mat")
    )
    old = [*checkpoints, *(path for path in reports if path.exists())]
    if old:
        names = (folder / f"previous-{number}" for number in itertools.count(1))
        aside = next(path for path in names if not path.exists())
        aside.mkdir()
        for path in old:
            shutil.move(path, aside / path.name)
        print(f"{', '.join(path.name for path in old)}: of an earlier run, moved to {aside}")


def seed_stochastic_depth(seed: int, epoch: int) -> None:
    """Seed PyTorch's own generators, which stochastic depth draws from: by epoch, so that a resumed run need not know
    their state, and by process."""
    torch.manual_seed(hash((seed, epoch, processes.rank())) % 2**63)


def set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, decay: float, epoch: int, step: int) -> None:
    """A factor per epoch, as in VideoPose3D, after a linear rise over the first steps."""
    for group in optimizer.param_groups:
        group["lr"] = peak * decay ** (epoch - 1) * min(1.0, (step + 1) / WARMUP_STEPS)


def epoch_score(
    args: Namespace, target: Sequence[Video], reported: Sequence[LabelledVideo]
) -> Callable[[Lifter], float] | None:
    """What `--select` says of an epoch's lifter, lower is better, on evenly spread videos; None for the last epoch.

    Args:
        target: all criteria but one look at its 2D alone. reported: the oracle's, which is for comparison and looks
            at labels; at the lifter's frame rate.
    """
    if args.select == "last":
        return None
    sampling = Sampling(args.num_proposals, 1, seed=args.seed)
    if args.select == "oracle":
        if not reported:
            raise InputError("--select oracle: looks at labels, and there is no 3D of the subjects reported on")
        judged = reported[:: max(len(reported) // SELECTION_VIDEOS, 1)]
        return lambda lifter: evaluate(lifter, judged, sampling, "estimated").all_frames("J_Agg")
    seen = [v.at_rate(args.rate) for v in target[:: max(len(target) // SELECTION_VIDEOS, 1)]]
    return lambda lifter: CRITERIA[args.select](lifter, seen, sampling)


class Stage:
    """One stage of a run: which epochs are left, what is recorded of each, its checkpoints, and resuming from them.

    Attributes:
        history: a record per finished epoch: `epoch`, `lr`, `seconds`, the mean losses, and what else is noted.
    """

    def __init__(
        self,
        name: str,
        epochs: int,
        steps: int,
        lifter: Lifter,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        args: Namespace,
        log: RunLog,
    ):
        """
        Args:
            name: a key of `STAGES`. steps: batches in an epoch.
            lifter: the one that is trained. generator: where batches and draws come from.
        """
        self.name, self.total, self.steps = name, epochs, steps
        self.history: list[Record] = []
        self._lifter, self._optimizer, self._generator = lifter, optimizer, generator
        self._args, self._log = args, log

    def resume(self, base: str | None = None) -> dict[str, Any]:
        """With --resume, put lifter, optimizer, generator and history where the latest checkpoint left them.

        Args:
            base: the hash of the source model's weights, which must be what it was.

        Returns:
            The checkpoint's `training` entry; empty where the stage begins anew.

        Raises:
            InputError: the checkpoint was made with other flags or from another source model.
        """
        state = self._checkpoint()
        if state is None:
            return {}
        training: dict[str, Any] = state["training"]
        if base is not None and training["base"] != base:
            raise InputError(
                f"{self._args.checkpoint}: its adaptation started from another source model (hash "
                f"{training['base'][:12]}, now {base[:12]}); give another -c, or the same source"
            )
        self._lifter.denoiser.load_state_dict(training["student"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(training["generator"])
        self.history = list(training["history"])
        return training

    def _checkpoint(self) -> dict[str, Any] | None:
        """What to go on from, None to begin anew."""
        args = self._args
        if args.resume is None:
            return None
        path = args.checkpoint / f"{STAGES[self.name]}latest_epoch.bin"
        if args.resume:
            named = find_checkpoint(args.resume, args.checkpoint)
            if _resumable(named)["training"]["stage"] == self.name:
                path = named
        if not path.is_file():
            return None
        state = _resumable(path)
        for name in MUST_MATCH + MUST_MATCH_IN[self.name]:
            found, asked = state["about"]["arguments"].get(name, ADDED.get(name)), arguments_dict(args).get(name)
            if name == "rate":
                found = trained_rate(state["about"]["arguments"], args.rate)
            if found != asked:
                raise InputError(
                    f"{path}: was made with {name} {found}, this run asks for {asked}; give the same value, or another "
                    "-c to begin anew"
                )
        print(f"{self.name}: resumed from {path}, epoch {state['epoch']}")
        return state

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, from 1."""
        self._progress = Progress(self.name, self.total * self.steps, len(self.history) * self.steps)
        for epoch in range(len(self.history) + 1, self.total + 1):
            seed_stochastic_depth(self._args.seed, epoch)
            self._begin = time.monotonic()
            yield epoch

    def step_done(self) -> None:
        """A batch is done."""
        self._progress.step()

    def record(self, totals: Mapping[str, torch.Tensor], count: int) -> Record:
        """Begin the epoch's record.

        Args:
            totals: losses by name, summed over the epoch by this process; names that end in _mm are in metres.
            count: what to divide them by.
        """
        losses = {
            name: processes.all_reduce(total).item() / count * (MILLIMETRES if name.endswith("_mm") else 1)
            for name, total in totals.items()
        }
        seconds, lr = time.monotonic() - self._begin, self._optimizer.param_groups[0]["lr"]
        self.history.append({"epoch": len(self.history) + 1, "lr": lr, "seconds": seconds, **losses})
        return self.history[-1]

    def save(self, about: dict[str, Any], extra: Mapping[str, Any] | None = None, keep_best: bool = False) -> None:
        """Print and log the epoch's record and write its checkpoints: the latest with all that resuming needs, every
        -cf epochs one to stay.

        Args:
            about: plain values that say where the weights come from. extra: of the stage, beside what every one needs.
            keep_best: write `BEST_FILE` too when no other epoch has a better `selection_score`; always without scores.
        """
        self._progress.clear()
        self._log.epoch(self.name, self.history[-1], self.total)
        if not processes.is_main():
            return
        epoch, lr, lifter = len(self.history), self.history[-1]["lr"], self._lifter
        scores = [record.get("selection_score", -record["epoch"]) for record in self.history]
        if keep_best and scores[-1] == min(scores):  # first, as a run stopped here does the epoch again
            save_checkpoint(self._args.checkpoint / BEST_FILE, lifter, epoch, lr, about)
        training = {
            "stage": self.name,
            "student": lifter.denoiser.state_dict(),
            "history": self.history,
            "generator": self._generator.get_state(),
            **(extra or {}),
        }
        folder, prefix = self._args.checkpoint, STAGES[self.name]
        state = self._optimizer.state_dict()
        save_checkpoint(folder / f"{prefix}latest_epoch.bin", lifter, epoch, lr, about, state, training)
        if epoch % self._args.checkpoint_frequency == 0:
            save_checkpoint(folder / f"{prefix}epoch_{epoch}.bin", lifter, epoch, lr, about)

    def best(self, device: torch.device) -> Lifter:
        """The lifter in `BEST_FILE`, in every process."""
        processes.barrier()  # for the file
        return apply_speed_flags(load_lifter(self._args.checkpoint / BEST_FILE, device), self._args)


def _resumable(path: Path) -> dict[str, Any]:
    content = read_checkpoint(path)
    if not content.get("training"):
        raise InputError(f"{path}: holds weights only, nothing to resume from; give a ...latest_epoch.bin")
    return content
