"""What the people of the sample data do: for every action an endless stream of key poses.

Each action is a generator of `Key`s; how its body is carried (standing, seated, walking) is listed in `ACTIONS`.
Names are Human3.6M's, and so is the idea of each action; the movements are invented.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import poses
from .body import Body, Hand, pose_joints
from .gait import walk
from .motion import FPS, Key, Style, stand_or_sit

Keys = Iterator[Key]


def _twice(make: Callable[[], Hand]) -> tuple[Hand, Hand]:
    """A left and a right hand alike."""
    return make(), make()


def _directions(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    yield Key(*poses.idle(rng), poses.posture(rng), hold=0.4)
    while True:
        towards = -1 if style.hand == "R" else 1
        posture = poses.posture(rng, twist=0.2 * towards, look=0.5 * towards)
        yield Key(*poses.pair(style, poses.point(rng), poses.hang(rng)), posture, 0.7, rng.uniform(0.6, 1.2))
        if rng.random() < 0.5:
            yield Key(
                *poses.pair(style, poses.point(rng), poses.gesture(rng)), poses.posture(rng), 0.6, rng.uniform(0.4, 0.9)
            )
        if rng.random() < 0.4:
            yield Key(poses.gesture(rng), poses.gesture(rng), poses.posture(rng), 0.6, rng.uniform(0.2, 0.6))


def _discussion(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        for _ in range(rng.integers(2, 6)):
            other = poses.gesture(rng) if rng.random() < 0.6 else poses.hang(rng)
            yield Key(
                *poses.pair(style, poses.gesture(rng), other),
                poses.posture(rng),
                rng.uniform(0.4, 0.7),
                rng.uniform(0.1, 0.5),
            )
        yield Key(*poses.idle(rng), poses.posture(rng), 0.8, 0.6)


def _eating(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        yield Key(
            *poses.pair(style, poses.table(rng), poses.table(rng)), poses.posture(rng, **_seat(rng), nod=0.2), 0.7, 0.3
        )
        other = poses.table(rng) if rng.random() < 0.7 else poses.lap(rng)
        yield Key(
            *poses.pair(style, poses.mouth(rng), other),
            poses.posture(rng, **_seat(rng), nod=0.1),
            0.8,
            rng.uniform(0.3, 0.7),
        )


def _greeting(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    yield Key(*poses.idle(rng), poses.posture(rng), hold=0.4)
    while True:
        other = poses.wave(rng, frames) if rng.random() < 0.25 else poses.hang(rng)
        yield Key(*poses.pair(style, poses.wave(rng, frames), other), poses.posture(rng), 0.9, rng.uniform(1.2, 2.0))
        kind = rng.random()
        if kind < 0.35:
            shake = poses.hand(rng, "shoulder", (0.72, -0.1, -0.42))
            yield Key(*poses.pair(style, shake, poses.hang(rng)), poses.posture(rng, bend=0.15), 0.7, 0.8)
        elif kind < 0.7:
            yield Key(poses.hang(rng), poses.hang(rng), poses.posture(rng, lean=0.4, bend=0.45, nod=0.25), 0.9, 0.4)
        yield Key(poses.hang(rng), poses.hang(rng), poses.posture(rng), 0.7, 0.4)


def _phoning(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    tip = 0.18 if style.hand == "R" else -0.18
    while True:
        other = (poses.hang, poses.pocket, poses.akimbo, poses.gesture, poses.gesture)[rng.integers(5)](rng)
        posture = poses.posture(rng, tip=tip, nod=0.08)
        posture["look"] *= 0.4
        yield Key(*poses.pair(style, poses.phone(rng), other), posture, 0.9, rng.uniform(0.5, 1.2))


def _photo(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    def camera(up: float) -> tuple[Hand, Hand]:
        return _twice(lambda: poses.hand(rng, "head", (0.26, 0.06, -0.02 + up), (0.1, 0.8, -1.0), 0.012))

    yield Key(poses.hang(rng), poses.hang(rng), poses.posture(rng), hold=0.3)
    while True:
        yield Key(*camera(0.0), poses.posture(rng, nod=0.1), 0.9, rng.uniform(0.8, 1.4))
        low = rng.uniform(0.12, 0.3)
        yield Key(*camera(0.0), poses.posture(rng, low=low, back=0.1, lean=0.3, nod=-0.1, heels=low), 0.9, 0.9)
        yield Key(poses.gesture(rng), poses.table(rng), poses.posture(rng, nod=0.3), 0.8, 0.4)


def _posing(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    def proud() -> Hand:
        return poses.hand(
            rng, "shoulder", (rng.uniform(-0.1, 0.3), rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.8)), loose=0
        )

    def head(outward: float = 0.12) -> Hand:
        return poses.hand(rng, "head", (-0.06, outward, 0.10), (0.1, 1.0, 0.2), 0.015)

    choices = (
        lambda: (poses.akimbo(rng), poses.akimbo(rng)),
        lambda: poses.pair(style, head(), poses.akimbo(rng)),
        lambda: (poses.folded(rng), poses.folded(rng)),
        lambda: (proud(), proud()),
        lambda: (head(), head()),
        lambda: poses.pair(style, poses.mouth(rng), poses.folded(rng)),
        lambda: poses.pair(style, proud(), poses.akimbo(rng)),
    )
    while True:
        posture = poses.posture(rng, side=rng.normal(0, 0.12), twist=rng.normal(0, 0.2), low=abs(rng.normal(0, 0.02)))
        yield Key(*choices[rng.integers(len(choices))](), posture, rng.uniform(0.8, 1.1), rng.uniform(0.6, 1.2))


def _purchases(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    def bag() -> Hand:
        return poses.hand(rng, "shoulder", (0.28, 0.18, -0.72), (-1.0, 0.4, -0.2))

    yield Key(poses.hang(rng), bag() if style.hand == "L" else poses.hang(rng), poses.posture(rng), hold=0.3)
    while True:
        shelf = poses.hand(rng, "shoulder", (0.8, rng.uniform(-0.2, 0.3), rng.uniform(-0.35, 0.5)))
        yield Key(*poses.pair(style, shelf, bag()), poses.posture(rng, bend=0.12), 0.8, 0.5)
        into = poses.hand(rng, "shoulder", (0.42, -0.35, -0.55))
        yield Key(*poses.pair(style, into, bag()), poses.posture(rng, nod=0.3, bend=0.1), 0.7, 0.3)
        low = rng.uniform(0.3, 0.55)
        reach = Hand("floor", np.array([rng.uniform(0.5, 0.65), rng.uniform(0.0, 0.2), rng.uniform(0.15, 0.4)]))
        crouch = poses.posture(rng, low=low, back=0.16, lean=0.55, bend=0.3, nod=-0.2, heels=0.9 * low)
        yield Key(*poses.pair(style, reach, bag() if rng.random() < 0.5 else poses.on_knees(rng)), crouch, 1.1, 0.5)


def _seat(rng: np.random.Generator) -> dict[str, float]:
    """Hips at the height of the knees, on a chair nobody sees; `low` and `back` fit any proportions nearly."""
    return {"low": 0.455, "back": 0.36, "lean": rng.uniform(-0.15, 0.2), "spread": rng.uniform(0.0, 0.35)}


def _sitting(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        kind = rng.random()
        seat = _seat(rng)
        if kind < 0.35:
            left, right = poses.lap(rng), poses.lap(rng)
        elif kind < 0.5:
            left, right = poses.folded(rng), poses.folded(rng)
        elif kind < 0.65:
            left, right, seat = poses.mouth(rng), poses.lap(rng), seat | {"lean": 0.35, "bend": 0.3, "nod": 0.1}
        elif kind < 0.8:
            left, right = poses.pair(style, poses.gesture(rng), poses.lap(rng))
        else:
            left, right = (poses.hand(rng, "head", (-0.12, 0.08, 0.06), (0.1, 1.0, 0.2), 0.01) for _ in range(2))
            seat = seat | {"lean": -0.25}
        yield Key(left, right, poses.posture(rng, **seat), rng.uniform(1.2, 1.5), rng.uniform(0.6, 1.3))


def _sitting_down(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    yield Key(poses.hang(rng), poses.hang(rng), poses.posture(rng), hold=rng.uniform(0.2, 0.5))
    back, spread = rng.uniform(0.42, 0.55), rng.choice([0.1, 0.5, 1.4])
    while True:
        crouch = {"low": 0.55, "back": 0.3, "lean": 0.5, "bend": 0.35, "nod": -0.1, "heels": 0.1}
        yield Key(poses.table(rng), poses.table(rng), poses.posture(rng, **crouch), 1.1, 0.02)
        ground = {"low": 0.885, "back": back, "spread": spread}
        behind = _twice(lambda: poses.hand(rng, "floor", (-0.30, 0.24, 0.13), (-1.0, 0.5, 0.1), 0.015))
        yield Key(*behind, poses.posture(rng, **ground, lean=-0.3, bend=0.15), 0.9, rng.uniform(0.3, 0.8))
        for _ in range(rng.integers(1, 3)):
            resting = rng.random() < 0.6
            hands = poses.pair(style, poses.on_knees(rng) if resting else poses.gesture(rng), poses.on_knees(rng))
            posture = poses.posture(rng, **ground, lean=rng.uniform(-0.1, 0.15), bend=0.3)
            yield Key(*hands, posture, 0.9, rng.uniform(0.5, 1.0))
        yield Key(poses.table(rng), poses.table(rng), poses.posture(rng, **crouch), 1.0, 0.02)
        yield Key(*poses.idle(rng), poses.posture(rng), 1.1, rng.uniform(0.5, 1.0))


def _smoking(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    other = (poses.hang, poses.pocket, poses.folded)[rng.integers(3)]
    while True:
        aside = poses.hand(rng, "shoulder", (0.35, 0.25, -0.55), (-0.6, 0.5, -0.8), 0.05)
        yield Key(*poses.pair(style, aside, other(rng)), poses.posture(rng), 0.9, rng.uniform(0.5, 1.2))
        yield Key(
            *poses.pair(style, poses.mouth(rng), other(rng)), poses.posture(rng, nod=-0.08), 0.8, rng.uniform(0.4, 0.8)
        )


def _waiting(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        posture = poses.posture(rng, low=rng.uniform(0, 0.02), side=rng.normal(0, 0.08))
        yield Key(*poses.idle(rng), posture, rng.uniform(0.8, 1.2), rng.uniform(1.0, 2.0))
        if rng.random() < 0.4:
            watch = poses.hand(rng, "shoulder", (0.5, -0.35, -0.25), (0.0, 1.0, -0.6))
            yield Key(watch, poses.hang(rng), poses.posture(rng, nod=0.35, look=-0.2), 0.8, 0.7)


def _walking(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        swing = _twice(lambda: Hand("swing", np.zeros(3)))
        yield Key(*swing, poses.posture(rng), 0.8, rng.uniform(1.0, 2.0))


def _walk_dog(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        lead = poses.hand(rng, "shoulder", (rng.uniform(0.35, 0.7), 0.1, rng.uniform(-0.7, -0.45)))
        posture = poses.posture(rng, nod=0.15, bend=rng.uniform(0, 0.15))
        yield Key(*poses.pair(style, lead, Hand("swing", np.zeros(3))), posture, 0.8, rng.uniform(0.5, 1.2))


def _exercise(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        up = _twice(lambda: poses.hand(rng, "shoulder", (0.1, 0.15, 0.95)))
        yield Key(*up, poses.posture(rng), 0.8, 0.2)
        out = _twice(lambda: poses.hand(rng, "shoulder", (0.1, 0.95, 0.05)))
        yield Key(*out, poses.posture(rng), 0.7, 0.2)
        ahead = _twice(lambda: poses.hand(rng, "shoulder", (0.95, 0.0, 0.0)))
        low = rng.uniform(0.3, 0.5)
        yield Key(*ahead, poses.posture(rng, low=low, back=0.18, lean=0.5, heels=0.4 * low), 0.9, 0.2)


def _boxing(rng: np.random.Generator, style: Style, frames: int) -> Keys:
    while True:
        guard = _twice(lambda: poses.hand(rng, "shoulder", (0.42, -0.1, 0.05), (0.0, 0.5, -1.0)))
        yield Key(*guard, poses.posture(rng, low=0.06, back=0.04, lean=0.1, look=0.0), 0.35, rng.uniform(0.1, 0.6))
        punch = poses.hand(rng, "shoulder", (0.93, -0.25, rng.uniform(-0.1, 0.2)))
        left = rng.random() < 0.5
        twist = -0.5 if left else 0.5
        hands = (punch, guard[1]) if left else (guard[0], punch)
        yield Key(*hands, poses.posture(rng, low=0.06, back=0.04, lean=0.15, twist=twist), 0.3, 0.05)


@dataclass(frozen=True)
class Action:
    """An action's key poses and how the body is carried: "walk", "turn" (standing, turning) or "stay"."""

    keys: Callable[[np.random.Generator, Style, int], Keys]
    carriage: str


ACTIONS = {
    "Directions": Action(_directions, "turn"),
    "Discussion": Action(_discussion, "turn"),
    "Eating": Action(_eating, "stay"),
    "Greeting": Action(_greeting, "turn"),
    "Phoning": Action(_phoning, "turn"),
    "Photo": Action(_photo, "turn"),
    "Posing": Action(_posing, "turn"),
    "Purchases": Action(_purchases, "turn"),
    "Sitting": Action(_sitting, "stay"),
    "SittingDown": Action(_sitting_down, "stay"),
    "Smoking": Action(_smoking, "turn"),
    "Waiting": Action(_waiting, "turn"),
    "WalkDog": Action(_walk_dog, "walk"),
    "Walking": Action(_walking, "walk"),
}
# Only in the 3DHP-like files.
EXTRA_ACTIONS = {"Exercise": Action(_exercise, "turn"), "Boxing": Action(_boxing, "turn")}


def make_clip(
    action: str,
    body: Body,
    style: Style,
    frames: int,
    rng: np.random.Generator,
    centre: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """A take of an action, performed near `centre`; "Walking 1" is another take of "Walking".

    Returns:
        (F, 32, 3) world metres, Human3.6M-32 order, floor at z = 0.

    Raises:
        KeyError: no such action.
    """
    choice = (ACTIONS | EXTRA_ACTIONS)[action.split(" ")[0]]
    keys, length = [], 0.0
    for key in choice.keys(rng, style, frames):
        key.move, key.hold = key.move / style.tempo, key.hold / style.tempo
        keys.append(key)
        length += key.move + key.hold
        if length > frames / FPS + 1:
            break
    if choice.carriage == "walk":
        motion = walk(rng, style, body, keys, frames)
    else:
        motion = stand_or_sit(rng, style, body, keys, frames, choice.carriage == "turn")
    path = motion.root[:, :2]
    offset = np.array(centre) - (path.max(0) + path.min(0)) / 2
    if choice.carriage != "walk":
        offset += rng.uniform(-0.4, 0.4, 2)
    return pose_joints(body, motion) + [*offset, 0.0]


def on_grid(values: np.ndarray, step: float) -> np.ndarray:
    """Round to multiples of a power of two, as float32: files pack better without digits that mean nothing."""
    return (np.round(values / step) * step).astype(np.float32)
