"""Which order the joints of a file have: by their number, by their names, or by what makes a person."""

import re
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import H36M_17, JOINT_ORDERS, Skeleton, joint_sources
from .source import listed

DETECTORS = ("coco", "halpe26", "body25", "body25b", "openpose18", "blazepose")  # of `JOINT_ORDERS`, the surest first
BY_COUNT = {17: "coco", 18: "openpose18", 26: "halpe26", 33: "blazepose", 133: "coco", 136: "halpe26"}
_TWENTY_FIVE = ("body25", "body25b")
_EXPECTED = "17 (COCO), 18 (OpenPose), 25 (BODY_25 and BODY_25B), 26 (Halpe), 33 (BlazePose), 133 or 136 (whole body)"

# Joints next to each other in a body; wrong orders stretch them.
_LIMBS = (("Shoulder", "Elbow"), ("Elbow", "Wrist"), ("Shoulder", "Hip"), ("Hip", "Knee"), ("Knee", "Ankle"),
          ("Ankle", "Heel"), ("Heel", "BigToe"), ("Eye", "Ear"))  # fmt: skip
_BONES = [(side + start, side + end) for start, end in _LIMBS for side in "LR"]
_SURE = 0.8  # of the other order's stretch, so small must that of the right one be

_SAME = {"midhip": "hip", "pelvis": "hip", "hips": "hip", "tophead": "headtop", "head": "headtop"}
_NEEDED = [side + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for side in "LR"]


_SIDED = {joint.lower()[1:] for order in DETECTORS for joint in JOINT_ORDERS[order].left}  # shoulder, elbow, ...


def order_by_count(pixels: np.ndarray, seen: np.ndarray, place: str) -> tuple[str, int]:
    """The order that people of so many joints have.

    Args:
        pixels: (N, K, 2). seen: (N, K) bool.

    Returns:
        A key of `JOINT_ORDERS`, and how many of the joints it has, which come first; whole bodies have hands and a
        face after them.

    Raises:
        InputError: no order has K joints, or it cannot be told which of two it is.
    """
    count = pixels.shape[1]
    if count in BY_COUNT:
        order = BY_COUNT[count]
        return order, len(JOINT_ORDERS[order].joints)
    if count != 25:
        raise InputError(f"{place}: expected {_EXPECTED} joints a person, found {count}; use another model")
    stretches = [_stretch(pixels, seen, JOINT_ORDERS[order]) for order in _TWENTY_FIVE]
    best = int(np.argmin(stretches))
    if not stretches[best] < _SURE * stretches[1 - best]:  # either is infinite without bones
        raise InputError(
            f"{place}: expected BODY_25 or BODY_25B, found 25 joints that are no person in either order; name it with "
            "--format openpose-body25 or openpose-body25b"
        )
    return _TWENTY_FIVE[best], count


def _stretch(pixels: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> float:
    """The mean length of the bones that are seen, of the diagonal of the box round the person."""
    shown = np.where(seen[..., None], pixels, np.nan)
    shown = shown[seen.sum(1) > 1]
    if len(shown) == 0:
        return float("inf")
    diagonal = np.linalg.norm(np.nanmax(shown, 1) - np.nanmin(shown, 1), axis=-1)  # (N,)
    shown, diagonal = shown[diagonal > 0], diagonal[diagonal > 0]
    starts, ends = (skeleton.indices(*(bone[i] for bone in _BONES)) for i in (0, 1))
    lengths = np.linalg.norm(shown[:, starts] - shown[:, ends], axis=-1) / diagonal[:, None]  # (N, bones)
    return float(np.nanmean(lengths)) if np.isfinite(lengths).any() else float("inf")


def joint_key(name: str) -> tuple[str, str]:
    """(side "l", "r" or "", the name without side, case and punctuation) of a joint by any of its names."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    words = [word.lower() for word in words]
    sides = [word for word in words if word in ("left", "right", "l", "r")]
    if len(sides) == 1:
        core = "".join(word for word in words if word not in sides)
        return sides[0][0], _SAME.get(core, core)
    core = "".join(words)
    for start in ("left", "right", "l", "r"):
        if core.removeprefix(start) in _SIDED and core.startswith(start):
            return start[0], core.removeprefix(start)
    return "", _SAME.get(core, core)


def order_by_names(names: Sequence[str], place: str) -> tuple[str, list[int | None], list[str]]:
    """The order that gives the most of Human3.6M's joints from these names; of equal ones the one that lacks fewest,
    then the largest.

    Returns:
        A key of `JOINT_ORDERS`, per joint of it the number of its name or None, and the names it has no joint for.

    Raises:
        InputError: shoulders, elbows, wrists, hips, knees or ankles are not among the names.
    """
    known: dict[tuple[str, str], int] = {}
    for number, name in enumerate(names):
        known.setdefault(joint_key(name), number)
    lacking = [joint for joint in _NEEDED if joint_key(joint) not in known]
    if lacking:
        raise InputError(
            f"{place}: expected joints named as left_shoulder or LShoulder, found none for {listed(lacking)}; its "
            f"joints: {listed(list(names), 12)}"
        )
    columns = {order: [known.get(joint_key(joint)) for joint in JOINT_ORDERS[order].joints] for order in DETECTORS}

    def fitness(order: str) -> tuple[int, int, int]:
        here, absent = columns[order], columns[order].count(None)
        made = [None not in [here[j] for j in joints] for joints in joint_sources(JOINT_ORDERS[order], H36M_17)]
        return sum(made), -absent, len(here)

    best = max(DETECTORS, key=fitness)
    used = {column for column in columns[best] if column is not None}
    return best, columns[best], [name for number, name in enumerate(names) if number not in used]
