"""The sample data in MPI-INF-3DHP's layout: a training rig of four cameras, and the six test sequences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..datasets.cameras_3dhp import TEST_SEQUENCES, TRAIN_SIZE, test_cameras
from ..datasets.mpi_3dhp import TEST_FILE, TRAIN_FILE
from ..datasets.npz import write_npz
from ..geometry.camera import Camera, project, quaternion_of, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, MPI_3DHP_17, convert
from .actions import make_clip, on_grid
from .body import Body
from .motion import FPS, Style

TARGET = np.array([0.0, 0.0, 0.95])  # metres: what the cameras look at
# Camera id -> where it stands, metres: two at chest height, one high, one low.
TRAIN_RIG = {"0": (3.6, 0.6, 1.3), "2": (-0.8, 3.7, 1.2), "7": (-2.6, -2.4, 2.7), "8": (2.2, -3.0, 0.5)}
TRAIN_FOCAL = 1500.0  # pixels
TRAIN_SUBJECTS = ("S1", "S2", "S3", "S4")
TRAIN_ACTIONS = {
    "Seq1": ("Walking", "Exercise", "Sitting", "Discussion"),
    "Seq2": ("Purchases", "Boxing", "SittingDown", "Posing"),
}
# Test sequence -> its actions, each with 3DHP's activity class: 1 standing and walking, 2 exercising, 3 sitting,
# 4 reaching and crouching, 5 on the floor, 6 sports, 7 miscellaneous.
TEST_ACTIONS = {
    "TS1": (("Walking", 1), ("Boxing", 6)),
    "TS2": (("Waiting", 1), ("Exercise", 2)),
    "TS3": (("Sitting", 3), ("Purchases", 4)),
    "TS4": (("SittingDown", 5), ("Discussion", 7)),
    "TS5": (("Purchases", 4), ("Posing", 7)),
    "TS6": (("Exercise", 2), ("Sitting", 3)),
}
STUDIO_DISTANCE, OUTDOOR_DISTANCE = 4.0, 5.4  # metres: the outdoor image is less high
CUT_FRAMES = 5  # frames marked invalid on either side of a cut


def look_at(position: np.ndarray, target: np.ndarray) -> tuple[float, float, float, float]:
    """The orientation (w, x, y, z) of a level camera at `position` that looks at `target`, as in `Camera`."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    return quaternion_of(np.stack([right, np.cross(forward, right), forward], 1))


def train_cameras() -> dict[str, Camera]:
    """The invented training rig."""
    return {
        name: Camera(
            TRAIN_SIZE,
            TRAIN_SIZE,
            TRAIN_FOCAL,
            name=name,
            orientation=look_at(np.array(place), TARGET),
            translation=place,
        )  # fmt: skip
        for name, place in TRAIN_RIG.items()
    }


def make_3dhp(out_dir: Path, seed: int, seconds: float, provenance: str) -> None:
    """Write the training and the test file: `seconds` of every training action, twice that of every test action."""
    frames = round(seconds * FPS)
    label = {"provenance": provenance, "synthetic": True, "fps": float(FPS)}
    cameras = train_cameras()
    train = {}
    for subject in TRAIN_SUBJECTS:
        rng = np.random.default_rng([seed, 1000 + TRAIN_SUBJECTS.index(subject)])
        body, style = _someone(rng)
        for sequence, actions in TRAIN_ACTIONS.items():
            joints = np.concatenate([make_clip(action, body, style, frames, rng) for action in actions])
            train[f"{subject} {sequence}"] = [{name: _seen(joints, camera) for name, camera in cameras.items()}]
    entries = ("name", "width", "height", "intrinsics", "orientation", "translation")
    calibration = {name: {entry: getattr(camera, entry) for entry in entries} for name, camera in cameras.items()}
    write_npz(out_dir / TRAIN_FILE, data=train, cameras=calibration, **label)

    frames *= 2
    test = {}
    for name, camera in test_cameras().items():
        rng = np.random.default_rng([seed, 2000 + TEST_SEQUENCES.index(name)])
        body, style = _someone(rng)
        joints = np.concatenate([make_clip(action, body, style, frames, rng) for action, _ in TEST_ACTIONS[name]])
        azimuth = rng.uniform(-np.pi, np.pi)
        distance = STUDIO_DISTANCE if camera.width == camera.height else OUTDOOR_DISTANCE
        place = np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(0.9, 1.7)])
        camera = replace(camera, orientation=look_at(place, TARGET), translation=tuple(place))
        to_cut = np.abs(np.arange(len(joints)) + 0.5 - frames)
        activity = np.repeat([number for _, number in TEST_ACTIONS[name]], frames)
        test[name] = _seen(joints, camera) | {"valid": (to_cut > CUT_FRAMES).astype(np.float32), "activity": activity}
    write_npz(out_dir / TEST_FILE, data=test, **label)


def _someone(rng: np.random.Generator) -> tuple[Body, Style]:
    """A random person: segments vary by 4 % beside stature."""
    body = Body(rng.normal(1.73, 0.065), *rng.normal(1, 0.04, 8))
    hand = "R" if rng.random() < 0.8 else "L"
    return body, Style(rng.uniform(0.85, 1.15), rng.uniform(0.9, 1.1), 0.0, rng.uniform(1.2, 2.6), hand)


def _seen(joints: np.ndarray, camera: Camera) -> dict[str, np.ndarray]:
    """3D in millimetres and 2D in pixels of world joints (F, 32, 3), in 3DHP's order."""
    world = torch.from_numpy(convert(convert(joints, H36M_32, H36M_17), H36M_17, MPI_3DHP_17))
    in_camera = on_grid(world_to_camera(world, camera).numpy() * 1000, 2.0**-6)
    pixels = project(torch.from_numpy(in_camera).double(), torch.tensor(camera.intrinsics, dtype=torch.float64))
    return {"data_3d": in_camera, "data_2d": on_grid(pixels.numpy(), 2.0**-6)}
