"""The poses of a run as a file, for `--save-predictions`."""

from collections.abc import Sequence
from pathlib import Path

from ..datasets.npz import write_npz
from ..datasets.video import Video
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.lifting import lift_videos
from ..reprojection.refinement import Refinement


def write_predictions(
    path: Path,
    lifter: Lifter,
    videos: Sequence[Video],
    sampling: Sampling,
    refinement: Refinement | None,
    scale: float | None,
) -> None:
    """Write the results for some videos, all of the file or nothing.

    An npz: for every video 'SUBJECT/ACTION/CAMERA/pose' (F, 17, 3) float32 metres, relative to the root, camera axes,
    Human3.6M-17, and '.../expected_error' (F, 17) float32 metres where `scale` is known.
    """
    arrays = {}
    for video, pose, spreads in lift_videos(lifter, videos, sampling, refinement):
        name = f"{video.subject}/{video.action}/{video.camera}"
        arrays[f"{name}/pose"] = pose.numpy()
        if scale is not None:
            arrays[f"{name}/expected_error"] = (scale * spreads).numpy()
    write_npz(path, **arrays)
