"""The building blocks of the sample data's motion: smooth transitions between key poses, steps on the spot.

Body axes: x forward, y left, z up. Metres, radians, seconds, 50 frames a second.
"""

from dataclasses import dataclass, field

import numpy as np

from .body import OUTWARD, SIDES, Body, Hand, Motion, foot_points, turn, yaw_frames

FPS = 50


@dataclass(frozen=True)
class Style:
    """How one person moves.

    Attributes:
        amplitude: factor on the movements of trunk and head and on the stride. tempo: factor on the speed.
        square: share of clips that face two cameras or turn the back to them; the others face anywhere.
        turning: largest turn of the whole body at a time, radians.
        hand: the preferred hand.
        width: distance between the feet over that between the hips.
    """

    amplitude: float = 1.0
    tempo: float = 1.0
    square: float = 0.0
    turning: float = 2.0
    hand: str = "R"
    width: float = 1.1

    def heading(self, rng: np.random.Generator) -> float:
        """A direction to face, world yaw. The cameras stand near the +y and the -y direction."""
        if rng.random() < self.square:
            return rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.3)
        return rng.uniform(-np.pi, np.pi)


@dataclass
class Key:
    """A pose to reach in `move` seconds and to keep for `hold` seconds.

    `posture` holds `low` (how far the hips sink: 0 standing, 1 on the floor), `back` (hips behind the feet, metres for
    an average person), `heels` (feet pitched), `spread` (knees outward) and, in radians, `lean` of the pelvis,
    `bend`, `side`, `twist` of the spine, `nod`, `tip`, `look` of the head.
    """

    left: Hand
    right: Hand
    posture: dict[str, float] = field(default_factory=dict)
    move: float = 0.8
    hold: float = 0.8


def min_jerk(share: np.ndarray) -> np.ndarray:
    """Share of the way covered after a share of the time, clipped to [0, 1] (Flash and Hogan 1985)."""
    share = np.clip(share, 0, 1)
    return share**3 * (10 - 15 * share + 6 * share**2)


def smooth(signal: np.ndarray, seconds: float) -> np.ndarray:
    """Convolve (F, ...) along time with a Gaussian of that standard deviation, the ends held."""
    sigma = seconds * FPS
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    columns = signal.reshape(len(signal), -1)
    padded = np.pad(columns, ((reach, reach), (0, 0)), mode="edge")
    smoothed = np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], -1)
    return smoothed.reshape(signal.shape)


def drift(rng: np.random.Generator, frames: int, columns: int, seconds: float) -> np.ndarray:
    """Slow random sway (F, columns) with about unit standard deviation that changes over `seconds`."""
    margin = int(3 * seconds * FPS)
    wide = smooth(rng.normal(size=(frames + 2 * margin, columns)), seconds)
    return wide[margin : margin + frames] * np.sqrt(2 * np.sqrt(np.pi) * seconds * FPS)


def blend(keys: list[Key], frames: int, delay: float = 0.0) -> np.ndarray:
    """Weights (F, keys), each row summing to one, that move from key to key by `min_jerk`."""
    time = np.arange(frames) / FPS - delay
    ramps, now = [np.ones(frames)], keys[0].hold
    for key in keys[1:]:
        ramps.append(min_jerk((time - now) / key.move))
        now += key.move + key.hold
    ramps.append(np.zeros(frames))
    return -np.diff(np.stack(ramps, -1), axis=-1)


def postures(keys: list[Key], weights: np.ndarray, name: str) -> np.ndarray:
    """One entry of the keys' postures over time, (F,)."""
    return weights @ np.array([key.posture.get(name, 0.0) for key in keys])


def stepping(
    rng: np.random.Generator, style: Style, body: Body, frames: int, turning: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A person who stands and now and then turns on the spot, one foot after the other.

    Returns:
        ball (F, 2, 3), foot (F, 2, 2) as in `Motion`, the middle between the feet (F, 2) and the body's yaw (F,).
    """
    time = np.arange(frames) / FPS
    yaw = np.full(frames, style.heading(rng))
    middle = np.zeros((frames, 2))
    foot_yaw = np.stack([yaw + OUTWARD[side] * rng.uniform(0.08, 0.3) for side in SIDES], -1)
    foot_middle = np.zeros((frames, 2, 2))
    lift, heels, weight = np.zeros((frames, 2)), np.zeros((frames, 2)), np.zeros(frames)
    now = rng.uniform(0.3, 1.5)
    while turning and now < time[-1]:
        angle = rng.uniform(0.3, 1.0) * style.turning * rng.choice([-1, 1])
        for _ in range(max(1, round(abs(angle) / 0.8))):
            part, shift = angle / max(1, round(abs(angle) / 0.8)), rng.normal(0, 0.06, 2)
            period = rng.uniform(0.8, 1.0) / style.tempo
            yaw = yaw + part * min_jerk((time - now) / period)
            middle = middle + shift * min_jerk((time - now) / period)[:, None]
            first = 0 if part > 0 else 1
            for order, number in enumerate((first, 1 - first)):
                share = (time - now) / period * 2 - order
                foot_yaw[:, number] += part * min_jerk(share)
                foot_middle[:, number] += shift * min_jerk(share)[:, None]
                bump = 16 * np.clip(share, 0, 1) ** 2 * (1 - np.clip(share, 0, 1)) ** 2
                lift[:, number] += 0.05 * bump
                heels[:, number] += 0.35 * bump
                weight += 0.03 * bump * (-1) ** (number + 1)
            now += period
        now += rng.uniform(0.8, 2.2) / style.tempo
    ball = np.zeros((frames, 2, 3))
    for number, side in enumerate(SIDES):
        aside = OUTWARD[side] * style.width * body.length("half_hips")
        place = turn(yaw_frames(foot_yaw[:, number]), [0.5 * body.length("midfoot"), aside, 0])
        ball[:, number, :2] = foot_middle[:, number] + place[:, :2]
        ball[:, number, 2] = lift[:, number]
    middle = middle + smooth(turn(yaw_frames(yaw), [0, 1, 0])[:, :2] * weight[:, None], 0.08)
    return ball, np.stack([heels, foot_yaw], -1), middle, smooth(yaw, 0.06)


def stand_or_sit(
    rng: np.random.Generator, style: Style, body: Body, keys: list[Key], frames: int, turning: bool
) -> Motion:
    """Feet on the floor, hips where the keys want them, as far as the legs reach."""
    ball, foot, middle, yaw = stepping(rng, style, body, frames, turning)
    weights = blend(keys, frames)
    heels, back, low = (postures(keys, weights, name) for name in ("heels", "back", "low"))
    foot[..., 0] += heels[:, None]
    sway = drift(rng, frames, 2, 0.7) * [0.006, 0.012]
    forward = turn(yaw_frames(yaw), [1, 0, 0])[:, :2]
    root = np.zeros((frames, 3))
    root[:, :2] = middle + sway - forward * back[:, None] * body.scale
    standing = body.leg + body.length("ankle_height")
    ceiling = np.full(frames, np.inf)
    for number in range(2):
        ankle = foot_points(body, ball[:, number], foot[:, number, 0], foot[:, number, 1])["ankle"]
        aside = np.linalg.norm(ankle[:, :2] - root[:, :2], axis=-1) - 0.6 * body.length("half_hips")
        ceiling = np.minimum(ceiling, ankle[:, 2] + np.sqrt(np.maximum((0.99 * body.leg) ** 2 - aside**2, 0.0)))
    root[:, 2] = smooth(np.minimum(standing * (1 - low), ceiling - 0.004), 0.06)
    pelvis = np.stack([0 * yaw, 0 * yaw, yaw], -1)
    return carry_trunk(rng, style, keys, root, pelvis, ball, foot)


def carry_trunk(
    rng: np.random.Generator,
    style: Style,
    keys: list[Key],
    root: np.ndarray,
    pelvis: np.ndarray,
    ball: np.ndarray,
    foot: np.ndarray,
) -> Motion:
    """The whole motion from that of hips and feet, named as in `Motion`, and the keys.

    Trunk, head and hands follow the keys a little out of step with each other, and none is ever quite still.
    """
    frames = len(root)
    weights = {part: blend(keys, frames, rng.uniform(-0.12, 0.12)) for part in ("trunk", "head", *SIDES)}

    def angles(part: str, *names: str) -> np.ndarray:
        return np.stack([postures(keys, weights[part], name) for name in names], -1) * style.amplitude

    pelvis = pelvis + drift(rng, frames, 3, 0.6) * 0.012
    pelvis[:, 1] += postures(keys, weights["trunk"], "lean")
    spine = angles("trunk", "side", "bend", "twist") + drift(rng, frames, 3, 0.5) * 0.02
    neck = angles("head", "tip", "nod", "look") + drift(rng, frames, 3, 0.4) * 0.03
    knee = postures(keys, weights["trunk"], "spread")[:, None] + 0.12 + drift(rng, frames, 2, 0.8) * 0.02
    wander = drift(rng, frames, 6, 0.3).reshape(frames, 2, 3) * 0.012 * style.amplitude
    hands = {}
    for number, side in enumerate(SIDES):
        targets = [key.left if side == "L" else key.right for key in keys]
        targets = [Hand(hand.anchor, hand.offset + wander[:, number], hand.elbow) for hand in targets]
        hands[side] = (targets, weights[side])
    return Motion(root, pelvis, spine, neck, ball, foot, knee, hands)
