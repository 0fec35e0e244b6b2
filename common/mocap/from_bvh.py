"""BVH motion to Human3.6M's joints."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from .asf_amc import METRES_PER_UNIT
from .bvh import END, Bvh, places, read_bvh, turn
from .from_asf import nose_of
from .joint_names import JointMap, match_joints
from .kinematics import resample
from .standing import FPS, check_height, solved_frames, stack_standing

# What a length in the file may be, in metres; CMU's is its skeletons' length factor, which the converters kept.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": METRES_PER_UNIT, "1/0.45 inch": METRES_PER_UNIT / 0.45}
LEG_M = 0.8  # an adult's, from hip to ankle
LEG_RANGE_M = (0.4, 1.2)
FEWEST_MOVING = 8  # with fewer joints that turn, zeros say nothing about a frame
FALL_BACK = {"ToeBase": "Foot", "ToeSite": "ToeBase", "Hand": "Wrist", "Thumb": "Wrist", "HandEnd": "Wrist",
             "HandSite": "Wrist"}  # fmt: skip


@dataclass
class BvhClip:
    """What became of one BVH file.

    Attributes:
        positions: (F, 32, 3) metres at 50 fps, z up, the floor at z = 0.
        units: a key of `UNITS`. fps: the file's frames a second. table: Human3.6M joint -> the file's, in words.
        notes: what was mended or assumed, a line each; the same for files of one skeleton.
    """

    positions: np.ndarray
    units: str
    fps: float
    table: dict[str, str]
    notes: list[str]


def mend_cgspeed(bvh: Bvh) -> Bvh | None:
    """Put back what cgspeed's conversions of CMU's files lose; None for other files.

    Neck and shoulders there hang on the upper spine, the thorax bone between them is missing; it is as long as the
    bone below it and goes on in its direction (in five of CMU's skeletons within 3 % and 4 degrees). The hand
    hangs on the radius bone; the wrist bone after it is half as long and straight on.
    """
    parents = {"Spine1": "Spine", "Neck": "Spine1", "LeftShoulder": "Spine1", "RightShoulder": "Spine1"}
    parents |= {f"{s}FingerBase": f"{s}Hand" for s in ("Left", "Right")} | {"LHipJoint": bvh.root}
    if any(name not in bvh.joints or bvh.joints[name].parent != parent for name, parent in parents.items()):
        return None
    lost = ("Neck", "LeftShoulder", "RightShoulder", "LeftFingerBase", "RightFingerBase")
    if any(bvh.joints[name].offset.any() for name in lost):
        return None
    joints = dict(bvh.joints)
    for name in lost[:3]:
        joints[name] = replace(joints[name], offset=joints["Spine1"].offset)
    for name in ("LeftHand", "RightHand"):
        joints[name] = replace(joints[name], offset=joints[name].offset * 1.5)
    return replace(bvh, joints=joints)


def captured(bvh: Bvh) -> tuple[int, int]:
    """The frames to use, as (start, stop): without the T-pose that files begin with, see `solved_frames`."""
    columns = bvh.columns()
    turns = {n: [i for i, (_, kind) in enumerate(j.channels) if kind == "rotation"] for n, j in bvh.joints.items()}
    angles = [bvh.values[:, columns[n]][:, own] for n, own in turns.items() if own and n != bvh.root]
    moving = [a for a in angles if a.any()]
    if not moving:
        return 0, 0
    return solved_frames(moving) if len(moving) >= FEWEST_MOVING else (0, len(bvh.values))


def guess_units(leg: float, where: str) -> str:
    """The unit, a key of `UNITS`, in which a leg of that length is nearest to an adult's."""
    units = min(UNITS, key=lambda name: abs(np.log(max(leg, 1e-9) * UNITS[name] / LEG_M)))
    if not LEG_RANGE_M[0] < leg * UNITS[units] < LEG_RANGE_M[1]:
        low, high = LEG_RANGE_M
        raise InputError(
            f"{where}: from hip to ankle it is {leg:g} units, expected {low} to {high} m in {', '.join(UNITS)}; "
            "scale the file, or name its hip, knee and ankle with --map"
        )
    return units


def _upright(torso: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation that makes the file's y the axis that points up: y unless motion and rest pose deny it."""
    axes = [int(np.abs(vector).argmax()) for vector in (torso, rest)]
    if 1 in axes:
        axis, sign = 1, float(np.sign(rest[1] if axes[1] == 1 else torso[1]))
    else:
        axis, sign = axes[0], float(np.sign(torso[axes[0]]))
    first = (axis + 1) % 3
    rows = np.zeros((3, 3))
    rows[1, axis], rows[2, first], rows[0, (axis + 2) % 3] = sign, 1, sign
    return rows


def read_clip(path: Path, given: JointMap | None = None) -> BvhClip:
    """Read one BVH file.

    Args:
        given: what --map says, our joint -> their joints.

    Raises:
        InputError: naming the file, and the line where there is one.
    """
    bvh = read_bvh(path)
    notes: list[str] = []
    mended = mend_cgspeed(bvh)
    if mended is not None:
        bvh = mended
    names = match_joints(bvh, given)
    start, stop = captured(bvh)
    if start == stop:
        raise InputError(f"{path}: in every frame most angles are exactly 0; expected a recorded motion")
    if (start, stop) == (1, len(bvh.values)):
        notes.append("left out the first frame, a T-pose")
    elif stop - start < len(bvh.values):
        print(f"{path.name}: left out {len(bvh.values) - (stop - start)} of {len(bvh.values)} frames, angles exactly 0")

    above = bvh.chain(names["Head"][0])
    head = next((name for name in above if not name.endswith(END) and _is_head(name)), above[:2][-1])
    used = {ancestor for theirs in names.values() for their in theirs for ancestor in bvh.chain(their)}
    motion = resample(turn(bvh, used | set(bvh.chain(head)), start, stop), bvh.fps, FPS)
    ends = places(bvh, motion)
    joints = {ours: np.mean([ends[their] for their in theirs], axis=0) for ours, theirs in names.items()}

    leg = np.median([np.linalg.norm(joints[f"{s}Hip"] - joints[f"{s}Knee"], axis=-1) for s in "LR"])
    leg += np.median([np.linalg.norm(joints[f"{s}Knee"] - joints[f"{s}Foot"], axis=-1) for s in "LR"])
    units = guess_units(float(leg), f"{path}")
    notes.append(f"the leg is {leg:.4g} long, so lengths are in {units} ({leg * UNITS[units]:.2f} m)")
    if mended is not None:
        lost = np.linalg.norm(bvh.joints["Neck"].offset), np.linalg.norm(bvh.joints["LeftHand"].offset) / 3
        cm = [f"{100 * UNITS[units] * length:.1f} cm" for length in lost]
        notes.append(f"cgspeed's conversion of CMU: put back the thorax bone ({cm[0]}) and the forearm's end ({cm[1]})")

    rest = bvh.rest()
    at_rest = {ours: np.mean([rest[their] for their in theirs], axis=0) for ours, theirs in names.items()}
    if "Neck/Nose" not in joints:
        bone = None if mended is None else at_rest["Head"] - rest[head]
        joints["Neck/Nose"] = joints["Head"] + _nose(joints, at_rest, motion.rotations[head], bone)
    torso, rest_torso = (j["Thorax"] - (j["LHip"] + j["RHip"]) / 2 for j in (joints, at_rest))
    up = _upright(torso.mean(0), rest_torso)
    if not np.array_equal(up, np.eye(3)):
        notes.append(f"up is the file's {'-' if up[1].sum() < 0 else ''}{'xyz'[int(np.abs(up[1]).argmax())]} axis")

    table = {ours: "middle of " * (len(theirs) > 1) + ", ".join(theirs) for ours, theirs in names.items()}
    for side in "LR":
        for ours, instead in FALL_BACK.items():
            joints.setdefault(side + ours, joints[side + instead])
            if ours.startswith("Toe"):
                table.setdefault(side + ours, table[side + instead])
        joints[f"{side}Collar"] = joints["Thorax"]
    table |= {"Hip": "middle of LHip, RHip", "Neck/Nose": table.get("Neck/Nose", "below the head's end")}
    positions = stack_standing({ours: points @ up.T * UNITS[units] for ours, points in joints.items()})
    check_height(positions, f"{path}: in {units}", "check the joints in the table above, and mend them with --map")
    return BvhClip(positions, units, bvh.fps, table, notes)


def _is_head(name: str) -> bool:
    return name.lower().replace("_", "").split(":")[-1].endswith("head")


def _nose(
    joints: dict[str, np.ndarray], rest: dict[str, np.ndarray], turned: np.ndarray, bone: np.ndarray | None
) -> np.ndarray:
    """(F, 3) from Head to Neck/Nose, turning with the head (F, 3, 3).

    It halves the way from Thorax to Head, somewhat forward (see `nose_of`), as the head is held in the rest pose, or
    in the first frame where the rest pose is not upright. Of CMU's files the head's `bone` is known and taken.
    """
    reach, left = rest["Head"] - rest["Thorax"], rest["LHip"] - rest["RHip"]
    size = np.linalg.norm(reach) * np.linalg.norm(left)
    pose: np.ndarray = np.eye(3)
    if not size or np.linalg.norm(np.cross(left, reach)) < 0.7 * size:
        reach, left = joints["Head"][0] - joints["Thorax"][0], joints["LHip"][0] - joints["RHip"][0]
        pose = turned[0].T
    return turned @ (pose @ nose_of(reach / 2.8 if bone is None else bone, left))
