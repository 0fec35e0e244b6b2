"""Lifters that a run is given: found, checked against the flags, made as fast as the flags ask."""

from argparse import Namespace
from pathlib import Path

import torch

from ..errors import InputError
from ..geometry.skeleton import H36M_17
from ..model.checkpoint import load_lifter, read_checkpoint, reorder_joints
from ..model.lifter import Lifter
from ..reprojection.refinement import Refinement
from .arguments import JOINT_ORDERS


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


def set_speed(lifter: Lifter, args: Namespace) -> Lifter:
    """What `--amp`, `--compile` and `--gradient-checkpointing` ask for; a copy of a lifter needs it again."""
    lifter.half = args.amp == "bf16"
    lifter.pose_estimator.recompute = args.gradient_checkpointing
    if args.compile:
        lifter.pose_estimator.compile_blocks()
    return lifter
