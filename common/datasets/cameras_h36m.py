"""The four cameras of Human3.6M's subjects (Ionescu et al., PAMI 2014), read from `h36m_cameras.json`."""

import functools
import json
from pathlib import Path

from ..geometry.camera import Camera
from ..units import MILLIMETRES

UNPLACED = ("S2", "S3", "S4", "S10")  # without public labels: the same cameras, their places are not given out


@functools.cache
def _h36m_calibration() -> dict:
    return json.loads((Path(__file__).parent / "h36m_cameras.json").read_text())


def h36m_subjects() -> list[str]:
    """The Human3.6M subjects whose cameras are known."""
    return list(_h36m_calibration()["extrinsics"])


def h36m_cameras(subject: str) -> list[Camera]:
    """The four calibrated cameras of a Human3.6M subject; of `UNPLACED` ones without their places in the room.

    Raises:
        KeyError: no such subject.
    """
    calibration = _h36m_calibration()
    if subject in UNPLACED:
        nowhere = {"orientation": (1.0, 0.0, 0.0, 0.0), "translation": (0.0, 0.0, 0.0)}
        calibration = calibration | {"extrinsics": {subject: [nowhere] * len(calibration["intrinsics"])}}
    return [
        Camera(
            name=inner["id"],
            width=inner["res_w"],
            height=inner["res_h"],
            focal=tuple(inner["focal_length"]),
            centre=tuple(inner["center"]),
            distortion=(*inner["radial_distortion"], *inner["tangential_distortion"]),
            orientation=tuple(outer["orientation"]),
            translation=tuple(millimetres / MILLIMETRES for millimetres in outer["translation"]),
        )
        for inner, outer in zip(calibration["intrinsics"], calibration["extrinsics"][subject])
    ]
