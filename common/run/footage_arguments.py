"""The flags of `lift.py`, and what of them cannot be."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from ..datasets.open_layout import HIGHEST_RATE
from ..errors import InputError
from ..footage.preparing import USUAL_FOCAL
from ..keypoints.read import FORMATS
from ..model.open import open_checkpoint
from ..motion.poses import WRITERS
from ..video.choosing import DETECTORS
from ..video.decoding import is_video
from ..viewer.view import PAGE, VIEWS, check_view
from .arguments import checkpoint_path, positive

WRITTEN = (".npz", ".csv", ".json", ".trc", ".bvh", PAGE)


def image_size(text: str) -> tuple[int, int]:
    """`1920x1080` as two numbers."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= 100_000 for part in parts):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT in pixels, such as 1920x1080, found {text!r}")
    return int(parts[0]), int(parts[1])


def number(low: float, high: float, unit: str) -> Callable[[str], float]:
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
    made.add_argument("-m", "--model", type=checkpoint_path, metavar="FILE", help="what lifts (the open model)")
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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags; beside them `endings`, of the files to write, and `folder`, where to.

    Raises:
        InputError: a flag without what it belongs to, or an ending that cannot be written.
    """
    args = parser().parse_args(arguments)
    for flag, value, other, needed in (
        ("--camera", args.camera, "--calibration", args.calibration),
        ("--source", args.source, "--adapt", args.adapt),
    ):
        if value is not None and not needed:
            raise InputError(f"{flag} {value}: is read with {other} only; give both or none")
    for flag, value in (("--format", args.format), ("--video", args.video)):
        if value is not None and is_video(args.keypoints):
            raise InputError(f"{flag} {value}: is for files of keypoints, found a video ({args.keypoints})")
    args.model = args.model or open_checkpoint()
    args.endings = endings(args.write)
    if args.keypoints.name in ("", ".."):
        args.keypoints = args.keypoints.resolve()  # by its name files are called
    if args.out is None and not args.keypoints.name:
        raise InputError(f"{args.keypoints}: has no name to call the results by; say where to write with -o")
    args.folder = args.out or args.keypoints.with_name(args.keypoints.stem + "_3d")
    return args


def endings(text: str) -> list[str]:
    """`npz, .html` as the endings of files, each once.

    Raises:
        InputError: one that cannot be written, or none.
    """
    found = list(dict.fromkeys("." + word.strip().lstrip(".").lower() for word in text.split(",") if word.strip()))
    unknown = [ending for ending in found if ending not in (*WRITERS, *VIEWS)]
    if unknown or not found:
        raise InputError(f"--write: expected some of {', '.join((*WRITERS, *VIEWS))}, found {(*unknown, 'none')[0]}")
    for ending in set(found) & set(VIEWS):
        check_view(Path(f"poses{ending}"))
    return found
