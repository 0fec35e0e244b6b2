"""MediaPipe Pose in JSON: frames with `pose_landmarks` or `landmarks`, of one person or several, each `{x, y, ...}`."""

from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.skeleton import JOINT_ORDERS
from .assemble import About, Person, assemble
from .detections import Detections
from .frames import frame_numbers
from .orders import joint_key
from .reader import Asked, Reader
from .source import Source, frame_rate, image_size, numbers, shown, whole

_ORDER = "blazepose"
_JOINTS = JOINT_ORDERS[_ORDER].joints
_KEYS = {joint_key(joint): number for number, joint in enumerate(_JOINTS)}
_PEOPLE = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark", "pose", "keypoints")
_FRAMES = ("frames", "data", "results", "poses")
_NUMBER = ("frame", "frame_id", "frame_number", "frame_index", "frame_idx", "frame_no", "frameNumber", "frameIndex")
_MEND = "export x, y and visibility of all landmarks a frame"


def recognises(source: Source) -> bool:
    """Points that are `{x, y}`."""
    return any(_has_points(document, 5) for _, document in source.documents)


def _has_points(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        if "x" in value and "y" in value:
            return True
        if "instances" in value or "people" in value or "annotations" in value:
            return False
        keys = [key for key in (*_PEOPLE, *_FRAMES) if key in value] or [key for key in value if _is_frame(key)][:20]
        keys = keys or [key for key in value if joint_key(key) in _KEYS][:1]
        return depth > 0 and any(_has_points(value[key], depth - 1) for key in keys)
    return depth > 0 and isinstance(value, list) and any(_has_points(one, depth - 1) for one in value[:20])


def read(source: Source, asked: Asked) -> Detections:
    """Read it: frames from a number beside the landmarks, from the names of a folder's files, else a frame each."""
    if not source.documents:
        raise InputError(f"{source.place}: expected MediaPipe's landmarks in JSON, found none; {_MEND}")
    if source.folder:
        number = frame_numbers([file for file, _ in source.documents], source.place)
        frames = [(number[file], document, f"{source.place}/{file}") for file, document in source.documents]
        size, fps = None, None
    else:
        frames = _frames(source.document, source.place)
        size, fps = _size(source.document), _fps(source.document)
    people = []
    for frame, entry, place in frames:
        people += [Person(frame, values) for values in _people(entry, place, 4)]
    listed = [frame for frame, *_ in frames]
    if len(set(listed)) < len(listed):
        raise InputError(f"{source.place}: expected every frame once, found one twice; keep videos apart")
    return assemble(source, people, asked, About("mediapipe-json", order=_ORDER, listed=listed, size=size, fps=fps))


def _is_frame(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < 16


def _frames(document: Any, place: str) -> list[tuple[int, Any, str]]:
    """Number, content and where it stands, of every frame of a file."""
    if isinstance(document, dict):
        if key := next((key for key in _FRAMES if isinstance(document.get(key), (list, dict))), None):
            document = document[key]
        elif not any(_is_frame(key) for key in document):
            document = [document]  # one frame
    if isinstance(document, dict):
        odd = next((key for key in document if not _is_frame(key)), None)
        if odd is not None:
            raise InputError(f"{place}: expected the frames' numbers, found {shown(odd)}; {_MEND}")
        entries = [(int(key), entry) for key, entry in document.items()]
    elif isinstance(document, list) and document:
        entries = list(enumerate(document))
        if all(isinstance(entry, dict) and "x" in entry for entry in document):
            entries = [(0, document)]  # one person in one frame
    else:
        raise InputError(f"{place}: expected frames with landmarks, found {shown(document)}; {_MEND}")
    found = []
    for number, entry in entries:
        where = f"{place}, frame {number}"
        key = next((key for key in _NUMBER if isinstance(entry, dict) and key in entry), None)
        frame = number if key is None else whole(entry[key], where, key)
        if frame < 0:
            raise InputError(f"{where}: expected a frame from 0, found {frame}; count them from 0")
        found.append((frame, entry, where))
    return found


def _people(entry: Any, place: str, depth: int) -> list[np.ndarray]:
    """The people (33, 3) of a frame; nobody is null or an empty list."""
    if entry is None or entry == [] or entry == {}:
        return []
    if depth and isinstance(entry, dict):
        if key := next((key for key in _PEOPLE if key in entry), None):
            return _people(entry[key], place, depth - 1)
        if all(joint_key(key) in _KEYS for key in entry):  # landmarks by name
            named = {_KEYS[joint_key(key)]: point for key, point in entry.items()}
            return [_person([named.get(joint) for joint in range(len(_JOINTS))], place)]
        if len(entry) == 1 and next(iter(entry)) in _NUMBER:
            return []  # a frame's number and no more
    if depth and isinstance(entry, list):
        inner = entry[0]
        is_point = isinstance(inner, dict) and "x" in inner or isinstance(inner, list) and _numeric(inner)
        if is_point:
            return [_person(entry, place)]
        return [values for one in entry for values in _people(one, place, depth - 1)]
    raise InputError(f"{place}: expected landmarks {{x, y, visibility}}, found {shown(entry)}; {_MEND}")


def _numeric(point: list) -> bool:
    return 2 <= len(point) <= 5 and all(type(value) in (int, float) for value in point)


def _person(points: list, place: str) -> np.ndarray:
    if len(points) != len(_JOINTS):
        raise InputError(f"{place}: expected {len(_JOINTS)} landmarks, found {len(points)}; {_MEND}")
    rows = []
    for joint, point in enumerate(points):
        where = f"{place}, landmark {joint}"
        if isinstance(point, dict):
            if not {"x", "y"} <= point.keys():
                raise InputError(f"{where}: expected x and y, found {shown(sorted(point))}; {_MEND}")
            point = [point["x"], point["y"], point.get("z"), point.get("visibility", 1.0)]
        row = numbers([None, None] if point is None else point, where)
        if not 2 <= len(row) <= 5:
            raise InputError(f"{where}: expected x, y, z, visibility, found {len(row)} numbers; {_MEND}")
        rows.append([row[0], row[1], row[3] if len(row) > 3 else 1.0])
    return np.array(rows)


def _beside(document: Any) -> list[dict]:
    """The dicts that may say what the video is like."""
    if not isinstance(document, dict):
        return []
    return [document, *(document[key] for key in ("metadata", "meta", "video") if isinstance(document.get(key), dict))]


def _size(document: Any) -> tuple[int, int] | None:
    for about in _beside(document):
        if size := image_size(about.get("width"), about.get("height")):
            return size
    return None


def _fps(document: Any) -> float | None:
    for about in _beside(document):
        if fps := frame_rate(about.get("fps")):
            return fps
    return None


READER = Reader("mediapipe-json", recognises, read)
