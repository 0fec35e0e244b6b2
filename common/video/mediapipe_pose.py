"""MediaPipe's pose solution up to version 0.10.21: one person, 33 joints, the weights in the package."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from .detector import Detector, Find


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps from the terminal what MediaPipe's own threads tell of their networks, whatever its flags for that say."""
    with open(os.devnull, "w") as nowhere:
        sys.stderr.flush()
        old = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(old, 2)
            os.close(old)


def start() -> Find:
    """The middle one of its three networks, the one the package carries.

    Its smoothing over time is off: it takes every video to have 30 frames a second and lets joints lag behind. The
    poses are refined with all frames at once later.
    """
    import mediapipe

    if not hasattr(mediapipe, "solutions"):
        raise ImportError(f"version {mediapipe.__version__} no longer has the pose solution")
    with _silent():
        pose = mediapipe.solutions.pose.Pose(smooth_landmarks=False)
    quiet = False

    def find(picture: np.ndarray) -> list[np.ndarray]:
        nonlocal quiet
        with nullcontext() if quiet else _silent():  # a network tells of itself with the first picture it gets
            landmarks = pose.process(picture).pose_landmarks
        if landmarks is None:
            return []
        quiet = True
        height, width = picture.shape[:2]
        return [np.array([(point.x * width, point.y * height, point.visibility) for point in landmarks.landmark])]

    return find


DETECTOR = Detector("mediapipe", "mediapipe", "mediapipe==0.10.21", "blazepose", start)
