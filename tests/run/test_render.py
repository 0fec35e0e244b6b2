"""Animations are written whole, with the frames that were asked for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from common.errors import InputError
from common.geometry.figures import LEFT, RIGHT
from common.geometry.skeleton import H36M_17
from common.run.render import render

FRAMES = 12
STANDING = {
    "Hip": (0, 0), "RHip": (-0.1, 0), "RKnee": (-0.1, 0.45), "RFoot": (-0.1, 0.9), "LHip": (0.1, 0),
    "LKnee": (0.1, 0.45), "LFoot": (0.1, 0.9), "Spine": (0, -0.2), "Thorax": (0, -0.5),
    "Neck/Nose": (0, -0.6), "Head": (0, -0.7),
    "LShoulder": (0.2, -0.5), "LElbow": (0.45, -0.5), "LWrist": (0.7, -0.5),
    "RShoulder": (-0.2, -0.5), "RElbow": (-0.45, -0.5), "RWrist": (-0.7, -0.5),
}  # fmt: skip


def clip() -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (F, 17, 2) in a 200 x 200 image and poses (F, 17, 3) of someone seen from behind who raises a hand."""
    pose = np.zeros((FRAMES, len(H36M_17.joints), 3))
    pose[..., :2] = [STANDING[joint] for joint in H36M_17.joints]
    pose[:, H36M_17.index("LWrist"), 1] -= np.linspace(0, 0.4, FRAMES)
    return pose[..., :2] * 90 + 100, pose


def write(output: Path, views: int = 1, **options) -> list[np.ndarray]:
    """The frames of what `render` writes, each (height, width, 3)."""
    keypoints, pose = clip()
    render(keypoints, (200, 200), {f"view {i}": pose for i in range(views)}, output, 25, size=2.5, **options)
    with Image.open(output) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def times(output: Path) -> list[int]:
    with Image.open(output) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def near(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where a picture (h, w, 3) has about that colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture.astype(int) - wanted).max(-1) < 40


def test_every_frame_is_written_and_nothing_else(tmp_path):
    frames = write(tmp_path / "new" / "a.gif", views=2)
    assert len(frames) == FRAMES
    assert frames[0].shape == (200, 600, 3)
    assert times(tmp_path / "new" / "a.gif") == [40] * FRAMES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gif"]


@pytest.mark.parametrize(
    ("options", "count", "duration"),
    [
        ({"limit": 5}, 5, 40),
        ({"skip": 9}, 3, 40),
        ({"downsample": 5}, 3, 200),
        ({"skip": 3, "downsample": 2, "limit": 4}, 4, 80),
        ({"limit": 100}, FRAMES, 40),
    ],
)
def test_limit_skip_and_downsample(tmp_path, options, count, duration):
    assert len(write(tmp_path / "a.gif", **options)) == count
    assert times(tmp_path / "a.gif") == [duration] * count


def test_figures_stand_upright_and_move(tmp_path):
    first, *_, last = write(tmp_path / "a.gif")
    for left_edge, view in ((0, first[:, :200]), (200, first[:, 200:])):
        assert np.median(np.nonzero(near(view, LEFT))[1]) > np.median(np.nonzero(near(view, RIGHT))[1])  # from behind
        moved = last[:, left_edge : left_edge + 200]
        assert np.nonzero(near(moved, LEFT))[0].min() < np.nonzero(near(view, LEFT))[0].min() - 8  # the hand is higher


def test_a_still_is_the_first_frame(tmp_path):
    (still,), (first,) = write(tmp_path / "a.png", skip=6), write(tmp_path / "a.gif", skip=6, limit=1)
    assert still.shape == (300, 600, 3)
    tops = [np.nonzero(near(picture, LEFT))[0].min() / len(picture) for picture in (still, first)]
    assert abs(tops[0] - tops[1]) < 0.02


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.avi", {}, "ends in .gif, .mp4 or .png, found '.avi'"),
        ("a", {}, "ends in .gif, .mp4 or .png"),
        ("a.gif", {"limit": 0}, "--viz-limit"),
        ("a.gif", {"skip": FRAMES}, "--viz-skip: expected 0 to 11"),
        ("a.gif", {"downsample": 0}, "--viz-downsample"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(tmp_path, name, options, expected):
    with pytest.raises(InputError) as caught:
        write(tmp_path / name, **options)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_mp4_without_ffmpeg_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs ffmpeg"):
        write(tmp_path / "a.mp4")


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.gif").write_bytes(b"old")

    def fail(writer):
        Path(writer.outfile).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.animation.PillowWriter.finish", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.gif")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.gif", b"old")]
