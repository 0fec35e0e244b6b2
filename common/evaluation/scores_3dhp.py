"""The official MPI-INF-3DHP scores: MPJPE, PCK and AUC by joint group, per test sequence, per activity and overall.

    python -m common.evaluation.scores_3dhp FILE [ANNOTATIONS]    # `posynda` for `common` where it is installed

prints them for FILE, predictions such as inference_data.mat, this project's or others'. ANNOTATIONS is a run's
test_annotations.mat, looked for beside FILE when left out, or the official test set's folder. `run_3dhp_eval.m`
computes and prints the same.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.cameras_3dhp import TEST_SEQUENCES
from ..errors import InputError, run_script
from ..geometry.skeleton import H36M_17, MPI_3DHP_17, convert
from ..units import MILLIMETRES
from .metrics import joint_errors

PCK_THRESHOLD = 150.0  # mm
AUC_THRESHOLDS = np.arange(0.0, 151.0, 5.0)  # mm
# Pelvis, spine and head are in no group.
GROUPS = {
    "Head": ("head_top",), "Neck": ("neck",), "Shou": ("RShoulder", "LShoulder"), "Elbow": ("RElbow", "LElbow"),
    "Wrist": ("RWrist", "LWrist"), "Hip": ("RHip", "LHip"), "Knee": ("RKnee", "LKnee"), "Ankle": ("RAnkle", "LAnkle"),
}  # fmt: skip
ACTIVITIES = (
    "Standing/Walking", "Exercising", "Sitting", "Reaching/Crouching", "On The Floor", "Sports", "Miscellaneous",
)  # fmt: skip  # the files number them from 1

Row = dict[str, Any]


def official_pose(pose: torch.Tensor) -> np.ndarray:
    """(..., 17, 3) metres, Human3.6M-17 -> the same as double, millimetres, relative to the pelvis, 3DHP-17 order."""
    points = convert(pose.detach().cpu().double(), H36M_17, MPI_3DHP_17) * MILLIMETRES
    return (points - points[..., [MPI_3DHP_17.root_index], :]).numpy()


def official_errors(predicted: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """What `score_3dhp` takes: the error of each joint after subtracting the pelvis.

    In double, in the same steps as `run_3dhp_eval.m` takes, so that both sides of a threshold get the same joints.

    Args:
        predicted, target: (F, 17, 3) metres, Human3.6M-17 order.

    Returns:
        (F, 17) mm, 3DHP-17 order.
    """
    poses = (torch.from_numpy(official_pose(pose)) for pose in (predicted, target))
    return joint_errors(*poses).numpy()


def score_3dhp(errors: Mapping[str, np.ndarray], activities: Mapping[str, np.ndarray] | None) -> dict[str, Any]:
    """The official scores (Mehta et al., 3DV 2017, and the evaluation code that comes with the data set).

    Args:
        errors: per test sequence (F, 17) mm, valid frames only, 3DHP-17 order, see `official_errors`.
        activities: per test sequence (F,) the activity's number, 1 to 7; None where the files do not tell.

    Returns:
        Values that JSON can hold: `sequences` and `activities`, per name a row; `sequences_of_six`, how many there
        are; the rows `mean_of_sequences` (every sequence counts alike) and `all_frames` (every frame does);
        `frames_without_activity`, whose label is missing or not 1 to 7. A row has `frames`; `mpjpe` per joint and
        `Average` over all 17; `mpjpe_groups` per joint group and `Average` over all 17; `pck` and `auc`, per cent, per
        joint group and `Total` over the 14 joints in groups. An activity that never occurs has None in place of every
        number.

    Raises:
        InputError: a sequence without valid frames, of another shape, with errors that are no numbers, or with
            another number of labels than frames.
    """
    if not errors:
        raise InputError("3DHP scores: no sequence to score, expected some of TS1 to TS6")
    labels = {name: _labels(name, errors[name], activities) for name in errors}
    sequences = {name: _row(np.asarray(values, np.float64)) for name, values in errors.items()}
    every = np.concatenate([np.asarray(values, np.float64) for values in errors.values()])
    label = np.concatenate(list(labels.values()))
    by_activity = {name: _row(every[label == number]) for number, name in enumerate(ACTIVITIES, start=1)}
    return {
        "sequences": sequences,
        "sequences_of_six": len(sequences),
        "mean_of_sequences": _mean(list(sequences.values())),
        "all_frames": _row(every),
        "activities": by_activity,
        "frames_without_activity": len(every) - sum(row["frames"] for row in by_activity.values()),
    }


def _labels(name: str, errors: np.ndarray, activities: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """The sequence's activities (F,), zeros where the files do not tell, after checking both."""
    joints = len(MPI_3DHP_17.joints)
    if np.ndim(errors) != 2 or np.shape(errors)[1] != joints or len(errors) == 0:
        raise InputError(
            f"3DHP scores: {name} has errors of shape {np.shape(errors)}, expected ({joints} joints of at least one "
            f"valid frame) (frames, {joints}); check `valid` in the test file"
        )
    if not np.isfinite(errors).all():
        frame = int(np.argwhere(~np.isfinite(errors))[0, 0])
        raise InputError(f"3DHP scores: {name} has NaN or infinity, first at its valid frame {frame} (from 0)")
    if activities is None:
        return np.zeros(len(errors))
    if name not in activities or np.shape(activities[name]) != (len(errors),):
        found = np.shape(activities[name]) if name in activities else "none"
        raise InputError(f"3DHP scores: {name} has {len(errors)} valid frames, its activity labels: {found}")
    return np.asarray(activities[name])


def _row(errors: np.ndarray) -> Row:
    """The scores of (F, 17) errors; None for each number when there is no frame."""
    groups = {group: MPI_3DHP_17.indices(*joints) for group, joints in GROUPS.items()}
    scored = {**groups, "Total": sum(groups.values(), [])}
    averaged = {**groups, "Average": list(range(errors.shape[1]))}
    return {
        "frames": len(errors),
        "mpjpe": {
            **{joint: _average(errors[:, i]) for i, joint in enumerate(MPI_3DHP_17.joints)},
            "Average": _average(errors),
        },
        "mpjpe_groups": {group: _average(errors[:, joints]) for group, joints in averaged.items()},
        "pck": {group: pck(errors[:, joints], PCK_THRESHOLD) for group, joints in scored.items()},
        "auc": {group: pck(errors[:, joints], *AUC_THRESHOLDS) for group, joints in scored.items()},
    }


def _average(errors: np.ndarray) -> float | None:
    return float(errors.mean()) if errors.size else None


def pck(errors: np.ndarray, *thresholds: float) -> float | None:
    """Per cent of the errors below a threshold, strictly; the mean over several thresholds. None without errors."""
    if not errors.size:
        return None
    below = sum(int(np.count_nonzero(errors < threshold)) for threshold in thresholds)
    return 100 * below / (errors.size * len(thresholds))


def _mean(rows: list[Row]) -> Row:
    """The plain mean of the rows, whatever their frames."""
    mean: Row = {"frames": sum(row["frames"] for row in rows)}
    for table in ("mpjpe", "mpjpe_groups", "pck", "auc"):
        mean[table] = {key: float(np.mean([row[table][key] for row in rows])) for key in rows[0][table]}
    return mean


def _mean_title(scores: Mapping[str, Any]) -> str:
    """What the plain mean over the sequences is called: it says of how many where some are missing."""
    count, every = len(scores["sequences"]), len(TEST_SEQUENCES)
    return f"mean of {'' if count == every else f'{count} of '}the six sequences"


def format_3dhp(scores: Mapping[str, Any]) -> str:
    """The tables as text, without a final line break: MPJPE, PCK and AUC by joint group."""
    mean = _mean_title(scores)
    width = max(26, len(mean) + 1)
    rows = {
        **scores["sequences"],
        mean: scores["mean_of_sequences"],
        "all frames": scores["all_frames"],
        **scores["activities"],
    }
    titles = {"mpjpe_groups": "MPJPE, mm", "pck": "PCK at 150 mm, %", "auc": "AUC of 0:5:150 mm, %"}
    lines = []
    for table, title in titles.items():
        lines.append("".join([f"{title:<{width}}{'frames':>8}", *(f"{key:>9}" for key in scores["all_frames"][table])]))
        for name, row in rows.items():
            cells = (f"{'-' if value is None else format(value, '.2f'):>9}" for value in row[table].values())
            lines.append("".join([f"{name:<{width}}{row['frames']:>8}", *cells]))
        lines.append("")
    lines.append(
        "MPJPE's Average is over all 17 joints; PCK's and AUC's Total over the 14 joints in the groups. "
        f"Frames without an activity of 1 to 7: {scores['frames_without_activity']}."
    )
    return "\n".join(lines)


def compare_3dhp(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Several models' MPJPE, PCK and AUC side by side, by both averages; `scores` maps a title to its scores."""
    width, mean = max(map(len, scores)), _mean_title(next(iter(scores.values())))
    block = max(26, len(mean))
    lines = [f"{'':{width}}  {mean:>{block}}  {'all frames':>{block}}"]
    lines.append(f"{'':{width}}" + 2 * f"  {'   MPJPE      PCK      AUC':>{block}}")
    for title, found in scores.items():
        line = f"{title:{width}}"
        for row in (found["mean_of_sequences"], found["all_frames"]):
            values = row["mpjpe"]["Average"], row["pck"]["Total"], row["auc"]["Total"]
            line += f"  {' '.join(f'{value:8.2f}' for value in values):>{block}}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Score a file, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="predictions, a .mat file with some of TS1 to TS6")
    parser.add_argument(
        "annotations", type=Path, nargs="?", metavar="ANNOTATIONS",
        help="test_annotations.mat of a run (default: beside FILE), or the official test set's folder",
    )  # fmt: skip
    args = parser.parse_args()
    from .prediction_files import score_file

    title, scores = score_file(args.file, args.annotations)
    print(f"{title}\n\n{format_3dhp(scores)}")


if __name__ == "__main__":
    run_script(main)
