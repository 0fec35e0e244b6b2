"""A lifted motion as one HTML file that needs no network: `page.html` with the data of a motion put in."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_write
from ..geometry.figures import LEFT, RIGHT
from ..geometry.skeleton import H36M_17
from .track import JOINTS, Track, plain

TEMPLATE = Path(__file__).with_name("page.html")
PLACE = "@DATA@"  # where the template takes the data
METRES, PIXELS = 0.001, 0.25  # steps of the numbers in the page: a millimetre, a quarter of a pixel
LIMIT = 1 << 28  # steps; with it every code fits the 32 bits of JavaScript's integer operators
NEAREST = 0.1  # metres before the camera; closer joints have no reprojection


def write_page(
    path: Path,
    tracks: Sequence[Track],
    fps: float,
    title: str,
    about: Sequence[str],
    pixels: np.ndarray | None = None,
    image_size: tuple[int, int] | None = None,
    camera: tuple[float, tuple[float, float]] | None = None,
) -> None:
    """Write a page that plays the tracks in 3D, beside the keypoints they were lifted from.

    Without `pixels` and any reprojection the page shows 3D alone. A thousand frames of one track and its keypoints
    take about 200 kB, every hypothesis as much as a track.

    Args:
        path: the .html file; its folder is made where it is missing.
        tracks: at least one, of equally many frames.
        fps: frames a second.
        title: the page's heading.
        about: lines below it: model, data, settings. Lines with the word "synthetic" or "invented" become a banner.
        pixels: (F, 17, 2) keypoints, Human3.6M-17; NaN where one is missing.
        image_size: width and height, pixels; needed with pixels or reprojections.
        camera: focal length and image centre, pixels, of a camera at the origin that looks along -z. Tracks without
            `reprojected` are then projected by it.

    Raises:
        ValueError: an array of another shape, no track, or a number that is not positive.
    """
    if not tracks:
        raise ValueError("expected at least one track, found none")
    frames = len(tracks[0].joints)
    if not (frames > 0 and math.isfinite(fps) and fps > 0):
        raise ValueError(f"expected frames and a rate above 0, found {frames} frames at {fps} a second")
    packed = [_pack_track(track, frames, camera) for track in tracks]
    flat = pixels is not None or any(track["reprojected"] is not None for track in packed)
    if flat and (image_size is None or min(image_size) <= 0):
        raise ValueError(f"expected an image size above 0 with 2D, found {image_size}")
    data: dict[str, Any] = {
        "title": plain(title),
        "about": [plain(line) for line in about],
        "fps": float(fps),
        "frames": frames,
        "joints": H36M_17.joints,
        "parents": H36M_17.parents,
        "left": H36M_17.left_indices,
        "right": H36M_17.right_indices,
        "colours": {"left": LEFT, "right": RIGHT},
        "image": [int(side) for side in image_size] if flat and image_size is not None else None,
        "pixels": _pack_points("pixels", pixels, (frames, JOINTS, 2), PIXELS),
        "tracks": packed,
    }
    page = TEMPLATE.read_text(encoding="utf-8").replace(PLACE, script_json(data))
    with atomic_write(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def script_json(data: Any) -> str:
    """JSON in ASCII that may stand in a <script>: no character in it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def pack(values: np.ndarray, step: float) -> dict[str, Any]:
    """Numbers (F, ...) as whole steps in base64, small when they change little from frame to frame.

    Every number is a code: 0 where it is not finite, else 1 + the zigzag of its difference to the last finite number
    in its place, in steps (0, -1, 1, -2 ... become 0, 1, 2, 3 ...). A code is written in groups of seven bits, lowest
    first, each in a byte whose high bit says that another follows. Order: frame by frame.

    Args:
        step: the unit of the result; numbers beyond 2 ** 28 steps are held at that.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)  # (F, N)
    known = np.isfinite(flat)
    steps = np.where(known, np.clip(np.round(flat / step), -LIMIT, LIMIT), 0).astype(np.int64)
    last = np.maximum.accumulate(np.where(known, np.arange(len(flat))[:, None], -1), 0)
    last = np.concatenate([np.full_like(last[:1], -1), last[:-1]])  # (F, N) the frame of the finite number before, -1
    change = steps - np.where(last < 0, 0, np.take_along_axis(steps, np.maximum(last, 0), 0))
    code = np.where(known, 1 + ((change << 1) ^ (change >> 63)), 0).reshape(-1, 1)
    place = np.arange(5)
    length = 1 + (code >> 7 * place[1:] > 0).sum(1, keepdims=True)  # (F * N, 1) bytes
    groups = (code >> 7 * place) & 127 | (place < length - 1) << 7  # (F * N, 5)
    data = groups[place < length].astype(np.uint8).tobytes()
    return {"shape": list(values.shape), "step": step, "data": base64.b64encode(data).decode("ascii")}


def _pack_track(track: Track, frames: int, camera: tuple[float, tuple[float, float]] | None) -> dict[str, Any]:
    hypotheses, reprojected = track.hypotheses, track.reprojected
    count = hypotheses.shape[1] if hypotheses is not None and hypotheses.ndim == 4 else 0
    joints = _pack_points("joints", track.joints, (frames, JOINTS, 3), METRES)
    if reprojected is None and camera is not None:
        reprojected = _project(track.joints, *camera)
    return {
        "name": plain(track.name),
        "truth": track.truth,
        "joints": joints,
        "errorName": plain(track.error_name),
        "error": _pack_points("expected_error", track.expected_error, (frames, JOINTS), METRES),
        "hypotheses": _pack_points("hypotheses", hypotheses, (frames, count, JOINTS, 3), METRES),
        "reprojected": _pack_points("reprojected", reprojected, (frames, JOINTS, 2), PIXELS),
    }


def _pack_points(name: str, values: np.ndarray | None, shape: tuple[int, ...], step: float) -> dict[str, Any] | None:
    """`pack` for an array that may be absent; a joint without one of its coordinates is without all."""
    if values is None:
        return None
    if values.shape != shape:
        raise ValueError(f"{name}: expected an array of shape {shape}, found {values.shape}")
    if len(shape) > 2:
        values = np.where(np.isfinite(values).all(-1, keepdims=True), values, np.nan)
    return pack(values, step)


def _project(joints: np.ndarray, focal: float, centre: tuple[float, float]) -> np.ndarray:
    """Joints (F, 17, 3) as pixels (F, 17, 2) of a camera at the origin that looks along -z."""
    depth = -joints[..., 2:]
    depth = np.where(depth >= NEAREST, depth, np.nan)
    return np.asarray(centre) + focal * joints[..., :2] * [1, -1] / depth
