"""A lifted motion, and its way into files of other tools."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import writing
from ..geometry.camera import Camera
from ..geometry.skeleton import H36M_17
from .bvh import write_bvh
from .c3d import write_c3d
from .document import write_document
from .npz import write_npz
from .table import write_table
from .trc import write_trc

WRITERS = {
    ".npz": write_npz,
    ".csv": write_table,
    ".json": write_document,
    ".trc": write_trc,
    ".bvh": write_bvh,
    ".c3d": write_c3d,
}
RIGID = 1e-6  # how far from a rotation `to_camera` may be


@dataclass(frozen=True)
class Poses:
    """One person's motion in 3D.

    The world has x to the right, y up and z towards the camera, right-handed: the camera's axes turned by 180 degrees
    about x, then tilted so that y is against gravity where the vertical is known. Its origin is on the floor below
    the first frame's hips where a floor is known, else at the camera.

    Attributes:
        joints: (F, 17, 3) float64 metres in the world, Human3.6M-17.
        fps: poses a second.
        frames: (F,) int64, the poses' frame numbers in the video, each the same number after the one before.
        to_camera: (4, 4) float64, the rigid transform from the world to the camera's frame (x right, y down, z
            forward), metres.
        camera: its image and lens; where it stands is in `to_camera`.
        expected_error: (F, 17) metres. confidence: (F, 17) of the 2D. pixels: (F, 17, 2) the 2D, NaN where missing.
        about: where the motion comes from: source file, conversion of joints, checkpoint, what was assumed.

    Raises:
        ValueError: a shape is not so, there is no frame, or a number that must be known is not finite.
    """

    joints: np.ndarray
    fps: float
    frames: np.ndarray
    to_camera: np.ndarray
    camera: Camera | None = None
    expected_error: np.ndarray | None = None
    confidence: np.ndarray | None = None
    pixels: np.ndarray | None = None
    about: dict[str, str | float | list] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, joints = len(self.frames), len(H36M_17.joints)
        shapes = {
            "joints": (count, joints, 3),
            "frames": (count,),
            "to_camera": (4, 4),
            "expected_error": (count, joints),
            "confidence": (count, joints),
            "pixels": (count, joints, 2),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise ValueError(f"{name} should be of shape {shape}, found {values.shape}")
            if values is not None and not np.isfinite(values).all() and name != "pixels":
                raise ValueError(f"{name} should be finite, found NaN or infinity")
        if count == 0:
            raise ValueError("a motion needs a frame, found none")
        if not 0 < self.fps < np.inf:
            raise ValueError(f"fps should be a positive number, found {self.fps}")
        steps = np.unique(np.diff(self.frames))
        if self.frames.dtype.kind not in "iu" or len(steps) > 1 or (steps < 1).any():
            raise ValueError("frames should be whole numbers that rise by the same step")
        turn = self.to_camera[:3, :3]
        rigid = np.abs(turn @ turn.T - np.eye(3)).max() < RIGID and np.linalg.det(turn) > 0
        if not rigid or not np.array_equal(self.to_camera[3], [0, 0, 0, 1]):
            raise ValueError("to_camera should be a rotation and a translation")

    @property
    def seconds(self) -> np.ndarray:
        """(F,) when each pose is, from the video's frame 0 on."""
        step = self.frames[1] - self.frames[0] if len(self.frames) > 1 else 1
        return self.frames / (self.fps * step)

    def save(self, path: Path) -> None:
        """Write the motion in the format that the name's ending says, all of it or nothing; see each `write_...`.

        Raises:
            InputError: another ending, the file cannot be written, or a package that it needs is missing.
        """
        suffix = path.suffix.lower()
        if suffix not in WRITERS:
            raise InputError(
                f"{path}: expected a name that ends in {', '.join(WRITERS)}, found {suffix or 'no ending'!r}"
            )
        with writing(path):
            WRITERS[suffix](self, path)
