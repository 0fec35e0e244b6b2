"""What a run leaves behind: metrics.json, the tables, the training curves."""

import json
import math
import platform
import textwrap
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..evaluation.protocol import METRICS, Scores
from ..evaluation.scores_3dhp import compare_3dhp, format_3dhp
from ..files import atomic_write
from ..reprojection.jpma import AGGREGATIONS, NEED_LABELS, REFINED
from .runlog import Record

TITLES = {
    "source_only": "source only",
    "adapted": "adapted",
    "oracle": "oracle (target labels)",
    "evaluated": "evaluated",
}
UNREFINED = "J_Agg"
REFINED_ROWS = ("adapted", "evaluated")  # refining is part of what they are
GAPS = {"headline": "refining counted as adaptation"}
NOTE_WIDTH = 70  # characters over a panel of the curves
REPORT_FILES = ("metrics.json", "table.txt", "curves.png")
RENDER_FILES = ("render.gif", "render.html")
PREDICTIONS_FILE, TABLE_FILE = "predictions.npz", "predictions.csv"


def gap_closed(source_only: float, adapted: float, oracle: float) -> float | None:
    """The share of the way from source-only to oracle that adaptation went; None when there is no way to go."""
    return (source_only - adapted) / (source_only - oracle) if source_only > oracle else None


def headline(record: dict[str, Any], row: str) -> str:
    """The aggregation a row is judged by: J-Agg, and refined poses where refining is part of the method."""
    return REFINED if row in REFINED_ROWS and REFINED in record["rows"][row] else UNREFINED


def label(name: str) -> str:
    """A metric or an aggregation as it is printed."""
    text = name.removesuffix("_mm").replace("_", "-")
    special = {REFINED: "refined", "wrong_depth_percent": "wrong depth (%)"}
    return special.get(name, text.upper() if name.endswith("_mm") else text)


def metrics_record(rows: dict[str, Scores], about: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json: `about`, then every metric per row and aggregation. The README has the schema."""
    record: dict[str, Any] = about | {"rows": {}}
    for row, scores in rows.items():
        record["rows"][row] = {
            name: {metric: scores.summary(name, metric) for metric in METRICS} for name in scores.errors
        }
        frames = np.array(scores.frames)
        record["rows"][row]["frames"] = int(frames.sum())
        record["rows"][row]["headline"] = headline(record, row)
        steps = np.average(np.array(scores.by_step), axis=0, weights=frames)
        record["rows"][row]["mpjpe_mm_all_frames_by_step"] = {UNREFINED: steps.tolist()}
    compared = ("source_only", "adapted", "oracle")
    if set(compared) <= rows.keys():

        def gap(names: list[str]) -> dict[str, float | None]:
            found = [record["rows"][row][name] for row, name in zip(compared, names)]
            return {metric: gap_closed(*(content[metric]["overall"] for content in found)) for metric in METRICS}

        record["gap_closed"] = {"headline": gap([record["rows"][row]["headline"] for row in compared])}
        for name in _aggregations(record["rows"]):
            if name not in NEED_LABELS:
                record["gap_closed"][name] = gap([name] * 3)
    return record


def _aggregations(rows: dict[str, Any]) -> list[str]:
    """The aggregations every row has, in the order they are printed."""
    return [name for name in (*AGGREGATIONS, REFINED) if all(name in content for content in rows.values())]


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

    with atomic_write(path) as partial:
        partial.write_text(json.dumps(finite(content), indent=1, allow_nan=False) + "\n")


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
    blocks.append(_overall(record["rows"]))
    lines = ["\n\n".join(blocks)]
    refined = any(row["headline"] == REFINED for row in record["rows"].values())
    for name, gap in record.get("gap_closed", {}).items():
        if gap["mpjpe_mm"] is not None and (refined or name not in GAPS):
            lines.append(f"gap closed, {GAPS.get(name, f'{label(name)} in every row')}: {gap['mpjpe_mm']:.0%}")
    return "\n".join(lines)


def tables_3dhp(record: dict[str, Any], shown: str, p2: bool = False) -> str:
    """The report of a 3DHP run as text: a row's official scores, those of all rows side by side, and `tables`.

    Args:
        record: of `metrics_record`, with `official_3dhp` in its rows. shown: the row whose scores are printed in full.
    """
    official = {}
    for row, content in record["rows"].items():
        name = content["headline"]
        official[f"{TITLES[row]}, {label(name)}"] = content["official_3dhp"][name]
    title = f"{TITLES[shown]}, {label(record['rows'][shown]['headline'])}"
    return (
        f"{title}, official scores\n{format_3dhp(official[title])}\n\n{compare_3dhp(official)}\n\n"
        f"{tables(record, p2, action='test sequence')}"
    )


def _table(rows: dict[str, Any], metric: str, grouping: str, name: str) -> str:
    first = next(iter(rows.values()))[UNREFINED][metric]
    groups = list(first[grouping])
    average = "Avg" if grouping == "by_action" else "All"
    titles = {row: f"{TITLES[row]}, {label(content['headline'])}" for row, content in rows.items()}
    width = max(map(len, titles.values()))
    columns = [max(len(group), 5) for group in [*groups, average]]
    title = f"{label(metric)} (mm), {name}"
    head = " " * width + "  " + "  ".join(g.rjust(c) for g, c in zip([*groups, average], columns))
    lines = [title, head]
    for row, content in rows.items():
        found = content[content["headline"]][metric]
        values = [*found[grouping].values(), found["overall" if grouping == "by_action" else "all_frames"]]
        lines.append(titles[row].ljust(width) + "  " + "  ".join(_cell(v).rjust(c) for v, c in zip(values, columns)))
    return "\n".join(lines)


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _overall(rows: dict[str, Any]) -> str:
    width = max(len(TITLES[row]) for row in rows)
    lines = ["Overall (mm; wrong depth: leaning to the wrong side; P-Best per clip, J-Best: chosen by the labels)"]
    for row, content in rows.items():
        for name in _aggregations(rows):
            values = "  ".join(f"{label(metric)} {_cell(content[name][metric]['overall']):>6}" for metric in METRICS)
            lines.append(f"{TITLES[row].ljust(width)}  {label(name).ljust(7)}  {values}")
    return "\n".join(lines)


def plot_curves(histories: dict[str, list[Record]], path: Path, note: str) -> None:
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
        for name in history[-1]:  # the teacher's losses begin later than the others
            if name.endswith("_mm"):
                known = [record for record in history if name in record]
                epochs, losses = zip(*((record["epoch"], record[name]) for record in known))
                marker = "." if len(known) == 1 else None
                ax.plot(epochs, losses, label=name.removesuffix("_mm").replace("_", " "), marker=marker)
        ax.set(title=stage.replace("_", " "), xlabel="epoch", ylabel="mean error while training (mm)", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=130)


def run_facts(
    about: dict[str, Any],
    reported_on: list[str],
    files: dict[str, str],
    histories: dict[str, list[Record]],
    frame_rate: float,
    args: Namespace,
) -> dict[str, Any]:
    """What metrics.json says of a run beside its numbers; `frame_rate` is that of the frames scored."""
    return about | {
        "reported_on": reported_on,
        "root": args.root,
        "selection": args.select,
        "num_proposals": args.num_proposals,
        "sampling_timesteps": args.sampling_timesteps,
        "clip_frames": args.number_of_frames,
        "frame_rate": frame_rate,
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
    warning = "SYNTHETIC DATA, " if record["synthetic"] else ""
    head = (
        f"{record['protocol']}, reported on {','.join(record['reported_on'])}\n{record['data']}\n{warning}2D: "
        f"{record['keypoints']}, root {record['root']}, epoch by {record['selection']}, H {record['num_proposals']}, "
        f"K {record['sampling_timesteps']}, T {record['clip_frames']}, {record['frame_rate']:g} fps"
    )
    print(f"\n{head}\n\n{text}\n")
    folder.mkdir(parents=True, exist_ok=True)
    metrics, table, curves = (folder / name for name in REPORT_FILES)
    write_json(metrics, record)
    with atomic_write(table) as partial:
        partial.write_text(f"{head}\n\n{text}\n")
    plot_curves(record["history"], curves, record["data"])
    written = REPORT_FILES if any(record["history"].values()) else REPORT_FILES[:-1]
    print(f"written to {folder}: {', '.join(written)}")
