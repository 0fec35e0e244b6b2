"""MMPose's inferencer and demos: a list of `{frame_id, instances}`, wrapped or not; of an image a list of people."""

from typing import Any

import numpy as np

from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .frames import frame_numbers
from .reader import Asked, Reader
from .source import Source, numbers, shown, whole

_MEND = "export it with MMPose's --pred-out-dir"


def recognises(source: Source) -> bool:
    """Instances, or people with keypoints in pairs."""
    return any(_looks(document) for _, document in source.documents)


def _looks(document: Any) -> bool:
    if isinstance(document, dict):
        return "instance_info" in document or "instances" in document
    first = next((entry for entry in document if entry), None) if isinstance(document, list) else None
    if not isinstance(first, dict):
        return False
    points = first.get("keypoints")
    pairs = isinstance(points, list) and points != [] and isinstance(points[0], list)
    return "instances" in first or "keypoint_scores" in first or (pairs and "image_id" not in first)


def read(source: Source, asked: Asked) -> Detections:
    """Read it: frames from `frame_id`, or from the names of a folder's files, one an image."""
    if not source.documents:
        raise InputError(f"{source.place}: expected MMPose's JSON, found none; {_MEND}")
    if source.folder:
        number = frame_numbers([file for file, _ in source.documents], source.place)
        parts = [(number[f], _unwrapped(doc), f"{source.place}/{f}") for f, doc in source.documents]
        frames = [(frame, _only_image(people, place), place) for frame, people, place in parts]
    else:
        frames = _video(_unwrapped(source.document), source.place)
    found, listed = [], []
    for frame, people, place in frames:
        listed.append(frame)
        if not isinstance(people, list):
            raise InputError(f"{place}: expected a list of instances, found {shown(people)}; {_MEND}")
        found += [Person(frame, *_person(person, f"{place}, person {i}")) for i, person in enumerate(people)]
    about = About("mmpose", names=_names(source.documents[0][1]), listed=listed)
    return assemble(source, found, asked, about)


def _unwrapped(document: Any) -> Any:
    return document.get("instance_info", document) if isinstance(document, dict) else document


def _only_image(document: Any, place: str) -> Any:
    """The people of a file that belongs to one image."""
    if isinstance(document, dict):
        document = document.get("instances", document)
    if not isinstance(document, list) or any(isinstance(one, dict) and "instances" in one for one in document):
        raise InputError(f"{place}: expected the people of one image, found {shown(document)}; give the file itself")
    return document


def _video(document: Any, place: str) -> list[tuple[int, Any, str]]:
    """Frame, people and where they stand, of a file of frames or of one image."""
    if isinstance(document, dict) and "instances" in document:
        document = [document]
    if not isinstance(document, list) or not document or not all(isinstance(entry, dict) for entry in document):
        found = "an empty list" if document == [] else shown(document)
        raise InputError(f"{place}: expected a list of frames with instances, or of people, found {found}; {_MEND}")
    if not any("instances" in entry for entry in document):
        return [(0, document, place)]  # an image
    frames = []
    for number, entry in enumerate(document):
        where = f"{place}, frame {number}"
        if "instances" not in entry:
            raise InputError(f"{where}: expected instances, found {shown(sorted(entry))}; {_MEND}")
        frame = whole(entry.get("frame_id", number), where, "frame_id")
        if frame < 0:
            raise InputError(f"{where}: expected a frame_id from 0, found {frame}; {_MEND}")
        frames.append((frame, entry["instances"], where))
    if len({frame for frame, *_ in frames}) < len(frames):
        raise InputError(f"{place}: expected every frame_id once, found one twice; keep the videos apart")
    return frames


def _person(person: Any, place: str) -> tuple[np.ndarray, int | None]:
    """(K, 3) x, y, score, and the track; (0, 3) for a person without keypoints."""
    if not isinstance(person, dict) or not isinstance(person.get("keypoints"), list):
        raise InputError(f"{place}: expected keypoints [[x, y], ...], found {shown(person)}; {_MEND}")
    points, track = person["keypoints"], person.get("track_id")
    rows = [numbers(point, f"{place}, joint {joint}") for joint, point in enumerate(points)]
    widths = {len(row) for row in rows}
    if len(widths) > 1 or not widths <= {2, 3}:
        raise InputError(f"{place}: expected 2 numbers a joint, found {sorted(widths)}; {_MEND}")
    values = np.stack(rows) if rows else np.empty((0, 3))
    if "keypoint_scores" in person:
        if widths == {3}:
            raise InputError(f"{place}: expected 2D keypoints, found 3 coordinates a joint; give the 2D model's file")
        scores = numbers(person["keypoint_scores"], f"{place}, keypoint_scores")
        if len(scores) != len(values):
            raise InputError(
                f"{place}: expected as many scores as joints, found {len(scores)} and {len(values)}; {_MEND}"
            )
        values = np.concatenate([values[:, :2], scores[:, None]], 1)
    return values, None if track is None else whole(track, place, "track_id")


def _names(document: Any) -> list[str] | None:
    """The names of the joints where the wrapping says them."""
    meta = document.get("meta_info") if isinstance(document, dict) else None
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if isinstance(names, dict) and all(isinstance(name, str) and number.isdecimal() for number, name in names.items()):
        names = [names[number] for number in sorted(names, key=lambda number: int(number[:9]))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return names


READER = Reader("mmpose", recognises, read)
