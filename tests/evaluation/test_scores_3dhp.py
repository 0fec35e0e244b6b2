"""The official 3DHP scores: parity with the published evaluation code, and what must hold whatever the errors."""

import json

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.evaluation.protocol import METRICS, Scores
from common.evaluation.scores_3dhp import (
    ACTIVITIES,
    GROUPS,
    compare_3dhp,
    format_3dhp,
    official_errors,
    official_pose,
    score_3dhp,
)
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from common.run.report import metrics_record, tables_3dhp

JOINTS = len(MPI_3DHP_17.joints)


def random_errors(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 250, (frames, JOINTS))


def table(rows: list[dict], name: str) -> np.ndarray:
    """(rows, columns), NaN for None."""
    return np.array([list(row[name].values()) for row in rows], dtype=np.float64)


@pytest.mark.parametrize("case", ["all", "missing"])
def test_parity_with_the_published_code(golden, case):
    reference = golden("pck_auc")
    suffix = "" if case == "all" else "_missing"
    errors = {f"TestSeq{i}": reference[f"error_{i}"][:, 0].T.numpy() for i in (1, 2)}
    activities = {f"TestSeq{i}": reference[f"activity{suffix}_{i}"].numpy() for i in (1, 2)}
    scores = score_3dhp(errors, activities)
    by_activity = [*scores["activities"].values(), scores["all_frames"]]
    for found, prefix in ((list(scores["sequences"].values()), "seq"), (by_activity, "act")):
        for name in ("mpjpe", "pck", "auc"):
            expected = reference[f"{prefix}_{case}_{name}"].numpy()
            np.testing.assert_allclose(table(found, name), expected, rtol=0, atol=1e-9, equal_nan=True)
    absent = [name for name, row in scores["activities"].items() if row["frames"] == 0]
    assert absent == ([] if case == "all" else ["On The Floor"])


def test_thresholds_are_strict():
    def total(error: float) -> tuple[float, float]:
        row = score_3dhp({"TS1": np.full((3, JOINTS), error)}, None)["all_frames"]
        return row["pck"]["Total"], row["auc"]["Total"]

    assert total(0.0) == (100, 100 * 30 / 31)
    assert total(150.0) == (0, 0)
    assert total(np.nextafter(150, 0)) == (100, 100 / 31)
    assert total(5.0)[1] == 100 * 29 / 31


def test_groups_and_weights():
    errors = np.full((4, JOINTS), 1000.0)
    errors[:, MPI_3DHP_17.indices("head_top", "LKnee", "pelvis", "spine", "head")] = 1.0
    row = score_3dhp({"TS1": errors}, None)["all_frames"]
    assert row["pck"] == {
        "Head": 100, "Neck": 0, "Shou": 0, "Elbow": 0, "Wrist": 0, "Hip": 0, "Knee": 50, "Ankle": 0,
        "Total": 100 * 2 / 14,
    }  # fmt: skip
    assert row["mpjpe_groups"]["Knee"] == pytest.approx(500.5)
    assert row["mpjpe_groups"]["Average"] == row["mpjpe"]["Average"] == pytest.approx((5 * 1 + 12 * 1000) / 17)
    assert list(row["mpjpe"]) == [*MPI_3DHP_17.joints, "Average"]
    grouped = [joint for joints in GROUPS.values() for joint in joints]
    assert set(MPI_3DHP_17.joints) - set(grouped) == {"pelvis", "spine", "head"} and len(grouped) == 14


def test_two_averages_differ_as_their_names_say():
    short, long = np.full((1, JOINTS), 10.0), np.full((9, JOINTS), 110.0)
    scores = score_3dhp({"TS1": short, "TS2": long}, None)
    assert scores["mean_of_sequences"]["mpjpe"]["Average"] == 60
    assert scores["all_frames"]["mpjpe"]["Average"] == 100
    assert scores["mean_of_sequences"]["auc"]["Total"] == pytest.approx(100 * (28 + 8) / 2 / 31)
    assert scores["all_frames"]["auc"]["Total"] == pytest.approx(100 * (28 + 9 * 8) / 10 / 31)


def test_the_report_of_a_run_says_of_how_many_sequences():
    errors = {"TS5": random_errors(8, 5), "TS6": random_errors(9, 6)}
    means = {metric: [float(x.mean()) for x in errors.values()] for metric in METRICS}
    rows = {"source_only": Scores([(name, name) for name in errors], [8, 9], {"J_Agg": means}, [[1.0], [2.0]])}
    record = metrics_record(rows, {})
    record["rows"]["source_only"]["official_3dhp"] = {"J_Agg": score_3dhp(errors, None)}
    text = tables_3dhp(record, "source_only")
    assert text.count("mean of 2 of the six sequences") == 4 and "mean of the six" not in text
    assert json.loads(json.dumps(record))["rows"]["source_only"]["official_3dhp"]["J_Agg"]["sequences_of_six"] == 2


def test_all_frames_is_the_frame_weighted_mean_of_sequences_and_of_activities():
    rng = np.random.default_rng(1)
    errors = {"TS1": random_errors(20, 1), "TS2": random_errors(35, 2)}
    activities = {name: rng.integers(1, 8, len(values)) for name, values in errors.items()}
    scores = score_3dhp(errors, activities)
    for parts in ("sequences", "activities"):
        rows = list(scores[parts].values())
        weights = [row["frames"] for row in rows]
        assert sum(weights) == scores["all_frames"]["frames"] == 55
        for name in ("mpjpe", "mpjpe_groups", "pck", "auc"):
            expected = table([scores["all_frames"]], name)[0]
            np.testing.assert_allclose(np.average(table(rows, name), axis=0, weights=weights), expected, atol=1e-9)
    assert scores["frames_without_activity"] == 0


def test_absent_activities_are_none_and_survive_json():
    scores = score_3dhp({"TS1": random_errors(4)}, {"TS1": np.array([1, 1, 0, 9])})
    assert scores["frames_without_activity"] == 2
    assert scores["activities"]["Standing/Walking"]["frames"] == 2
    sitting = scores["activities"]["Sitting"]
    assert {value for name in ("mpjpe", "mpjpe_groups", "pck", "auc") for value in sitting[name].values()} == {None}
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    unlabelled = score_3dhp({"TS1": random_errors(4)}, None)
    assert unlabelled["frames_without_activity"] == 4
    assert unlabelled["all_frames"] == scores["all_frames"]


def test_official_errors_convert_joints_units_and_root():
    rng = torch.Generator().manual_seed(3)
    target = torch.randn(5, JOINTS, 3, generator=rng, dtype=torch.float64)
    offset = torch.zeros_like(target)
    offset[:, H36M_17.index("LFoot")] = torch.tensor([0.09, 0.12, 0.0])
    errors = official_errors(target + offset + 3.0, target)  # a moved person has the same errors
    expected = np.zeros((5, JOINTS))
    expected[:, MPI_3DHP_17.index("LAnkle")] = 150
    np.testing.assert_allclose(errors, expected, atol=1e-9)

    pose = official_pose(target)
    assert pose.dtype == np.float64 and not pose[:, MPI_3DHP_17.root_index].any()
    back = convert(torch.from_numpy(pose), MPI_3DHP_17, H36M_17) / 1000
    torch.testing.assert_close(back, target - target[:, [H36M_17.root_index]])


def test_errors_of_exactly_a_threshold_stay_exact():
    target = torch.zeros(1, JOINTS, 3, dtype=torch.float64)
    predicted = target.clone()
    predicted[0, H36M_17.index("Head")] = torch.tensor([0.09, 0.12, 0.0], dtype=torch.float64)
    errors = official_errors(predicted, target)
    assert errors[0, MPI_3DHP_17.index("head_top")] == 150
    assert score_3dhp({"TS1": errors}, None)["all_frames"]["pck"]["Head"] == 0


def test_text_names_both_averages_and_holds_the_numbers():
    errors = {f"TS{i}": random_errors(3 + i, i) for i in range(1, 7)}
    scores = score_3dhp(errors, {name: np.ones(len(values)) for name, values in errors.items()})
    lines = format_3dhp(scores).splitlines()
    starts = ["TS1", "TS6", "mean of the six sequences", "all frames", *ACTIVITIES]
    for start in starts:
        assert sum(line.startswith(start) for line in lines) == 3
    for name, key in (("mean of the six sequences", "mean_of_sequences"), ("all frames", "all_frames")):
        mpjpe, pck, auc = (line.split()[-1] for line in lines if line.startswith(name))
        row = scores[key]
        assert (mpjpe, pck, auc) == (
            f"{row['mpjpe']['Average']:.2f}", f"{row['pck']['Total']:.2f}", f"{row['auc']['Total']:.2f}",
        )  # fmt: skip
    assert lines[1 + lines.index(next(x for x in lines if x.startswith("Standing")))].split()[2:] == ["-"] * 9


def test_text_and_record_say_of_how_many_sequences():
    """Columns stay columns, and whoever reads the mean sees that it is not the usual one."""
    errors = {f"TS{i}": random_errors(3 + i, i) for i in range(1, 7)}
    some = {name: errors[name] for name in ("TS5", "TS6")}
    scores = {"whole": score_3dhp(errors, None), "part": score_3dhp(some, None)}
    assert [found["sequences_of_six"] for found in scores.values()] == [6, 2]
    text = format_3dhp(scores["part"])
    assert text.count("mean of 2 of the six sequences ") == 3 and "mean of the six" not in text
    blocks = [block.splitlines() for block in text.split("\n\n")[:3]]
    assert all(len(set(map(len, lines))) == 1 for lines in blocks)
    side_by_side = compare_3dhp({"source only, J-Agg": scores["part"], "adapted": scores["part"]})
    head, names, *rows = side_by_side.splitlines()
    assert "mean of 2 of the six sequences" in head
    assert len({len(line) for line in (head, names, *rows)}) == 1 and len(rows) == 2
    row = scores["part"]["mean_of_sequences"]
    wanted = [f"{x:.2f}" for x in (row["mpjpe"]["Average"], row["pck"]["Total"], row["auc"]["Total"])]
    assert rows[1].split()[1:4] == wanted
    assert "mean of the six sequences" in compare_3dhp({"adapted": scores["whole"]})


@pytest.mark.parametrize(
    ("errors", "activities", "words"),
    [
        ({}, None, "no sequence"),
        ({"TS2": np.zeros((0, JOINTS))}, None, "TS2 has errors of shape (0, 17)"),
        ({"TS2": np.zeros((JOINTS, 4))}, None, "TS2 has errors of shape (17, 4)"),
        ({"TS2": np.full((2, JOINTS), np.nan)}, None, "TS2 has NaN or infinity, first at its valid frame 0"),
        ({"TS2": np.zeros((2, JOINTS))}, {"TS2": np.ones(3)}, "2 valid frames, its activity labels: (3,)"),
        ({"TS2": np.zeros((2, JOINTS))}, {"TS1": np.ones(2)}, "its activity labels: none"),
    ],
)
def test_bad_input_is_named(errors, activities, words):
    with pytest.raises(InputError) as caught:
        score_3dhp(errors, activities)
    assert words in str(caught.value) and "\n" not in str(caught.value)
