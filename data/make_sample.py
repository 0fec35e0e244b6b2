"""Make the sample data: `python data/make_sample.py --out data/sample --seed 0`. See `common/sample/`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import run_script
from common.sample.__main__ import main

if __name__ == "__main__":
    run_script(main)
