"""AlphaPose: one JSON list, a dict per person and frame, 17 (COCO), 26 or 136 (Halpe) joints."""

from typing import Any

from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .flat import person_values, records
from .frames import image_frames
from .reader import Asked, Reader
from .source import Source, shown, whole


def recognises(source: Source) -> bool:
    """A list of dicts with flat keypoints, one of which has `idx` or `box`, or an `image_id` that is a name."""
    if source.folder or not source.documents:
        return False
    people = records(source.documents[0][1])
    return any("idx" in p or "box" in p or isinstance(p.get("image_id"), str) for p in people)


def read(source: Source, asked: Asked) -> Detections:
    """Read it, frames from the number in `image_id`, tracks from `idx`."""
    people = source.document
    if not isinstance(people, list) or not people or not all(isinstance(person, dict) for person in people):
        found = "an empty list" if people == [] else shown(people)
        raise InputError(
            f"{source.place}: expected a list of people with image_id and keypoints, found {found}; run AlphaPose again"
        )
    places = [f"{source.place}, person {number}" for number in range(len(people))]
    for person, place in zip(people, places):
        if "image_id" not in person:
            raise InputError(f"{place}: expected an image_id, found {shown(sorted(person))}; export it with AlphaPose")
    frames = image_frames([person["image_id"] for person in people], source.place)
    seen = [
        Person(frame, person_values(person, "keypoints", place), _track(person.get("idx"), place))
        for frame, person, place in zip(frames, people, places)
    ]
    return assemble(source, seen, asked, About("alphapose"))


def _track(value: Any, place: str) -> int | None:
    """A track, alone or in lists of one."""
    for _ in range(3):
        if isinstance(value, list):
            value = value[0] if value else None
    return None if value is None else whole(value, place, "idx")


READER = Reader("alphapose", recognises, read)
