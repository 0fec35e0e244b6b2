"""A detector's people, linked from frame to frame."""

import numpy as np
import pytest

from common.footage.people import find_people

K, FPS = 17, 30.0
BODY = np.random.default_rng(0).uniform(-1, 1, (K, 2)) * (40, 100)


def scene(places: dict[str, np.ndarray], hidden: dict[str, set[int]] | None = None, seed: int = 1):
    """Detections of people whose middle is at (F, 2), in random order within a frame; and who each one is."""
    rng, rows, who = np.random.default_rng(seed), [], []
    frames = len(next(iter(places.values())))
    for f in range(frames):
        here = [name for name in places if f not in (hidden or {}).get(name, ())]
        for name in rng.permutation(here):
            rows.append((f, places[name][f] + BODY + rng.normal(0, 2, BODY.shape)))
            who.append(str(name))
    frame = np.array([f for f, _ in rows])
    pixels = np.array([p for _, p in rows])
    return frame, pixels, np.ones(pixels.shape[:2]), np.array(who)


def line(start: tuple[float, float], end: tuple[float, float], frames: int = 60) -> np.ndarray:
    return np.linspace(start, end, frames)


SCENES = {
    "apart": ({"a": line((300, 300), (500, 300)), "b": line((900, 300), (900, 320))}, {}),
    "passing by": ({"a": line((300, 300), (900, 300)), "b": line((900, 420), (300, 420))}, {}),
    "out of sight for half a second": (
        {"a": line((300, 300), (400, 300)), "b": line((900, 300), (900, 320))}, {"a": set(range(20, 35))},
    ),
    "a bystander comes and goes": (
        {"a": line((300, 300), (500, 300)), "b": line((1200, 300), (1200, 300))}, {"b": {*range(10), *range(50, 60)}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES, ids=str)
def test_nobody_is_mixed_up(name):
    frame, pixels, confidence, who = scene(*SCENES[name])
    people = find_people(frame, pixels, confidence, None, FPS)
    assert len(people) == 2
    assert [len(set(who[p.rows])) for p in people] == [1, 1]
    assert sorted(np.concatenate([p.rows for p in people]).tolist()) == list(range(len(frame)))
    assert len(people[0].rows) >= len(people[1].rows)
    for p in people:
        assert (np.diff(frame[p.rows]) > 0).all()


def test_somebody_elsewhere_after_a_long_time_is_somebody_else():
    places = {"a": line((300, 300), (300, 300), 100)}
    frame, pixels, confidence, _ = scene(places, {"a": set(range(10, 60))})
    assert [len(p.rows) for p in find_people(frame, pixels, confidence, None, FPS)] == [40, 10]
    jump = {"a": np.r_[line((300, 300), (300, 300), 30), line((1500, 300), (1500, 300), 30)]}
    frame, pixels, confidence, _ = scene(jump)
    assert len(find_people(frame, pixels, confidence, None, FPS)) == 2


def test_the_files_own_ids_are_believed():
    frame, pixels, confidence, who = scene(*SCENES["passing by"])
    track = np.where(who == "a", 7, 3)
    people = find_people(frame, pixels, confidence, track, FPS)
    assert {p.name: set(who[p.rows]) for p in people} == {"7": {"a"}, "3": {"b"}}


def test_one_detection_a_frame_the_one_that_shows_more():
    frame, track = np.array([0, 0, 1]), np.zeros(3, int)
    pixels, confidence = np.tile(BODY, (3, 1, 1)), np.ones((3, K))
    confidence[0, :5] = 0
    (person,) = find_people(frame, pixels, confidence, track, FPS)
    assert person.rows.tolist() == [1, 2]


def test_a_shadow_with_the_same_id_is_left_out():
    """Every joint of it has a place, none is believed much, as AlphaPose has it."""
    frame, track, pixels = np.array([0, 0, 1, 1]), np.zeros(4, int), np.tile(BODY, (4, 1, 1))
    confidence = np.array([0.3, 0.9, 0.9, 0.3])[:, None].repeat(K, 1)
    (person,) = find_people(frame, pixels, confidence, track, FPS)
    assert person.rows.tolist() == [1, 2]


def test_who_shows_most_comes_first():
    frame, pixels, confidence, who = scene(SCENES["apart"][0])
    confidence[who == "a", 4:] = 0
    people = find_people(frame, pixels, confidence, None, FPS)
    assert [set(who[p.rows]) for p in people] == [{"b"}, {"a"}] and [p.name for p in people] == ["0", "1"]


def test_nobody():
    assert find_people(np.zeros(0, int), np.zeros((0, K, 2)), np.zeros((0, K)), None, FPS) == []
