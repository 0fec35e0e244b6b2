"""Joint orders: names, conversions by name, the mirror."""

import numpy as np
import pytest
import torch
from bodies import cameras, poses, trajectories

from common.geometry.camera import mirror_intrinsics, project
from common.geometry.skeleton import COCO_17, H36M_17, H36M_32, MPI_3DHP_17, Skeleton, convert, mirror

SKELETONS = (H36M_17, H36M_32, MPI_3DHP_17, COCO_17)
ROOTED = (H36M_17, H36M_32, MPI_3DHP_17)
# What the same joint is called in Human3.6M-17 and in MPI-INF-3DHP-17 (METHOD 1); all others share their name.
RENAMED = {
    "Hip": "pelvis", "RFoot": "RAnkle", "LFoot": "LAnkle", "Spine": "spine", "Thorax": "neck", "Neck/Nose": "head",
    "Head": "head_top",
}  # fmt: skip


def numbered(skeleton: Skeleton) -> np.ndarray:
    """Points whose coordinates tell which joint they are, (joints, 3)."""
    return np.arange(len(skeleton.joints))[:, None] * [1.0, 100.0, 10000.0]


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda s: s.name)
def test_sides_are_disjoint_and_pair_up(skeleton):
    assert len(set(skeleton.joints)) == len(skeleton.joints)
    assert len(skeleton.left) == len(skeleton.right) == len(set(skeleton.left))
    for left, right in zip(skeleton.left, skeleton.right):
        assert left[0] == "L" and right == "R" + left[1:]
    sides = {joint for joint in skeleton.joints if joint[0] in "LR" and joint[1].isupper()}
    assert sides == set(skeleton.left) | set(skeleton.right)
    assert [skeleton.joints[i] for i in skeleton.left_indices] == list(skeleton.left)
    assert [skeleton.joints[i] for i in skeleton.right_indices] == list(skeleton.right)


@pytest.mark.parametrize("skeleton", ROOTED, ids=lambda s: s.name)
def test_every_joint_descends_from_the_root(skeleton):
    assert skeleton.parents[skeleton.root_index] == -1
    for joint in range(len(skeleton.joints)):
        steps = 0
        while skeleton.parents[joint] >= 0:
            joint, steps = skeleton.parents[joint], steps + 1
            assert steps < len(skeleton.joints)
        assert joint == skeleton.root_index


@pytest.mark.parametrize("skeleton", ROOTED, ids=lambda s: s.name)
def test_the_mirror_of_a_bone_is_a_bone(skeleton):
    for joint, parent in enumerate(skeleton.parents):
        twin_parent = skeleton.parents[skeleton.mirrored[joint]]
        assert twin_parent == (skeleton.mirrored[parent] if parent >= 0 else -1)


def test_parents_come_before_their_children_in_the_internal_order():
    assert all(parent < joint for joint, parent in enumerate(H36M_17.parents))


def test_the_moving_joints_of_the_human36m_files():
    found = H36M_32.indices(*H36M_17.joints)
    assert found == [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]  # FORMATS
    assert H36M_17.left_indices == [4, 5, 6, 11, 12, 13]  # METHOD 1
    assert sorted(H36M_17.right_indices) == [1, 2, 3, 14, 15, 16]
    assert MPI_3DHP_17.root_index == 14


def test_an_unknown_joint_is_named():
    with pytest.raises(KeyError, match="COCO-17 has no joint 'Hip'"):
        COCO_17.index("Hip")


@pytest.mark.parametrize("source", [H36M_32, MPI_3DHP_17], ids=lambda s: s.name)
def test_joints_are_found_by_name(source):
    points = numbered(source)
    converted = convert(points, source, H36M_17)
    for joint in H36M_17.joints:
        name = RENAMED.get(joint, joint) if source is MPI_3DHP_17 else joint
        assert (converted[H36M_17.index(joint)] == points[source.index(name)]).all()


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_3dhp_and_back_is_exact(kind):
    points = kind(np.random.default_rng(0).normal(size=(2, 5, 17, 3)))
    there = convert(points, MPI_3DHP_17, H36M_17)
    assert isinstance(there, type(points))
    assert (convert(there, H36M_17, MPI_3DHP_17) == points).all()
    assert (convert(convert(points, H36M_17, MPI_3DHP_17), MPI_3DHP_17, H36M_17) == points).all()
    assert not (there == points).all()


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_coco_means(kind):
    points = kind(np.random.default_rng(0).normal(size=(4, 17, 2)))
    converted = convert(points, COCO_17, H36M_17)
    assert converted.shape == (4, 17, 2)

    def coco(*joints: str):
        return sum(points[:, COCO_17.index(joint)] for joint in joints) / len(joints)

    expected = {
        "Hip": coco("LHip", "RHip"), "Thorax": coco("LShoulder", "RShoulder"), "Head": coco("LEye", "REye"),
        "Spine": (coco("LHip", "RHip") + coco("LShoulder", "RShoulder")) / 2, "Neck/Nose": coco("nose"),
        "RFoot": coco("RAnkle"), "LWrist": coco("LWrist"), "LKnee": coco("LKnee"),
    }  # fmt: skip
    for joint, value in expected.items():
        assert abs(converted[:, H36M_17.index(joint)] - value).max() < 1e-12, joint


def test_converting_to_the_same_order_changes_nothing():
    points = torch.randn(3, 17, 3)
    assert torch.equal(convert(points, H36M_17, H36M_17), points)


def test_conversions_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="no conversion from Human3.6M-17 to COCO-17"):
        convert(torch.zeros(17, 2), H36M_17, COCO_17)
    with pytest.raises(ValueError, match="Human3.6M-32 has 32 joints, the points have 17"):
        convert(torch.zeros(17, 2), H36M_32, H36M_17)


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda s: s.name)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_mirror_is_its_own_inverse_and_leaves_its_input(skeleton, kind):
    points = kind(np.random.default_rng(0).normal(size=(2, 3, len(skeleton.joints), 3)))
    before = points + 0
    flipped = mirror(points, skeleton)
    assert (points == before).all()
    assert (mirror(flipped, skeleton) == points).all()
    left, right = skeleton.index("LKnee"), skeleton.index("RKnee")
    assert (flipped[..., left, 0] == -points[..., right, 0]).all()
    assert (flipped[..., left, 1:] == points[..., right, 1:]).all()


def test_mirror_passes_gradients():
    points = torch.randn(4, 17, 3, requires_grad=True)
    (mirror(points)[..., 0] * 2).sum().backward()
    assert (points.grad[..., 0] == -2).all() and (points.grad[..., 1:] == 0).all()


def test_mirroring_commutes_with_projection():
    pose, root, intrinsics = poses(4, 3), trajectories(4, 3), cameras()
    flipped = mirror(pose) + (root * torch.tensor([-1, 1, 1]))[..., None, :]
    seen = project(flipped, mirror_intrinsics(intrinsics))
    expected = mirror(project(pose + root[..., None, :], intrinsics))
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-12)
    # With the lens left as it was, the tangential term and the centre show.
    assert (project(flipped, intrinsics) - expected).abs().max() > 1e-3
