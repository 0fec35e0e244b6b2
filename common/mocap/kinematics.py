"""Kinematics of motion capture: joint angles -> bones in the world, at another frame rate."""

from dataclasses import dataclass, field

import numpy as np

from .asf_amc import ROOT, ROTATIONS, TRANSLATIONS, Skeleton, rotation


@dataclass
class Motion:
    """Global bone movement of F frames: bones are rigid, so a direction per bone is all there is to know.

    Attributes:
        root: (F, 3) metres.
        rotations: bone -> (F, 3, 3) what turns the rest pose's vectors into the world's.
        offsets: joint -> (F, 3) from its parent, for the joints of a BVH file that slide as well as turn.
    """

    root: np.ndarray
    rotations: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray] = field(default_factory=dict)


def move(skeleton: Skeleton, channels: dict[str, np.ndarray]) -> Motion:
    """Forward kinematics: what `read_amc` returned -> the global rotation of every bone, the root's path."""
    frames = len(channels[ROOT])
    root = skeleton.position + np.zeros((frames, 3))
    rotations: dict[str, np.ndarray] = {}
    for name, bone in skeleton.bones.items():
        turns = [channel for channel in bone.dof if channel in ROTATIONS]
        angles = np.zeros((frames, 0))
        if turns:
            angles = channels[name][:, [bone.dof.index(channel) for channel in turns]]
        local = bone.axis @ rotation(tuple(turns), angles) @ bone.axis.T
        rotations[name] = rotations[bone.parent] @ local if bone.parent else local
        for column, channel in enumerate(bone.dof):
            if channel in TRANSLATIONS:
                root[:, TRANSLATIONS.index(channel)] += channels[name][:, column]
    return Motion(root, rotations)


def bone_ends(skeleton: Skeleton, motion: Motion) -> dict[str, np.ndarray]:
    """Where each bone ends, (F, 3) metres in the file's axes; for the root, where it is."""
    ends = {ROOT: motion.root}
    for name, bone in list(skeleton.bones.items())[1:]:
        ends[name] = ends[bone.parent] + motion.rotations[name] @ bone.offset
    return ends


def resample(motion: Motion, fps: float, wanted_fps: float) -> Motion:
    """The same motion at another frame rate; the duration changes by less than a frame.

    Rotations are interpolated, not positions, so that bones stay rigid. There is no low-pass filter: optical capture
    arrives smoothed. In CMU's subjects 02 and 03 the hands, feet and head move by about 1 mm (rms) above 25 Hz, which
    is all that 50 frames a second would fold back.
    """
    frames = len(motion.root)
    times = np.arange(0, frames - 1 + 1e-6, fps / wanted_fps)  # in source frames
    before = np.minimum(times.astype(int), max(frames - 2, 0))
    after = np.minimum(before + 1, frames - 1)
    weight = (times - before)[:, None]
    rotations = {}
    for bone, matrices in motion.rotations.items():
        blend = matrices[before] * (1 - weight[..., None]) + matrices[after] * weight[..., None]
        u, _, vh = np.linalg.svd(blend)  # the nearest rotation to the blend of two near ones
        rotations[bone] = u @ vh
    moved = {name: path[before] * (1 - weight) + path[after] * weight for name, path in motion.offsets.items()}
    return Motion(motion.root[before] * (1 - weight) + motion.root[after] * weight, rotations, moved)
