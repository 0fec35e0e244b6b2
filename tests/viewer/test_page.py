"""The viewer's page as a file: its size, its escapes, and its numbers read back."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import walks

from common.viewer.page import LIMIT, METRES, Track, pack, script_json, write_page


def unpack(packed: dict) -> np.ndarray:
    """`pack` undone, one byte at a time."""
    codes, code, place = [], 0, 0
    for byte in base64.b64decode(packed["data"]):
        code |= (byte & 127) << place
        place += 7
        if byte < 128:
            codes.append(code)
            code = place = 0
    width = int(np.prod(packed["shape"][1:]))
    values, last = np.full(len(codes), np.nan), [0] * width
    for number, code in enumerate(codes):
        if code:
            last[number % width] += (code - 1) // 2 if code % 2 else -code // 2
            values[number] = last[number % width] * packed["step"]
    return values.reshape(packed["shape"])


def data_of(page: Path) -> dict:
    """What a page holds, found as a browser finds it: up to the first end of a script."""
    text = page.read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="data">(.*?)</script', text, re.S | re.I)
    return json.loads(block[1])


def test_numbers_come_back(tmp_path):
    made, found = walks.tracks(70)
    write_page(tmp_path / "new" / "page.html", made, 50, "title", ["about"], found, walks.SIZE)
    data = data_of(tmp_path / "new" / "page.html")
    np.testing.assert_allclose(unpack(data["pixels"]), found, atol=0.126)
    for track, packed in zip(made, data["tracks"]):
        np.testing.assert_allclose(unpack(packed["joints"]), track.joints, atol=0.00051)
        assert (packed["name"], packed["truth"]) == (track.name, track.truth)
        if not track.truth:
            np.testing.assert_allclose(unpack(packed["error"]), track.expected_error, atol=0.00051)
            np.testing.assert_allclose(unpack(packed["hypotheses"]), track.hypotheses, atol=0.00051)
            np.testing.assert_allclose(unpack(packed["reprojected"]), track.reprojected, atol=0.126)
    assert (data["fps"], data["frames"], data["image"]) == (50, 70, [1000, 1000])
    assert data["parents"][data["joints"].index("LWrist")] == data["joints"].index("LElbow")


def test_any_numbers_are_packed():
    values = np.array(
        [[0, -1, 1], [np.nan, 1e300, np.inf], [63, -64, -np.inf], [5000, -1e300, -8191], [np.nan, 0, 8192]]
    )
    expected = np.where(np.isfinite(values), np.clip(values, -LIMIT, LIMIT), np.nan)
    np.testing.assert_array_equal(unpack(pack(values, 1.0)), expected)
    assert unpack(pack(np.zeros((3, 0, 17, 3)), METRES)).shape == (3, 0, 17, 3)


def test_a_joint_without_one_coordinate_has_none(tmp_path):
    joints, _ = walks.walk(3)
    joints[1, 4, 2] = np.nan
    write_page(tmp_path / "page.html", [Track("walk", joints)], 50, "", [])
    data = data_of(tmp_path / "page.html")
    assert np.isnan(unpack(data["tracks"][0]["joints"])[1, 4]).all()
    assert data["image"] is None and data["pixels"] is None


def test_a_thousand_frames_are_small(tmp_path):
    joints, pixels = walks.walk(1000)
    noisy = pixels + np.random.default_rng(0).normal(0, 3, pixels.shape)
    shaky = joints + np.random.default_rng(1).normal(0, 0.01, joints.shape)
    write_page(tmp_path / "page.html", [Track("walk", shaky)], 50, "title", [], noisy, walks.SIZE)
    assert (tmp_path / "page.html").stat().st_size < 220_000


def test_a_camera_reprojects(tmp_path):
    joints, pixels = walks.walk(5)
    joints[2, 3] = [0, 0, 1]  # behind the camera
    write_page(
        tmp_path / "page.html", [Track("w", joints)], 50, "", [], pixels, walks.SIZE, (walks.FOCAL, walks.CENTRE)
    )
    pixels[2, 3] = np.nan
    np.testing.assert_allclose(unpack(data_of(tmp_path / "page.html")["tracks"][0]["reprojected"]), pixels, atol=0.126)


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--<script>", "\"'`&amp;\\", "a\u2028b\u2029c", "@DATA@"]
)
def test_text_does_no_harm(tmp_path, text):
    joints, _ = walks.walk(2)
    write_page(tmp_path / "plain.html", [Track("n", joints)], 50, "t", ["a"])
    write_page(tmp_path / "page.html", [Track(text, joints)], 50, text, [text])
    data, page = data_of(tmp_path / "page.html"), (tmp_path / "page.html").read_text()
    spoken = text.replace("\u2028", " ").replace("\u2029", " ")
    assert data["title"] == data["about"][0] == data["tracks"][0]["name"] == spoken
    plain = (tmp_path / "plain.html").read_text()
    assert [page.count(c) for c in "<>\u2028\u2029"] == [plain.count(c) for c in "<>\u2028\u2029"]


def test_control_characters_become_spaces(tmp_path):
    joints, _ = walks.walk(2)
    write_page(tmp_path / "page.html", [Track("a\x00b", joints)], 50, "a\nb\x1b[31m\u202ec", ["\udcff.mp4"])
    data = data_of(tmp_path / "page.html")
    assert (data["title"], data["about"], data["tracks"][0]["name"]) == ("a b [31m c", [".mp4"], "a b")


def test_script_json_is_ascii_json():
    value = {"<b>&'\u2028é": [1.5, None, "</SCRIPT>"]}
    assert json.loads(script_json(value)) == value
    assert script_json(value).isascii() and not set("<>&") & set(script_json(value))
    with pytest.raises(ValueError):
        script_json(float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tracks": []}, "at least one track"),
        ({"fps": 0}, "above 0"),
        ({"fps": float("nan")}, "above 0"),
        ({"pixels": np.zeros((4, 17, 2)), "image_size": (9, 9)}, "pixels: expected"),
        ({"pixels": np.zeros((5, 17, 2))}, "image size"),
        ({"tracks": [Track("a", np.zeros((5, 17, 3))), Track("b", np.zeros((6, 17, 3)))]}, "joints: expected"),
        ({"tracks": [Track("a", np.zeros((5, 17, 3)), hypotheses=np.zeros((5, 17, 3)))]}, "hypotheses: expected"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, change, message):
    given = {"tracks": [Track("a", np.zeros((5, 17, 3)))], "fps": 50, "title": "", "about": []} | change
    with pytest.raises(ValueError, match=message):
        write_page(tmp_path / "page.html", **given)
    assert not list(tmp_path.iterdir())


def test_nothing_is_fetched(tmp_path):
    write_page(tmp_path / "page.html", [Track("a", np.zeros((1, 17, 3)))], 50, "", [])
    page = (tmp_path / "page.html").read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(|\bfetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page
