"""Acclaim motion capture files (ASF skeleton, AMC motion) as the CMU database publishes them.

Written from the public description of the format; lengths follow the CMU convention (see `METRES_PER_UNIT`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_text

# A CMU length is in inches once it is divided by the skeleton's `length` factor.
METRES_PER_UNIT = 0.0254
ROOT = "root"
ROTATIONS = ("rx", "ry", "rz")
TRANSLATIONS = ("tx", "ty", "tz")
_ANGLE_UNITS = {"deg": np.pi / 180, "rad": 1.0}
_AMC_ANGLE_UNITS = {":degrees": "deg", ":radians": "rad"}


@dataclass
class Bone:
    """One bone in the rest pose.

    Attributes:
        parent: the bone it hangs on, `ROOT` for the root itself (whose own parent is "").
        offset: (3,) metres, from its start to its end in the rest pose.
        axis: (3, 3) the rotation C of its local frame; a motion rotates it by C R inverse(C).
        dof: the channels an AMC line gives, in the file's order.
    """

    name: str
    parent: str = ""
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axis: np.ndarray = field(default_factory=lambda: np.eye(3))
    dof: tuple[str, ...] = ()


@dataclass
class Skeleton:
    """An ASF file. `bones` holds every parent before its children, the root first.

    Attributes:
        position: (3,) metres, where the root is at rest.
        metres: what one length unit of the ASF and its AMC files is.
        angle: "deg" or "rad", the unit of its angles and of AMC files that name none.
    """

    path: Path
    bones: dict[str, Bone]
    position: np.ndarray
    metres: float
    angle: str


def _fail(path: Path, line: int | None, what: str) -> InputError:
    return InputError(f"{path}{f', line {line}' if line else ''}: {what}")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The numbered lines of a text file as words, without comments and empty lines."""
    for number, line in enumerate(read_text(path, "an ASF or AMC text file").splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if words:
            yield number, words


def _numbers(path: Path, line: int, what: str, words: list[str], count: int) -> np.ndarray:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([np.nan])
    if len(values) != count or not np.isfinite(values).all():
        plural = "s" if count > 1 else ""
        raise _fail(path, line, f"{what} should be {count} finite number{plural}, found {' '.join(words) or 'none'!r}")
    return values


def rotation(order: tuple[str, ...], angles: np.ndarray) -> np.ndarray:
    """The rotation that turns about the fixed axes in the order given, first one first.

    Args:
        order: axis letters or channels, e.g. ("rx", "ry", "rz").
        angles: (..., len(order)) radians.

    Returns:
        (..., 3, 3), for column vectors.
    """
    result = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for name, angle in zip(order, np.moveaxis(angles, -1, 0)):
        turned = "xyz".index(name[-1])
        second, third = (turned + 1) % 3, (turned + 2) % 3
        step = np.zeros((*angle.shape, 3, 3))
        step[..., turned, turned] = 1
        step[..., second, second] = step[..., third, third] = np.cos(angle)
        step[..., third, second] = np.sin(angle)
        step[..., second, third] = -np.sin(angle)
        result = step @ result
    return result


def _axis_order(path: Path, line: int, word: str) -> tuple[str, ...]:
    if sorted(word.lower()) != ["x", "y", "z"]:
        raise _fail(path, line, f"an axis order such as XYZ was expected, found {word!r}")
    return tuple(word.lower())


def _sections(path: Path) -> dict[str, list[tuple[int, list[str]]]]:
    """An ASF file's lines by section; words on a section's own line are its first line."""
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current = None
    for number, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0].lower(), [])
            words = words[1:]
        if current is None:
            raise _fail(path, number, f"an ASF file starts with sections such as :units, found {words[0]!r}")
        if words:
            current.append((number, words))
    for name in (":units", ":root", ":bonedata", ":hierarchy"):
        if name not in sections:
            raise _fail(path, None, f"the section {name} is missing; is this a whole ASF file?")
    return sections


def _blocks(path: Path, lines: list[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    """The lines of each begin ... end block."""
    block: list[tuple[int, list[str]]] | None = None
    for number, words in lines:
        if words[0].lower() == "begin":
            block = []
        elif block is None:
            raise _fail(path, number, f"'begin' was expected, found {words[0]!r}")
        elif words[0].lower() == "end":
            if block:
                yield block
            block = None
        else:
            block.append((number, words))
    if block is not None:
        raise _fail(path, lines[-1][0], "the file ends inside a 'begin' block")


def _read_bone(path: Path, lines: list[tuple[int, list[str]]], metres: float, unit: float) -> Bone:
    """One begin ... end block of :bonedata."""
    entries = {words[0].lower(): (number, words[1:]) for number, words in lines}
    first = lines[0][0]
    for key in ("name", "direction", "length", "axis"):
        if key not in entries:
            raise _fail(path, first, f"a bone without {key!r}")
    number, words = entries["name"]
    if len(words) != 1:
        raise _fail(path, number, f"a bone's name should be one word, found {' '.join(words)!r}")
    bone = Bone(words[0].lower())
    direction = _numbers(path, entries["direction"][0], "direction", entries["direction"][1], 3)
    if not np.linalg.norm(direction) > 0:
        raise _fail(path, entries["direction"][0], "a bone's direction cannot be zero")
    (length,) = _numbers(path, entries["length"][0], "length", entries["length"][1], 1)
    bone.offset = direction / np.linalg.norm(direction) * length * metres
    number, words = entries["axis"]
    if len(words) != 4:
        raise _fail(path, number, f"axis should be three angles and an order, found {' '.join(words)!r}")
    angles = _numbers(path, number, "axis", words[:3], 3)
    bone.axis = rotation(_axis_order(path, number, words[3]), angles * unit)
    if "dof" in entries:
        number, words = entries["dof"]
        bone.dof = tuple(word.lower() for word in words)
        if set(bone.dof) - set(ROTATIONS):
            raise _fail(path, number, f"only rx ry rz can be read as a bone's dof, found {' '.join(words)!r}")
    return bone


def read_asf(path: Path) -> Skeleton:
    """Read an ASF skeleton. Raises `InputError` naming file and line for anything that cannot be used."""
    sections = _sections(path)
    units = {words[0].lower(): (number, words) for number, words in sections[":units"]}
    metres, angle = METRES_PER_UNIT, "deg"
    if "length" in units:
        number, words = units["length"]
        (factor,) = _numbers(path, number, "length", words[1:], 1)
        if factor <= 0:
            raise _fail(path, number, f"the length factor should be positive, found {factor}")
        metres /= factor
    if "angle" in units:
        number, words = units["angle"]
        angle = words[-1].lower()
        if angle not in _ANGLE_UNITS:
            raise _fail(path, number, f"the angle unit should be deg or rad, found {words[-1]!r}")
    unit = _ANGLE_UNITS[angle]

    root, position = Bone(ROOT, dof=(*TRANSLATIONS, *ROTATIONS)), np.zeros(3)
    axis: tuple[str, ...] = ("x", "y", "z")
    orientation = np.zeros(3)
    for number, words in sections[":root"]:
        key = words[0].lower()
        if key == "order":
            root.dof = tuple(word.lower() for word in words[1:])
            if sorted(root.dof) != sorted((*TRANSLATIONS, *ROTATIONS)):
                raise _fail(
                    path, number, f"the root's order should name TX TY TZ RX RY RZ, found {' '.join(words[1:])!r}"
                )
        elif key == "axis":
            axis = _axis_order(path, number, "".join(words[1:]))
        elif key == "position":
            position = _numbers(path, number, key, words[1:], 3) * metres
        elif key == "orientation":
            orientation = _numbers(path, number, key, words[1:], 3) * unit
    root.axis = rotation(axis, orientation)

    unordered: dict[str, Bone] = {}
    for block in _blocks(path, sections[":bonedata"]):
        bone = _read_bone(path, block, metres, unit)
        if bone.name in unordered or bone.name == ROOT:
            raise _fail(path, block[0][0], f"the bone {bone.name!r} is described twice")
        unordered[bone.name] = bone

    bones = {ROOT: root}
    for block in _blocks(path, sections[":hierarchy"]):
        for number, (parent, *children) in block:
            parent = parent.lower()
            if parent not in bones:
                raise _fail(path, number, f"the parent {parent!r} is not a bone placed by an earlier line")
            for child in (word.lower() for word in children):
                if child not in unordered:
                    raise _fail(path, number, f"unknown bone {child!r}; :bonedata does not describe it")
                if child in bones:
                    raise _fail(path, number, f"the bone {child!r} has two parents")
                unordered[child].parent = parent
                bones[child] = unordered[child]
    return Skeleton(path, bones, position, metres, angle)


def read_amc(path: Path, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Read an AMC motion that belongs to `skeleton`.

    Returns:
        bone -> (F, dofs of the bone), radians and metres.

    Raises:
        InputError: with file and line for a truncated frame, a wrong number of values, an unknown bone, a value that is
            no number, frames that do not follow each other, or a file without frames.
    """
    needed = {name: bone.dof for name, bone in skeleton.bones.items() if bone.dof}
    values: dict[str, list[list[float]]] = {name: [] for name in needed}
    angle, last = skeleton.angle, None
    seen: set[str] = set()

    def close(line: int) -> None:
        missing = [name for name in needed if name not in seen]
        if missing:
            raise _fail(
                path, line, f"frame {last} is truncated: {len(missing)} bones missing, the first is {missing[0]!r}"
            )

    number = 0
    for number, words in _lines(path):
        name = words[0].lower()
        if name.startswith(":") and last is None:
            angle = _AMC_ANGLE_UNITS.get(name, angle)
        elif len(words) == 1 and name.isdecimal():
            frame = int(name)
            if last is not None:
                close(number)
                if frame != last + 1:
                    raise _fail(path, number, f"frame {last + 1} was expected, found frame {frame}")
            last, seen = frame, set()
        elif last is None:
            raise _fail(path, number, f"a frame number was expected before the first bone, found {words[0]!r}")
        elif name not in needed:
            raise _fail(path, number, f"unknown bone {words[0]!r}; {skeleton.path.name} has no such moving bone")
        elif name in seen:
            raise _fail(path, number, f"the bone {name!r} comes twice in frame {last}")
        else:
            dof = needed[name]
            try:
                row = [float(word) for word in words[1:]]
            except ValueError:
                row = []
            if len(row) != len(dof) or not all(map(math.isfinite, row)):
                _numbers(path, number, f"{name} ({' '.join(dof)})", words[1:], len(dof))
            values[name].append(row)
            seen.add(name)
    if last is None:
        raise _fail(path, None, "no frames; expected numbered frames with one line per bone")
    close(number)

    channels: dict[str, np.ndarray] = {}
    for name, rows in values.items():
        turning = [channel in ROTATIONS for channel in needed[name]]
        channels[name] = np.array(rows) * np.where(turning, _ANGLE_UNITS[angle], skeleton.metres)
    return channels
