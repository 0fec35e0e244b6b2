"""Pictures of video files: each upright, on its frame; one line for what cannot be read."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from films import SIZE, STEP, av, corner, cut, film, picture

from common.errors import InputError
from common.video.decoding import even_rate, is_video, open_recording, upright


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264"),
     ("a.mpg", "mpeg2video"), ("a.h264", "libx264")],
)  # fmt: skip
def test_every_picture_is_on_its_frame(tmp_path, name, codec):
    recording = open_recording(film(tmp_path / name, codec=codec))
    assert recording.fps == 30 and recording.pictures == 24
    found = list(recording.frames())
    assert [number for number, _ in found] == list(range(24))
    for number, shown in found:
        assert shown.shape == (SIZE[1], SIZE[0], 3) and shown.dtype == np.uint8
        np.testing.assert_allclose(corner(shown), (8 + STEP * number, 40), atol=1)
    assert bool(recording.notes) == (name == "a.h264")  # has no times


def test_frames_that_a_phone_left_out_are_left_out(tmp_path):
    """Times in whole milliseconds at 30 a second; pictures 5, 6 and 15 were never taken."""
    there = [number for number in range(27) if number not in (5, 6, 15)]
    recording = open_recording(film(tmp_path / "a.mkv", 24, [round(number * 1000 / 30) for number in there]))
    assert recording.fps == 30
    assert [number for number, _ in recording.frames()] == there
    assert "3 of 27 frames without one" in recording.notes[0]


def test_pictures_that_come_too_fast_are_left_out(tmp_path):
    times = [40 * number for number in range(23)]
    recording = open_recording(film(tmp_path / "a.mkv", 24, sorted([*times, 401])))
    assert recording.fps == pytest.approx(25, rel=0.05)
    numbers = [number for number, _ in recording.frames()]
    assert numbers == sorted(set(numbers)) and "1 left out" in recording.notes[0]


@pytest.mark.parametrize("rate", [24000 / 1001, 25, 30000 / 1001, 59.94, 240])
@pytest.mark.parametrize("tick", [1 / 1000, 1 / 90000])
def test_the_rate_of_rounded_times(rate, tick):
    """Some of the pictures are missing; the last frame is still where it belongs."""
    numbers = np.delete(np.arange(3000), [10, 11, 500, 1700, 1701, 1702])
    times = np.rint(numbers / rate / tick) * tick
    assert even_rate(times) == pytest.approx(rate, rel=2e-6 / tick / 3000 * 240)
    assert even_rate(times, guess=rate) == rate
    np.testing.assert_array_equal(np.rint(times * even_rate(times, rate)), numbers)


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_a_phones_video_stands_upright(tmp_path, degrees, turns):
    """The file asks for so many quarter turns to the left."""
    recording = open_recording(film(tmp_path / "a.mp4", 3, rotation=degrees))
    for number, shown in recording.frames():
        expected = np.rot90(picture(number), turns)
        assert shown.shape == expected.shape and shown.flags.c_contiguous
        np.testing.assert_allclose(corner(shown), corner(expected), atol=1)


def test_mirrors_and_turns_of_a_display_matrix():
    """Where the matrix sends a picture's corners, there they are; from MP4's definition, (x, y, 1) times the matrix."""
    shown = np.arange(6).reshape(2, 3, 1).repeat(3, 2)
    height, width = shown.shape[:2]
    for a, b, c, d in [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1),
                       (0, 1, 1, 0), (0, -1, -1, 0)]:  # fmt: skip
        matrix = np.array([[a, b, 0], [c, d, 0], [0, 0, 1]], dtype=np.int32) * 65536
        turned = upright(shown, matrix)
        rows, columns = np.mgrid[:height, :width]
        x, y = a * columns + c * rows, b * columns + d * rows
        np.testing.assert_array_equal(turned[y - y.min(), x - x.min()], shown)


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    recording = open_recording(film(tmp_path / "a.mp4", 3, sample_aspect_ratio=Fraction(2, 1)))
    _, shown = next(recording.frames())
    assert shown.shape == (120, 320, 3)
    np.testing.assert_allclose(corner(shown), (16, 40), atol=1)


def test_pictures_before_the_start_are_not_shown(tmp_path):
    """An MP4 file's edit list cuts off what lies before time 0."""
    recording = open_recording(film(tmp_path / "a.mp4", 24, [40 * (number - 5) for number in range(24)]))
    found = list(recording.frames())
    assert [number for number, _ in found] == list(range(19))
    np.testing.assert_allclose(corner(found[0][1]), (8 + 5 * STEP, 40), atol=1)


def test_what_is_taken_for_a_video(tmp_path):
    moved = film(tmp_path / "a.mkv", 3).rename(tmp_path / "a.bin")
    other = film(tmp_path / "a.mp4", 3).rename(tmp_path / "b")
    assert is_video(moved) and is_video(other)
    (tmp_path / "x.json").write_text("[]")
    (tmp_path / "x.csv").write_text("0,ftyp")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("x.json", "empty", "nothing.mp4", "."):
        assert not is_video(tmp_path / name)


def sound(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        for packet in [*stream.encode(frame), *stream.encode()]:
            file.mux(packet)
    return path


def no_picture(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30)
        stream.width, stream.height = SIZE
        file.start_encoding()
    return path


def text(path, content="no video at all"):
    path.write_text(content)
    return path


def damaged(path):
    """The index is whole, the pictures are noise."""
    content = bytearray(film(path, container={"movflags": "faststart"}).read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = np.random.default_rng(0).bytes(len(content) - start)
    path.write_bytes(content)
    return path


def jumping(path):
    return film(path, 24, [*range(0, 460, 20), 10_000_000])


BAD = {
    "sound": (lambda folder: sound(folder / "a.m4a"), "found sound only"),
    "no picture": (lambda folder: no_picture(folder / "a.mp4"), "expected a video, found"),
    "text": (lambda folder: text(folder / "a.mp4"), "found what FFmpeg cannot open"),
    "empty": (lambda folder: text(folder / "a.mp4", ""), "found what FFmpeg cannot open"),
    "index lost": (lambda folder: cut(film(folder / "w.mp4"), 0.6, folder / "a.mp4"), "cut short"),
    "mp4": (
        lambda folder: cut(film(folder / "w.mp4", container={"movflags": "faststart"}), 0.8, folder / "a.mp4"),
        "cut short, .* of 24 pictures; copy it again",
    ),
    "mkv": (lambda folder: cut(film(folder / "w.mkv", 90, gop_size=5), 0.6, folder / "a.mkv"), "cut short, the first"),
    "avi": (lambda folder: cut(film(folder / "w.avi", 60, codec="mpeg4"), 0.6, folder / "a.avi"), "of 60 pictures"),
    "damaged": (lambda folder: damaged(folder / "a.mp4"), "none of its pictures decodable"),
    "jumping": (lambda folder: jumping(folder / "a.mkv"), "times that jump by 10000 s"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, kind):
    make, expected = BAD[kind]
    file = make(tmp_path)
    assert is_video(file)
    with pytest.raises(InputError, match=expected) as caught:
        list(open_recording(file).frames())
    assert str(caught.value).startswith(f"{file}: expected ") and "\n" not in str(caught.value)


def test_without_pyav_its_name_is_said(tmp_path, monkeypatch):
    file = film(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="a.mp4: reading it needs av, which is not installed; pip install av"):
        open_recording(file)
    monkeypatch.undo()
    monkeypatch.delattr(av.stream, "Disposition")
    with pytest.raises(InputError, match=f"needs av 15 or newer, found {av.__version__}; pip install -U av"):
        open_recording(file)
