"""Which epoch to keep: how well each label-free criterion ranks the epochs of adaptations, against their true error.

    python h36m_transfer.py --sample -cf 1 -c checkpoint/epochs
    python benchmarks/epochs.py checkpoint/epochs [more runs]

The epochs that a run has kept (-cf) are looked at. Prints Spearman's rank correlation of each criterion with the true
error, over all of them and over the second half, where a choice matters, and the error of the chosen epoch.
"""

import argparse
import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.adaptation.selection import CRITERIA
from common.datasets.h36m import load_h36m
from common.errors import InputError, run_script
from common.evaluation.protocol import evaluate
from common.model.checkpoint import load_lifter
from common.model.inference import Sampling
from common.run.models import trained_rate
from common.run.report import write_json

VIDEOS = 32  # evenly spread, as the scripts look at
FEWEST = 10  # epochs, to rank
RESULT = Path(__file__).resolve().parent / "results" / "epochs.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of h36m_transfer.py")
    args = parser.parse_args()
    tables = [scored(run) for run in args.runs]
    names = list(tables[0][0])
    lines = ["criterion        correlation, all epochs   second half of the epochs   error of the chosen epoch (mm)"]
    best = np.mean([min(row["true"] for row in table) for table in tables])
    for name in names:
        if name == "true":
            continue
        whole, half, chosen = [], [], []
        for table in tables:
            values, true = (np.array([row[key] for row in table]) for key in (name, "true"))
            whole.append(spearmanr(values, true).statistic)
            half.append(spearmanr(values[len(values) // 2 :], true[len(true) // 2 :]).statistic)
            chosen.append(true[values.argmin()])
        lines.append(f"{name:16} {np.mean(whole):23.2f} {np.mean(half):27.2f} {np.mean(chosen):30.1f}")
    lines.append(f"{'(best epoch)':16} {'':23} {'':27} {best:30.1f}")
    text = "\n".join([f"runs: {', '.join(run.name for run in args.runs)}", *lines])
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n")
    print(text)


def scored(run: Path) -> list[dict[str, float]]:
    """Per epoch every criterion and the true error, J-Agg's MPJPE in mm. Kept beside the run."""
    kept = run / "criteria.json"
    if kept.is_file():
        return json.loads(kept.read_text())["epochs"]
    if not (run / "metrics.json").is_file():
        raise InputError(f"{run}: holds no metrics.json; expected the output folder of h36m_transfer.py")
    record = json.loads((run / "metrics.json").read_text())
    history = record["history"].get("adapted")
    if not history or "subjects_unlabeled" not in record["arguments"]:
        raise InputError(f"{run}: is no adaptation by h36m_transfer.py")
    kept_epochs = [e for e in history if (run / f"epoch_{e['epoch']}.bin").is_file()]
    if len(kept_epochs) < FEWEST:
        raise InputError(
            f"{run}: expected at least {FEWEST} epochs' checkpoints, found {len(kept_epochs)} of {len(history)}; "
            "run the adaptation with -cf 1"
        )
    asked = Namespace(**record["arguments"])
    data = load_h36m(Path(asked.data_dir), asked.keypoints, asked.subjects_unlabeled, asked.actions)
    videos = [v.at_rate(trained_rate(record["arguments"], v.fps)) for v in data.of(asked.subjects_unlabeled)]
    videos = videos[:: max(len(videos) // VIDEOS, 1)]
    sampling = Sampling(max(asked.num_proposals, 2), 1, seed=asked.seed)
    table = []
    for entry in kept_epochs:
        lifter = load_lifter(run / f"epoch_{entry['epoch']}.bin").eval()
        row = {name: criterion(lifter, videos, sampling) for name, criterion in CRITERIA.items()}
        row |= {"last": -entry["epoch"], "source loss": entry["source_mm"]}
        row["true"] = evaluate(lifter, videos, sampling, "estimated").all_frames("J_Agg")
        table.append(row)
        print(f"{run.name}, epoch {entry['epoch']}: {row['true']:.1f} mm", flush=True)
    write_json(kept, {"epochs": table})
    return table


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run_script(main)
