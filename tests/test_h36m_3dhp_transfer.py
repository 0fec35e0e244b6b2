"""h36m_3dhp_transfer.py end to end, at a tiny size, as a user runs it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import assert_same_weights, run_script

import h36m_3dhp_transfer
from common.checkpoint import read_checkpoint
from common.inference_mat import read_inference
from common.mpi_3dhp import MPI3DHP, MPI3DHPTest, load_3dhp_test, load_3dhp_train
from common.scores_3dhp import official_pose, score_3dhp

TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -b 16 -num_proposals 2 -sampling_timesteps 2 --nolog".split()
TINY += "-lr 1e-3 --source-lr 1e-3 -str S1 -a Walking,Sitting".split()
SEQUENCES = [f"TS{i}" for i in range(1, 7)]


def run(*flags: object) -> subprocess.CompletedProcess[str]:
    return run_script("h36m_3dhp_transfer.py", *flags)


@pytest.fixture(scope="module")
def straight(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that is never stopped; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("straight_3dhp")
    done = run("--data-dir", sample_dir, "-c", folder, *TINY, "--source-epochs", 2, "-e", 2, "--supervised-target")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_leaves_what_the_readme_says(straight):
    folder, printed = straight
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "source_latest_epoch.bin", "latest_epoch.bin", "best_epoch.bin", "adapter.bin", "oracle_latest_epoch.bin",
        "metrics.json", "table.txt", "curves.png", "inference_data.mat", "test_annotations.mat",
        *(f"inference_data_{name}.mat" for name in ("P_Agg", "J_Agg", "P_Best", "J_Best")),
    }  # fmt: skip
    assert "SYNTHETIC" in printed and "target intrinsics" in printed
    assert (folder / "inference_data.mat").read_bytes() == (folder / "inference_data_J_Agg.mat").read_bytes()


def test_predictions_and_scores_agree(straight, sample_dir):
    """The file, scored by itself, gives the numbers of metrics.json; every frame of every sequence is in it."""
    folder, _ = straight
    test = load_3dhp_test(sample_dir).test
    predictions = read_inference(folder / "inference_data.mat")
    errors = {}
    for name, entry in test.items():
        assert predictions[name].shape == (len(entry.sequence), 2, 17, 3)
        assert np.isfinite(predictions[name]).all()
        label = official_pose(entry.sequence.pose)
        errors[name] = np.linalg.norm(predictions[name][:, -1] - label, axis=-1)[entry.valid.numpy()]
    activities = {name: entry.activity[entry.valid].numpy() for name, entry in test.items()}
    found = score_3dhp(errors, activities)
    record = json.loads((folder / "metrics.json").read_text())
    stored = record["rows"]["adapted"]["official_3dhp"]["J_Agg"]
    for average in ("mean_of_sequences", "all_frames"):
        for table, column in (("mpjpe", "Average"), ("pck", "Total"), ("auc", "Total")):
            assert stored[average][table][column] == pytest.approx(found[average][table][column], abs=1e-4)
    ours = record["rows"]["adapted"]["J_Agg"]["mpjpe_mm"]
    assert ours["overall"] == pytest.approx(found["mean_of_sequences"]["mpjpe"]["Average"], abs=1e-2)
    assert list(ours["by_subject"]) == SEQUENCES
    assert record["rows"].keys() == {"source_only", "adapted", "oracle"}


def test_resume_equals_never_stopped(straight, sample_dir, tmp_path):
    folder, _ = straight
    stops = ["--source-epochs 1 --source-only", "--resume --source-epochs 2 -e 1", "--resume --source-epochs 2 -e 2"]
    for flags in stops:
        done = run("--data-dir", sample_dir, "-c", tmp_path, *TINY, *flags.split())
        assert done.returncode == 0, done.stderr
    for name in ("source_latest_epoch.bin", "latest_epoch.bin"):
        assert_same_weights(folder / name, tmp_path / name)


def test_a_source_model_in_the_folder_is_used_and_kept(straight, sample_dir, tmp_path):
    folder, _ = straight
    present = tmp_path / "h36m_best_epoch.bin"
    shutil.copyfile(folder / "source_latest_epoch.bin", present)
    for _ in range(2):
        done = run("--data-dir", sample_dir, "-c", tmp_path, *TINY, "-e", 2)
        assert done.returncode == 0, done.stderr
        assert_same_weights(folder / "latest_epoch.bin", tmp_path / "latest_epoch.bin")
        assert present.is_file() and not (tmp_path / "source_latest_epoch.bin").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_leak(straight, sample_dir, tmp_path, monkeypatch, split):
    """Random numbers in place of all of 3DHP's 3D change no weight of the adapted model, in both target splits."""
    folder, _ = straight
    generator = torch.Generator().manual_seed(5)

    def ruin(sequence):
        pose, trajectory = (torch.randn(x.shape, generator=generator) for x in (sequence.pose, sequence.trajectory))
        return replace(sequence, pose=pose, trajectory=trajectory)

    def ruined_train(*args: object) -> MPI3DHP:
        data = load_3dhp_train(*args)
        return replace(data, train=[ruin(s) for s in data.train])

    def ruined_test(*args: object) -> MPI3DHPTest:
        data = load_3dhp_test(*args)
        return replace(data, test={n: replace(e, sequence=ruin(e.sequence)) for n, e in data.test.items()})

    source = folder / "source_latest_epoch.bin"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    errors = {}
    for kind in ("true", "ruined"):
        if kind == "ruined":
            monkeypatch.setattr(h36m_3dhp_transfer, "load_3dhp_train", ruined_train)
            monkeypatch.setattr(h36m_3dhp_transfer, "load_3dhp_test", ruined_test)
        flags = [*TINY, "--source-checkpoint", source, "-e", 1, "--target-split", split, "--select", "reprojection"]
        words = ["h36m_3dhp_transfer.py", "--data-dir", sample_dir, "-c", tmp_path / kind, *flags]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        h36m_3dhp_transfer.main()
        record = json.loads((tmp_path / kind / "metrics.json").read_text())
        errors[kind] = record["rows"]["adapted"]["J_Agg"]["mpjpe_mm"]["overall"]
    torch.set_num_threads(threads)
    for name in ("latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(tmp_path / "true" / name, tmp_path / "ruined" / name)
    assert errors["ruined"] > 2 * errors["true"]  # the labels were indeed ruined


def test_a_foreign_checkpoint_must_say_its_joint_order(straight, sample_dir, tmp_path):
    folder, _ = straight
    weights = read_checkpoint(folder / "source_latest_epoch.bin")["model_pos"]
    torch.save({"epoch": 1, "lr": 0.1, "optimizer": None, "model_pos": weights}, tmp_path / "released.bin")
    flags = ["--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, "--evaluate", tmp_path / "released.bin"]
    done = run(*flags)
    assert done.returncode == 2
    assert "released.bin" in done.stderr and "--checkpoint-joint-order" in done.stderr
    assert not (tmp_path / "out").exists()
    scores = {}
    for order in ("h36m", "3dhp"):
        done = run(*flags, "--checkpoint-joint-order", order)
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "out" / "metrics.json").read_text())
        scores[order] = record["rows"]["evaluated"]["J_Agg"]["mpjpe_mm"]["overall"]
    source = json.loads((folder / "metrics.json").read_text())["rows"]["source_only"]["J_Agg"]["mpjpe_mm"]["overall"]
    assert scores["h36m"] == pytest.approx(source, abs=1e-2)
    assert abs(scores["3dhp"] - source) > 1


def test_no_data(sample_dir, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for path in sample_dir.glob("data_*_h36m*.npz"):
        shutil.copyfile(path, data / path.name)
    done = run("--data-dir", data, "-c", tmp_path / "out", *TINY)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "data_test_3dhp_ori.npz" in line and "vcai.mpi-inf.mpg.de" in line and "--sample" in line
    assert not (tmp_path / "out").exists()
