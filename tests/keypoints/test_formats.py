"""The same people, written as every detector does, are read as the same `Detections`."""

import numpy as np
import pytest
from detector_files import KINDS, SIZE, scene

from common.geometry.skeleton import H36M_17, JOINT_ORDERS, convert
from common.keypoints.detections import to_h36m
from common.keypoints.read import FORMATS, read_keypoints


def test_every_format_that_content_can_tell_is_written_here():
    asked_for = {"openpose-body25", "openpose-body25b", "h36m-array"}
    assert {kind.format for kind in KINDS.values()} == FORMATS.keys() - asked_for


@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
@pytest.mark.parametrize("name", KINDS)
def test_two_people_with_gaps_come_out_as_they_went_in(tmp_path, name, named):
    kind = KINDS[name]
    made = scene(kind.order)
    path = kind.write(tmp_path, made)
    found = read_keypoints(path, kind.format if named else None, SIZE if kind.size else None)
    frame, track, pixels, confidence = (made.alone() if kind.alone else made).rows()
    assert (found.format, found.order) == (kind.format, kind.order)
    assert np.array_equal(found.frame, frame) and found.frame.dtype == np.int64
    assert found.pixels.shape == pixels.shape and found.pixels.dtype == found.confidence.dtype == np.float64
    np.testing.assert_allclose(found.pixels, pixels, atol=1e-6)
    np.testing.assert_allclose(found.confidence, confidence if kind.sure else confidence > 0, atol=1e-6)
    if kind.tracks:
        assert found.track.dtype == np.int64 and np.array_equal(found.track - found.track.min(), track)
    else:
        assert found.track is None


@pytest.mark.parametrize("name", KINDS)
def test_gaps_stay_gaps_and_are_told(tmp_path, name):
    kind = KINDS[name]
    made = scene(kind.order)
    found = read_keypoints(kind.write(tmp_path, made), size=SIZE if kind.size else None)
    listed = name not in ("alphapose coco", "alphapose halpe", "coco results", "mediapipe long")  # lists empty frames
    frames = len(made.values) if listed else int(found.frame.max()) + 1
    assert found.frames == frames
    vacant = frames - len(set(found.frame))
    assert vacant and f"{vacant} of {frames} frames without a person" in found.notes
    assert ("up to 2 people in a frame" in found.notes) is not kind.alone


def test_the_size_and_rate_of_the_file_are_told(tmp_path):
    found = read_keypoints(KINDS["mediapipe json"].write(tmp_path, scene("blazepose")))
    assert found.size == SIZE and found.fps == 25
    assert read_keypoints(KINDS["coco labels"].write(tmp_path, scene())).size == SIZE
    assert read_keypoints(KINDS["videopose3d"].write(tmp_path, scene())).size == SIZE
    found = read_keypoints(KINDS["mmpose"].write(tmp_path, scene()))
    assert found.size is None and found.fps is None


def test_the_users_size_goes_before_the_files(tmp_path):
    path = KINDS["videopose3d 0 to 1"].write(tmp_path, scene())
    found, asked = read_keypoints(path), read_keypoints(path, size=(640, 360))
    np.testing.assert_allclose(asked.pixels * 2, found.pixels)
    assert "the file says that the image is 1280 x 720, taken to be 640 x 360 as asked" in asked.notes


def test_coco_without_names_is_said_to_be_assumed(tmp_path):
    said = "17 joints without names, taken to be in COCO order"
    assert said in read_keypoints(KINDS["npz"].write(tmp_path, scene())).notes
    assert said not in read_keypoints(KINDS["coco labels"].write(tmp_path, scene())).notes


def test_human36m_arrays_are_read_on_request(tmp_path):
    values = np.random.default_rng(0).uniform(100, 900, (5, 17, 2))
    np.save(tmp_path / "h36m.npy", values)
    found = read_keypoints(tmp_path / "h36m.npy", "h36m-array")
    assert found.order == "h36m" and found.format == "h36m-array"
    assert np.array_equal(to_h36m(found)[0], values)


@pytest.mark.parametrize("order", [order for order in JOINT_ORDERS if order not in ("h36m", "3dhp")])
def test_the_joints_become_human36ms(tmp_path, order):
    made = scene(order, everyone=True)
    np.save(tmp_path / "x.npy", made.values)
    found = read_keypoints(tmp_path / "x.npy")
    pixels, confidence = to_h36m(found)
    assert found.order == order and pixels.shape == (24, 17, 2) and confidence.shape == (24, 17)
    expected = convert(made.values.reshape(24, -1, 3)[..., :2], JOINT_ORDERS[order], H36M_17)
    np.testing.assert_allclose(pixels[confidence > 0], expected[confidence > 0])
    wrist, hand = H36M_17.index("LWrist"), JOINT_ORDERS[order].index("LWrist")
    assert confidence[4, wrist] == 0 and (pixels[4, wrist] == 0).all()  # missed in frame 2 of the first person
    assert np.array_equal(confidence[:, wrist], found.confidence[:, hand])


def test_a_joint_of_several_is_as_sure_as_the_least_sure(tmp_path):
    made = scene(everyone=True)
    coco = JOINT_ORDERS["coco"]
    left, right = coco.indices("LHip", "RHip")
    made.values[0, 0, [left, right], 2] = 0.4, 0.7
    made.values[1, 0, left] = 0
    np.save(tmp_path / "x.npy", made.values[:, :1])
    pixels, confidence = to_h36m(read_keypoints(tmp_path / "x.npy"))
    hip, spine = H36M_17.indices("Hip", "Spine")
    assert confidence[0, hip] == 0.4 and confidence[0, spine] <= 0.4
    np.testing.assert_allclose(pixels[0, hip], made.values[0, 0, [left, right], :2].mean(0))
    assert (confidence[1, [hip, spine]] == 0).all() and (pixels[1, [hip, spine]] == 0).all()
