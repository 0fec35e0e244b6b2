"""Whether the spread of the hypotheses says how wrong a joint is: correlation and calibration on a finished run.

    python h36m_transfer.py --sample -c checkpoint/sample
    python benchmarks/uncertainty.py checkpoint/sample

The spread is turned into millimetres by one factor, fitted on the source subjects' labels; target labels are only
looked at to judge the result. Writes benchmarks/results/uncertainty.txt and fig/uncertainty.png.
"""

import argparse
import json
import sys
import textwrap
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.datasets.h36m import load_h36m
from common.datasets.video import LabelledVideo
from common.errors import InputError, run_script
from common.evaluation.metrics import joint_errors
from common.evaluation.uncertainty import calibration_curve, fitted_scale
from common.geometry.skeleton import H36M_17
from common.model.checkpoint import load_lifter
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.reprojection.lifting import lift_videos
from common.reprojection.refinement import Refinement
from common.run.models import stored_refinement, trained_rate
from common.run.stages import BEST_FILE

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURE = ROOT / "benchmarks" / "results", ROOT / "fig" / "uncertainty.png"
COUNTS = (2, 5, 10, 20)  # hypotheses
DRAWN = 10  # of the counts, in the figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="output folder of h36m_transfer.py with an adapted model")
    args = parser.parse_args()
    run = FinishedRun.read(args.run)
    lifter, refinement = run.lifter, run.refinement

    lines = [
        *run.head(f"adapted model, error of {'the refined pose' if refinement else 'J-Agg'}"),
        "",
        " H  scale from source  expected (mm)  true (mm)  rank correlation: joints  within a joint  frames",
    ]
    for count in COUNTS:
        sampling = Sampling(count, run.asked.sampling_timesteps, seed=run.asked.seed)
        scale = fitted_scale(lifter, run.source, sampling, refinement)
        if scale is None:
            raise InputError(f"{args.run}: its hypotheses are all alike (--deterministic?), nothing to judge")
        found = list(lift_videos(lifter, run.target, sampling, refinement))
        expected = scale * torch.cat([spreads for *_, spreads in found])
        errors = torch.cat([joint_errors(pose, video.pose) for video, pose, _ in found])
        moving = [joint for joint in range(errors.shape[1]) if joint != H36M_17.root_index]
        expected, errors = (1000 * x[:, moving] for x in (expected, errors))
        within = np.mean([spearmanr(expected[:, j], errors[:, j]).statistic for j in range(len(moving))])
        joints = spearmanr(expected.flatten(), errors.flatten()).statistic
        frames = spearmanr(expected.mean(1), errors.mean(1)).statistic
        lines.append(
            f"{count:2}  {scale:17.2f}  {expected.mean():13.1f}  {errors.mean():9.1f}  {joints:24.2f}  {within:14.2f}"
            f"  {frames:6.2f}"
        )
        if count == DRAWN:
            draw(calibration_curve(expected, errors), lines[0], run.record["synthetic"], FIGURE)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "uncertainty.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


@dataclass(frozen=True)
class FinishedRun:
    """The adapted model that h36m_transfer.py left in a folder, and the videos it is about, at its frame rate.

    Attributes:
        record: of metrics.json. asked: the flags. provenance: of the data.
    """

    record: dict[str, Any]
    asked: Namespace
    provenance: str
    source: list[LabelledVideo]
    target: list[LabelledVideo]
    lifter: Lifter
    refinement: Refinement | None

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Raises `InputError` for a folder that is no such run's."""
        for name in ("metrics.json", BEST_FILE):
            if not (folder / name).is_file():
                raise InputError(f"{folder}: holds no {name}; expected the output folder of h36m_transfer.py")
        record = json.loads((folder / "metrics.json").read_text())
        if "subjects_test" not in record["arguments"]:
            raise InputError(f"{folder}: is no run of h36m_transfer.py")
        asked = Namespace(**record["arguments"])
        tested = record["reported_on"]
        data = load_h36m(Path(asked.data_dir), asked.keypoints, asked.subjects_train + tested, asked.actions)
        source, target = (
            [v.at_rate(trained_rate(record["arguments"], v.fps)) for v in data.of(names)]
            for names in (asked.subjects_train, tested)
        )
        refinement = None if asked.refine == "none" else stored_refinement(folder / BEST_FILE)
        return cls(record, asked, data.provenance, source, target, load_lifter(folder / BEST_FILE).eval(), refinement)

    def head(self, what: str) -> list[str]:
        """The first lines of a table."""
        synthetic = "SYNTHETIC DATA. " if self.record["synthetic"] else ""
        return [
            f"{self.record['protocol']}, 2D {self.record['keypoints']}, {what}",
            f"{synthetic}{self.provenance}",
        ]


def draw(curve: np.ndarray, title: str, synthetic: bool, path: Path) -> None:
    """Expected against true error, a dot per tenth of the joints."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.4), layout="constrained", facecolor="white")
    ax = figure.subplots()
    limit = 1.08 * curve.max()
    ax.plot([0, limit], [0, limit], color="#999999", linewidth=1, label="expected = true")
    ax.plot(*curve.T, "o-", color="#0072B2", label=f"a tenth of the joints each, H {DRAWN}")
    ax.set(xlim=(0, limit), ylim=(0, limit), xlabel="expected error (mm)", ylabel="true error (mm)")
    ax.set_aspect("equal")
    label = "SYNTHETIC data. " if synthetic else ""
    ax.set_title(f"{label}Spread of the hypotheses, scaled on the source.\n{textwrap.fill(title, 70)}", fontsize=8)
    ax.legend(frameon=False, loc="upper left", fontsize=8)
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run_script(main)
