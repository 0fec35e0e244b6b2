"""The joints of BVH files are found by name, whatever the scheme."""

import json
import re
from pathlib import Path

import pytest
from bvh_files import CGSPEED, CGSPEED_ENDS, ENDS, MIXAMO, bvh_text

from common.errors import InputError
from common.mocap.bvh import Bvh, read_bvh
from common.mocap.joint_names import match_joints, read_map

PLAIN = {"UpLeg": "Hip", "Leg": "Knee", "Foot": "Ankle", "ToeBase": "Foot", "Arm": "Shoulder", "ForeArm": "Elbow",
         "Hand": "Wrist", "Shoulder": "Collar"}  # fmt: skip
BIPED = {"UpLeg": "Thigh", "Leg": "Calf", "Foot": "Foot", "ToeBase": "Toe0", "Arm": "UpperArm", "ForeArm": "Forearm",
         "Hand": "Hand", "Shoulder": "Clavicle"}  # fmt: skip


def scheme(sided: str, names: dict[str, str], central: str = "{n}", change=str):
    """Mixamo's names -> another scheme's; `sided` has {side} (Left or Right), {s} (L or R) and {n}."""

    def rename(name: str) -> str:
        found = re.fullmatch(r"(Left|Right)(.*)", name)
        if not found:
            return change(central.format(n=name))
        side, part = found.groups()
        return change(sided.format(side=side, s=side[0], n=names.get(part, part)))

    return rename


SCHEMES = {
    "MotionBuilder": scheme("{side}{n}", {}),
    "Mixamo": scheme("mixamorig:{side}{n}", {}, "mixamorig:{n}"),
    "Mixamo, numbered": scheme("mixamorig1_{side}{n}", {}, "mixamorig1_{n}"),
    "LHip": scheme("{s}{n}", PLAIN),
    "left_knee": scheme("{side}_{n}", PLAIN, change=str.lower),
    "leftknee": scheme("{side}{n}", PLAIN, change=str.lower),
    "LEFTKNEE": scheme("{side}{n}", PLAIN, change=str.upper),
    "SMPL": scheme("{s}_{n}", PLAIN),
    "Biped": scheme("Bip01 {s} {n}", BIPED, "Bip01 {n}"),
    "Unreal": scheme("{n}_{s}", BIPED | {"ToeBase": "ball", "ForeArm": "lowerarm"}, change=str.lower),
    "Rigify": scheme("{n}.{s}", BIPED | {"Leg": "shin", "ToeBase": "toe", "Arm": "upper_arm"}, change=str.lower),
}


def bvh_of(tmp_path: Path, **options) -> Bvh:
    (tmp_path / "x.bvh").write_text(bvh_text([{}], **options))
    return read_bvh(tmp_path / "x.bvh")


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_are_matched(tmp_path, name):
    rename = SCHEMES[name]
    names = match_joints(bvh_of(tmp_path, rename=rename))
    expected = {"Spine": "Spine1", "Thorax": "Neck", "Head": "Head End"}
    parts = {"Hip": "UpLeg", "Knee": "Leg", "Foot": "Foot", "ToeBase": "ToeBase", "ToeSite": "ToeBase End",
             "Shoulder": "Arm", "Elbow": "ForeArm", "Wrist": "Hand"}  # fmt: skip
    expected |= {f"{s[0]}{ours}": f"{s}{theirs}" for s in ("Left", "Right") for ours, theirs in parts.items()}

    def in_file(mixamo: str) -> str:
        joint = mixamo.removesuffix(" End")
        return rename(joint) + " End" * (joint != mixamo)

    assert names == {ours: (in_file(theirs),) for ours, theirs in expected.items()}


def test_cgspeed_is_matched(tmp_path):
    names = match_joints(bvh_of(tmp_path, joints=CGSPEED, ends=CGSPEED_ENDS))
    expected = {"LHip": "LeftUpLeg", "RKnee": "RightLeg", "LFoot": "LeftFoot", "Spine": "Spine", "Thorax": "Neck",
                "Head": "Head End", "RShoulder": "RightArm", "LElbow": "LeftForeArm", "LWrist": "LeftHand"}  # fmt: skip
    assert {ours: names[ours] for ours in expected} == {ours: (theirs,) for ours, theirs in expected.items()}


def test_a_head_that_ends_in_a_joint_and_a_body_without_a_neck(tmp_path):
    joints = MIXAMO | {"HeadTop_End": ("Head", (0.0, 0.18, 0.0))}
    ends = {name: offset for name, offset in ENDS.items() if name != "Head"}
    assert match_joints(bvh_of(tmp_path, joints=joints, ends=ends))["Head"] == ("HeadTop_End",)
    names = match_joints(bvh_of(tmp_path, rename=lambda name: "Nape" if name == "Neck" else name))
    assert names["Thorax"] == ("LeftArm", "RightArm")


def strange(name: str) -> str:
    return {"LeftLeg": "Bone7", "RightHand": "Bone9"}.get(name, name)


def test_an_unknown_joint_is_one_clear_line(tmp_path):
    with pytest.raises(InputError) as caught:
        match_joints(bvh_of(tmp_path, rename=strange))
    message = str(caught.value)
    assert "no joint found for RWrist, LKnee by name" in message or "no joint found for LKnee, RWrist" in message
    assert "--map" in message
    assert "Bone7" in message
    assert "\n" not in message


@pytest.mark.parametrize("json_file", [True, False])
def test_a_map_goes_before_the_names(tmp_path, json_file):
    if json_file:
        text = json.dumps({"LKnee": "Bone7", "RWrist": "bone9", "Spine": ["Spine", "Spine2"]})
    else:
        text = "# mine\nLKnee = Bone7\n\nRWrist = bone9  # any case\nSpine = Spine, Spine2\n"
    (tmp_path / "map").write_text(text)
    names = match_joints(bvh_of(tmp_path, rename=strange), read_map(tmp_path / "map"))
    assert (names["LKnee"], names["RWrist"], names["Spine"]) == (("Bone7",), ("Bone9",), ("Spine", "Spine2"))
    assert names["RKnee"] == ("RightLeg",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LKnee Bone7", "map, line 1: expected 'LHip = LeftUpLeg'"),
        ("\nKnee = Bone7", "map, line 2: expected each of"),
        ("LKnee = a\nLKnee = b", "map, line 2: expected each of"),
        ("LKnee = ", "map, line 1: expected the name of a joint for LKnee"),
        ('{"LKnee": 7}', "map: expected the name of a joint for LKnee, found 7"),
        ('{"LKnee": ', "map, line 1: expected JSON"),
        ("LKnee = Bone8", "--map: "),
    ],
)
def test_wrong_maps_are_one_clear_line(tmp_path, text, expected):
    (tmp_path / "map").write_text(text)
    with pytest.raises(InputError) as caught:
        match_joints(bvh_of(tmp_path, rename=strange), read_map(tmp_path / "map"))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_map_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="--map .*none: cannot be read"):
        read_map(tmp_path / "none")
