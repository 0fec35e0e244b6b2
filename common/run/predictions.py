"""The poses of a run as files, for `--save-predictions` and `--csv`."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..datasets.npz import write_npz
from ..datasets.video import Video
from ..files import atomic_write
from ..geometry.camera import undistort
from ..geometry.skeleton import H36M_17
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.lifting import lift_videos
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root
from .report import PREDICTIONS_FILE, TABLE_FILE

Prediction = tuple[Video, torch.Tensor, torch.Tensor | None]  # a video, poses (F, 17, 3), expected errors (F, 17)
ABOUT = {
    "joints": np.array(H36M_17.joints),
    "units": "metres",
    "axes": "of the camera: x right, y down, z forward",
    "root": f"poses are relative to {H36M_17.root}; `root` is where it stands in the camera's frame, from the 2D alone",
}


def predict(
    lifter: Lifter,
    videos: Sequence[Video],
    sampling: Sampling,
    refinement: Refinement | None,
    scale: float | None,
) -> Iterator[Prediction]:
    """Every video's result, refined or else J-Agg.

    Args:
        scale: of the spread, see `common.evaluation.uncertainty.fitted_scale`; without it no error is expected.
    """
    for video, pose, spreads in lift_videos(lifter, videos, sampling, refinement):
        yield video, pose, None if scale is None else scale * spreads


def write_predictions(folder: Path, predictions: Iterable[Prediction], table: bool = False) -> None:
    """Write `PREDICTIONS_FILE`, all of it or nothing.

    An npz. For every video 'SUBJECT/ACTION/CAMERA/pose' (F, 17, 3) and '.../root' (F, 3), float32 metres, '.../fps',
    '.../intrinsics' (9,) in normalised screen coordinates, '.../size' width and height in pixels, and
    '.../expected_error' (F, 17) metres where it is known. For all of them the entries of `ABOUT`.

    Args:
        table: also write `TABLE_FILE`, a row per frame: root and joints in the camera's frame, metres.
    """
    arrays: dict[str, object] = dict(ABOUT)
    rows = []
    for video, pose, expected in predictions:
        name = f"{video.subject}/{video.action}/{video.camera}"
        root = solve_root(pose, undistort(video.keypoints, video.intrinsics), video.confidence)
        arrays[f"{name}/pose"], arrays[f"{name}/root"] = pose.numpy(), root.numpy()
        arrays[f"{name}/fps"] = video.fps
        arrays[f"{name}/intrinsics"] = video.intrinsics.numpy()
        arrays[f"{name}/size"] = np.array([video.width, video.height])
        if expected is not None:
            arrays[f"{name}/expected_error"] = expected.numpy()
        if table:
            placed = (pose + root[:, None]).flatten(1).tolist()
            rows += [[name, i, round(i / video.fps, 6), *(f"{x:.5f}" for x in row)] for i, row in enumerate(placed)]
    write_npz(folder / PREDICTIONS_FILE, **arrays)
    if table:
        with atomic_write(folder / TABLE_FILE) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["video", "frame", "seconds", *(f"{joint} {x} (m)" for joint in H36M_17.joints for x in "xyz")]
            )
            writer.writerows(rows)
