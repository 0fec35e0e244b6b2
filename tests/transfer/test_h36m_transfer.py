"""h36m_transfer.py end to end, at a tiny size, as a user runs it."""

import itertools
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import assert_same_weights, metrics, mpjpe, run_here, run_script, stopped_in, weights

import h36m_transfer
from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import H36MFiles, load_h36m
from common.datasets.video import Dataset
from common.errors import InputError
from common.model.checkpoint import load_lifter
from common.model.mixste import MixSTE
from common.model.tcn import TCN

pytestmark = pytest.mark.slow
TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -b 16 -num_proposals 2 -sampling_timesteps 2".split()
TINY += "-lr 1e-3 --source-lr 1e-3 --teacher-start 0.4".split()  # after one of three epochs
SPLIT = "-sun S5,S6 -a Walking,Sitting".split()
EVERYTHING = "--teacher-start 0 --refine map --yaw 180 --select reprojection --own-motion 0.5".split()


def run(*flags: object, **options: object) -> subprocess.CompletedProcess[str]:
    return run_script("h36m_transfer.py", *flags, **options)


@pytest.fixture(scope="module")
def straight(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that is never stopped, with all three rows; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("straight")
    flags = "--source-epochs 2 -e 3 -cf 1 --supervised-target --p2 --by-subject --save-predictions".split()
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
        "latest_epoch.bin", "epoch_1.bin", "epoch_2.bin", "epoch_3.bin", "best_epoch.bin",
        "oracle_latest_epoch.bin", "oracle_epoch_1.bin", "oracle_epoch_2.bin",
        "metrics.json", "table.txt", "curves.png", "predictions.npz",
    }  # fmt: skip
    assert list((folder / "log").glob("events.out.tfevents.*"))
    assert "SYNTHETIC" in printed
    assert (folder / "checkpoint" / "table.txt").read_text().strip() in printed


def test_metrics_json(straight):
    folder, _ = straight
    record = metrics(folder / "checkpoint")
    assert record["synthetic"] is True
    assert record["root"] == "estimated" and record["selection"] == "last"
    assert (record["num_proposals"], record["sampling_timesteps"], record["clip_frames"]) == (2, 2, 5)
    assert list(record["rows"]) == ["source_only", "adapted", "oracle"]
    for row in record["rows"].values():
        assert row["frames"] > 0
        for aggregation in ("P_Agg", "J_Agg", "S_Agg", "Refined", "P_Best", "J_Best"):
            for metric in ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm"):
                found = row[aggregation][metric]
                assert found["by_action"].keys() == {"Walking", "Sitting"}
                assert found["by_subject"].keys() == {"S5", "S6"}
                assert found["overall"] == pytest.approx(np.mean(list(found["by_action"].values())))
        assert row["J_Best"]["mpjpe_mm"]["overall"] <= row["P_Best"]["mpjpe_mm"]["overall"]
    assert len(record["history"]["adapted"]) == 3


def test_saved_predictions_are_those_that_were_scored(straight, sample_dir):
    folder, _ = straight
    data = load_h36m(sample_dir, "cpn_ft_h36m_dbb", ["S5", "S6"], ["Walking", "Sitting"])
    errors = {}
    with np.load(folder / "checkpoint" / "predictions.npz") as stored:
        for v in (v.downsampled(10) for v in data.videos):
            name = f"{v.subject}/{v.action}/{v.camera}"
            pose, expected = (stored[f"{name}/{kind}"] for kind in ("pose", "expected_error"))
            assert float(stored[f"{name}/fps"]) == 5
            assert expected.shape == pose.shape[:2] == v.pose.shape[:2] and (expected >= 0).all()
            errors.setdefault(v.action.split()[0], []).append(np.linalg.norm(pose - v.pose.numpy(), axis=-1).mean(-1))
        assert len([name for name in stored.files if name.endswith("/pose")]) == len(data.videos)
    found = metrics(folder / "checkpoint")["rows"]["adapted"]["Refined"]["mpjpe_mm"]["by_action"]
    assert found == pytest.approx({name: 1000 * np.concatenate(e).mean() for name, e in errors.items()}, abs=1e-2)


def test_the_teacher_begins_when_asked(straight):
    first, *others = metrics(straight[0] / "checkpoint")["history"]["adapted"]
    assert "pseudo_label_mm" not in first and all(epoch["pseudo_label_mm"] > 0 for epoch in others)


def test_the_adapted_model_is_judged_refined(straight):
    rows = metrics(straight[0] / "checkpoint")["rows"]
    assert [row["headline"] for row in rows.values()] == ["J_Agg", "Refined", "J_Agg"]
    assert all("Refined" in row for row in rows.values())
    assert mpjpe(rows["adapted"], "Refined") < mpjpe(rows["adapted"], "P_Agg")


def test_resume_equals_never_stopped(straight, sample_dir, tmp_path):
    """Stopped between the stages, before the teacher began and after."""
    folder, _ = straight
    data = ["--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT]
    run_here(h36m_transfer, *data, "--source-epochs", 1, "--source-only")
    rest = [*data, "--resume", "--source-epochs", 2, "-e", 3]
    for epoch in (1, 2):
        with stopped_in(epoch):
            run_here(h36m_transfer, *rest)
    done = run(*rest)
    assert done.returncode == 0, done.stderr
    for name in ("source_latest_epoch.bin", "latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(folder / "checkpoint" / name, tmp_path / name)
    assert metrics(tmp_path)["rows"]["adapted"] == metrics(folder / "checkpoint")["rows"]["adapted"]


def test_resumed_with_the_targets_own_motion(straight, sample_dir, tmp_path):
    """What is labelled once in some epochs is labelled again, as it was, where a run goes on between them."""
    source = straight[0] / "checkpoint" / "source_latest_epoch.bin"
    flags = "--teacher-start 0 --own-motion 0.5 -sun S5 -a Walking -e 2".split()
    data = ["--data-dir", sample_dir, "--nolog", *TINY, *flags, "--source-checkpoint", source]
    run_here(h36m_transfer, *data, "-c", tmp_path / "straight")
    with stopped_in(2):
        run_here(h36m_transfer, *data, "-c", tmp_path / "stopped")
    run_here(h36m_transfer, *data, "-c", tmp_path / "stopped", "--resume")
    assert_same_weights(tmp_path / "straight" / "latest_epoch.bin", tmp_path / "stopped" / "latest_epoch.bin")


def test_an_epoch_stopped_while_it_is_kept_is_done_again(straight, sample_dir, tmp_path):
    folder, _ = straight
    source = folder / "checkpoint" / "source_latest_epoch.bin"
    data = ["--data-dir", sample_dir, "-c", tmp_path, "--nolog", *TINY, *SPLIT, "--source-checkpoint", source, "-e", 3]
    with stopped_in(2, kept=False):
        run_here(h36m_transfer, *data)
    assert_same_weights(folder / "checkpoint" / "epoch_2.bin", tmp_path / "best_epoch.bin")
    assert_same_weights(folder / "checkpoint" / "epoch_1.bin", tmp_path / "latest_epoch.bin")
    run_here(h36m_transfer, *data, "--resume")
    assert_same_weights(folder / "checkpoint" / "latest_epoch.bin", tmp_path / "latest_epoch.bin")


@pytest.mark.parametrize(
    ("name", "row", "flags"),
    [("best_epoch.bin", "adapted", ""), ("best_epoch.bin", "adapted", "--refine none"),
     ("source_latest_epoch.bin", "source_only", "")],
)  # fmt: skip
def test_evaluate_repeats_the_runs_numbers(straight, sample_dir, tmp_path, name, row, flags):
    """An adapted model brings what refines its poses; a source model has nothing of the kind."""
    folder, _ = straight
    given = folder / "checkpoint" / name
    run_here(
        h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path, *TINY, *SPLIT, "--evaluate", given, *flags.split()
    )
    evaluated, wanted = metrics(tmp_path)["rows"]["evaluated"], metrics(folder / "checkpoint")["rows"][row]
    refined = row == "adapted" and not flags
    assert ("Refined" in evaluated) is refined
    assert evaluated["headline"] == ("Refined" if refined else "J_Agg")
    for aggregation in ("P_Agg", "J_Agg", *(["Refined"] if refined else [])):
        assert mpjpe(evaluated, aggregation) == pytest.approx(mpjpe(wanted, aggregation), abs=1e-3)


def test_switches(straight, sample_dir, tmp_path):
    folder, _ = straight
    source = folder / "checkpoint" / "source_latest_epoch.bin"
    records = {"": metrics(folder / "checkpoint")}

    def one_epoch(name: str) -> dict[str, torch.Tensor]:
        out = tmp_path / name
        fixed = ["--data-dir", sample_dir, "-c", out, "--nolog", *TINY, *SPLIT, "--source-checkpoint", source, "-e", 1]
        run_here(h36m_transfer, *fixed, "--teacher-start", 0.9, *name.split())
        records[name] = metrics(out)
        return weights(out / "best_epoch.bin")

    def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
        return [name for name in one if not torch.equal(one[name], other[name])]

    plain, start = weights(folder / "checkpoint" / "epoch_1.bin"), weights(source)
    assert any("mlp" in name for name in differ(plain, start))
    low_rank = differ(one_epoch("--lora"), start)
    assert low_rank and all("attn" in name for name in low_rank)

    # Without a teacher, and so in an epoch before it begins.
    assert not differ(one_epoch("--no-teacher --teacher-start 0"), plain)
    # How epochs are selected decides nothing where there is one.
    assert not differ(one_epoch("--select reprojection --root gt"), plain)
    record = records["--select reprojection --root gt"]
    assert (record["root"], record["selection"]) == ("gt", "reprojection")
    assert record["history"]["adapted"][0]["selection_score"] > 0
    for switch in ("--no-source-augmentation", "--no-bone-ratios", "--yaw 0"):
        assert differ(one_epoch(switch), plain)

    # With one, pseudo-labels are what --refine makes of them.
    taught = [one_epoch(f"--teacher-start 0 --refine {mode}") for mode in ("map", "snap", "none")]
    for one, other in itertools.combinations([plain, *taught], 2):
        assert differ(one, other)
    rows = records["--teacher-start 0 --refine none"]["rows"]
    assert not any("Refined" in row for row in rows.values()) and rows["adapted"]["headline"] == "J_Agg"
    assert records["--teacher-start 0 --refine snap"]["rows"]["adapted"]["headline"] == "Refined"


def test_a_regressor(sample_dir, tmp_path):
    """One hypothesis and one step, whatever was asked for, in its own run and wherever it is evaluated."""
    out = tmp_path / "run"
    flags = ["--data-dir", sample_dir, "--nolog", *TINY, *SPLIT]
    run_here(
        h36m_transfer, *flags, "-c", out, "--deterministic", "--source-epochs", 1, "-e", 1, "--teacher-start", 0
    )  # fmt: skip
    assert load_lifter(out / "best_epoch.bin").deterministic
    again = tmp_path / "again"
    run_here(h36m_transfer, *flags, "-c", again, "--evaluate", out / "best_epoch.bin", "--seed", 5)
    adapted, evaluated = metrics(out)["rows"]["adapted"], metrics(again)["rows"]["evaluated"]
    for folder, row in ((out, adapted), (again, evaluated)):
        assert (metrics(folder)["num_proposals"], metrics(folder)["sampling_timesteps"]) == (1, 1)
        assert row["P_Best"] == row["P_Agg"] == row["J_Best"]
    assert mpjpe(evaluated, "Refined") == pytest.approx(mpjpe(adapted, "Refined"), abs=1e-3)  # no seed matters


def test_a_second_network(sample_dir, tmp_path):
    """Trained, adapted, resumed and scored; asked for by the first run's flag, afterwards by the file."""
    flags = ["--data-dir", sample_dir, "--nolog", *TINY, *SPLIT, "--model", "tcn"]
    out, again = tmp_path / "out", tmp_path / "again"
    run_here(h36m_transfer, *flags, "-c", out, "--source-epochs", 2, "-e", 2, "--teacher-start", 0)
    lifter = load_lifter(out / "best_epoch.bin")
    assert type(lifter.denoiser) is TCN
    run_here(h36m_transfer, *flags, "-c", again, "--source-epochs", 2, "--source-only")
    with stopped_in(1):
        run_here(h36m_transfer, *flags, "-c", again, "--source-epochs", 2, "-e", 2, "--teacher-start", 0, "--resume")
    run_here(h36m_transfer, *flags, "-c", again, "--source-epochs", 2, "-e", 2, "--teacher-start", 0, "--resume")
    assert_same_weights(out / "best_epoch.bin", again / "best_epoch.bin")
    with pytest.raises(InputError, match="--lora: TCN"):
        source = out / "source_latest_epoch.bin"
        run_here(h36m_transfer, *flags[:-2], "-c", tmp_path / "lora", "--source-checkpoint", source, "--lora")
    run_here(h36m_transfer, *flags[:-2], "-c", again, "--evaluate", out / "best_epoch.bin")
    adapted, evaluated = metrics(out)["rows"]["adapted"], metrics(again)["rows"]["evaluated"]
    assert mpjpe(evaluated, "Refined") == pytest.approx(mpjpe(adapted, "Refined"), abs=1e-3)


def test_no_leak(sample_dir, tmp_path, monkeypatch):
    """Random numbers in place of all target 3D change no weight of the adapted model, every part switched on."""

    labelled = H36MFiles.labelled

    def with_ruined_labels(*args: object) -> Dataset:
        data = labelled(*args)
        generator = torch.Generator().manual_seed(5)

        def noise(like: torch.Tensor) -> torch.Tensor:
            return torch.randn(like.shape, generator=generator)

        data.videos = [
            replace(v, pose=noise(v.pose), trajectory=noise(v.trajectory), up=noise(v.up)) if v.subject != "S1" else v
            for v in data.videos
        ]
        return data

    flags = ["--data-dir", sample_dir, "--nolog", *TINY, *SPLIT, "-e", 2, *EVERYTHING]
    true, ruined = tmp_path / "true", tmp_path / "ruined"
    run_here(h36m_transfer, *flags, "-c", true, "--source-epochs", 1)
    monkeypatch.setattr(H36MFiles, "labelled", with_ruined_labels)
    source = true / "source_latest_epoch.bin"
    run_here(h36m_transfer, *flags, "-c", ruined, "--source-checkpoint", source)
    assert load_lifter(ruined / "best_epoch.bin").virtual_camera
    for name in ("latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(true / name, ruined / name)
    found = [metrics(folder)["rows"]["adapted"] for folder in (true, ruined)]
    assert mpjpe(found[1], "Refined") > 2 * mpjpe(found[0], "Refined")  # the labels were indeed ruined
    losses = [
        [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in metrics(folder)["history"]["adapted"]]
        for folder in (true, ruined)
    ]
    assert losses[0] == losses[1] and losses[0][0]["pseudo_label_mm"] > 0


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
    with pytest.raises(InputError, match="evil.bin.*mkdir"):
        run_here(
            h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, *SPLIT, "--evaluate", checkpoint
        )
    assert not marker.exists()


def test_render(straight, sample_dir, tmp_path):
    folder, _ = straight
    best = folder / "checkpoint" / "best_epoch.bin"
    run_here(
        h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path, *TINY, *SPLIT, "--evaluate", best, "--render",
        "--source-checkpoint", folder / "checkpoint" / "source_latest_epoch.bin",
        "--viz-subject", "S6", "--viz-action", "Walking", "--viz-camera", 2, "--viz-limit", 2,
    )  # fmt: skip
    assert (tmp_path / "render.gif").read_bytes()[:4] == b"GIF8"
    page = (tmp_path / "render.html").read_text()
    assert all(words in page for words in ('"source only, ', '"evaluated, ', '"truth"', "SYNTHETIC", "S6 Walking"))


def test_render_of_an_absent_video_stops_before_training(sample_dir, tmp_path):
    flags = ["--render", "--viz-subject", "S6", "--viz-action", "Flying"]
    with pytest.raises(InputError, match="S6 Flying camera 0.*S6 Walking"):
        run_here(h36m_transfer, "--data-dir", sample_dir, "-c", tmp_path / "out", *TINY, *SPLIT, *flags)
    assert not (tmp_path / "out").exists()


def test_the_adapted_model_loads_alone(straight):
    folder, _ = straight
    lifter = load_lifter(folder / "checkpoint" / "best_epoch.bin")
    keypoints, intrinsics = torch.rand(1, 5, 17, 2), h36m_cameras("S1")[0].normalised_intrinsics().float()[None]
    poses = lifter.sample(keypoints, num_proposals=2, sampling_timesteps=1, intrinsics=intrinsics)
    assert poses.shape == (1, 1, 2, 5, 17, 3) and poses.isfinite().all()


def test_speed_flags_reach_the_network(straight, sample_dir, tmp_path, monkeypatch):
    folder, _ = straight
    flags = ["--data-dir", sample_dir, "--nolog", *TINY, *SPLIT, "-e", 1, "--teacher-start", 0, "--lora"]
    flags += ["--source-checkpoint", folder / "checkpoint" / "source_latest_epoch.bin"]
    run_here(h36m_transfer, *flags, "-c", tmp_path / "plain")
    run_here(h36m_transfer, *flags, "-c", tmp_path / "recomputed", "--gradient-checkpointing")
    run_here(h36m_transfer, *flags, "-c", tmp_path / "half", "--amp", "bf16")
    assert_same_weights(tmp_path / "plain" / "best_epoch.bin", tmp_path / "recomputed" / "best_epoch.bin")
    plain, half = (metrics(tmp_path / name)["rows"]["adapted"] for name in ("plain", "half"))
    assert mpjpe(half, "Refined") != mpjpe(plain, "Refined")
    assert mpjpe(half, "Refined") == pytest.approx(mpjpe(plain, "Refined"), rel=0.02)
    compiled = []
    monkeypatch.setattr(MixSTE, "compile_blocks", lambda estimator: compiled.append(estimator))
    run_here(h36m_transfer, *flags, "-c", tmp_path / "compiled", "--compile")
    assert len(compiled) == 4  # the source model, the student, the teacher and the result
