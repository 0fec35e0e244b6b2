"""`open_model.py`: train the lifter that ships with the project, from a folder of motion capture."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from ..errors import InputError
from ..mocap.standing import FPS
from ..model.mixste import HEADS
from .clips import Recipe
from .motion import Motion, Take, read_takes, sample_takes
from .shipping import ship
from .training import LOSSES, Settings, train
from .validation import ValidationSet

HELD_OUT = "09,16,35"
VALIDATION_SEED = 1000
CREDIT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF "
    "EIA-0196217."
)
SIZES = {
    "frames": "frames of a clip, T", "rate": "frames a second", "channels": "width C", "depth": "pairs of blocks",
    "epochs": "in all", "steps": "batches of an epoch", "batch_size": "clips", "lr": "highest learning rate",
    "seed": "of weights, clips and the sample",
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The flags of `open_model.py`."""
    usual = Settings()
    made = argparse.ArgumentParser(
        description="Train the open model on motion capture that everybody may use (CMU's), without a GPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--mocap", type=Path, metavar="DIR", help="folder of .asf and .amc, or .bvh files, or both")
    made.add_argument(
        "-o", "--out", type=Path, default=Path("checkpoint/open_run"), metavar="DIR", help="where to write"
    )
    made.add_argument("--hold-out", default=HELD_OUT, metavar="LIST", help="people never trained on; '' for nobody")
    made.add_argument("--ship", type=Path, metavar="DIR", help="only write the model in -o to DIR, in half precision")
    made.add_argument("--resume", action="store_true", help="go on with the checkpoint in -o")
    made.add_argument(
        "--minutes", type=float, default=math.inf, metavar="N", help="stop after the epoch in which they are over"
    )
    made.add_argument("--validate-every", type=int, default=2, metavar="N", help="epochs")
    made.add_argument("--no-sample", action="store_true", help="leave out the synthetic sample's motion")
    made.add_argument("--no-even", action="store_true", help="draw common poses as often as they are recorded")
    names = [field.name for field in fields(Recipe)]
    made.add_argument("--without", default="", metavar="LIST", help=f"augmentations left out: {','.join(names)}")
    made.add_argument("--diffusion", action="store_true", help="a diffusion lifter, not a plain regressor")
    made.add_argument("--loss", choices=LOSSES, default=usual.loss, help="see common.openmodel.training")
    made.add_argument("--amp", action="store_true", help="matrix products in bfloat16")
    made.add_argument("--compile", action="store_true", help="fuse the network's blocks; needs a C++ compiler")
    for name, what in SIZES.items():
        value = getattr(usual, name)
        made.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, metavar="N", help=what)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the motion, train, store."""
    args = parser().parse_args(arguments)
    if args.ship is not None:
        path = ship(args.out, args.ship)
        print(f"wrote {path}, {path.stat().st_size / 2**20:.2f} MB, and its SHA-256")
        return
    if args.mocap is None:
        raise InputError("--mocap: expected a folder of motion capture, found none; give it")
    for name in SIZES:
        if getattr(args, name) < (0 if name == "seed" else 1e-9):
            raise InputError(f"--{name.replace('_', '-')}: expected a number above zero, found {getattr(args, name)}")
    if args.channels % HEADS:
        raise InputError(f"--channels: expected a multiple of {HEADS}, found {args.channels}")
    without = [name for name in args.without.split(",") if name]
    if unknown := set(without) - {field.name for field in fields(Recipe)}:
        raise InputError(f"--without {min(unknown)}: expected some of {', '.join(f.name for f in fields(Recipe))}")
    settings = Settings(
        frames=args.frames, rate=args.rate, channels=args.channels, depth=args.depth, epochs=args.epochs,
        steps=args.steps, batch_size=args.batch_size, lr=args.lr, seed=args.seed, loss=args.loss, amp=args.amp,
        compiled=args.compile, without=without, deterministic=not args.diffusion,
        prior_error=0.1 if args.diffusion else 0.0,
    )  # fmt: skip
    takes, refused = read_takes(args.mocap)
    for line in refused:
        print(f"left out: {line}")
    held = [name for name in args.hold_out.split(",") if name]
    people = list(dict.fromkeys(take.person for take in takes))
    if absent := [name for name in held if name not in people]:
        raise InputError(f"--hold-out {absent[0]}: not among the people read ({', '.join(people)})")
    trained = [take for take in takes if take.person not in held]
    if not trained:
        raise InputError("--hold-out: holds out everybody; leave somebody to learn from")
    tested = [take for take in takes if take.person in held]
    invented = [] if args.no_sample else sample_takes(args.seed)
    for what, some in (("trained on", trained), ("invented", invented), ("held out", tested)):
        print(f"{what}: {_told(some)}")
    held_out = None
    if tested:
        motion = Motion.of(tested, even=False)
        held_out = ValidationSet.of(motion, settings.frames, settings.rate, VALIDATION_SEED)
    about = {
        "stage": "open model",
        "data": f"motion capture from {args.mocap.resolve().name}: {', '.join(p for p in people if p not in held)}",
        "held_out": held,
        "credit": CREDIT,
        "synthetic": False,
        "sample": not args.no_sample,
        "torch": str(torch.__version__),
    }
    motion = Motion.of([*trained, *invented], even=not args.no_even)
    args.out.mkdir(parents=True, exist_ok=True)
    train(
        settings, motion, held_out, args.out, about, args.resume, args.minutes, args.validate_every,
        lambda line: print(line, flush=True),
    )  # fmt: skip


def _told(takes: Sequence[Take]) -> str:
    frames = sum(len(take.joints) for take in takes)
    return f"{len({take.person for take in takes})} people, {len(takes)} takes, {frames / FPS:.0f} s"
