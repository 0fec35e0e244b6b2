"""BVH files -> Human3.6M's joints, on files made by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
from bvh_files import CGSPEED, CGSPEED_ENDS, ENDS, MIXAMO, bvh_text, dance

from common.errors import InputError
from common.geometry.skeleton import H36M_32
from common.mocap.asf_amc import rotation
from common.mocap.bvh import places, read_bvh, turn
from common.mocap.from_bvh import UNITS, read_clip


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "x.bvh").write_text(text)
    return tmp_path / "x.bvh"


def ends_of(tmp_path: Path, frames: list, **options) -> dict[str, np.ndarray]:
    bvh = read_bvh(write(tmp_path, bvh_text(frames, unit=1, **options)))
    return places(bvh, turn(bvh, set(bvh.joints), 0, len(frames)))


def joints_of(positions: np.ndarray) -> dict[str, np.ndarray]:
    return {name: positions[:, H36M_32.index(name)] for name in H36M_32.joints}


def test_zero_pose_is_the_sum_of_the_offsets(tmp_path):
    ends = ends_of(tmp_path, [{"": (1, 2, 3)}])
    np.testing.assert_allclose(ends["Head End"][0], [1, 2 + 0.1 + 0.13 + 0.13 + 0.14 + 0.1 + 0.18, 3.02], atol=1e-9)
    np.testing.assert_allclose(ends["RightHand"][0], [1 - 0.71, 2 + 0.46, 3], atol=1e-9)


def test_an_elbow_takes_the_hand_along_and_nothing_else(tmp_path):
    ends = ends_of(tmp_path, [{}, {"LeftForeArm": (90, 0, 0)}])  # about z: +x turns to +y
    np.testing.assert_allclose(ends["LeftHand"][1] - ends["LeftHand"][0], [-0.25, 0.25, 0], atol=1e-9)
    for name in set(ends) - {"LeftHand", "LeftHand End"}:
        np.testing.assert_allclose(ends[name][1], ends[name][0], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "ZYX", "YXZ"])
def test_channels_turn_from_the_left_in_any_order(tmp_path, order):
    angles = (30.0, -50.0, 70.0)
    ends = ends_of(tmp_path, [{"Hips": angles}], order=order)
    expected = np.eye(3)
    for axis, angle in zip(order, angles):
        expected = expected @ rotation((axis.lower(),), np.radians([angle]))
    np.testing.assert_allclose(ends["LeftLeg"][0], expected @ [0.1, -0.5, 0], atol=1e-9)


def test_a_root_of_three_channels_stays_where_it_is(tmp_path):
    ends = ends_of(tmp_path, dance(3), root="")
    assert not ends["Hips"].any()


def test_a_joint_with_positions_slides(tmp_path):
    text = bvh_text([{}, {}], unit=1)
    text = text.replace("CHANNELS 3 Zrotation", "CHANNELS 4 Yposition Zrotation", 1)  # the first joint after the root
    *head, one, two = text.splitlines()
    rows = [one.split()[:6] + ["0.1"] + one.split()[6:], two.split()[:6] + ["0.5"] + two.split()[6:]]
    bvh = read_bvh(write(tmp_path, "\n".join([*head, *(" ".join(row) for row in rows)])))
    ends = places(bvh, turn(bvh, set(bvh.joints), 0, 2))
    np.testing.assert_allclose(ends["Spine"], [[0, 0.1, 0], [0, 0.5, 0]], atol=1e-9)
    np.testing.assert_allclose(ends["Head"][1] - ends["Head"][0], [0, 0.4, 0], atol=1e-9)


def test_positions_that_are_always_zero_leave_the_offset(tmp_path):
    text = bvh_text([{}], unit=1).replace("CHANNELS 3 Zrotation", "CHANNELS 4 Yposition Zrotation", 1)
    bvh = read_bvh(write(tmp_path, text.rstrip("\n") + " 0\n"))
    assert places(bvh, turn(bvh, set(bvh.joints), 0, 1))["Spine"][0, 1] == pytest.approx(0.1)


def test_a_joint_on_one_line_is_read_the_same(tmp_path):
    text = bvh_text(dance(3))
    one = read_bvh(write(tmp_path, re.sub(r"\s+([{}]|OFFSET|CHANNELS)", r" \1", text)))
    other = read_bvh(write(tmp_path, text.replace("\n", "\r\n")))
    assert list(one.joints) == list(other.joints)
    for name, joint in one.joints.items():
        np.testing.assert_array_equal(joint.offset, other.joints[name].offset)
        assert joint.channels == other.joints[name].channels


@pytest.mark.parametrize(
    ("frame_time", "fps"), [(".0083333", 120), ("0.033333", 30), ("0.0400", 25), ("0.0415", 1 / 0.0415)]
)
def test_frame_time_is_the_rate(tmp_path, frame_time, fps):
    assert read_bvh(write(tmp_path, bvh_text(dance(3), frame_time=frame_time))).fps == pytest.approx(fps, rel=1e-9)


def test_people_stand_on_the_floor_with_left_and_right_as_they_are(tmp_path):
    clip = read_clip(write(tmp_path, bvh_text(dance(61, speed=1.2, fps=60), frame_time="0.0166667")))
    assert len(clip.positions) == 51  # one second
    joint = joints_of(clip.positions)
    assert abs(np.stack([joint[n][:, 2] for n in ("LToeBase", "RToeBase", "LToeSite", "RToeSite")]).min()) < 0.02
    assert (joint["Head"][:, 2] > 1.4).all()
    walked = joint["Hip"][-1] - joint["Hip"][0]
    forward = np.array([0, -1.0, 0])  # the file's +z
    assert walked @ forward == pytest.approx(1.2, abs=0.05)
    for name in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"):
        assert ((joint["L" + name] - joint["R" + name]) @ np.cross([0, 0, 1], forward)).mean() > 0.05, name
    assert ((joint["Neck/Nose"] - (joint["Thorax"] + joint["Head"]) / 2) @ forward).mean() > 0.02
    np.testing.assert_allclose(joint["Hip"], (joint["LHip"] + joint["RHip"]) / 2, atol=1e-9)
    for ours, theirs in {"LKnee": "LHip", "LWrist": "LElbow"}.items():
        lengths = np.linalg.norm(joint[ours] - joint[theirs], axis=-1)
        np.testing.assert_allclose(lengths, {"LKnee": 0.42, "LWrist": 0.25}[ours], atol=1e-6)


@pytest.mark.parametrize("units", UNITS)
def test_units_come_from_the_leg(tmp_path, units):
    frames = dance(5)
    metres = read_clip(write(tmp_path, bvh_text(frames, unit=1))).positions
    clip = read_clip(write(tmp_path, bvh_text(frames, unit=UNITS[units])))
    assert clip.units == units
    np.testing.assert_allclose(clip.positions, metres, atol=1e-6)


def test_a_file_with_z_up_gives_the_same_person_turned(tmp_path):
    def turned(values):
        x, y, z = values
        return (x, -z, y)

    joints = {name: (parent, turned(offset)) for name, (parent, offset) in MIXAMO.items()}
    text = bvh_text([{"": (0, 0, 0.9), "LeftUpLeg": (0, 0, 5)}], joints, {n: turned(o) for n, o in ENDS.items()})
    clip = read_clip(write(tmp_path, text))
    joint = joints_of(clip.positions)
    assert joint["Head"][0, 2] > 1.4
    assert "up is the file's z axis" in clip.notes


@pytest.mark.parametrize(("joints", "ends"), [(MIXAMO, ENDS), (CGSPEED, CGSPEED_ENDS)])
def test_a_t_pose_at_the_start_is_left_out(tmp_path, joints, ends):
    frames = dance(49, joints)
    still = {"": frames[0][""], "LeftUpLeg": (-21.0, 0.0, 0.0), "RightUpLeg": (21.0, 0.0, 0.0)}
    with_pose = read_clip(write(tmp_path, bvh_text([still, *frames], joints, ends)))
    without = read_clip(write(tmp_path, bvh_text(frames, joints, ends)))
    assert "left out the first frame, a T-pose" in with_pose.notes
    assert not any("T-pose" in note for note in without.notes)
    np.testing.assert_array_equal(with_pose.positions, without.positions)


def test_what_cgspeed_loses_is_put_back(tmp_path):
    clip = read_clip(write(tmp_path, bvh_text(dance(9, CGSPEED), CGSPEED, CGSPEED_ENDS)))
    joint = joints_of(clip.positions)
    np.testing.assert_allclose(np.linalg.norm(joint["LWrist"] - joint["LElbow"], axis=-1), 0.27, atol=1e-6)
    assert np.linalg.norm(joint["Thorax"] - joint["Spine"], axis=-1).mean() == pytest.approx(0.24, abs=0.005)
    np.testing.assert_allclose(
        np.linalg.norm(joint["LShoulder"] - joint["Thorax"], axis=-1), np.hypot(0.18, 0.04), atol=1e-6
    )
    assert any("the thorax bone (12.0 cm) and the forearm's end (9.0 cm)" in note for note in clip.notes)


def test_files_of_others_are_not_mended(tmp_path):
    joints = CGSPEED | {"Neck": ("Spine1", (0.0, 0.12, 0.0))}
    clip = read_clip(write(tmp_path, bvh_text(dance(9, joints), joints, CGSPEED_ENDS)))
    assert not any("cgspeed" in note for note in clip.notes)


def _line(number: int, new: str | None):
    def change(text: str) -> str:
        lines = text.splitlines()
        lines[number - 1 : number] = [] if new is None else [new]
        return "\n".join(lines) + "\n"

    return change


TEXT = bvh_text(dance(3))
FIRST = next(i for i, line in enumerate(TEXT.splitlines(), 1) if line.startswith("Frame Time")) + 1
BROKEN = {
    "empty": (lambda text: "", ", line 1: a BVH file starts with HIERARCHY"),
    "another file": (lambda text: "hello\n", ", line 1: a BVH file starts with HIERARCHY"),
    "offset": (_line(4, "OFFSET 0 x 0"), ", line 4: OFFSET should be 3 finite numbers, found '0 x 0'"),
    "offset too short": (_line(4, "OFFSET 0 0"), ", line 4: OFFSET should be 3"),
    "channel count": (_line(5, "CHANNELS 5 Xposition"), ", line 5: CHANNELS should be a count and as many names"),
    "channel name": (_line(5, "CHANNELS 1 Wposition"), ", line 5: expected each of Xposition ... Zrotation"),
    "brace lost": (_line(3, None), ", line 3: '{' belongs after a joint's name"),
    "brace open": (lambda text: text.replace("}\nMOTION", "MOTION"), "braces are open where MOTION begins"),
    "unknown word": (_line(4, "OFSET 0 0 0"), ", line 4: ROOT, JOINT, End Site, OFFSET or CHANNELS was expected"),
    "joint twice": (lambda text: text.replace("JOINT Spine1", "JOINT Spine"), "named twice, found 'Spine'"),
    "two people": (lambda text: text.replace("MOTION", "ROOT B\n{\n}\nMOTION"), "a second ROOT; one person per file"),
    "no motion": (lambda text: text[: text.index("MOTION")], "the file ends without MOTION"),
    "no frames": (lambda text: text[: text.index("Frames")], "'Frames:' and 'Frame Time:' were expected"),
    "frames": (_line(FIRST - 2, "Frames: many"), f", line {FIRST - 2}: 'Frames: a positive number' was expected"),
    "frame time": (_line(FIRST - 1, "Frame Time: 0"), f", line {FIRST - 1}: 'Frame Time: a positive number'"),
    "frame time off": (_line(FIRST - 1, "Frame Time: 30"), f", line {FIRST - 1}: Frame Time should be 0.0001 to 1"),
    "value missing": (_line(FIRST + 1, "1 2 3"), f", line {FIRST + 1}: a frame should be 69 finite numbers, found 3"),
    "no number": (lambda text: text[:-2] + "x\n", f", line {FIRST + 2}: a frame should be 69 finite numbers"),
    "not finite": (lambda text: text.replace("\n0 90 ", "\nnan 90 ", 1), f", line {FIRST}: a frame should be"),
    "cut off": (_line(FIRST + 2, None), "'Frames:' says 3, found 2"),
    "never moves": (lambda text: bvh_text([{}] * 3), ": in every frame most angles are exactly 0"),
    "a dwarf": (lambda text: bvh_text(dance(3), unit=50), "from hip to ankle it is"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_clear_line(tmp_path, case):
    change, expected = BROKEN[case]
    path = write(tmp_path, change(TEXT))
    with pytest.raises(InputError) as caught:
        read_clip(path)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_are_one_clear_line(tmp_path):
    (tmp_path / "x.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="expected a BVH text file"):
        read_bvh(tmp_path / "x.bvh")
