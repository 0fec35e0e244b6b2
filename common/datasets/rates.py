"""Videos at several frame rates, made fit for one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from .video import Dataset, Video

AnyVideo = TypeVar("AnyVideo", bound=Video)
NEAR = 0.02  # of the rate: a video whose rate misses a multiple by less is taken as it is


def usual_rate(videos: Sequence[Video]) -> float:
    """The frame rate that most frames have."""
    frames: Counter[float] = Counter()
    for video in videos:
        frames[video.fps] += len(video)
    return frames.most_common(1)[0][0]


def fit_to_rate(data: Dataset[AnyVideo], rate: float, what: str) -> Dataset[AnyVideo]:
    """Videos of which every n-th frame makes `rate` frames a second: others are resampled to the nearest multiple.

    Args:
        what: whose they are, for the notes.

    Returns:
        The same data, with a note for every frame rate where there are several or one was resampled.
    """
    fitted: list[AnyVideo] = []
    resampled: Counter[tuple[float, float]] = Counter()
    thinned: Counter[tuple[float, int]] = Counter()
    for video in data.videos:
        step = video.step(rate)
        if abs(video.fps / step - rate) > NEAR * rate:
            resampled[video.fps, step * rate] += 1
            video = video.resampled(step * rate)
        else:
            thinned[video.fps, step] += 1
        fitted.append(video)
    notes = [
        f"{what}: {count} videos of {fps:g} frames a second resampled to {to:g}, one frame in {round(to / rate)} taken"
        for (fps, to), count in resampled.items()
    ]
    if len(thinned) + len(resampled) > 1:
        notes += [
            f"{what}: {count} videos of {fps:g} frames a second, one frame in {step} taken"
            for (fps, step), count in thinned.items()
        ]
    return replace(data, videos=fitted, notes=[*data.notes, *notes])
