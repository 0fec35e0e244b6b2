"""A rig for Human3.6M's 17 joints: rigid bones that hang on each other, and how they are turned in each pose.

Joints are points, so a bone's direction is known and its twist is not. It is taken from what stands across: the hip
line for the pelvis, the shoulder line for the chest, the plane in which an elbow or knee bends for a limb. The other
bones twist as little as they can on their way from the rest pose.
"""

from dataclasses import dataclass

import numpy as np

from ..geometry.skeleton import H36M_17

STRAIGHT = 0.2  # the sine of the bend at which an elbow or knee says as much about its axis as the pose before
RELAXES = 0.05  # of the twist that a straight limb has left, from a pose to the next
_SHORT = 1e-9  # without direction
_WEAK = 1e-3  # metres: what a line across must be longer than to count


@dataclass(frozen=True)
class Part:
    """A joint of the rig.

    Attributes:
        parent: "" for the root.
        at: the joint of Human3.6M-17 where it stands.
        to: the joint to which the bone that it turns leads; None for the pelvis, and for hands and feet, of which
            nothing is known: they are held as forearm and shin hold them.
    """

    parent: str
    at: str
    to: str | None


def _limbs(side: str) -> dict[str, Part]:
    s = side[0]
    return {
        f"{side}HipJoint": Part("Hips", "Hip", f"{s}Hip"),
        f"{side}UpLeg": Part(f"{side}HipJoint", f"{s}Hip", f"{s}Knee"),
        f"{side}Leg": Part(f"{side}UpLeg", f"{s}Knee", f"{s}Foot"),
        f"{side}Foot": Part(f"{side}Leg", f"{s}Foot", None),
        f"{side}Shoulder": Part("Spine1", "Thorax", f"{s}Shoulder"),
        f"{side}Arm": Part(f"{side}Shoulder", f"{s}Shoulder", f"{s}Elbow"),
        f"{side}ForeArm": Part(f"{side}Arm", f"{s}Elbow", f"{s}Wrist"),
        f"{side}Hand": Part(f"{side}ForeArm", f"{s}Wrist", None),
    }


# Every parent before its children. Three bones leave the hip and three the thorax, and none of them is rigid against
# the others: each has a part of its own, without distance from the parent's.
RIG = {
    "Hips": Part("", "Hip", None),
    "Spine": Part("Hips", "Hip", "Spine"),
    "Spine1": Part("Spine", "Spine", "Thorax"),
    "Neck": Part("Spine1", "Thorax", "Neck/Nose"),
    "Head": Part("Neck", "Neck/Nose", "Head"),
    **_limbs("Left"),
    **_limbs("Right"),
}

# The rest pose: towards each joint, facing z with the left on x. The nose is before the line from thorax to head.
_LEFT, _UP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
REST = {"Spine": _UP, "Thorax": _UP, "Neck/Nose": np.array([0, 0.96, 0.28]), "Head": np.array([0, 0.96, -0.28])}
for _side, _out in (("L", _LEFT), ("R", -_LEFT)):
    REST |= {f"{_side}{joint}": _out for joint in ("Hip", "Shoulder", "Elbow", "Wrist")}
    REST |= {f"{_side}{joint}": -_UP for joint in ("Knee", "Foot")}
# Knees bend backwards about the line to the left. Elbows bend forwards, palms down: about the vertical.
_HINGES = {"LKnee": _LEFT, "RKnee": _LEFT, "LElbow": -_UP, "RElbow": _UP}
_NEXT = {"LKnee": "LFoot", "RKnee": "RFoot", "LElbow": "LWrist", "RElbow": "RWrist"}


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > _SHORT, vectors / np.maximum(lengths, _SHORT), otherwise)


def _across(vectors: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """What of the vectors (..., 3) is at right angles to unit vectors."""
    return vectors - (vectors * direction).sum(-1, keepdims=True) * direction


def _apply(turns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotations (F, 3, 3), each of its vector (F, 3)."""
    return (turns @ vectors[..., None])[..., 0]


def _frame(direction: np.ndarray, hint: np.ndarray) -> np.ndarray:
    """(..., 3, 3) axes as columns: unit vectors, what of `hint` is across them, and the third."""
    any_axis = _across(np.eye(3)[np.abs(direction).argmin(-1)], direction)
    across = _unit(_across(hint, direction), _unit(any_axis, _UP))
    return np.stack([direction, across, np.cross(direction, across)], -1)


def _least_turn(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(..., 3, 3) the smallest rotations that turn unit vectors onto others; about any axis if they are opposite."""
    any_axis = _frame(one, one)[..., 1]
    axis = _unit(np.cross(one, other), any_axis)
    return _frame(other, axis) @ np.swapaxes(_frame(one, axis), -1, -2)


def _hinge(upper: np.ndarray, lower: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(F, 3) the axis about which a limb bends, at right angles to its upper bone.

    The straighter the limb, the more it is the axis of the pose before, made square to the bone, and in time `rest`.

    Args:
        upper, lower: (F, 3) unit vectors along the bones, as the upper bone's parent sees them.
        rest: (F, 3) the axis when the upper bone is not twisted.
    """
    bends = np.cross(upper, lower)  # as long as the sine of the bend
    bends = bends * np.linalg.norm(bends, axis=-1, keepdims=True)
    axes = np.empty_like(upper)
    for i in range(len(upper)):
        before = _unit(_across(axes[i - 1], upper[i]), rest[i]) if i else rest[0]
        axes[i] = _unit(bends[i] + STRAIGHT**2 * ((1 - RELAXES) * before + RELAXES * rest[i]), before)
    return axes


def turn_parts(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Part of `RIG` -> (F, 3, 3) what turns the rest pose's vectors into the world's.

    Args:
        joints: (F, 17, 3) metres, y up, any heading.
    """
    place = dict(zip(H36M_17.joints, np.moveaxis(joints, 1, 0)))
    hips = place["LHip"] - place["RHip"]
    shoulders = place["LShoulder"] - place["RShoulder"]
    wanted = {"Spine": hips + shoulders, "Thorax": shoulders}  # the way to the left
    pelvis = _frame(_unit(hips, _unit(shoulders, _LEFT)), place["Thorax"] - place["Hip"])
    turns = {"Hips": pelvis}
    for name, part in RIG.items():
        if not part.parent:
            continue
        parent = turns[part.parent]
        if part.to is None:
            turns[name] = parent
            continue
        rest, to = REST[part.to], part.to
        along = _unit(place[to] - place[part.at], parent @ rest)
        least = _least_turn(parent @ rest, along) @ parent
        if to in _HINGES:
            across = _HINGES[to]
            lower = _unit(place[_NEXT[to]] - place[to], along)
            seen = [_apply(parent.swapaxes(-1, -2), v) for v in (along, lower, least @ across)]
            hint = _apply(parent, _hinge(*seen))
            wanted[_NEXT[to]] = hint
        elif to in wanted:
            across = _HINGES.get(part.at, _LEFT)
            hint = wanted[to] + _WEAK * (least @ across)
        else:
            turns[name] = least
            continue
        turns[name] = _frame(along, hint) @ _frame(rest, across).T
    return turns


def rest_offsets(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Joint of Human3.6M-17 -> (3,) metres, from its parent in the rest pose: as long as the median over the poses.

    Args:
        joints: (F, 17, 3) metres.
    """
    lengths = np.median(np.linalg.norm(joints - joints[:, H36M_17.parents], axis=-1), axis=0)
    return {joint: REST[joint] * lengths[H36M_17.index(joint)] for joint in H36M_17.bones}
