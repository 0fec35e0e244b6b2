"""What a run leaves behind: metrics.json, tables, curves, the log and the progress bar."""

import json
import math
import re
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from common.evaluation.protocol import METRICS, Scores
from common.reprojection.jpma import AGGREGATIONS, NEED_LABELS, REFINED
from common.run.report import gap_closed, metrics_record, plot_curves, run_facts, tables, write_json, write_report
from common.run.runlog import Progress, RunLog, clock

VIDEOS = [("S5", "Walking"), ("S5", "Sitting 1"), ("S6", "Walking 2")]
FRAMES = [10, 30, 20]


def scores(walking: float, sitting: float, other: float, refined: float | None = None) -> Scores:
    """P-Agg has these MPJPE (mm) per video; other aggregations and metrics are 1, 2, 3 ... mm more.

    Refined poses are so many mm better than P-Agg.
    """
    errors = {
        name: {metric: [x + 10 * i + j for x in (walking, sitting, other)] for j, metric in enumerate(METRICS)}
        for i, name in enumerate(AGGREGATIONS)
    }
    if refined is not None:
        errors[REFINED] = {metric: [x - refined for x in found] for metric, found in errors["P_Agg"].items()}
    return Scores(VIDEOS, FRAMES, errors, [[x + 5, x + 10] for x in (walking, sitting, other)])


ROWS = {"source_only": scores(100, 120, 80), "adapted": scores(80, 90, 70), "oracle": scores(50, 60, 40)}
HISTORY = [
    {"epoch": i, "lr": 1e-3, "seconds": 2.0, "training_mm": 300 / i, "source_mm": 200 / i, "reprojection": 0.1}
    for i in range(1, 6)
]
REFINED_ROWS = {
    "source_only": scores(100, 120, 80, refined=5), "adapted": scores(80, 90, 70, refined=15),
    "oracle": scores(50, 60, 40, refined=8),
}  # fmt: skip


def arguments(folder: Path, **changes: object) -> Namespace:
    return Namespace(**{
        "subjects_test": ["S5", "S6"], "root": "estimated", "select": "last", "num_proposals": 2,
        "sampling_timesteps": 3, "number_of_frames": 9, "downsample": 10, "seed": 4, "p2": False, "by_subject": False,
        "keypoints": "gt", "checkpoint": folder,
    } | changes)  # fmt: skip


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize(
    ("source_only", "adapted", "oracle", "share"),
    [(100, 100, 50, 0), (100, 50, 50, 1), (100, 75, 50, 0.5), (100, 110, 50, -0.2), (100, 40, 50, 1.2)],
)
def test_gap_closed(source_only, adapted, oracle, share):
    assert gap_closed(source_only, adapted, oracle) == pytest.approx(share)
    assert gap_closed(2 * source_only, 2 * adapted, 2 * oracle) == pytest.approx(share)


@pytest.mark.parametrize("oracle", [100, 120, math.nan])
def test_there_may_be_no_gap(oracle):
    assert gap_closed(100, 90, oracle) is None


def test_record():
    record = metrics_record(ROWS, {"data": "x"})
    assert record["data"] == "x" and list(record["rows"]) == list(ROWS)
    row = record["rows"]["source_only"]
    assert row["frames"] == 60
    assert row["P_Agg"]["mpjpe_mm"]["by_action"] == pytest.approx({"Sitting": 120, "Walking": (1000 + 1600) / 30})
    assert row["J_Agg"]["p_mpjpe_mm"]["by_subject"] == pytest.approx({"S5": (1000 + 3600) / 40 + 11, "S6": 91})
    weighted = (10 * 100 + 30 * 120 + 20 * 80) / 60
    assert row["mpjpe_mm_all_frames_by_step"]["J_Agg"] == pytest.approx([weighted + 5, weighted + 10])
    overall = [record["rows"][name]["J_Agg"]["mpjpe_mm"]["overall"] for name in ROWS]
    assert record["gap_closed"]["J_Agg"]["mpjpe_mm"] == pytest.approx(gap_closed(*overall))
    # Bounds that used labels have no gap.
    assert record["gap_closed"].keys() == {"headline", *set(AGGREGATIONS) - set(NEED_LABELS)}
    assert record["gap_closed"]["headline"] == record["gap_closed"]["J_Agg"]
    assert {row["headline"] for row in record["rows"].values()} == {"J_Agg"}
    assert "gap_closed" not in metrics_record({"adapted": ROWS["adapted"]}, {})


def test_refined_poses_are_the_adapted_rows_headline():
    record = metrics_record(REFINED_ROWS, {})
    headlines = {name: row["headline"] for name, row in record["rows"].items()}
    assert headlines == {"source_only": "J_Agg", "adapted": REFINED, "oracle": "J_Agg"}

    def overall(*names: str) -> list[float]:
        return [record["rows"][row][name]["mpjpe_mm"]["overall"] for row, name in zip(REFINED_ROWS, names)]

    gaps = {name: gap["mpjpe_mm"] for name, gap in record["gap_closed"].items()}
    assert gaps["headline"] == pytest.approx(gap_closed(*overall("J_Agg", REFINED, "J_Agg")))
    assert gaps[REFINED] == pytest.approx(gap_closed(*overall(REFINED, REFINED, REFINED)))
    assert gaps["headline"] > gaps["J_Agg"]
    evaluated = metrics_record({"evaluated": REFINED_ROWS["adapted"]}, {})
    assert evaluated["rows"]["evaluated"]["headline"] == REFINED
    mixed = metrics_record(ROWS | {"adapted": REFINED_ROWS["adapted"]}, {})
    assert REFINED not in mixed["gap_closed"] and mixed["rows"]["adapted"]["headline"] == REFINED


def test_tables_name_what_a_row_is_judged_by():
    record = metrics_record(REFINED_ROWS, {})
    by_action, overall = tables(record).split("\n\n")
    rows = by_action.splitlines()[2:]
    for line, word, (row, name) in zip(
        rows, ("source only, J-Agg", "adapted, refined", "oracle (target labels), J-Agg"),
        (("source_only", "J_Agg"), ("adapted", REFINED), ("oracle", "J_Agg")),
    ):  # fmt: skip
        assert line.startswith(word)
        found = record["rows"][row][name]["mpjpe_mm"]
        assert numbers(line) == pytest.approx([*found["by_action"].values(), found["overall"]], abs=0.051)
    assert sum("  refined " in line for line in overall.splitlines()) == 3
    gaps = {name: f"{gap['mpjpe_mm']:.0%}" for name, gap in record["gap_closed"].items()}
    assert f"gap closed, refining counted as adaptation: {gaps['headline']}\n" in overall
    assert f"gap closed, refined in every row: {gaps[REFINED]}" in overall


def numbers(line: str) -> list[float]:
    return [float(x) for x in re.findall(r"(?<![\w-])\d+\.\d(?!\d)", line)]


def test_tables_hold_the_numbers_of_the_record():
    record = metrics_record(ROWS, {})
    text = tables(record, p2=True, by_subject=True)
    blocks = text.split("\n\n")
    assert len(blocks) == 5
    order = [
        ("mpjpe_mm", "by_action"),
        ("p_mpjpe_mm", "by_action"),
        ("mpjpe_mm", "by_subject"),
        ("p_mpjpe_mm", "by_subject"),
    ]
    for block, (metric, grouping) in zip(blocks, order):
        title, head, *lines = block.splitlines()
        assert title.startswith("MPJPE (mm)" if metric == "mpjpe_mm" else "P-MPJPE (mm)")
        assert head.split() == (["Sitting", "Walking", "Avg"] if grouping == "by_action" else ["S5", "S6", "All"])
        assert len(lines) == len(ROWS)
        for line, row in zip(lines, record["rows"].values()):
            found = row["J_Agg"][metric]
            last = found["overall" if grouping == "by_action" else "all_frames"]
            assert "J-Agg" in line
            assert numbers(line) == pytest.approx([*found[grouping].values(), last], abs=0.051)
            assert len(line) == len(head)  # columns line up
    for line, (row, name) in zip(blocks[-1].splitlines()[1:], [(r, n) for r in ROWS for n in AGGREGATIONS]):
        assert name.replace("_", "-") in line
        wanted = [record["rows"][row][name][metric]["overall"] for metric in METRICS]
        assert numbers(line) == pytest.approx(wanted, abs=0.051)
    assert f"gap closed, J-Agg in every row: {record['gap_closed']['J_Agg']['mpjpe_mm']:.0%}" in text
    assert len(tables(record).split("\n\n")) == 2
    assert "refin" not in text


def test_json_has_no_nan(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": [1.0, math.nan, {"b": math.inf}], "c": (2, -math.inf), "d": None, "e": "NaN", "f": True})
    content = json.loads(path.read_text(), parse_constant=no_constant)
    assert content == {"a": [1.0, None, {"b": None}], "c": [2, None], "d": None, "e": "NaN", "f": True}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == content  # the old file is whole


def report(rows, histories, about, files, args):
    """As the scripts do it."""
    about = about | {"keypoints": args.keypoints}
    record = metrics_record(rows, run_facts(about, args.subjects_test, files, histories, 50 / args.downsample, args))
    write_report(record, tables(record), args.checkpoint)


def test_report_files(tmp_path, capsys):
    about = {"protocol": "S1 -> S5,S6", "data": "made by a test", "synthetic": True}
    folder = tmp_path / "out" / "put"
    report(ROWS, {"source_only": HISTORY}, about, {"a.npz": "00"}, arguments(folder))
    printed = capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "table.txt", "curves.png"}
    table = (folder / "table.txt").read_text()
    assert table.strip() in printed
    for word in (
        "SYNTHETIC",
        "S1 -> S5,S6",
        "made by a test",
        "root estimated",
        "epoch by last",
        "H 2",
        "K 3",
        "T 9",
        "5 fps",
    ):
        assert word in table
    record = json.loads((folder / "metrics.json").read_text(), parse_constant=no_constant)
    wanted = {
        "protocol": "S1 -> S5,S6", "data": "made by a test", "synthetic": True, "reported_on": ["S5", "S6"],
        "root": "estimated", "selection": "last", "num_proposals": 2, "sampling_timesteps": 3, "clip_frames": 9,
        "frame_rate": 5.0, "seed": 4, "p_best": "per clip", "files_sha256": {"a.npz": "00"},
    }  # fmt: skip
    assert wanted.items() <= record.items()
    assert record["versions"].keys() == {"python", "torch", "numpy"}
    assert record["history"]["source_only"] == HISTORY
    assert record["rows"].keys() == ROWS.keys()
    for row in record["rows"].values():
        assert row.keys() == {*AGGREGATIONS, "frames", "headline", "mpjpe_mm_all_frames_by_step"}
        assert row["J_Agg"].keys() == set(METRICS)
        assert row["J_Agg"]["mpjpe_mm"].keys() == {"overall", "all_frames", "by_action", "by_subject"}


def test_a_model_that_diverged_is_reported(tmp_path, capsys):
    about = {"protocol": "x", "data": "made by a test", "synthetic": False}
    rows = ROWS | {"adapted": scores(math.nan, 1, 2)}
    history = [HISTORY[0] | {"training_mm": math.nan}]
    report(rows, {"adapted": history}, about, {}, arguments(tmp_path))
    record = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=no_constant)
    assert record["rows"]["adapted"]["P_Agg"]["mpjpe_mm"]["overall"] is None
    assert record["rows"]["source_only"]["P_Agg"]["mpjpe_mm"]["overall"] > 0
    printed = capsys.readouterr().out
    assert "nan" in printed and "SYNTHETIC" not in printed


def test_without_training_there_are_no_curves(tmp_path, capsys):
    about = {"protocol": "x", "data": "made by a test", "synthetic": False}
    (tmp_path / "curves.png").write_bytes(b"of an earlier run")
    report({"evaluated": ROWS["adapted"]}, {}, about, {}, arguments(tmp_path))
    assert (tmp_path / "curves.png").read_bytes() == b"of an earlier run"
    assert "curves.png" not in capsys.readouterr().out


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves(tmp_path, epochs):
    path = tmp_path / "curves.png"
    plot_curves({"source_only": HISTORY[:epochs], "adapted": HISTORY[:epochs], "oracle": []}, path, "made by a test")
    assert path.read_bytes().startswith(b"\x89PNG")
    picture = imread(path)[..., :3]
    assert picture.shape[1] > picture.shape[0]  # two panels side by side
    halves = np.array_split(picture, 2, axis=1)
    colours = [np.ptp(half, axis=-1).max() for half in halves]
    assert min(colours) > 0.3  # each has a coloured line, also when there is but one epoch


@pytest.mark.parametrize("late", [1, 2])
def test_losses_that_begin_later_have_their_curve(tmp_path, late):
    def coloured(history: list[dict[str, float]]) -> int:
        plot_curves({"adapted": history}, tmp_path / "curves.png", "made by a test")
        return int((np.ptp(imread(tmp_path / "curves.png")[..., :3], axis=-1) > 0.3).sum())

    begun = [record | ({"pseudo_label_mm": 150.0} if i >= 5 - late else {}) for i, record in enumerate(HISTORY)]
    assert coloured(begun) > coloured(HISTORY) + 20  # a line or a point, and its key


def test_the_whole_note_stands_over_the_curves(tmp_path, monkeypatch):
    def left_out(note: str) -> bool:
        plot_curves({"source_only": HISTORY}, tmp_path / "curves.png", note)
        edges = imread(tmp_path / "curves.png")[:80, [0, 1, -2, -1], :3]
        return edges.min() < 0.9

    assert not left_out("SYNTHETIC " + 20 * "made by a test, ")
    monkeypatch.setattr("common.run.report.NOTE_WIDTH", 1000)
    assert left_out(20 * "made by a test, ")  # in one line it runs over the edges, and the check sees it


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (61, "1:01"), (3599.6, "1:00:00"), (36061, "10:01:01")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_progress_is_silent_where_nobody_watches(capsys):
    progress = Progress("training", 3)
    for _ in range(3):
        progress.step()
    progress.clear()
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress("training", 10, done=8)
    progress.step()
    progress.step()
    progress.clear()
    out, err = capsys.readouterr()
    assert out == ""
    first, last, cleared = re.split(r"\r(?=\S|\x1b)", err)[1:]
    assert "9/10" in first and "left" in first and first.count("#") > 0 and first.count(".") > 0
    assert "10/10, 0:00 left" in last and "." not in last.split("]")[0]
    assert cleared == "\x1b[K"


def test_log(tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunLog(tmp_path) as log:
        log.epoch("adapted", HISTORY[1], 5)
    line = capsys.readouterr().out
    assert line.startswith("adapted 2/5: ") and line.count("\n") == 1
    assert "training_mm 150" in line and "(2.0 s, 0:06 left)" in line
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {f"adapted/{name}" for name in HISTORY[1] if name != "epoch"}
    (scalar,) = events.Scalars("adapted/training_mm")
    assert (scalar.step, scalar.value) == (2, 150)


def test_log_without_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunLog(None) as log:
        log.epoch("oracle", HISTORY[0], 1)
    assert "oracle 1/1" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
