"""Keypoints found in a video, as a COCO file of labels that `read_keypoints` reads back.

COCO has places for the image's size (`images`), the joints' names (`categories`) and the people (`annotations`; the
third number of a joint is a confidence, as in COCO's results). Rate, detector and the video's hash stand in `info`.
"""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import atomic_write, sha256
from ..geometry.skeleton import JOINT_ORDERS
from ..keypoints.source import plain
from .detector import Detector

MADE_BY = "posynda"
_LONGEST_INFO = 100_000  # bytes, of the first line of the file
_LEAST = 1e-4  # confidence, below which a joint would be written as not seen


def video_info(video: Path, detector: Detector, version: str, fps: float | None, notes: tuple[str, ...]) -> dict:
    """What the file says about its making; `same_video` compares it."""
    stat = video.stat()
    made = {"made_by": MADE_BY, "video": video.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    made |= {"sha256": sha256(video), "detector": detector.name, "version": version, "fps": fps, "notes": list(notes)}
    return made


def same_video(info: dict, video: Path) -> bool:
    """Whether keypoints were found in this very video: by its size and time, or where the time differs by its hash."""
    stat = video.stat()
    if info.get("bytes") != stat.st_size:
        return False
    return info.get("mtime_ns") == stat.st_mtime_ns or info.get("sha256") == sha256(video)


def read_info(path: Path) -> dict[str, Any] | None:
    """The `info` of a file that `write` wrote, without reading its people; None for any other file."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_INFO)
        info = json.loads(first.rstrip().removesuffix(b",") + b"}")["info"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return info if isinstance(info, dict) and info.get("made_by") == MADE_BY else None


def write(
    path: Path, info: dict, order: str, found: Iterator[tuple[int, tuple[int, int], list[np.ndarray]]]
) -> tuple[int, int]:
    """Write people as they are found, frame by frame, so that memory does not grow with the video.

    Args:
        order: of the joints, a key of `JOINT_ORDERS`.
        found: per frame its number, the size (width, height) of its picture, and per person (K, 3) x, y, confidence.

    Returns:
        In how many frames somebody was found, and how many there were.

    Raises:
        InputError: nobody was found in any frame; nothing is left then.
        OSError: it cannot be written.
    """
    frames, image, people, inhabited = array("q"), {"id": 0}, 0, 0
    names = list(JOINT_ORDERS[order].joints)
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": names, "skeleton": []}
    with atomic_write(path) as partial:
        with partial.open("w", encoding="utf-8") as file:
            file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps([category])},\n"annotations": [')
            for number, (width, height), persons in found:
                frames.append(number)
                image |= {"width": width, "height": height}
                inhabited += bool(persons)
                for person in persons:
                    file.write(",\n" if people else "\n")
                    people += 1
                    file.write(json.dumps(_annotation(people, number, person)))
            file.write('\n],\n"images": [')
            for place, number in enumerate(frames):
                file.write((",\n" if place else "\n") + json.dumps(image | {"id": number}))
            file.write("\n]}\n")
        if not inhabited:
            raise InputError(
                f"{plain(info['video'])}: expected people, {info['detector']} found nobody in {len(frames)} frames; "
                "look at the video, or take another --detector"
            )
    return inhabited, len(frames)


def _annotation(number: int, frame: int, person: np.ndarray) -> dict:
    """A person as COCO's: x and y to 0.01 pixels, all 0 where one is not finite."""
    values = np.where(np.isfinite(person).all(1, keepdims=True), person, 0.0)
    confidence = np.where(values[:, 2] > 0, np.maximum(values[:, 2], _LEAST), 0.0)
    rows = np.concatenate([values[:, :2].round(2), confidence[:, None].round(4)], 1)  # (K, 3)
    x, y = rows[rows[:, 2] > 0, :2].T if (rows[:, 2] > 0).any() else np.zeros((2, 1))
    box = [float(value.round(2)) for value in (x.min(), y.min(), np.ptp(x), np.ptp(y))]
    return {
        "id": number, "image_id": frame, "category_id": 1, "iscrowd": 0, "bbox": box,
        "area": round(box[2] * box[3], 2), "num_keypoints": int((rows[:, 2] > 0).sum()),
        "score": round(float(rows[:, 2].mean()), 4), "keypoints": rows.ravel().tolist(),
    }  # fmt: skip
