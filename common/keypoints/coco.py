"""COCO: results (a list of people) and labels (a dict with `images` and `annotations`)."""

from typing import Any

from ..errors import InputError
from .assemble import About, Person, assemble
from .detections import Detections
from .flat import person_values, records
from .frames import frame_numbers, image_frames
from .reader import Asked, Reader
from .source import Source, frame_rate, image_size, shown, whole


def recognises(source: Source) -> bool:
    """A dict with `annotations`, or a list of dicts with flat keypoints and whole `image_id`s and no `idx` or `box`."""
    if source.folder or not source.documents:
        return False
    document = source.documents[0][1]
    if isinstance(document, dict):
        return isinstance(document.get("annotations"), list)
    people = records(document)
    return bool(people) and not any("idx" in p or "box" in p or isinstance(p["image_id"], str) for p in people)


def read(source: Source, asked: Asked) -> Detections:
    """Read it: frames from the numbers in the images' names, or from `image_id`; tracks from `track_id`."""
    people, about = _contents(source)
    source.forget()
    return assemble(source, people, asked, about)


def _contents(source: Source) -> tuple[list[Person], About]:
    document = source.document
    labels = isinstance(document, dict)
    people = document.get("annotations") if isinstance(document, dict) else document
    if not isinstance(people, list) or not people or not all(isinstance(person, dict) for person in people):
        found = "an empty list" if people == [] else shown(document)
        raise InputError(
            f"{source.place}: expected COCO's list of people with image_id and keypoints, found {found}; export results"
        )
    if labels:
        people = [person for person in people if "keypoints" in person]  # boxes and masks stand beside them
    places = [f"{source.place}, person {number}" for number in range(len(people))]
    for person, place in zip(people, places):
        if "image_id" not in person:
            raise InputError(f"{place}: expected an image_id, found {shown(sorted(person))}; export it as COCO results")
    images = _list(document, "images", source.place) if isinstance(document, dict) else []
    frames, listed = _frames([person["image_id"] for person in people], images, source.place)
    seen = [
        Person(frame, person_values(person, "keypoints", place), _track(person, place))
        for frame, person, place in zip(frames, people, places)
    ]
    names = _names(document, source.place) if isinstance(document, dict) else None
    info = document.get("info") if isinstance(document, dict) else None
    fps = frame_rate(info.get("fps")) if isinstance(info, dict) else None  # ours; COCO itself has no place for it
    labelled = labels or _counted(people)
    about = About("coco", names=names, listed=listed, labelled=labelled, size=_size(images), fps=fps)
    return seen, about


def _list(document: dict, key: str, place: str) -> list[dict]:
    entries = document.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{place}: expected a list of dicts for {key}, found {shown(entries)}; export it as COCO")
    return entries


def _frames(ids: list[Any], images: list[dict], place: str) -> tuple[list[int], list[int]]:
    """The frames of the people, and those of all images."""
    known = [image.get("id") for image in images]
    files = [image.get("file_name") for image in images]
    if not images or not all(type(one) in (int, str) for one in known) or len(set(known)) < len(known):
        return image_frames(ids, place), []
    texts = [name for name in files if isinstance(name, str)]
    try:
        numbers = frame_numbers(texts, place) if len(set(texts)) == len(images) else {}
    except InputError:  # names without numbers, or of several folders
        numbers = {}
    if numbers:
        by_id: dict[Any, int] = {one: numbers[name] for one, name in zip(known, texts)}
    else:
        by_id = dict(zip(known, image_frames(known, place)))
    for one in ids:
        if type(one) not in (int, str) or one not in by_id:
            raise InputError(f"{place}: expected an image_id that is among its images, found {shown(one)}")
    return [by_id[one] for one in ids], list(by_id.values())


def _names(document: dict, place: str) -> list[str] | None:
    """The names of the joints, of the one category that has some."""
    names = [category["keypoints"] for category in _list(document, "categories", place) if category.get("keypoints")]
    if len(names) != 1:
        return None
    if not isinstance(names[0], list) or not all(isinstance(name, str) for name in names[0]):
        raise InputError(f"{place}: expected the names of joints in categories, found {shown(names[0])}")
    return names[0]


def _size(images: list[dict]) -> tuple[int, int] | None:
    """The size of the images where all have one and the same."""
    sizes = {(str(image.get("width")), str(image.get("height"))) for image in images}
    if len(sizes) != 1:
        return None
    return image_size(images[0].get("width"), images[0].get("height"))


def _track(person: dict, place: str) -> int | None:
    value = person.get("track_id")
    return None if value is None else whole(value, place, "track_id")


def _counted(people: list[dict]) -> bool:
    """Labels without their images: `num_keypoints` is said of labels only."""
    return all("num_keypoints" in person for person in people)


READER = Reader("coco", recognises, read)
