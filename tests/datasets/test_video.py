"""Videos without their labels and thinned out, and the data sets they come in."""

import pytest
import torch
from bodies import poses, trajectories, video

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.video import Dataset, LabelledVideo, Video
from common.geometry.camera import normalise, project
from common.geometry.skeleton import H36M_17


def numbered(frames: int, subject: str = "S1", confidence: bool = True) -> LabelledVideo:
    """A video whose values are the number of the frame they belong to."""
    count = torch.arange(frames, dtype=torch.float32)[:, None, None]
    return LabelledVideo(
        subject=subject,
        action="Walking",
        camera="cam",
        keypoints=count.expand(-1, 17, 2),
        intrinsics=torch.zeros(9),
        width=1000,
        height=1000,
        fps=50.0,
        confidence=count[..., 0].expand(-1, 17) if confidence else None,
        pose=count.expand(-1, 17, 3),
        trajectory=count[:, 0].expand(-1, 3),
    )


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
    assert both.files == {"a.npz": "1", "b.npz": "2"} and both.notes == ["first", "second", "second"]
    assert Dataset.joined([other]).synthetic is False
