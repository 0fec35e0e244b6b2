"""Turn a folder of motion capture (BVH, ASF/AMC) into the three Human3.6M-format files the scripts read.

    python data/prepare_mocap.py --source DIR --out DIR --views 8
    python data/prepare_mocap.py --source DIR --out DIR --subjects 02=S1,03=S5
    python data/prepare_mocap.py --asf-amc DIR --out DIR [--subjects 02=S1,03=S5] [--fps 120] [--seed 0]

See `common.mocap.convert`.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import run_script
from common.mocap.convert import convert_folder


def main() -> None:
    """Read the flags, convert, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = parser.add_mutually_exclusive_group(required=True)
    folder.add_argument("--source", type=Path, metavar="DIR", help="folder of .bvh files, or .asf and .amc, or all")
    folder.add_argument(
        "--asf-amc", type=Path, metavar="DIR",
        help="the same with --format amc; people become S1, S5, ... where --subjects and --views are left out",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the npz files go")
    parser.add_argument(
        "--subjects", metavar="02=S1,03=anna", help="which people, and their names in the files (default: all, own)"
    )
    parser.add_argument(
        "--views", type=int, metavar="N", help="N random viewpoints per person (default: Human3.6M's four cameras)"
    )
    parser.add_argument("--format", choices=("amc", "bvh"), help="read only these files (default: all; AMC first)")
    parser.add_argument(
        "--map", type=Path, metavar="FILE", help="joints of BVH files: lines 'LHip = LeftUpLeg', or JSON of such pairs"
    )
    parser.add_argument("--fps", type=float, default=120.0, help="of AMC files (default 120); BVH files say theirs")
    parser.add_argument("--seed", type=int, default=0, help="of the viewpoints and the detector noise (default 0)")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also draw some frames of every person")
    args = parser.parse_args()
    provenance = convert_folder(
        args.source or args.asf_amc,
        args.out,
        args.subjects,
        args.fps,
        args.seed,
        views=args.views,
        wanted=args.format or ("amc" if args.asf_amc else None),
        joint_map=args.map,
        contact_sheet=args.contact_sheet,
        h36m_names=args.asf_amc is not None and args.views is None,
        flag="--source" if args.source else "--asf-amc",
    )
    print(f"wrote {args.out}: {provenance}")


if __name__ == "__main__":
    run_script(main)
