"""Turn a folder of ASF/AMC motion capture into the three Human3.6M-format files the scripts read.

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
    parser.add_argument("--asf-amc", type=Path, required=True, metavar="DIR", help="folder of .asf and .amc files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the npz files go")
    parser.add_argument("--subjects", metavar="02=S1,03=S5", help="who becomes which subject (default: all, in order)")
    parser.add_argument("--fps", type=float, default=120.0, help="of the motion files (default 120)")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic detector noise (default 0)")
    args = parser.parse_args()
    provenance = convert_folder(args.asf_amc, args.out, args.subjects, args.fps, args.seed)
    print(f"wrote {args.out}: {provenance}")


if __name__ == "__main__":
    run_script(main)
