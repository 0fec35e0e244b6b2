"""Train the open model, the lifter that ships with the project: python open_model.py --mocap DIR [-o DIR]"""

from common.errors import run_script
from common.openmodel.command import main

if __name__ == "__main__":
    run_script(main)
