"""Make the sample data: synthetic people who move in front of the real Human3.6M cameras.

python data/make_sample.py --out data/sample --seed 0   # in a checkout
python -m posynda.sample --out data/sample --seed 0     # where the package is installed
"""

import argparse
import time
from pathlib import Path

from ..datasets.h36m_checks import FILE_3D
from ..datasets.npz import read_object
from ..errors import run_script
from .files import PROVENANCE, make_sample


def main() -> None:
    """Write the files, and on request a picture of the people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="folder to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the movements (default: %(default)s)")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also draw the people")
    args = parser.parse_args()
    start = time.perf_counter()
    make_sample(args.out, args.seed)
    size = sum(path.stat().st_size for path in args.out.glob("*.npz"))
    print(f"{PROVENANCE.format(seed=args.seed)}: {args.out}, {size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s")
    if args.contact_sheet:
        from .contact_sheet import contact_sheet

        contact_sheet(read_object(args.out / FILE_3D, "positions_3d"), args.contact_sheet)


if __name__ == "__main__":
    run_script(main)
