"""ASF/AMC motion capture to the three Human3.6M-format files the scripts read.

The people and their motion are real; the cameras are Human3.6M's, so the 2D keypoints are exact projections (`gt`) and
projections with synthetic detector noise (`cpn_ft_h36m_dbb`). A clip that leaves the space all four cameras see is cut
in pieces, each moved as a whole: feet stay where they stand and speeds are the person's own.
"""

import zlib
from pathlib import Path

import numpy as np

from ..datasets.cameras_h36m import h36m_cameras, h36m_subjects
from ..datasets.h36m import project_h36m, write_h36m
from ..errors import InputError
from ..geometry.skeleton import H36M_32
from .asf_amc import ROOT, Bone, Skeleton, read_amc, read_asf
from .capture_space import CaptureSpace
from .detector_noise import detector_noise
from .kinematics import Motion, bone_ends, move, resample

FPS = 50.0  # Human3.6M's
FLOOR_PERCENTILE = 1.0  # of the lowest toe over a clip: single frames that dip below are capture errors
MIN_HEIGHT_M, MAX_HEIGHT_M = 0.5, 2.5
NOSE = "nose"  # a bone added to every skeleton, see `add_nose`

# Human3.6M-32 joint (without L or R) -> the bones whose end it is, mirrored ones without l or r; the first one that the
# skeleton has. The wrist is the end of CMU's "wrist" bone, which is the last third of the forearm.
SIDED = {
    "Hip": ("hipjoint",),
    "Knee": ("femur",),
    "Foot": ("tibia",),
    "ToeBase": ("foot",),
    "ToeSite": ("toes", "foot"),
    "Shoulder": ("clavicle",),
    "Elbow": ("humerus",),
    "Wrist": ("wrist",),
    "Hand": ("wrist",),
    "Thumb": ("thumb", "hand", "wrist"),
    "HandEnd": ("hand", "wrist"),
    "HandSite": ("fingers", "hand", "wrist"),
}
# Spine is the joint nearest the middle of the torso; the collars coincide with Thorax in Human3.6M's own files.
CENTRAL = {
    "Spine": ("lowerback",),
    "Thorax": ("thorax",),
    "LCollar": ("thorax",),
    "RCollar": ("thorax",),
    "Neck/Nose": (NOSE,),
    "Head": ("head",),
}
# Human3.6M's Hip lies midway between the hip joints, 10 cm below CMU's root; its SpineBase is the same point.
MID_HIP = ("Hip", "SpineBase")
END_OF = CENTRAL | {
    side + joint: tuple(side.lower() + bone for bone in bones) for joint, bones in SIDED.items() for side in "LR"
}
TOES = ("LToeBase", "RToeBase", "LToeSite", "RToeSite")


def find_subjects(folder: Path) -> dict[str, tuple[Path, list[Path]]]:
    """Pair skeletons with motions, wherever they lie below `folder`.

    A motion belongs to the skeleton its name starts with, the one in its own folder first, else to the only skeleton
    in its folder.

    Returns:
        subject (the skeleton's file name without suffix) -> its .asf file, its .amc files in order.
    """
    if not folder.is_dir():
        raise InputError(f"--asf-amc {folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    skeletons = [path for path in files if path.suffix.lower() == ".asf"]
    motions = [path for path in files if path.suffix.lower() == ".amc"]
    if not skeletons or not motions:
        lacking = " and ".join(kind for kind, found in ((".asf", skeletons), (".amc", motions)) if not found)
        raise InputError(f"--asf-amc {folder}: no {lacking} files; expected a skeleton and its motions per subject")
    subjects: dict[str, tuple[Path, list[Path]]] = {}
    for path in skeletons:
        if path.stem in subjects:
            raise InputError(f"{path}: a second skeleton of this name, beside {subjects[path.stem][0]}; rename it")
        subjects[path.stem] = (path, [])
    for path in motions:
        beside = [other for other in skeletons if other.parent == path.parent]
        named = [
            other
            for other in skeletons
            if path.stem.startswith(other.stem) and not path.stem[len(other.stem) :][:1].isalnum()
        ]
        owners = [other for other in named if other in beside] or (beside if len(beside) == 1 else named)
        if not owners:
            raise InputError(f"{path}: no skeleton for this motion; put its .asf beside it")
        owner = max(owners, key=lambda other: len(other.stem))
        if any(other.stem == path.stem for other in subjects[owner.stem][1]):
            raise InputError(f"{path}: a second motion named {path.stem} of skeleton {owner.name}; rename one")
        subjects[owner.stem][1].append(path)
    return subjects


def assign_subjects(found: list[str], wanted: str | None) -> dict[str, str]:
    """Which captured person becomes which Human3.6M subject: `--subjects`, or all of them in order."""
    known = h36m_subjects()
    if wanted is None:
        if len(found) > len(known):
            raise InputError(
                f"--subjects: {len(found)} skeletons for {len(known)} subjects; name up to {len(known)}, "
                f"e.g. --subjects {found[0]}={known[0]},{found[1]}={known[1]}"
            )
        return dict(zip(found, known))
    names: dict[str, str] = {}
    for pair in wanted.split(","):
        person, equals, subject = (part.strip() for part in pair.partition("="))
        if not equals or not person or not subject:
            raise InputError(f"--subjects: expected NAME=SUBJECT pairs such as 02=S1,03=S5, found {pair!r}")
        if person not in found:
            raise InputError(f"--subjects: no skeleton {person!r}; found {', '.join(found)}")
        if subject not in known:
            raise InputError(f"--subjects: {subject!r} is no Human3.6M subject; choose from {', '.join(known)}")
        if person in names or subject in names.values():
            raise InputError(f"--subjects: {pair!r} names a person or a subject a second time")
        names[person] = subject
    return names


def bones_of_joints(skeleton: Skeleton) -> dict[str, str]:
    """Human3.6M-32 joint -> the bone whose end it is. Raises `InputError` when a needed bone is missing."""
    bones: dict[str, str] = {}
    for joint, candidates in END_OF.items():
        present = [bone for bone in candidates if bone in skeleton.bones]
        if not present:
            have = ", ".join(skeleton.bones)
            raise InputError(f"{skeleton.path}: no bone {candidates[-1]!r}, needed for {joint}; its bones: {have}")
        bones[joint] = present[0]
    return bones


def add_nose(skeleton: Skeleton) -> None:
    """Give the skeleton the point Human3.6M calls Neck/Nose, turning with the head.

    It lies about a head bone and a half below the head's end and somewhat forward, which halves the way from Thorax to
    Head as in Human3.6M's skeletons.
    """
    for bone in ("head", "lhipjoint", "rhipjoint"):
        if bone not in skeleton.bones:
            have = ", ".join(skeleton.bones)
            raise InputError(f"{skeleton.path}: no bone {bone!r}, needed for Neck/Nose; its bones: {have}")
    head = skeleton.bones["head"].offset
    left = skeleton.bones["lhipjoint"].offset - skeleton.bones["rhipjoint"].offset
    forward = np.cross(left, head)
    forward *= np.linalg.norm(head) / np.linalg.norm(forward)
    skeleton.bones[NOSE] = Bone(NOSE, parent="head", offset=-1.4 * head + 0.4 * forward)


def solved_frames(channels: dict[str, np.ndarray]) -> tuple[int, int]:
    """The longest run of captured frames, as (start, stop).

    Where a capture was not solved, CMU's files hold frames whose upper body is all zeros: a T-pose nobody struck.
    """
    zeros = np.mean([(values == 0).all(1) for values in channels.values()], axis=0)  # (F,)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], zeros > 0.5, [True]])))  # starts and stops in turn
    runs = [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    return max(runs, key=lambda run: run[1] - run[0], default=(0, 0))


def to_h36m(skeleton: Skeleton, motion: Motion) -> np.ndarray:
    """(F, 32, 3) metres, z up, the floor at z = 0, from a skeleton that has its nose."""
    ends = bone_ends(skeleton, motion)
    joints = {joint: ends[bone] for joint, bone in bones_of_joints(skeleton).items()}
    joints |= dict.fromkeys(MID_HIP, (joints["LHip"] + joints["RHip"]) / 2)
    positions = np.stack([joints[joint] for joint in H36M_32.joints], 1)  # (F, 32, 3), y up
    positions = positions[..., [0, 2, 1]] * [1, -1, 1]
    lowest = positions[:, H36M_32.indices(*TOES), 2].min(1)
    positions[..., 2] -= np.percentile(lowest, FLOOR_PERCENTILE)
    return positions


def read_clip(path: Path, skeleton: Skeleton, fps: float) -> np.ndarray:
    """One motion file: (F, 32, 3) metres at 50 fps, z up."""
    channels = read_amc(path, skeleton)
    frames = len(channels[ROOT])
    start, stop = solved_frames(channels)
    if start == stop:
        raise InputError(f"{path}: in every frame most angles are exactly 0; expected a recorded motion")
    if stop - start < frames:
        print(f"{path.name}: left out {frames - (stop - start)} of {frames} frames, not captured (angles exactly 0)")
    motion = move(skeleton, {bone: values[start:stop] for bone, values in channels.items()})
    positions = to_h36m(skeleton, resample(motion, fps, FPS))
    height = float(np.percentile(np.ptp(positions[..., 2], axis=1), 90))
    if not MIN_HEIGHT_M < height < MAX_HEIGHT_M:
        raise InputError(
            f"{skeleton.path}: in {path.name} the person is {height:.2f} m tall, expected {MIN_HEIGHT_M} to "
            f"{MAX_HEIGHT_M} m; mend the length factor under :units (lengths are inches once divided by it)"
        )
    return positions


def prepare_subject(asf: Path, motions: list[Path], subject: str, fps: float) -> dict[str, np.ndarray]:
    """One person's actions, named by their files: action -> (F, 32, 3) float32 metres at 50 fps, in view."""
    if not motions:
        raise InputError(f"{asf}: no .amc motion belongs to this skeleton; name the others with --subjects")
    skeleton = read_asf(asf)
    add_nose(skeleton)
    space = CaptureSpace(h36m_cameras(subject))
    actions: dict[str, np.ndarray] = {}
    for path in motions:
        pieces = space.pieces(read_clip(path, skeleton, fps))
        if pieces is None:
            raise InputError(
                f"{path}: a pose of this motion leaves the images of {subject}'s cameras wherever it is put"
            )
        names = [path.stem] if len(pieces) == 1 else [f"{path.stem} {number}" for number in range(1, len(pieces) + 1)]
        actions |= {name: piece.astype(np.float32) for name, piece in zip(names, pieces)}
    return actions


def convert_folder(folder: Path, out_dir: Path, subjects: str | None = None, fps: float = 120.0, seed: int = 0) -> str:
    """Read every motion, place it, project it, write the files.

    Args:
        folder: of .asf and .amc files. subjects: "02=S1,03=S5", who becomes which subject; None for all, in order.
        fps: of the motion files. seed: of the synthetic detector noise.

    Returns:
        The provenance line of the files.

    Raises:
        InputError: naming the flag or the file and line that cannot be used; nothing is written then.
    """
    if not 1 <= fps <= 10_000:
        raise InputError(f"--fps: expected frames per second from 1 to 10000, found {fps}")
    if seed < 0:
        raise InputError(f"--seed: expected zero or more, found {seed}")
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"--out {out_dir}: expected a folder, found a file")

    found = find_subjects(folder)
    names = assign_subjects(list(found), subjects)
    positions, exact, detected = {}, {}, {}
    for person, subject in names.items():
        positions[subject] = prepare_subject(*found[person], subject, fps)
        exact[subject] = {action: project_h36m(clip, subject) for action, clip in positions[subject].items()}
        # A stream of random numbers per action: adding or leaving out a motion changes no other one's noise.
        streams = {a: np.random.default_rng([seed, zlib.crc32(f"{subject} {a}".encode())]) for a in exact[subject]}
        detected[subject] = {
            a: [detector_noise(view, streams[a]) for view in views] for a, views in exact[subject].items()
        }
        frames = sum(len(clip) for clip in positions[subject].values())
        print(f"{person} -> {subject}: {len(positions[subject])} clips, {frames} frames, {frames / FPS:.0f} s")
    people = ", ".join(f"{person} as {subject}" for person, subject in names.items())
    provenance = (
        f"motion capture from {folder.resolve().name}: {people}; "
        f"cameras are Human3.6M's, detector-like 2D is synthetic noise (seed {seed})"
    )
    write_h36m(out_dir, positions, {"gt": exact, "cpn_ft_h36m_dbb": detected}, provenance, synthetic=False)
    return provenance
