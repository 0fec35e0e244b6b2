"""The BVH file of a motion: joints in their places, a T-pose at rest, and bones twisted as bodies do it."""

from pathlib import Path

import numpy as np
import pytest
from motions import FPS, bare, motion

from common.geometry.skeleton import H36M_17
from common.mocap.bvh import places, read_bvh, turn
from common.mocap.from_bvh import read_clip
from common.mocap.joint_names import match_joints
from common.motion.bvh import zxy_degrees
from common.motion.poses import Poses
from common.motion.rig import REST, turn_parts

# Where each joint of Human3.6M-17 is in the file.
PART = {"Hip": "Hips", "Spine": "Spine1", "Thorax": "Neck", "Neck/Nose": "Head", "Head": "Head End"}
for _side in ("Left", "Right"):
    for _joint, _part in zip(
        ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"), ("UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand")
    ):
        PART[_side[0] + _joint] = _side + _part
T_POSE = np.zeros((1, 17, 3))
for _joint, _parent in H36M_17.bones.items():
    T_POSE[0, H36M_17.index(_joint)] = T_POSE[0, H36M_17.index(_parent)] + 0.3 * REST[_joint]


def about(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array({"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
                     "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis])  # fmt: skip


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A plain reading: part -> (F, 3) where it is in the file's units, and part -> (F, 3) its angles."""
    head, _, tail = path.read_text(encoding="utf-8").partition("MOTION\n")
    rows = [[float(word) for word in line.split()] for line in tail.splitlines()[2:]]
    found, angles = {}, {}
    for number, row in enumerate(rows):
        stack, name, words = [], "", iter(row)
        for line in map(str.split, head.splitlines()):
            if line[0] in ("ROOT", "JOINT"):
                name = line[1]
            elif line[0] == "End":
                name = stack[-1][0] + " End"
            elif line[0] == "{":
                above = stack[-1] if stack else ("", np.zeros(3), np.eye(3))
                stack.append((name, above[1], above[2]))
            elif line[0] == "}":
                stack.pop()
            elif line[0] == "OFFSET":
                _, place, turned = stack[-1]
                place = place + turned @ [float(word) for word in line[1:]]
                found.setdefault(name, np.zeros((len(rows), 3)))[number] = place
                stack[-1] = name, place, turned
            elif line[0] == "CHANNELS":
                _, place, turned = stack[-1]
                for channel in line[2:]:
                    if channel.endswith("position"):
                        place = place + np.eye(3)["XYZ".index(channel[0])] * next(words)
                    else:
                        value = next(words)
                        turned = turned @ about(channel[0].lower(), value)
                        angles.setdefault(name, [[] for _ in rows])[number].append(value)
                found[name][number] = place
                stack[-1] = name, place, turned
        assert next(words, None) is None
    return found, {name: np.array(values) for name, values in angles.items()}


def constant(joints: np.ndarray) -> np.ndarray:
    """The pose whose bones point as those of `joints` (F, 17, 3) do and are as long as their median."""
    same = joints.copy()
    for joint, parent in H36M_17.bones.items():
        child, root = H36M_17.indices(joint, parent)
        bone = joints[:, child] - joints[:, root]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        same[:, child] = same[:, root] + bone / length * np.median(length)
    return same


def noisy(frames: int) -> Poses:
    """A motion whose bones change their lengths."""
    poses = motion(frames)
    return motion(frames, joints=poses.joints + np.random.default_rng(0).normal(0, 0.02, poses.joints.shape))


@pytest.mark.parametrize("frames", [40, 1])
def test_joints_are_where_they_were_with_bones_of_their_median_length(tmp_path: Path, frames: int):
    poses = noisy(frames)
    poses.save(tmp_path / "a.bvh")
    found, _ = read(tmp_path / "a.bvh")
    wanted = constant(poses.joints)
    for joint, part in PART.items():
        np.testing.assert_allclose(found[part] / 100, wanted[:, H36M_17.index(joint)], atol=2e-5, rtol=0)


def test_a_body_with_rigid_bones_comes_back_as_it_was(tmp_path: Path):
    poses = motion()
    poses.save(tmp_path / "a.bvh")
    found, _ = read(tmp_path / "a.bvh")
    back = np.stack([found[PART[joint]] for joint in H36M_17.joints], 1) / 100
    np.testing.assert_allclose(back, poses.joints, atol=1e-5, rtol=0)  # metres


def test_our_importer_reads_it(tmp_path: Path):
    poses = noisy(40)
    poses.save(tmp_path / "a.bvh")
    bvh = read_bvh(tmp_path / "a.bvh")
    assert bvh.fps == pytest.approx(FPS, rel=1e-6) and bvh.values.shape == (40, 6 + 20 * 3)
    found = places(bvh, turn(bvh, set(bvh.joints), 0, 40))
    wanted = constant(poses.joints)
    matched = match_joints(bvh)
    for joint in set(H36M_17.joints) - {"Hip", "Neck/Nose"}:
        assert matched[joint] == (PART[joint],)
        np.testing.assert_allclose(found[PART[joint]] / 100, wanted[:, H36M_17.index(joint)], atol=1e-3, rtol=0)
    clip = read_clip(tmp_path / "a.bvh")
    assert clip.units == "cm" and not any("up is" in note for note in clip.notes)


def test_a_t_pose_is_the_rest_pose(tmp_path: Path):
    bare(1, joints=T_POSE + [0, 1, -4]).save(tmp_path / "a.bvh")
    found, angles = read(tmp_path / "a.bvh")
    assert len(angles) == 21
    for name, values in angles.items():
        np.testing.assert_allclose(values, 0, atol=1e-4, err_msg=name)
    # It faces z, its left on x; feet point forward.
    np.testing.assert_allclose(found["LeftHand"][0] - found["Neck"][0], [90, 0, 0], atol=1e-3)
    np.testing.assert_allclose(found["RightFoot"][0] - found["RightUpLeg"][0], [0, -60, 0], atol=1e-3)
    np.testing.assert_allclose(found["LeftFoot End"][0] - found["LeftFoot"][0], [0, 0, 0.35 * 30], atol=1e-3)


def test_turning_the_person_turns_the_hips_alone(tmp_path: Path):
    turned = [about("y", 25 * i) @ about("x", 3 * i) for i in range(30)]  # twice round, then upside down
    bare(30, joints=np.stack([T_POSE[0] @ matrix.T for matrix in turned])).save(tmp_path / "a.bvh")
    _, angles = read(tmp_path / "a.bvh")
    for i, matrix in enumerate(turned):
        z, x, y = angles["Hips"][i]
        np.testing.assert_allclose(about("z", z) @ about("x", x) @ about("y", y), matrix, atol=1e-6)
    for name in set(angles) - {"Hips"}:
        np.testing.assert_allclose(angles[name], 0, atol=1e-4, err_msg=name)


def bent(upper: str, angle: float) -> np.ndarray:
    """(17, 3) a T-pose with one limb bent by `angle` degrees as bodies bend it."""
    joints = T_POSE[0].copy()
    side = upper[0]
    if upper.endswith("Knee"):
        joints[H36M_17.index(f"{side}Foot")] = joints[H36M_17.index(upper)] + about("x", angle) @ [0, -0.3, 0]
    else:
        out = 1 if side == "L" else -1
        joints[H36M_17.index(f"{side}Wrist")] = joints[H36M_17.index(upper)] + about("y", -out * angle) @ [
            0.3 * out,
            0,
            0,
        ]
    return joints


@pytest.mark.parametrize(
    "joint, part, column",
    [("LKnee", "LeftLeg", 1), ("RKnee", "RightLeg", 1), ("LElbow", "LeftForeArm", 2), ("RElbow", "RightForeArm", 2)],
)
def test_a_limb_bends_at_its_hinge_and_nowhere_else(tmp_path: Path, joint: str, part: str, column: int):
    bends = np.arange(0, 120, 10)
    bare(12, joints=np.stack([bent(joint, angle) for angle in bends])).save(tmp_path / "a.bvh")
    _, angles = read(tmp_path / "a.bvh")
    np.testing.assert_allclose(np.abs(angles[part][:, column]), bends, atol=1e-4)
    angles[part][:, column] = 0
    for name, values in angles.items():
        np.testing.assert_allclose(values, 0, atol=1e-4, err_msg=name)


def test_the_plane_of_the_bend_twists_the_upper_arm(tmp_path: Path):
    joints = bent("LElbow", 90)
    elbow, wrist = H36M_17.indices("LElbow", "LWrist")
    joints[wrist] = joints[elbow] + about("x", -50) @ (joints[wrist] - joints[elbow])  # forward, then up by 50 degrees
    bare(20, joints=np.repeat(joints[None], 20, 0)).save(tmp_path / "a.bvh")
    _, angles = read(tmp_path / "a.bvh")
    np.testing.assert_allclose(angles["LeftArm"][-1], [0, -50, 0], atol=0.2)
    np.testing.assert_allclose(angles["LeftForeArm"][-1], [0, 0, -90], atol=0.2)


def test_a_straight_arm_that_is_lowered_is_not_twisted(tmp_path: Path):
    joints = np.repeat(T_POSE, 10, 0)
    shoulder, elbow, wrist = H36M_17.indices("LShoulder", "LElbow", "LWrist")
    lowered = np.linspace(0, 90, 10)
    for i, angle in enumerate(lowered):
        for joint in (elbow, wrist):
            joints[i, joint] = joints[i, shoulder] + about("z", -angle) @ (T_POSE[0, joint] - T_POSE[0, shoulder])
    bare(10, joints=joints).save(tmp_path / "a.bvh")
    _, angles = read(tmp_path / "a.bvh")
    np.testing.assert_allclose(angles["LeftArm"], np.stack([-lowered, 0 * lowered, 0 * lowered], -1), atol=1e-4)


def test_the_chest_turns_with_the_shoulders_half_of_it_below_the_middle_of_the_spine(tmp_path: Path):
    joints = T_POSE[0].copy()
    above = [H36M_17.index(f"{side}{joint}") for side in "LR" for joint in ("Shoulder", "Elbow", "Wrist")]
    above += H36M_17.indices("Neck/Nose", "Head")
    joints[above] = joints[above] @ about("y", 40).T  # about the spine, which is upright above the hips
    bare(1, joints=joints[None]).save(tmp_path / "a.bvh")
    _, angles = read(tmp_path / "a.bvh")
    for name, values in angles.items():
        np.testing.assert_allclose(values[0], [0, 0, 20 if name in ("Spine", "Spine1") else 0], atol=0.2, err_msg=name)


def degrees(turns: np.ndarray) -> float:
    """The largest angle of rotations (..., 3, 3)."""
    cosine = (np.trace(turns, axis1=-2, axis2=-1) - 1) / 2
    return np.degrees(np.arccos(cosine.clip(-1, 1))).max()


def test_a_straight_limb_does_not_spin():
    joints = np.repeat(T_POSE, 600, 0) + np.random.default_rng(0).normal(0, 0.003, (600, 17, 3))
    turns = turn_parts(joints)
    for name in ("LeftArm", "RightArm", "LeftUpLeg", "RightUpLeg", "LeftForeArm", "RightLeg"):
        assert degrees(turns[name][1:] @ turns[name][:-1].swapaxes(-1, -2)) < 15, name
        assert degrees(turns[name]) < 25, name  # nor does it wander


def test_angles_go_on_from_frame_to_frame(tmp_path: Path):
    motion(200).save(tmp_path / "a.bvh")  # turns four times
    _, angles = read(tmp_path / "a.bvh")
    assert np.ptp(angles["Hips"][:, 2]) > 1000
    for name, values in angles.items():
        assert np.abs(np.diff(values, axis=0)).max() < 180, name


def test_angles_give_the_rotation_back_even_where_they_lock():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 3, 3)))
    turns = q * np.linalg.det(q)[:, None, None]
    locked = [
        about("z", z) @ about("x", x) @ about("y", y) for x in (90, -90, 90 - 1e-7) for z in (0, 40) for y in (0, 170)
    ]
    turns = np.concatenate([turns, locked])
    back = [about("z", z) @ about("x", x) @ about("y", y) for z, x, y in zxy_degrees(turns)]
    np.testing.assert_allclose(back, turns, atol=1e-8)


@pytest.mark.parametrize("joints", [np.zeros((3, 17, 3)), np.repeat(T_POSE, 3, 0) * [0, 1, 0]])
def test_bones_without_length_or_width_still_give_numbers(tmp_path: Path, joints: np.ndarray):
    bare(3, joints=joints).save(tmp_path / "a.bvh")
    found, _ = read(tmp_path / "a.bvh")
    back = np.stack([found[PART[joint]] for joint in H36M_17.joints], 1) / 100
    np.testing.assert_allclose(back, joints, atol=1e-5)
