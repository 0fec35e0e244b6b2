"""The viewer's page in a headless Chromium, where one is installed."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import walks
from browser import CHROMIUM, Browser, Tab, open_tab

from common.viewer.page import Track, write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or not hasattr(os, "posix_spawn"), reason="no Chromium"),
]
STILL = {"reduced_motion": "reduce"}
VIDEO = """
(async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 200 });
  const pen = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(50)), parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const done = new Promise((end) => { recorder.onstop = end; });
  const paint = setInterval(() => { pen.fillStyle = "#ff0000"; pen.fillRect(0, 0, 200, 200); }, 20);
  recorder.start();
  await new Promise((end) => setTimeout(end, 1500));
  recorder.stop();
  clearInterval(paint);
  await done;
  const files = new DataTransfer();
  files.items.add(new File(parts, "red.webm", { type: "video/webm" }));
  const input = document.getElementById("video-file");
  input.files = files.files;
  input.dispatchEvent(new Event("change"));
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(str(CHROMIUM), tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two guesses, the truth and keypoints of a hundred frames."""
    made, found = walks.tracks(100)
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, made, 50, "A walk", ["Synthetic data: an invented walk", "50 frames a second"], found, walks.SIZE)
    return path


@pytest.fixture
def tab(browser: Browser, page: Path) -> Iterator[Tab]:
    """The page, at rest; a test fails when the page complained."""
    with open_tab(browser, page, **STILL) as opened:
        yield opened
        assert opened.complaints == []


def middle(tab: Tab) -> tuple[float, float]:
    left, top, width, height = tab.box("#canvas-3d")
    return left + width / 2, top + height / 2


def ink(tab: Tab, canvas: str = "#canvas-3d") -> float:
    """The share of a canvas that is not of its commonest colour."""
    left, top, width, height = map(round, tab.box(canvas))
    part = tab.screenshot()[top : top + height, left : left + width].reshape(-1, 3)
    _, counts = np.unique(part, axis=0, return_counts=True)
    return 1 - counts.max() / len(part)


def view(tab: Tab) -> list[float]:
    state = tab.state()
    return [state["yaw"], state["pitch"], state["zoom"], *state["pan"]]


def test_it_plays_by_itself_in_real_time(browser, page):
    with open_tab(browser, page) as tab:
        assert tab.state()["playing"]
        first = tab.run("[performance.now(), __viewer.state().time]")
        tab.run("new Promise((done) => setTimeout(done, 600))")
        second = tab.run("[performance.now(), __viewer.state().time]")
        assert second[1] - first[1] == pytest.approx((second[0] - first[0]) / 1000, abs=0.15)
        assert tab.complaints == []


def test_it_rests_where_less_motion_is_asked_for(tab):
    assert not tab.state()["playing"]
    tab.click("#play")
    tab.wait("__viewer.state().frame > 3")
    tab.press(" ")
    rest = tab.state()["frame"]
    tab.settle()
    assert tab.state()["frame"] == rest and tab.run("document.getElementById('play').textContent") == "Play"


def test_the_numbers_are_those_of_python(tab):
    made, found = walks.tracks(100)
    read = tab.run("[__viewer.pixels, ...__viewer.tracks.map((t) => t.joints)].map((values) => Array.from(values))")
    for values, expected, step in zip(read, [found, *(t.joints for t in made)], [0.25, 0.001, 0.001, 0.001]):
        values = np.array([np.nan if v is None else v for v in values], dtype=float)
        np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=0.51 * step)


def test_scrubbing(tab):
    left, top, width, height = tab.box("#scrub")
    tab.drag((left + 8, top + height / 2), (left + width / 2, top + height / 2))
    assert abs(tab.state()["frame"] - 50) < 3
    tab.click("#canvas-3d")
    for key, frame in (("End", 99), ("ArrowLeft", 98), ("Home", 0), ("ArrowRight", 1)):
        tab.press(key)
        assert tab.state()["frame"] == frame
    tab.press("ArrowRight", shift=True)
    assert tab.run("document.getElementById('readout').textContent").split() == "frame 11 / 99 0.22 s".split()


def test_turning_moving_and_zooming_by_mouse(tab):
    x, y = middle(tab)
    start, picture = view(tab), tab.screenshot()
    tab.drag((x, y), (x + 60, y + 20), (x + 100, y + 40))
    turned = view(tab)
    assert turned[:2] == pytest.approx([start[0] - 0.8, start[1] + 0.32]) and turned[2:] == start[2:]
    assert not np.array_equal(tab.screenshot(), picture)
    tab.drag((x, y), (x + 50, y + 50), shift=True)
    moved = view(tab)
    assert moved[:3] == turned[:3] and moved[3:] != turned[3:]
    tab.wheel(x, y, -300)
    assert view(tab)[2] > 1.2
    tab.click("[data-view=reset]")
    assert view(tab) == start
    tab.click("[data-view=side]")
    assert view(tab)[:2] == pytest.approx([np.pi / 2, 0])


def test_one_finger_turns_two_zoom(browser, page):
    with open_tab(browser, page, 390, 844, touch=True, **STILL) as tab:
        x, y = middle(tab)
        start = view(tab)
        tab.touch([(x, y)], [(x + 30, y)], [(x + 60, y)])
        assert view(tab)[0] < start[0] - 0.2 and view(tab)[2] == 1
        tab.touch([(x - 30, y), (x + 30, y)], [(x - 60, y), (x + 60, y)], [(x - 90, y), (x + 90, y)])
        assert view(tab)[2] == pytest.approx(3, rel=0.05)
        assert tab.complaints == []


def test_a_motion_is_hidden_and_shown(tab):
    full = ink(tab)
    tab.click("#track-1")
    assert tab.state()["visible"] == [False, True, True] and ink(tab) < full
    tab.press("1")
    tab.press("t")
    assert tab.state()["visible"] == [True, True, False] and ink(tab) < full
    tab.press("2")
    tab.press("1")
    tab.click("#canvas-3d")
    tab.press("t")
    assert tab.state()["visible"] == [False, False, True]


def test_before_and_after_take_turns_in_one_place(tab):
    """The first alone, the second alone in the same place, both; the truth stays."""
    shown, middles = [], []
    tab.press("p")
    for key in ("button", "b", "b"):
        if key == "button":
            tab.click("#turn")
        else:
            tab.press(key)
        shown.append(tab.state()["visible"])
        left, top, width, height = map(round, tab.box("#canvas-3d"))
        part = tab.screenshot()[top + 60 : top + height, left : left + width].astype(int)
        orange = (part[..., 0] - part[..., 2]) > 150
        middles.append(np.nonzero(orange)[1].mean())
    assert shown == [[True, False, True], [False, True, True], [True, True, True]]
    assert abs(middles[0] - middles[1]) < 40
    assert tab.run("[1, 2, 3].map((n) => document.getElementById(`track-${n}`).checked)") == [True] * 3


def test_hypotheses_and_errors_are_shown_from_the_start(browser, tmp_path):
    made, _ = walks.tracks(50)
    made = [Track("a", made[0].joints, made[0].expected_error, made[0].hypotheses, error_name="spread of them")]
    write_page(tmp_path / "page.html", made, 50, "", [])
    with open_tab(browser, tmp_path / "page.html", **STILL) as tab:
        assert tab.run("document.getElementById('error-name').textContent") == "Spread of them"
        assert tab.run("document.getElementById('hypotheses-name').textContent") == "5 hypotheses"
        pictures = [ink(tab)]
        for key in ("h", "e", "e"):
            tab.press(key)
            pictures.append(ink(tab))
        assert pictures[0] > pictures[1] > pictures[3]  # without hypotheses, then without errors
        assert tab.run("document.getElementById('turns').hidden")
        assert tab.complaints == []


@pytest.mark.parametrize(("share", "near"), [(0.2, True), (1.0, False)])
def test_a_small_person_is_enlarged(browser, tmp_path, share, near):
    made, found = walks.tracks(20)
    found = found - np.nanmin(found, axis=(0, 1))
    size = tuple(round(side / share) for side in np.nanmax(found, axis=(0, 1)))
    write_page(tmp_path / "page.html", made[:1], 50, "", [], found, size)
    with open_tab(browser, tmp_path / "page.html", **STILL) as tab:
        assert tab.state()["near"] == near == tab.run("document.getElementById('near').checked")


def test_names_do_not_run_into_each_other(browser, tmp_path):
    """On a phone long names stand one below the other; nothing is cut off."""
    made, _ = walks.tracks(20)
    named = [Track(name, t.joints) for name, t in zip(("a" * 30, "b" * 30), made)]
    write_page(tmp_path / "page.html", named, 50, "", [])
    with open_tab(browser, tmp_path / "page.html", 390, 844, touch=True, **STILL) as tab:
        words = []
        tab.run(
            "(() => { const pen = CanvasRenderingContext2D.prototype, old = pen.fillText; window.words = [];"
            " pen.fillText = function (text, x, y) { if (text.length === 30)"
            " words.push([x, y, this.measureText(text).width]); old.call(this, text, x, y); }; })()"
        )
        tab.press("ArrowRight")
        words = tab.run("window.words.slice(-2)")
        (_, one, _), (_, other, _) = words
        assert abs(one - other) >= 16
        width, height = tab.box("#canvas-3d")[2:]
        assert all(x - w / 2 >= 0 and x + w / 2 <= width and y + 8 < height for x, y, w in words)


def test_switches_change_the_picture(tab):
    for key in "fshpezdb":
        before = tab.screenshot()
        tab.press(key)
        assert not np.array_equal(tab.screenshot(), before), key
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    assert "mm" in tab.run("document.getElementById('error-key').textContent")


def test_help_opens_and_closes(tab):
    tab.press("?")
    assert tab.run("document.getElementById('help').open")
    tab.press("Escape")
    assert not tab.run("document.getElementById('help').open")


def test_synthetic_is_said(tab):
    left, top, width, height = tab.box("#banner")
    assert tab.run("document.getElementById('banner').textContent") == "Synthetic data: an invented walk"
    assert width > 1000 and top + height < 200
    assert tab.run("document.getElementById('about').textContent") == "50 frames a second"


@pytest.mark.parametrize(("count", "shown"), [(3, 3), (4, 4), (9, 3)])
def test_a_long_heading_is_folded(browser, tmp_path, count, shown):
    lines = [f"line {number}" for number in range(count)]
    write_page(tmp_path / "page.html", [Track("a", walks.walk(3)[0])], 50, "", lines)
    with open_tab(browser, tmp_path / "page.html", **STILL) as tab:
        seen = "document.getElementById('about').innerText"
        assert [line in tab.run(seen) for line in lines] == [True] * shown + [False] * (count - shown)
        if shown < count:
            assert f"{count - shown} more" in tab.run(seen)
            tab.click("#more")
            assert all(line in tab.run(seen) for line in lines) and "more" not in tab.run(seen)
        assert tab.complaints == []


@pytest.mark.parametrize(
    ("width", "height", "touch", "scheme"), [(1280, 800, False, "light"), (390, 844, True, "dark")]
)
def test_it_fits_the_screen(browser, page, width, height, touch, scheme):
    with open_tab(browser, page, width, height, touch, color_scheme=scheme, **STILL) as tab:
        assert tab.run("document.documentElement.scrollWidth") == width
        left, top, across, down = tab.box("#play")
        assert top + down <= height and left + across <= width
        assert ink(tab) > 0.01
        assert (tab.screenshot().mean() < 100) == (scheme == "dark")
        tab.run("document.getElementById('flat').scrollIntoView()")
        tab.settle()
        assert ink(tab, "#canvas-2d") > 0.005
        assert tab.complaints == []


def test_missing_joints_are_not_drawn(browser, tmp_path):
    joints = np.full((3, 17, 3), np.nan)
    joints[1] = walks.walk(3)[0][1]
    write_page(tmp_path / "page.html", [Track("gaps", joints)], 50, "", [])
    with open_tab(browser, tmp_path / "page.html", **STILL) as tab:
        empty = ink(tab)
        tab.press("ArrowRight")
        assert ink(tab) > empty + 0.003
        assert tab.complaints == []


@pytest.mark.parametrize("joints", [np.full((2, 17, 3), np.nan), np.zeros((1, 17, 3)), np.full((2, 17, 3), 1e9)])
def test_poor_motions_do_no_harm(browser, tmp_path, joints):
    write_page(tmp_path / "page.html", [Track("t", joints, truth=True)], 50, "", [], joints[..., :2], (10, 10))
    with open_tab(browser, tmp_path / "page.html") as tab:
        for key in ("ArrowRight", "End", " ", "s", "z", "f"):
            tab.press(key)
        assert tab.complaints == []


def test_script_in_a_name_does_not_run(browser, tmp_path):
    joints, _ = walks.walk(2)
    text = "</script><script>window.harm = 1</script><img src=x onerror='harm = 1'>"
    write_page(tmp_path / "page.html", [Track(text, joints)], 50, text, [text])
    with open_tab(browser, tmp_path / "page.html", **STILL) as tab:
        assert tab.run("window.harm === undefined && document.title") == text
        assert tab.run("document.querySelectorAll('img').length") == 0 and tab.complaints == []


def test_a_video_runs_behind_the_keypoints(tab):
    tab.run(VIDEO)
    tab.wait("__viewer.state().video !== null")
    tab.run("__viewer.seek(20)")
    tab.wait("Math.abs(__viewer.state().video - 0.41) < 0.001")
    tab.settle()
    left, top, width, height = map(round, tab.box("#canvas-2d"))
    red = tab.screenshot()[top + height // 2, left + width // 4].astype(int)
    assert red[0] > 200 and red[1:].max() < 60
    tab.click("#play")
    tab.wait("__viewer.state().frame > 30")
    state = tab.state()
    assert state["video"] == pytest.approx(state["time"], abs=0.1)
    tab.click("#video-remove")
    assert tab.state()["video"] is None


def test_what_is_no_video_is_said(tab):
    tab.run(VIDEO.replace('parts, "red.webm"', "['nonsense'], \"red.webm\"").replace("1500", "100"))
    tab.wait("document.getElementById('video-note').textContent.includes('cannot play')")
