"""Who is in a folder of motion capture: skeletons, motions and BVH files put together by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets.cameras_h36m import h36m_subjects
from ..errors import InputError

FORMATS = ("amc", "bvh")


@dataclass
class Person:
    """One person's files.

    Attributes:
        asf: the skeleton of the `amc` files, where there are any.
        amc, bvh: motions, in order of their paths; no take is in both.
    """

    name: str
    asf: Path | None = None
    amc: list[Path] = field(default_factory=list)
    bvh: list[Path] = field(default_factory=list)

    @property
    def takes(self) -> list[Path]:
        return sorted(self.amc + self.bvh)


def find_people(folder: Path, wanted: str | None = None, flag: str = "--source") -> dict[str, Person]:
    """All people below `folder`.

    An AMC motion belongs to the skeleton its name starts with, the one in its own folder first, else to the only
    skeleton in its folder. So does a BVH file that has such a skeleton; one without is of the person before the number
    in its name (05_01), of its folder below `folder`, or of `folder`.

    Args:
        wanted: one of `FORMATS` to read only that; None for both, where of a take in both formats AMC is taken.
        flag: what the errors call the folder.

    Returns:
        name -> the person, in order of their first files.
    """
    if not folder.is_dir():
        raise InputError(f"{flag} {folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    by_kind = {kind: [path for path in files if path.suffix.lower() == kind] for kind in (".asf", ".amc", ".bvh")}
    skeletons, motions, bvh = by_kind.values()
    if wanted == "amc" or not bvh:
        lacking = [kind for kind, found in ((".asf", skeletons), (".amc", motions)) if not found]
        other = " or .bvh" if wanted is None else ""
        if wanted == "bvh":
            raise InputError(f"{flag} {folder}: no .bvh files; leave out --format bvh to read others")
        if lacking:
            what = " and ".join(lacking)
            raise InputError(
                f"{flag} {folder}: no {what}{other} files; expected a skeleton and its motions per subject"
            )
    people: dict[str, Person] = {}
    for path in skeletons:
        if path.stem in people:
            raise InputError(f"{path}: a second skeleton of this name, beside {people[path.stem].asf}; rename it")
        people[path.stem] = Person(path.stem, path)
    for path in motions if wanted != "bvh" else ():
        owner = _owner(path, skeletons)
        if owner is None:
            raise InputError(f"{path}: no skeleton for this motion; put its .asf beside it")
        _add(people[owner.stem].amc, path, f"of skeleton {owner.name}")
    for path in bvh if wanted != "amc" else ():
        owner = _owner(path, skeletons)
        name = owner.stem if owner else _person_of(path, folder)
        person = people.setdefault(name, Person(name))
        _add(person.bvh, path, f"of person {name}")
    for person in people.values():
        _one_format_per_take(person)
    people = _with_motion(people, wanted, by_kind)
    return dict(sorted(people.items(), key=lambda item: item[1].asf or item[1].takes[0]))


def _add(takes: list[Path], path: Path, whose: str) -> None:
    if any(other.stem == path.stem for other in takes):
        raise InputError(f"{path}: a second motion named {path.stem} {whose}; rename one")
    takes.append(path)


def _owner(path: Path, skeletons: list[Path]) -> Path | None:
    """The skeleton a motion belongs to."""
    beside = [other for other in skeletons if other.parent == path.parent]
    named = [s for s in skeletons if path.stem.startswith(s.stem) and not path.stem[len(s.stem) :][:1].isalnum()]
    owners = [other for other in named if other in beside] or (beside if len(beside) == 1 else named)
    return max(owners, key=lambda other: len(other.stem), default=None)


def _person_of(path: Path, folder: Path) -> str:
    """The person of a BVH file without a skeleton file."""
    numbered = re.fullmatch(r"(\d+)[_-]\d+.*", path.stem)
    if numbered:
        return numbered[1]
    named = re.search(r"(subject|actor|person)[_-]?\d+", path.stem, re.IGNORECASE)
    if named:
        return named[0]
    if path.parent != folder:
        return path.parent.name
    counted = re.fullmatch(r"(.+?)[_-]\d+", path.stem)
    return counted[1] if counted else folder.resolve().name


def _one_format_per_take(person: Person) -> None:
    """Leave out the BVH files whose take is there as AMC, too."""
    amc = {path.stem for path in person.amc}
    both = [path.stem for path in person.bvh if path.stem in amc]
    if both:
        print(f"{person.name}: {', '.join(both)} in both formats, taken from ASF/AMC (--format bvh takes the other)")
        person.bvh = [path for path in person.bvh if path.stem not in amc]


def _with_motion(people: dict[str, Person], wanted: str | None, by_kind: dict[str, list[Path]]) -> dict[str, Person]:
    """Those that have a motion; a skeleton without any is refused unless its motions are in the other format."""
    without = [person for person in people.values() if not person.takes]
    elsewhere = {"amc": ".bvh", "bvh": ".amc"}.get(wanted or "", "")
    for person in without:
        others = [p for p in by_kind.get(elsewhere, []) if person.asf and _owner(p, [person.asf]) is not None]
        if wanted != "bvh" and not others:
            raise InputError(f"{person.asf}: no .amc motion belongs to this skeleton; name the others with --subjects")
        print(f"{person.name}: left out, no {wanted} file")
    return {name: person for name, person in people.items() if person.takes}


def assign_names(found: Sequence[str], wanted: str | None, h36m: bool = False) -> dict[str, str]:
    """Which captured person gets which name in the files.

    Args:
        found: the people in the folder.
        wanted: what --subjects says, "02=S1,03=anna" or "02,05"; None for everyone.
        h36m: everyone is to be a subject of Human3.6M, in order, where `wanted` is None; else they keep their names.
    """
    known = h36m_subjects()
    if wanted is None and not h36m:
        return {person: person for person in found}
    if wanted is None:
        if len(found) > len(known):
            raise InputError(
                f"--subjects: {len(found)} skeletons for {len(known)} subjects; name up to {len(known)}, "
                f"e.g. --subjects {found[0]}={known[0]},{found[1]}={known[1]}, or give --source for --asf-amc"
            )
        return dict(zip(found, known))
    names: dict[str, str] = {}
    for pair in wanted.split(","):
        person, equals, subject = (part.strip() for part in pair.partition("="))
        if not person or bool(equals) != bool(subject):
            raise InputError(f"--subjects: expected names such as 02,05 or pairs such as 02=S1,03=S5, found {pair!r}")
        if person not in found:
            raise InputError(f"--subjects: nobody is named {person!r}; found {', '.join(found)}")
        subject = subject or person
        if person in names or subject in names.values():
            raise InputError(f"--subjects: {pair!r} names a person or a subject a second time")
        names[person] = subject
    return names
