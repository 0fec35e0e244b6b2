"""Turn the official download of MPI-INF-3DHP into the two npz files the scripts read.

    python data/prepare_3dhp.py --source DIR [--out data] [--univ] [--subjects S1,S2] [--cameras 0,1,2,4,5,6,7,8]

DIR holds S1/Seq1/annot.mat and camera.calibration beside it, and so on, and TS1/annot_data.mat to TS6; the videos are
not needed. Given once more after it was stopped, the command goes on where it was. See `common.datasets.official_3dhp`.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.datasets.official_3dhp import CAMERAS, prepare_3dhp
from common.errors import InputError, run_script


def main() -> None:
    """Read the flags, convert, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="where S1 to S8 and TS1 to TS6 are")
    parser.add_argument("--out", type=Path, default=Path("data"), metavar="DIR", help="where the files go (data)")
    parser.add_argument("--univ", action="store_true", help="univ_annot3, one skeleton for all (default: annot3)")
    parser.add_argument("--subjects", metavar="S1,S2", help="training subjects (default: all that are there)")
    parser.add_argument(
        "--cameras", default=",".join(map(str, CAMERAS)), metavar="0,1,...", help="training cameras (%(default)s)"
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--train-only", action="store_true", help="leave the test sequences out")
    part.add_argument("--test-only", action="store_true", help="leave the training recordings out")
    args = parser.parse_args()
    cameras = args.cameras.split(",")
    if not all(camera.strip().isdecimal() for camera in cameras):
        raise InputError(f"--cameras {args.cameras}: expected numbers such as 0,1,2")
    parts = [part for part, left_out in (("train", args.test_only), ("test", args.train_only)) if not left_out]
    subjects = args.subjects and [subject.strip() for subject in args.subjects.split(",")]
    numbers = list(dict.fromkeys(map(int, cameras)))
    say = partial(print, flush=True)
    written = prepare_3dhp(args.source, args.out, args.univ, subjects, numbers, parts, say)
    print("wrote " + " and ".join(map(str, written)))


if __name__ == "__main__":
    run_script(main, stopped="stopped; the same command goes on from here")
