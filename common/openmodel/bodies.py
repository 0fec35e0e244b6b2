"""Other bodies and other poses from recorded ones: bones scaled, limbs exchanged between clips, joints turned.

Poses are (B, T, 17, 3) metres, world axes, z up, Human3.6M-17. Every random number comes from the generator given.
"""

import torch

from ..geometry.camera import rotation_about
from ..geometry.skeleton import H36M_17, mirror
from ..reprojection.bones import bone_vectors, scale_bones

LEGS = {side: (f"{side}Knee", f"{side}Foot") for side in "LR"}
ARMS = {side: (f"{side}Elbow", f"{side}Wrist") for side in "LR"}
UPPER_BODY = ("Spine", "Thorax", "Neck/Nose", "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist")
EXCHANGED = 0.25  # chance that a limb, or everything above the hips, is another clip's
TURNED = 0.6  # chance that a clip's joints are turned at all
# Radians, standard deviation of the turn about a random axis, or of the change of flexion.
TURNS = {"hips": 0.25, "knees": 0.3, "shoulders": 0.5, "elbows": 0.5, "trunk": 0.2, "neck": 0.2, "body": 0.15}
TUMBLED, TUMBLE = 0.05, 1.0  # chance of a body turned by much, and by how much: people who lie, crouch, fall
STRAIGHTEST, TIGHTEST = 0.03, 2.6  # radians, of flexion in knees and elbows
BACKWARD = 0.6  # sine, how far behind the trunk a thigh may point
FREE = 0.10  # metres from the trunk's axis that a wrist keeps
BONE_SPREAD, SIZE_SPREAD = 0.10, 0.15  # uniform, either way


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def frame_of(left: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) whose columns are forward, left and up of a body part; `left` is kept, `up` nearly."""
    left = unit(left)
    up = unit(up - (up * left).sum(-1, keepdim=True) * left)
    return torch.stack([torch.linalg.cross(left, up), left, up], -1)


def pelvis_frame(pose: torch.Tensor) -> torch.Tensor:
    """(..., 17, 3) -> (..., 3, 3)."""
    left, right, hip, spine = H36M_17.indices("LHip", "RHip", "Hip", "Spine")
    return frame_of(pose[..., left, :] - pose[..., right, :], pose[..., spine, :] - pose[..., hip, :])


def chest_frame(pose: torch.Tensor) -> torch.Tensor:
    """(..., 17, 3) -> (..., 3, 3)."""
    left, right, spine, thorax = H36M_17.indices("LShoulder", "RShoulder", "Spine", "Thorax")
    return frame_of(pose[..., left, :] - pose[..., right, :], pose[..., thorax, :] - pose[..., spine, :])


def from_bones(bones: torch.Tensor) -> torch.Tensor:
    """The inverse of `bone_vectors`."""
    joints = [bones[..., 0, :]]
    for joint, parent in enumerate(H36M_17.parents[1:], start=1):
        joints.append(joints[parent] + bones[..., joint, :])
    return torch.stack(joints, -2)


def chance(count: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    """(count,) bool."""
    return torch.rand(count, generator=generator) < probability


def mirrored(pose: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the clips as in a mirror."""
    chosen = chance(len(pose), 0.5, generator)[:, None, None, None]
    return mirror(pose).where(chosen, pose)


def exchange_limbs(pose: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Limbs as other clips of the batch hold them, against the hips or the chest they hang on; lengths stay."""
    count = len(pose)
    bones = bone_vectors(pose)
    lengths = bones.norm(dim=-1, keepdim=True)
    bones = bones / lengths.clamp_min(1e-6)
    for joints, frame in (
        (UPPER_BODY, pelvis_frame), (LEGS["L"], pelvis_frame), (LEGS["R"], pelvis_frame),
        (ARMS["L"], chest_frame), (ARMS["R"], chest_frame),
    ):  # fmt: skip
        chosen = chance(count, EXCHANGED, generator)[:, None, None, None]
        donor = torch.randperm(count, generator=generator)
        here, numbers = frame(from_bones(bones * lengths)), H36M_17.indices(*joints)
        turn = here @ here[donor].mT
        bones[..., numbers, :] = (bones[donor][..., numbers, :] @ turn.mT).where(chosen, bones[..., numbers, :])
    root = H36M_17.root_index
    joints = bones * lengths
    joints[..., root, :] = pose[..., root, :]
    return from_bones(joints)


def random_turns(count: int, frames: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Rotations (B, T, 3, 3) about a random axis per clip that sway a little over time."""
    axis = unit(torch.randn(count, 1, 3, generator=generator))
    return rotation_about(axis.expand(count, frames, 3), sway(count, frames, spread, generator))


def sway(count: int, frames: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Angles (B, T): a constant per clip and a slow wave of half its size; none in some clips."""
    constant, wave, phase, pace = torch.randn(4, count, 1, generator=generator)
    time = torch.arange(frames) / frames
    angle = constant + 0.5 * wave * torch.sin(6.3 * (phase + 0.7 * pace * time))
    return spread * angle * chance(count, TURNED, generator)[:, None]


def turn_joints(pose: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Hips, knees, shoulders, elbows, trunk, neck and the whole body turned at random, within limits."""
    count, frames = pose.shape[:2]
    bones = bone_vectors(pose)

    def turned(joints: tuple[str, ...], turns: torch.Tensor) -> torch.Tensor:
        numbers = H36M_17.indices(*joints)
        changed = bones.clone()
        changed[..., numbers, :] = changed[..., numbers, :] @ turns.mT
        return changed

    bones = turned(UPPER_BODY, random_turns(count, frames, TURNS["trunk"], generator))
    bones = turned(("Neck/Nose", "Head"), random_turns(count, frames, TURNS["neck"], generator))
    frame = pelvis_frame(from_bones(bones))
    for upper, lower in LEGS.values():
        number = H36M_17.index(upper)
        changed = turned((upper, lower), random_turns(count, frames, TURNS["hips"], generator))
        forward = (unit(changed[..., number, :]) * frame[..., 0]).sum(-1)  # (B, T)
        was = (unit(bones[..., number, :]) * frame[..., 0]).sum(-1)
        bones = _where_allowed((forward > -BACKWARD) | (forward > was), changed, bones)
        bones = _flexed(bones, upper, lower, frame[..., 1], sway(count, frames, TURNS["knees"], generator))
    frame = chest_frame(from_bones(bones))
    for side, (upper, lower) in ARMS.items():
        changed = turned((upper, lower), random_turns(count, frames, TURNS["shoulders"], generator))
        angle = sway(count, frames, TURNS["elbows"], generator)
        changed = _flexed(changed, upper, lower, -frame[..., 1], angle)
        joints = from_bones(changed)
        wrist, thorax = H36M_17.indices(f"{side}Wrist", "Thorax")
        off = ((joints[..., wrist, :] - joints[..., thorax, :])[..., None, :] @ frame)[..., 0, :]  # forward, left, up
        free = (off[..., :2].norm(dim=-1) > FREE) | (off[..., 2] > 0)
        bones = _where_allowed(free, changed, bones)
    whole = random_turns(count, frames, TURNS["body"], generator)
    tumbled = chance(count, TUMBLED, generator)[:, None, None, None]
    whole = random_turns(count, 1, TUMBLE, generator).expand_as(whole).where(tumbled, whole)
    root = bones[..., :1, :]
    bones = bones @ whole.mT
    bones[..., :1, :] = root
    return from_bones(bones)


def _where_allowed(allowed: torch.Tensor, changed: torch.Tensor, bones: torch.Tensor) -> torch.Tensor:
    """Clips in which every frame (B, T) is allowed changed, the others as they were."""
    return changed.where(allowed.all(1)[:, None, None, None], bones)


def _flexed(
    bones: torch.Tensor, upper: str, lower: str, straight_axis: torch.Tensor, change: torch.Tensor
) -> torch.Tensor:
    """A knee or an elbow bent by `change` (B, T) more, between `STRAIGHTEST` and `TIGHTEST`.

    Args:
        straight_axis: (B, T, 3) about which it bends where it is straight: to the left for knees, to the right for
            elbows.
    """
    above, below = unit(bones[..., H36M_17.index(upper), :]), bones[..., H36M_17.index(lower), :]
    axis = unit(torch.linalg.cross(above, unit(below)) + 0.05 * straight_axis)
    flexion = torch.acos((above * unit(below)).sum(-1).clamp(-1, 1))
    wanted = torch.minimum((flexion + change).clamp(STRAIGHTEST), flexion.clamp(min=TIGHTEST))
    angle = (wanted - flexion).where(change != 0, 0)
    moved = bones.clone()
    moved[..., H36M_17.index(lower), :] = (rotation_about(axis, angle) @ below[..., None])[..., 0]
    return moved


def other_bodies(pose: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every bone longer or shorter by up to `BONE_SPREAD`, left and right alike, and the whole by `SIZE_SPREAD`."""
    count, joints = len(pose), pose.shape[-2]
    ratios = 1 + BONE_SPREAD * (2 * torch.rand(count, joints, generator=generator) - 1)
    ratios[:, H36M_17.right_indices] = ratios[:, H36M_17.left_indices]
    size = 1 + SIZE_SPREAD * (2 * torch.rand(count, 1, generator=generator) - 1)
    root = pose[..., H36M_17.root_index, None, :]
    return size[..., None, None] * scale_bones(pose - root, ratios[:, None]) + size[..., None, None] * root
