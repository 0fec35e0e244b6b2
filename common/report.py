"""What a run leaves behind: metrics.json, the tables, the training curves."""

import json
import math
import os
import platform
import textwrap
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.evaluation import METRICS, Scores
from common.h36m import FRAME_RATE
from common.jpma import AGGREGATIONS, NEED_LABELS

TITLES = {
    "source_only": "source only",
    "adapted": "adapted",
    "oracle": "oracle (target labels)",
    "evaluated": "evaluated",
}
HEADLINE = "J_Agg"
NOTE_WIDTH = 70  # characters over a panel of the curves
REPORT_FILES = ("metrics.json", "table.txt", "curves.png")
RENDER_FILE = "render.gif"


def gap_closed(source_only: float, adapted: float, oracle: float) -> float | None:
    """The share of the way from source-only to oracle that adaptation went; None when there is no way to go."""
    return (source_only - adapted) / (source_only - oracle) if source_only > oracle else None


def metrics_record(rows: dict[str, Scores], about: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json: `about`, then every metric per row and aggregation. The README has the schema."""
    record: dict[str, Any] = about | {"rows": {}}
    for row, scores in rows.items():
        record["rows"][row] = {
            name: {metric: scores.summary(name, metric) for metric in METRICS} for name in AGGREGATIONS
        }
        frames = np.array(scores.frames)
        record["rows"][row]["frames"] = int(frames.sum())
        steps = np.average(np.array(scores.by_step), axis=0, weights=frames)
        record["rows"][row]["mpjpe_mm_all_frames_by_step"] = {HEADLINE: steps.tolist()}
    if {"source_only", "adapted", "oracle"} <= rows.keys():
        record["gap_closed"] = {
            name: {
                metric: gap_closed(
                    *(record["rows"][row][name][metric]["overall"] for row in ("source_only", "adapted", "oracle"))
                )
                for metric in METRICS
            }
            for name in AGGREGATIONS
            if name not in NEED_LABELS
        }
    return record


def versions() -> dict[str, str]:
    """The versions that numbers may depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write atomically. Numbers that are not finite, which JSON does not have, become null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(finite(content), indent=1, allow_nan=False) + "\n")
    os.replace(partial, path)


def tables(record: dict[str, Any], p2: bool = False, by_subject: bool = False, action: str = "action") -> str:
    """The report as text: by action as papers print it, by subject, and the aggregations side by side.

    Args:
        action: what an action is called in the table's title.
    """
    metrics = ["mpjpe_mm"] + (["p_mpjpe_mm"] if p2 else [])
    groupings = ["by_action"] + (["by_subject"] if by_subject else [])
    titles = {"by_action": f"by {action}", "by_subject": "by subject"}
    blocks = [
        _table(record["rows"], metric, grouping, titles[grouping]) for grouping in groupings for metric in metrics
    ]
    blocks.append(_aggregations(record["rows"]))
    lines = ["\n\n".join(blocks)]
    for name, gap in record.get("gap_closed", {}).items():
        if gap["mpjpe_mm"] is not None:
            lines.append(f"gap closed, {name.replace('_', '-')}: {gap['mpjpe_mm']:.0%}")
    return "\n".join(lines)


def _label(metric: str) -> str:
    return metric.removesuffix("_mm").upper().replace("_", "-")


def _table(rows: dict[str, Any], metric: str, grouping: str, name: str) -> str:
    first = next(iter(rows.values()))[HEADLINE][metric]
    groups = list(first[grouping])
    average = "Avg" if grouping == "by_action" else "All"
    width = max(len(TITLES[row]) for row in rows)
    columns = [max(len(group), 5) for group in [*groups, average]]
    title = f"{_label(metric)} (mm), {HEADLINE.replace('_', '-')}, {name}"
    head = " " * width + "  " + "  ".join(g.rjust(c) for g, c in zip([*groups, average], columns))
    lines = [title, head]
    for row, content in rows.items():
        found = content[HEADLINE][metric]
        values = [*found[grouping].values(), found["overall" if grouping == "by_action" else "all_frames"]]
        lines.append(TITLES[row].ljust(width) + "  " + "  ".join(f"{v:.1f}".rjust(c) for v, c in zip(values, columns)))
    return "\n".join(lines)


def _aggregations(rows: dict[str, Any]) -> str:
    width = max(len(TITLES[row]) for row in rows)
    lines = ["Overall (mm; P-Best per clip and J-Best use the labels to choose: upper bounds, not results)"]
    for row, content in rows.items():
        for name in AGGREGATIONS:
            values = "  ".join(f"{_label(metric)} {content[name][metric]['overall']:6.1f}" for metric in METRICS)
            lines.append(f"{TITLES[row].ljust(width)}  {name.replace('_', '-').ljust(6)}  {values}")
    return "\n".join(lines)


def plot_curves(histories: dict[str, list[dict[str, float]]], path: Path, note: str) -> None:
    """Training losses against epochs, a panel per stage.

    Args:
        histories: per stage its epoch records. note: goes under the title, what the data is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    stages = {stage: history for stage, history in histories.items() if history}
    if not stages:
        return
    figure = Figure(figsize=(4.6 * len(stages), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(textwrap.fill(note, NOTE_WIDTH * len(stages)), fontsize=8)
    for ax, (stage, history) in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages.items()):
        epochs = [record["epoch"] for record in history]
        for name in history[0]:
            if name.endswith("_mm"):
                label = name.removesuffix("_mm").replace("_", " ")
                marker = "." if len(history) == 1 else None
                ax.plot(epochs, [record[name] for record in history], label=label, marker=marker)
        ax.set(title=stage.replace("_", " "), xlabel="epoch", ylabel="mean error while training (mm)", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    figure.savefig(path, dpi=130)


def run_facts(
    about: dict[str, Any],
    reported_on: list[str],
    files: dict[str, str],
    histories: dict[str, list[dict[str, float]]],
    args: Namespace,
) -> dict[str, Any]:
    """What metrics.json says of a run beside its numbers."""
    return about | {
        "reported_on": reported_on,
        "root": args.root,
        "selection": args.select,
        "num_proposals": args.num_proposals,
        "sampling_timesteps": args.sampling_timesteps,
        "clip_frames": args.number_of_frames,
        "frame_rate": FRAME_RATE / args.downsample,
        "p_best": "per clip",
        "seed": args.seed,
        "files_sha256": files,
        "versions": versions(),
        "history": histories,
    }


def write_report(record: dict[str, Any], text: str, folder: Path) -> None:
    """Print the tables and write metrics.json, the tables as text and the training curves.

    Args:
        record: see `metrics_record`, with the keys of `run_facts`. text: the tables.
    """
    label = "SYNTHETIC DATA, " if record["synthetic"] else ""
    head = (
        f"{record['protocol']}, reported on {','.join(record['reported_on'])}\n{record['data']}\n{label}2D: "
        f"{record['keypoints']}, root {record['root']}, epoch by {record['selection']}, H {record['num_proposals']}, "
        f"K {record['sampling_timesteps']}, T {record['clip_frames']}, {record['frame_rate']:g} fps"
    )
    print(f"\n{head}\n\n{text}\n")
    folder.mkdir(parents=True, exist_ok=True)
    metrics, table, curves = (folder / name for name in REPORT_FILES)
    write_json(metrics, record)
    table.write_text(f"{head}\n\n{text}\n")
    plot_curves(record["history"], curves, record["data"])
    written = REPORT_FILES if any(record["history"].values()) else REPORT_FILES[:-1]
    print(f"written to {folder}: {', '.join(written)}")
