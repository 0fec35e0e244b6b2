"""A motion for the tests of its files: a person who turns round, walks and swings every bone."""

import numpy as np
from bodies import poses

from common.geometry.camera import Camera
from common.motion.poses import Poses

FPS = 29.97
CAMERA = Camera(width=1920, height=1080, focal=(1500.0, 1490.0), centre=(950.0, 545.0), name="Küche")


def motion(count: int = 40, seed: int = 3, first: int = 100, **changes) -> Poses:
    """A `Poses` that knows everything; the bodies' bones keep their lengths."""
    joints = poses(1, count, seed)[0].numpy() * [1, -1, -1]  # camera axes -> y up, z towards the camera
    angle = 0.15 * np.arange(count)
    one, zero = np.ones(count), np.zeros(count)
    rows = [np.cos(angle), zero, np.sin(angle), zero, one, zero, -np.sin(angle), zero, np.cos(angle)]
    turn = np.stack(rows, -1).reshape(count, 3, 3)
    walk = np.stack([0.3 * np.sin(angle), 0.93 + 0 * angle, -4 + 0.2 * angle], -1)
    to_camera = np.diag([1.0, -1.0, -1.0, 1.0])
    to_camera[1, 3] = 1.5
    rng = np.random.default_rng(seed)
    known = {
        "joints": (turn[:, None] @ joints[..., None])[..., 0] + walk[:, None],
        "fps": FPS,
        "frames": np.arange(first, first + count),
        "to_camera": to_camera,
        "camera": CAMERA,
        "expected_error": rng.uniform(0.01, 0.1, (count, 17)),
        "confidence": rng.uniform(0, 1, (count, 17)),
        "pixels": rng.uniform(0, 1000, (count, 17, 2)),
        "about": {"source": "Küche.mp4", "focal length (px)": 1500.0, "assumed": ["size", "focal length"]},
    }
    return Poses(**(known | changes))


def bare(count: int = 40, **changes) -> Poses:
    """A `Poses` that knows no more than it must."""
    unknown = dict.fromkeys(("camera", "expected_error", "confidence", "pixels"))
    return motion(count, about={}, **(unknown | changes))
