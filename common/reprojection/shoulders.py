"""Arms that no shoulder allows, and the other sign of depth that keeps them on their rays.

A bone seen by one camera may lean towards it or away from it; neither the keypoints nor the bone's length tell which,
and a refinement cannot leave the side it starts on. An upper arm that points far behind the back is on the wrong one.

Poses are (..., J, 3) metres relative to the root, Human3.6M-17 order.
"""

import torch
from torch.nn import functional as F

from ..geometry.skeleton import H36M_17
from .bones import bone_vectors

# How far an arm can point behind the frontal plane of the trunk, as the sine of that angle: level with the shoulder,
# more by so much where it hangs, less by so much where it is raised. Anatomy has 60 degrees for a hanging upper arm
# and 45 for a level one (American Academy of Orthopaedic Surgeons, 1965); people in motion keep nearer.
UPPER_ARM_BACK, HAND_BACK = 0.3, 0.2
HANGING, RAISED = 0.6, 0.4
ACROSS = 0.7  # how far an upper arm can point to the other side, the same way
ELBOW, ELBOW_WEIGHT = -0.87, 3.0  # the cosine of 150 degrees, as far as an elbow bends, and what more counts
LIMIT_WEIGHT = 10.0  # of an excess of 1 over a limit, against a squared distance of `PULL` metres over 2
PULL = 0.15  # metres, how far the lifter's bone may be from the truth, standard deviation
LARGEST_PULL = 6.0  # a lifter far off is not believed more for being farther

_LEFT_SHOULDER, _RIGHT_SHOULDER, _THORAX = H36M_17.indices("LShoulder", "RShoulder", "Thorax")
_ARMS = tuple(
    (H36M_17.indices(f"{side}Shoulder", f"{side}Elbow", f"{side}Wrist"), sign)
    for side, sign in (("L", 1.0), ("R", -1.0))
)
_SIGNS = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))  # of the depth of upper arm and forearm


def trunk_axes(pose: torch.Tensor) -> torch.Tensor:
    """(..., J, 3) -> (..., 3, 3): unit vectors to the person's left, forward and up, in the rows."""
    left = F.normalize(pose[..., _LEFT_SHOULDER, :] - pose[..., _RIGHT_SHOULDER, :], dim=-1)
    along = pose[..., _THORAX, :] - pose[..., H36M_17.root_index, :]
    forward = F.normalize(torch.linalg.cross(left, along, dim=-1), dim=-1)
    return torch.stack([left, forward, torch.linalg.cross(forward, left, dim=-1)], -2)


def shoulder_excess(upper_arm: torch.Tensor, forearm: torch.Tensor, axes: torch.Tensor, side: float) -> torch.Tensor:
    """By how much an arm is beyond what shoulder and elbow allow, in sines of angles summed; 0 within.

    Args:
        upper_arm, forearm: (..., 3) bones, from their upper end. axes: of `trunk_axes`. side: 1 of the left arm, -1 of
            the right one.
    """
    bend = F.cosine_similarity(upper_arm, forearm, dim=-1)
    excess = ELBOW_WEIGHT * (ELBOW - bend).clamp_min(0)
    for bone, back in ((upper_arm, UPPER_ARM_BACK), (upper_arm + forearm, HAND_BACK)):
        left, forward, up = (axes @ F.normalize(bone, dim=-1)[..., None])[..., 0].unbind(-1)
        limit = -back - HANGING * (-up).clamp_min(0) + RAISED * up.clamp_min(0)
        excess = excess + (limit - forward).clamp_min(0)
        if bone is upper_arm:
            excess = excess + (-ACROSS - side * left).clamp_min(0)
    return excess


def arms_turned(pose: torch.Tensor, predicted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lifter's pose with the depth of arm bones turned round where the shoulder asks for it.

    Of the four ways in which upper arm and forearm may lean, the one that costs least: what it exceeds the shoulder's
    limits by, against its distance from the lifter's own bones.

    Args:
        pose: a refined pose, whose bones have the right length and lie on their rays. predicted: what it was refined
            from.

    Returns:
        `predicted`, with arms whose bones are turned taken from `pose`, to be refined again; and where, (...).
    """
    axes, turned, changed = trunk_axes(pose), predicted.clone(), torch.zeros_like(pose[..., 0, 0], dtype=torch.bool)
    bones = bone_vectors(pose), bone_vectors(predicted)
    signs = pose.new_tensor(_SIGNS)
    flip = torch.ones(len(_SIGNS), 2, 3, dtype=pose.dtype, device=pose.device)
    flip[..., 2] = signs
    for (shoulder, elbow, wrist), side in _ARMS:
        found, asked = (b[..., [elbow, wrist], :].movedim(-2, 0) for b in bones)  # (2, ..., 3)
        ways = flip.reshape(len(_SIGNS), 2, *[1] * (pose.ndim - 2), 3) * found  # (4, 2, ..., 3)
        pull = ((ways - asked) / PULL).square().sum((1, -1)) / 2
        excess = shoulder_excess(ways[:, 0], ways[:, 1], axes, side)
        best = (pull.clamp_max(LARGEST_PULL) + LIMIT_WEIGHT * excess).argmin(0)  # (...)
        best = best.where(excess[0] > 0, 0)
        chosen = ways.gather(0, best[None, None, ..., None].expand(1, *ways.shape[1:]))[0]
        chosen = torch.where(signs[best].movedim(-1, 0)[..., None] < 0, chosen, asked)
        turned[..., elbow, :] = turned[..., shoulder, :] + chosen[0]
        turned[..., wrist, :] = turned[..., elbow, :] + chosen[1]
        changed = changed | (best > 0)
    return turned, changed
