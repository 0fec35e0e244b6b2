"""Random viewpoints around a person, and what a list of cameras sees."""

from collections.abc import Sequence

import numpy as np
import torch

from ..geometry.camera import Camera, project, quaternion_of, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, convert
from .capture_space import CaptureSpace

IMAGE_PX = 1000  # width and height
ELEVATION_DEG = (-30.0, 50.0)
ROLL_DEG = 10.0
FOCAL_WIDTHS = (0.6, 2.0)
DISTANCE_M = (2.0, 10.0)
FILL = (0.35, 0.75)  # of the image's height that a standing person fills where nobody walks away
LEAST_FILL = 0.25  # however far its clips go
FARTHEST = 1.5  # times the distance of what a camera looks at: there people may stand, not beyond
AIM_M = (0.0, 0.0, 0.9)  # what a camera looks at, and how far off it may look
AIM_SLIP_M = 0.2
PERSON_M = 1.75
STEP = 1.15  # by how much the cameras step back until the clips fit
ENOUGH = 0.8  # of the clips that fit uncut
MOST_VIEWS = 16  # with more, `CaptureSpace` would try millions of corners


def looking_at(position: np.ndarray, aim: np.ndarray, roll: float) -> np.ndarray:
    """(3, 3) from camera axes (x right, y down, z forward) to the world's, z up; `roll` in radians about forward."""
    forward = (aim - position) / np.linalg.norm(aim - position)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    return np.stack([cosine * right + sine * down, cosine * down - sine * right, forward], 1)


def random_cameras(count: int, clips: Sequence[np.ndarray], rng: np.random.Generator) -> list[Camera]:
    """Cameras all around a person, near enough that it fills the images, far enough that its clips fit.

    A viewpoint's direction, roll, focal length and the share of the image that the person fills are drawn; they give
    its distance. All cameras then step back, each to `DISTANCE_M` and `LEAST_FILL` at most, until `ENOUGH` of the clips
    fit into what all of them see, each moved as a whole.

    Args:
        clips: (F, 32, 3) metres, z up, the floor at z = 0.
    """
    yaw = rng.uniform(0, 2 * np.pi, count)
    elevation = np.radians(rng.uniform(*ELEVATION_DEG, count))
    roll = np.radians(rng.uniform(-ROLL_DEG, ROLL_DEG, count))
    focal = rng.uniform(*FOCAL_WIDTHS, count)
    fill = rng.uniform(*FILL, count)
    aim = AIM_M + rng.uniform(-AIM_SLIP_M, AIM_SLIP_M, (count, 3))
    away = np.stack([np.cos(yaw) * np.cos(elevation), np.sin(yaw) * np.cos(elevation), np.sin(elevation)], -1)

    def at(share: np.ndarray) -> list[Camera]:
        places = aim + away * np.clip(focal * PERSON_M / share, *DISTANCE_M)[:, None]
        return [
            Camera(
                name=f"view{i + 1}",
                width=IMAGE_PX,
                height=IMAGE_PX,
                focal=float(focal[i] * IMAGE_PX),
                orientation=quaternion_of(looking_at(places[i], aim[i], roll[i])),
                translation=(float(places[i][0]), float(places[i][1]), float(places[i][2])),
            )
            for i in range(count)
        ]

    cameras = at(fill)
    while (fill > LEAST_FILL).any():
        space = view_space(cameras)
        if np.mean([space.place(clip) is not None for clip in clips]) >= ENOUGH:
            break
        fill = np.maximum(fill / STEP, LEAST_FILL)
        cameras = at(fill)
    return cameras


def view_space(cameras: Sequence[Camera]) -> CaptureSpace:
    """Where a person can be before `random_cameras`: in all images, and near enough."""
    return CaptureSpace(cameras, [FARTHEST * float(np.linalg.norm(np.subtract(c.translation, AIM_M))) for c in cameras])


def project_to(positions: np.ndarray, cameras: Sequence[Camera]) -> list[np.ndarray]:
    """What the cameras see of (F, 32, 3) Human3.6M-32 joints, world metres: per camera (F, 17, 2) float32, pixels."""
    world = torch.from_numpy(convert(positions, H36M_32, H36M_17).astype(np.float64))  # (F, 17, 3)
    return [
        project(world_to_camera(world, camera), world.new_tensor(camera.intrinsics)).float().numpy()
        for camera in cameras
    ]
