"""Which joint of a BVH file is which of Human3.6M's, by its name.

Known are the names of CMU's conversion by cgspeed, Mixamo, MotionBuilder, Biovision, 3ds Max Biped, Unreal, VRM,
Poser, Rigify, SMPL and plain ones such as `LHip` or `left_knee`, in any case and behind any prefix.
"""

import json
import os.path
import re
from pathlib import Path

from ..errors import InputError
from ..geometry.skeleton import H36M_17
from .bvh import END, Bvh

# Human3.6M joint without L or R -> names without side, case and punctuation, the surest first.
SIDED = {
    "Hip": ("upleg", "upperleg", "thigh", "hip"),
    "Knee": ("knee", "shin", "calf", "lowerleg", "lowleg", "leg"),
    "Foot": ("ankle", "foot"),
    "ToeBase": ("toebase", "toe", "toe0", "toes", "ball", "foot"),
    "Shoulder": ("upperarm", "uparm", "shldr", "arm", "shoulder"),
    "Elbow": ("elbow", "forearm", "lowerarm", "lowarm"),
    "Wrist": ("wrist", "hand"),
}
THORAX = ("neck", "neckbase", "lowerneck", "neck0", "neck1")
HEAD_END = ("headend", "headtop", "headtopend", "headnub", "headsite", "topofhead")
OPTIONAL = ("LToeBase", "RToeBase", "LToeSite", "RToeSite")
MAPPED = (*(joint for joint in H36M_17.joints if joint != "Hip"), *OPTIONAL)  # Hip is midway between the hips
_SIDES = {"left": "L", "l": "L", "right": "R", "r": "R"}
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

JointMap = dict[str, tuple[str, ...]]  # our joint -> their joints, whose mean it is


def _tokens(name: str) -> list[str]:
    """Lower-case words and numbers of a name, what stands before a colon left out."""
    return [str(int(t)) if t.isdigit() else t.lower() for t in _TOKEN.findall(re.split(r"[:|]", name)[-1])]


def plain_names(bvh: Bvh) -> dict[tuple[str, str], str]:
    """(side "L", "R" or "", name without side, prefix, case and punctuation) -> the file's first joint of that name."""
    tokens = {name: _tokens(name) for name, joint in bvh.joints.items() if not name.endswith(END)}
    shared = os.path.commonprefix([words for name, words in tokens.items() if name != bvh.root])
    known = {name for names in SIDED.values() for name in names}
    found: dict[tuple[str, str], str] = {}
    for name, words in tokens.items():
        if shared and words[: len(shared)] == shared and len(words) > len(shared):
            words = words[len(shared) :]
        sides = [word for word in words if word in _SIDES]
        side, core = "", "".join(words)
        if len(sides) == 1:
            side, core = _SIDES[sides[0]], "".join(word for word in words if word not in _SIDES)
        else:  # lhip, leftknee
            for word, letter in _SIDES.items():
                if core.startswith(word) and core.removeprefix(word) in known:
                    side, core = letter, core.removeprefix(word)
                    break
        found.setdefault((side, core), name)
    return found


def match_joints(bvh: Bvh, given: JointMap | None = None) -> JointMap:
    """Human3.6M joint -> the joints of the file whose mean it is.

    Args:
        given: what `read_map` returned; it goes before the names.

    Returns:
        Every joint of H36M_17 but Hip and Neck/Nose, and the toes that the file has; Neck/Nose where it was given.

    Raises:
        InputError: a joint is not found; it lists the file's joints.
    """
    found = plain_names(bvh)
    names: JointMap = {ours: tuple(_resolve(bvh, their) for their in theirs) for ours, theirs in (given or {}).items()}
    for joint, candidates in SIDED.items():
        for side in "LR":
            present = [found[side, name] for name in candidates if (side, name) in found]
            taken = [name for theirs in names.values() for name in theirs]
            if present and side + joint not in names and not (joint == "ToeBase" and present[0] in taken):
                names[side + joint] = (present[0],)
    for side in "LR":
        toe = names.get(f"{side}ToeBase", names.get(f"{side}Foot", ("",)))[0]
        if f"{side}ToeSite" not in names and toe + END in bvh.joints:
            names[f"{side}ToeSite"] = (toe + END,)
    if "Thorax" not in names:
        necks = [found["", name] for name in THORAX if ("", name) in found]
        shoulders = names.get("LShoulder", ()) + names.get("RShoulder", ())
        if necks or shoulders:
            names["Thorax"] = (necks[0],) if necks else shoulders
    if "Head" not in names:
        tops = [found["", name] for name in HEAD_END if ("", name) in found]
        heads = [name for head in [found.get(("", "head"))] if head for name in (head + END, head)]
        if tops or heads:
            names["Head"] = next((name,) for name in tops + heads if name in bvh.joints)
    if "Spine" not in names and {"LHip", "RHip", "Thorax"} <= names.keys():
        names["Spine"] = (_middle(bvh, names),)
    lacking = [joint for joint in MAPPED if joint not in names and joint not in (*OPTIONAL, "Neck/Nose")]
    if lacking:
        raise InputError(
            f"{bvh.path}: no joint found for {', '.join(lacking)} by name; name them in a file for --map, a line "
            f"'{lacking[0]} = THEIRS' each; its joints: {', '.join(bvh.joints)}"
        )
    return names


def _middle(bvh: Bvh, names: JointMap) -> str:
    """The joint between hips and thorax that is nearest to the middle of the torso in the rest pose."""
    rest = bvh.rest()
    ends = [sum(rest[name] for name in names[joint]) / len(names[joint]) for joint in ("LHip", "RHip", "Thorax")]
    middle = ((ends[0] + ends[1]) / 2 + ends[2]) / 2
    between = bvh.chain(names["Thorax"][0])[1:-1] or [bvh.root]
    return min(between, key=lambda name: float(((rest[name] - middle) ** 2).sum()))


def _resolve(bvh: Bvh, name: str) -> str:
    for same in (str, str.lower, lambda n: n.split(":")[-1].lower()):
        for joint in bvh.joints:
            if same(joint) == same(name):
                return joint
    raise InputError(f"--map: {bvh.path} has no joint {name!r}; its joints: {', '.join(bvh.joints)}")


def read_map(path: Path) -> JointMap:
    """Read a file for --map: lines `LHip = LeftUpLeg`, several joints after a comma mean their middle; or such JSON.

    Raises:
        InputError: naming the file and line that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--map {path}: cannot be read ({error})") from error
    pairs: list[tuple[str, object, str]] = []
    if text.lstrip().startswith("{"):
        try:
            pairs = [(ours, theirs, f"{path}") for ours, theirs in json.loads(text).items()]
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {error.lineno}: expected JSON, found an error: {error.msg}") from error
    else:
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#", 1)[0].strip()
            ours, equals, theirs = line.partition("=")
            if line and not equals:
                raise InputError(f"{path}, line {number}: expected 'LHip = LeftUpLeg', found {line!r}")
            if line:
                pairs.append((ours.strip(), theirs, f"{path}, line {number}"))
    names: JointMap = {}
    for key, value, where in pairs:
        parts = value.split(",") if isinstance(value, str) else value
        if key not in MAPPED or key in names:
            raise InputError(f"{where}: expected each of {', '.join(MAPPED)} at most once, found {key!r}")
        if not isinstance(parts, list) or not parts or not all(isinstance(p, str) and p.strip() for p in parts):
            raise InputError(f"{where}: expected the name of a joint for {key}, found {value!r}")
        names[key] = tuple(part.strip() for part in parts)
    return names
