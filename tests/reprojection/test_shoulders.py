"""Arms turned round that no shoulder allows; all others left alone."""

import math

import pytest
import torch
from bodies import generator

from common.geometry.camera import rotation_about
from common.geometry.skeleton import H36M_17, mirror
from common.reprojection.bones import SourceBones, bone_vectors
from common.reprojection.refinement import Refinement
from common.reprojection.shoulders import arms_turned, shoulder_excess, trunk_axes

RIGHT, DOWN, AHEAD = torch.eye(3, dtype=torch.float64)  # of the camera
# Of somebody who faces the camera: place in metres, from the hips.
STANDING = {
    "RHip": (-0.13, 0, 0), "RKnee": (-0.13, 0.45, 0), "RFoot": (-0.13, 0.9, 0), "LHip": (0.13, 0, 0),
    "LKnee": (0.13, 0.45, 0), "LFoot": (0.13, 0.9, 0), "Spine": (0, -0.23, 0), "Thorax": (0, -0.48, 0),
    "Neck/Nose": (0, -0.6, -0.03), "Head": (0, -0.7, 0), "LShoulder": (0.16, -0.45, 0), "RShoulder": (-0.16, -0.45, 0),
}  # fmt: skip
PLACE = torch.tensor([0.1, 0.0, 4.5], dtype=torch.float64)


def body(right: tuple[float, float, float], left: tuple[float, float, float], bend: float = 0.0) -> torch.Tensor:
    """(17, 3) with the upper arms pointing so: to the person's left, forward and up; elbows bent forward by degrees."""
    joints = {"Hip": torch.zeros(3, dtype=torch.float64)}
    joints |= {name: torch.tensor(place, dtype=torch.float64) for name, place in STANDING.items()}
    for side, (x, forward, up) in (("R", right), ("L", left)):
        arm = torch.nn.functional.normalize(x * RIGHT - forward * AHEAD - up * DOWN, dim=0)
        axis = torch.nn.functional.normalize(torch.linalg.cross(arm, -AHEAD + 1e-3 * DOWN), dim=0)
        forearm = rotation_about(axis, torch.tensor(math.radians(bend), dtype=torch.float64)) @ arm
        joints[f"{side}Elbow"] = joints[f"{side}Shoulder"] + 0.28 * arm
        joints[f"{side}Wrist"] = joints[f"{side}Elbow"] + 0.25 * forearm
    return torch.stack([joints[name] for name in H36M_17.joints])


DOWNWARD = (0.0, 0.1, -1.0)
FORWARD = {"level": (0.0, 1, 0), "raised": (0.2, 1, 0.7), "low": (0.0, 1, -0.6), "across": (0.5, 1, -0.1)}
ALLOWED = {
    "hanging": DOWNWARD, "swung back": (0.0, -0.5, -1), "a runner's": (0.0, -0.65, -0.76), "up": (0.0, 0.3, 1),
    "to the side": (-1.0, -0.15, 0), **FORWARD,
}  # fmt: skip


def rays_of(pose: torch.Tensor) -> torch.Tensor:
    placed = pose + PLACE
    return placed[..., :2] / placed[..., 2:]


def refined(predicted: torch.Tensor, true: torch.Tensor, mode: str) -> torch.Tensor:
    lengths = bone_vectors(true).norm(dim=-1)
    ones = torch.ones(17)
    return Refinement(SourceBones(ones, ones), 0.001, mode)(predicted, rays_of(true), lengths)


def turned_back(pose: torch.Tensor, side: str) -> torch.Tensor:
    """An arm leaning away from the camera by as much as it leans towards it."""
    wrong = pose.clone()
    shoulder, elbow, wrist = H36M_17.indices(f"{side}Shoulder", f"{side}Elbow", f"{side}Wrist")
    for joint in (elbow, wrist):
        wrong[..., joint, 2] = 2 * wrong[..., shoulder, 2] - wrong[..., joint, 2]
    return wrong


def test_the_axes_of_the_trunk():
    left, forward, up = trunk_axes(body(DOWNWARD, DOWNWARD))
    torch.testing.assert_close(torch.stack([left, forward, up]), torch.stack([RIGHT, -AHEAD, -DOWN]))


@pytest.mark.parametrize("side", ["R", "L"])
@pytest.mark.parametrize("arm", FORWARD, ids=str)
def test_an_arm_behind_the_back_comes_forward(arm, side):
    x, forward, up = FORWARD[arm]
    arms = {"right": DOWNWARD, "left": DOWNWARD} | {
        {"R": "right", "L": "left"}[side]: (x if side == "R" else -x, forward, up)
    }
    true = body(**arms)
    wrong = turned_back(true, side)
    kept, mended = (refined(wrong, true, mode) for mode in ("map", "limits"))
    elbow = H36M_17.index(f"{side}Elbow")
    assert (kept - true)[elbow].norm() > 0.3
    assert (mended - true)[elbow].norm() < 0.1  # the forearm may still be folded back: 2D and anatomy allow it
    others = [j for j in range(17) if j not in H36M_17.indices(f"{side}Elbow", f"{side}Wrist")]
    assert (mended - true)[others].norm(dim=-1).max() < 0.05


@pytest.mark.parametrize("turn", [0.0, 60.0, 90.0, 135.0, 180.0])
@pytest.mark.parametrize("arm", ALLOWED, ids=str)
def test_what_a_shoulder_allows_is_left_alone(arm, turn):
    """From every side, and bit for bit."""
    x, forward, up = ALLOWED[arm]
    about = rotation_about(DOWN, torch.tensor(math.radians(turn), dtype=torch.float64))
    true = body((x, forward, up), (-x, forward, up), bend=20.0) @ about.T
    predicted = true + 0.02 * torch.randn(17, 3, generator=generator(), dtype=torch.float64)
    assert torch.equal(refined(predicted, true, "limits"), refined(predicted, true, "map"))


def test_the_excess_grows_with_how_far_it_is_behind():
    axes = trunk_axes(body(DOWNWARD, DOWNWARD))
    angles = torch.deg2rad(torch.arange(0, 91, 10, dtype=torch.float64))  # from the side to straight behind
    arm = torch.stack([-angles.cos(), torch.zeros_like(angles), angles.sin()], -1)
    excess = shoulder_excess(0.28 * arm, 0.25 * arm, axes, -1.0)
    assert excess[0] == 0 and excess[-1] == pytest.approx(1 - 0.3 + 1 - 0.2)
    assert (excess.diff() >= 0).all()
    # The other shoulder sees the same arm across the back, which is worse.
    assert shoulder_excess(0.28 * arm, 0.25 * arm, axes, 1.0)[0] == pytest.approx(0.3)


def test_mirrored_and_batched_alike():
    true = torch.stack([body(way, DOWNWARD) for way in FORWARD.values()])
    wrong = turned_back(true, "R")
    found, where = arms_turned(wrong, wrong)
    assert where.all()
    reflected, there = arms_turned(mirror(wrong), mirror(wrong))
    torch.testing.assert_close(mirror(reflected), found)
    one_by_one = torch.stack([arms_turned(pose, pose)[0] for pose in wrong])
    assert torch.equal(one_by_one, found) and torch.equal(there, where)
    nested, _ = arms_turned(wrong.unflatten(0, (2, 2)), wrong.unflatten(0, (2, 2)))
    assert torch.equal(nested.flatten(0, 1), found)


def test_confidence_still_counts():
    """A wrist that was not seen, whatever its keypoint says, changes nothing."""
    true = body(FORWARD["level"], DOWNWARD)
    wrong, seen = turned_back(true, "R"), torch.ones(17, dtype=torch.float64)
    seen[H36M_17.index("RWrist")] = 0
    rays, lengths, ones = rays_of(true), bone_vectors(true).norm(dim=-1), torch.ones(17)
    far = rays.clone()
    far[H36M_17.index("RWrist")] += 9.0
    refinement = Refinement(SourceBones(ones, ones), 0.001, "limits")
    one, other = (refinement(wrong, r, lengths, seen) for r in (rays, far))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
