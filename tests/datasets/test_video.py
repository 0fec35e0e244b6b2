"""Videos without their labels and thinned out, and the data sets they come in."""

from dataclasses import dataclass

import pytest
import torch
from bodies import numbered, poses, trajectories, video

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.video import Dataset, LabelledVideo, Video
from common.geometry.camera import normalise, project
from common.geometry.skeleton import H36M_17


def test_unlabelled_drops_the_labels_alone():
    whole = numbered(5)
    bare = whole.unlabelled()
    assert type(bare) is Video
    assert not hasattr(bare, "pose") and not hasattr(bare, "trajectory")
    assert vars(bare) == {name: x for name, x in vars(whole).items() if name not in ("pose", "trajectory")}
    assert len(bare) == 5 and bare.name == whole.name == "S1 Walking cam"


def test_unlabelled_forgets_which_way_is_up():
    whole = video(5)
    assert whole.up is not None and whole.unlabelled().up is None
    assert whole.up is not None  # nor is the video itself changed


@pytest.mark.parametrize("factor", [1, 2, 3, 10])
@pytest.mark.parametrize("phase", [0, 1])
def test_downsampling_keeps_fields_together(factor, phase):
    thin = numbered(11).downsampled(factor, phase)
    expected = torch.arange(phase, 11, factor, dtype=torch.float32)
    for values in (thin.keypoints[:, 0, 0], thin.confidence[:, 0], thin.pose[:, 0, 0], thin.trajectory[:, 0]):
        assert torch.equal(values, expected)
    assert type(thin) is LabelledVideo and len(thin) == len(expected)
    assert thin.fps == 50 / factor
    bare = numbered(11).unlabelled().downsampled(factor, phase)
    assert type(bare) is Video and bare.fps == thin.fps
    assert torch.equal(bare.keypoints, thin.keypoints) and torch.equal(bare.confidence, thin.confidence)


def test_downsampling_leaves_what_belongs_to_the_whole_video():
    whole = video(11)
    thin = whole.downsampled(2)
    assert thin.up is whole.up and thin.intrinsics is whole.intrinsics and thin.name == whole.name
    assert numbered(11, confidence=False).downsampled(2).confidence is None


@pytest.mark.parametrize(
    ("rate", "step"), [(50, 1), (25, 2), (5, 10), (5.1, 10), (49, 1), (17, 3), (34, 1), (33, 2), (100, 1), (1e3, 1)]
)
def test_one_frame_in_how_many_makes_a_rate(rate, step):
    whole = numbered(31)
    assert whole.step(rate) == step
    thin, expected = whole.at_rate(rate), whole.downsampled(step)
    assert torch.equal(thin.keypoints, expected.keypoints) and thin.fps == expected.fps == 50 / step


@dataclass(frozen=True, kw_only=True)
class WithClasses(LabelledVideo):
    valid: torch.Tensor
    activity: torch.Tensor
    PER_FRAME = (*LabelledVideo.PER_FRAME, "valid", "activity")


@pytest.mark.parametrize("fps", [50.0, 60.0, 25.0, 30.0, 24.0, 100.0, 7.0, 200.0])
@pytest.mark.parametrize("frames", [1, 2, 3, 50, 101])
def test_resampling_keeps_the_motion_and_the_duration(fps, frames):
    whole = numbered(frames)  # a value that grows steadily
    found = whole.resampled(fps)
    assert type(found) is LabelledVideo and found.fps == fps and found.name == whole.name
    duration, was = (len(found) - 1) / fps, (frames - 1) / 50
    assert was - 1 / fps < duration <= was + 1e-9
    times = 50 * torch.arange(len(found)) / fps
    for values in (found.keypoints[:, 3, 1], found.confidence[:, 4], found.pose[:, 5, 2], found.trajectory[:, 1]):
        torch.testing.assert_close(values, times, rtol=0, atol=1e-4)
        assert values.dtype == torch.float32
    assert type(whole.unlabelled().resampled(fps)) is Video
    assert numbered(frames, confidence=False).resampled(fps).confidence is None


def test_resampling_to_the_same_rate_changes_nothing():
    whole = video(30)
    found = whole.resampled(50.0)
    for name in ("keypoints", "pose", "trajectory"):
        assert torch.equal(getattr(found, name), getattr(whole, name))
    assert found.up is whole.up and found.intrinsics is whole.intrinsics


@pytest.mark.parametrize("fps", [20.0, 30.0, 80.0])
def test_what_is_true_or_a_class_is_the_nearest_frames(fps):
    valid, activity = torch.arange(41) % 3 == 0, torch.arange(41) % 7
    found = WithClasses(**vars(numbered(41)), valid=valid, activity=activity).resampled(fps)
    nearest = [round(50 * i / fps) for i in range(len(found))]  # half to even, as tensors round
    assert torch.equal(found.valid, valid[nearest]) and found.valid.dtype == torch.bool
    assert torch.equal(found.activity, activity[nearest]) and found.activity.dtype == activity.dtype


def test_a_video_of_keypoints_alone():
    camera = h36m_cameras("S1")[2]
    pixels = 500 + torch.rand(6, 17, 2, dtype=torch.float64)
    sure = torch.rand(6, 17, dtype=torch.float64)
    found = Video.from_pixels("S2", "Walking", camera, pixels, 25.0, sure)
    assert type(found) is Video and found.up is None and found.name == f"S2 Walking {camera.name}"
    assert torch.equal(found.keypoints, normalise(pixels, camera.width, camera.height).float())
    assert torch.equal(found.intrinsics, camera.normalised_intrinsics().float())
    assert torch.equal(found.confidence, sure.float())
    assert (found.width, found.height, found.fps) == (camera.width, camera.height, 25)
    assert Video.from_pixels("S2", "Walking", camera, pixels, 25.0).confidence is None


def test_a_labelled_video_is_relative_to_its_root():
    camera = h36m_cameras("S1")[2]
    points = poses(1, 6)[0] + trajectories(1, 6)[0][:, None]
    pixels = project(points, torch.tensor(camera.intrinsics, dtype=torch.float64))
    found = LabelledVideo.from_points("S1", "Walking", camera, points, pixels, 25.0, camera.up())
    torch.testing.assert_close(found.pose + found.trajectory[:, None], points.float(), rtol=0, atol=1e-6)
    assert (found.pose[:, H36M_17.root_index] == 0).all() and found.camera == camera.name
    seen = project(found.pose + found.trajectory[:, None], found.intrinsics)
    torch.testing.assert_close(seen, found.keypoints, rtol=0, atol=1e-5)
    assert torch.equal(found.keypoints, normalise(pixels, camera.width, camera.height).float())
    assert torch.equal(found.up, camera.up().float())
    assert (found.width, found.height, found.fps) == (camera.width, camera.height, 25)
    assert LabelledVideo.from_points("S1", "Walking", camera, points, pixels, 25.0).up is None


def test_a_data_set_gives_subjects_in_the_order_asked_for():
    videos = [numbered(n, subject) for n, subject in ((1, "S1"), (2, "S5"), (3, "S1"), (4, "S9"))]
    data = Dataset(videos, "numbers", True, {})
    assert [len(v) for v in data.of(["S9", "S1"])] == [4, 1, 3]
    assert [len(v) for v in data.of(["S1", "S9"])] == [1, 3, 4]
    assert data.of(["S2"]) == [] and data.notes == []


def test_joined_data_sets_keep_what_each_says():
    one = Dataset([numbered(1)], "made", True, {"a.npz": "1"}, ["first"])
    other = Dataset([numbered(2), numbered(3)], "recorded", False, {"b.npz": "2"}, ["second"])
    both = Dataset.joined([one, other, other])
    assert [len(v) for v in both.videos] == [1, 2, 3, 2, 3]
    assert both.provenance == "made; recorded" and both.synthetic is True
    assert both.files == {"a.npz": "1", "b.npz": "2"} and both.notes == ["first", "second"]  # each once
    assert Dataset.joined([other]).synthetic is False


def test_a_data_set_without_labels_says_the_same(capsys):
    data = Dataset([numbered(1), numbered(2)], "made", True, {"a.npz": "1"}, ["first", "second"])
    bare = data.unlabelled()
    assert [type(v) for v in bare.videos] == [Video, Video] and [len(v) for v in bare.videos] == [1, 2]
    for one in (data, bare):
        one.announce()
        assert capsys.readouterr().out == "data: made\nnote: first\nnote: second\n"
