"""The benchmarks around the runs they judge: tables, figures and what they say of folders that are no runs."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import run_here

import h36m_transfer
from benchmarks import ablation, epochs, hypotheses, scale, uncertainty
from common.datasets.video import LabelledVideo
from common.errors import InputError
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.run.stages import BEST_FILE

PNG = b"\x89PNG\r\n\x1a\n"


def row(title: str, mpjpe: list[float], gap: float, refined: bool = True, converged: bool = True) -> dict[str, Any]:
    """A row of a record; refined it is 1 mm better than its J-Agg."""
    seeds = len(mpjpe)
    errors = {"headline": mpjpe, "J_Agg": [value + refined for value in mpjpe]}
    gaps = {"headline": gap, "J_Agg": gap - 0.02}
    if refined:
        errors["Refined"], gaps["Refined"] = mpjpe, gap + 0.02
    return {
        "title": title,
        "mpjpe_mm": errors,
        "p_mpjpe_mm": [value / 2 for value in mpjpe],
        "gap_closed": gaps,
        "worst_subject_change_mm": [-20.0] * (seeds - 1) + [-12.5],
        "training_seconds": [100.0] * seeds,
        "converged": [True] * (seeds - 1) + [converged],
    }


@pytest.fixture
def record() -> dict[str, Any]:
    rows = {
        "source": row("source only", [99.0, 101.0], 0.02, refined=False),
        "default": row("adapted", [70.0, 74.0], 0.56, converged=False),
        "oracle": row("oracle", [50.0, 50.0], 0.98),
    }
    return {
        "name": "hand_made", "protocol": "H36M S1 -> S5", "data": "made by hand", "synthetic": True,
        "keypoints": "gt", "seeds": [0, 1], "rows": rows,
    }  # fmt: skip


def refused(script: Any, *flags: object) -> str:
    """The error line."""
    with pytest.raises(InputError) as caught:
        run_here(script, *flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Ablation


def test_the_table_of_a_hand_made_record(record):
    text = ablation.table(record)
    lines = text.splitlines()
    assert lines[0] == "H36M S1 -> S5, 2D gt, seeds 0, 1"
    assert lines[1].startswith("SYNTHETIC DATA. ") and "made by hand" in lines[1]
    assert [" ".join(line.split()) for line in lines[-3:]] == [
        "source only 100.0 +- 1.4 50.0 +- 0.7 2% 100.0 0% - - -12.5 100",
        "adapted* 72.0 +- 2.8 36.0 +- 1.4 56% 73.0 54% 72.0 58% -12.5 100",  # one seed's loss still falls
        "oracle 50.0 +- 0.0 25.0 +- 0.0 98% 51.0 96% 50.0 100% -12.5 100",
    ]
    assert "SYNTHETIC" not in ablation.table(record | {"synthetic": False})


def test_one_seed_has_no_spread(record):
    text = ablation.table(record | {"seeds": [0], "rows": {"source": row("source only", [99.0], 0.0)}})
    assert text.splitlines()[-1].split()[:4] == ["source", "only", "99.0", "49.5"]


@pytest.mark.parametrize("key", ["training_mm", "source_mm"])
def test_a_loss_that_still_falls_is_told_from_a_level_one(key):
    def level(losses: list[float]) -> bool:
        return ablation._level([{key: loss} for loss in losses])

    assert level([100.0] + [50.0] * 39)
    assert level([50 + 50 * 0.7**epoch for epoch in range(40)])
    assert level([50.0 + epoch % 2 for epoch in range(40)])
    assert level([50.0 + 0.1 * epoch for epoch in range(40)])  # it rises
    assert not level([100.0 - 2 * epoch for epoch in range(40)])
    assert not level([100 * 0.98**epoch for epoch in range(40)])
    assert not level([]) and not level([50.0])  # too few to tell


def test_the_figure_is_drawn(record, tmp_path: Path):
    path = tmp_path / "fig" / "ablation.png"
    ablation.draw([record], path)
    one = path.read_bytes()
    assert one.startswith(PNG)
    ablation.draw([record, record | {"synthetic": False}], path)
    assert path.read_bytes().startswith(PNG) and path.read_bytes() != one


def test_an_unknown_row_and_a_folder_without_results(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "FIGURE", tmp_path / "ablation.png")
    line = refused(ablation, "--rows", "default,teachers", "--runs", tmp_path)
    assert line.startswith("--rows: no row 'teachers', there are default, ")
    assert refused(ablation, "--plot") == f"{tmp_path}: no results to draw; run the ablation first"
    assert not list(tmp_path.iterdir())


def test_the_figure_is_drawn_from_results_that_are_there(record, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "FIGURE", tmp_path / "ablation.png")
    (tmp_path / "hand_made.json").write_text(json.dumps(record))
    (tmp_path / "of_another_benchmark.json").write_text('{"rows": {}, "size": "small"}')
    run_here(ablation, "--plot")
    assert (tmp_path / "ablation.png").read_bytes().startswith(PNG)


def test_every_row_starts_from_a_source_model_that_is_trained():
    assert {entry.base for entry in ablation.ROWS.values()} <= ablation.BASES.keys()
    titles = [entry.title for entry in (*ablation.BASES.values(), *ablation.ROWS.values())]
    assert len(set(titles)) == len(titles)


# Scale


@pytest.mark.slow
def test_the_size_of_people_is_judged_at_the_runs_frame_rate(sample_dir: Path, tmp_path: Path, monkeypatch, capsys):
    """A run with --rate in place of --downsample has the same table, as its clips are the same."""
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(scale, "ROOT", tmp_path)
    flags = "-cs 16 -dep 1 -f 5 -b 16 -num_proposals 1 -sampling_timesteps 1 --nolog -sun S5,S6 -a Walking".split()
    flags += "--source-epochs 1 -e 1 --teacher-start 0".split()
    for name, rate in (("by step", ("--downsample", 2)), ("by rate", ("--rate", 25))):
        run_here(h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path / name, *flags, *rate)
    capsys.readouterr()
    with torch.no_grad():
        run_here(scale, tmp_path / "by step", tmp_path / "by rate")
    head, *rows, mean = capsys.readouterr().out.splitlines()
    assert head.split()[-6:] == ["unanchored", "legs", "stature", "camera", "height", "gravity"]
    assert [row.split(",")[0] for row in rows] == ["by step"] * 2 + ["by rate"] * 2
    assert rows[0].split()[2:] == rows[2].split()[2:] and rows[1].split()[2:] == rows[3].split()[2:]
    assert all(len(row.split()) == 3 + len(scale.METHODS) for row in [*rows]) and mean.startswith("mean absolute")
    assert (tmp_path / "benchmarks" / "results" / "scale.txt").read_text().splitlines()[0] == head


# Epochs, hypotheses and uncertainty


@pytest.mark.parametrize("script", [epochs, hypotheses, uncertainty], ids=["epochs", "hypotheses", "uncertainty"])
def test_a_folder_that_is_no_run(script, tmp_path: Path):
    expected = "holds no metrics.json; expected the output folder of h36m_transfer.py"
    for folder in (tmp_path, tmp_path / "none"):
        assert refused(script, folder).startswith(f"{folder}: {expected}")


def test_epochs_of_runs_that_cannot_be_judged(tmp_path: Path):
    metrics = tmp_path / "metrics.json"
    arguments = {"subjects_unlabeled": ["S5"]}
    metrics.write_text(json.dumps({"arguments": arguments, "history": {"source_only": [{"epoch": 1}]}}))
    assert refused(epochs, tmp_path) == f"{tmp_path}: is no adaptation by h36m_transfer.py"
    history = {"adapted": [{"epoch": 1}, {"epoch": 2}]}
    metrics.write_text(json.dumps({"arguments": {"target_split": "train"}, "history": history}))
    assert refused(epochs, tmp_path) == f"{tmp_path}: is no adaptation by h36m_transfer.py"
    metrics.write_text(json.dumps({"arguments": arguments, "history": history}))
    (tmp_path / "epoch_1.bin").touch()
    expected = "expected at least 10 epochs' checkpoints, found 1 of 2; run the adaptation with -cf 1"
    assert refused(epochs, tmp_path) == f"{tmp_path}: {expected}"


def test_uncertainty_of_runs_that_cannot_be_judged(tmp_path: Path):
    (tmp_path / "metrics.json").write_text(json.dumps({"arguments": {"target_split": "train"}}))
    assert refused(uncertainty, tmp_path).startswith(f"{tmp_path}: holds no {BEST_FILE}; ")  # source model only
    (tmp_path / BEST_FILE).touch()
    assert refused(uncertainty, tmp_path) == f"{tmp_path}: is no run of h36m_transfer.py"


@torch.no_grad()
def test_what_a_network_makes_of_noised_poses():
    """A lifter that guesses zero around the noisy pose errs by what that leaves; one that ignores it is not moved."""
    pose = 0.2 * torch.randn(90, 17, 3, generator=torch.Generator().manual_seed(7))
    video = LabelledVideo(
        subject="S1", action="A", camera="", keypoints=pose[..., :2], intrinsics=torch.ones(9), width=1000, height=1000,
        fps=5.0, pose=pose, trajectory=torch.zeros(90, 3),
    )  # fmt: skip
    weighing, ignoring = (Lifter(MixSTE(9, 17, 16, 1), scale=10, prior_error=e).eval() for e in (0.08, 0.0))
    for lifter in (weighing, ignoring):
        lifter.denoiser.head[1].weight.zero_()
        lifter.denoiser.head[1].bias.zero_()
    length = 1000 * pose.norm(dim=-1).mean().item()
    for noise in (0.01, 0.08, 5.0):
        keep = 0.08**2 / (0.08**2 + noise**2)
        error, moved = hypotheses.noised(weighing, [video], noise)
        assert moved == pytest.approx(1000 * keep * noise * hypotheses.LENGTH * 2**0.5, rel=0.05)
        left = math.hypot((1 - keep) * length, keep * noise * 1000 * hypotheses.LENGTH)
        assert error == pytest.approx(left, rel=0.05)
        assert hypotheses.noised(ignoring, [video], noise) == (pytest.approx(length, rel=1e-4), 0)


@pytest.mark.slow
def test_hypotheses_and_uncertainty_of_a_run(sample_dir: Path, tmp_path: Path, monkeypatch, capsys):
    flags = "-cs 16 -dep 1 -f 5 -num_proposals 2 -sampling_timesteps 2 --nolog -sun S5 -a Walking --rate 5".split()
    flags += "--source-epochs 1 -e 1 --no-teacher -scale 10 --prior-error 0.08".split()
    run_here(h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path / "run", *flags)
    for script in (hypotheses, uncertainty):
        monkeypatch.setattr(script, "RESULTS", tmp_path)
    monkeypatch.setattr(uncertainty, "FIGURE", tmp_path / "uncertainty.png")
    capsys.readouterr()
    with torch.no_grad():
        run_here(hypotheses, tmp_path / "run", "--name", "tiny")
        lines = capsys.readouterr().out.splitlines()
        run_here(uncertainty, tmp_path / "run")
    assert (tmp_path / "hypotheses_tiny.txt").read_text().splitlines() == lines
    assert lines[1].startswith("SYNTHETIC DATA") and lines[2] == "scale 10, prior error 0.08 m"
    rows = [line.split() for line in lines[-len(hypotheses.STEPS) * len(hypotheses.COUNTS) :]]
    assert [(int(row[0]), int(row[1])) for row in rows] == [(k, h) for k in (1, 5, 10) for h in (1, 5, 20)]
    assert all(float(row[5]) <= float(row[2]) + 0.1 for row in rows)  # J-Best, P-Agg
    assert (tmp_path / "uncertainty.png").read_bytes().startswith(PNG)
    assert len((tmp_path / "uncertainty.txt").read_text().splitlines()) == 4 + len(uncertainty.COUNTS)
