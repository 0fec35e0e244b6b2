"""Turn the official download of Human3.6M into the npz files the scripts read.

    python data/prepare_h36m.py --source DIR [--out data] [--detections data_2d_h36m_cpn_ft_h36m_dbb.npz ...]

DIR holds S1/MyPoseFeatures/D3_Positions/*.cdf and so on, the unpacked Poses_D3_Positions_*.tgz; the videos are not
needed. Given once more after it was stopped, the command goes on where it was. See `common.datasets.official_h36m`.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.datasets.official_h36m import prepare_h36m
from common.errors import run_script


def main() -> None:
    """Read the flags, convert, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="where S1, S5 and so on are")
    parser.add_argument("--out", type=Path, default=Path("data"), metavar="DIR", help="where the files go (data)")
    parser.add_argument(
        "--detections", type=Path, nargs="+", default=[], metavar="FILE",
        help="detected 2D in VideoPose3D's layout, data_2d_h36m_<name>.npz: checked and copied",
    )  # fmt: skip
    args = parser.parse_args()
    written = prepare_h36m(args.source, args.out, args.detections, partial(print, flush=True))
    print("wrote " + " and ".join(map(str, written)))


if __name__ == "__main__":
    run_script(main, stopped="stopped; the same command goes on from here")
