"""h36m_transfer.py end to end, at a tiny size, as a user runs it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import assert_same_weights, run_script, weights

import h36m_transfer
from common.checkpoint import load_lifter
from common.h36m import H36M, load_h36m

TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -b 16 -num_proposals 2 -sampling_timesteps 2".split()
TINY += "-lr 1e-3 --source-lr 1e-3".split()
SPLIT = "-sun S5,S6 -a Walking,Sitting".split()


def run(*flags: object, **options: object) -> subprocess.CompletedProcess[str]:
    return run_script("h36m_transfer.py", *flags, **options)


@pytest.fixture(scope="module")
def straight(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that is never stopped, with all three rows; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("straight")
    flags = "--source-epochs 2 -e 2 -cf 1 --supervised-target --p2 --by-subject".split()
    done = run(
        "--data-dir", sample_dir, "-c", folder / "checkpoint", "-l", folder / "log", *TINY, *SPLIT, *flags
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_leaves_what_the_readme_says(straight):
    folder, printed = straight
    files = {path.name for path in (folder / "checkpoint").iterdir()}
    assert files == {
        "source_latest_epoch.bin", "source_epoch_1.bin", "source_epoch_2.bin",
        "latest_epoch.bin", "epoch_1.bin", "epoch_2.bin", "best_epoch.bin", "adapter.bin",
        "oracle_latest_epoch.bin", "oracle_epoch_1.bin", "oracle_epoch_2.bin",
        "metrics.json", "table.txt", "curves.png",
    }  # fmt: skip
    assert list((folder / "log").glob("events.out.tfevents.*"))
    assert "SYNTHETIC" in printed
    assert (folder / "checkpoint" / "table.txt").read_text().strip() in printed


def test_metrics_json(straight):
    folder, _ = straight
    metrics = json.loads((folder / "checkpoint" / "metrics.json").read_text())
    assert metrics["synthetic"] is True
    assert metrics["root"] == "estimated" and metrics["selection"] == "last"
    assert (metrics["num_proposals"], metrics["sampling_timesteps"], metrics["clip_frames"]) == (2, 2, 5)
    assert metrics["rows"].keys() == {"source_only", "adapted", "oracle"}
    for row in metrics["rows"].values():
        assert row["frames"] > 0
        for aggregation in ("P_Agg", "J_Agg", "P_Best", "J_Best"):
            for metric in ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm"):
                found = row[aggregation][metric]
                assert found["by_action"].keys() == {"Walking", "Sitting"}
                assert found["by_subject"].keys() == {"S5", "S6"}
                assert found["overall"] == pytest.approx(np.mean(list(found["by_action"].values())))
        assert row["J_Best"]["mpjpe_mm"]["overall"] <= row["P_Best"]["mpjpe_mm"]["overall"]
    assert len(metrics["history"]["adapted"]) == 2


def test_resume_equals_never_stopped(straight, sample_dir, tmp_path):
    folder, _ = straight
    data = ["--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT]
    stops = ["--source-epochs 1 --source-only", "--resume --source-epochs 2 -e 1", "--resume --source-epochs 2 -e 2"]
    for flags in stops:
        done = run(*data, *flags.split())
        assert done.returncode == 0, done.stderr
    assert_same_weights(folder / "checkpoint" / "source_latest_epoch.bin", tmp_path / "source_latest_epoch.bin")
    assert_same_weights(folder / "checkpoint" / "latest_epoch.bin", tmp_path / "latest_epoch.bin")
    assert_same_weights(folder / "checkpoint" / "best_epoch.bin", tmp_path / "best_epoch.bin")


def test_evaluate_repeats_the_runs_numbers(straight, sample_dir, tmp_path):
    folder, _ = straight
    best = folder / "checkpoint" / "best_epoch.bin"
    done = run("--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT, "--evaluate", best)
    assert done.returncode == 0, done.stderr
    evaluated = json.loads((tmp_path / "metrics.json").read_text())["rows"]["evaluated"]
    adapted = json.loads((folder / "checkpoint" / "metrics.json").read_text())["rows"]["adapted"]
    for aggregation in ("P_Agg", "J_Agg"):
        assert evaluated[aggregation]["mpjpe_mm"]["overall"] == pytest.approx(
            adapted[aggregation]["mpjpe_mm"]["overall"], abs=1e-3
        )


def test_source_checkpoint_skips_source_training(straight, sample_dir, tmp_path):
    folder, _ = straight
    source = folder / "checkpoint" / "source_latest_epoch.bin"
    done = run(
        "--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT, "--source-checkpoint", source, "-e", 2
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_same_weights(folder / "checkpoint" / "latest_epoch.bin", tmp_path / "latest_epoch.bin")


@pytest.mark.parametrize(
    "switches", ["--no-lora", "--no-teacher", "--no-source-augmentation", "--select reprojection --root gt"]
)
def test_switches(straight, sample_dir, tmp_path, switches):
    folder, _ = straight
    source = folder / "checkpoint" / "source_latest_epoch.bin"
    done = run(
        "--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT, "--source-checkpoint", source, "-e", 1,
        *switches.split(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain, switched = weights(folder / "checkpoint" / "epoch_1.bin"), weights(tmp_path / "best_epoch.bin")
    differ = [name for name in plain if not torch.equal(plain[name], switched[name])]
    if "--select" in switches:  # decides nothing where there is one epoch
        assert not differ
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        assert (metrics["root"], metrics["selection"]) == ("gt", "reprojection")
        assert metrics["history"]["adapted"][0]["selection_score"] > 0
    elif "--no-lora" in switches:
        assert any("mlp" in name for name in differ)
    else:
        assert differ and all("attn" in name for name in differ)


def test_no_leak(straight, sample_dir, tmp_path, monkeypatch):
    """Random numbers in place of all target 3D change no weight of the adapted model."""
    folder, _ = straight

    def load_with_ruined_labels(*args: object) -> H36M:
        data = load_h36m(*args)
        generator = torch.Generator().manual_seed(5)
        for name in ("S5", "S6"):
            data.sequences[name] = [
                replace(
                    s,
                    pose=torch.randn(s.pose.shape, generator=generator),
                    trajectory=torch.randn(s.trajectory.shape, generator=generator),
                )
                for s in data.sequences[name]
            ]
        return data

    monkeypatch.setattr(h36m_transfer, "load_h36m", load_with_ruined_labels)
    source = folder / "checkpoint" / "source_latest_epoch.bin"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the run compared with
    for select in ("last", "reprojection"):
        flags = [*TINY, *SPLIT, "--source-checkpoint", source, "-e", 2, "--select", select]
        words = ["h36m_transfer.py", "--data-dir", sample_dir, "-c", tmp_path / select, "--nolog", *flags]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        h36m_transfer.main()
        assert_same_weights(folder / "checkpoint" / "latest_epoch.bin", tmp_path / select / "latest_epoch.bin")
    torch.set_num_threads(threads)
    ruined = json.loads((tmp_path / "last" / "metrics.json").read_text())["rows"]["adapted"]
    assert ruined["J_Agg"]["mpjpe_mm"]["overall"] > 1000  # the labels were indeed ruined


def test_no_data(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    for word in ("data_3d_h36m.npz", "vision.imar.ro", "VideoPose3D", "prepare_mocap.py", "--sample"):
        assert word in line
    assert list(tmp_path.iterdir()) == []


class Payload:
    """A pickle that would make a file when loaded carelessly."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_malicious_data_is_refused(sample_dir, tmp_path):
    marker, data = tmp_path / "marker", tmp_path / "data"
    data.mkdir()
    for path in sample_dir.glob("data_2d_h36m_*.npz"):
        (data / path.name).write_bytes(path.read_bytes())
    np.savez(data / "data_3d_h36m.npz", positions_3d=np.array(Payload(marker), dtype=object))
    done = run("--data-dir", data, "-c", tmp_path / "out", "--nolog", *TINY, *SPLIT)
    assert done.returncode == 2
    assert "data_3d_h36m.npz" in done.stderr and "mkdir" in done.stderr
    assert not marker.exists() and not (tmp_path / "out").exists()


def test_malicious_checkpoint_is_refused(sample_dir, tmp_path):
    marker, checkpoint = tmp_path / "marker", tmp_path / "evil.bin"
    torch.save({"model_pos": Payload(marker)}, checkpoint)
    done = run("--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, *SPLIT, "--evaluate", checkpoint)
    assert done.returncode == 2
    assert "evil.bin" in done.stderr and "mkdir" in done.stderr
    assert not marker.exists()


def test_render(straight, sample_dir, tmp_path):
    folder, _ = straight
    best = folder / "checkpoint" / "best_epoch.bin"
    done = run(
        "--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT, "--evaluate", best, "--render",
        "--viz-subject", "S6", "--viz-action", "Walking", "--viz-camera", 2, "--viz-limit", 2, "--viz-output",
        tmp_path / "walk.gif",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "walk.gif").read_bytes()[:4] == b"GIF8"


def test_render_of_an_absent_video_stops_before_training(sample_dir, tmp_path):
    flags = ["--render", "--viz-subject", "S6", "--viz-action", "Flying"]
    done = run("--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, *SPLIT, *flags)
    assert done.returncode == 2
    assert "S6 Flying camera 0" in done.stderr and "S6 Walking" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_adapted_model_loads_alone(straight):
    folder, _ = straight
    lifter = load_lifter(folder / "checkpoint" / "best_epoch.bin")
    assert lifter.sample(torch.zeros(1, 5, 17, 2), num_proposals=2, sampling_timesteps=1).shape == (1, 1, 2, 5, 17, 3)
