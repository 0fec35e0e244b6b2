"""Sequences without their labels, thinned out, and the clips drawn from them."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from bodies import batch, generator, poses, sequence, trajectories

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.clips import Batch, Clips
from common.datasets.video import Sequence
from common.geometry.camera import project
from common.geometry.skeleton import H36M_17


def numbered(frames: int, labelled: bool = True, subject: str = "S1") -> Sequence:
    """A video whose values are the number of the frame they belong to."""
    count = torch.arange(frames, dtype=torch.float32)[:, None, None]
    labels = (count.expand(-1, 17, 3), count[:, 0].expand(-1, 3)) if labelled else (None, None)
    return Sequence(subject, "Walking", "cam", count.expand(-1, 17, 2), torch.zeros(9), 1000, 1000, *labels)


def frames_of(found: Batch) -> torch.Tensor:
    """(B, T) which frame each row of a batch of `numbered` sequences is; all fields must agree."""
    frames = found.keypoints[..., 0, 0]
    assert (found.keypoints == frames[..., None, None]).all()
    if found.pose is not None:
        assert (found.pose == frames[..., None, None]).all() and (found.trajectory == frames[..., None]).all()
    return frames


def assert_same(a: Batch, b: Batch) -> None:
    for name, value in vars(a).items():
        other = getattr(b, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name


def test_unlabelled_drops_the_labels_alone():
    whole = sequence(5)
    bare = whole.unlabelled()
    assert bare.pose is None and bare.trajectory is None and bare.up is None
    assert whole.pose is not None and whole.up is not None
    assert bare.keypoints is whole.keypoints and len(bare) == 5 and bare.camera == whole.camera


@pytest.mark.parametrize("factor", [1, 2, 3, 10])
def test_downsampling_keeps_fields_together(factor):
    thin = numbered(11).downsampled(factor)
    expected = torch.arange(0, 11, factor, dtype=torch.float32)
    for values in (thin.keypoints[:, 0, 0], thin.pose[:, 0, 0], thin.trajectory[:, 0]):
        assert torch.equal(values, expected)
    assert len(thin) == len(expected)
    video = sequence(11)
    assert video.downsampled(factor).up is video.up
    bare = numbered(11, labelled=False).downsampled(factor)
    assert bare.pose is None and bare.trajectory is None and len(bare) == len(expected)


@pytest.mark.parametrize("flip", [False, True])
def test_the_same_seed_draws_the_same_clips(flip):
    clips = Clips([sequence(20, 1), sequence(31, 2, camera=1)], frames=5)
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


def test_every_sequence_has_its_share_of_an_epoch():
    clips = Clips([numbered(9, subject="A"), numbered(3, subject="B")], frames=3)
    drawn = [subject for found in clips.epoch(2, generator()) for subject in found.subjects]
    assert sorted(drawn) == ["A", "A", "A", "B"]


@pytest.mark.parametrize("step", [1, 2, 4])
def test_clips_take_every_stepth_frame_from_anywhere(step):
    clips = Clips([numbered(40)], frames=5, step=step)
    assert len(clips) == {1: 8, 2: 4, 4: 2}[step]
    starts = set()
    for found in islice(clips.endless(16, generator()), 30):
        frames = frames_of(found)
        assert (frames.diff(dim=1) == step).all()
        starts |= set(frames[:, 0].tolist())
    assert starts == set(range(40 - 4 * step))


def test_short_sequences_repeat_their_last_frame():
    found = next(Clips([numbered(3)], frames=6).endless(4, generator()))
    assert (frames_of(found) == torch.tensor([0.0, 1, 2, 2, 2, 2])).all()
    thinned = next(Clips([numbered(5)], frames=4, step=2).endless(4, generator()))
    assert (frames_of(thinned) == torch.tensor([0.0, 2, 4, 4])).all()


@pytest.mark.parametrize("flip", [False, True])
def test_unlabelled_clips_have_the_same_2d(flip):
    sequences = [sequence(20, 1), sequence(31, 2, camera=1)]
    labelled = list(Clips(sequences, 5).epoch(3, generator(), flip))
    bare = list(Clips([s.unlabelled() for s in sequences], 5).epoch(3, generator(), flip))
    for a, b in zip(labelled, bare):
        assert a.pose is not None and b.pose is None and b.trajectory is None
        assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.intrinsics, b.intrinsics)
    assert bare[0].to(torch.device("cpu")).pose is None and bare[0].first(2).pose is None


def test_clips_know_which_way_is_up_when_every_video_does():
    videos = [sequence(20, 1), sequence(31, 2, camera=1)]
    for found in Clips(videos, 5).epoch(3, generator()):
        for up, intrinsics in zip(found.up, found.intrinsics):
            (video,) = [v for v in videos if torch.equal(v.intrinsics, intrinsics)]
            assert torch.equal(up, video.up)
    unknown = [videos[0], replace(videos[1], up=None)]
    assert all(found.up is None for found in Clips(unknown, 5).epoch(3, generator(), flip=True))


def test_a_labelled_sequence_is_relative_to_its_root():
    camera = h36m_cameras("S1")[2]
    points = poses(1, 6)[0] + trajectories(1, 6)[0][:, None]
    pixels = project(points, torch.tensor(camera.intrinsics, dtype=torch.float64))
    found = Sequence.labelled("S1", "Walking", camera, points, pixels, camera.up())
    torch.testing.assert_close(found.pose + found.trajectory[:, None], points.float(), rtol=0, atol=1e-6)
    assert (found.pose[:, H36M_17.root_index] == 0).all() and found.camera == camera.name
    seen = project(found.pose + found.trajectory[:, None], found.intrinsics)
    torch.testing.assert_close(seen, found.keypoints, rtol=0, atol=1e-5)
    assert torch.equal(found.up, camera.up().float())
    assert Sequence.labelled("S1", "Walking", camera, points, pixels).up is None


def test_mixed_labels_and_nothing_at_all_are_refused():
    with pytest.raises(ValueError, match="some sequences carry labels"):
        Clips([numbered(5), numbered(5, labelled=False)], 3)
    with pytest.raises(ValueError, match="no sequences"):
        Clips([], 3)


def test_flipped_clips_are_what_the_mirrored_camera_sees():
    sequences = [sequence(20, seed, camera=seed) for seed in range(4)]
    plain = list(Clips(sequences, 5).epoch(8, generator(3)))
    flipped = list(Clips(sequences, 5).epoch(8, generator(3), flip=True))
    for found in flipped:
        seen = project(found.pose + found.trajectory[..., None, :], found.intrinsics)
        torch.testing.assert_close(seen, found.keypoints, rtol=0, atol=1e-5)
        same = (found.up - torch.stack([s.up for s in sequences])[:, None]).abs()  # (4, B, 3)
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
