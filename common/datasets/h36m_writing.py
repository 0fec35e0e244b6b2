"""Writing files in Human3.6M's layout, and what its cameras see of a motion."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..geometry.camera import Camera, project, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, convert
from .cameras_h36m import h36m_cameras, h36m_subjects
from .h36m_checks import FILE_2D, FILE_3D, JOINTS
from .npz import write_npz
from .open_layout import cameras_entry


def project_h36m(positions: np.ndarray, subject: str) -> list[np.ndarray]:
    """What the four cameras of a subject see, lens distortion included.

    Args:
        positions: (F, 32, 3) Human3.6M-32 joints, world metres.

    Returns:
        Per camera (F, 17, 2) float32, Human3.6M-17 joints, pixels.

    Raises:
        InputError: the subject's cameras are not known.
    """
    if subject not in h36m_subjects():
        raise InputError(f"subject {subject!r} has no Human3.6M cameras; those that have: {', '.join(h36m_subjects())}")
    world = torch.from_numpy(convert(positions, H36M_32, H36M_17).astype(np.float64))  # (F, 17, 3)
    return [
        project(world_to_camera(world, camera), world.new_tensor(camera.intrinsics)).float().numpy()
        for camera in h36m_cameras(subject)
    ]


def write_h36m(
    out_dir: Path,
    positions_3d: Mapping[str, Mapping[str, np.ndarray]],
    keypoints: Mapping[str, Mapping[str, Mapping[str, list[np.ndarray]]]],
    provenance: str,
    synthetic: bool,
    cameras: Mapping[str, Sequence[Camera]] | None = None,
    fps: float | None = None,
) -> None:
    """Write `data_3d_h36m.npz` and per set of keypoints `data_2d_h36m_<name>.npz` (layout: VideoPose3D, DATASETS.md).

    Args:
        positions_3d: subject -> action -> (F, 32, 3), world metres, 50 fps.
        keypoints: name -> subject -> action -> per camera (F, 17, 2), pixels.
        provenance: one line that says what the data is; every report repeats it.
        synthetic: True when no person was recorded.
        cameras: subject -> its views' cameras; None for Human3.6M's. fps: frames a second; None for Human3.6M's 50.
            Either makes it the open layout, see `open_layout`.
    """
    label: dict[str, Any] = {"provenance": provenance, "synthetic": synthetic}
    if cameras is not None:
        label["cameras"] = cameras_entry(cameras)
    if fps is not None:
        label["fps"] = float(fps)
    metadata = {
        "layout_name": "h36m",
        "num_joints": JOINTS,
        "keypoints_symmetry": [H36M_17.left_indices, H36M_17.right_indices],
    }
    write_npz(
        out_dir / FILE_3D,
        positions_3d={
            subject: {action: poses.astype(np.float32) for action, poses in actions.items()}
            for subject, actions in positions_3d.items()
        },
        **label,
    )
    for name, subjects in keypoints.items():
        positions_2d = {
            subject: {action: [view.astype(np.float32) for view in views] for action, views in actions.items()}
            for subject, actions in subjects.items()
        }
        write_npz(out_dir / FILE_2D.format(name), positions_2d=positions_2d, metadata=metadata, **label)
