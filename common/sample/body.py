"""The people of the sample data: their proportions, and how joint targets become 32 rigidly linked joints.

Segment lengths are fractions of stature (Drillis and Contini 1966, as tabulated in Winter, *Biomechanics and Motor
Control of Human Movement*): thigh .245, shank .246, ankle height .039, foot .152, upper arm .186, forearm .146, hand
.108, hip height .530, shoulder height .818, breadth of the shoulders .259 and of the hips .191. The joint centres lie
inside the breadths, so those are cut to about three quarters.

Body axes: x forward, y left, z up. Metres and radians.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.skeleton import H36M_32

SIDES = ("L", "R")
OUTWARD = {"L": 1.0, "R": -1.0}
REFERENCE_STATURE = 1.75
STRAIGHT = 0.9995  # longest reach of a limb over the sum of its bones: 3.6 degrees of flexion remain
TIGHTEST = np.radians(35)  # smallest angle between the two bones of a limb, 145 degrees of flexion

FLOOR_MARGIN = 0.03  # metres: from this height over the floor hands begin to evade it


@dataclass(frozen=True)
class Body:
    """One person's measures. The factors multiply the published fractions; individuals differ by 3 to 8 %."""

    stature: float
    thigh: float = 1.0
    shank: float = 1.0
    trunk: float = 1.0
    head: float = 1.0
    upper_arm: float = 1.0
    forearm: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0

    def length(self, segment: str) -> float:
        """The length of a segment, metres."""
        fraction, factor = _FRACTIONS[segment]
        return fraction * getattr(self, factor, 1.0) * self.stature

    @property
    def arm(self) -> float:
        return self.length("upper_arm") + self.length("forearm")

    @property
    def leg(self) -> float:
        return self.length("thigh") + self.length("shank")

    @property
    def scale(self) -> float:
        """Stature over the reference stature: turns distances said for an average person into this person's."""
        return self.stature / REFERENCE_STATURE


# segment -> (fraction of stature, the factor of `Body` it follows)
_FRACTIONS = {
    "thigh": (0.245, "thigh"),
    "shank": (0.246, "shank"),
    "ankle_height": (0.039, "foot"),
    "heel": (0.035, "foot"),
    "midfoot": (0.085, "foot"),
    "toes": (0.040, "foot"),
    "lower_trunk": (0.140, "trunk"),
    "upper_trunk": (0.148, "trunk"),
    "neck": (0.068, "head"),
    "skull": (0.068, "head"),
    "half_shoulders": (0.259 / 2 * 0.76, "shoulders"),
    "shoulder_drop": (0.020, "shoulders"),
    "half_hips": (0.191 / 2 * 0.78, "hips"),
    "upper_arm": (0.186, "upper_arm"),
    "forearm": (0.146, "forearm"),
    "hand": (0.060, "forearm"),
}


@dataclass
class Hand:
    """Where a wrist should be.

    Attributes:
        anchor: what it is measured from: "shoulder", "head", "pelvis", "knee" or "floor".
        offset: (3,) or (F, 3) forward, outward, up; arm lengths from the shoulder, else metres for an average person.
        elbow: (3,) where the elbow points: forward, outward, up.
    """

    anchor: str
    offset: np.ndarray
    elbow: tuple[float, float, float] = (-0.6, 0.4, -0.6)


@dataclass
class Motion:
    """What the joints should do, frame by frame; `pose_joints` turns it into joints.

    Attributes:
        root: (F, 3) world. pelvis, spine, neck: (F, 3) roll (to the right), pitch (forward), yaw (to the left).
        ball: (F, 2, 3) world position of the left and right ball of the foot.
        foot: (F, 2, 2) pitch (toes down) and yaw of the feet, world.
        knee: (F, 2) how far the knees point outward, as the tangent of the angle.
        hands: per side, hand targets and their weights (F, targets), each row summing to one.
    """

    root: np.ndarray
    pelvis: np.ndarray
    spine: np.ndarray
    neck: np.ndarray
    ball: np.ndarray
    foot: np.ndarray
    knee: np.ndarray
    hands: dict[str, tuple[list[Hand], np.ndarray]]


def rotation(angles: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw (..., 3) about x, y, z -> rotation matrices (..., 3, 3), yaw applied last."""
    (sx, sy, sz), (cx, cy, cz) = np.moveaxis(np.sin(angles), -1, 0), np.moveaxis(np.cos(angles), -1, 0)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def turn(frames: np.ndarray, vector: np.ndarray | Sequence[float]) -> np.ndarray:
    """Vectors (3,) or (F, 3), given in the frames (F, 3, 3), in world axes (F, 3)."""
    return np.einsum("fij,fj->fi", frames, np.broadcast_to(vector, (len(frames), 3)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def yaw_frames(yaw: np.ndarray) -> np.ndarray:
    """Rotations (F, 3, 3) about the vertical by yaw (F,)."""
    return rotation(np.stack([np.zeros_like(yaw), np.zeros_like(yaw), yaw], -1))


def two_bones(start: np.ndarray, target: np.ndarray, pole: np.ndarray, first: float, second: float):
    """A limb of two rigid bones that reaches for a target and bends towards the pole.

    A target out of reach, or nearer than the joint can flex, is approached as far as the bones allow.

    Args:
        start, target, pole: (F, 3); the pole is a direction.
        first, second: bone lengths.

    Returns:
        The middle and the end joint, (F, 3) each.
    """
    reach = target - start
    wanted = np.linalg.norm(reach, axis=-1, keepdims=True)
    nearest = np.sqrt(first**2 + second**2 - 2 * first * second * np.cos(TIGHTEST))
    distance = np.clip(wanted, nearest, (first + second) * STRAIGHT)
    along = reach / wanted
    side = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    part = (first**2 - second**2 + distance**2) / (2 * distance)
    middle = start + along * part + side * np.sqrt(first**2 - part**2)
    return middle, start + along * distance


def foot_points(body: Body, ball: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> dict[str, np.ndarray]:
    """Ankle, heel, ball and toe tip, (F, 3) each, of a foot that stands or rolls on its ball.

    The toes stay flat while the heel is up and rise with the foot when it is the heel that touches.
    """
    angles = np.stack([np.zeros_like(yaw), pitch, yaw], -1)
    frames = rotation(angles)
    toes = rotation(np.minimum(angles, [np.inf, 0, np.inf]))
    return {
        "ankle": ball + turn(frames, [-body.length("midfoot"), 0, body.length("ankle_height")]),
        "heel": ball + turn(frames, [-body.length("midfoot") - body.length("heel"), 0, 0]),
        "ball": ball,
        "toe": ball + turn(toes, [body.length("toes"), 0, 0]),
    }


def pose_joints(body: Body, motion: Motion) -> np.ndarray:
    """Forward kinematics of the trunk and two-bone chains for the limbs.

    Returns:
        (F, 32, 3) world metres, Human3.6M-32 order. Every bone keeps its length.
    """
    joints: dict[str, np.ndarray] = {"Hip": motion.root, "SpineBase": motion.root}
    pelvis = rotation(motion.pelvis)
    half_spine, half_neck = rotation(motion.spine / 2), rotation(motion.neck / 2)
    lower = pelvis @ half_spine
    chest = lower @ half_spine
    throat = chest @ half_neck
    head = throat @ half_neck
    joints["Spine"] = motion.root + turn(lower, [0, 0, body.length("lower_trunk")])
    joints["Thorax"] = joints["Spine"] + turn(chest, [0, 0, body.length("upper_trunk")])
    joints["Neck/Nose"] = joints["Thorax"] + turn(throat, np.array([0.34, 0, 0.94]) * body.length("neck"))
    joints["Head"] = joints["Neck/Nose"] + turn(head, np.array([-0.17, 0, 0.985]) * body.length("skull"))
    for number, side in enumerate(SIDES):
        _leg(body, motion, joints, pelvis, number, side)
        _arm(body, motion, joints, {"pelvis": pelvis, "shoulder": chest, "head": head}, side)
    return np.stack([joints[name] for name in H36M_32.joints], 1)


def _leg(body: Body, motion: Motion, joints: dict, pelvis: np.ndarray, number: int, side: str) -> None:
    outward = OUTWARD[side]
    pitch, yaw = motion.foot[:, number, 0], motion.foot[:, number, 1]
    foot = foot_points(body, motion.ball[:, number], pitch, yaw)
    hip = motion.root + turn(pelvis, [0, outward * body.length("half_hips"), 0])
    # Knees point between where the pelvis and the foot point, spread by `knee`; up when the thigh is level.
    ahead = unit(turn(pelvis, [1, 0, 0]) + turn(yaw_frames(yaw), [1, 0, 0.0]))
    lateral = turn(yaw_frames(motion.pelvis[:, 2]), [0, outward, 0])
    pole = ahead + lateral * motion.knee[:, number, None] + [0, 0, 0.5]
    knee, ankle = two_bones(hip, foot["ankle"], pole, body.length("thigh"), body.length("shank"))
    shift = ankle - foot["ankle"]
    joints |= {f"{side}Hip": hip, f"{side}Knee": knee, f"{side}Foot": ankle}
    joints |= {f"{side}ToeBase": foot["ball"] + shift, f"{side}ToeSite": foot["toe"] + shift}


def _arm(body: Body, motion: Motion, joints: dict, frames: dict, side: str) -> None:
    targets, weights = motion.hands[side]
    mirror = np.array([1, OUTWARD[side], 1])
    frames = frames | {"floor": yaw_frames(motion.pelvis[:, 2]), "knee": yaw_frames(motion.pelvis[:, 2])}
    girdle_bone = np.array([0, OUTWARD[side] * body.length("half_shoulders"), -body.length("shoulder_drop")])
    origins = {
        "shoulder": joints["Thorax"] + turn(frames["shoulder"], girdle_bone),
        "head": joints["Neck/Nose"],
        "pelvis": motion.root,
        "knee": joints[f"{side}Knee"],
        "floor": motion.root * [1, 1, 0],
    }
    place, swivel = _blend_hands(targets, weights, origins, frames, mirror, body)
    # The shoulder girdle rises with the hand: up to a quarter of a radian for an arm held straight up.
    lift = 0.25 * np.clip(place[:, 2] / body.arm + 0.2, 0, 1.2) ** 2
    girdle = frames["shoulder"] @ rotation(np.stack([OUTWARD[side] * lift, 0 * lift, 0 * lift], -1))
    shoulder = joints["Thorax"] + turn(girdle, girdle_bone)
    wrist = origins["shoulder"] + turn(frames["shoulder"], place * mirror)
    over_floor = wrist[:, 2] - body.length("hand")
    wrist[:, 2] += (np.sqrt(over_floor**2 + FLOOR_MARGIN**2) - over_floor) / 2  # a smooth max(0, .)
    pole = turn(frames["shoulder"], _swivelled(unit(place), swivel) * mirror)
    elbow, wrist = two_bones(shoulder, wrist, pole, body.length("upper_arm"), body.length("forearm"))
    along = unit(wrist - elbow)
    across = unit(np.cross(elbow - shoulder, along)) * OUTWARD[side]
    palm = wrist + along * body.length("hand")
    thumb = wrist + (0.8 * along + 0.6 * across) * body.length("hand")
    joints |= {f"{side}Collar": joints["Thorax"], f"{side}Shoulder": shoulder, f"{side}Elbow": elbow}
    joints |= {f"{side}Wrist": wrist, f"{side}Hand": wrist, f"{side}HandEnd": wrist}
    joints |= {f"{side}HandSite": palm, f"{side}Thumb": thumb}


# Forward and outward from a shoulder. Its opposite, through the back, is the one direction no hand goes, so
# carrying the elbow's direction over from here by the shortest rotation never jumps.
_EASE = unit(np.array([0.65, 0.65, -0.2]))
_EASE_ELBOW = unit(np.cross(np.cross(_EASE, [-0.2, 0.2, -1.0]), _EASE))


_MID_SWIVEL = 0.9  # radians; elbows stay within about a right angle of it, so angles are told apart from there


def _carry(direction: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """A vector (3,) rotated as the shortest way from `_EASE` to unit directions (F, 3) rotates, (F, 3)."""
    axis = np.cross(_EASE, direction)
    once = np.cross(axis, vector)
    return vector + once + np.cross(axis, once) / (1 + direction @ _EASE).clip(1e-3)[:, None]


def _swivelled(direction: np.ndarray, swivel: np.ndarray) -> np.ndarray:
    """The elbow's direction (F, 3) for a hand direction (F, 3) and an angle (F,) about it from the relaxed elbow."""
    first, second = _carry(direction, _EASE_ELBOW), _carry(direction, np.cross(_EASE, _EASE_ELBOW))
    return np.cos(swivel)[:, None] * first + np.sin(swivel)[:, None] * second


def _blend_hands(targets: list[Hand], weights: np.ndarray, origins: dict, frames: dict, mirror: np.ndarray, body: Body):
    """The wrist from the shoulder (F, 3) in chest axes, outward positive, and the elbow's swivel (F,).

    Directions and distances are blended apart, and a hand on its way swings round the front, so that no path leads
    through the shoulder.
    """
    frame_count = len(weights)
    direction, distance, swivel = np.zeros((frame_count, 3)), np.zeros(frame_count), np.zeros(frame_count)
    for hand, weight in zip(targets, weights.T):
        size = body.arm if hand.anchor == "shoulder" else body.scale
        place = origins[hand.anchor] + turn(frames[hand.anchor], hand.offset * mirror * size) - origins["shoulder"]
        place = np.einsum("fji,fj->fi", frames["shoulder"], place) * mirror
        towards = unit(place)
        first, second = _carry(towards, _EASE_ELBOW), _carry(towards, np.cross(_EASE, _EASE_ELBOW))
        elbow = np.array(hand.elbow)
        direction += weight[:, None] * towards
        distance += weight * np.linalg.norm(place, axis=-1)
        angle = np.arctan2(second @ elbow, first @ elbow)
        swivel += weight * ((angle - _MID_SWIVEL + np.pi) % (2 * np.pi) - np.pi + _MID_SWIVEL)
    direction = unit(direction + 2.0 * (1 - (weights**2).sum(1))[:, None] * _EASE)
    return direction * distance[:, None], swivel
