"""A lifted motion with what is known of it, as a page or a film."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..geometry.camera import denormalise, project
from ..motion.poses import Poses
from .track import Track
from .view import PAGE, write_view

LONGEST_PAGE = 20_000  # frames; longer motions are thinned out for it


def track_of(name: str, poses: Poses, hypotheses: np.ndarray | None = None, spread: np.ndarray | None = None) -> Track:
    """A motion with its reprojection by its own camera.

    Args:
        hypotheses: (F, H, 17, 3) metres, in the world of the poses. spread: (F, 17) metres, of these; shown where the
            expected error is not known.
    """
    assert poses.camera is not None
    camera, turn, place = poses.camera, poses.to_camera[:3, :3], poses.to_camera[:3, 3]
    seen = project(torch.from_numpy(poses.joints @ turn.T + place), camera.normalised_intrinsics())
    known = poses.expected_error is not None
    return Track(
        name,
        poses.joints,
        expected_error=poses.expected_error if known else spread,
        error_name="expected error" if known else "spread of the hypotheses",
        hypotheses=hypotheses,
        reprojected=denormalise(seen, camera.width, camera.height).numpy(),
    )


def view_motion(path: Path, tracks: Sequence[Track], poses: Poses, about: Sequence[str]) -> None:
    """Show takes on one motion beside its keypoints.

    Args:
        path: its ending says how, see `write_view`.
        poses: one of the takes, with camera, pixels and confidence; keypoints of confidence 0 are left out.
        about: lines, see `write_page`.

    Raises:
        InputError: the file cannot be written.
    """
    assert poses.camera is not None and poses.pixels is not None and poses.confidence is not None
    shown = np.where(poses.confidence[..., None] > 0, poses.pixels, np.nan)
    title, fps = f"{poses.about['source']}, person {poses.about['person']}", poses.fps
    step = -(-len(shown) // LONGEST_PAGE) if path.suffix.lower() == PAGE else 1
    if step > 1:  # a page is read whole by a browser
        tracks, shown, fps = [track.every(step) for track in tracks], shown[::step], fps / step
        about = [*about, f"one frame in {step} is shown"]
    write_view(path, tracks, fps, title, about, shown, (poses.camera.width, poses.camera.height))
