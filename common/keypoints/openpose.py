"""OpenPose: a folder with a JSON file a frame. Pose2Sim, RTMPose and AlphaPose write other orders into it."""

import re
from collections import Counter
from functools import partial
from typing import Any

from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .flat import person_values
from .frames import frame_numbers
from .reader import Asked, Reader, never
from .source import Source, listed, numbers, shown

_KEYS = ("pose_keypoints_2d", "pose_keypoints")  # of OpenPose 1.1 and later, and before


def recognises(source: Source) -> bool:
    """A JSON file with `people`."""
    return any(isinstance(document, dict) and "people" in document for _, document in source.documents)


def read(source: Source, asked: Asked, name: str = "openpose", order: str | None = None) -> Detections:
    """Read it: frames from the numbers in the files' names, tracks from `person_id` where every person has one."""
    source.need_folder("OpenPose's folder, a JSON file a frame")
    if not source.documents:
        raise InputError(f"{source.place}: expected OpenPose's JSON files, a frame each, found none; give their folder")
    documents, notes = _without_strays(source)
    frames = frame_numbers([file for file, _ in documents], source.place)
    found = []
    for file, document in documents:
        people = document.get("people") if isinstance(document, dict) else None
        if not isinstance(people, list):
            mend = "keep other files in another folder"
            raise InputError(f"{source.place}/{file}: expected a list 'people', found {shown(document)}; {mend}")
        for number, person in enumerate(people):
            place = f"{source.place}/{file}, person {number}"
            if not isinstance(person, dict):
                raise InputError(f"{place}: expected a person with {_KEYS[0]}, found {shown(person)}; make it again")
            key = next((key for key in _KEYS if key in person), _KEYS[0])
            found.append(Person(frames[file], person_values(person, key, place), _track(person, place)))
    return assemble(source, found, asked, About(name, order=order, listed=frames.values(), notes=notes))


def _without_strays(source: Source) -> tuple[list[tuple[str, Any]], tuple[str, ...]]:
    """The files of the folder without those that hold nobody and are numbered in another way than most, such as
    Pose2Sim leaves, and a note of these."""
    kinds = {file: re.sub(r"\d+", "0", file) for file, _ in source.documents}
    usual = Counter(kinds.values()).most_common(1)[0][0]
    empty = [file for file, document in source.documents if isinstance(document, dict) and document.get("people") == []]
    stray = [file for file in empty if kinds[file] not in (usual, file)]  # itself: without a number
    kept = [(file, document) for file, document in source.documents if file not in stray]
    return kept, (f"left out, numbered otherwise and empty: {listed(stray, 3)}",) if stray else ()


def _track(person: dict, place: str) -> int | None:
    """`person_id` is [-1] where OpenPose does not track."""
    value = person.get("person_id")
    if value in (None, []):
        return None
    track = numbers(value if isinstance(value, list) else [value], f"{place}, person_id")[0]
    return int(track) if 0 <= track < 2**53 else None


READER = Reader("openpose", recognises, read)
BODY_25 = Reader("openpose-body25", never, partial(read, name="openpose-body25", order="body25"))
BODY_25B = Reader("openpose-body25b", never, partial(read, name="openpose-body25b", order="body25b"))
