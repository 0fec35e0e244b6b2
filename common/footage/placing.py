"""Where a lifted person stands in a world with a floor, and how far the result is to be trusted."""

import numpy as np
import torch

from ..geometry.camera import rotation_between
from ..geometry.skeleton import H36M_17
from .lifting import ANKLE_HEIGHT, Lifted
from .preparing import Prepared

FEET_ON_FLOOR = 0.1  # quantile of the lower foot's height that is taken for standing
MISSING = 0.1  # share of the joints above which a clip is not to be trusted
REPROJECTION = 0.02  # of the person's box, sides summed: likewise
MOVED = 0.1  # metres, by refining: likewise; real footage has 0.03 to 0.06, joints in another order 0.12 to 0.26
FASTEST = 4.0  # metres a second about the hips, mean of the joints, median of the frames: likewise; CMU has up to 1.4


def in_world(lifted: Lifted) -> tuple[np.ndarray, np.ndarray]:
    """A lifted person on the floor, see `on_floor`."""
    return on_floor(lifted.pose + lifted.root[:, None], lifted.up, lifted.height)


def on_floor(joints: torch.Tensor, up: torch.Tensor, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints in a world with x to the right, y up and z towards the camera; the origin on the floor under the hips of
    the first frame.

    The floor is as high as the lower foot usually is, less the height of an ankle.

    Args:
        joints: (F, 17, 3) metres, in the camera's frame. up: (3,) unit vector against gravity, camera axes.
        height: metres, of the person.

    Returns:
        (F, 17, 3) float64 metres, and the rigid transform (4, 4) from this world to the camera's frame.
    """
    half_turn = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))
    up = torch.nn.functional.normalize(half_turn @ up.double(), dim=0)
    over = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64)) if up[1] < 0 else torch.eye(3).double()
    turn = rotation_between(over @ up, torch.tensor([0.0, 1, 0], dtype=torch.float64)) @ over @ half_turn
    joints = joints.double() @ turn.T
    feet = joints[:, H36M_17.indices("RFoot", "LFoot"), 1].amin(1)
    origin = joints[0, H36M_17.root_index].clone()
    origin[1] = feet.quantile(FEET_ON_FLOOR) - ANKLE_HEIGHT * height
    to_camera = torch.eye(4, dtype=torch.float64)
    to_camera[:3, :3] = turn.T
    to_camera[:3, 3] = turn.T @ origin
    return (joints - origin).numpy(), to_camera.numpy()


def into_world(points: torch.Tensor, to_camera: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the camera's frame in the world of `on_floor`, float64 metres."""
    return (points.double().numpy() - to_camera[:3, 3]) @ to_camera[:3, :3]


def hypotheses_in_world(lifted: Lifted, to_camera: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The hypotheses (F, H, 17, 3) in the world of `in_world`, where they were kept, and their spread (F, 17), where
    they differ; metres."""
    kept = lifted.hypotheses
    placed = None if kept is None else into_world(kept + lifted.root[:, None, None], to_camera)
    return placed, lifted.spread.numpy() if lifted.spread.any() else None


def verdict(prepared: Prepared, lifted: Lifted) -> tuple[bool, str]:
    """Whether a clip is worth using, and why not, from the 2D alone."""
    seen = torch.from_numpy(prepared.confidence) > 0
    off = lifted.reprojection[seen].median().item()
    pixels = torch.from_numpy(prepared.pixels)
    box = (pixels.amax(1) - pixels.amin(1)).sum(-1).median().item()
    doubts = []
    if prepared.missing > MISSING:
        doubts.append(f"{prepared.missing:.0%} of joints missing")
    if off > REPROJECTION * box:
        doubts.append(f"reprojection {off:.0f} px")
    speed = lifted.pose.diff(dim=0).norm(dim=-1).mean(-1)  # (F - 1,) metres a frame
    if len(speed) and (fast := speed.median().item() * prepared.video.fps) > FASTEST:
        doubts.append(f"joints jump about, at {fast:.0f} m/s")
    if lifted.moved > MOVED:
        doubts.append(f"refining moves joints by {1000 * lifted.moved:.0f} mm; are they in another order")
    found = f"reprojection {off:.1f} px (median), person {lifted.height:.2f} m tall"
    return not doubts, f"do not trust: {', '.join(doubts)}" if doubts else found
