"""Left and right exchanged by a detector: found, exchanged back, and nothing else touched."""

import numpy as np
import pytest
from bodies import batch

from common.footage.swaps import find_swaps, mirrored_labels, repair_swaps

FRAMES = 60


@pytest.fixture
def walk() -> np.ndarray:
    """(F, 17, 2) pixels of a moving person, a little noisy."""
    seen = (batch(1, FRAMES).keypoints[0].numpy() + 1) * 500
    return seen + np.random.default_rng(0).normal(0, 2, seen.shape)


ALL = np.ones((FRAMES, 17))
SPANS = {
    "nowhere": [], "one frame": [30], "a second": range(20, 45), "here and there": [5, 6, 20, 40, 41, 42, 55],
    "at the start": range(0, 10), "at the end": range(50, 60),
}  # fmt: skip


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_exchanged_frames_are_found_and_mended(walk, span):
    true = np.zeros(FRAMES, bool)
    true[list(span)] = True
    confidence = np.random.default_rng(1).uniform(0.5, 1, (FRAMES, 17))
    spoilt = np.where(true[:, None, None], mirrored_labels(walk), walk)
    sure = np.where(true[:, None], mirrored_labels(confidence[..., None])[..., 0], confidence)
    mended, mended_confidence, found = repair_swaps(spoilt, sure)
    assert np.array_equal(found, true)
    assert np.array_equal(mended, walk) and np.array_equal(mended_confidence, confidence)


def test_the_majority_is_right(walk):
    """Nobody can say more when all frames, or most of them, are the other way round."""
    assert not find_swaps(mirrored_labels(walk), ALL).any()
    mostly = walk.copy()
    mostly[10:] = mirrored_labels(walk[10:])
    assert find_swaps(mostly, ALL).nonzero()[0].tolist() == list(range(10))


def test_joints_that_were_not_seen_do_not_count(walk):
    """Absurd places with confidence 0, in one joint of a pair and in whole frames."""
    spoilt, sure = walk.copy(), ALL.copy()
    spoilt[25:30] = mirrored_labels(walk[25:30])
    rng = np.random.default_rng(2)
    unseen = rng.random((FRAMES, 17)) < 0.3
    unseen[40:43] = True
    spoilt[unseen], sure[unseen] = 1e5, 0
    assert find_swaps(spoilt, sure).nonzero()[0].tolist() == list(range(25, 30))


def test_a_person_who_turns_round_is_not_exchanged():
    """Half a turn in a second: left and right cross in the image, slowly."""
    angle = np.linspace(0, np.pi, 30)
    body = batch(1, 1).pose[0, 0].numpy()
    turned = np.stack(
        [np.cos(angle)[:, None] * body[:, 0] + np.sin(angle)[:, None] * body[:, 2], 0 * angle[:, None] + body[:, 1]], -1
    )
    seen = 400 * turned + 500 + np.random.default_rng(3).normal(0, 3, turned.shape)
    assert not find_swaps(seen, np.ones(seen.shape[:2])).any()


def test_a_cut_to_another_scene_is_no_exchange(walk):
    """Whichever way the person faces after it."""
    elsewhere = mirrored_labels(walk[30:]) * [-1, 1] + [1500, 200]
    for after in (elsewhere, mirrored_labels(elsewhere)):
        assert not find_swaps(np.concatenate([walk[:31], after[:29]]), ALL).any()


@pytest.mark.parametrize("frames", [1, 2])
def test_short_videos(walk, frames):
    assert find_swaps(walk[:frames], ALL[:frames]).tolist() == [False] * frames
    assert not find_swaps(np.zeros((frames, 17, 2)), np.zeros((frames, 17))).any()
