"""run_3dhp_eval.m, run by GNU Octave, against the Python scores: every number, exact thresholds, official folders."""

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from made_3dhp import (
    EXACT,
    make_predictions,
    make_test,
    perfect_of,
    scores_of,
    write_h36m_order,
    write_metres,
    write_official,
    write_official_73,
    write_p_stmo,
)
from scipy.io import savemat
from scripts import predictions_mm

from common.datasets.cameras_3dhp import TEST_SEQUENCES
from common.datasets.mpi_3dhp import TestSequence
from common.errors import InputError
from common.evaluation.mat_files import write_annotations, write_inference
from common.evaluation.prediction_files import score_file
from common.evaluation.scores_3dhp import ACTIVITIES, format_3dhp, official_errors, official_pose, score_3dhp
from common.geometry.skeleton import MPI_3DHP_17

SAID_BY_BOTH = {
    "other order": (
        "its joints look like Human3.6M-17 order (error ",
        "expected MPI-INF-3DHP-17 order, head_top first",
    ),
    "metres": ("inference_data.mat: its people are 1.6", "metres, multiply by 1000"),
    "others": ("inference_data.mat has none of TS1 to TS6",),
    "apart": ("inference_data.mat has TS1, the annotations have TS5, TS6: none in both",),
    "few frames": ("TS4 of inference_data.mat has 24 frames, its annotation has 26, of which",),
    "turned": ("of size 26x17x3x2, expected numbers of size 3x17xFxK",),
    "nan": ("TS4 of inference_data.mat has NaN or Inf, first at frame 9",),
    "no official": ("official: no TS1/annot_data.mat to TS6/annot_data.mat in it",),
    "no predictions": ("inference_data.mat: no such file",),
    "no labels": ("test_annotations.mat: no such file",),
}
PROJECT = Path(__file__).parents[2]
OCTAVE = shutil.which("octave-cli") or shutil.which("octave")
HDF5 = find_spec("h5py") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OCTAVE is None, reason="GNU Octave is not installed"),
]
STEM = "mpii_3dhp_evaluation"
ABSENT = "On The Floor"


def octave(code: str, folder: Path) -> subprocess.CompletedProcess:
    command = [OCTAVE, "--norc", "--no-history", "--path", str(PROJECT), "--eval", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


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
    count = len(scores["sequences"])
    mean = f"mean of {'' if count == 6 else f'{count} of '}the six sequences"
    sequences = {**scores["sequences"], mean: scores["mean_of_sequences"]}
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

    write_h36m_order(case("other order", predicted) / "inference_data.mat", predicted)
    write_metres(case("metres", predicted) / "inference_data.mat", predicted)
    write_p_stmo(case("valid frames", predicted) / "inference_data.mat", predicted, test)
    write_p_stmo(case("valid frames, flat", predicted) / "inference_data.mat", predicted, test, axis=False)
    case("absent", {name: p for name, p in predicted.items() if name != "TS4"})
    case("labels of two", predicted, labels=test[4:])
    folder = case("two and official", {n: predicted[n] for n in ("TS5", "TS6")}, "'inference_data.mat', 'official'")
    write_official(folder / "official", test)
    folder = case("official of two", predicted, "'inference_data.mat', 'official'")
    write_official(folder / "official", test[4:])

    folder = case("official", predicted, "'inference_data.mat', 'official'")
    (folder / "test_annotations.mat").unlink()
    write_official(folder / "official", test)

    if HDF5:
        folder = case("official 7.3", predicted, "'inference_data.mat', 'official'")
        write_official_73(folder / "official", test)

    folder = case("dropped dimension", perfect)
    code = "S = load('inference_data.mat'); save('-v7', 'inference_data.mat', '-struct', 'S'); clear S"
    index = "S = load('inference_data.mat'); printf('%.6f ', S.TS1(:, :, 5, 1));"
    calls["dropped dimension"] = f"cd({quoted(folder)}); {index} {code}; run_3dhp_eval();"

    wrong = "no predictions", "others", "apart", "few frames", "turned", "nan", "no labels", "no official", "bad step"
    for name in wrong:
        case(name, predicted)
    (root / "no predictions" / "inference_data.mat").unlink()
    (root / "no labels" / "test_annotations.mat").unlink()
    write_inference(root / "others" / "inference_data.mat", {"TS7": predicted["TS1"]})
    write_inference(root / "apart" / "inference_data.mat", {"TS1": predicted["TS1"]})
    write_annotations(root / "apart" / "test_annotations.mat", test[4:])
    write_inference(root / "few frames" / "inference_data.mat", {**predicted, "TS4": predicted["TS4"][:-2]})
    raw = {name: official_pose(p).transpose(3, 2, 0, 1) for name, p in predicted.items()}
    savemat(root / "turned" / "inference_data.mat", {**raw, "TS4": raw["TS4"].transpose(2, 1, 0, 3)})
    raw["TS4"][2, 5, 8] = np.nan
    savemat(root / "nan" / "inference_data.mat", raw)
    (root / "no official" / "official").mkdir()
    calls["no official"] = calls["no official"].replace("eval()", "eval('inference_data.mat', 'official')")
    calls["bad step"] = calls["bad step"].replace("eval()", "eval('inference_data.mat', [], 3)")

    keeps = "warning('on', 'a:b'); warning('off', 'c:d'); warning('error', 'e:f'); run_3dhp_eval();"
    state = "printf('%s ', warning('query', 'a:b').state, warning('query', 'c:d').state)"
    quiet = 'out = evalc("run_3dhp_eval();");'
    folder = case("states", predicted)
    calls["states"] = (
        f"cd({quoted(folder)}); {keeps.replace('run_3dhp_eval();', quiet)} {state}; "
        "printf('%s\\n', warning('query', 'e:f').state);"
    )

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


def test_official_folders(runs: Runs):
    assert_agrees(runs.cases["official"].folder, STEM, scores_of(runs.predicted, runs.test, -1))


@pytest.mark.skipif(not HDF5, reason="h5py is not installed")
def test_official_folders_of_hdf5_files_without_a_warning(runs: Runs):
    """What Octave cannot read of them is not asked for; whoever calls keeps his warnings."""
    assert_agrees(runs.cases["official 7.3"].folder, STEM, scores_of(runs.predicted, runs.test, -1))
    assert not re.findall(r"^(?:warning: )?load: .*|HDF5-DIAG.*", runs.warnings, re.MULTILINE)
    assert runs.cases["states"].text == "on off error\n"


@pytest.mark.parametrize(("name", "step"), [("valid frames", 1), ("valid frames, flat", 1)])
def test_predictions_of_the_valid_frames_alone(runs: Runs, name: str, step: int):
    """As P-STMO writes them: in order, with an axis for one frame or without."""
    case = runs.cases[name]
    assert case.text.startswith("inference_data.mat, diffusion step 1 of 1\n")
    assert_agrees(case.folder, STEM, scores_of(runs.predicted, runs.test, step))


@pytest.mark.parametrize(
    ("name", "scored"),
    [("absent", (0, 1, 2, 4, 5)), ("labels of two", (4, 5)), ("two and official", (4, 5)), ("official of two", (4, 5))],
)
def test_what_is_in_both_files_is_scored(runs: Runs, name: str, scored: tuple[int, ...]):
    case = runs.cases[name]
    scores = scores_of(runs.predicted, [runs.test[i] for i in scored], -1)
    assert_agrees(case.folder, STEM, scores)
    title, _, tables = case.text.partition("\n\n")
    absent = [sequence for i, sequence in enumerate(TEST_SEQUENCES) if i not in scored]
    assert title == f"inference_data.mat, diffusion step 2 of 2, without {', '.join(absent)}"
    assert tables == format_3dhp(scores) + "\n" and f"mean of {len(scored)} of the six sequences" in tables


def test_python_says_the_same_of_every_file(runs: Runs, monkeypatch: pytest.MonkeyPatch):
    for name, case in runs.cases.items():
        if name in ("named", "every step", "first step", "states", "bad step", "dropped dimension"):
            continue
        monkeypatch.chdir(case.folder)
        official = Path("official") if Path("official").is_dir() else None
        if case.error:
            with pytest.raises(InputError) as caught:
                score_file(Path("inference_data.mat"), official)
            assert "\n" not in str(caught.value)
            for words in SAID_BY_BOTH.get(name, ()):
                assert words in case.error and words in str(caught.value), name
        else:
            title, scores = score_file(Path("inference_data.mat"), official)
            assert case.text == f"{title}\n\n{format_3dhp(scores)}\n", name


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
        ("others", "inference_data.mat has none of TS1 to TS6"),
        ("apart", "inference_data.mat has TS1, the annotations have TS5, TS6: none in both"),
        ("few frames", "TS4 of inference_data.mat has 24 frames, its annotation has 26, of which"),
        ("other order", "inference_data.mat: its joints look like Human3.6M-17 order (error "),
        ("metres", "inference_data.mat: its people are 1.6"),
        ("turned", "TS4 of inference_data.mat is double of size 26x17x3x2, expected numbers of size 3x17xFxK"),
        ("nan", "TS4 of inference_data.mat has NaN or Inf, first at frame 9"),
        ("no official", "official: no TS1/annot_data.mat to TS6/annot_data.mat in it"),
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
