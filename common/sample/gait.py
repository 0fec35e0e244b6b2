"""Walking for the sample data: published gait curves, feet that stay where they were set down.

Body axes: x forward, y left, z up. Metres, radians, seconds, 50 frames a second.
"""

import numpy as np

from .body import OUTWARD, SIDES, Body, Motion, foot_points, turn, yaw_frames
from .motion import FPS, Key, Style, carry_trunk, drift, min_jerk, smooth

# Sagittal joint angles of normal walking, degrees of flexion (ankle: toes up), every 5 % of the cycle from heel strike:
# rounded values of the mean curves at natural cadence in Winter, Biomechanics and Motor Control of Human Gait.
GAIT = {
    "hip": (30, 29, 25, 21, 16, 11, 6, 1, -4, -8, -11, -10, -3, 8, 17, 25, 30, 33, 33, 31),
    "knee": (5, 12, 18, 20, 19, 16, 12, 9, 8, 9, 14, 24, 38, 54, 63, 63, 53, 36, 17, 5),
    "ankle": (0, -5, -4, 0, 3, 5, 7, 8, 9, 10, 7, -3, -16, -18, -11, -4, 0, 2, 2, 1),
}
HARMONICS = 6
STANCE, DOUBLE_SUPPORT = 0.62, 0.12  # shares of the cycle: a foot on the floor, both feet on the floor
SLACK = 0.006  # metres the hips hang lower than the curves say, so that the planted feet stay in reach
FLAT = (0.08, 0.56)  # between these shares of the cycle the sole does not move


def _flexion(joint: str, cycle: np.ndarray) -> np.ndarray:
    """A joint's flexion (F,), radians, at times of the gait cycle (1 = a whole one): a Fourier series of `GAIT`."""
    orders = np.arange(HARMONICS + 1)
    series = np.fft.rfft(np.radians(GAIT[joint]))[: HARMONICS + 1] / len(GAIT[joint]) * np.where(orders > 0, 2, 1)
    return (np.exp(2j * np.pi * cycle[:, None] * orders) * series).sum(-1).real


def _load(cycle: np.ndarray) -> np.ndarray:
    """The share of the weight on a foot (F,). That of the two feet, half a cycle apart, adds up to one."""
    share = cycle % 1
    return min_jerk(share / DOUBLE_SUPPORT) - min_jerk((share - STANCE + DOUBLE_SUPPORT) / DOUBLE_SUPPORT)


def _foot_from_hip(body: Body, cycle: np.ndarray, stride: float) -> tuple[np.ndarray, np.ndarray]:
    """Where gait curves put the ball of the foot, from the hip joint in body axes (F, 3), and the foot's pitch (F,)."""
    hip, knee = stride * _flexion("hip", cycle), np.maximum(stride * _flexion("knee", cycle), 0.06)
    pitch = knee - hip - _flexion("ankle", cycle)
    zero = np.zeros_like(hip)
    thigh = np.stack([np.sin(hip), zero, -np.cos(hip)], -1) * body.length("thigh")
    shank = np.stack([np.sin(hip - knee), zero, -np.cos(hip - knee)], -1) * body.length("shank")
    return thigh + shank - foot_points(body, np.zeros((len(hip), 3)), pitch, zero)["ankle"], pitch


def _lowest(body: Body, ball: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """The height of the lowest point of a foot, (F,)."""
    points = foot_points(body, ball, pitch, np.zeros_like(pitch))
    return np.minimum(points["heel"][:, 2], points["toe"][:, 2])


def _plant(track: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """Hold a foot's track (F, D) still while the sole is flat, and shift it smoothly in between."""
    share, lap = cycle % 1, np.floor(cycle)
    shifts, moments = [], []
    flat = (share > FLAT[0]) & (share < FLAT[1])
    planted = track.copy()
    for number in np.unique(lap):
        frames = np.flatnonzero(flat & (lap == number))
        if len(frames) > 1:
            planted[frames] = track[frames].mean(0)
            shifts += [planted[frames[0]] - track[frames[0]], planted[frames[-1]] - track[frames[-1]]]
            moments += [frames[0], frames[-1]]
    for first, last, start, end in zip(moments[1::2], moments[2::2], shifts[1::2], shifts[2::2]):
        between = np.arange(first + 1, last)
        planted[between] += start + (end - start) * min_jerk((between - first) / (last - first))[:, None]
    if not moments:  # a clip shorter than a step
        return track
    planted[: moments[0]] += shifts[0]
    planted[moments[-1] + 1 :] += shifts[-1]
    return planted


def walk(rng: np.random.Generator, style: Style, body: Body, keys: list[Key], frames: int) -> Motion:
    """Walking round a wavering circle: gait curves for the legs, the root driven by the foot on the floor."""
    cadence = rng.uniform(0.84, 0.98) * style.tempo  # cycles a second
    phase = rng.uniform() + np.cumsum(cadence * (1 + 0.04 * drift(rng, frames, 1, 0.8)[:, 0])) / FPS
    stride = rng.uniform(0.85, 1.0) * min(style.amplitude, 1.05)
    speed, radius = 1.5 * cadence * stride * body.scale, rng.uniform(0.7, 0.95)
    direction = 1.0 if style.hand == "R" else -1.0
    rate = direction * speed / radius * (1 + 0.08 * drift(rng, frames, 1, 1.0)[:, 0])
    yaw = rng.uniform(-np.pi, np.pi) + np.cumsum(rate) / FPS
    frame = yaw_frames(yaw)
    cycles = [phase + 0.5 * number for number in range(len(SIDES))]
    legs = [_foot_from_hip(body, cycle, stride) for cycle in cycles]
    loads = [_load(cycle) for cycle in cycles]
    hips = [np.array([0, OUTWARD[side] * body.length("half_hips"), 0]) for side in SIDES]
    narrow = [hip * 0.55 for hip in hips]  # people set their feet down nearer to each other than their hips are

    root = np.zeros((frames, 3))
    for (ball, _), load, hip in zip(legs, loads, narrow):
        way = np.diff(turn(frame, ball + hip), axis=0)
        root[1:] -= np.cumsum(way * (load[1:] + load[:-1])[:, None] / 2, 0)
    root[:, :2] = smooth(root[:, :2], 0.05)
    depth = sum(load * _lowest(body, ball, pitch) for (ball, pitch), load in zip(legs, loads))
    root[:, 2] = smooth(-depth, 0.04) - SLACK

    balls, feet = [], []
    for (ball, pitch), load, hip, cycle in zip(legs, loads, narrow, cycles):
        planted = _plant(np.column_stack([(root + turn(frame, ball + hip))[:, :2], yaw]), cycle)
        height = root[:, 2] + ball[:, 2]
        height -= min_jerk(2 * load) * _lowest(body, np.column_stack([planted[:, :2], height]), pitch)
        placed = np.column_stack([planted[:, :2], height])
        placed[:, 2] -= np.minimum(_lowest(body, placed, pitch), 0)
        balls.append(placed)
        feet.append(np.column_stack([pitch, planted[:, 2]]))
    swing = 2 * np.pi * phase
    zero = np.zeros(frames)
    root = root + turn(frame, np.stack([zero, 0.018 * np.sin(swing), zero], -1))
    pelvis = np.stack([0.05 * np.cos(swing), zero + 0.04, 0.07 * np.cos(swing) + yaw], -1)
    motion = carry_trunk(rng, style, keys, root, pelvis, np.stack(balls, 1), np.stack(feet, 1))
    motion.spine += np.stack([-0.05 * np.cos(swing), zero + 0.05, -0.16 * np.cos(swing)], -1)
    motion.knee = np.full((frames, len(SIDES)), 0.05)
    for number, side in enumerate(SIDES):
        wrist = _arm_swing(body, swing + np.pi * number, stride)
        for hand in motion.hands[side][0]:
            if hand.anchor == "swing":
                hand.anchor, hand.offset, hand.elbow = "shoulder", wrist, (-1.0, 0.25, -0.2)
    return motion


def _arm_swing(body: Body, swing: np.ndarray, stride: float) -> np.ndarray:
    """The wrist from the shoulder in arm lengths (F, 3): against the leg's swing, more bent in front than behind."""
    angle = 0.02 - 0.42 * stride * np.cos(swing)
    lower = angle + 0.35 + 0.5 * np.maximum(angle, 0)
    upper_arm, forearm = body.length("upper_arm") / body.arm, body.length("forearm") / body.arm
    forward = np.sin(angle) * upper_arm + np.sin(lower) * forearm
    return np.stack([forward, 0 * swing + 0.14, -np.cos(angle) * upper_arm - np.cos(lower) * forearm], -1)
