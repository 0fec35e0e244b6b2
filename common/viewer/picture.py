"""A motion drawn frame by frame: the keypoints, then one upright 3D view per track, the truth behind each."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.figures import LEFT, MIDDLE, RIGHT
from ..geometry.skeleton import H36M_17
from .strokes import colour_bytes, draw_strokes, pale
from .track import Track, invented, plain

if TYPE_CHECKING:
    from PIL import ImageFont

USUAL_HEIGHT = 400  # pixels, to which the sizes below refer
YAW, PITCH = 0.6, 0.22  # radians: from the right and from above, as the page begins
PAPER, IMAGE, WARNING = "#FFFFFF", "#ECECEA", "#FFF3CF"
INK, SOFT, GRID, SHADOW = "#22262A", "#5C6268", "#D3D5D6", "#E2E2E0"
BONE, BAND, HEAD = 0.024, 0.075, 0.085  # metres: widths of bones and of the truth, radius of the head
SQUARE = 0.5  # metres, a side of the floor's squares
TRUTH = 0.32  # share of the colours that is left in the truth
COLOURS = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
SIDES = [
    "left" if i in H36M_17.left_indices else "right" if i in H36M_17.right_indices else "middle" for i in range(17)
]
CHILDREN = np.array([i for i, parent in enumerate(H36M_17.parents) if parent >= 0])
PARENTS = np.array(H36M_17.parents)[CHILDREN]
SOLID = np.stack([colour_bytes(COLOURS[SIDES[i]]) for i in range(17)])  # (17, 4)
FAINT = np.stack([colour_bytes(pale(COLOURS[SIDES[i]], TRUTH)) for i in range(17)])
Box = tuple[int, int, int, int]  # left, top, right, bottom


class Picture:
    """What every frame shows is drawn once, `frame` adds the figures.

    Args:
        tracks, fps, title, about, pixels, image_size: as of `write_page`; all tracks are seen at one scale.
        height: pixels, an even number; every view is as wide.
        start: seconds, the time of the first frame.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        fps: float,
        title: str,
        about: Sequence[str],
        pixels: np.ndarray | None,
        image_size: tuple[int, int] | None,
        height: int,
        start: float = 0.0,
    ) -> None:
        self.results = [t for t in tracks if not t.truth] or list(tracks)
        self.truth = next((t for t in tracks if t.truth and t not in self.results), None)
        self.frames, self.fps, self.start = len(tracks[0].joints), fps, start
        self.height, self.unit = height, height / USUAL_HEIGHT
        self.pixels = pixels
        flat = pixels is not None
        self.width = height * (flat + len(self.results))
        warnings = invented(about)
        top, bottom = self._px(54 + 24 * bool(warnings)), height - self._px(30)
        self.boxes: list[Box] = [(n * height, top, (n + 1) * height, bottom) for n in range(flat + len(self.results))]
        self.paths = [_path(t, fps) for t in self.results]
        self._measure_3d()
        self.region = _region(pixels, image_size) if pixels is not None and image_size is not None else None
        self.ground = self._background(plain(title), [plain(line) for line in warnings], image_size)

    def _px(self, size: float) -> int:
        return round(size * self.unit)

    def _measure_3d(self) -> None:
        """The floor's height, how far the view reaches, and its scale, from all frames of all tracks."""
        every = [*zip(self.results, self.paths)]
        if self.truth is not None:
            every.append((self.truth, self.paths[0]))
        lows = np.concatenate([np.nanmin(t.joints[..., 1], 1, initial=np.inf) for t, _ in every])
        lows = lows[np.isfinite(lows)]
        self.floor = float(np.quantile(lows, 0.05)) if len(lows) else 0.0
        around = np.concatenate([(t.joints - self._foot(path)[:, None]).reshape(-1, 3) for t, path in every])
        around = around[np.isfinite(around).all(1)]
        if not len(around):
            around = np.array([[0.0, 1.7, 0.0]])
        reach = np.quantile(np.hypot(around[:, 0], around[:, 2]), 0.98)
        self.half = float(np.clip(np.ceil(reach / SQUARE) * SQUARE, SQUARE, 3))
        right, up, _ = _turned(around)
        corners = _turned(self.half * np.array([[-1, 0, -1], [-1, 0, 1], [1, 0, -1], [1, 0, 1.0]]))
        low, high = min(corners[1].min(), np.quantile(up, 0.002)), max(corners[1].max(), np.quantile(up, 0.998))
        wide = max(np.abs(corners[0]).max(), np.quantile(np.abs(right), 0.998)) + BAND
        left, top, end, bottom = self.boxes[-1]
        self.scale = float(min((end - left) / 2.08 / wide, (bottom - top) / (high - low + 2 * BAND)))  # pixels a metre
        self.drop = (
            bottom - top - (low - BAND) * -self.scale - ((bottom - top) - (high - low + 2 * BAND) * self.scale) / 2
        )

    def _foot(self, path: np.ndarray) -> np.ndarray:
        """The points of the floor (F, 3) under a path (F, 2)."""
        return np.stack([path[:, 0], np.full(len(path), self.floor), path[:, 1]], 1)

    def _background(self, title: str, warnings: list[str], image_size: tuple[int, int] | None) -> np.ndarray:
        from PIL import Image, ImageDraw

        image = Image.new("RGBA", (self.width, self.height), PAPER)
        draw = ImageDraw.Draw(image)

        def write(text: str, x: float, y: float, size: float, colour: str = INK, anchor: str = "mm", room: float = 1e9):
            font = _font(self._px(size))
            while font.getlength(text) > room and len(text) > 1:
                text = text[:-2] + "…"
            draw.text((x, y), text, fill=colour, font=font, anchor=anchor)

        write(title, self.width / 2, self._px(17), 16, room=0.96 * self.width)
        if warnings:
            draw.rectangle((0, self._px(32), self.width, self._px(54)), fill=WARNING)
            write("; ".join(warnings), self.width / 2, self._px(43), 13, room=0.96 * self.width)
        names = [t.name for t in self.results]
        if self.pixels is not None and image_size is not None:
            names.insert(0, "2D keypoints")
            left, top, right, bottom = self._image_box(self.boxes[0])
            draw.rectangle((left, top, right - 1, bottom - 1), fill=IMAGE)
        for box, name in zip(self.boxes, names):
            write(plain(name), (box[0] + box[2]) / 2, box[1] - self._px(11), 14, room=0.94 * (box[2] - box[0]))
        x, y = float(self._px(14)), self.height - self._px(15)
        keys = [("left", LEFT, 4.0), ("right", RIGHT, 4.0)]
        keys += [("truth", pale(MIDDLE, TRUTH), 10.0)] if self.truth is not None else []
        for text, colour, thick in keys:
            draw.line((x, y, x + self._px(22), y), fill=colour, width=self._px(thick))
            write(text, x + self._px(28), y, 13, anchor="lm")
            x += self._px(28) + _font(self._px(13)).getlength(text) + self._px(18)
        if self.region is not None and image_size is not None:
            shown, whole = (f"{side[0]:.0f} x {side[1]:.0f}" for side in (self.region[2:], image_size))
            part = f"2D: {shown} of {whole} pixels"
            write(part, x, y, 13, SOFT, "lm")
            x += _font(self._px(13)).getlength(part) + self._px(18)
        write(f"floor squares {SQUARE:g} m", x, y, 13, SOFT, "lm")
        self.clock: Box = (self.width - self._px(90), self.height - self._px(28), self.width, self.height - self._px(3))
        return np.array(image)

    def _image_box(self, box: Box) -> Box:
        """Where the shown part of the image lies within a view."""
        assert self.region is not None
        _, _, across, down = self.region
        left, top, right, bottom = box
        wide, tall = right - left - self._px(20), bottom - top
        scale = min(wide / across, tall / down)
        middle, centre = (left + right) / 2, (top + bottom) / 2
        width, height = across * scale / 2, down * scale / 2
        return round(middle - width), round(centre - height), round(middle + width), round(centre + height)

    def frame(self, number: int) -> np.ndarray:
        """(height, width, 4) bytes: a frame from 0 up."""
        from PIL import Image, ImageDraw

        picture = self.ground.copy()
        if self.region is not None and self.pixels is not None:
            self._draw_2d(picture, self.pixels[number])
        for track, path, box in zip(self.results, self.paths, self.boxes[-len(self.results) :]):
            self._draw_3d(picture, track, number, path[number], box)
        left, top, right, bottom = self.clock
        patch = Image.fromarray(picture[top:bottom, left:right])
        time = f"{self.start + number / self.fps:.2f} s"
        at = (right - left - self._px(14), (bottom - top) / 2)
        ImageDraw.Draw(patch).text(at, time, fill=INK, font=_font(self._px(16)), anchor="rm")
        picture[top:bottom, left:right] = np.asarray(patch)
        return picture

    def _draw_2d(self, picture: np.ndarray, keypoints: np.ndarray) -> None:
        assert self.region is not None
        left, top, right, bottom = box = self._image_box(self.boxes[0])
        scale = (right - left) / self.region[2]
        at = (keypoints - self.region[:2]) * scale + [left, top]  # (17, 2)
        ends = np.concatenate([np.stack([at[PARENTS], at[CHILDREN]], 1), np.stack([at, at], 1)])
        widths = np.repeat([3.0 * self.unit, 6.0 * self.unit], [len(CHILDREN), len(at)])
        draw_strokes(picture, ends, widths, np.concatenate([SOLID[CHILDREN], SOLID]), box)

    def _draw_3d(self, picture: np.ndarray, track: Track, number: int, path: np.ndarray, box: Box) -> None:
        foot = np.array([path[0], self.floor, path[1]])

        def seen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Points (..., 3) as pixels (..., 2), and how near they are, metres."""
            right, up, near = _turned(points - foot)
            x = (box[0] + box[2]) / 2 + right * self.scale
            return np.stack([x, box[1] + self.drop - up * self.scale], -1), near

        floor, _ = seen(_squares(foot, self.half))
        colours = np.broadcast_to(colour_bytes(GRID), (len(floor), 4))
        draw_strokes(picture, floor, np.full(len(floor), max(1.0, self.unit)), colours, box)
        joints = track.joints[number]
        shadow, _ = seen(np.stack([joints[:, 0], np.full(len(joints), self.floor), joints[:, 2]], 1))
        colours = np.broadcast_to(colour_bytes(SHADOW), (len(CHILDREN), 4))
        bones = np.stack([shadow[PARENTS], shadow[CHILDREN]], 1)
        draw_strokes(picture, bones, np.full(len(CHILDREN), 1.4 * BONE * self.scale), colours, box)
        if self.truth is not None:
            at, near = seen(self.truth.joints[number])
            self._draw_bones(picture, at, near, BAND, FAINT, box)
        at, near = seen(joints)
        self._draw_bones(picture, at, near, BONE, SOLID, box)

    def _draw_bones(
        self, picture: np.ndarray, at: np.ndarray, near: np.ndarray, width: float, colours: np.ndarray, box: Box
    ) -> None:
        """Bones between joints at (17, 2), the nearest last; a head where bones are thin."""
        order = np.argsort(near[PARENTS] + near[CHILDREN])
        ends = np.stack([at[PARENTS[order]], at[CHILDREN[order]]], 1)
        widths = np.full(len(ends), width * self.scale)
        draw_strokes(picture, ends, widths, colours[CHILDREN[order]], box)
        if width == BONE:
            head = at[H36M_17.indices("Neck/Nose", "Head")].mean(0)
            rim = np.array([head, head])[None]
            draw_strokes(picture, rim, np.array([2 * HEAD * self.scale]), SOLID[:1], box)
            draw_strokes(picture, rim, np.array([2 * (HEAD - BONE / 2) * self.scale]), colour_bytes(PAPER)[None], box)


def _turned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (..., 3) in the eye's axes: to the right, up, and towards the eye, metres."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    away = x * np.sin(YAW) + z * np.cos(YAW)
    return (
        x * np.cos(YAW) - z * np.sin(YAW),
        y * np.cos(PITCH) - away * np.sin(PITCH),
        y * np.sin(PITCH) + away * np.cos(PITCH),
    )


def _squares(foot: np.ndarray, half: float) -> np.ndarray:
    """Lines (N, 2, 3) of the floor about a point of it: the squares' sides, cut where the view ends, and its edge."""
    lines = []
    for axis, other in ((0, 2), (2, 0)):
        low, high = foot[axis] - half, foot[axis] + half
        inner = np.arange(np.ceil(low / SQUARE), np.floor(high / SQUARE) + 1) * SQUARE
        for value in (low, *inner, high):
            line = np.tile(foot, (2, 1))
            line[:, axis], line[:, other] = value, foot[other] + [-half, half]
            lines.append(line)
    return np.array(lines)


def _path(track: Track, fps: float) -> np.ndarray:
    """Where the person stands, x and z (F, 2) metres, as means over a second: a view that follows must not shake."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(track.joints).all(-1)[..., None]  # (F, 17, 1)
        count = known.sum(1)
        mean = np.where(known, track.joints, 0).sum(1)[:, [0, 2]] / np.maximum(count, 1)
    hip = track.joints[:, H36M_17.root_index][:, [0, 2]]
    root = np.where(np.isfinite(hip), hip, mean)
    frames = np.flatnonzero(count[:, 0])
    if not len(frames):
        return np.zeros_like(root)
    every = np.arange(len(root))
    root = np.stack([np.interp(every, frames, root[frames, axis]) for axis in (0, 1)], 1)
    half = round(fps / 2)
    total = np.concatenate([np.zeros((1, 2)), root.cumsum(0)])
    begin, end = np.maximum(every - half, 0), np.minimum(every + half + 1, len(root))
    return (total[end] - total[begin]) / (end - begin)[:, None]


def _region(pixels: np.ndarray, image_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of the image that the person ever takes: left, top, width and height, pixels."""
    points = pixels.reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    size = np.array(image_size, float)
    if not len(points):
        return 0.0, 0.0, size[0], size[1]
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    room = 0.06 * (high - low).max() + 4
    low, high = np.clip(low - room, 0, size), np.clip(high + room, 0, size)
    if (high - low).min() < 1:
        return 0.0, 0.0, size[0], size[1]
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


@lru_cache
def _font(size: int) -> "ImageFont.FreeTypeFont":
    """Matplotlib's, which has most alphabets."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
