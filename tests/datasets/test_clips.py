"""The batches of clips drawn from videos."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from bodies import batch, generator, numbered, video

from common.datasets.clips import Batch, Clips, LabelledBatch
from common.geometry.camera import project
from common.geometry.skeleton import H36M_17, mirror


def frames_of(found: Batch) -> torch.Tensor:
    """(B, T) which frame each row of a batch of `numbered` videos is; all fields must agree."""
    frames = found.keypoints[..., 0, 0]
    assert (found.keypoints == frames[..., None, None]).all()
    if isinstance(found, LabelledBatch):
        assert (found.pose == frames[..., None, None]).all() and (found.trajectory == frames[..., None]).all()
    return frames


def assert_same(a: Batch, b: Batch) -> None:
    assert type(a) is type(b)
    for name, value in vars(a).items():
        other = getattr(b, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name


@pytest.mark.parametrize("flip", [False, True])
def test_the_same_seed_draws_the_same_clips(flip):
    clips = Clips([video(20, 1), video(31, 2, camera=1)], frames=5)
    for draw in (lambda seed: clips.epoch(3, generator(seed), flip),
                 lambda seed: islice(clips.endless(3, generator(seed), flip), 4)):  # fmt: skip
        first, again, other = list(draw(7)), list(draw(7)), list(draw(8))
        assert len(first) == len(again) == 4
        for a, b in zip(first, again):
            assert_same(a, b)
        assert any(not torch.equal(a.keypoints, b.keypoints) for a, b in zip(first, other))


def test_an_epoch_has_as_many_clips_as_windows():
    clips = Clips([numbered(n) for n in (9, 10, 3)], frames=3)
    assert len(clips) == 3 + 4 + 1
    assert clips.steps(3) == 3
    sizes = [len(found) for found in clips.epoch(3, generator())]
    assert sizes == [3, 3, 2]
    assert [len(found) for found in islice(clips.endless(5, generator()), 3)] == [5, 5, 5]


def test_every_video_has_its_share_of_an_epoch():
    clips = Clips([numbered(9, subject="A"), numbered(3, subject="B")], frames=3)
    drawn = [subject for found in clips.epoch(2, generator()) for subject in found.subjects]
    assert sorted(drawn) == ["A", "A", "A", "B"]


@pytest.mark.parametrize(("step", "rate"), [(1, None), (1, 50.0), (2, 25.0), (4, 12.5), (4, 12.0), (1, 1000.0)])
def test_clips_take_every_stepth_frame_from_anywhere(step, rate):
    clips = Clips([numbered(40)], frames=5, rate=rate)
    assert len(clips) == {1: 8, 2: 4, 4: 2}[step]
    starts = set()
    for found in islice(clips.endless(16, generator()), 30):
        frames = frames_of(found)
        assert (frames.diff(dim=1) == step).all()
        starts |= set(frames[:, 0].tolist())
    assert starts == set(range(40 - 4 * step))


def test_short_videos_repeat_their_last_frame():
    found = next(Clips([numbered(3)], frames=6).endless(4, generator()))
    assert (frames_of(found) == torch.tensor([0.0, 1, 2, 2, 2, 2])).all()
    thinned = next(Clips([numbered(5)], frames=4, rate=25.0).endless(4, generator()))
    assert (frames_of(thinned) == torch.tensor([0.0, 2, 4, 4])).all()


def test_every_video_goes_at_the_clips_rate():
    videos = [numbered(40, "A"), replace(numbered(40, "B"), fps=25.0), replace(numbered(40, "C"), fps=100.0)]
    clips = Clips(videos, frames=4, rate=5.0)
    assert len(clips) == 1 + 2 + 1
    for found in islice(clips.endless(16, generator()), 10):
        frames = frames_of(found)
        for subject, step in {"A": 10, "B": 5}.items():
            mine = frames[[name == subject for name in found.subjects]]
            assert (mine.diff(dim=1) == step).all()
        assert (frames[[name == "C" for name in found.subjects]] == torch.tensor([0.0, 20, 39, 39])).all()


@pytest.mark.parametrize("flip", [False, True])
def test_confidence_goes_with_its_keypoints(flip):
    """Each joint's confidence is told by its keypoint, so that a mirrored clip can be checked too."""
    one, other = video(20, 1), video(31, 2, camera=1)
    sure = torch.rand(20, 17, generator=generator())
    one = replace(one, confidence=sure)
    for found in Clips([one, other], 5).epoch(8, generator(3), flip):
        assert found.confidence.shape == (len(found), 5, 17) and found.weights() is found.confidence
        for keypoints, confidence, lens in zip(found.keypoints, found.confidence, found.intrinsics):
            if torch.equal(lens[0], other.intrinsics[0]):
                assert (confidence == 1).all()  # a video that does not say it is sure of all
                continue
            plain = keypoints if torch.equal(lens, one.intrinsics) else mirror(keypoints)
            order = list(range(17)) if torch.equal(lens, one.intrinsics) else list(H36M_17.mirrored)
            (start,) = [f for f in range(16) if torch.equal(one.keypoints[f : f + 5], plain)]
            assert torch.equal(confidence, sure[start : start + 5][:, order])
    assert next(Clips([other], 5).epoch(2, generator())).confidence is None


def test_weights_are_ones_where_no_video_has_a_confidence():
    found = batch(4, 3)
    assert found.confidence is None and torch.equal(found.weights(), torch.ones_like(found.keypoints[..., 0]))
    sure = replace(found, confidence=torch.rand(4, 3, 17, generator=generator()))
    assert torch.equal(sure.first(2).confidence, sure.confidence[:2])
    assert torch.equal(sure.mirrored(torch.ones(4).bool()).confidence, sure.confidence[..., H36M_17.mirrored])
    assert_same(sure.mirrored(torch.ones(4).bool()).mirrored(torch.ones(4).bool()), sure)


@pytest.mark.parametrize("flip", [False, True])
def test_unlabelled_clips_have_the_same_2d(flip):
    videos = [video(20, 1), video(31, 2, camera=1)]
    labelled = list(Clips(videos, 5).epoch(3, generator(), flip))
    bare = list(Clips([v.unlabelled() for v in videos], 5).epoch(3, generator(), flip))
    assert len(labelled) == len(bare)
    for a, b in zip(labelled, bare):
        assert type(a) is LabelledBatch and type(b) is Batch
        assert not hasattr(b, "pose") and not hasattr(b, "trajectory") and b.up is None
        assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.intrinsics, b.intrinsics)
        assert a.subjects == b.subjects
    assert type(bare[0].to(torch.device("cpu"))) is type(bare[0].first(2)) is Batch


def test_clips_know_which_way_is_up_when_every_video_does():
    videos = [video(20, 1), video(31, 2, camera=1)]
    for found in Clips(videos, 5).epoch(3, generator()):
        for up, intrinsics in zip(found.up, found.intrinsics):
            (seen,) = [v for v in videos if torch.equal(v.intrinsics, intrinsics)]
            assert torch.equal(up, seen.up)
    unknown = [videos[0], replace(videos[1], up=None)]
    assert all(found.up is None for found in Clips(unknown, 5).epoch(3, generator(), flip=True))


def test_mixed_labels_and_nothing_at_all_are_refused():
    with pytest.raises(ValueError, match="some videos carry labels"):
        Clips([numbered(5), numbered(5).unlabelled()], 3)
    with pytest.raises(ValueError, match="no videos"):
        Clips([], 3)


def test_flipped_clips_are_what_the_mirrored_camera_sees():
    videos = [video(20, seed, camera=seed) for seed in range(4)]
    plain = list(Clips(videos, 5).epoch(8, generator(3)))
    flipped = list(Clips(videos, 5).epoch(8, generator(3), flip=True))
    for found in flipped:
        seen = project(found.pose + found.trajectory[..., None, :], found.intrinsics)
        torch.testing.assert_close(seen, found.keypoints, rtol=0, atol=1e-5)
        same = (found.up - torch.stack([v.up for v in videos])[:, None]).abs()  # (4, B, 3)
        assert (same[..., 1:].amax(-1).amin(0) == 0).all()  # a mirror image is as high
    changed = (plain[0].keypoints != flipped[0].keypoints).flatten(1).any(1)
    assert changed.any() and not changed.all()


def test_mirroring_twice_gives_the_clips_back():
    clips = batch(4, 3)
    chosen = torch.tensor([True, False, True, False])
    once = clips.mirrored(chosen)
    assert_same(once.mirrored(chosen), clips)
    assert_same(clips.mirrored(~torch.ones(4).bool()), clips)
    for name in ("keypoints", "intrinsics", "pose", "trajectory", "up"):
        same = (getattr(once, name) == getattr(clips, name)).flatten(1).all(1)
        assert torch.equal(same, ~chosen), name


def test_the_first_clips():
    clips = batch(4, 3)
    part = clips.first(3)
    assert len(part) == 3 and part.subjects == clips.subjects[:3]
    assert torch.equal(part.up, clips.up[:3])
    assert torch.equal(part.pose, clips.pose[:3]) and torch.equal(part.intrinsics, clips.intrinsics[:3])
