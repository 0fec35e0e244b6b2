"""Which frame a file or an image is, by the number in its name."""

import re

from ..errors import InputError
from .source import listed, plain, shown, whole

_LONGEST = 15  # digits


def frame_numbers(names: list[str], place: str) -> dict[str, int]:
    """The number of the frame in each of several names of files or images, all different.

    Of several numbers in a name it is the last one that differs between all of the names: `cam01.0012.json`,
    `IMG_0012_1080p.jpg`. A single name without a number is frame 0.

    Raises:
        InputError: a name without a number, or two names of the same number.
    """
    stems = [re.sub(r"\.[A-Za-z]\w*$", "", name.replace("\\", "/").rsplit("/", 1)[-1]) for name in names]
    found = [re.findall(r"\d+", stem, re.ASCII) for stem in stems]
    if len(names) == 1 and not found[0]:
        return {names[0]: 0}
    for name, digits in zip(names, found):
        if not digits or len(max(digits, key=len)) > _LONGEST:
            what = "a number too long" if digits else "no number"
            raise InputError(
                f"{place}: expected the frame's number in every name, found {what} in {shown(name)}; rename or remove"
            )
    count = min(map(len, found))
    for position in range(1, count + 1):
        values = [int(digits[-position]) for digits in found]
        if len(set(values)) == len(names):
            return dict(zip(names, values))
    numbers = [int(digits[-1]) for digits in found]
    first = next(i for i, number in enumerate(numbers) if numbers.index(number) < i)
    same = f"{plain(names[numbers.index(numbers[first])])} and {plain(names[first])}"
    raise InputError(
        f"{place}: expected one file or image a frame, found the number {numbers[first]} in {same}; keep the videos "
        "apart, one folder or file each"
    )


def image_frames(ids: list[object], place: str) -> list[int]:
    """The frames of `image_id`s, which are whole numbers or names of images, all of one kind; they may repeat.

    Raises:
        InputError: neither, some of each kind, or below 0.
    """
    texts = [isinstance(value, str) for value in ids]
    if all(texts):
        unique = list(dict.fromkeys(map(str, ids)))
        known = frame_numbers(unique, place)
        return [known[str(value)] for value in ids]
    if any(texts):
        kinds = listed([shown(ids[texts.index(True)]), shown(ids[texts.index(False)])])
        raise InputError(f"{place}: expected an image_id of one kind, found {kinds}; keep two videos apart")
    numbers = [whole(value, place, "an image_id") for value in ids]
    if min(numbers, default=0) < 0:
        raise InputError(f"{place}: expected an image_id from 0, found {min(numbers)}; count from 0")
    return numbers
