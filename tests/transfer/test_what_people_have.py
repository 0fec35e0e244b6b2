"""h36m_transfer.py on data as people have it: joints missing, no labels, other people, cameras and frame rates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import assert_same_weights, metrics, mpjpe, run_here, run_script

import h36m_transfer
from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.npz import read_object, write_npz
from common.datasets.open_layout import cameras_entry
from common.errors import InputError

pytestmark = pytest.mark.slow
FILE_3D, FILE_2D = "data_3d_h36m.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"
TINY = "-cs 16 -dep 1 -f 5 --downsample 10 -b 16 -num_proposals 2 -sampling_timesteps 2 --nolog".split()
TINY += "-lr 1e-3 --source-lr 1e-3 --teacher-start 0 -a Walking,Sitting --source-epochs 1 -e 1".split()
SMALL = "-cs 32 -dep 1 -f 9 --downsample 2 -b 32 -num_proposals 2 -sampling_timesteps 1 --nolog -sun S5,S6".split()
SMALL += "-lr 1e-3 --source-lr 3e-3 --teacher-start 0 --source-epochs 30 -e 4".split()
UNSEEN = 0.05


class Files:
    """The sample's two files as trees that can be changed, to be written to a new folder."""

    def __init__(self, sample: Path, folder: Path):
        self.folder = folder
        self.points = read_object(sample / FILE_3D, "positions_3d")
        self.pixels = read_object(sample / FILE_2D, "positions_2d")
        self.extra: dict[str, Any] = {}

    def write(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        label = {"provenance": "the sample, changed by a test", "synthetic": True, **self.extra}
        write_npz(self.folder / FILE_3D, positions_3d=self.points, **label)
        write_npz(self.folder / FILE_2D, positions_2d=self.pixels, **label)
        return self.folder


@pytest.fixture
def files(sample_dir: Path, tmp_path: Path) -> Files:
    return Files(sample_dir, tmp_path / "data")


@pytest.fixture
def transfer(tmp_path: Path, capsys) -> Callable[..., str]:
    """Runs the script in a folder of `tmp_path`; returns what it printed."""

    def run(out: str, data: Path, *flags: object) -> str:
        capsys.readouterr()
        run_here(h36m_transfer, "--data-dir", data, "-c", tmp_path / out, *flags)
        return capsys.readouterr().out

    return run


def notes(printed: str) -> list[str]:
    return [line.removeprefix("note: ") for line in printed.splitlines() if line.startswith("note: ")]


# Missing joints.


@pytest.fixture(scope="module")
def clean(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every joint is seen."""
    folder = tmp_path_factory.mktemp("clean")
    run_here(h36m_transfer, "--data-dir", sample_dir, "-c", folder, *SMALL)
    return folder


def lose(views: list[np.ndarray], how: str, rng: np.random.Generator) -> int:
    """Marks a share of the joints as missing, in place, one by one or half a second of a joint at once; how many."""
    lost = 0
    for pixels in views:
        if how == "here and there":
            gone = rng.random(pixels.shape[:2]) < UNSEEN
        else:
            gone = np.zeros(pixels.shape[:2], dtype=bool)
            length = min(25, len(pixels) - 2)
            while gone.mean() < UNSEEN:
                start = rng.integers(1, len(pixels) - length)
                gone[start : start + length, rng.integers(17)] = True
        pixels[gone] = 0
        lost += gone.sum()
    return int(lost)


@pytest.mark.parametrize("how", ["here and there", "for half a second"])
def test_a_target_of_which_a_twentieth_is_missing(clean, files, transfer, tmp_path, how):
    rng = np.random.default_rng(0)
    for person in ("S5", "S6"):
        assert sum(lose(views, how, rng) for views in files.pixels[person].values()) > 0
    source = "--source-checkpoint", clean / "source_latest_epoch.bin"
    printed = transfer("out", files.write(), *SMALL, *source)
    (note,) = notes(printed)
    assert f"{FILE_2D}: joints missing in 120 videos; the most in S" in note  # 2 people, 15 takes, 4 cameras
    assert note in metrics(tmp_path / "out")["notes"]
    found, wanted = (mpjpe(metrics(folder)["rows"]["adapted"], "Refined") for folder in (tmp_path / "out", clean))
    start, best = (mpjpe(metrics(f)["rows"]["source_only"], "J_Agg") for f in (tmp_path / "out", clean))
    print(f"missing {how}: adapted, refined {found:.2f} mm, clean {wanted:.2f} mm; source {start:.2f}, {best:.2f} mm")
    assert found == pytest.approx(wanted, rel=0.1)
    assert wanted < 0.95 * best  # adaptation did something


def test_the_values_under_no_confidence_do_not_matter_to_a_run(files, transfer, tmp_path):
    """(0, 0), (-1, -1), not a number, and any place with confidence 0 are the same file."""
    rng = np.random.default_rng(1)
    gone = {
        (person, take, i): rng.random(pixels.shape[:2]) < UNSEEN
        for person in ("S5",) for take in ("Walking", "Walking 1", "Sitting")
        for i, pixels in enumerate(files.pixels[person][take])
    }  # fmt: skip
    whole = {key: files.pixels[key[0]][key[1]][key[2]].copy() for key in gone}
    for name, value in {"zeros": 0.0, "ones": -1.0, "nan": np.nan, "absurd": 1e9}.items():
        for (person, take, i), unseen in gone.items():
            pixels = whole[person, take, i].copy()
            pixels[unseen] = value
            if name == "absurd":
                pixels = np.concatenate([pixels, 1.0 - unseen[..., None]], -1)
            files.pixels[person][take][i] = pixels
        given = [] if name == "zeros" else ["--source-checkpoint", tmp_path / "zeros" / "source_latest_epoch.bin"]
        transfer(name, files.write(), *TINY, "-sun", "S5", "--select", "reprojection", *given)
        assert_same_weights(tmp_path / name / "best_epoch.bin", tmp_path / "zeros" / "best_epoch.bin")
        rows = metrics(tmp_path / name)["rows"]
        assert mpjpe(rows["adapted"], "Refined") == mpjpe(metrics(tmp_path / "zeros")["rows"]["adapted"], "Refined")


# Without labels.


def test_people_of_any_name_cameras_and_rate_without_3d(files, transfer, tmp_path):
    """One person, one camera, 25 frames a second; and Human3.6M's S1 with its four at 50 to learn from."""
    files.pixels = {
        "S1": files.pixels["S1"],
        "Anna Müller": {take: [views[1][::2]] for take, views in files.pixels["S5"].items()},
    }
    files.points = {"S1": files.points["S1"]}
    files.extra["cameras"] = cameras_entry({"S1": h36m_cameras("S1"), "Anna Müller": h36m_cameras("S5")[1:2]})
    files.extra["fps"] = {"S1": 50.0, "Anna Müller": 25}
    data = files.write()
    printed = transfer("out", data, *TINY, "-sun", "Anna Müller")
    assert "no 3D of Anna Müller: nothing to score" in printed and "MPJPE" not in printed and "evaluated" not in printed
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"predictions.npz", "best_epoch.bin", "latest_epoch.bin"} <= left and "metrics.json" not in left
    (camera,) = [camera["name"] for camera in files.extra["cameras"]["Anna Müller"]]
    with np.load(tmp_path / "out" / "predictions.npz") as stored:
        names = {name.rsplit("/", 1)[0] for name in stored.files if "/" in name}
        assert names == {f"Anna Müller/{take}/{camera}" for take in ("Walking", "Walking 1", "Sitting")}
        for name in names:
            assert stored[f"{name}/pose"].shape == (3, 17, 3) and np.isfinite(stored[f"{name}/pose"]).all()
            assert stored[f"{name}/expected_error"].shape == (3, 17) and float(stored[f"{name}/fps"]) == 5
    again = transfer("again", data, *TINY, "-sun", "Anna Müller", "--evaluate", tmp_path / "out" / "best_epoch.bin")
    assert "nothing to score" in again
    with np.load(tmp_path / "out" / "predictions.npz") as one, np.load(tmp_path / "again" / "predictions.npz") as other:
        assert one.files == other.files and len(one.files) > 10
        assert all(np.array_equal(one[name], other[name]) for name in one.files if name.endswith("/pose"))


def test_a_subject_without_public_labels_and_a_request_to_score_it(files, transfer, tmp_path):
    files.pixels["S2"] = files.pixels.pop("S5")
    files.points.pop("S5")
    data = files.write()
    printed = transfer("out", data, *TINY, "-sun", "S2")
    assert "no 3D of S2: nothing to score" in printed and (tmp_path / "out" / "predictions.npz").is_file()
    done = run_script("h36m_transfer.py", "--data-dir", data, "-c", tmp_path / "no", *TINY, "-sun", "S2", "-ste", "S2")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{FILE_3D}: subject S2 is missing, found S1, S6" in line
    assert not (tmp_path / "no").exists()
    printed = transfer("others", data, *TINY, "-sun", "S2", "-ste", "S6")
    assert set(metrics(tmp_path / "others")["rows"]["adapted"]["Refined"]["mpjpe_mm"]["by_subject"]) == {"S6"}
    assert_same_weights(tmp_path / "others" / "best_epoch.bin", tmp_path / "out" / "best_epoch.bin")
    with pytest.raises(InputError, match="subject S2 is missing"):
        transfer("no", data, *TINY, "-sun", "S2", "--supervised-target")


def test_3d_of_some_takes_and_2d_of_more(files, transfer, tmp_path):
    """Adaptation has all of the 2D, the report what has labels; takes of one action are one."""
    for tree in (files.points["S5"], files.pixels["S5"]):
        tree["Walking-1"] = tree.pop("Walking 1")
    files.points["S5"] = {take: files.points["S5"][take] for take in ("Walking", "Walking-1")}
    files.pixels["S1"]["_ALL 1"] = files.pixels["S1"]["Walking"]
    printed = transfer("out", files.write(), *TINY[:-6], *"--source-epochs 1 -e 1 -sun S5,S6".split())
    record = metrics(tmp_path / "out")
    assert record["notes"] == notes(printed)
    cut = "not both in 2D and 3D, left out where labels count"
    assert f"S1: _ALL 1 {cut}" in record["notes"]
    assert f"S5: Directions, Discussion, Eating and 10 more {cut}" in record["notes"]
    found = record["rows"]["adapted"]["Refined"]["mpjpe_mm"]
    assert "Walking" in found["by_action"] and len(found["by_action"]) == 14  # S6 has the others
    assert not any("-1" in action or " 1" in action for action in found["by_action"])


def test_a_label_that_is_not_there_cannot_leak(files, transfer, tmp_path):
    """A file without the target's 3D gives the same adapted model as one with it."""
    everything = [*TINY, "-sun", "S5,S6", "--refine", "map", "--yaw", 180, "--select", "reprojection"]
    transfer("with", files.write(), *everything)
    files.points = {"S1": files.points["S1"]}
    source = tmp_path / "with" / "source_latest_epoch.bin"
    printed = transfer("without", files.write(), *everything, "--source-checkpoint", source)
    assert "no 3D of S5, S6: nothing to score" in printed
    for name in ("latest_epoch.bin", "best_epoch.bin"):
        assert_same_weights(tmp_path / "with" / name, tmp_path / "without" / name)


def test_frame_rates_are_mixed_and_told(files, transfer, tmp_path):
    files.pixels["S6"] = {take: [v[::2] for v in views] for take, views in files.pixels["S6"].items()}
    files.points["S6"] = {take: points[::2] for take, points in files.points["S6"].items()}
    files.extra["fps"] = {"S1": 50.0, "S5": 30.0, "S6": 25.0}
    printed = transfer("out", files.write(), *TINY, "-sun", "S5,S6")
    expected = [
        f"{who}: 12 videos of {text}"
        for who in ("target", "test")
        for text in ("25 frames a second, one frame in 5 taken", "30 frames a second, one frame in 6 taken")
    ]
    assert sorted(notes(printed)) == sorted(expected)
    assert metrics(tmp_path / "out")["arguments"]["rate"] == 5
    printed = transfer("twelve", files.write(), *TINY, "-sun", "S5,S6", "--rate", 12)
    assert "source: 12 videos of 50 frames a second resampled to 48, one frame in 4 taken" in notes(printed)
    assert "target: 12 videos of 25 frames a second resampled to 24, one frame in 2 taken" in notes(printed)
    best = tmp_path / "twelve" / "best_epoch.bin"
    with pytest.raises(InputError, match="was trained at 12 frames a second, this run has 5; add --rate 12$"):
        transfer("no", files.write(), *TINY, "-sun", "S5,S6", "--evaluate", best)
