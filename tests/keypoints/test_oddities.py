"""What real files have, and readers stumble over."""

import json
from pathlib import Path

import numpy as np
import pytest
from detector_files import (
    HEIGHT,
    KINDS,
    SIZE,
    WIDTH,
    Scene,
    alphapose,
    coco,
    coco_labels,
    csv_file,
    deeplabcut,
    dump,
    flat_people,
    instances,
    mediapipe_wide,
    mmpose,
    openpose,
    scene,
    videopose3d,
    yolo,
)  # fmt: skip

from common.errors import InputError
from common.geometry.skeleton import JOINT_ORDERS
from common.keypoints.detections import to_h36m
from common.keypoints.read import read_keypoints


def save(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


# Frames.


def test_images_are_ordered_by_number_and_counted_from_the_first(tmp_path):
    people = flat_people(scene(frames=22, everyone=True), lambda frame: f"{frame + 7}.jpg", box=lambda _: [0, 0, 1, 1])
    by_text = sorted(people, key=lambda person: person["image_id"])
    found = read_keypoints(dump(tmp_path / "x.json", by_text))
    assert found.frame.tolist() == [frame for frame in range(22) for _ in range(2)] and found.frames == 22
    np.testing.assert_allclose(found.pixels[::2], scene(frames=22, everyone=True).values[:, 0, :, :2])
    assert "frame numbers begin at 7 in the file, here at 0" in found.notes


@pytest.mark.parametrize(
    "name",
    ["cam01.{:04d}.json", "{}.json", "IMG_{:03d}_1080p.json", "2024_01_02-{:012d}_keypoints.json", "f{}_v2.JSON"],
)
def test_the_frames_number_is_found_in_names(tmp_path, name):
    folder = openpose(tmp_path, scene("body25"), name=name)
    (folder / "._hidden.json").write_text("no JSON")
    assert read_keypoints(folder).frame.tolist() == scene("body25").rows()[0].tolist()


def test_frames_that_a_file_leaves_out_stay_gaps(tmp_path):
    frames = [{"frame_id": frame, "instances": instances(scene().people(0))} for frame in (3, 4, 9)]
    found = read_keypoints(dump(tmp_path / "x.json", frames))
    assert sorted(set(found.frame)) == [0, 1, 6] and found.frames == 7
    assert "4 of 7 frames without a person" in found.notes


def test_frames_with_nobody_at_the_ends_count(tmp_path):
    folder = openpose(tmp_path, scene("body25", everyone=True))
    for frame in (0, 1, 11):
        dump(sorted(folder.iterdir())[frame], {"people": []})
    found = read_keypoints(folder)
    assert found.frame.min() == 2 and found.frame.max() == 10 and found.frames == 12


def test_rows_of_empty_cells_are_frames_with_nobody(tmp_path):
    path = mediapipe_wide(tmp_path, scene("blazepose"))
    path.write_text("\n".join(line.partition(",")[2] for line in path.read_text().splitlines()))  # no column of frames
    assert read_keypoints(path, size=SIZE).frame.tolist() == scene("blazepose").alone().rows()[0].tolist()


def test_an_image_is_one_frame(tmp_path):
    found = read_keypoints(dump(tmp_path / "x.json", instances(scene().people(0))))
    assert found.frames == 1 and found.frame.tolist() == [0, 0] and found.format == "mmpose"


# People.


@pytest.mark.parametrize("idx", [3, 3.0, [3], [3.0], [[3.0]], [[3.0], [3.0]]])
def test_a_track_may_be_in_a_list(tmp_path, idx):
    people = flat_people(scene().alone(), str, idx=lambda _: idx)
    assert set(read_keypoints(dump(tmp_path / "x.json", people)).track) == {3}


def test_a_track_that_two_people_share_is_none(tmp_path):
    """As AlphaPose gives a passer-by the track of the person in front, in real files of theirs."""
    people = flat_people(scene(everyone=True), str, idx=lambda _: [0.0])
    found = read_keypoints(dump(tmp_path / "x.json", people))
    assert found.track is None
    assert "12 people share a track with another in their frame, tracks are not used" in found.notes


def test_tracks_of_some_are_no_tracks(tmp_path):
    people = flat_people(scene(everyone=True), str, idx=lambda person: person)
    people[0]["idx"] = []
    found = read_keypoints(dump(tmp_path / "x.json", people))
    assert found.track is None and "1 of 24 people without a track, tracks are not used" in found.notes


def test_people_without_keypoints_are_left_out_and_told(tmp_path):
    folder = openpose(tmp_path, scene("body25", everyone=True))
    for number, path in enumerate(sorted(folder.iterdir())):
        people = json.loads(path.read_text())["people"]
        people.append({"pose_keypoints_2d": [] if number % 2 else [0] * 75})
        dump(path, {"people": people})
    found = read_keypoints(folder)
    assert len(found.frame) == 24 and "12 people without a joint seen were left out" in found.notes


def test_a_bystander_in_every_frame_is_a_row_in_every_frame(tmp_path):
    found = read_keypoints(openpose(tmp_path, scene("body25b", everyone=True)))
    assert np.array_equal(found.frame, np.repeat(np.arange(12), 2)) and "up to 2 people in a frame" in found.notes


def test_strays_that_hold_nobody_are_left_out_of_a_folder(tmp_path):
    """As Pose2Sim's own demo has them; with somebody in them nobody knows which video is meant."""
    folder = openpose(tmp_path, scene("body25", everyone=True))
    whole = read_keypoints(folder)
    for number in (0, 1):
        dump(folder / f"del_{number:06d}_0.json", {"version": 1.3, "people": []})
    found = read_keypoints(folder)
    assert np.array_equal(found.pixels, whole.pixels) and found.frames == whole.frames
    assert "left out, numbered otherwise and empty: del_000000_0.json, del_000001_0.json" in found.notes
    somebody = json.loads((folder / "cam01_000000000000_keypoints.json").read_text())
    dump(folder / "del_000000_0.json", somebody)
    with pytest.raises(InputError, match="one file or image a frame"):
        read_keypoints(folder)


def test_openposes_own_tracks(tmp_path):
    folder = openpose(tmp_path, scene("body25", everyone=True))
    for path in folder.iterdir():
        people = json.loads(path.read_text())["people"]
        dump(path, {"people": [person | {"person_id": [5 + n]} for n, person in enumerate(people)]})
    assert read_keypoints(folder).track.tolist() == [5, 6] * 12


# Numbers.


def test_a_confidence_above_one_is_cut(tmp_path):
    made = scene(everyone=True)
    made.values[0, 0, 0, 2], made.values[3, 1, 4, 2] = 1.11, 1.05
    found = read_keypoints(alphapose(tmp_path, made))
    assert found.confidence.max() == found.confidence[0, 0] == 1
    assert "confidences above 1 were cut to 1, the largest is 1.11" in found.notes


def test_coordinates_outside_the_image_are_kept(tmp_path):
    made = scene(everyone=True)
    made.values[0, 0, 0, :2] = -35.5, 810
    found = read_keypoints(mmpose(tmp_path, made))
    assert found.pixels[0, 0].tolist() == [-35.5, 810] and found.confidence[0, 0] > 0


@pytest.mark.parametrize("missing", [(0, 0), (-1, -1), (np.nan, np.nan), (5, np.inf), (np.nan, 7)])
def test_every_way_to_say_missing(tmp_path, missing):
    made = scene(everyone=True)
    made.values[4, 1, 9, :2] = missing
    for path in (save(tmp_path, made.values), alphapose(tmp_path, made), mmpose(tmp_path, made)):
        found = read_keypoints(path)
        assert found.confidence[9, 9] == 0 and found.pixels[9, 9].tolist() == [0, 0]
        assert (np.delete(found.confidence[9], 9) > 0).all()


@pytest.mark.parametrize("sure", [0, -0.3, np.nan])
def test_no_confidence_is_a_missing_joint(tmp_path, sure):
    made = scene(everyone=True)
    made.values[4, 1, 9, 2] = sure
    found = read_keypoints(save(tmp_path, made.values))
    assert found.confidence[9, 9] == 0 and found.pixels[9, 9].tolist() == [0, 0]


def test_zero_on_one_axis_is_a_place(tmp_path):
    made = scene(everyone=True)
    made.values[4, 1, 9, :2] = 0, 300
    assert read_keypoints(save(tmp_path, made.values)).confidence[9, 9] > 0


@pytest.mark.parametrize("name", ["openpose body25", "mmpose", "coco results", "npz", "npy", "alphapose coco"])
def test_coordinates_from_0_to_1_need_the_size(tmp_path, name):
    kind = KINDS[name]
    made = scene(kind.order)
    expected = made.rows()[2]
    made.values /= [WIDTH, HEIGHT, 1]
    found = read_keypoints(kind.write(tmp_path, made), size=SIZE)
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)
    assert "coordinates from 0 to 1, multiplied by 1280 x 720" in found.notes and found.size == SIZE


def test_labels_by_hand_say_what_is_hidden(tmp_path):
    path = coco_labels(tmp_path, scene())
    document = json.loads(path.read_text())
    document["annotations"][0]["keypoints"][2] = 1
    document["annotations"].append({"image_id": 900, "bbox": [0, 0, 1, 1]})  # no keypoints: not a person to lift
    found = read_keypoints(dump(path, document))
    assert found.confidence[0, 0] == 0.5 and set(found.confidence[1:].ravel()) <= {0, 1}
    assert "labelled by hand: joints that are hidden count half" in found.notes


def test_yolo_may_say_how_sure_the_box_is(tmp_path):
    folder = yolo(tmp_path, scene())
    for path in folder.iterdir():
        path.write_text("".join(f"{line} 0.87\n" for line in path.read_text().splitlines()))
    assert read_keypoints(folder, size=SIZE).track is None


# Joints.


@pytest.mark.parametrize("order", ["body25", "body25b"])
def test_25_joints_are_told_apart_with_half_of_them_missing(tmp_path, order):
    for seed in range(5):
        made = scene(order, frames=3)
        made.values[np.random.default_rng(seed).random(made.values.shape[:3]) < 0.5] = 0
        assert read_keypoints(openpose(tmp_path / str(seed), made)).order == order


def test_25_joints_that_are_no_person_must_be_named(tmp_path):
    made = scene("body25")
    made.values[..., 1:, :] = 0
    folder = openpose(tmp_path, made)
    assert read_keypoints(folder, "openpose-body25").order == "body25"
    assert read_keypoints(folder, "openpose-body25b").order == "body25b"


@pytest.mark.parametrize(("joints", "order", "used"), [(133, "coco", 17), (136, "halpe26", 26)])
def test_of_a_whole_body_the_body_is_used(tmp_path, joints, order, used):
    made = scene(order)
    rest = np.random.default_rng(0).uniform(0.1, 0.9, (*made.values.shape[:2], joints - used, 3))
    found = read_keypoints(mmpose(tmp_path, Scene(np.concatenate([made.values, rest], 2), made.present, order)))
    assert found.order == order and np.array_equal(found.pixels, made.rows()[2])
    assert f"the first {used} of {joints} joints are used, the body's" in found.notes


def test_named_joints_may_be_in_any_order_and_have_any_names(tmp_path):
    made = scene("coco")
    shuffled = np.random.default_rng(0).permutation(17)
    words = {"L": "left_", "R": "right_"}
    names = tuple(words.get(n[0], "") + (n[1:] if n[0] in words else n).lower() for n in np.array(made.names)[shuffled])
    extra = Scene(np.concatenate([made.values[:, :, shuffled], made.values[:, :, :1]], 2), made.present, "coco")
    found = read_keypoints(deeplabcut(tmp_path, extra, names=(*names, "racket")))
    assert found.order == "coco" and "joints that are not used: racket" in found.notes
    np.testing.assert_allclose(found.pixels, made.rows()[2], atol=1e-6)


def test_an_order_is_not_taken_whose_hip_the_names_lack(tmp_path):
    made = scene("halpe26")
    kept = [joint for joint in range(26) if made.names[joint] not in ("hip", "neck", "head_top")]  # COCO's whole body
    path = deeplabcut(
        tmp_path, Scene(made.values[:, :, kept], made.present, ""), names=made.names[:17] + made.names[20:]
    )
    found = read_keypoints(path)
    assert found.order == "coco" and (to_h36m(found)[1] > 0).all(1).any()


def test_mmpose_may_name_the_joints(tmp_path):
    made = scene("coco")
    path = mmpose(tmp_path, Scene(made.values[:, :, ::-1], made.present, "coco"), wrapped=True)
    document = json.loads(path.read_text())
    document["meta_info"]["keypoint_id2name"] = {str(16 - joint): name for joint, name in enumerate(made.names)}
    assert np.array_equal(read_keypoints(dump(path, document)).pixels, made.rows()[2])


def test_named_joints_may_lack_some(tmp_path):
    made = scene("coco")
    body = Scene(made.values[:, :, 5:], made.present, "coco")
    found = read_keypoints(deeplabcut(tmp_path, body, names=made.names[5:]))
    assert (
        found.confidence[:, :5] == 0
    ).all() and "joints that the file lacks: nose, LEye, REye, LEar, REar" in found.notes
    np.testing.assert_allclose(found.pixels[:, 5:], made.rows()[2][:, 5:], atol=1e-6)


@pytest.mark.parametrize("header", ["landmark_{}_{}", "Landmark {} {}", "{}_{}"])
def test_headers_that_number_landmarks(tmp_path, header):
    path = mediapipe_wide(tmp_path, scene("blazepose"), header)
    np.testing.assert_allclose(read_keypoints(path, size=SIZE).pixels, scene("blazepose").alone().rows()[2], atol=1e-6)


def test_headers_that_name_landmarks_or_count_them_from_one(tmp_path):
    joints = JOINT_ORDERS["blazepose"].joints
    sides = {"L": "LEFT_", "R": "RIGHT_"}
    names = [sides.get(j[0], "") + (j[1:] if j[0] in sides else j).upper() for j in joints]
    expected = scene("blazepose").alone().rows()[2]
    for count, made in enumerate(([f"{n}_X" for n in names], [f"x{n}" for n in range(1, 34)])):
        others = [f"{n}_Y" for n in names] if count == 0 else [f"y{n}" for n in range(1, 34)]
        rows = [[*made, *others]]
        for values, present in zip(scene("blazepose").values[:, 0] / [*SIZE, 1], scene("blazepose").present[:, 0]):
            rows.append([f"{v:.12g}" if present else "" for v in values[:, :2].T.ravel()])
        found = read_keypoints(csv_file(tmp_path / f"{count}.csv", rows), size=SIZE)
        np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("key", ["pose_landmarks", "poseLandmarks", "landmarks", None])
def test_mediapipes_frames_may_be_bare_or_empty(tmp_path, key):
    made = scene("blazepose").alone()
    points = [
        [{"x": x, "y": y, "z": 0.2, "visibility": v} for x, y, v in made.values[f, 0] / [*SIZE, 1]] if there else None
        for f, there in enumerate(made.present[:, 0])
    ]
    frames = points if key is None else [{key: person} for person in points]
    for document in (frames, {str(number): frame for number, frame in enumerate(frames)}):
        found = read_keypoints(dump(tmp_path / "x.json", document), size=SIZE)
        assert found.format == "mediapipe-json" and np.array_equal(found.frame, made.rows()[0])
        np.testing.assert_allclose(found.pixels, made.rows()[2], atol=1e-6)


def test_a_landmark_below_the_image_is_kept(tmp_path):
    made = scene("blazepose", everyone=True)
    made.values[:, 0, -1, 1] = 1.65 * HEIGHT
    found = read_keypoints(mediapipe_wide(tmp_path, made), size=SIZE)
    np.testing.assert_allclose(found.pixels[:, -1, 1], 1.65 * HEIGHT)


# Several videos in a file.


def test_a_video_of_several_is_chosen_by_name(tmp_path):
    path = videopose3d(tmp_path, scene(), videos=3)
    one, other = (read_keypoints(path, video=f"clip{number}.mp4") for number in (0, 2))
    np.testing.assert_allclose(other.pixels[one.confidence > 0], one.pixels[one.confidence > 0] + 2)


def test_an_array_of_several_is_chosen_by_name(tmp_path):
    one, other = scene("blazepose", everyone=True), scene("coco", everyone=True)
    np.savez(tmp_path / "x.npz", mine=one.values, theirs=other.values[:, 0], rate=np.array(30))
    assert read_keypoints(tmp_path / "x.npz", video="mine").order == "blazepose"
    assert np.array_equal(read_keypoints(tmp_path / "x.npz", video="theirs").pixels, other.values[:, 0, :, :2])


def test_a_byte_order_mark_does_no_harm(tmp_path):
    for write in (coco, deeplabcut):
        path = write(tmp_path, scene())
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(read_keypoints(path).frame) == len(scene().rows()[0])
