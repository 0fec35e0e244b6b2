"""Poses drawn as stick figures, in 2D and in 3D."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .skeleton import H36M_17, Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind readers.
LEFT, RIGHT, MIDDLE = "#E69F00", "#0072B2", "#333333"


def bone_segments(points: np.ndarray, skeleton: Skeleton = H36M_17) -> list[tuple[np.ndarray, str]]:
    """The bones of a pose (joints, D) as pairs of ends (2, D), each with the colour of its side."""
    segments = []
    for joint, parent in skeleton.bones.items():
        colour = LEFT if joint in skeleton.left else RIGHT if joint in skeleton.right else MIDDLE
        segments.append((points[skeleton.indices(parent, joint)], colour))
    return segments


def draw_pose_2d(
    ax: "Axes", keypoints: np.ndarray, skeleton: Skeleton = H36M_17, width: float = 2.0, head: bool = True, **style
) -> None:
    """Draw a stick figure in image coordinates (y down): left orange, right blue, trunk dark.

    The axes are made equal and emptied of ticks; their limits are the caller's.

    Args:
        keypoints: (joints of `skeleton`, 2), pixels or normalised screen coordinates.
        skeleton: Human3.6M-17 or Human3.6M-32, which has hands and feet.
        width: of the lines, points.
        head: draw a circle round the head.
        style: further matplotlib line properties, such as `alpha`.
    """
    from matplotlib.patches import Circle

    _check(keypoints, skeleton, 2)
    for ends, colour in bone_segments(keypoints, skeleton):
        ax.plot(*ends.T, color=colour, linewidth=width, solid_capstyle="round", **style)
    if head:
        throat, crown = keypoints[skeleton.indices("Neck/Nose", "Head")]
        trunk = keypoints[skeleton.indices("Hip", "Spine", "Thorax", "Neck/Nose", "Head")]
        length = np.linalg.norm(np.diff(trunk, axis=0), axis=-1).sum()
        ax.add_patch(
            Circle(
                (throat + crown) / 2, 0.15 * length, facecolor="white", edgecolor=MIDDLE, linewidth=width, zorder=2.5
            )
        )
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_axis_off()


def draw_pose_3d(ax: Any, pose: np.ndarray, world: bool = False, width: float = 2.0, **style) -> None:
    """Draw a stick figure into 3D axes with equal scales, without grid or ticks.

    Args:
        ax: `Axes3D`, axes of projection "3d".
        pose: (17, 3) metres.
        world: True for world axes (z up), False for camera axes (y down, z forward).
        width: of the lines, points.
        style: further matplotlib line properties, such as `alpha`.
    """
    _check(pose, H36M_17, 3)
    if not world:
        pose = pose[:, [0, 2, 1]] * [1, 1, -1]  # to the drawing's x right, y away, z up
    for ends, colour in bone_segments(pose):
        ax.plot(*ends.T, color=colour, linewidth=width, solid_capstyle="round", **style)
    centre, half = (pose.max(0) + pose.min(0)) / 2, np.ptp(pose, axis=0).max() / 2
    ax.set_xlim(centre[0] - half, centre[0] + half)
    ax.set_ylim(centre[1] - half, centre[1] + half)
    ax.set_zlim(centre[2] - half, centre[2] + half)
    ax.set_box_aspect((1, 1, 1), zoom=1.5)  # the room that ticks would need
    ax.set_axis_off()


def _check(points: np.ndarray, skeleton: Skeleton, dimensions: int) -> None:
    if points.shape != (len(skeleton.joints), dimensions):
        raise ValueError(f"expected a pose of shape ({len(skeleton.joints)}, {dimensions}), found {points.shape}")
