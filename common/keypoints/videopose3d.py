"""VideoPose3D's custom data sets: an npz with a pickled `positions_2d`, video -> 'custom' -> a list of (F, 17, 2)."""

from typing import Any

import numpy as np

from ..datasets.npz import describe, read_object
from ..errors import InputError
from .arrays import people_of
from .assemble import About, assemble
from .detections import Detections
from .reader import Asked, Reader
from .source import Source, listed, plain, shown

_KEY = "positions_2d"
_ORDERS = {"coco": "coco", "h36m": "h36m"}  # `layout_name` -> order


def recognises(source: Source) -> bool:
    """An npz with the entry `positions_2d`."""
    return _KEY in source.entries


def read(source: Source, asked: Asked) -> Detections:
    """Read one of its videos, the only one or `asked.video`; several cameras or actions count as videos."""
    source.need_file("VideoPose3D's npz file")
    videos = _videos(read_object(source.path, _KEY), source.place)
    metadata = read_object(source.path, "metadata") if "metadata" in source.entries else {}
    if not isinstance(metadata, dict):
        raise InputError(f"{source.place}: expected a dict for metadata, found {describe(metadata)}; make it again")
    if not videos:
        raise InputError(f"{source.place}: expected videos in {_KEY}, found none; run prepare_data_2d_custom.py again")
    names = list(videos)
    if asked.video is None and len(videos) > 1:
        raise InputError(f"{source.place}: holds {len(videos)} videos; choose one with --video: {listed(names)}")
    if asked.video is not None and asked.video not in videos:
        raise InputError(f"{source.place}: has no video {shown(asked.video)}; expected one of {listed(names)}")
    name = names[0] if asked.video is None else asked.video
    people, frames = people_of(videos[name], f"{source.place}, {listed([name])}")
    layout = metadata.get("layout_name")
    order = _ORDERS.get(layout) if isinstance(layout, str) else None
    size, fps = _about(metadata, name)
    return assemble(
        source, people, asked, About("videopose3d", order=order, listed=range(frames), size=size, fps=fps)
    )  # fmt: skip


def _videos(tree: Any, place: str) -> dict[str, Any]:
    """Name -> array of every video; the name is the file's, with action and camera where it has several."""
    if not isinstance(tree, dict):
        raise InputError(f"{place}: expected a dict of videos in {_KEY}, found {describe(tree)}; make it again")
    videos: dict[str, Any] = {}
    for subject, actions in tree.items():
        if not isinstance(actions, dict):
            raise InputError(
                f"{place}, {shown(subject)}: expected a dict of actions, found {describe(actions)}; make it again"
            )
        for action, cameras in actions.items():
            views = cameras if isinstance(cameras, (list, tuple)) else _views(cameras)
            for number, view in enumerate(views):
                name = plain(subject) if action == "custom" else f"{plain(subject)} {plain(action)}"
                videos[name if len(views) == 1 else f"{name} {number}"] = view
    return videos


def _views(cameras: Any) -> list[Any]:
    """A list of one array that numpy made (1, F, K, 2), of several (C, F, K, 2); a bare (F, K, 2)."""
    return list(cameras) if isinstance(cameras, np.ndarray) and cameras.ndim == 4 else [cameras]


def _about(metadata: dict, name: str) -> tuple[tuple[int, int] | None, float | None]:
    """Size and frame rate of a video where `video_metadata` says them."""
    known = metadata.get("video_metadata")
    about = known.get(name) if isinstance(known, dict) else None
    if not isinstance(about, dict):
        return None, None
    width, height, fps = (_positive(about.get(key)) for key in ("w", "h", "fps"))
    return None if width is None or height is None else (int(width), int(height)), fps


def _positive(value: Any) -> float | None:
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if good and 1 <= value < 1e5 else None


READER = Reader("videopose3d", recognises, read, several=True)
