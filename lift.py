"""From a detector's 2D keypoints to 3D poses: python lift.py keypoints.json"""

from common.errors import run_script
from common.run.footage import main

if __name__ == "__main__":
    run_script(main)
