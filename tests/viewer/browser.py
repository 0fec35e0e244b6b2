"""Drives a headless Chromium over its debugging pipe: no port, no further package.

The browser reads commands from file descriptor 3 and writes answers and events to 4, as JSON ended by a zero byte
(https://chromedevtools.github.io/devtools-protocol).
"""

import base64
import fcntl
import io
import json
import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --disable-background-networking "
    "--disable-extensions --mute-audio --hide-scrollbars --disable-dev-shm-usage"
).split()
PATIENCE = 20  # seconds for an answer


class Browser:
    """A Chromium; the commands of the protocol by name."""

    def __init__(self, program: str, profile: Path):
        ours, theirs = _pipe(), _pipe()  # commands; answers
        null = os.open(os.devnull, os.O_RDWR)
        moves = [(os.POSIX_SPAWN_DUP2, old, new) for old, new in ((null, 0), (null, 1), (null, 2))]
        moves += [(os.POSIX_SPAWN_DUP2, ours[0], 3), (os.POSIX_SPAWN_DUP2, theirs[1], 4)]
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = os.posix_spawn(program, command, os.environ, file_actions=moves)
        for descriptor in (null, ours[0], theirs[1]):
            os.close(descriptor)
        self.write, self.read = ours[1], theirs[0]
        self.pending, self.number = b"", 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Run a command of the protocol and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.pending:
            ready, _, _ = select.select([self.read], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            block = os.read(self.read, 1 << 20)
            assert block, "the browser is gone"
            self.pending += block
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def close(self) -> None:
        with suppress(AssertionError, OSError):
            self.send("Browser.close")
        os.close(self.write)
        os.close(self.read)
        os.waitpid(self.process, 0)


class Tab:
    """One page in the browser, with what it complained of in `complaints`."""

    def __init__(self, browser: Browser, width: int, height: int, touch: bool, media: dict[str, str], scale: float):
        self.browser, self.first = browser, len(browser.events)
        self.target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        features = [{"name": f"prefers-{name}", "value": value} for name, value in media.items()]
        self.send("Emulation.setEmulatedMedia", features=features)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **params)

    def open(self, page: Path) -> None:
        """Load a page and wait for its viewer."""
        self.send("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && window.__viewer")
        self.settle()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < end, f"waited in vain for {condition}"
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait for two frames of the screen."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def state(self) -> dict[str, Any]:
        return self.run("window.__viewer.state()")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in CSS pixels."""
        program = f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        return tuple(self.run(f"{program} return [b.x, b.y, b.width, b.height]; }})()"))

    def click(self, selector: str) -> None:
        left, top, width, height = self.box(selector)
        self.drag((left + width / 2, top + height / 2))

    def drag(self, *points: tuple[float, float], shift: bool = False) -> None:
        """Press the left button at the first point, move through the others, release at the last."""
        held = {"button": "left", "clickCount": 1, "modifiers": 8 if shift else 0}
        for kind, (x, y) in (
            ("mousePressed", points[0]),
            *(("mouseMoved", p) for p in points[1:]),
            ("mouseReleased", points[-1]),
        ):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=int(kind != "mouseReleased"), **held)
        self.settle()

    def wheel(self, x: float, y: float, delta: float) -> None:
        self.send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)
        self.settle()

    def touch(self, *steps: list[tuple[float, float]]) -> None:
        """Put fingers on the first points, move them through the others and lift them."""
        for number, step in enumerate(steps):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(step)]
            self.send("Input.dispatchTouchEvent", type="touchMove" if number else "touchStart", touchPoints=points)
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key, named as in KeyboardEvent.key."""
        text = {"text": key} if len(key) == 1 else {}
        code = {" ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Escape": 27}.get(key, 0)
        held = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", **held, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **held)
        self.settle()

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """The visible part of the page, (height, width, 3) bytes."""
        data = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    @property
    def complaints(self) -> list[str]:
        """Exceptions, console messages, log entries, and what was fetched besides the page itself."""
        found = []
        for event in self.browser.events[self.first :]:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}:
                found.append(json.dumps(event["params"]))
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    found.append(f"fetched {url}")
        return found

    def close(self) -> None:
        self.browser.send("Target.closeTarget", targetId=self.target)


@contextmanager
def open_tab(
    browser: Browser,
    page: Path,
    width: int = 1280,
    height: int = 800,
    touch: bool = False,
    scale: float = 1,
    **media: str,
) -> Iterator[Tab]:
    """A tab with a page; `media` are preferences such as `color_scheme="dark"`."""
    named = {name.replace("_", "-"): value for name, value in media.items()}
    tab = Tab(
        browser, width, height, touch, {"reduced-motion": "no-preference", "color-scheme": "light"} | named, scale
    )
    try:
        tab.open(page)
        yield tab
    finally:
        tab.close()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are numbered from 10 up, out of the way of 3 and 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
