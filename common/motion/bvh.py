"""A motion as a BVH file, for animation software: Blender, MotionBuilder, Unreal and Unity with plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import atomic_write
from ..geometry.skeleton import H36M_17
from .rig import RIG, rest_offsets, turn_parts
from .rows import rows

if TYPE_CHECKING:
    from .poses import Poses

CENTIMETRES = 100  # in a metre
END = 0.35  # the length of hand and foot, which are not known, to that of forearm and shin
_ORDER = "ZXY"


def zxy_degrees(turns: np.ndarray) -> np.ndarray:
    """Angles (..., 3) about z, x and y, whose product Rz Rx Ry is the rotation (..., 3, 3), for column vectors."""
    z = np.arctan2(-turns[..., 0, 1], turns[..., 1, 1])
    sine, cosine = np.sin(z), np.cos(z)
    rows = turns[..., :2, :]
    first = cosine[..., None] * rows[..., 0, :] + sine[..., None] * rows[..., 1, :]  # of Rx Ry = inverse(Rz) turn
    second = cosine[..., None] * rows[..., 1, :] - sine[..., None] * rows[..., 0, :]
    # From these, not from `turns`, so that the product is right even where x is 90 degrees and z is anything.
    y = np.arctan2(first[..., 2], first[..., 0])
    x = np.arctan2(turns[..., 2, 1], second[..., 1])
    return np.degrees(np.stack([z, x, y], -1))


def _make_steady(angles: np.ndarray) -> None:
    """Of the angles (F, parts, 3) that mean the same rotation, those nearest to the frame before; in place."""
    for before, now in zip(angles, angles[1:]):
        both = np.stack([now, now * [1, -1, 1] + 180])  # (z, x, y) and (z + 180, 180 - x, y + 180) are one rotation
        near = both + 360 * np.round((before - both) / 360)  # (2, parts, 3)
        second = np.abs(near - before).sum(-1).argmin(0)
        now[:] = np.take_along_axis(near, second[None, :, None], 0)[0]


def _hierarchy(offsets: dict[str, np.ndarray]) -> Iterator[str]:
    """The lines of a hierarchy; `offsets` (3,) metres from parent to part, or to the end of "NAME End"."""

    def offset(name: str) -> str:
        return "OFFSET " + " ".join(f"{CENTIMETRES * value:.4f}" for value in offsets[name] + 0.0)

    def lines(name: str, depth: int) -> Iterator[str]:
        tab = "\t" * depth
        yield f"{tab}{'JOINT' if depth else 'ROOT'} {name}"
        yield f"{tab}{{"
        yield f"{tab}\t{offset(name)}"
        channels = ([] if depth else [f"{axis}position" for axis in "XYZ"]) + [f"{axis}rotation" for axis in _ORDER]
        yield f"{tab}\tCHANNELS {len(channels)} {' '.join(channels)}"
        for child, part in RIG.items():
            if part.parent == name:
                yield from lines(child, depth + 1)
        if f"{name} End" in offsets:
            yield from (f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\t{offset(f'{name} End')}", f"{tab}\t}}")
        yield f"{tab}}}"

    yield "HIERARCHY"
    yield from lines(next(iter(RIG)), 0)


def _offsets(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Part, or part and " End" -> (3,) metres from its parent at rest."""
    to = rest_offsets(joints)
    offsets = {name: np.zeros(3) for name in RIG}
    for name, part in RIG.items():
        if part.parent and part.at != RIG[part.parent].at:
            offsets[name] = to[part.at]
    offsets["Head End"] = to["Head"]
    for side in ("Left", "Right"):
        offsets[f"{side}Hand End"] = END * offsets[f"{side}Hand"]
        offsets[f"{side}Foot End"] = np.array([0, 0, END * np.linalg.norm(offsets[f"{side}Foot"])])
    return offsets


def _told(name: str) -> Iterator[str]:
    """The parts in the order in which a hierarchy tells them."""
    yield name
    for child, part in RIG.items():
        if part.parent == name:
            yield from _told(child)


def write_bvh(poses: Poses, path: Path) -> None:
    """Write a T-pose with bones of constant length, each the median over the poses, and its rotations.

    Centimetres and y up, which a BVH file cannot say: in Blender import it at a scale of 0.01. The rest pose faces z,
    its left on x. The root has a position and a rotation, the other parts a rotation, in the order Z X Y. Joints stand
    where the motion has them but for the changes in bone length, summed up from the hips. Of hands and feet nothing
    is known: they have a length and go along with forearm and shin. See `rig` for the twist of the bones.

    Raises:
        OSError: the file cannot be written.
    """
    names = list(_told(next(iter(RIG))))
    turns = turn_parts(poses.joints)
    angles = np.empty((len(poses.joints), len(names), 3))
    for at, name in enumerate(names):  # one at a time: an hour's rotations fill the memory
        local = turns[RIG[name].parent].swapaxes(-1, -2) @ turns[name] if RIG[name].parent else turns[name]
        angles[:, at] = zxy_degrees(local)
    del turns
    _make_steady(angles)
    root = CENTIMETRES * poses.joints[:, H36M_17.root_index]
    values = np.concatenate([root, angles.reshape(len(root), -1)], 1)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for line in _hierarchy(_offsets(poses.joints)):
            file.write(line + "\n")
        file.write(f"MOTION\nFrames: {len(values)}\nFrame Time: {1 / poses.fps:.8f}\n")
        for row in rows(values):
            file.write(" ".join([f"{x:.4f}" for x in row[:3]] + [f"{x:.5f}" for x in row[3:]]) + "\n")
