"""ASF/AMC motion to Human3.6M's joints."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from .asf_amc import METRES_PER_UNIT, ROOT, Bone, Skeleton, read_amc
from .kinematics import Motion, bone_ends, move, resample
from .standing import FPS, MID_HIP, check_height, solved_frames, stack_standing

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
END_OF = CENTRAL | {
    side + joint: tuple(side.lower() + bone for bone in bones) for joint, bones in SIDED.items() for side in "LR"
}


def units_of(skeleton: Skeleton) -> str:
    """What a length in the skeleton's files is, in words."""
    return f"1/{METRES_PER_UNIT / skeleton.metres:g} inch"


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
    left = skeleton.bones["lhipjoint"].offset - skeleton.bones["rhipjoint"].offset
    skeleton.bones[NOSE] = Bone(NOSE, parent="head", offset=nose_of(skeleton.bones["head"].offset, left))


def nose_of(head: np.ndarray, left: np.ndarray) -> np.ndarray:
    """From a head bone's end to Neck/Nose, given the bone and the direction to the left, all (3,)."""
    forward = np.cross(left, head)
    forward *= np.linalg.norm(head) / np.linalg.norm(forward)
    return -1.4 * head + 0.4 * forward


def to_h36m(skeleton: Skeleton, motion: Motion) -> np.ndarray:
    """(F, 32, 3) metres, z up, the floor at z = 0, from a skeleton that has its nose."""
    ends = bone_ends(skeleton, motion)
    return stack_standing({joint: ends[bone] for joint, bone in bones_of_joints(skeleton).items()})


def joint_table(skeleton: Skeleton) -> dict[str, str]:
    """Human3.6M-32 joint -> what of the file it is, in words."""
    bones = {joint: f"end of {bone}" for joint, bone in bones_of_joints(skeleton).items()}
    return bones | dict.fromkeys(MID_HIP, "middle of LHip, RHip") | {"Neck/Nose": "below the head's end"}


def read_clip(path: Path, skeleton: Skeleton, fps: float) -> np.ndarray:
    """One motion file: (F, 32, 3) metres at 50 fps, z up."""
    channels = read_amc(path, skeleton)
    frames = len(channels[ROOT])
    start, stop = solved_frames(channels.values())
    if start == stop:
        raise InputError(f"{path}: in every frame most angles are exactly 0; expected a recorded motion")
    if stop - start < frames:
        print(f"{path.name}: left out {frames - (stop - start)} of {frames} frames, not captured (angles exactly 0)")
    motion = move(skeleton, {bone: values[start:stop] for bone, values in channels.items()})
    positions = to_h36m(skeleton, resample(motion, fps, FPS))
    mend = "mend the length factor under :units (lengths are inches once divided by it)"
    check_height(positions, f"{skeleton.path}: in {path.name}", mend)
    return positions
