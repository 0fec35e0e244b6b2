"""The ways the people of the sample data hold their hands, head and trunk, each a little different every time."""

import numpy as np

from .body import Hand
from .motion import FPS, Style


def posture(rng: np.random.Generator, **fixed: float) -> dict[str, float]:
    """A relaxed trunk and head, looking about; `fixed` is added."""
    spread = {"bend": 0.06, "side": 0.06, "twist": 0.16, "nod": 0.12, "tip": 0.07, "look": 0.4, "lean": 0.03}
    posture = {name: rng.normal(0, deviation) for name, deviation in spread.items()}
    posture["bend"] += 0.08
    return posture | {name: posture.get(name, 0.0) + value for name, value in fixed.items()}


def hand(rng: np.random.Generator, anchor: str, offset: tuple, elbow: tuple = (-0.6, 0.4, -0.6), loose=0.03) -> Hand:
    """A wrist about `loose` away from an offset, see `Hand`."""
    return Hand(anchor, np.array(offset) + rng.normal(0, loose, 3), elbow)


def hang(rng: np.random.Generator) -> Hand:
    """Hanging by the side."""
    return hand(rng, "shoulder", (0.12, 0.14, -0.95), (-1.0, 0.5, -0.1))


def akimbo(rng: np.random.Generator) -> Hand:
    """On the hip, the elbow out."""
    return hand(rng, "pelvis", (0.03, 0.17, 0.10), (-0.35, 1.0, 0.0), 0.012)


def pocket(rng: np.random.Generator) -> Hand:
    """In the trouser pocket."""
    return hand(rng, "pelvis", (0.09, 0.19, -0.03), (-1.0, 0.6, 0.0), 0.012)


def behind(rng: np.random.Generator) -> Hand:
    """Behind the back."""
    return hand(rng, "pelvis", (-0.17, 0.02, 0.02), (-0.4, 1.0, 0.1), 0.012)


def folded(rng: np.random.Generator) -> Hand:
    """Arms folded."""
    return hand(rng, "shoulder", (0.34, -0.30, -0.42), (0.0, 0.7, -1.0), 0.02)


def phone(rng: np.random.Generator) -> Hand:
    """At the ear."""
    return hand(rng, "head", (0.13, 0.12, -0.10), (0.2, 0.6, -1.0), 0.01)


def mouth(rng: np.random.Generator) -> Hand:
    """At the mouth."""
    return hand(rng, "head", (0.14, 0.04, -0.10), (0.1, 0.6, -1.0), 0.012)


def lap(rng: np.random.Generator) -> Hand:
    """On the thigh of someone on a chair."""
    return hand(rng, "knee", (-0.10, -0.02, 0.07), (-0.5, 0.6, -0.6), 0.02)


def on_knees(rng: np.random.Generator) -> Hand:
    """On the raised knees of someone on the floor. Not tied to the knees, which come close to the chest on the way."""
    return hand(rng, "shoulder", (0.64, 0.15, -0.45), (-0.3, 0.7, -0.7), 0.04)


def table(rng: np.random.Generator) -> Hand:
    """On a table in front."""
    return hand(rng, "shoulder", (0.62, -0.05, -0.50), (-0.3, 0.7, -0.7), 0.05)


def gesture(rng: np.random.Generator) -> Hand:
    """A hand somewhere in front of the chest or beside it, as people who talk hold it."""
    return hand(rng, "shoulder", (rng.uniform(0.35, 0.75), rng.uniform(-0.15, 0.4), rng.uniform(-0.5, 0.1)), loose=0)


def point(rng: np.random.Generator) -> Hand:
    """Arm straight, forward to sideways."""
    azimuth, height = rng.uniform(-0.4, 1.4), rng.uniform(-0.3, 0.4)
    level = np.cos(height) * 0.95
    offset = (np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(height) * 0.95)
    return hand(rng, "shoulder", offset, loose=0.01)


def wave(rng: np.random.Generator, frames: int) -> Hand:
    """A raised hand that swings sideways about twice a second."""
    swing = np.sin(2 * np.pi * rng.uniform(1.4, 2.2) * np.arange(frames) / FPS + rng.uniform(0, 6))
    offset = np.array([rng.uniform(0.15, 0.3), rng.uniform(0.3, 0.4), rng.uniform(0.35, 0.55)])
    path = offset + swing[:, None] * np.array([0.0, 0.16, -0.04])
    return Hand("shoulder", path, (0.0, 0.7, -1.0))


def idle(rng: np.random.Generator) -> tuple[Hand, Hand]:
    """Both hands in one of the ways people who wait hold them."""
    both = (hang, hang, akimbo, folded, behind, pocket)[rng.integers(6)]
    left, right = both(rng), both(rng)
    if rng.random() < 0.25:
        left, right = (left, hang(rng)) if rng.random() < 0.5 else (hang(rng), right)
    return left, right


def pair(style: Style, preferred: Hand, other: Hand) -> tuple[Hand, Hand]:
    """Left and right hand from the preferred and the other."""
    return (other, preferred) if style.hand == "R" else (preferred, other)
