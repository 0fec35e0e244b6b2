"""Videos at several frame rates: thinned where that is enough, else resampled, and noted."""

from dataclasses import replace

import pytest
import torch
from bodies import video

from common.datasets.clips import Clips
from common.datasets.rates import NEAR, fit_to_rate, usual_rate
from common.datasets.video import Dataset, LabelledVideo, Video


def at(fps: float, frames: int = 100, subject: str = "S1") -> Video:
    return replace(video(frames), fps=fps, subject=subject).unlabelled()


def fitted(rates: list[float], rate: float, notes: list[str] | None = None) -> Dataset[Video]:
    data = Dataset([at(fps) for fps in rates], "made by a test", True, {"a": "1"}, notes or [])
    found = fit_to_rate(data, rate, "target")
    assert len(found.videos) == len(rates) and data.videos[0].fps == rates[0]
    assert (found.provenance, found.synthetic, found.files) == ("made by a test", True, {"a": "1"})
    return found


def test_the_usual_rate_is_that_of_most_frames():
    assert usual_rate([at(50, 10), at(25, 30), at(50, 15)]) == 25
    assert usual_rate([at(50, 10), at(25, 30), at(50, 25)]) == 50


def test_one_rate_is_left_alone_and_not_worth_a_note():
    for fps, rate in ((50.0, 50.0), (50.0, 5.0), (50.0, 25.0), (25.0, 5.0), (30.0, 10.0)):
        found = fitted([fps, fps], rate, ["as it was"])
        assert found.notes == ["as it was"] and [v.fps for v in found.videos] == [fps, fps]


def test_multiples_are_thinned_and_noted():
    found = fitted([50.0, 25.0, 25.0], 5.0, ["as it was"])
    assert [v.fps for v in found.videos] == [50, 25, 25]
    assert [len(v) for v in found.videos] == [100] * 3  # here all frames stay; clips take one in so many
    assert found.notes == [
        "as it was",
        "target: 1 videos of 50 frames a second, one frame in 10 taken",
        "target: 2 videos of 25 frames a second, one frame in 5 taken",
    ]
    steps = {v.fps: v.step(5.0) for v in found.videos}
    assert steps == {50: 10, 25: 5}


def test_others_are_resampled_to_the_nearest_multiple():
    found = fitted([30.0, 30.0], 12.5)
    assert [v.fps for v in found.videos] == [25, 25] and found.videos[0].step(12.5) == 2
    assert found.notes == ["target: 2 videos of 30 frames a second resampled to 25, one frame in 2 taken"]
    found = fitted([50.0, 30.0, 24.0], 25.0)
    assert [v.fps for v in found.videos] == [50, 25, 25]
    assert found.notes == [
        "target: 1 videos of 30 frames a second resampled to 25, one frame in 1 taken",
        "target: 1 videos of 24 frames a second resampled to 25, one frame in 1 taken",
        "target: 1 videos of 50 frames a second, one frame in 2 taken",
    ]


def test_a_rate_above_the_files_is_reached_by_resampling():
    found = fitted([25.0], 50.0)
    (after,) = found.videos
    assert after.fps == 50 and after.step(50.0) == 1 and len(after) == 199
    assert found.notes == ["target: 1 videos of 25 frames a second resampled to 50, one frame in 1 taken"]
    torch.testing.assert_close(after.keypoints[::2], at(25.0).keypoints)


@pytest.mark.parametrize(("fps", "resampled"), [(29.97, False), (30.5, False), (29.3, True), (30.7, True)])
def test_a_rate_nearly_right_is_taken_as_it_is(fps, resampled):
    assert (abs(fps - 30) > NEAR * 30) is resampled
    (after,) = fitted([fps], 15.0).videos
    assert after.fps == (30 if resampled else fps) and after.step(15.0) == 2


@pytest.mark.parametrize("rate", [5.0, 12.5, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0])
@pytest.mark.parametrize("fps", [15.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 100.0, 120.0, 240.0])
def test_whatever_comes_goes_at_the_rate_and_lasts_as_long(fps, rate):
    (after,) = fitted([fps], rate).videos
    thin = after.at_rate(rate)
    assert abs(thin.fps - rate) <= NEAR * rate
    assert abs(len(thin) / thin.fps - 100 / fps) < 1 / fps + 1 / after.fps + 1 / thin.fps


def test_labels_are_resampled_with_the_keypoints():
    whole = replace(video(60), fps=30.0)
    (after,) = fit_to_rate(Dataset([whole], "", True, {}), 25.0, "source").videos
    assert type(after) is LabelledVideo and len(after.pose) == len(after.trajectory) == len(after) == 50
    torch.testing.assert_close(after.pose[::5], whole.pose[::6], rtol=0, atol=1e-6)
    torch.testing.assert_close(after.trajectory[::5], whole.trajectory[::6], rtol=0, atol=1e-6)
    assert after.up is whole.up


def test_clips_of_a_mixed_data_set_last_alike():
    data = fitted([50.0, 25.0, 30.0, 24.0], 5.0)
    clips = Clips(data.videos, 4, 5.0)
    assert len(clips) == 3 + 5 + 5 + 6  # windows of four fifths of a second in 2, 4, 3.3 and 4.2 seconds
    batch = next(clips.epoch(len(clips), torch.Generator().manual_seed(0)))
    assert batch.keypoints.shape == (19, 4, 17, 2)
