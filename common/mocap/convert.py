"""Motion capture to the three Human3.6M-format files the scripts read.

The people and their motion are real; the cameras are Human3.6M's or random viewpoints, so the 2D keypoints are exact
projections (`gt`) and projections with synthetic detector noise (`cpn_ft_h36m_dbb`). A clip that leaves the space all
cameras of a person see is cut in pieces, each moved as a whole: feet stay where they stand and speeds are the person's
own.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.cameras_h36m import h36m_cameras, h36m_subjects
from ..datasets.h36m_writing import write_h36m
from ..errors import InputError
from ..geometry.camera import Camera
from . import from_asf, from_bvh
from .asf_amc import read_asf
from .capture_space import CaptureSpace
from .contact_sheet import write_contact_sheet
from .detector_noise import detector_noise
from .joint_names import JointMap, read_map
from .people import FORMATS, Person, assign_names, find_people
from .standing import FPS
from .views import MOST_VIEWS, project_to, random_cameras, view_space

SHORTEST_S = 0.5  # of a piece of a cut clip before cameras that are not Human3.6M's; shorter ones are left out


@dataclass
class Recording:
    """One person's takes as they were read: take -> (F, 32, 3) metres at 50 fps, z up, the floor at z = 0.

    Attributes:
        kinds, units, rates: what the files were, for the table.
        tables: a file and its Human3.6M joint -> the file's joint, where another file's differs.
        notes: what to say, and of which files. refused: why a take is left out, a line each.
    """

    takes: dict[str, np.ndarray] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    rates: set[float] = field(default_factory=set)
    tables: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def read_person(person: Person, fps: float, given: JointMap | None = None) -> Recording:
    """Read all takes of a person.

    Args:
        fps: of AMC files, which do not say theirs. given: what --map says.

    Raises:
        InputError: the skeleton cannot be used, or none of the takes; a single take that cannot is left out.
    """
    record = Recording()
    skeleton = None
    if person.amc and person.asf is not None:
        skeleton = read_asf(person.asf)
        from_asf.add_nose(skeleton)
        record.tables.append((person.asf.name, from_asf.joint_table(skeleton)))
    errors: list[InputError] = []
    for path in person.takes:
        try:
            if path in person.bvh:
                clip = from_bvh.read_clip(path, given)
                found, kind, units, rate = clip.positions, "BVH", clip.units, clip.fps
                if clip.table not in [table for _, table in record.tables]:
                    record.tables.append((path.name, clip.table))
                for note in clip.notes:
                    record.notes.setdefault(note, []).append(path.name)
            else:
                assert skeleton is not None
                found = from_asf.read_clip(path, skeleton, fps)
                kind, units, rate = "ASF/AMC", from_asf.units_of(skeleton), fps
        except InputError as error:
            errors.append(error)
            continue
        record.takes[path.stem] = found
        record.kinds.add(kind)
        record.units.add(units)
        record.rates.add(rate)
    if errors and not record.takes:
        raise errors[0]
    record.refused = [str(error) for error in errors]
    return record


def place_takes(
    takes: dict[str, np.ndarray],
    space: CaptureSpace,
    shortest_s: float = 0.0,
    whose: str = "the",
    files: Mapping[str, Path] | None = None,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Move every take to where all cameras see it, in pieces where that needs them.

    Args:
        takes: take -> (F, 32, 3) metres.
        shortest_s: of a piece, seconds; 0 leaves nothing out.
        whose: the cameras are, for the errors. files: of the takes, for the same.

    Returns:
        action -> (F, 32, 3) float32, "07_01" or "07_01 1", "07_01 2", ...; what was left out, a line each.

    Raises:
        InputError: nothing fits.
    """
    actions: dict[str, np.ndarray] = {}
    lost: list[str] = []
    for take, clip in takes.items():
        where = (files or {}).get(take, take)
        pieces = space.pieces(clip, round(shortest_s * FPS))
        if pieces is None:
            lost.append(f"{where}: a pose of this motion leaves the images of {whose} cameras wherever it is put")
            continue
        names = [take] if len(pieces) == 1 else [f"{take} {number}" for number in range(1, len(pieces) + 1)]
        actions |= {name: piece.astype(np.float32) for name, piece in zip(names, pieces)}
        missing = len(clip) - sum(map(len, pieces))
        if missing:
            seconds = f"{missing / FPS:.1f} of {len(clip) / FPS:.1f} s"
            lost.append(f"{where}: left out {seconds}, which fit into view in no piece of {shortest_s} s")
    if not actions:
        raise InputError(lost[0])
    return actions, lost


def h36m_cameras_of(names: Sequence[str]) -> tuple[dict[str, list[Camera]], bool]:
    """Human3.6M's cameras: a subject's own, of other people S1's, S5's, ... in turn; and whether there are others."""
    known = h36m_subjects()
    others = [name for name in names if name not in known]
    turn = {name: known[i % len(known)] for i, name in enumerate(others)}
    return {name: h36m_cameras(turn.get(name, name)) for name in names}, bool(others)


def convert_folder(
    folder: Path,
    out_dir: Path,
    subjects: str | None = None,
    fps: float = 120.0,
    seed: int = 0,
    *,
    views: int | None = None,
    wanted: str | None = None,
    joint_map: Path | None = None,
    contact_sheet: Path | None = None,
    h36m_names: bool = False,
    flag: str = "--source",
) -> str:
    """Read every motion, place it, project it, write the files.

    Args:
        folder: of .bvh files, or .asf and .amc files, or both.
        subjects: "02=S1,03=anna" or "02,05", see `assign_names`; None for all.
        fps: of AMC files. seed: of the synthetic detector noise and the viewpoints.
        views: how many random viewpoints; None for Human3.6M's four cameras.
        wanted: "amc" or "bvh" to read only that. joint_map: a file for `read_map`.
        contact_sheet: where a picture of the result goes.
        h36m_names: without `subjects`, people are named S1, S5, ... in order. flag: what errors call `folder`.

    Returns:
        The provenance line of the files.

    Raises:
        InputError: naming the flag or the file and line that cannot be used; nothing is written then.
    """
    if not 1 <= fps <= 10_000:
        raise InputError(f"--fps: expected frames per second from 1 to 10000, found {fps}")
    if seed < 0:
        raise InputError(f"--seed: expected zero or more, found {seed}")
    if views is not None and not 1 <= views <= MOST_VIEWS:
        raise InputError(f"--views: expected 1 to {MOST_VIEWS} viewpoints, found {views}")
    if wanted is not None and wanted not in FORMATS:
        raise InputError(f"--format: expected one of {', '.join(FORMATS)}, found {wanted!r}")
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"--out {out_dir}: expected a folder, found a file")
    given = read_map(joint_map) if joint_map is not None else None

    people = find_people(folder, wanted, flag)
    names = assign_names(list(people), subjects, h36m_names)
    cameras, open_layout = h36m_cameras_of(list(names.values()))
    open_layout |= views is not None
    positions: dict[str, dict[str, np.ndarray]] = {}
    exact: dict[str, dict[str, list[np.ndarray]]] = {}
    detected: dict[str, dict[str, list[np.ndarray]]] = {}
    rows: list[list[str]] = []
    shown: list[dict[str, str]] = []
    left_out = 0
    for person, name in names.items():
        record = read_person(people[person], fps, given)
        _say(person, record, shown)
        legacy = views is None and name in h36m_subjects()
        if views is not None:
            stream = np.random.default_rng([seed, zlib.crc32(f"views of {name}".encode())])
            cameras[name] = random_cameras(views, list(record.takes.values()), stream)
        whose = f"{name}'s" if legacy else f"{person}'s"
        files = {path.stem: path for path in people[person].takes}
        shortest = 0.0 if legacy else SHORTEST_S
        space = CaptureSpace(cameras[name]) if views is None else view_space(cameras[name])
        positions[name], lost = place_takes(record.takes, space, shortest, whose, files)
        for line in lost:
            print(f"  {line}")
        left_out += len(record.refused) + len(lost)
        exact[name] = {action: project_to(clip, cameras[name]) for action, clip in positions[name].items()}
        # A stream of random numbers per action: adding or leaving out a motion changes no other one's noise.
        streams = {a: np.random.default_rng([seed, zlib.crc32(f"{name} {a}".encode())]) for a in exact[name]}
        detected[name] = {a: [detector_noise(view, streams[a]) for view in seen] for a, seen in exact[name].items()}
        rows.append(_row(person, name, record, positions[name]))
    _print_table(rows)
    if left_out:
        print(f"{left_out} takes were left out or cut short, see above")
    who = ", ".join(person if person == name else f"{person} as {name}" for person, name in names.items())
    seen_by = "cameras are Human3.6M's" if views is None else f"{views} random viewpoints per person"
    provenance = (
        f"motion capture from {folder.resolve().name}: {who}; "
        f"{seen_by}, detector-like 2D is synthetic noise (seed {seed})"
    )
    keypoints = {"gt": exact, "cpn_ft_h36m_dbb": detected}
    if open_layout:
        write_h36m(out_dir, positions, keypoints, provenance, synthetic=False, cameras=cameras, fps=FPS)
    else:
        write_h36m(out_dir, positions, keypoints, provenance, synthetic=False)
    if contact_sheet is not None:
        write_contact_sheet(contact_sheet, exact, cameras)
        print(f"wrote {contact_sheet}: frames of every person as its cameras see them")
    return provenance


def _say(person: str, record: Recording, shown: list[dict[str, str]]) -> None:
    """Print a person's joint table, unless it was printed before, and what was done to the files."""
    for file, table in record.tables:
        if table in shown:
            continue
        shown.append(table)
        print(f"joints of {file} and the like, Human3.6M <- file:")
        central = [ours for ours in table if ours[0] not in "LR" or ours[1:2].islower()]
        for ours in central:
            print(f"  {ours:<10} <- {table[ours]}")
        for ours in [ours for ours in table if ours not in central and ours[0] == "L"]:
            print(f"  {ours:<10} <- {table[ours]:<24} R{ours[1:]:<10} <- {table.get('R' + ours[1:], 'none')}")
    for note, files in record.notes.items():
        many = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        print(f"{person}: {note} ({many})")
    for line in record.refused:
        print(f"{person}: left out a take: {line}")


def _row(person: str, name: str, record: Recording, actions: dict[str, np.ndarray]) -> list[str]:
    frames = sum(len(clip) for clip in actions.values())
    return [
        person, name, "+".join(sorted(record.kinds)), ", ".join(sorted(record.units)),
        ", ".join(f"{rate:g}" for rate in sorted(record.rates)), str(len(record.takes)), str(len(actions)), str(frames),
        f"{frames / FPS:.1f}",
    ]  # fmt: skip


def _print_table(rows: list[list[str]]) -> None:
    """Per person what was read and what was made of it, at 50 frames a second."""
    head = ["person", "name", "format", "units", "fps", "takes", "clips", "frames", "seconds"]
    whole = [sum(float(row[i]) for row in rows) for i in range(5, 9)]
    total = ["all", "", "", "", "", *(f"{value:.0f}" for value in whole[:3]), f"{whole[3]:.1f}"]
    table = [head, *rows, total] if len(rows) > 1 else [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        texts = [text.ljust(w) if i < 4 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths))]
        print("  ".join(texts).rstrip())
