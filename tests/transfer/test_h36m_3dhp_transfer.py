"""h36m_3dhp_transfer.py end to end, at a tiny size, as a user runs it."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat
from scripts import assert_same_weights, metrics, mpjpe, predictions_mm, run_here, run_script, stopped_in

import h36m_3dhp_transfer
from common.datasets.mpi_3dhp import load_3dhp_test, load_3dhp_train
from common.datasets.video import Dataset
from common.errors import InputError
from common.evaluation.scores_3dhp import official_pose, score_3dhp
from common.model.checkpoint import load_lifter, read_checkpoint
from common.model.tcn import TCN

pytestmark = pytest.mark.slow
TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -b 16 -num_proposals 2 -sampling_timesteps 2 --nolog".split()
TINY += "-lr 1e-3 --source-lr 1e-3 -str S1 -a Walking,Sitting --teacher-start 0.4".split()  # after one of three epochs
EVERYTHING = "--teacher-start 0 --refine map --yaw 180 --select reprojection --own-motion 0.5".split()
SEQUENCES = [f"TS{i}" for i in range(1, 7)]


def run(*flags: object) -> subprocess.CompletedProcess[str]:
    return run_script("h36m_3dhp_transfer.py", *flags)


@pytest.fixture(scope="module")
def straight(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that is never stopped; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("straight_3dhp")
    done = run("--data-dir", sample_dir, "-c", folder, *TINY, "--source-epochs", 2, "-e", 3, "--supervised-target")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_leaves_what_the_readme_says(straight):
    folder, printed = straight
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "source_latest_epoch.bin", "latest_epoch.bin", "best_epoch.bin", "oracle_latest_epoch.bin",
        "metrics.json", "table.txt", "curves.png", "inference_data.mat", "test_annotations.mat",
        "expected_error.mat",
        *(f"inference_data_{name}.mat" for name in ("P_Agg", "J_Agg", "S_Agg", "P_Best", "J_Best", "Refined")),
    }  # fmt: skip
    assert "SYNTHETIC" in printed and "note: training cameras as stored in data_train_3dhp_ori.npz" in printed
    assert (folder / "inference_data.mat").read_bytes() == (folder / "inference_data_Refined.mat").read_bytes()
    assert "adapted, refined, official scores" in printed and "source only, J-Agg" in printed


def test_predictions_and_scores_agree(straight, sample_dir):
    """The file, scored by itself, gives the numbers of metrics.json; every frame of every sequence is in it."""
    folder, _ = straight
    test = load_3dhp_test(sample_dir).videos
    predictions = predictions_mm(folder / "inference_data.mat")
    errors = {}
    expected = loadmat(folder / "expected_error.mat")
    for video in test:
        name = video.subject
        assert predictions[name].shape == (len(video), 2, 17, 3)
        assert np.isfinite(predictions[name]).all()
        distances = np.linalg.norm(predictions[name][:, -1] - official_pose(video.pose), axis=-1)
        errors[name] = distances[video.valid.numpy()]
        assert expected[name].shape == (17, len(video))
        assert np.isfinite(expected[name]).all() and (expected[name] >= 0).all()
    activities = {video.subject: video.activity[video.valid].numpy() for video in test}
    found = score_3dhp(errors, activities)
    record = metrics(folder)
    assert [row["headline"] for row in record["rows"].values()] == ["J_Agg", "Refined", "J_Agg"]
    stored = record["rows"]["adapted"]["official_3dhp"]["Refined"]
    for average in ("mean_of_sequences", "all_frames"):
        for table, column in (("mpjpe", "Average"), ("pck", "Total"), ("auc", "Total")):
            assert stored[average][table][column] == pytest.approx(found[average][table][column], abs=1e-4)
    ours = record["rows"]["adapted"]["Refined"]["mpjpe_mm"]
    assert ours["overall"] == pytest.approx(found["mean_of_sequences"]["mpjpe"]["Average"], abs=1e-2)
    assert list(ours["by_subject"]) == SEQUENCES
    assert record["rows"].keys() == {"source_only", "adapted", "oracle"}


def test_resume_equals_never_stopped(straight, sample_dir, tmp_path):
    """Stopped between the stages, before the teacher began and after."""
    folder, _ = straight
    first, *others = metrics(folder)["history"]["adapted"]
    assert "pseudo_label_mm" not in first and all(epoch["pseudo_label_mm"] > 0 for epoch in others)
    data = ["--data-dir", sample_dir, "-c", tmp_path, *TINY]
    run_here(h36m_3dhp_transfer, *data, "--source-epochs", 1, "--source-only")
    rest = [*data, "--resume", "--source-epochs", 2, "-e", 3]
    for epoch in (1, 2):
        with stopped_in(epoch):
            run_here(h36m_3dhp_transfer, *rest)
    run_here(h36m_3dhp_transfer, *rest)
    for name in ("source_latest_epoch.bin", "latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(folder / name, tmp_path / name)


def test_a_source_model_in_the_folder_is_used_and_kept(straight, sample_dir, tmp_path):
    folder, _ = straight
    present = tmp_path / "h36m_best_epoch.bin"
    shutil.copyfile(folder / "source_latest_epoch.bin", present)
    for _ in range(2):
        run_here(h36m_3dhp_transfer, "--data-dir", sample_dir, "-c", tmp_path, *TINY, "-e", 3)
        assert_same_weights(folder / "latest_epoch.bin", tmp_path / "latest_epoch.bin")
        assert present.is_file() and not (tmp_path / "source_latest_epoch.bin").exists()


@pytest.mark.parametrize(
    ("name", "row", "flags", "headline"),
    [("best_epoch.bin", "adapted", "", "Refined"), ("best_epoch.bin", "adapted", "--refine none", "J_Agg"),
     ("source_latest_epoch.bin", "source_only", "", "J_Agg")],
)  # fmt: skip
def test_evaluate_repeats_the_runs_numbers(straight, sample_dir, tmp_path, name, row, flags, headline):
    """An adapted model brings what refines its poses; a source model has nothing of the kind."""
    folder, _ = straight
    given = ["--evaluate", folder / name, *flags.split()]
    run_here(h36m_3dhp_transfer, "--data-dir", sample_dir, "-c", tmp_path, *TINY, *given)
    evaluated, wanted = metrics(tmp_path)["rows"]["evaluated"], metrics(folder)["rows"][row]
    assert evaluated["headline"] == headline
    assert ("Refined" in evaluated) is (headline == "Refined")
    for aggregation in ("P_Agg", headline):
        assert mpjpe(evaluated, aggregation) == pytest.approx(mpjpe(wanted, aggregation), abs=1e-3)
    result = tmp_path / f"inference_data_{headline}.mat"
    assert (tmp_path / "inference_data.mat").read_bytes() == result.read_bytes()


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_leak(sample_dir, tmp_path, monkeypatch, split):
    """Random numbers in place of all of 3DHP's 3D change no weight of the adapted model, in both target splits and with
    every part switched on."""
    generator = torch.Generator().manual_seed(5)

    def ruin(data: Dataset) -> Dataset:
        videos = []
        for video in data.videos:
            pose, trajectory = (torch.randn(x.shape, generator=generator) for x in (video.pose, video.trajectory))
            up = torch.randn(3, generator=generator)
            videos.append(replace(video, pose=pose, trajectory=trajectory, up=up))
        return replace(data, videos=videos)

    def ruined_train(*args: object) -> Dataset:
        return ruin(load_3dhp_train(*args))

    def ruined_test(*args: object) -> Dataset:
        return ruin(load_3dhp_test(*args))

    flags = ["--data-dir", sample_dir, *TINY, "-e", 1, "--target-split", split, *EVERYTHING]
    true, ruined = tmp_path / "true", tmp_path / "ruined"
    run_here(h36m_3dhp_transfer, *flags, "-c", true, "--source-epochs", 1)
    monkeypatch.setattr(h36m_3dhp_transfer, "load_3dhp_train", ruined_train)
    monkeypatch.setattr(h36m_3dhp_transfer, "load_3dhp_test", ruined_test)
    source = true / "source_latest_epoch.bin"
    run_here(h36m_3dhp_transfer, *flags, "-c", ruined, "--source-checkpoint", source)
    assert load_lifter(ruined / "best_epoch.bin").virtual_camera
    for name in ("latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(true / name, ruined / name)
    found = [metrics(folder)["rows"]["adapted"] for folder in (true, ruined)]
    assert mpjpe(found[1], "Refined") > 2 * mpjpe(found[0], "Refined")  # the labels were indeed ruined
    (true_epoch,), (ruined_epoch,) = (metrics(folder)["history"]["adapted"] for folder in (true, ruined))
    assert true_epoch["pseudo_label_mm"] == ruined_epoch["pseudo_label_mm"] > 0
    assert true_epoch["selection_score"] == ruined_epoch["selection_score"]


def test_a_second_network(sample_dir, tmp_path):
    flags = ["--data-dir", sample_dir, "-c", tmp_path, *TINY, "--model", "tcn"]
    run_here(h36m_3dhp_transfer, *flags, "--source-epochs", 1, "-e", 1, "--teacher-start", 0)
    assert type(load_lifter(tmp_path / "best_epoch.bin").denoiser) is TCN


def test_a_foreign_checkpoint_must_say_its_joint_order(straight, sample_dir, tmp_path):
    folder, _ = straight
    content = read_checkpoint(folder / "source_latest_epoch.bin")
    kept = {name: content[name] for name in ("epoch", "lr", "optimizer", "model_pos", "config")}  # not who made it
    torch.save(kept, tmp_path / "released.bin")
    flags = ["--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, "--evaluate", tmp_path / "released.bin"]
    with pytest.raises(InputError, match="released.bin.*--checkpoint-joint-order"):
        run_here(h36m_3dhp_transfer, *flags)
    assert not (tmp_path / "out").exists()
    scores = {}
    for order in ("h36m", "3dhp"):
        run_here(h36m_3dhp_transfer, *flags, "--checkpoint-joint-order", order)
        scores[order] = mpjpe(metrics(tmp_path / "out")["rows"]["evaluated"], "J_Agg")
    source = mpjpe(metrics(folder)["rows"]["source_only"], "J_Agg")
    assert scores["h36m"] == pytest.approx(source, abs=1e-2)
    assert abs(scores["3dhp"] - source) > 0.1


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
