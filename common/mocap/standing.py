"""What every motion format shares: which frames were captured, the floor, a person's height."""

from collections.abc import Iterable

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import H36M_32

FPS = 50.0  # Human3.6M's
FLOOR_PERCENTILE = 1.0  # of the lowest toe over a clip: single frames that dip below are capture errors
MIN_HEIGHT_M, MAX_HEIGHT_M = 0.5, 2.5
TOES = ("LToeBase", "RToeBase", "LToeSite", "RToeSite")
# Human3.6M's Hip lies midway between the hip joints, 10 cm below CMU's root; its SpineBase is the same point.
MID_HIP = ("Hip", "SpineBase")


def solved_frames(channels: Iterable[np.ndarray]) -> tuple[int, int]:
    """The longest run of captured frames, as (start, stop).

    Where a capture was not solved, CMU's files hold frames whose upper body is all zeros: a T-pose nobody struck.

    Args:
        channels: per bone (F, C).
    """
    zeros = np.mean([(values == 0).all(1) for values in channels], axis=0)  # (F,)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], zeros > 0.5, [True]])))  # starts and stops in turn
    runs = [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    return max(runs, key=lambda run: run[1] - run[0], default=(0, 0))


def stack_standing(joints: dict[str, np.ndarray]) -> np.ndarray:
    """Human3.6M-32 joint -> (F, 3) metres, y up, MID_HIP left out; gives (F, 32, 3), z up, the floor at z = 0."""
    joints = joints | dict.fromkeys(MID_HIP, (joints["LHip"] + joints["RHip"]) / 2)
    positions = np.stack([joints[joint] for joint in H36M_32.joints], 1)  # (F, 32, 3), y up
    positions = positions[..., [0, 2, 1]] * [1, -1, 1]
    lowest = positions[:, H36M_32.indices(*TOES), 2].min(1)
    positions[..., 2] -= np.percentile(lowest, FLOOR_PERCENTILE)
    return positions


def check_height(positions: np.ndarray, where: str, mend: str) -> None:
    """Raise `InputError` where a person (F, 32, 3), z up, is no person's height; `where` and `mend` go around it."""
    height = float(np.percentile(np.ptp(positions[..., 2], axis=1), 90))
    if not MIN_HEIGHT_M < height < MAX_HEIGHT_M:
        raise InputError(
            f"{where} the person is {height:.2f} m tall, expected {MIN_HEIGHT_M} to {MAX_HEIGHT_M} m; {mend}"
        )
