"""Poses drawn as stick figures in the image."""

from typing import TYPE_CHECKING

import numpy as np

from .skeleton import H36M_17, Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind readers.
LEFT, RIGHT, MIDDLE = "#E69F00", "#0072B2", "#333333"


def draw_pose_2d(ax: "Axes", keypoints: np.ndarray, skeleton: Skeleton = H36M_17, width: float = 2.0, **style) -> None:
    """Draw a stick figure in image coordinates (y down): left orange, right blue, trunk dark, the head a circle.

    The axes are made equal and emptied of ticks; their limits are the caller's.

    Args:
        keypoints: (joints of `skeleton`, 2), pixels or normalised screen coordinates.
        skeleton: Human3.6M-17 or Human3.6M-32, which has hands and feet.
        width: of the lines, points.
        style: further matplotlib line properties, such as `alpha`.
    """
    from matplotlib.patches import Circle

    if keypoints.shape != (len(skeleton.joints), 2):
        raise ValueError(f"expected a pose of shape ({len(skeleton.joints)}, 2), found {keypoints.shape}")
    for joint, parent in skeleton.bones.items():
        colour = LEFT if joint in skeleton.left else RIGHT if joint in skeleton.right else MIDDLE
        ax.plot(
            *keypoints[skeleton.indices(parent, joint)].T,
            color=colour,
            linewidth=width,
            solid_capstyle="round",
            **style,
        )
    throat, crown = keypoints[skeleton.indices("Neck/Nose", "Head")]
    trunk = keypoints[skeleton.indices("Hip", "Spine", "Thorax", "Neck/Nose", "Head")]
    radius = 0.15 * np.linalg.norm(np.diff(trunk, axis=0), axis=-1).sum()
    ax.add_patch(Circle((throat + crown) / 2, radius, facecolor="white", edgecolor=MIDDLE, linewidth=width, zorder=2.5))
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_axis_off()
