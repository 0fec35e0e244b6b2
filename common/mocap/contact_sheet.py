"""A picture of what was made of motion capture: a few frames of every person as its cameras see them.

Each cell shows the part of the image where the person is; the small square in its corner is the whole image, with
that part marked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.skeleton import H36M_17

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES = 6  # per person
INSET = 0.26  # the side of the small square, of a cell's
COLOURS = {"L": "#d1495b", "R": "#2f6690", "": "#3a3a3a"}


def write_contact_sheet(
    path: Path, keypoints: Mapping[str, Mapping[str, Sequence[np.ndarray]]], cameras: Mapping[str, Sequence[Camera]]
) -> None:
    """Draw a row of `FRAMES` cells per person; takes, moments and cameras change from frame to frame.

    Args:
        path: of the picture, .png.
        keypoints: person -> action -> per camera (F, 17, 2) pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(1.75 * FRAMES, 2 * len(keypoints) + 0.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(keypoints), FRAMES, squeeze=False)
    for row, (person, actions) in zip(axes, keypoints.items()):
        names = list(actions)
        for number, axis in enumerate(row):
            action = names[number * len(names) // FRAMES]
            view = number % len(cameras[person])
            camera, pixels = cameras[person][view], actions[action][view]
            frame = round((number + 0.5) / FRAMES * (len(pixels) - 1))
            _draw(axis, pixels[frame], camera)
            axis.set_title(f"{action}, frame {frame}, {camera.name}", fontsize=6.5, pad=2)
        row[0].set_ylabel(person, fontsize=12, rotation=0, ha="right", va="center", labelpad=8)
    labels = {"L": "person's left", "R": "person's right", "": "trunk and head"}
    handles = [Line2D([], [], color=COLOURS[side], linewidth=2, label=label) for side, label in labels.items()]
    figure.legend(handles=handles, loc="upper center", ncols=3, frameon=False, fontsize=9)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.1 / height, top=1 - 0.55 / height, hspace=0.16, wspace=0.06)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise InputError(f"--contact-sheet {path}: cannot be written ({error.strerror})") from error


def _free_corner(pose: np.ndarray) -> tuple[float, float]:
    """Where the small square goes, in axes' coordinates: the corner that hides the fewest of the joints (17, 2)."""
    places = [(1 - INSET, 1 - INSET), (0, 1 - INSET), (1 - INSET, 0), (0, 0)]
    centres = np.array(places) + INSET / 2
    hidden = (np.abs(pose * [1, -1] + [0, 1] - centres[:, None]) < INSET / 2 + 0.05).all(-1).sum(-1)
    x, y = places[int(hidden.argmin())]
    return float(x), float(y)


def _draw(axis: "Axes", pose: np.ndarray, camera: Camera) -> None:
    """One cell: the pose (17, 2) pixels, and where it is in the image."""
    for joint, parent in H36M_17.bones.items():
        side = joint[0] if joint[0] in "LR" and joint[1].isupper() else ""
        ends = pose[H36M_17.indices(joint, parent)]
        axis.plot(*ends.T, color=COLOURS[side], linewidth=2, solid_capstyle="round")
    axis.plot(*pose.T, ".", color="black", markersize=2.5)
    low, high = pose.min(0), pose.max(0)
    half = 0.62 * float((high - low).max())
    (x, y), (left, top) = (low + high) / 2, (low + high) / 2 - half
    axis.set(xlim=(x - half, x + half), ylim=(y + half, y - half), xticks=[], yticks=[], aspect="equal")
    inset = axis.inset_axes((*_free_corner((pose - (left, top)) / (2 * half)), INSET, INSET))
    inset.set(xlim=(0, camera.width), ylim=(camera.height, 0), xticks=[], yticks=[], aspect="equal")
    inset.plot(
        left + half * np.array([0, 2, 2, 0, 0]), top + half * np.array([0, 0, 2, 2, 0]), color="grey", linewidth=0.8
    )
    inset.plot(*pose.T, ".", color="black", markersize=0.8)
