"""Lifters that a run is given: found, checked against the flags, made as fast as the flags ask."""

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..datasets.h36m import FRAME_RATE
from ..datasets.open_layout import HIGHEST_RATE
from ..datasets.rates import NEAR
from ..datasets.video import LabelledVideo
from ..errors import InputError
from ..geometry.skeleton import H36M_17, JOINT_ORDERS
from ..model.checkpoint import load_lifter, read_checkpoint
from ..model.denoiser import shown
from ..model.lifter import Lifter
from ..model.registry import name_of
from ..reprojection.bones import SourceBones
from ..reprojection.keypoint_noise import KeypointNoise
from ..reprojection.refinement import Refinement
from .arguments import CHECKPOINT_ORDERS


def find_checkpoint(name: str, folder: Path) -> Path:
    """A checkpoint given as a path, or as a name inside the output folder."""
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"{name}: no such checkpoint, neither here nor in {folder}")


def given_models(args: Namespace, device: torch.device, foreign_order: str | None) -> dict[str, Lifter]:
    """The lifters of `--source-checkpoint`, as "source_only", and of `--evaluate`, as "evaluated", where given.

    A lifter that is given decides the sizes, see `load_matching_lifter`; of two the one of `--evaluate`.
    """
    given = {"source_only": args.source_checkpoint} if args.source_checkpoint else {}
    if args.evaluate:
        given["evaluated"] = find_checkpoint(args.evaluate, args.checkpoint)
    return {
        row: apply_speed_flags(load_matching_lifter(path, args, device, foreign_order), args)
        for row, path in given.items()
    }


def trained_rate(arguments: Mapping[str, Any], otherwise: float) -> float:
    """The frame rate that a checkpoint's flags tell; before there was --rate it was 50 over --downsample.

    Raises:
        InputError: they are no flags, or tell no rate that can be.
    """
    try:
        if not arguments.get("rate") and "downsample" not in arguments:
            return otherwise
        rate = float(arguments.get("rate") or FRAME_RATE / arguments["downsample"])
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        rate = math.nan
    if not 0 < rate <= HIGHEST_RATE:
        raise InputError(f"the checkpoint's flags tell no frame rate, found {shown(arguments)[:80]}; make it again")
    return rate


def load_matching_lifter(path: Path, args: Namespace, device: torch.device, foreign_order: str | None) -> Lifter:
    """A lifter from a file. Its sizes are the file's, whatever the flags say, and are noted in `args`.

    Args:
        foreign_order: the joint order a checkpoint of another project has when `--checkpoint-joint-order` does not
            say; None where that must be said.

    Raises:
        InputError: not a lifter of 17 joints, one trained at another frame rate than this run's, or one whose joint
            order is not known.
    """
    lifter = load_lifter(path, device)
    if lifter.denoiser.joints != len(H36M_17.joints):
        raise InputError(f"{path}: lifts {lifter.denoiser.joints} joints, expected {len(H36M_17.joints)}")
    about = read_checkpoint(path).get("about")
    if about is None:
        order = args.checkpoint_joint_order or foreign_order
        if order is None:
            raise InputError(
                f"{path}: does not say its joint order, and released 3DHP models have another than released Human3.6M "
                f"models; add --checkpoint-joint-order {' or '.join(CHECKPOINT_ORDERS)}"
            )
        print(f"{path}: of another project, taken to be in {JOINT_ORDERS[order].name} order (--checkpoint-joint-order)")
        lifter.denoiser.reorder_joints(JOINT_ORDERS[order])
    trained = trained_rate((about or {}).get("arguments", {}), args.rate)
    if abs(trained - args.rate) > NEAR * args.rate:
        raise InputError(
            f"{path}: was trained at {trained:g} frames a second, this run has {args.rate:g}; add --rate {trained:g}"
        )
    if args.deterministic and not lifter.deterministic:
        raise InputError(f"--deterministic: {path} is a diffusion lifter; leave the flag out")
    args.model = name_of(lifter.denoiser)
    args.channels, args.depth = lifter.denoiser.channels, lifter.denoiser.depth
    args.number_of_frames = lifter.frames
    args.timestep, args.scale = lifter.diffusion.timesteps, lifter.diffusion.scale
    args.virtual_camera, args.deterministic = lifter.virtual_camera, lifter.deterministic
    args.prior_error = lifter.prior_error
    if lifter.deterministic:
        args.num_proposals = args.sampling_timesteps = 1
    return lifter


def stored_refinement(path: Path) -> Refinement | None:
    """What an adapted checkpoint carries to refine poses; None where it carries nothing."""
    stored = (read_checkpoint(path).get("about") or {}).get("refinement")
    return None if stored is None else Refinement.from_dict(stored, str(path))


def refinement_of(
    row: str, lifter: Lifter, source: Sequence[LabelledVideo], noise: KeypointNoise, args: Namespace
) -> Refinement | None:
    """What refines a row's poses, None with `--refine none`: what the file with `--evaluate` carries, else measured.

    Args:
        source: at the lifter's frame rate.
    """
    if args.refine == "none":
        return None
    if row == "evaluated":
        return stored_refinement(find_checkpoint(args.evaluate, args.checkpoint))
    return Refinement(SourceBones.measure(lifter, source), noise.target, args.refine)


def apply_speed_flags(lifter: Lifter, args: Namespace) -> Lifter:
    """What `--amp`, `--compile` and `--gradient-checkpointing` ask for; a copy of a lifter needs it again."""
    lifter.amp = args.amp == "bf16"
    lifter.denoiser.gradient_checkpointing = args.gradient_checkpointing
    if args.compile:
        lifter.denoiser.compile_blocks()
    return lifter
