"""run_3dhp_eval.m, run by GNU Octave, against the Python scores: every number, exact thresholds, official folders."""

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bodies import poses, trajectories
from scipy.io import savemat
from scripts import predictions_mm

from common.datasets.cameras_3dhp import TEST_SEQUENCES, test_cameras
from common.datasets.mpi_3dhp import TestSequence
from common.evaluation.mat_files import write_annotations, write_inference
from common.evaluation.scores_3dhp import ACTIVITIES, format_3dhp, official_errors, official_pose, score_3dhp
from common.geometry.skeleton import H36M_17, MPI_3DHP_17

PROJECT = Path(__file__).parents[2]
OCTAVE = shutil.which("octave-cli") or shutil.which("octave")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OCTAVE is None, reason="GNU Octave is not installed"),
]
STEM = "mpii_3dhp_evaluation"
ABSENT = "On The Floor"
EXACT = {"LWrist": (0.09, -0.12, 0.0), "RKnee": (0.0, 0.0, 0.15)}  # metres, both 150 mm long


def octave(code: str, folder: Path) -> subprocess.CompletedProcess:
    command = [OCTAVE, "--norc", "--no-history", "--path", str(PROJECT), "--eval", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def make_test() -> list[TestSequence]:
    """Six labelled sequences of different lengths, one activity absent, the odd label that is no activity."""
    rng = np.random.default_rng(5)
    test = []
    for i, (name, camera) in enumerate(test_cameras().items()):
        frames = 17 + 3 * i
        pose = poses(1, frames, seed=i)[0]
        pose[0, H36M_17.indices(*EXACT)] = 0  # at the root, where a displacement is not rounded
        activity = torch.from_numpy(rng.choice([1, 2, 3, 4, 6, 7], frames))
        activity[-1] = 0
        valid = torch.from_numpy(rng.random(frames) > 0.3)
        valid[[0, 1, -1]] = torch.tensor([True, True, True])
        video = TestSequence(
            subject=name, action=name, camera=name, keypoints=pose[..., :2], intrinsics=camera.normalised_intrinsics(),
            width=camera.width, height=camera.height, fps=50.0, pose=pose, trajectory=trajectories(1, frames, i)[0],
            valid=valid, activity=activity,
        )  # fmt: skip
        test.append(video)
    return test


def make_predictions(test: list[TestSequence]) -> dict[str, torch.Tensor]:
    """(F, K = 2, 17, 3): random errors; in the last step of every first frame exact ones."""
    rng = torch.Generator().manual_seed(6)
    predicted = {}
    for video in test:
        pose = video.pose
        noise = torch.randn(len(pose), 2, *pose.shape[1:], generator=rng, dtype=torch.float64) * 0.06
        noise[0, -1] = 0
        for joint, displacement in EXACT.items():
            noise[0, -1, H36M_17.index(joint)] = torch.tensor(displacement, dtype=torch.float64)
        predicted[video.subject] = pose[:, None] + noise
    return predicted


def perfect_of(test: list[TestSequence]) -> dict[str, torch.Tensor]:
    """(F, K = 1, 17, 3): the labels."""
    return {v.subject: v.pose[:, None] for v in test}


def scores_of(predicted: dict[str, torch.Tensor], test: list[TestSequence], step: int) -> dict:
    errors = {v.subject: official_errors(predicted[v.subject][v.valid, step], v.pose[v.valid]) for v in test}
    return score_3dhp(errors, {v.subject: v.activity[v.valid].numpy() for v in test})


def read_csv(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Block (MPJPE, PCK, AUC) -> row -> column -> number."""
    blocks, current = {}, {}
    with path.open(newline="") as file:
        for first, *rest in csv.reader(file):
            if first in ("MPJPE", "PCK", "AUC"):
                columns, current = rest, blocks.setdefault(first, {})
            else:
                current[first] = dict(zip(columns, map(float, rest), strict=True))
    return blocks


def assert_same(path: Path, rows: dict[str, dict]) -> None:
    """The CSV has just these rows and columns, in this order, and these numbers to 1e-6."""
    for block, found in read_csv(path).items():
        expected = {name: row[block.lower()] for name, row in rows.items()}
        assert list(found) == list(expected)
        for name, row in expected.items():
            assert list(found[name]) == list(row)
            values = np.array(list(row.values()), dtype=np.float64)
            np.testing.assert_allclose(list(found[name].values()), values, rtol=0, atol=1e-6, equal_nan=True)


def assert_agrees(folder: Path, stem: str, scores: dict) -> None:
    sequences = {**scores["sequences"], "mean of the six sequences": scores["mean_of_sequences"]}
    assert_same(folder / f"{stem}_sequencewise.csv", sequences)
    assert_same(folder / f"{stem}_activitywise.csv", {**scores["activities"], "all frames": scores["all_frames"]})


@dataclass
class Case:
    """What one call of run_3dhp_eval left: its folder, what it printed, its error."""

    folder: Path
    text: str
    error: str


@dataclass
class Runs:
    test: list[TestSequence]
    predicted: dict[str, torch.Tensor]
    cases: dict[str, Case]
    warnings: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Every call in one Octave, which takes a second to start."""
    root = tmp_path_factory.mktemp("it's 100% \\n")  # a name that careless quoting would break
    test = make_test()
    predicted = make_predictions(test)
    perfect = perfect_of(test)
    calls: dict[str, str] = {}

    def case(name: str, poses: dict[str, torch.Tensor], arguments: str = "", labels: list | None = None) -> Path:
        folder = root / name
        write_inference(folder / "inference_data.mat", poses)
        write_annotations(folder / "test_annotations.mat", labels or test)
        calls[name] = f"cd({quoted(folder)}); run_3dhp_eval({arguments});"
        return folder

    case("random", predicted)
    case("every step", predicted, "'inference_data.mat', [], 'all'")
    case("first step", predicted, "'inference_data.mat', [], 1")
    case("perfect", perfect)
    folder = case("named", predicted, "'inference_data_P_Agg.mat'")
    (folder / "inference_data.mat").rename(folder / "inference_data_P_Agg.mat")
    case("no activities", predicted, labels=[replace(v, activity=None) for v in test])

    folder = case("other order", perfect)
    write_h36m_order(folder / "inference_data.mat", perfect)

    folder = case("official", predicted, "'inference_data.mat', 'official'")
    (folder / "test_annotations.mat").unlink()
    write_official(folder / "official", test)

    folder = case("dropped dimension", perfect)
    code = "S = load('inference_data.mat'); save('-v7', 'inference_data.mat', '-struct', 'S'); clear S"
    index = "S = load('inference_data.mat'); printf('%.6f ', S.TS1(:, :, 5, 1));"
    calls["dropped dimension"] = f"cd({quoted(folder)}); {index} {code}; run_3dhp_eval();"

    for name in ("no predictions", "absent", "few frames", "turned", "nan", "no labels", "no official", "bad step"):
        case(name, predicted)
    (root / "no predictions" / "inference_data.mat").unlink()
    (root / "no labels" / "test_annotations.mat").unlink()
    write_inference(root / "absent" / "inference_data.mat", {n: p for n, p in predicted.items() if n != "TS4"})
    write_inference(root / "few frames" / "inference_data.mat", {**predicted, "TS4": predicted["TS4"][:-2]})
    raw = {name: official_pose(p).transpose(3, 2, 0, 1) for name, p in predicted.items()}
    savemat(root / "turned" / "inference_data.mat", {**raw, "TS4": raw["TS4"].transpose(2, 1, 0, 3)})
    raw["TS4"][2, 5, 8] = np.nan
    savemat(root / "nan" / "inference_data.mat", raw)
    (root / "no official" / "official").mkdir()
    calls["no official"] = calls["no official"].replace("eval()", "eval('inference_data.mat', 'official')")
    calls["bad step"] = calls["bad step"].replace("eval()", "eval('inference_data.mat', [], 3)")

    code = "warning('on', 'Octave:language-extension');"
    for name, call in calls.items():
        code += f"\nprintf('=== {name}\\n'); try, {call} catch e, printf('%s%s\\n', char(2), e.message); end"
    result = octave(code, root)
    assert result.returncode == 0, result.stderr
    cases = {}
    for part in result.stdout.split("=== ")[1:]:
        name, _, text = part.partition("\n")
        text, _, error = text.partition("\x02")
        cases[name] = Case(root / name, text, error)
    assert list(cases) == list(calls)
    return Runs(test, predicted, cases, result.stderr)


def write_h36m_order(path: Path, poses: dict[str, torch.Tensor]) -> None:
    """Predictions whose joints were not put into 3DHP's order: (3, 17, F, K) mm in Human3.6M's."""
    savemat(path, {name: (p * 1000).permute(3, 2, 0, 1).numpy() for name, p in poses.items()})


def write_official(folder: Path, test: list[TestSequence]) -> None:
    """TS*/annot_data.mat in the official shapes: absolute millimetres, one person, flags as bytes in a row."""
    for video in test:
        (folder / video.subject).mkdir(parents=True)
        pose = official_pose(video.pose) + np.array([200.0, -100.0, 3500.0])
        fields = {
            "annot3": pose.transpose(2, 1, 0)[:, :, None],
            "univ_annot3": 0.9 * pose.transpose(2, 1, 0)[:, :, None],
            "valid_frame": video.valid.numpy().astype(np.uint8)[None],
            "activity_annotation": video.activity.numpy().astype(np.uint8)[:, None],
        }
        savemat(folder / video.subject / "annot_data.mat", fields)


def test_every_number_agrees(runs: Runs):
    scores = scores_of(runs.predicted, runs.test, -1)
    assert_agrees(runs.cases["random"].folder, STEM, scores)
    assert [name for name, row in scores["activities"].items() if row["frames"] == 0] == [ABSENT]
    assert scores["frames_without_activity"] == len(TEST_SEQUENCES)
    for video in runs.test:
        errors = official_errors(runs.predicted[video.subject][video.valid, -1], video.pose[video.valid])
        assert errors[0, MPI_3DHP_17.indices(*EXACT, "head_top")].tolist() == [150, 150, 0]


def test_the_printed_tables_are_the_same_text(runs: Runs):
    title, _, tables = runs.cases["random"].text.partition("\n\n")
    assert title == "inference_data.mat, diffusion step 2 of 2"
    assert tables == format_3dhp(scores_of(runs.predicted, runs.test, -1)) + "\n"


def test_the_file_read_back_in_python_scores_the_same(runs: Runs):
    scores = scores_of(runs.predicted, runs.test, -1)
    read = predictions_mm(runs.cases["random"].folder / "inference_data.mat")
    errors = {
        v.subject: np.linalg.norm(read[v.subject][:, -1] - official_pose(v.pose), axis=-1)[v.valid.numpy()]
        for v in runs.test
    }
    assert read.keys() == errors.keys()
    again = score_3dhp(errors, None)
    assert again["mean_of_sequences"]["mpjpe"]["Average"] == pytest.approx(
        scores["mean_of_sequences"]["mpjpe"]["Average"], abs=1e-9
    )


def test_steps(runs: Runs):
    for step in (1, 2):
        scores = scores_of(runs.predicted, runs.test, step - 1)
        assert_agrees(runs.cases["every step"].folder, f"{STEM}_step{step}", scores)
    assert_agrees(runs.cases["first step"].folder, STEM, scores_of(runs.predicted, runs.test, 0))
    assert "must be 'last', 'all' or a number from 1 to 2" in runs.cases["bad step"].error


def test_csv_files_follow_the_name_of_the_predictions_and_nothing_else_is_left(runs: Runs):
    folder = runs.cases["named"].folder
    tables = {f"{STEM}_P_Agg_sequencewise.csv", f"{STEM}_P_Agg_activitywise.csv"}
    assert {path.name for path in folder.iterdir()} == tables | {"inference_data_P_Agg.mat", "test_annotations.mat"}
    assert_agrees(folder, f"{STEM}_P_Agg", scores_of(runs.predicted, runs.test, -1))


def test_a_perfect_prediction(runs: Runs):
    scores = scores_of(perfect_of(runs.test), runs.test, 0)
    found = read_csv(runs.cases["perfect"].folder / f"{STEM}_sequencewise.csv")
    for name in (*TEST_SEQUENCES, "mean of the six sequences"):
        assert set(found["MPJPE"][name].values()) == {0}
        assert set(found["PCK"][name].values()) == {100}
        assert list(found["AUC"][name].values()) == pytest.approx([100 * 30 / 31] * 9, abs=1e-9)
    assert_agrees(runs.cases["perfect"].folder, STEM, scores)


def test_one_diffusion_step_is_indexed_like_many(runs: Runs):
    case = runs.cases["dropped dimension"]
    numbers, _, tables = case.text.partition("inference_data.mat")
    expected = official_pose(runs.test[0].pose)[4]  # (17, 3), printed joint by joint
    np.testing.assert_allclose(np.array(numbers.split(), float).reshape(17, 3), expected, atol=1e-5)
    assert tables.startswith(", diffusion step 1 of 1")
    assert_agrees(case.folder, STEM, scores_of(perfect_of(runs.test), runs.test, 0))


def test_the_other_joint_order_scores_terribly_in_both(runs: Runs):
    mean = read_csv(runs.cases["other order"].folder / f"{STEM}_sequencewise.csv")
    name = "mean of the six sequences"
    assert mean["MPJPE"][name]["Average"] > 250
    assert mean["PCK"][name]["Total"] < 30

    def as_read(pose: torch.Tensor) -> torch.Tensor:
        """The pose as 3DHP's reader would take it when its joints stand in Human3.6M's order."""
        relative = pose - pose[:, [MPI_3DHP_17.root_index]]
        return relative * 1000

    errors = {
        v.subject: np.linalg.norm(as_read(v.pose).numpy() - official_pose(v.pose), axis=-1)[v.valid.numpy()]
        for v in runs.test
    }
    row = score_3dhp(errors, None)["mean_of_sequences"]
    assert mean["MPJPE"][name]["Average"] == pytest.approx(row["mpjpe"]["Average"], abs=1e-6)


def test_official_folders(runs: Runs):
    assert_agrees(runs.cases["official"].folder, STEM, scores_of(runs.predicted, runs.test, -1))


def test_labels_without_activities(runs: Runs):
    case = runs.cases["no activities"]
    scores = scores_of(runs.predicted, runs.test, -1)
    found = read_csv(case.folder / f"{STEM}_activitywise.csv")
    assert all(np.isnan(list(found[block][a].values())).all() for block in found for a in ACTIVITIES)
    assert found["MPJPE"]["all frames"]["Average"] == pytest.approx(scores["all_frames"]["mpjpe"]["Average"])
    assert case.text.endswith(f"activity of 1 to 7: {scores['all_frames']['frames']}.\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no predictions", "inference_data.mat: no such file"),
        ("no labels", "test_annotations.mat: no such file"),
        ("absent", "inference_data.mat has no TS4"),
        ("few frames", "TS4 of inference_data.mat has 24 frames, its annotation has 26"),
        ("turned", "TS4 of inference_data.mat is double of size 26x17x3x2, expected numbers of size 3x17xFxK"),
        ("nan", "TS4 of inference_data.mat has NaN or Inf, first at frame 9"),
        ("no official", "annot_data.mat: no such file"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(runs: Runs, name: str, words: str):
    error = runs.cases[name].error
    assert error.startswith("run_3dhp_eval: ") and words in error and error.count("\n") == 1
    assert not list(runs.cases[name].folder.glob("*.csv"))


def test_the_file_keeps_to_what_matlab_understands(runs: Runs):
    """Octave, asked to, warns of its own additions to the language; its own files are full of them."""
    warned = re.findall(r"Octave language extension used.*", runs.warnings)
    assert warned and not [line for line in warned if "run_3dhp_eval.m" in line]


def test_a_shell_gets_one_line_and_a_failing_exit_code(tmp_path: Path):
    result = octave("run_3dhp_eval('x.mat')", tmp_path)
    assert result.returncode == 1 and not result.stdout
    assert result.stderr == "error: run_3dhp_eval: x.mat: no such file\n"
