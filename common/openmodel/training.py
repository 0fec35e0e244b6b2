"""Training the open model: endless clips, a regressor or a diffusion, a running mean of the weights."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..evaluation.metrics import joint_errors
from ..geometry.skeleton import H36M_17
from ..model.checkpoint import load_lifter, read_checkpoint, save_checkpoint
from ..model.lifter import Lifter
from ..model.registry import DENOISERS
from .clips import Recipe, one_batch
from .motion import Motion
from .validation import ValidationSet, measured_refinement

CHECKPOINT = "open.bin"
BETAS, WEIGHT_DECAY = (0.9, 0.98), 0.05
WARMUP_STEPS = 300
LOSSES = ("mpjpe", "squared", "depth")


@dataclass(frozen=True)
class Settings:
    """What decides the learning. Stored in the checkpoint under `about["arguments"]`.

    Attributes:
        frames, rate: T, and the frames a second of a clip. epochs, steps, batch_size: `steps` batches make an epoch.
        loss: "mpjpe"; "squared" error; "depth" adds the error of the bones' depth.
        without: augmentations left out. amp, compiled: bfloat16 products, fused blocks.
        mean_decay: of the running mean of the weights, which is what is stored.
    """

    model: str = "mixste"
    channels: int = 64
    depth: int = 3
    frames: int = 9
    rate: float = 5.0
    epochs: int = 24
    steps: int = 400
    batch_size: int = 32
    lr: float = 1.5e-3
    mean_decay: float = 0.998
    deterministic: bool = True
    virtual_camera: bool = True
    prior_error: float = 0.0
    loss: str = "mpjpe"
    amp: bool = False
    compiled: bool = False
    seed: int = 0
    without: list[str] = field(default_factory=list)

    def lifter(self) -> Lifter:
        """A new one."""
        torch.manual_seed(self.seed)
        joints = len(H36M_17.joints)
        denoiser = DENOISERS[self.model].build(self.frames, joints, self.channels, self.depth, 0.0)
        return Lifter(denoiser, 1000, 1.0, self.virtual_camera, self.deterministic, self.prior_error)


def loss_of(predicted: torch.Tensor, pose: torch.Tensor, weight: torch.Tensor, kind: str) -> torch.Tensor:
    """The loss of poses (B, T, 17, 3), metres, given the clips' weights (B, 1, 1)."""
    errors = joint_errors(predicted, pose)
    if kind == "squared":
        return (weight * 5 * errors.square()).mean()  # comparable with the others at 0.2 m
    loss = (weight * errors).mean()
    if kind == "depth":
        parents = H36M_17.parents[1:]
        off = predicted[..., 2] - pose[..., 2]
        loss = loss + 0.5 * (weight * (off[..., 1:] - off[..., parents]).abs()).mean()
    return loss


def learning_rate(settings: Settings, step: int) -> float:
    """Half a cosine over all steps, after a linear rise."""
    done = step / (settings.epochs * settings.steps)
    return settings.lr * min(1.0, (step + 1) / WARMUP_STEPS) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(
    settings: Settings,
    motion: Motion,
    held_out: ValidationSet | None,
    folder: Path,
    about: dict[str, Any],
    resume: bool = False,
    minutes: float = math.inf,
    validate_every: int = 2,
    say: Callable[[str], None] = print,
) -> Lifter:
    """Train to the last epoch, or for so many minutes, storing `CHECKPOINT` in `folder` after every epoch.

    Args:
        about: what else the checkpoint is to say of its data. resume: go on from the checkpoint in `folder`.

    Returns:
        The running mean.

    Raises:
        InputError: `resume` without a checkpoint, or one of other sizes.
    """
    path, begin = folder / CHECKPOINT, time.monotonic()
    if path.exists() and not resume:
        raise InputError(f"{path}: there already; add --resume to go on with it, or give another -o")
    lifter = settings.lifter()
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=settings.lr, betas=BETAS, weight_decay=WEIGHT_DECAY)
    generator = torch.Generator().manual_seed(settings.seed)
    mean, first, history, spent = copy.deepcopy(lifter).eval(), 1, [], 0.0
    if resume:
        mean, content = load_lifter(path), read_checkpoint(path)
        if mean.denoiser.sizes != lifter.denoiser.sizes or mean.deterministic != lifter.deterministic:
            raise InputError(f"{path}: of another size or kind than the flags ask for; give the same, or another -o")
        state = content["training"]
        if not isinstance(state, dict):
            raise InputError(f"{path}: holds no state to go on from; give another -o")
        lifter.denoiser.load_state_dict(state["weights"])
        optimizer.load_state_dict(content["optimizer"])
        generator.set_state(state["generator"])
        first, history, spent = content["epoch"] + 1, state["history"], state["seconds"]
        say(f"going on after epoch {content['epoch']}, {spent / 60:.0f} minutes")
    lifter.amp = settings.amp
    if settings.compiled:
        lifter.denoiser.compile_blocks()
    recipe = Recipe.without(settings.without)
    for epoch in range(first, settings.epochs + 1):
        lifter.train()
        total, started = 0.0, time.monotonic()
        for step in range((epoch - 1) * settings.steps, epoch * settings.steps):
            batch = one_batch(motion, settings.frames, settings.rate, recipe, settings.batch_size, generator)
            t = torch.randint(lifter.diffusion.timesteps, (len(batch),), generator=generator)
            noise = torch.randn(batch.pose.shape, generator=generator)
            noisy = lifter.diffusion.add_noise(batch.pose, t, noise)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step)
            optimizer.zero_grad(set_to_none=True)
            predicted = lifter(batch.keypoints, noisy[:, None], t, batch.intrinsics)[:, 0]
            loss = loss_of(predicted, batch.pose, lifter.noise_weights(t), settings.loss)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
            optimizer.step()
            decay = min(settings.mean_decay, (step + 1) / (step + 10))
            with torch.no_grad():
                for kept, new in zip(mean.parameters(), lifter.parameters()):
                    kept.lerp_(new, 1 - decay)
            total += joint_errors(predicted.detach(), batch.pose).mean().item()
        seconds = time.monotonic() - started
        spent += seconds
        record: dict[str, Any] = {"epoch": epoch, "training_mm": 1000 * total / settings.steps, "seconds": seconds}
        line = (
            f"epoch {epoch}/{settings.epochs}: training {record['training_mm']:.1f} mm, {seconds:.0f} s, "
            f"{settings.steps * settings.batch_size / seconds:.0f} clips/s"
        )
        refinement = measured_refinement(mean, motion, settings.rate, settings.seed)
        if held_out is not None and (epoch % validate_every == 0 or epoch == settings.epochs):
            errors = held_out.errors(mean, refinement)
            record |= {name: [e.mpjpe, e.aligned] for name, e in errors.items()}
            line += "; held out " + ", ".join(f"{name} {e}" for name, e in errors.items())
        history.append(record)
        say(line)
        weights = {name: value.clone() for name, value in lifter.denoiser.state_dict().items()}
        state = {"weights": weights, "generator": generator.get_state(), "history": history, "seconds": spent}
        whole = about | {"arguments": asdict(settings), "history": history}
        if refinement is not None:
            whole["refinement"] = refinement.to_dict()
        save_checkpoint(
            path, mean, epoch, learning_rate(settings, epoch * settings.steps), whole, optimizer.state_dict(), state
        )
        if time.monotonic() - begin > 60 * minutes and epoch < settings.epochs:
            say(f"stopped after {minutes:g} minutes; go on with --resume")
            break
    return mean
