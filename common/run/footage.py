"""`lift.py`: from a detector's file to 3D poses in files of every kind, in one command."""

import argparse
import math
import time
from pathlib import Path
from typing import Any

from ..datasets.open_layout import HIGHEST_RATE
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
from ..keypoints.read import FORMATS, read_keypoints
from ..model.checkpoint import load_lifter, read_checkpoint
from ..model.inference import Sampling
from ..model.open import open_checkpoint
from ..motion.poses import WRITERS, Poses
from ..reprojection.refinement import Refinement
from ..video.choosing import DETECTORS
from ..video.detecting import keypoints_of
from ..viewer.motion import track_of, view_motion
from ..viewer.view import PAGE, VIEWS, check_view
from .adapt_footage import adapt_to_person, load_source
from .arguments import positive
from .models import trained_rate

USUAL_FPS = 30.0
SHORTEST = 0.1  # of the longest person's frames: who is seen for less is not lifted by --person all
HYPOTHESES, FRAMES = 5, 10_000  # the page shows so many at most, of videos up to so long
WRITTEN = (".npz", ".csv", ".json", ".trc", ".bvh", PAGE)


def image_size(text: str) -> tuple[int, int]:
    """`1920x1080` as two numbers."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= 100_000 for part in parts):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT in pixels, such as 1920x1080, found {text!r}")
    return int(parts[0]), int(parts[1])


def number(low: float, high: float, unit: str):
    """A flag's number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value <= high:
            raise argparse.ArgumentTypeError(f"expected {unit} above {low:g}, up to {high:g}, found {text!r}")
        return value

    return parse


def parser() -> argparse.ArgumentParser:
    """The flags of `lift.py`."""
    made = argparse.ArgumentParser(
        description="2D keypoints of a video, from any detector, to 3D poses: files for other tools, and a page.",
    )
    made.add_argument("keypoints", type=Path, help="a detector's file or folder of any format, or a video")
    made.add_argument("-m", "--model", type=Path, metavar="FILE", help="a checkpoint that lifts (the open model)")
    made.add_argument("--size", type=image_size, metavar="WxH", help="of the image, where the file does not say")
    made.add_argument("--fps", type=number(0, HIGHEST_RATE, "frames a second"), metavar="F", help="likewise (30)")
    lens = made.add_mutually_exclusive_group()
    lens.add_argument(
        "--focal", type=number(1, 1e6, "pixels"), metavar="PX",
        help=f"focal length in pixels ({USUAL_FOCAL} of the larger side)",
    )  # fmt: skip
    lens.add_argument("--calibration", type=Path, metavar="FILE", help="TOML of Pose2Sim, Caliscope, Anipose instead")
    lens.add_argument("--fov", type=number(1, 170, "degrees"), metavar="DEG", help="horizontal field of view instead")
    made.add_argument("--camera", metavar="NAME", help="which one, of a calibration file with several")
    made.add_argument("--height", type=number(0.3, 2.8, "metres"), metavar="M", help="of the person")
    made.add_argument("--person", default=None, metavar="ID", help="whom to lift, or all (who is seen most)")
    made.add_argument("--format", choices=FORMATS, metavar="NAME", help=f"of the file: {', '.join(FORMATS)}")
    made.add_argument("--detector", choices=DETECTORS, metavar="NAME", help=f"for a video: {', '.join(DETECTORS)}")
    made.add_argument("--detect-again", action="store_true", help="though the video's keypoints are saved beside it")
    made.add_argument("--video", metavar="NAME", help="which one, of a file that holds several")
    made.add_argument("-num_proposals", "--num-proposals", type=positive, default=1, metavar="H", help="hypotheses (1)")
    made.add_argument("--smooth", choices=("one-euro", "none"), default="one-euro", help="the joints' paths (one-euro)")
    learning = made.add_mutually_exclusive_group()
    learning.add_argument("--adapt", action="store_true", help="first learn this person and camera, from the 2D alone")
    learning.add_argument("--adapter", type=Path, metavar="FILE", help="use what an earlier --adapt has learnt")
    made.add_argument("--source", type=Path, metavar="DIR", help="labelled data for --adapt to learn from as well")
    made.add_argument("-o", "--out", type=Path, metavar="DIR", help="where to write (KEYPOINTS without ending, _3d)")
    made.add_argument(
        "--write",
        default=",".join(WRITTEN),
        metavar="LIST",
        help="endings (npz,csv,json,trc,bvh,html; c3d,gif,mp4,png)",
    )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Read, choose, lift, write, and say what was assumed."""
    begin = time.monotonic()
    args = parser().parse_args(arguments)
    args.model = args.model or open_checkpoint()
    endings = ["." + ending.strip().lstrip(".") for ending in args.write.split(",") if ending.strip()]
    if unknown := [ending for ending in endings if ending not in (*WRITERS, *VIEWS)]:
        raise InputError(f"--write: expected some of {', '.join((*WRITERS, *VIEWS))}, found {unknown[0]}")
    for ending in set(endings) & set(VIEWS):
        check_view(Path(f"poses{ending}"))
    kept = HYPOTHESES if args.num_proposals > 1 and PAGE in endings else 0
    file = keypoints_of(args.keypoints, args.detector, args.detect_again, args.out)
    found = read_keypoints(file, args.format, args.size, args.video)
    for line in (f"{args.keypoints}: {found.format}, {found.frames} frames, joints {found.order}", *found.notes):
        print(line)
    if len(found.frame) == 0:
        raise InputError(f"{args.keypoints}: nobody was detected in any of {found.frames} frames; nothing to lift")
    fps, camera, assumed = assumptions(found, args)
    people = chosen_people(found, fps, args)

    lifter = load_lifter(args.model).eval()
    if lifter.denoiser.joints != len(H36M_17.joints):
        raise InputError(f"{args.model}: lifts {lifter.denoiser.joints} joints, expected {len(H36M_17.joints)}")
    about = read_checkpoint(args.model).get("about") or {}
    stored, rate = about.get("refinement"), trained_rate(about.get("arguments", {}), fps)
    refinement = None if stored is None else Refinement.from_dict(stored, str(args.model))
    bones = None
    if args.adapter:
        lifter, known = load_adapter(args.adapter, lifter)
        refinement, bones = known.refinement, known.lengths
    source = load_source(args.source, rate) if args.adapt and args.source else None
    if refinement is None and source is None:
        assumed.append("bones: as the lifter sees them; this checkpoint carries no refinement")
    if args.height is None:
        assumed.append("size: that of the people the checkpoint has learnt from; give --height")
    for line in assumed:
        print(f"assumed {line}")

    out = args.out or args.keypoints.with_name(args.keypoints.stem + "_3d")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); give another -o") from None
    pixels, confidence = to_h36m(found)
    sampling = Sampling(args.num_proposals, 1)
    for person in people:
        rows, name = person.rows, f"person {person.name}"
        ready = prepare(found.frame[rows], pixels[rows], confidence[rows], camera, fps, name, str(args.keypoints))
        stem = "poses" if len(people) == 1 else f"poses_{person.name}"
        notes, smoothed = ready.notes(), args.smooth != "none"
        keep = kept if len(ready.frames) <= FRAMES else 0
        lifted = lift_person(lifter, ready.video, rate, sampling, refinement, args.height, smoothed, keep, bones)
        before = None
        if args.adapt:
            before = lifted
            path = out / f"{stem.replace('poses', 'adapter')}.bin"
            learnt = {"source": args.keypoints.name, "person": person.name, "checkpoint": args.model.name}
            mine, its, lines = adapt_to_person(lifter, refinement, ready.video, source, rate, path, learnt)
            notes += lines
            lifted = lift_person(
                mine, ready.video, rate, sampling, its.refinement, args.height, smoothed, keep, its.lengths
            )
        good, words = verdict(ready, lifted)
        for line in notes:
            print(f"{name}: {line}")
        print(f"{name}: {len(ready.frames)} frames; {words}")
        facts = {
            "source": args.keypoints.name, "format": found.format, "conversion": conversion_name(found.order),
            "person": person.name, "checkpoint": args.model.name, "assumed": assumed, "notes": notes,
            "smoothed": args.smooth, "verdict": words, "trusted": str(good),
            "synthetic_training": str(bool(about.get("synthetic"))),
        }  # fmt: skip
        takes = {"lifted": lifted} if before is None else {"before adaptation": before, "adapted": lifted}
        motions = {take: poses_of(what, ready, camera, fps, facts) for take, what in takes.items()}
        poses, said = list(motions.values())[-1], [words, *(f"assumed {line}" for line in assumed), *notes]
        if keep:
            said.append("thin lines: hypotheses, before refining")
        if about.get("synthetic"):
            said.append("The lifter was trained on synthetic people.")
        tracks = [
            track_of(take, motion, *hypotheses_in_world(takes[take], motion.to_camera))
            for take, motion in motions.items()
        ]
        for ending in endings:
            if ending in VIEWS:
                view_motion(out / f"{stem}{ending}", tracks, poses, said)
            else:
                poses.save(out / f"{stem}{ending}")
    print(f"written to {out}: {', '.join(endings)} ({time.monotonic() - begin:.1f} s)")


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
    """Whom to lift, by `--person`; says who else is there."""
    people = find_people(found.frame, found.pixels, found.confidence, found.track, fps)
    if len(people) > 1:
        print(f"{len(people)} people: " + ", ".join(f"{p.name} ({len(p.rows)} frames)" for p in people[:10]))
    if args.person is None:
        return people[:1]
    if args.person == "all":
        return [p for p in people if len(p.rows) >= SHORTEST * len(people[0].rows)]
    named = [p for p in people if p.name == args.person]
    if not named:
        raise InputError(f"--person {args.person}: not in the file; there are {', '.join(p.name for p in people[:10])}")
    return named
