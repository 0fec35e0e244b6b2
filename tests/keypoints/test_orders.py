"""The joint orders of detectors: sides, conversions, what they are called."""

import numpy as np
import pytest

from common.geometry.skeleton import H36M_17, HALPE_26, JOINT_ORDERS, conversion_name, convert, joint_sources
from common.keypoints.orders import DETECTORS, joint_key, order_by_names


@pytest.mark.parametrize("order", DETECTORS)
def test_sides_pair_up(order):
    skeleton = JOINT_ORDERS[order]
    assert len(set(skeleton.joints)) == len(skeleton.joints)
    assert [joint[1:] for joint in skeleton.left] == [joint[1:] for joint in skeleton.right]
    sides = {joint for joint in skeleton.joints if joint[0] in "LR" and joint[1].isupper()}
    assert sides == set(skeleton.left) | set(skeleton.right)


def test_the_numbers_of_joints_as_published():
    halpe = [[19], [12], [14], [16], [11], [13], [15], [18, 19], [18], [0], [17], [5], [7], [9], [6], [8], [10]]
    assert joint_sources(HALPE_26, H36M_17) == halpe  # FORMATS
    published = {  # neck or shoulders, right elbow, left wrist, right hip, left ankle, left and right eye
        "body25": ((1,), (3,), (7,), (9,), (14,), (16, 15)),
        "openpose18": ((1,), (3,), (7,), (8,), (13,), (15, 14)),
        "body25b": ((5, 6), (8,), (9,), (12,), (15,), (18,)),
        "blazepose": ((11, 12), (14,), (15,), (24,), (27,), (2, 5)),
    }
    joints = H36M_17.indices("Thorax", "RElbow", "LWrist", "RHip", "LFoot", "Head")
    for order, expected in published.items():
        found = joint_sources(JOINT_ORDERS[order], H36M_17)
        assert tuple(tuple(found[joint]) for joint in joints) == expected, order


@pytest.mark.parametrize("order", DETECTORS)
def test_a_spine_is_midway_between_hip_and_thorax(order):
    points = np.random.default_rng(0).normal(size=(5, len(JOINT_ORDERS[order].joints), 2))
    made = convert(points, JOINT_ORDERS[order], H36M_17)
    hip, spine, thorax = made[:, H36M_17.indices("Hip", "Spine", "Thorax")].swapaxes(0, 1)
    np.testing.assert_allclose(spine, (hip + thorax) / 2, atol=1e-12)


def test_a_conversion_says_what_it_does():
    assert conversion_name("h36m") == "Human3.6M-17 as it is"
    said = conversion_name("coco")
    assert said.startswith("COCO-17 to Human3.6M-17: Hip = mean(LHip, RHip); RFoot = RAnkle;")
    assert "Head = mean(LEye, REye)" in said and said.endswith("the rest by name")
    assert len({conversion_name(order) for order in JOINT_ORDERS}) == len(JOINT_ORDERS)


def test_a_joint_has_many_names():
    for name in (
        "LShoulder",
        "left_shoulder",
        "Left Shoulder",
        "shoulder_l",
        "lshoulder",
        "leftshoulder",
        "SHOULDER-LEFT",
    ):
        assert joint_key(name) == ("l", "shoulder"), name
    assert joint_key("pelvis") == joint_key("MidHip") == joint_key("hip") != joint_key("LHip")


@pytest.mark.parametrize("order", DETECTORS)
def test_names_tell_the_order(order):
    backwards = list(reversed(JOINT_ORDERS[order].joints))
    found, columns, unused = order_by_names(backwards, "here")
    assert found == order and not unused
    assert columns == list(reversed(range(len(backwards))))
