"""From the people of a file, as numbers, to `Detections`: what all formats have in common."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.keypoints import LARGEST_PIXELS, seen_joints
from ..errors import InputError
from ..geometry.skeleton import JOINT_ORDERS
from .detections import Detections
from .orders import order_by_count, order_by_names
from .reader import Asked
from .source import Source, listed

MOST_FRAMES = 5_000_000  # a day and a half at 30 frames a second
NORMALISED = 4  # coordinates all nearer to zero are no pixels
MOST_NEGATIVE = 0.25  # of the coordinates; more of them are not from 0 to 1
LARGEST_TRACK = 2**53


@dataclass(frozen=True)
class Person:
    """One person in one frame.

    Attributes:
        frame: as the file numbers it. values: (K, 2) coordinates, or (K, 3) with a confidence. track: the file's number
            of the person.
    """

    frame: int
    values: np.ndarray
    track: int | None = None


@dataclass(frozen=True)
class About:
    """What a file says beside its people.

    Attributes:
        order: a key of `JOINT_ORDERS` where the format or the user says it. names: of the joints where the file does;
            else their number decides.
        listed: the numbers of the frames that the file lists, with or without people.
        labelled: the third number may be COCO's visibility 0, 1 or 2 in place of a confidence.
        normalised: coordinates are 0 to 1 whatever they look like.
    """

    format: str
    order: str | None = None
    names: Sequence[str] | None = None
    listed: Iterable[int] = ()
    labelled: bool = False
    normalised: bool = False
    size: tuple[int, int] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()


def assemble(source: Source, people: list[Person], asked: Asked, about: About) -> Detections:
    """Put people in order, check their numbers and bring them to pixels.

    Raises:
        InputError: nobody in any frame, unequal or unknown numbers of joints, coordinates beyond all images, ones from
            0 to 1 without a known image size, too many frames.
    """
    place, notes = source.place, list(about.notes)
    empty = sum(len(person.values) == 0 for person in people)
    people = sorted((person for person in people if len(person.values)), key=lambda person: person.frame)
    frames = sorted({*about.listed, *(person.frame for person in people)})
    if not people:
        raise InputError(
            f"{place}: expected people with keypoints, found none in {len(frames)} frames; look at the video"
        )
    counts = sorted({len(person.values) for person in people})
    if len(counts) > 1:
        odd = f"found {counts[0]} and {counts[-1]}"
        raise InputError(f"{place}: expected as many joints for every person, {odd}; keep files of two models apart")
    first, length = frames[0], frames[-1] - frames[0] + 1
    if length > MOST_FRAMES:
        found = f"numbers from {first} to {frames[-1]}"
        raise InputError(f"{place}: expected up to {MOST_FRAMES} frames, found {found}; split the video or renumber it")
    values = np.stack([_three(person.values) for person in people])  # (N, K, 3)
    pixels, confidence, said = _checked(values, about.labelled, place, [person.frame for person in people])
    notes += said
    order, columns, said = _order(pixels, confidence > 0, about, place)
    notes += said
    pixels, confidence = _columns(pixels, columns), _columns(confidence, columns)
    seen = confidence > 0
    pixels, size, said = _scaled(pixels, seen, asked, about, place)
    notes += said
    if first:
        notes.append(f"frame numbers begin at {first} in the file, here at 0")
    kept = np.asarray(seen.any(1))
    if not bool(kept.all()) or empty:
        notes.append(f"{int((~kept).sum()) + empty} people without a joint seen were left out")
    if not kept.any():
        raise InputError(f"{place}: expected people, found no joint seen in {length} frames; use another video")
    frame = np.array([person.frame - first for person in people], dtype=np.int64)[kept]
    if vacant := length - len(np.unique(frame)):
        notes.append(f"{vacant} of {length} frames without a person")
    if (most := int(np.bincount(frame).max())) > 1:
        notes.append(f"up to {most} people in a frame")
    track, said = _tracks(people, kept, frame)
    notes += said
    kept_pixels, kept_confidence = pixels[kept], confidence[kept]
    return Detections(
        order, frame, kept_pixels, kept_confidence, track, length, size, about.fps, about.format, tuple(notes)
    )


def _three(values: np.ndarray) -> np.ndarray:
    """(K, 2 or 3) -> (K, 3), with confidence 1 where there is none."""
    return values if values.shape[1] == 3 else np.concatenate([values, np.ones((len(values), 1))], 1)


def _order(
    pixels: np.ndarray, seen: np.ndarray, about: About, place: str
) -> tuple[str, Sequence[int | None], list[str]]:
    """The order of the joints, per joint of it where it stands in the file or None, and notes."""
    count = pixels.shape[1]
    if about.order is not None:
        if count != (expected := len(JOINT_ORDERS[about.order].joints)):
            name = JOINT_ORDERS[about.order].name
            raise InputError(f"{place}: expected {expected} joints a person ({name}), found {count}; name its format")
        return about.order, range(count), []
    if about.names is not None:
        if count != len(about.names):
            raise InputError(f"{place}: expected {len(about.names)} joints as it names them, found {count} a person")
        order, columns, unused = order_by_names(about.names, place)
        lacking = [joint for joint, column in zip(JOINT_ORDERS[order].joints, columns) if column is None]
        notes = [f"joints that are not used: {listed(unused)}"] if unused else []
        return order, columns, notes + ([f"joints that the file lacks: {listed(lacking)}"] if lacking else [])
    order, used = order_by_count(pixels, seen, place)
    notes = [f"the first {used} of {count} joints are used, the body's"] if used < count else []
    if order == "coco":
        notes.append(f"{used} joints without names, taken to be in COCO order")
    return order, range(used), notes


def _columns(values: np.ndarray, columns: Sequence[int | None]) -> np.ndarray:
    """(N, K, ...) -> the joints of the order, 0 where the file lacks one."""
    chosen = values[:, [column or 0 for column in columns]]
    chosen[:, [column is None for column in columns]] = 0
    return chosen


def _checked(
    values: np.ndarray, labelled: bool, place: str, frames: list[int]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pixels (N, K, 2), confidence (N, K) from 0 to 1, both 0 where missing, and notes."""
    seen, notes = seen_joints(values), []
    pixels = np.where(seen[..., None], values[..., :2], 0.0)
    absurd = np.asarray((np.abs(pixels) > LARGEST_PIXELS).any(-1))  # (N, K)
    if absurd.any():
        person, joint = np.argwhere(absurd)[0]
        what = f"{absurd.any(1).sum()} people with one beyond, the first in frame {frames[person]}, joint {joint}"
        raise InputError(f"{place}: expected coordinates up to {LARGEST_PIXELS:g} pixels, found {what}; leave them out")
    confidence = np.where(seen, np.nan_to_num(values[..., 2]), 0.0)
    if labelled and np.isin(confidence, (0, 1, 2)).all() and (confidence == 2).any():
        notes.append("labelled by hand: joints that are hidden count half")
        confidence = confidence / 2
    if (largest := confidence.max()) > 1:
        notes.append(f"confidences above 1 were cut to 1, the largest is {largest:.3g}")
    return pixels, confidence.clip(0, 1), notes


def _scaled(
    pixels: np.ndarray, seen: np.ndarray, asked: Asked, about: About, place: str
) -> tuple[np.ndarray, tuple[int, int] | None, list[str]]:
    """Pixels (N, K, 2), the image's size where it is known, and notes."""
    size, notes = asked.size or about.size, []
    if asked.size and about.size and asked.size != about.size:
        theirs, ours = (f"{width} x {height}" for width, height in (about.size, asked.size))
        notes.append(f"the file says that the image is {theirs}, taken to be {ours} as asked")
    shown = pixels[seen]
    if len(shown) == 0 or not (about.normalised or np.abs(shown).max() <= NORMALISED):
        return pixels, size, notes
    if (below := float((shown < 0).mean())) > MOST_NEGATIVE:
        found = f"{shown.min():.3g} to {shown.max():.3g}, {below:.0%} of them below 0"
        mend = "3D in metres, or -1 to 1 (OpenPose: --keypoint_scale 0)? export pixels"
        raise InputError(f"{place}: expected pixels or coordinates from 0 to 1, found {found}; {mend}")
    if size is None:
        found = f"{shown.min():.3g} to {shown.max():.3g}"
        raise InputError(f"{place}: expected pixels, found numbers from {found}; add --size WxH, the image's pixels")
    scaled = pixels * np.array(size, dtype=np.float64)
    if np.abs(scaled).max() > LARGEST_PIXELS:
        raise InputError(f"{place}: expected coordinates from 0 to 1, found {np.abs(shown).max():.3g}; name its format")
    return scaled, size, [*notes, f"coordinates from 0 to 1, multiplied by {size[0]} x {size[1]}"]


def _tracks(people: list[Person], kept: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray | None, list[str]]:
    """The tracks (N,) of the people kept, and notes. They are worth nothing where two people of a frame share one."""
    tracks = [person.track for person, keep in zip(people, kept) if keep]
    known = [track for track in tracks if track is not None and abs(track) < LARGEST_TRACK]
    shared = len(known) - len(set(zip(frame.tolist(), tracks)))
    if len(known) == len(tracks) and shared == 0:
        return np.array(known, dtype=np.int64), []
    if len(known) < len(tracks):
        what = f"{len(tracks) - len(known)} of {len(tracks)} people without a track"
    else:
        what = f"{shared} people share a track with another in their frame"
    return None, [f"{what}, tracks are not used"] if known else []
