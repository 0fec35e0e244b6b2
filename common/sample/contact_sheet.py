"""A picture of the sample data's people, six moments of every action."""

from pathlib import Path

import numpy as np
import torch

from ..datasets.cameras_h36m import h36m_cameras
from ..geometry.camera import project, world_to_camera
from ..geometry.skeleton import H36M_32
from .actions import ACTIONS

WALK_STEP = 9  # frames between the moments of a walk on the contact sheet: seven of them are one gait cycle


def contact_sheet(positions: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw six moments of every action of a sample, as one of the cameras sees them.

    Args:
        positions: subject -> action -> (F, 32, 3) world metres.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    from ..geometry.figures import draw_pose_2d

    moments, blocks = 6, 2
    rows = -(-len(ACTIONS) // blocks)
    figure = Figure(figsize=(12.6, 1.62 * rows + 0.4), facecolor="white")
    axes = figure.subplots(rows, moments * blocks)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.935, wspace=0.02, hspace=0.16)
    figure.suptitle("SYNTHETIC sample data, no person was recorded (left limbs orange, right limbs blue)", y=0.985)
    subjects = list(positions)
    for number, action in enumerate(ACTIONS):
        subject = subjects[number % len(subjects)]
        clip = torch.from_numpy(positions[subject][action].astype(np.float64))
        views = []
        for camera in h36m_cameras(subject):
            in_camera = world_to_camera(clip, camera)
            pixels = project(in_camera, clip.new_tensor(camera.intrinsics)).numpy()
            metre = camera.intrinsics[0] / in_camera[:, H36M_32.root_index, 2].numpy()  # pixels per metre, (F,)
            views.append((pixels, metre))
        pixels, metre = max(views, key=lambda view: np.ptp(view[0][..., 0], axis=1).mean())
        step = WALK_STEP if ACTIONS[action].carriage == "walk" else (len(clip) - 1) // moments
        for moment in range(moments):
            ax = axes[number % rows, number // rows * moments + moment]
            frame = min(moment * step, len(clip) - 1)
            draw_pose_2d(ax, pixels[frame], H36M_32, width=1.7, clip_on=False)
            middle = pixels[frame, H36M_32.root_index, 0]
            floor = pixels[frame, H36M_32.indices("LFoot", "RFoot", "LToeSite", "RToeSite"), 1].max()
            ax.set_xlim(middle - 0.66 * metre[frame], middle + 0.66 * metre[frame])
            ax.set_ylim(floor + 0.08 * metre[frame], floor - 2.0 * metre[frame])
            if moment == 0:
                ax.set_title(f"{action} ({subject})", fontsize=9, loc="left", pad=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
