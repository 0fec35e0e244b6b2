"""Pictures and films are written whole, frame by frame, at the speed of what was filmed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import walks
from PIL import Image, ImageSequence
from scripts import full_disk

from common.errors import InputError
from common.geometry.figures import LEFT, RIGHT
from common.viewer import video
from common.viewer.picture import Picture
from common.viewer.strokes import colour_bytes
from common.viewer.track import Track
from common.viewer.video import write_film, write_gif
from common.viewer.view import check_view, write_view

FRAMES = 12
SYNTHETIC = ["Synthetic data: an invented walk"]


def write(path: Path, frames: int = FRAMES, fps: float = 25, shown: int = 3, **options) -> list[np.ndarray]:
    """The frames of what is written of a walk, each (height, width, 3)."""
    tracks, pixels = walks.tracks(frames)
    write_film(path, tracks[:shown], fps, "A walk", SYNTHETIC, pixels, walks.SIZE, height=200, **options)
    with Image.open(path) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def delays(path: Path) -> list[int]:
    """Milliseconds of every frame."""
    with Image.open(path) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def near(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where a picture (h, w, 3) has about that colour."""
    return np.abs(picture.astype(int) - colour_bytes(colour)[:3]).max(-1) < 20


def test_every_frame_is_written_and_nothing_else(tmp_path):
    frames = write(tmp_path / "new" / "a.gif")
    assert len(frames) == FRAMES and frames[0].shape == (200, 600, 3)
    assert delays(tmp_path / "new" / "a.gif") == [40] * FRAMES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gif"]
    assert write(tmp_path / "one.gif", shown=1)[0].shape == (200, 400, 3)


def test_a_gif_has_the_colours_that_were_drawn(tmp_path):
    """Through 255 colours and with what has not changed left out, no pixel is far off; flat colours are exact."""
    tracks, pixels = walks.tracks(FRAMES)
    picture = Picture(tracks, 25, "A walk", SYNTHETIC, pixels, walks.SIZE, 200)
    for number, found in enumerate(write(tmp_path / "a.gif")):
        drawn = picture.frame(number)[..., :3]
        assert np.abs(drawn.astype(int) - found).max() < 60
        assert np.abs(drawn.astype(int) - found).mean() < 0.5
        for colour in (LEFT, RIGHT, "#FFFFFF"):
            exact = (drawn == colour_bytes(colour)[:3]).all(-1)
            assert exact.sum() > 50 and (found[exact] == colour_bytes(colour)[:3]).all()


@pytest.mark.parametrize(
    ("fps", "count", "total"), [(25, 12, 480), (30, 12, 400), (7.5, 12, 1600), (60, 6, 200), (50, 12, 240)]
)
def test_it_plays_as_fast_as_it_was_filmed(tmp_path, fps, count, total):
    """A GIF counts hundredths of a second, and browsers slow down delays of one."""
    write(tmp_path / "a.gif", fps=fps)
    found = delays(tmp_path / "a.gif")
    assert len(found) == count and min(found) >= 20
    assert sum(found) == pytest.approx(total, abs=10)


def test_figures_stand_upright_and_move():
    """Left and right as the camera sees them, the head above the feet, and a hand that is raised goes up."""
    joints = np.full((2, 17, 3), [0.0, 1.0, -3.0]) + [[0.0, 0, 0]]
    names = walks.H36M_17
    for joint, (x, y) in {
        "Head": (0, 1.7), "Neck/Nose": (0, 1.6), "Thorax": (0, 1.5), "LWrist": (0.7, 1.0), "LElbow": (0.45, 1.2),
        "LShoulder": (0.2, 1.45), "RShoulder": (-0.2, 1.45), "RElbow": (-0.45, 1.2), "RWrist": (-0.7, 1.0),
        "LHip": (0.1, 0.9), "RHip": (-0.1, 0.9), "LKnee": (0.1, 0.45), "RKnee": (-0.1, 0.45), "LFoot": (0.1, 0),
        "RFoot": (-0.1, 0),
    }.items():  # fmt: skip
        joints[:, names.index(joint), :2] = x, y
    joints[1, names.index("LWrist"), 1] = 1.9
    picture = Picture([Track("a", joints)], 25, "", [], None, None, 300)
    # without the legend at the bottom
    first, second = (picture.frame(n)[: picture.boxes[0][3], :, :3] for n in (0, 1))
    assert first.shape[1] == 300
    columns = [np.median(np.nonzero(near(first, colour))[1]) for colour in (LEFT, RIGHT)]
    assert columns[0] > columns[1] + 10  # seen from behind
    assert np.nonzero(near(second, LEFT))[0].min() < np.nonzero(near(first, LEFT))[0].min() - 20


def test_the_truth_lies_behind_and_is_named(tmp_path):
    with_truth, without = write(tmp_path / "a.png")[0], write(tmp_path / "b.png", shown=2)[0]
    assert with_truth.shape == without.shape == (400, 1200, 3)  # no view of its own
    bone = near(without, LEFT)
    assert (near(with_truth, LEFT) == bone).mean() > 0.995  # nothing in front of the results but for edges
    assert (with_truth != without).any(-1).sum() > 2000


def test_a_still_is_the_first_frame_twice_as_large(tmp_path):
    (still,), first = write(tmp_path / "a.png"), write(tmp_path / "a.gif")[0]
    small = still.reshape(200, 2, 600, 2, 3).mean((1, 3))
    assert np.abs(small - first).mean() < 4


def test_the_time_is_that_of_the_video(tmp_path):
    one, other = (write(tmp_path / f"{s}.png", frames=2, start=s)[0] for s in (0.0, 7.0))
    rows, columns = np.nonzero((one != other).any(-1))
    assert len(rows) and rows.min() > 0.92 * len(one) and columns.min() > 0.9 * one.shape[1]


def test_missing_joints_and_frames_do_no_harm(tmp_path):
    joints = np.full((3, 17, 3), np.nan)
    write_film(tmp_path / "none.gif", [Track("a", joints)], 25, "", [], joints[..., :2], (10, 10))
    joints[1, :8] = walks.walk(3)[0][1, :8]
    write_film(tmp_path / "some.gif", [Track("a", joints)], 25, "", [])
    with Image.open(tmp_path / "some.gif") as image:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    assert len(frames) == 3 and near(frames[1], RIGHT).sum() > near(frames[0], RIGHT).sum()


def test_a_long_title_is_cut(tmp_path):
    tracks, _ = walks.tracks(2)
    Picture([Track("name " * 90, tracks[0].joints)], 25, "title " * 90, ["synthetic " * 90], None, None, 200).frame(0)


def test_an_mp4_is_a_film_of_the_frames(tmp_path):
    av = pytest.importorskip("av")
    tracks, pixels = walks.tracks(FRAMES)
    write_view(tmp_path / "a.mp4", tracks, 29.97, "A walk", SYNTHETIC, pixels, walks.SIZE, height=201)
    with av.open(str(tmp_path / "a.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height) == (600, 200) and float(stream.average_rate) == pytest.approx(29.97)
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == FRAMES
    picture = Picture(tracks, 29.97, "A walk", SYNTHETIC, pixels, walks.SIZE, 200)
    for number, found in enumerate(frames):
        assert np.abs(picture.frame(number)[..., :3].astype(int) - found).mean() < 3


def test_without_pyav_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    for run in (check_view, lambda path: write(path)):
        with pytest.raises(InputError, match="a.mp4: needs PyAV: pip install av; or name a .gif"):
            run(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.avi", "a"])
def test_another_ending_is_refused(name):
    with pytest.raises(InputError, match="expected a name that ends in .html, .png, .gif, .mp4, found"):
        check_view(Path(name))


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.gif").write_bytes(b"old")

    def fail(file, frames, fps):
        write_gif(file, frames, fps)
        raise OSError("disk full")

    monkeypatch.setattr(video, "write_gif", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.gif")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.gif", b"old")]


@pytest.mark.parametrize("name", ["a.html", "a.gif", "a.png", "a.mp4"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, name):
    if name.endswith("mp4"):
        pytest.importorskip("av")
    tracks, pixels = walks.tracks(FRAMES)
    with full_disk(), pytest.raises(InputError, match=f"{name}: cannot be written .File too large"):
        write_view(tmp_path / name, tracks, 25, "A walk", SYNTHETIC, pixels, walks.SIZE)
    assert not list(tmp_path.iterdir())


def test_a_frame_that_lasts_longer_than_a_gif_can_say(tmp_path):
    write(tmp_path / "a.gif", frames=2, fps=1e-4)
    assert delays(tmp_path / "a.gif") == [655_350] * 2
