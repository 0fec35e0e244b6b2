"""2D keypoints as files have them: what is missing is found, filled where that is safe, and counts nowhere else."""

import warnings

import numpy as np
import pytest

from common.datasets.keypoints import FILLED_CONFIDENCE, LONGEST_FILLED, Keypoints, filled_keypoints
from common.errors import InputError

FRAMES, JOINTS, FPS = 40, 17, 50.0
LONGEST = round(LONGEST_FILLED * FPS)


def walk(channels: int = 2, frames: int = FRAMES) -> np.ndarray:
    """(frames, 17, channels) keypoints that move on straight lines, joint by joint at another speed."""
    start = np.random.default_rng(0).uniform(200, 800, (JOINTS, 2))
    speed = np.random.default_rng(1).uniform(-3, 3, (JOINTS, 2))
    pixels = start + speed * np.arange(frames)[:, None, None]
    return pixels if channels == 2 else np.concatenate([pixels, np.full((frames, JOINTS, 1), 0.8)], -1)


def read(values: object, fps: float = FPS) -> Keypoints:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return filled_keypoints(values, JOINTS, fps, "video")


def refusal(values: object, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        read(values)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("video: ")
    for part in parts:
        assert part in message, message


# Nothing missing.


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_where_nothing_is_missing_nothing_is_changed(dtype):
    values = walk().astype(dtype)
    kept = values.copy()
    found = read(values)
    assert np.array_equal(found.pixels, values.astype(np.float64)) and found.pixels.dtype == np.float64
    assert found.confidence is None and (found.missing, found.filled, found.note()) == (0, 0, "")
    assert np.array_equal(values, kept) and not np.shares_memory(found.pixels, values)


def test_the_third_channel_is_the_confidence_up_to_one():
    values = walk(3)
    values[3, 4, 2], values[5, 6, 2] = 1.11, np.inf  # AlphaPose exceeds 1
    found = read(values)
    assert np.array_equal(found.pixels, values[..., :2]) and found.missing == 0
    assert np.array_equal(found.confidence, values[..., 2].clip(0, 1)) and found.confidence.max() == 1


@pytest.mark.parametrize("channels", [2, 3])
def test_one_person_in_a_list_of_people(channels):
    values = walk(channels)
    values[4, 2, :2] = 0
    one, other = read(values), read(values[:, None])
    assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.confidence, other.confidence)
    assert (one.missing, one.filled) == (other.missing, other.filled) == (1, 1)


def test_a_coordinate_of_zero_is_no_missing_joint():
    values = walk()
    values[3, 4, 0], values[5, 6, 1], values[7, 8] = 0, -1, (-1, 0)
    assert read(values).missing == 0


# Missing.

MISSED = {
    "zeros": lambda v: v[..., :2].fill(0),
    "minus ones": lambda v: v[..., :2].fill(-1),
    "not a number": lambda v: v[..., :2].fill(np.nan),
    "x alone": lambda v: v[..., 0].fill(np.nan),
    "infinite": lambda v: v[..., 1].fill(np.inf),
    "no confidence": lambda v: v[..., 2].fill(0),
    "confidence below zero": lambda v: v[..., 2].fill(-0.5),
    "confidence not a number": lambda v: v[..., 2].fill(np.nan),
}
EACH_WAY = pytest.mark.parametrize("way", MISSED)


@EACH_WAY
def test_every_way_to_say_missing_is_found(way):
    channels = 3 if "confidence" in way else 2
    values, clean = walk(channels), walk()
    for frames, joint in ((slice(5, 8), 4), (slice(20, 21), 9)):
        MISSED[way](values[frames, joint : joint + 1])
    found = read(values)
    assert (found.missing, found.filled) == (4, 4)
    np.testing.assert_allclose(found.pixels, clean, atol=1e-9)  # it moved on a straight line
    expected = np.full((FRAMES, JOINTS), 0.8 if channels == 3 else 1.0)
    expected[5:8, 4] *= FILLED_CONFIDENCE
    expected[20, 9] *= FILLED_CONFIDENCE
    np.testing.assert_allclose(found.confidence, expected)
    assert found.note() == f"{4 / FRAMES / JOINTS:.1%} of the joints missing, 100% of these filled in"


def test_a_filled_joint_is_half_as_sure_as_the_less_sure_neighbour():
    values = walk(3)
    values[9, 3, 2], values[12, 3, 2], values[10:12, 3, 2] = 0.9, 0.3, 0
    found = read(values)
    assert found.confidence[10:12, 3] == pytest.approx(0.15)
    assert found.confidence[9, 3] == 0.9 and found.confidence[12, 3] == 0.3


@pytest.mark.parametrize("fps", [50.0, 25.0, 5.0, 2.0])
def test_a_gap_longer_than_a_fifth_of_a_second_counts_nowhere(fps):
    longest = max(1, round(LONGEST_FILLED * fps))
    values = walk()
    values[5 : 5 + longest, 4] = 0
    values[20 : 21 + longest, 7] = 0
    found = read(values, fps)
    assert (found.confidence[5 : 5 + longest, 4] == FILLED_CONFIDENCE).all()
    assert (found.confidence[20 : 21 + longest, 7] == 0).all()
    assert (found.missing, found.filled) == (2 * longest + 1, longest)
    np.testing.assert_allclose(found.pixels, walk(), atol=1e-9)  # the network is given a likely place in both
    known = np.ones_like(found.confidence, dtype=bool)
    known[5 : 5 + longest, 4] = known[20 : 21 + longest, 7] = False
    assert (found.confidence[known] == 1).all()


def test_at_the_ends_a_joint_is_held_and_counts_nowhere():
    values = walk()
    values[:2, 4], values[-3:, 4] = -1, np.nan
    found = read(values)
    assert (found.pixels[:2, 4] == values[2, 4]).all() and (found.pixels[-3:, 4] == values[-4, 4]).all()
    assert (found.confidence[:2, 4] == 0).all() and (found.confidence[-3:, 4] == 0).all()
    assert (found.missing, found.filled) == (5, 0)
    assert found.note().endswith("0% of these filled in")


def test_a_joint_never_seen_is_put_where_the_person_is():
    values = walk()
    values[:, 10] = 0
    found = read(values)
    assert (found.confidence[:, 10] == 0).all() and (np.delete(found.confidence, 10, 1) == 1).all()
    np.testing.assert_allclose(found.pixels[:, 10], np.delete(values, 10, 1).mean(1))
    assert np.array_equal(np.delete(found.pixels, 10, 1), np.delete(values, 10, 1))
    assert (found.missing, found.filled) == (FRAMES, 0)


def test_a_frame_with_nobody_is_between_its_neighbours():
    values = walk()
    values[5] = np.nan
    values[20 : 21 + LONGEST] = 0
    found = read(values)
    assert np.isfinite(found.pixels).all()
    np.testing.assert_allclose(found.pixels, walk(), atol=1e-9)
    assert (found.confidence[5] == FILLED_CONFIDENCE).all() and (found.confidence[20 : 21 + LONGEST] == 0).all()


def test_gaps_side_by_side_are_each_their_own():
    values = walk()
    values[5:7, 4], values[8:10, 4] = 0, 0
    found = read(values)
    assert (found.confidence[5:10, 4] == [0.5, 0.5, 1, 0.5, 0.5]).all() and found.filled == 4


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_whatever_is_missing_numbers_come_out(share):
    rng = np.random.default_rng(int(100 * share))
    values = walk(3)
    values[rng.random((FRAMES, JOINTS)) < share] = np.nan
    found = read(values)
    gone = np.isnan(values[..., 0])
    assert np.isfinite(found.pixels).all() and found.missing == gone.sum()
    assert (found.confidence >= 0).all() and (found.confidence <= 1).all()
    assert np.array_equal(found.pixels[~gone], values[~gone][:, :2])
    assert (found.confidence[gone] <= FILLED_CONFIDENCE).all() and (found.confidence[~gone] == 0.8).all()
    assert found.filled == (found.confidence[gone] > 0).sum()
    assert found.pixels.min() > values[~gone][:, :2].min() - 1e-6


# Refused.


def test_a_place_in_no_image_is_refused_with_frame_and_joint():
    values = walk(3)
    values[7, 3, 1] = values[9, 1, 0] = values[9, 2, 0] = -1e9
    refusal(values, f"2 of {FRAMES} frames", "beyond 1e+06 pixels", "the first is frame 7, joint 3", "leave out")
    values[[7, 9, 9], [3, 1, 2], 2] = 0  # marked as missing, which is the mend
    assert read(values).missing == 3
    assert np.abs(read(values).pixels).max() < 2000


@EACH_WAY
def test_nobody_in_any_frame_is_refused(way):
    values = walk(3)
    MISSED[way](values)
    refusal(values, f"no joint is seen in any of {FRAMES} frames", "leave out this video")


@pytest.mark.parametrize(
    "values",
    [
        walk(3)[..., [0, 1, 2, 2]], walk()[..., :1], walk()[:, :16], walk()[:0], walk()[0], walk().astype(str), None,
        np.stack([walk(), walk()], 1), walk().tolist(), walk() > 0, walk().astype(complex), walk()[:, None, None],
    ],
)  # fmt: skip
def test_what_is_no_array_of_keypoints(values):
    refusal(values, "expected numbers of shape (frames, 17, 2 or 3), found ")
