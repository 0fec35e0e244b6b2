"""A made-up walk before a camera, as tracks of the viewer."""

import numpy as np

from common.geometry.skeleton import H36M_17, H36M_32, convert
from common.sample.actions import make_clip
from common.sample.files import BODIES, STYLES
from common.viewer.page import Track

SIZE, FOCAL, CENTRE = (1000, 1000), 1145.0, (512.0, 515.0)


def walk(frames: int, action: str = "Walking") -> tuple[np.ndarray, np.ndarray]:
    """Joints (F, 17, 3) metres, the camera at the origin, and their pixels (F, 17, 2)."""
    world = make_clip(action, BODIES["S1"], STYLES["S1"], frames, np.random.default_rng(3))
    joints = convert(world, H36M_32, H36M_17)[..., [1, 2, 0]] + [0.0, -1.1, -5.2]  # to x right, y up, z to the viewer
    pixels = np.array(CENTRE) + FOCAL * joints[..., :2] * [1, -1] / -joints[..., 2:]
    return joints, pixels


def tracks(frames: int, truth: bool = True, hypotheses: int = 5) -> tuple[list[Track], np.ndarray]:
    """Two poor guesses at a walk and the walk itself; keypoints with gaps."""
    joints, pixels = walk(frames)
    rng = np.random.default_rng(0)
    far = rng.gamma(4.0, 0.25, 17) * 0.03 * (1 + np.arange(17) % 3)
    wave = np.sin(np.arange(frames)[:, None, None] / 20 + rng.uniform(0, 6, (17, 3)))
    made = []
    for name, size in (("before adaptation", 1.0), ("after adaptation", 0.45)):
        guess = joints + size * far[:, None] * wave
        spread = size * far * (1 + 0.3 * wave[..., 0])
        sway = np.sin(np.arange(frames)[:, None, None, None] / 30 + rng.uniform(0, 6, (hypotheses, 17, 3)))
        guess[30:36] = np.nan
        many = guess[:, None] + 0.8 * size * far[:, None] * sway if hypotheses else None
        seen = np.array(CENTRE) + FOCAL * guess[..., :2] * [1, -1] / -guess[..., 2:]
        made.append(Track(name, guess, spread, many, reprojected=seen))
    if truth:
        made.append(Track("truth", joints, truth=True))
    found = pixels + rng.normal(0, 2, pixels.shape)
    found[40:60, [15, 16]] = np.nan
    return made, found
