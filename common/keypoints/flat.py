"""Keypoints as one flat list of numbers, as AlphaPose, COCO and OpenPose write them."""

from typing import Any

import numpy as np

from ..errors import InputError
from .source import numbers, shown


def records(document: Any) -> list[dict]:
    """The dicts of a list that have an image and flat keypoints; none where it is anything else."""
    if not isinstance(document, list):
        return []
    people = [entry for entry in document if isinstance(entry, dict) and "image_id" in entry]
    return [person for person in people if _is_flat(person.get("keypoints"))]


def _is_flat(values: Any) -> bool:
    return isinstance(values, list) and not any(isinstance(value, (list, dict)) for value in values[:3])


def person_values(person: dict, key: str, place: str) -> np.ndarray:
    """x, y, c of every joint of a person, (K, 3); (0, 3) where the list is empty.

    Raises:
        InputError: no such list of numbers, or not three a joint.
    """
    if key not in person:
        raise InputError(
            f"{place}: expected {key}, found {shown(sorted(map(str, person)))}; run the detector for poses"
        )
    values = numbers(person[key], f"{place}, {key}")
    if len(values) % 3:
        raise InputError(
            f"{place}: expected x, y, confidence a joint in {key}, found {len(values)} numbers; make the file again"
        )
    return values.reshape(-1, 3)
