"""`lift.py`: from a detector's file to 3D poses in files of every kind, in one command."""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..datasets.video import Dataset, LabelledVideo
from ..errors import InputError
from ..footage.adapter import load_adapter
from ..footage.calibration import read_calibration
from ..footage.lifting import Lifted, lift_person
from ..footage.people import Person, find_people
from ..footage.placing import hypotheses_in_world, in_world, verdict
from ..footage.preparing import USUAL_FOCAL, Prepared, assumed_camera, prepare
from ..geometry.camera import Camera
from ..geometry.skeleton import H36M_17, conversion_name
from ..keypoints.detections import Detections, to_h36m
from ..keypoints.read import read_keypoints
from ..model.checkpoint import load_lifter, read_checkpoint
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..motion.poses import Poses
from ..reprojection.refinement import Refinement
from ..video.detecting import keypoints_of
from ..viewer.motion import track_of, view_motion
from ..viewer.view import PAGE, VIEWS
from .adapt_footage import adapt_to_person, load_source
from .footage_arguments import parse
from .models import stored_refinement, trained_rate

USUAL_FPS = 30.0
SHORTEST = 0.1  # of the longest person's frames: who is seen for less is not lifted by --person all
HYPOTHESES, FRAMES = 5, 10_000  # the page shows so many at most, of videos up to so long


@dataclass(frozen=True)
class Model:
    """What lifts.

    Attributes:
        lifter: it. rate: frames a second. refinement: None where the checkpoint carries none.
        lengths: (17,) metres, the bones of the person that an adapter knows; else None.
        synthetic: whether it was trained on synthetic people.
    """

    lifter: Lifter
    rate: float
    refinement: Refinement | None
    lengths: torch.Tensor | None
    synthetic: bool


def main(arguments: list[str] | None = None) -> None:
    """Read, choose, lift, write, and say what was assumed."""
    begin = time.monotonic()
    args = parse(arguments)
    file = keypoints_of(args.keypoints, args.detector, args.detect_again, args.out)
    found = read_keypoints(file, args.format, args.size, args.video)
    for line in (f"{args.keypoints}: {found.format}, {found.frames} frames, joints {found.order}", *found.notes):
        print(line)
    if len(found.frame) == 0:
        raise InputError(f"{args.keypoints}: nobody was detected in any of {found.frames} frames; nothing to lift")
    fps, camera, assumed = assumptions(found, args)
    people = chosen_people(found, fps, args)
    model = load_model(args, fps)
    source = load_source(args.source, model.rate) if args.source else None
    if model.refinement is None and source is None:
        if args.adapt:
            raise InputError("--adapt: this checkpoint carries no bones of the people it knows; give --source DIR")
        assumed.append("bones: as the lifter sees them; this checkpoint carries no refinement")
    if args.height is None:
        assumed.append("size: that of the people the checkpoint has learnt from; give --height")
    for line in assumed:
        print(f"assumed {line}")
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{args.folder}: cannot be made ({error.strerror}); give another -o") from None

    pixels, confidence = to_h36m(found)
    for person in people:
        rows, name = person.rows, f"person {person.name}"
        ready = prepare(found.frame[rows], pixels[rows], confidence[rows], camera, fps, name, str(args.keypoints))
        suffix = "" if len(people) == 1 else f"_{person.name}"
        facts = {
            "source": args.keypoints.name, "format": found.format, "conversion": conversion_name(found.order),
            "person": person.name, "checkpoint": args.model.name,
        }  # fmt: skip
        takes, lines = lift_takes(model, ready, source, args, facts, args.folder / f"adapter{suffix}.bin")
        notes = ready.notes() + lines
        good, words = verdict(ready, list(takes.values())[-1])
        for line in notes:
            print(f"{name}: {line}")
        print(f"{name}: {len(ready.frames)} frames; {words}")
        facts |= {
            "assumed": assumed, "notes": notes, "smoothed": args.smooth, "verdict": words, "trusted": str(good),
            "synthetic_training": str(model.synthetic),
        }  # fmt: skip
        motions = {take: poses_of(lifted, ready, camera, fps, facts) for take, lifted in takes.items()}
        said = [words, *(f"assumed {line}" for line in assumed), *notes]
        write_files(args.folder, f"poses{suffix}", args.endings, takes, motions, said, model.synthetic)
    print(f"written to {args.folder}: {', '.join(args.endings)} ({time.monotonic() - begin:.1f} s)")


def load_model(args: argparse.Namespace, fps: float) -> Model:
    """The checkpoint of `-m`, changed by `--adapter`; `fps` is its rate where it says none."""
    lifter = load_lifter(args.model).eval()
    if lifter.denoiser.joints != len(H36M_17.joints):
        raise InputError(f"{args.model}: lifts {lifter.denoiser.joints} joints, expected {len(H36M_17.joints)}")
    about = read_checkpoint(args.model).get("about") or {}
    refinement, lengths = stored_refinement(args.model), None
    if args.adapter:
        lifter, known = load_adapter(args.adapter, lifter)
        refinement, lengths = known.refinement, known.lengths
    rate = trained_rate(about.get("arguments", {}), fps)
    return Model(lifter, rate, refinement, lengths, bool(about.get("synthetic")))


def lift_takes(
    model: Model,
    ready: Prepared,
    source: Dataset[LabelledVideo] | None,
    args: argparse.Namespace,
    learnt: dict[str, Any],
    path: Path,
) -> tuple[dict[str, Lifted], list[str]]:
    """One person lifted, with `--adapt` by the lifter as it was and by the one that has learnt them, the result last.

    Args:
        learnt, path: what goes into the adapter, and where it goes.

    Returns:
        Every take by its name, and lines for the user.
    """
    wanted = HYPOTHESES if args.num_proposals > 1 and PAGE in args.endings else 0
    keep = wanted if len(ready.frames) <= FRAMES else 0

    def lift(lifter: Lifter, refinement: Refinement | None, lengths: torch.Tensor | None) -> Lifted:
        return lift_person(
            lifter, ready.video, model.rate, Sampling(args.num_proposals, 1), refinement, args.height,
            args.smooth != "none", keep, lengths,
        )  # fmt: skip

    lifted = lift(model.lifter, model.refinement, model.lengths)
    if not args.adapt:
        return {"lifted": lifted}, []
    adapted, known, lines = adapt_to_person(
        model.lifter, model.refinement, ready.video, source, model.rate, path, learnt
    )
    return {"before adaptation": lifted, "adapted": lift(adapted, known.refinement, known.lengths)}, lines


def write_files(
    folder: Path,
    stem: str,
    endings: list[str],
    takes: dict[str, Lifted],
    motions: dict[str, Poses],
    said: list[str],
    synthetic: bool,
) -> None:
    """One person's files: of the last of the takes; pages and films show all.

    Args:
        motions: the takes in the world. said: lines of the page. synthetic: whether the lifter's people were.
    """
    poses = list(motions.values())[-1]
    if any(lifted.hypotheses is not None for lifted in takes.values()):
        said = [*said, "thin lines: hypotheses, before refining"]
    if synthetic:
        said = [*said, "The lifter was trained on synthetic people."]
    tracks = [
        track_of(take, motion, *hypotheses_in_world(takes[take], motion.to_camera)) for take, motion in motions.items()
    ]
    for ending in endings:
        if ending in VIEWS:
            view_motion(folder / f"{stem}{ending}", tracks, poses, said)
        else:
            poses.save(folder / f"{stem}{ending}")


def poses_of(lifted: Lifted, ready: Prepared, camera: Camera, fps: float, facts: dict[str, Any]) -> Poses:
    """What was lifted, in the world."""
    joints, to_camera = in_world(lifted)
    return Poses(
        joints=joints, fps=fps, frames=ready.frames, to_camera=to_camera, camera=camera, confidence=ready.confidence,
        pixels=ready.pixels, about=facts,
    )  # fmt: skip


def assumptions(found: Detections, args: argparse.Namespace) -> tuple[float, Camera, list[str]]:
    """Frames a second, the camera, and what of these is a guess."""
    assumed = []
    fps = args.fps or found.fps
    if fps is None:
        fps = USUAL_FPS
        assumed.append(f"frames a second: {fps:g}; give --fps")
    size = args.size or found.size
    if args.calibration:
        return fps, read_calibration(args.calibration, size, args.camera), assumed
    if size is None:
        corner = found.pixels[found.confidence > 0].max(0)
        size = max(math.ceil(corner[0]), 1) + 1, max(math.ceil(corner[1]), 1) + 1
        assumed.append(f"image: {size[0]}x{size[1]}, the farthest keypoint; give --size")
    camera = assumed_camera(size, args.focal, args.fov)
    if args.focal is None and args.fov is None:
        assumed.append(
            f"focal length: {camera.focal:.0f} pixels, {USUAL_FOCAL} of the larger side; give --focal or --fov"
        )
    return fps, camera, assumed


def chosen_people(found: Detections, fps: float, args: argparse.Namespace) -> list[Person]:
    """Whom to lift, by `--person`; says who else is there.

    Raises:
        InputError: nobody of that name, or one person's adapter for several.
    """
    people = find_people(found.frame, found.pixels, found.confidence, found.track, fps)
    if len(people) > 1:
        print(f"{len(people)} people: " + ", ".join(f"{p.name} ({len(p.rows)} frames)" for p in people[:10]))
    if args.person is None:
        return people[:1]
    if args.person == "all":
        people = [p for p in people if len(p.rows) >= SHORTEST * len(people[0].rows)]
        if args.adapter and len(people) > 1:
            raise InputError(f"--adapter {args.adapter}: is of one person, found {len(people)}; say whom with --person")
        return people
    named = [p for p in people if p.name == args.person]
    if not named:
        raise InputError(f"--person {args.person}: not in the file; there are {', '.join(p.name for p in people[:10])}")
    return named
