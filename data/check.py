"""Check the data files: `python data/check.py [DIR]`. See `common/run/check.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import run_script
from common.run.check import main

if __name__ == "__main__":
    run_script(main)
