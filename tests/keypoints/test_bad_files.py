"""What cannot be read is said in one line: what, where, expected, found."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from detector_files import KINDS, SIZE, dump, flat_people, instances, mmpose, openpose, scene, videopose3d, yolo

from common.datasets.npz import write_npz
from common.errors import InputError
from common.keypoints.detections import Detections
from common.keypoints.read import FORMATS, read_keypoints

EACH = pytest.mark.parametrize("name", KINDS)


def refusal(path: Path, *fragments: str, **options: object) -> str:
    """The one line that says what is wrong, with all of the fragments in it."""
    with pytest.raises(InputError) as caught:
        read_keypoints(path, **options)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 600, text
    for fragment in fragments:
        assert fragment in text, f"{fragment!r} not in {text!r}"
    return text


def written(name: str, folder: Path, frames: int = 12) -> tuple[Path, Path, dict]:
    """What to read, one file of it, and the options."""
    kind = KINDS[name]
    path = kind.write(folder, scene(kind.order, frames))
    inside = sorted(path.iterdir())[0] if path.is_dir() else path
    return path, inside, {"size": SIZE} if kind.size else {}


# Files of every format.


@EACH
@pytest.mark.parametrize("named", [False, True])
def test_an_empty_file(tmp_path, name, named):
    path, inside, options = written(name, tmp_path)
    for file in [inside] if path == inside else path.iterdir():
        file.write_bytes(b"")
    refusal(path, str(path), format=KINDS[name].format if named else None, **options)


@EACH
def test_a_path_that_is_not_there(tmp_path, name):
    refusal(tmp_path / "nowhere", "no such file or folder", format=KINDS[name].format)


@EACH
def test_a_folder_for_a_file_and_a_file_for_a_folder(tmp_path, name):
    path, inside, options = written(name, tmp_path / "made")
    if path.is_dir():
        if KINDS[name].format != "mmpose":  # whose single files are images
            refusal(inside, "found one file; give the folder it lies in", format=KINDS[name].format, **options)
    else:
        refusal(path.parent, "expected", "found", format=KINDS[name].format, **options)
        (tmp_path / "empty").mkdir()
        refusal(tmp_path / "empty", "expected", "found", format=KINDS[name].format, **options)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b"null", b"7", b'"a"', b"[[[]]]", b"[null]", b"[{}]", b"a,b\n1,2\n", b"x"]
)
def test_every_reader_refuses_what_is_something_else(tmp_path, format, content):
    (tmp_path / "0.json").write_bytes(content)
    (tmp_path / "0.txt").write_bytes(content)
    for path in (tmp_path / "0.json", tmp_path):
        refusal(path, str(tmp_path), "expected", "found", format=format, size=SIZE)


@EACH
def test_every_reader_refuses_the_files_of_the_others(tmp_path, name):
    path, _, options = written(name, tmp_path)
    same = {"coco": {"alphapose"}, "alphapose": {"coco"}, "openpose": {"openpose-body25", "openpose-body25b"}}
    for format in FORMATS.keys() - {KINDS[name].format, "h36m-array"} - same.get(KINDS[name].format, set()):
        refusal(path, str(path), "expected", "found", format=format, **options)


@EACH
def test_a_file_that_ends_too_early_or_has_other_bytes(tmp_path, name):
    path, inside, options = written(name, tmp_path, frames=3)
    whole, rng = inside.read_bytes(), np.random.default_rng(0)
    for end in np.linspace(0, len(whole) - 1, 25).astype(int):
        inside.write_bytes(whole[:end])
        read_or_refuse(path, options)
    for number in range(40):
        changed = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + number % 4):
            changed[place] = rng.integers(0, 256) if number % 2 else rng.choice(list(b'0-9.eE[]{},:"ntrue \n\xff'))
        inside.write_bytes(bytes(changed))
        read_or_refuse(path, options)


def read_or_refuse(path: Path, options: dict) -> None:
    """Whatever the bytes are, there are sound numbers or one line."""
    try:
        found = read_keypoints(path, **options)
    except InputError as error:
        assert str(error).isprintable(), str(error)
        return
    assert isinstance(found, Detections) and len(found.frame) == len(found.pixels) == len(found.confidence) > 0
    assert np.isfinite(found.pixels).all() and (found.confidence >= 0).all() and (found.confidence <= 1).all()
    assert (np.diff(found.frame) >= 0).all() and found.frame[0] >= 0 and found.frame[-1] < found.frames
    assert all(note.isprintable() for note in found.notes)


# JSON.

Edit = Callable[[list], object]
JSON = ("alphapose coco", "coco results", "mmpose", "openpose body25", "mediapipe json")


def edited(name: str, folder: Path, edit: Callable) -> tuple[Path, dict]:
    """A file of JSON whose first person was changed by `edit`, in place."""
    path, inside, options = written(name, folder)
    document = json.loads(inside.read_text())
    frame = document["frames"][0] if name == "mediapipe json" else document[0] if name == "mmpose" else document
    people = (
        frame if isinstance(frame, list) else next(frame[k] for k in ("people", "instances", "landmarks") if k in frame)
    )
    edit(people)
    dump(inside, document)
    return path, options


def numbers_of(person: dict | list) -> list:
    """The list that holds a person's first number."""
    if isinstance(person, list):
        raise TypeError
    points = person.get("keypoints", person.get("pose_keypoints_2d"))
    return points[0] if isinstance(points[0], list) else points


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("value", ["12.5", "NaN", True, [1], {"a": 1}, 10**400])
def test_what_is_no_number(tmp_path, name, value):
    def edit(people: list) -> None:
        if name == "mediapipe json":
            people[0][0]["x"] = value
        else:
            numbers_of(people[0])[0] = value

    path, options = edited(name, tmp_path, edit)
    refusal(path, "found", format=KINDS[name].format, **options)


@pytest.mark.parametrize("name", JSON)
def test_lists_of_unequal_lengths(tmp_path, name):
    def edit(people: list) -> None:
        if name == "mediapipe json":
            people[0].pop()
        else:
            numbers_of(people[0]).pop()

    path, options = edited(name, tmp_path, edit)
    refusal(path, "expected", "found", **options)


@pytest.mark.parametrize("name", JSON)
def test_another_number_of_joints(tmp_path, name):
    def edit(people: list) -> None:
        points = (
            people[0] if name == "mediapipe json" else people[0].get("keypoints", people[0].get("pose_keypoints_2d"))
        )
        flat = not isinstance(points[0], (list, dict))
        del points[-3 if flat else -1 :]
        if "keypoint_scores" in people[0]:
            people[0]["keypoint_scores"].pop()

    path, options = edited(name, tmp_path, edit)
    refusal(path, "expected", "found", **options)


def test_joints_that_no_order_has(tmp_path):
    made = scene("body25")
    made.values = made.values[:, :, :21]
    refusal(mmpose(tmp_path, made), "expected 17 (COCO), 18 (OpenPose), 25", "found 21")


@pytest.mark.parametrize("name", JSON)
def test_a_person_that_is_none(tmp_path, name):
    def edit(people: list) -> None:
        people[0] = "somebody"

    path, options = edited(name, tmp_path, edit)
    refusal(path, "expected", "found", format=KINDS[name].format, **options)


@pytest.mark.parametrize("nesting", ["[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900])
def test_json_nested_without_end(tmp_path, nesting):
    (tmp_path / "x.json").write_text(nesting)
    for format in (None, *FORMATS):
        refusal(tmp_path / "x.json", "x.json", format=format)


def test_a_truncated_file_is_said_to_end_too_early(tmp_path):
    path, _, _ = written("alphapose coco", tmp_path)
    path.write_text(path.read_text()[:2000])
    refusal(path, "expected JSON, found an error in line 1", "the file ends too early")


def test_values_of_files_are_shown_short_and_printable(tmp_path):
    people = flat_people(scene(), lambda frame: frame)
    people[3]["keypoints"][5] = "\x1b[31m\n" + "a" * 10_000
    text = refusal(dump(tmp_path / "x.json", people), "person 3", "found '\\x1b[31m\\n")
    assert len(text) < 300
    refusal(dump(tmp_path / "a\nb.json", {"\x07": 1}), "a?b.json")


# Frames.


@pytest.mark.parametrize("image", [-1, 1.5, True, None, "", "frame", [0], "9" * 30 + ".jpg"])
def test_an_image_that_is_no_number(tmp_path, image):
    people = flat_people(
        scene(), lambda frame: frame if isinstance(image, (int, float)) or image is None else f"{frame}.jpg"
    )
    people[2]["image_id"] = image
    refusal(dump(tmp_path / "x.json", people), "expected", "found", format="alphapose")


def test_numbers_and_names_of_images_in_one_file(tmp_path):
    people = flat_people(scene(), lambda frame: frame if frame % 2 else f"{frame}.jpg")
    refusal(dump(tmp_path / "x.json", people), "expected an image_id of one kind")


def test_frames_without_end(tmp_path):
    people = flat_people(scene(), lambda frame: frame * 10**12)
    refusal(dump(tmp_path / "x.json", people), "expected up to 5000000 frames", "numbers from 0 to")
    frames = [{"frame_id": f, "instances": instances(scene().people(0))} for f in (0, 6_000_000)]
    refusal(dump(tmp_path / "y.json", frames), "expected up to 5000000 frames")


def test_two_videos_in_a_folder(tmp_path):
    folder = openpose(tmp_path, scene("body25"))
    openpose(tmp_path, scene("body25"), name="cam02_{:012d}_keypoints.json")
    refusal(folder, "found the number 0 in cam01_0", "keep the videos apart")


def test_names_without_numbers(tmp_path):
    folder = openpose(tmp_path, scene("body25"))
    dump(folder / "summary.json", {"people": []})
    refusal(folder, "expected the frame's number in every name", "'summary.json'")


# Folders.


def test_a_folder_of_two_formats(tmp_path):
    folder = openpose(tmp_path, scene("body25"))
    yolo(tmp_path, scene()).rename(tmp_path / "other")
    for file in (tmp_path / "other").iterdir():
        file.rename(folder / file.name)
    refusal(folder, "expected files of one format, found openpose, yolo")


def test_a_folder_with_other_json(tmp_path):
    folder = openpose(tmp_path, scene("body25"))
    dump(folder / "cam01_000000000900.json", {"camera": [1, 2]})
    refusal(folder, "cam01_000000000900.json: expected a list 'people'", "'camera'")
    dump(folder / "cam01_000000000900.json", instances(scene().people(0)))
    refusal(folder, "expected files of one format, found openpose, mmpose")


def test_a_folder_of_two_models(tmp_path):
    folder = openpose(tmp_path, scene("body25"))
    dump(sorted(folder.iterdir())[5], {"people": [{"pose_keypoints_2d": [1.0] * 78}]})
    refusal(folder, "expected as many joints for every person, found 25 and 26")


def test_a_folder_without_such_files(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "readme.md").write_text("no keypoints")
    refusal(tmp_path, "found a folder with files readme.md and the folders videos")


@pytest.mark.parametrize("columns", [5, 16, 38, 59, 83])
def test_columns_that_yolo_does_not_write(tmp_path, columns):
    folder = yolo(tmp_path, scene())
    with sorted(folder.iterdir())[3].open("a") as file:
        file.write(" ".join(["0.5"] * columns) + "\n")
    refusal(folder, "expected 56 columns (57 with a track, 39 without confidence)", f"found {columns}", size=SIZE)


def test_words_and_two_kinds_of_lines_in_yolos_folder(tmp_path):
    folder = yolo(tmp_path, scene())
    extra = folder / "clip_90.txt"
    extra.write_text(" ".join(["0.5"] * 39))
    refusal(folder, "expected as many columns in every line, found 39 and 56", size=SIZE)
    extra.write_text(" ".join(["0.5"] * 55 + ["x"]))
    refusal(folder, "clip_90.txt, line 1: expected numbers, found 'x'", size=SIZE)


# Numbers.


@EACH
def test_coordinates_from_0_to_1_of_no_known_size(tmp_path, name):
    path, _, options = written(name, tmp_path)
    if options:
        refusal(path, "add --size WxH")
    else:
        assert read_keypoints(path).pixels.max() > 4


def test_coordinates_around_zero_are_not_taken_for_pixels(tmp_path):
    made = scene("blazepose", everyone=True)
    values = made.values[..., :2] - made.values[..., :2].mean(2, keepdims=True)
    np.save(tmp_path / "x.npy", values / 500)
    refusal(tmp_path / "x.npy", "expected pixels or coordinates from 0 to 1", "below 0", size=SIZE)


def test_a_coordinate_in_no_image(tmp_path):
    made = scene()
    made.values[2, 1, 3, 0] = 1e7
    refusal(mmpose(tmp_path, made), "expected coordinates up to 1e+06 pixels", "the first in frame 2, joint 3")


def test_nobody_in_any_frame(tmp_path):
    made = scene("body25")
    made.present[:] = False
    refusal(openpose(tmp_path, made), "found none in 12 frames")
    np.save(tmp_path / "x.npy", np.zeros((9, 17, 3)))
    refusal(tmp_path / "x.npy", "found no joint seen in 9 frames")


def test_25_joints_that_are_no_person(tmp_path):
    made = scene("body25")
    made.values[..., 1:, :] = 0
    refusal(openpose(tmp_path, made), "no person in either order", "--format openpose-body25 or openpose-body25b")


@pytest.mark.parametrize("size", [(0, 5), (5,), (-1, 7), (True, 7), (7.5, 7), (10**9, 5)])
def test_a_size_that_is_none(tmp_path, size):
    refusal(tmp_path, "expected width and height of the image", size=size)


# Arrays, csv, and what the user says.

SHAPES = [(17, 2), (5, 17), (5, 17, 4), (0, 17, 2), (5, 0, 17, 3), (5, 1, 17, 2, 1), (5, 16, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_of_other_shapes(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.ones(shape))
    refusal(tmp_path / "x.npy", "expected", "found", "x.npy")


@pytest.mark.parametrize("values", [np.array(["a"]), np.ones((5, 17, 2)) > 0, np.ones((5, 17, 2), complex)])
def test_arrays_of_no_numbers(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    refusal(tmp_path / "x.npy", "expected numbers of shape", "found an array of")


def test_pickles_are_not_run(tmp_path):
    np.save(tmp_path / "x.npy", np.array({"keypoints": Trap()}, dtype=object), allow_pickle=True)
    refusal(tmp_path / "x.npy", "found Python objects")
    np.savez(tmp_path / "x.npz", keypoints=np.array([Trap()], dtype=object))
    refusal(tmp_path / "x.npz", "x.npz")
    np.savez(tmp_path / "y.npz", positions_2d=np.array({"clip": {"custom": Trap()}}, dtype=object))
    refusal(tmp_path / "y.npz", "wants to run", "nothing was run")
    assert not Trap.sprung


class Trap:
    sprung = False

    def __reduce__(self) -> tuple:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def test_3d_is_not_taken_for_a_confidence(tmp_path):
    values = np.random.default_rng(0).normal(0, 500, (9, 17, 3))
    np.save(tmp_path / "x.npy", values)
    refusal(tmp_path / "x.npy", "expected a confidence as third number", "is it 3D?")


def test_an_array_longer_than_its_file(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1000, 17, 2)))
    raw = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(raw.replace(b"(1000, 17, 2)", b"(9000, 17, 2)"))
    refusal(tmp_path / "x.npy", "it ends too early")


def test_a_choice_of_videos_is_asked_for(tmp_path):
    path = videopose3d(tmp_path, scene(), videos=9)
    refusal(path, "holds 9 videos; choose one with --video: clip0.mp4, clip1.mp4", "and 3 more")
    refusal(path, "has no video 'other'", video="other")
    np.savez(tmp_path / "x.npz", one=np.ones((5, 17, 2)), two=np.ones((5, 17, 2)))
    refusal(tmp_path / "x.npz", "found one (5, 17, 2), two (5, 17, 2); choose one with --video")
    refusal(mmpose(tmp_path, scene()), "mmpose files hold one video", video="x")


@pytest.mark.parametrize(
    "tree", [[1], {"clip": [1]}, {"clip": {"custom": 3}}, {"clip": {"custom": [[1, 2]]}}, {}, {"a": {"b": []}}]
)
def test_trees_that_videopose3d_does_not_write(tmp_path, tree):
    write_npz(tmp_path / "x.npz", positions_2d=tree)
    refusal(tmp_path / "x.npz", "x.npz", "expected", "found")


def test_an_npz_that_is_damaged_or_empty(tmp_path):
    np.savez(tmp_path / "x.npz")
    refusal(tmp_path / "x.npz", "x.npz")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 and no more")
    refusal(tmp_path / "x.npz", "found a damaged one")


def test_deeplabcuts_h5_is_refused_with_the_mend(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refusal(tmp_path / "x.h5", "h5 file, which is not read", "save_as_csv=True")


def test_csv_with_parts_missing(tmp_path):
    path, _, _ = written("deeplabcut", tmp_path)
    lines = path.read_text().splitlines()
    for broken, said in (
        (lines[:2], "expected rows scorer"), (lines[:3], "rows of frames below the header"),
        ([*lines, "99,1"], "row 16: expected 52 cells, found 2"), ([*lines, lines[-1]], "found a frame twice"),
        ([*lines, lines[4].replace(lines[4].split(",")[3], "high").replace("1,", "77,", 1)], "expected a number"),
        ([line.replace("likelihood", "x") for line in lines], "found one twice"),
        ([line.replace("LKnee", "tail") for line in lines], "found none for LKnee"),
    ):  # fmt: skip
        path.write_text("\n".join(broken))
        refusal(path, said)


def test_mediapipes_csv_with_parts_missing(tmp_path):
    path, _, _ = written("mediapipe wide", tmp_path)
    lines = path.read_text().splitlines()
    for broken, said in (
        (lines[:1], "found 1 rows"), ([line.replace("L32_", "M") for line in lines], "found none for RFootIndex"),
        ([*lines, "1,2"], "expected 100 cells"), ([*lines, lines[-1]], "found a frame twice"),
    ):  # fmt: skip
        path.write_text("\n".join(broken))
        refusal(path, said, format="mediapipe-csv", size=SIZE)
    path, _, _ = written("mediapipe long", tmp_path)
    for extra, said in (("0,0,1,1,1", "one twice"), ("90,33,1,1,1", "found '33'"), ("a,1,1,1,1", "found 'a'")):
        path.write_text(path.read_text().rstrip() + f"\n{extra}\n")
        refusal(path, said, size=SIZE)
        path, _, _ = written("mediapipe long", tmp_path)


def test_a_format_that_is_not_known(tmp_path):
    refusal(tmp_path, "format 'posenet': not known, expected one of alphapose, openpose", format="posenet")


def test_a_git_lfs_pointer(tmp_path):
    (tmp_path / "x.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    refusal(tmp_path / "x.json", "git lfs pull")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "a\nb"])
def test_names_that_no_file_has(path):
    refusal(Path(path))
