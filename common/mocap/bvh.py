"""BVH motion capture files: a hierarchy of joints with their offsets, then one line of channel values per frame.

Written from the public description of the format (Biovision; the channels as Blender and MotionBuilder read them).
"""

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_text
from .asf_amc import rotation
from .kinematics import Motion

END = " End"  # what an End Site is called: its parent's name and this
_CHANNELS = {f"{axis}{kind}".lower(): (axis, kind) for kind in ("position", "rotation") for axis in "xyz"}
_STATEMENT = re.compile(r"[{}]|(?<!\S)(OFFSET|CHANNELS)(?!\S)", re.IGNORECASE)
_RATE_SLIP = 2e-4  # frame times are printed with few digits: .0083333 s is 120 frames a second


@dataclass
class Joint:
    """One joint, or an End Site.

    Attributes:
        parent: "" for the root.
        offset: (3,) file units, from the parent in the rest pose.
        channels: (axis, "position" or "rotation") in the file's order. A position takes the offset's place, unless a
            joint's positions are 0 all through the file.
        line: where it stands in the file.
    """

    parent: str
    offset: np.ndarray
    channels: tuple[tuple[str, str], ...]
    line: int


@dataclass
class Bvh:
    """A BVH file. `joints` holds every parent before its children, the root first.

    Attributes:
        values: (F, C) channel values, all joints' channels in turn; degrees and file units.
        fps: frames a second.
    """

    path: Path
    joints: dict[str, Joint]
    values: np.ndarray
    fps: float

    @property
    def root(self) -> str:
        return next(iter(self.joints))

    def columns(self) -> dict[str, slice]:
        """Joint -> its columns of `values`."""
        ends = np.cumsum([len(joint.channels) for joint in self.joints.values()])
        return {name: slice(end - len(self.joints[name].channels), end) for name, end in zip(self.joints, ends)}

    def chain(self, name: str) -> list[str]:
        """A joint and its ancestors, the root last."""
        names = [name]
        while self.joints[names[-1]].parent:
            names.append(self.joints[names[-1]].parent)
        return names

    def children(self, name: str) -> list[str]:
        return [child for child, joint in self.joints.items() if joint.parent == name]

    def rest(self) -> dict[str, np.ndarray]:
        """Where each joint is when nothing turns, (3,) file units."""
        places: dict[str, np.ndarray] = {}
        for name, joint in self.joints.items():
            places[name] = joint.offset + places[joint.parent] if joint.parent else np.zeros(3)
        return places


def _fail(path: Path, line: int | None, what: str) -> InputError:
    return InputError(f"{path}{f', line {line}' if line else ''}: {what}")


def _words(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Statements with their line numbers, several of a line one by one."""
    for number, line in enumerate(lines, 1):
        for part in _STATEMENT.sub(r"\n\g<0>", line).replace("{", "{\n").replace("}", "}\n").split("\n"):
            if part.split():
                yield number, part.split()


def _offset(path: Path, line: int, words: list[str]) -> np.ndarray:
    try:
        offset = np.array([float(word) for word in words])
    except ValueError:
        offset = np.array([np.nan])
    if len(offset) != 3 or not np.isfinite(offset).all():
        raise _fail(path, line, f"OFFSET should be 3 finite numbers, found {' '.join(words) or 'none'!r}")
    return offset


def _channels(path: Path, line: int, words: list[str]) -> tuple[tuple[str, str], ...]:
    names = [word.lower() for word in words[1:]]
    if not words or words[0] != str(len(names)):
        raise _fail(path, line, f"CHANNELS should be a count and as many names, found {' '.join(words) or 'none'!r}")
    unknown = [word for word, name in zip(words[1:], names) if name not in _CHANNELS]
    if unknown or len(set(names)) < len(names):
        expected = "expected each of Xposition ... Zrotation at most once"
        raise _fail(path, line, f"{expected}, found {' '.join(unknown or words[1:])!r}")
    return tuple(_CHANNELS[name] for name in names)


def _hierarchy(path: Path, lines: list[str]) -> dict[str, Joint]:
    joints: dict[str, Joint] = {}
    stack: list[str] = []  # the joints whose braces are open
    new: str | None = None  # named, its brace not yet open
    if not lines or not any(line.strip().upper() == "HIERARCHY" for line in lines):
        raise _fail(path, 1, "a BVH file starts with HIERARCHY, found another text; is this a BVH file?")
    for number, words in _words(lines):
        key = words[0].upper()
        if (new is not None) != (key == "{"):
            raise _fail(path, number, f"'{{' belongs after a joint's name and only there, found {' '.join(words)!r}")
        if key == "{" and new is not None:
            stack, new = [*stack, new], None
        elif key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") != (not stack):
                one = "a second ROOT; one person per file can be read" if key == "ROOT" else f"{key} outside of a ROOT"
                raise _fail(path, number, one)
            if key == "ROOT" and joints:
                raise _fail(path, number, "a second ROOT; one person per file can be read: split the file")
            new = stack[-1] + END if key == "END" else " ".join(words[1:])
            if not new or new in joints:
                raise _fail(path, number, f"a joint without a name or named twice, found {new!r}")
            joints[new] = Joint(stack[-1] if stack else "", np.zeros(3), (), number)
        elif key == "}" and stack:
            stack.pop()
        elif key == "OFFSET" and stack:
            joints[stack[-1]].offset = _offset(path, number, words[1:])
        elif key == "CHANNELS" and stack:
            joints[stack[-1]].channels = _channels(path, number, words[1:])
        elif key != "HIERARCHY" or stack:
            raise _fail(path, number, f"ROOT, JOINT, End Site, OFFSET or CHANNELS was expected, found {words[0]!r}")
    if stack or not joints:
        raise _fail(path, len(lines), f"{len(stack)} braces are open where MOTION begins" if stack else "no ROOT")
    return joints


def _header(path: Path, line: int, text: str, key: str) -> float:
    name, _, value = text.partition(":")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if " ".join(name.lower().split()) != key.lower() or not 0 < number < math.inf:
        raise _fail(path, line, f"'{key}: a positive number' was expected, found {text.strip()[:60]!r}")
    return number


def _values(path: Path, lines: list[str], first: int, frames: int, channels: int) -> np.ndarray:
    """(frames, channels) from the lines after number `first`; read as one, line by line only to name a bad one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(" ".join(lines), sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.zeros(0)
    if len(values) == frames * channels and np.isfinite(values).all():
        return values.reshape(frames, channels)
    found = 0
    for number, line in enumerate(lines, first + 1):
        words = line.split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != channels or not all(map(math.isfinite, row)):
            found_here = f"{len(words)} words, {_head(line)}"
            raise _fail(path, number, f"a frame should be {channels} finite numbers, found {found_here}")
        found += 1
    raise _fail(path, first + len(lines), f"'Frames:' says {frames}, found {found}; is this a whole file?")


def _head(line: str) -> str:
    bad = next((word for word in line.split() if not word.replace(".", "").replace("-", "").isdigit()), "")
    return f"the first that is none is {bad!r}" if bad else f"they start with {line.strip()[:30]!r}"


def read_bvh(path: Path) -> Bvh:
    """Read a BVH file. Raises `InputError` naming file and line for anything that cannot be used."""
    lines = read_text(path, "a BVH text file").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    joints = _hierarchy(path, lines[:start])
    if start is None:
        raise _fail(path, len(lines), "the file ends without MOTION; is this a whole BVH file?")
    rows = [i for i in range(start + 1, len(lines)) if lines[i].strip()][:2]
    if len(rows) < 2:
        raise _fail(path, len(lines), "'Frames:' and 'Frame Time:' were expected after MOTION, found the file's end")
    frames = _header(path, rows[0] + 1, lines[rows[0]], "Frames")
    seconds = _header(path, rows[1] + 1, lines[rows[1]], "Frame Time")
    channels = sum(len(joint.channels) for joint in joints.values())
    values = _values(path, lines[rows[1] + 1 :], rows[1] + 1, int(frames), channels)
    fps = 1 / seconds
    whole = round(fps)
    if not 1 <= fps <= 10_000:
        raise _fail(path, rows[1] + 1, f"Frame Time should be 0.0001 to 1 second, found {seconds:g}")
    return Bvh(path, joints, values, whole if abs(fps - whole) < _RATE_SLIP * fps else fps)


def turn(bvh: Bvh, names: set[str], start: int, stop: int) -> Motion:
    """Forward kinematics of frames start to stop: the global rotation of `names` (with all their ancestors).

    A BVH's channels turn from the left: "Zrotation Yrotation Xrotation" is Rz Ry Rx for column vectors.
    """
    values, columns = bvh.values[start:stop], bvh.columns()
    rotations: dict[str, np.ndarray] = {}
    offsets: dict[str, np.ndarray] = {}
    for name, joint in bvh.joints.items():
        if name not in names:
            continue
        own = values[:, columns[name]]
        turning = [i for i, (_, kind) in enumerate(joint.channels) if kind == "rotation"][::-1]
        local = rotation(tuple(joint.channels[i][0] for i in turning), np.radians(own[:, turning]))
        rotations[name] = rotations[joint.parent] @ local if joint.parent else local
        moving = [i for i, (_, kind) in enumerate(joint.channels) if kind == "position"]
        if moving and (name == bvh.root or bvh.values[:, columns[name]][:, moving].any()):
            offsets[name] = np.broadcast_to(joint.offset, (len(own), 3)).copy()
            offsets[name][:, ["xyz".index(joint.channels[i][0]) for i in moving]] = own[:, moving]
    root = offsets.pop(bvh.root, np.zeros((len(values), 3)))
    return Motion(root, rotations, offsets)


def places(bvh: Bvh, motion: Motion) -> dict[str, np.ndarray]:
    """Where the joints of `motion` and their End Sites are, (F, 3) file units in the file's axes."""
    found = {bvh.root: motion.root}
    for name, joint in bvh.joints.items():
        if joint.parent in motion.rotations and joint.parent in found:
            offset = motion.offsets.get(name, joint.offset)
            found[name] = found[joint.parent] + (motion.rotations[joint.parent] @ offset[..., None])[..., 0]
    return found
