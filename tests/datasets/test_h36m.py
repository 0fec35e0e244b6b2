"""The Human3.6M files: written, read back, and every mistake named."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import poses

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import UNLABELLED, H36MFiles, action_of, load_h36m
from common.datasets.h36m_writing import project_h36m, write_h36m
from common.datasets.npz import read_object, write_npz
from common.datasets.video import Video
from common.errors import InputError
from common.files import sha256
from common.geometry.camera import camera_to_world, normalise, project
from common.geometry.skeleton import H36M_17, H36M_32, convert

FRAMES = {"Walking": 6, "Walking 1": 5, "SittingDown 1": 4, "Sitting": 2, "Directions": 3, "Directions 1": 3}
FILE_3D, FILE_GT, FILE_CPN = "data_3d_h36m.npz", "data_2d_h36m_gt.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"


def motion(frames: int, seed: int) -> np.ndarray:
    """(frames, 32, 3) world metres: a person near the centre of the room; end sites lie where their bones begin."""
    pose = poses(1, frames, seed, swing=0.05)[0].numpy()[..., [0, 2, 1]] * [1, 1, -1] + [0, 0, 1]  # z up
    joints = []
    for joint in H36M_32.joints:
        while joint not in H36M_17.joints:
            joint = H36M_32.bones[joint]
        joints.append(pose[:, H36M_17.index(joint)])
    return np.stack(joints, 1).astype(np.float32)


@pytest.fixture
def trees() -> dict[str, Any]:
    """The content of a small, correct data set, to be written as it is or with one mistake in it."""
    poses = {s: {a: motion(f, i * 10 + len(a)) for a, f in FRAMES.items()} for i, s in enumerate(("S1", "S11"))}
    keypoints = {s: {a: project_h36m(p, s) for a, p in actions.items()} for s, actions in poses.items()}
    return {"poses": poses, "gt": keypoints}


@pytest.fixture
def save(tmp_path: Path, trees: dict) -> Callable[[], Path]:
    def write() -> Path:
        write_h36m(tmp_path, trees["poses"], {"gt": trees["gt"]}, "points for a test", synthetic=True)
        return tmp_path

    return write


def refusal(folder: Path, *parts: str, keypoints: str = "gt", subjects=("S1", "S11"), actions=("*",)) -> None:
    """Loading must fail with one line that holds every one of `parts`."""
    with pytest.raises(InputError) as caught:
        load_h36m(folder, keypoints, subjects, actions)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def rewrite(path: Path, **changes: Any) -> None:
    """Write a 2D or 3D file again with some entries changed, None for left out."""
    with np.load(path) as archive:
        entries = {k: read_object(path, k) if k in ("positions_2d", "positions_3d", "metadata") else archive[k]
                   for k in archive.files}  # fmt: skip
    write_npz(path, **{k: v for k, v in (entries | changes).items() if v is not None})


def test_round_trip(save: Callable, trees: dict) -> None:
    folder = save()
    data = load_h36m(folder, "gt", ["S11", "S1"])
    assert data.provenance == "points for a test" and data.synthetic is True and data.notes == []
    assert data.files == {name: sha256(folder / name) for name in (FILE_3D, FILE_GT)}
    assert list(dict.fromkeys(v.subject for v in data.videos)) == ["S11", "S1"]
    assert data.of(["S11", "S1"]) == data.videos
    for subject in ("S11", "S1"):
        videos, cameras = data.of([subject]), h36m_cameras(subject)
        assert [(v.action, v.camera) for v in videos] == [(a, c.name) for a in FRAMES for c in cameras]
        for video, camera in zip(videos, cameras * len(FRAMES)):
            assert video.subject == subject and (video.width, video.height) == (camera.width, camera.height)
            assert video.fps == 50 and torch.equal(video.up, camera.up().float())
            tensors = video.keypoints, video.intrinsics, video.pose, video.trajectory
            frames = FRAMES[video.action]
            assert [t.shape for t in tensors] == [(frames, 17, 2), (9,), (frames, 17, 3), (frames, 3)]
            assert all(t.dtype == torch.float32 for t in tensors)
            assert (video.pose[:, H36M_17.root_index] == 0).all()
            in_world = camera_to_world((video.pose + video.trajectory[:, None]).double(), camera)
            expected = convert(trees["poses"][subject][video.action], H36M_32, H36M_17)
            np.testing.assert_allclose(in_world, expected, atol=2e-6)
            pixels = torch.from_numpy(trees["gt"][subject][video.action][cameras.index(camera)])
            torch.testing.assert_close(video.keypoints, normalise(pixels, camera.width, camera.height))


def test_ground_truth_keypoints_are_the_projection_of_the_pose(save: Callable) -> None:
    for video in load_h36m(save(), "gt", ["S1", "S11"]).videos:
        error = project(video.pose + video.trajectory[:, None], video.intrinsics) - video.keypoints
        assert error.abs().max() * video.width / 2 < 1e-3  # pixels; float32 resolves about 1e-4 of them


def test_written_twice_is_byte_identical(save: Callable) -> None:
    folder = save()
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {FILE_3D, FILE_GT}
    save()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_files_are_in_the_published_layout(save: Callable) -> None:
    folder = save()
    with np.load(folder / FILE_GT, allow_pickle=True) as archive:  # written by this test, so trusted
        metadata, positions = archive["metadata"].item(), archive["positions_2d"].item()
        assert archive["synthetic"].dtype == bool and str(archive["provenance"]) == "points for a test"
    assert metadata["layout_name"] == "h36m" and metadata["num_joints"] == 17
    assert metadata["keypoints_symmetry"] == [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    assert [view.shape for view in positions["S1"]["Walking"]] == [(6, 17, 2)] * 4


def test_poses_already_reduced_to_17_joints(save: Callable, trees: dict) -> None:
    whole = load_h36m(save(), "gt", ["S1"]).videos
    trees["poses"]["S1"] = {a: convert(p, H36M_32, H36M_17) for a, p in trees["poses"]["S1"].items()}
    reduced = load_h36m(save(), "gt", ["S1"]).videos
    assert len(whole) == len(reduced) and all(torch.equal(a.pose, b.pose) for a, b in zip(whole, reduced))


def test_longer_2d_is_cut_to_the_mocap(save: Callable, trees: dict) -> None:
    expected = load_h36m(save(), "gt", ["S1"]).videos
    trees["gt"]["S1"]["Walking"] = [np.pad(v, ((0, 3), (0, 0), (0, 0))) for v in trees["gt"]["S1"]["Walking"]]
    found = load_h36m(save(), "gt", ["S1"]).videos
    assert len(found) == len(expected)
    assert all(torch.equal(a.keypoints, b.keypoints) for a, b in zip(expected, found))


def test_views_as_one_array_and_as_an_object_array(save: Callable, trees: dict) -> None:
    folder = save()
    expected = load_h36m(folder, "gt", ["S1"], ["Walking"]).videos
    views = np.empty(4, dtype=object)
    views[:] = trees["gt"]["S1"]["Walking 1"]
    tree = {"S1": trees["gt"]["S1"] | {"Walking": np.stack(trees["gt"]["S1"]["Walking"]), "Walking 1": views}}
    metadata = read_object(folder / FILE_GT, "metadata")
    np.savez(folder / FILE_GT, positions_2d=tree, metadata=metadata, provenance="points for a test", synthetic=True)
    found = load_h36m(folder, "gt", ["S1"], ["Walking"]).videos
    assert len(found) == len(expected)
    assert all(torch.equal(a.keypoints, b.keypoints) for a, b in zip(expected, found))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["Walking"], ["Walking", "Walking 1"]),
        (["Walking 1"], ["Walking 1"]),
        (["Sitting"], ["Sitting"]),
        (["SittingDown", "Directions"], ["SittingDown 1", "Directions", "Directions 1"]),
        (["Walking", "*"], list(FRAMES)),
    ],
)
def test_action_filter(save: Callable, wanted: list[str], found: list[str]) -> None:
    videos = load_h36m(save(), "gt", ["S1"], wanted).videos
    assert [video.action for video in videos[::4]] == found


def test_unknown_action_lists_the_known(save: Callable) -> None:
    folder = save()
    for name in ("Sit", "Walk", "walking"):
        refusal(folder, FILE_3D, repr(name), "Directions, Sitting, SittingDown, Walking", actions=["Walking", name])


def test_no_files(tmp_path: Path) -> None:
    places = ["http://vision.imar.ro/human3.6m", "DATASETS.md", "python data/prepare_mocap.py", "--sample"]
    refusal(tmp_path / "none", FILE_3D, FILE_CPN, str(tmp_path / "none"), *places, keypoints="cpn_ft_h36m_dbb")


def test_one_file_missing(save: Callable) -> None:
    folder = save()
    refusal(folder, f"{folder / 'data_2d_h36m_hrnet.npz'}: no such file", "'hrnet'", "has gt:", keypoints="hrnet")
    (folder / FILE_GT).rename(folder / "elsewhere.npz")
    refusal(folder, FILE_GT, "--sample")
    (folder / "elsewhere.npz").rename(folder / FILE_GT)
    (folder / FILE_3D).unlink()
    with pytest.raises(InputError, match=f"^{FILE_3D} not found in {re.escape(str(folder))}; "):
        load_h36m(folder, "gt", ["S1"])


def test_subject_missing(save: Callable, trees: dict) -> None:
    refusal(save(), FILE_3D, "subject S5 is missing", "S1, S11", subjects=["S1", "S5"])
    trees["gt"].pop("S11")
    refusal(save(), FILE_GT, "subject S11 is missing", "found S1")


def test_subject_without_calibration(save: Callable, trees: dict) -> None:
    trees["poses"]["S2"], trees["gt"]["S2"] = trees["poses"]["S1"], trees["gt"]["S1"]
    refusal(save(), FILE_3D, "3D of subject S2", "where the cameras stood", "entry 'cameras'", subjects=["S2"])
    trees["poses"]["Anna"], trees["gt"]["Anna"] = trees["poses"]["S1"], trees["gt"]["S1"]
    expected = "nothing is known of the cameras of subject Anna", "entry 'cameras'", "S1, S5, S6"
    refusal(save(), FILE_GT, *expected, subjects=["Anna"])
    with pytest.raises(InputError, match=expected[0]):
        H36MFiles(save(), "gt").unlabelled(["Anna"])
    with pytest.raises(InputError, match="'S2' has no Human3.6M cameras"):
        project_h36m(motion(2, 0), "S2")


def test_takes_in_one_file_alone_are_left_out_and_noted(save: Callable, trees: dict) -> None:
    trees["gt"]["S11"].pop("Walking 1")
    for take in ("Directions", "Sitting"):
        trees["poses"]["S1"].pop(take)
    data = load_h36m(save(), "gt", ["S1", "S11"])
    left_out = "not both in 2D and 3D, left out where labels count"
    assert data.notes == [f"S1: Sitting, Directions {left_out}", f"S11: Walking 1 {left_out}"]
    assert {v.action for v in data.of(["S1"])} == set(FRAMES) - {"Directions", "Sitting"}
    assert {v.action for v in data.of(["S11"])} == set(FRAMES) - {"Walking 1"}
    refusal(save(), FILE_3D, "subject S1 has no usable action among Sitting", subjects=["S1"], actions=["Sitting"])


def test_a_long_list_of_takes_is_cut_short(save: Callable, trees: dict) -> None:
    trees["gt"]["S1"] |= {f"_ALL {i}": trees["gt"]["S1"]["Walking"] for i in range(5)}
    expected = "S1: _ALL 0, _ALL 1, _ALL 2 and 2 more not both in 2D and 3D, left out where labels count"
    assert load_h36m(save(), "gt", ["S1"]).notes == [expected]


@pytest.mark.parametrize("file", ["poses", "gt"])
def test_s11_directions_may_be_absent(save: Callable, trees: dict, file: str) -> None:
    trees[file]["S11"].pop("Directions")
    data = load_h36m(save(), "gt", ["S1", "S11"])
    assert data.notes == ["S11: Directions not both in 2D and 3D, left out where labels count"]
    assert {v.action for v in data.of(["S11"])} == set(FRAMES) - {"Directions"}
    assert {v.action for v in data.of(["S1"])} == set(FRAMES)


def test_s11_directions_may_be_damaged_or_gone(save: Callable, trees: dict) -> None:
    trees["gt"]["S11"]["Directions"] = trees["gt"]["S11"]["Directions"][:3]
    for data in (load_h36m(save(), "gt", ["S11"]), H36MFiles(save(), "gt").unlabelled(["S11"])):
        assert len(data.notes) == 1 and data.notes[0].startswith("left out S11 Directions, which some releases")
        assert "expected 4 cameras" in data.notes[0]
        assert {v.action for v in data.of(["S11"])} == set(FRAMES) - {"Directions"}
    for tree in (trees["gt"], trees["poses"]):
        tree["S11"].pop("Directions 1")
    refusal(save(), "S11 has no usable action among Directions", subjects=["S11"], actions=["Directions"])
    with pytest.raises(InputError, match="S11 has no usable action among Directions"):
        H36MFiles(save(), "gt").unlabelled(["S11"], ["Directions"])
    trees["gt"]["S11"].pop("Directions")
    trees["poses"]["S11"].pop("Directions")
    assert load_h36m(save(), "gt", ["S11"]).notes == []


def test_camera_missing(save: Callable, trees: dict) -> None:
    names = [camera.name for camera in h36m_cameras("S1")]
    last = names[-1]
    whole = trees["gt"]["S1"]["Walking 1"]
    trees["gt"]["S1"]["Walking 1"] = whole[:3]
    refusal(save(), FILE_GT, "S1 Walking 1: expected 4 cameras", "found 3 views", ", ".join(names), "entry 'cameras'")
    trees["gt"]["S1"]["Walking 1"] = [*whole, whole[0]]
    refusal(save(), FILE_GT, "S1 Walking 1: expected 4 cameras", "found 5 views")
    trees["gt"]["S1"]["Walking 1"] = whole
    folder = save()
    tree = read_object(folder / FILE_GT, "positions_2d")
    tree["S1"]["Walking 1"][3] = None
    rewrite(folder / FILE_GT, positions_2d=tree)
    refusal(folder, FILE_GT, f"camera {last}: expected numbers of shape (frames, 17, 2 or 3), found NoneType")
    tree["S1"]["Walking 1"] = whole[0]
    rewrite(folder / FILE_GT, positions_2d=tree)
    refusal(folder, FILE_GT, "S1 Walking 1: expected a list of 4 cameras, found an array of float32 (5, 17, 2)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(save: Callable, trees: dict, value: float) -> None:
    camera = h36m_cameras("S1")[1].name
    trees["gt"]["S1"]["Walking"][1][4, 0, 1] = value
    (note,) = load_h36m(save(), "gt", ["S1", "S11"]).notes  # a joint that was not seen, see test_keypoints
    assert f"joints missing in 1 videos; the most in S1 Walking, camera {camera}: 1.0% of the joints missing" in note
    trees["gt"]["S1"]["Walking"][1][4, 0, 1] = 1e9
    refusal(save(), FILE_GT, f"S1 Walking, camera {camera}: 1 of 6 frames", "first is frame 4, joint 0")
    trees["poses"]["S1"]["SittingDown 1"][2:, 3, 0] = value
    refusal(save(), FILE_3D, "S1 SittingDown 1: 2 of 4 frames", "first is frame 2", actions=["SittingDown"])


@pytest.mark.parametrize(
    "poses",
    [
        np.zeros((5, 16, 3)), np.zeros((5, 32, 2)), np.zeros((5, 96)), np.zeros((0, 32, 3)), np.zeros((5, 32, 3), "S1"),
    ],
)  # fmt: skip
def test_wrong_shape_3d(save: Callable, trees: dict, poses: np.ndarray) -> None:
    folder = save()
    trees["poses"]["S1"]["Walking 1"] = poses
    rewrite(folder / FILE_3D, positions_3d=trees["poses"])
    refusal(folder, FILE_3D, "S1 Walking 1: expected", "(frames, 32 or 17, 3)", str(poses.shape))


def test_wrong_shape_2d(save: Callable, trees: dict) -> None:
    camera = h36m_cameras("S1")[0].name
    for shape in ((5, 17, 4), (5, 16, 2), (5, 34), (0, 17, 2), (5, 2, 17, 2)):
        trees["gt"]["S1"]["Walking 1"][0] = np.ones(shape)
        refusal(save(), FILE_GT, f"S1 Walking 1, camera {camera}: expected", "(frames, 17, 2 or 3)", str(shape))
    trees["gt"]["S1"]["Walking 1"][0] = np.ones((5, 17, 2))
    folder = save()
    trees["gt"]["S1"]["Walking 1"][0] = [[[1.0, 2.0]] * 17, [[1.0, 2.0]] * 16]
    rewrite(folder / FILE_GT, positions_2d=trees["gt"])
    refusal(folder, FILE_GT, f"S1 Walking 1, camera {camera}: expected", "(frames, 17, 2 or 3)", "a list")


def test_shorter_2d(save: Callable, trees: dict) -> None:
    camera = h36m_cameras("S1")[3].name
    trees["gt"]["S1"]["Walking"][3] = trees["gt"]["S1"]["Walking"][3][:-1]
    refusal(save(), FILE_GT, f"S1 Walking, camera {camera}: 2D of 5 frames is shorter than the 3D of 6 frames")


def test_units(save: Callable, trees: dict) -> None:
    camera = h36m_cameras("S1")[0].name
    trees["gt"]["S1"]["Walking"][0] = trees["gt"]["S1"]["Walking"][0] / 500 - 1
    refusal(save(), FILE_GT, f"S1 Walking, camera {camera}: ", "expected pixels", "normalised")
    trees["poses"]["S1"]["Walking"] = trees["poses"]["S1"]["Walking"] * 1000
    refusal(save(), FILE_3D, "S1 Walking: ", "expected metres", "millimetres", "divide by 1000")


def test_metadata(save: Callable) -> None:
    folder = save()
    metadata = read_object(folder / FILE_GT, "metadata")
    rewrite(folder / FILE_GT, metadata=metadata | {"num_joints": 16})
    refusal(folder, FILE_GT, "num_joints 16", "expected 17")
    left, right = metadata["keypoints_symmetry"]
    for symmetry in ([right, left], [left, right[::-1]], [left], [left, right, right], None, 3, [[left], [right]]):
        rewrite(folder / FILE_GT, metadata=metadata | {"keypoints_symmetry": symmetry})
        refusal(folder, FILE_GT, "keypoints_symmetry", str([left, right]))
    rewrite(folder / FILE_GT, metadata=metadata | {"keypoints_symmetry": [left[::-1], np.array(right[::-1])]})
    assert load_h36m(folder, "gt", ["S1"]).videos
    rewrite(folder / FILE_GT, metadata=[17])
    refusal(folder, FILE_GT, "'metadata' to be a dict, found list")
    rewrite(folder / FILE_GT, metadata=None)
    assert load_h36m(folder, "gt", ["S1"]).videos  # without it the joints are taken to be the 17


def test_another_layout(save: Callable) -> None:
    folder = save()
    rewrite(folder / FILE_3D, positions_3d=[{"S1": 1}])
    refusal(folder, FILE_3D, "'positions_3d' to be a dict of subjects")
    save()
    rewrite(folder / FILE_GT, positions_2d={"S1": [1]})
    refusal(folder, FILE_GT, "'positions_2d' to be a dict of subjects")


def test_provenance(save: Callable) -> None:
    folder = save()
    rewrite(folder / FILE_3D, provenance="others", synthetic=False)
    refusal(folder, FILE_GT, "'points for a test'", FILE_3D, "'others'")
    rewrite(folder / FILE_3D, provenance="points for a test", synthetic=1)
    refusal(folder, FILE_3D, "'synthetic'", "expected one bool")
    for name in (FILE_3D, FILE_GT):
        rewrite(folder / name, provenance=None, synthetic=None)
    data = load_h36m(folder, "gt", ["S1"])
    assert data.provenance == UNLABELLED and data.synthetic is False


# Without labels, and with some.


def test_unlabelled_videos_are_the_labelled_ones_without_their_labels(save: Callable) -> None:
    files = H36MFiles(save(), "gt")
    labelled, blind = files.labelled(["S11", "S1"], ["Walking"]), files.unlabelled(["S11", "S1"], ["Walking"])
    assert (blind.provenance, blind.synthetic, blind.files) == (labelled.provenance, True, labelled.files)
    assert len(labelled.videos) == len(blind.videos) == 16 and blind.notes == []
    for one, other in zip(labelled.videos, blind.videos):
        assert type(other) is Video
        for name, value in vars(one.unlabelled()).items():
            found = getattr(other, name)
            assert torch.equal(value, found) if isinstance(value, torch.Tensor) else value == found, name


def test_people_without_3d_are_read_in_2d_alone(save: Callable, trees: dict) -> None:
    """S2's labels are not public: the same four cameras, whose places nobody needs for 2D."""
    trees["gt"]["S2"] = trees["gt"]["S1"]
    files = H36MFiles(save(), "gt")
    assert files.has_labels("S1") and not files.has_labels("S2") and not files.has_labels("S99")
    videos = files.unlabelled(["S2"]).videos
    assert len(videos) == 4 * len(FRAMES) and all(v.up is None and v.subject == "S2" for v in videos)
    expected = files.unlabelled(["S1"]).videos
    assert all(torch.equal(a.keypoints, b.keypoints) for a, b in zip(expected, videos))
    assert all(torch.equal(a.intrinsics, b.intrinsics) for a, b in zip(expected, videos))
    refusal(files.path_3d.parent, FILE_3D, "subject S2 is missing, found S1, S11", subjects=["S2"])
    with pytest.raises(InputError, match="subject S99 is missing, found S1, S11, S2$"):
        files.unlabelled(["S99"])


def test_labels_for_some_takes_only(save: Callable, trees: dict) -> None:
    trees["poses"]["S1"] = {"Walking 1": trees["poses"]["S1"]["Walking 1"]}
    files = H36MFiles(save(), "gt")
    assert files.has_labels("S1") and files.has_labels("S1", ["Sitting", "Walking"])
    assert files.has_labels("S1", ["Walking 1"]) and not files.has_labels("S1", ["Sitting"])
    assert {v.action for v in files.labelled(["S1"]).videos} == {"Walking 1"}
    assert {v.action for v in files.unlabelled(["S1"]).videos} == set(FRAMES)
    trees["poses"]["S1"] = {"Talking": trees["poses"]["S1"]["Walking 1"]}
    assert not H36MFiles(save(), "gt").has_labels("S1")
    refusal(save(), "subject S1 has no usable action", subjects=["S1"])


def test_of_nobody_there_are_no_videos(save: Callable) -> None:
    files = H36MFiles(save(), "gt")
    assert files.labelled([], ["Walking"]).videos == files.unlabelled([], ["Walking"]).videos == []


def test_no_label_is_looked_at_for_unlabelled_videos(save: Callable, trees: dict) -> None:
    expected = H36MFiles(save(), "gt").unlabelled(["S1"]).videos
    folder = save()
    rewrite(folder / FILE_3D, positions_3d={"S1": dict.fromkeys(trees["poses"]["S1"], "ruined")})
    found = H36MFiles(folder, "gt").unlabelled(["S1"]).videos
    assert all(torch.equal(a.keypoints, b.keypoints) for a, b in zip(expected, found))


@pytest.mark.parametrize("kind", ["lists", "one array", "(F, 1, 17, 3)"])
def test_what_people_have_is_read(save: Callable, trees: dict, kind: str) -> None:
    folder = save()
    expected = load_h36m(folder, "gt", ["S1"]).videos
    tree: dict[str, Any] = {"S1": {}}
    for take, views in trees["gt"]["S1"].items():
        whole = np.stack(views)
        if kind == "lists":
            tree["S1"][take] = whole.tolist()
        elif kind == "one array":
            tree["S1"][take] = whole
        else:
            tree["S1"][take] = [np.concatenate([v, np.ones_like(v[..., :1])], -1)[:, None] for v in views]
    np.savez(
        folder / FILE_GT, positions_2d=np.array(tree, dtype=object), provenance="points for a test", synthetic=True
    )
    found = load_h36m(folder, "gt", ["S1"]).videos
    assert len(found) == len(expected)
    for one, other in zip(expected, found):
        assert torch.equal(one.keypoints, other.keypoints)
        assert (other.confidence == 1).all() if kind == "(F, 1, 17, 3)" else other.confidence is None


def test_numbers_as_objects_are_read(save: Callable, trees: dict) -> None:
    folder = save()
    before = load_h36m(folder, "gt", ["S1"], ["Walking"]).videos
    tree = {"S1": {"Walking": np.stack(trees["gt"]["S1"]["Walking"]).astype(object)}}
    label = {"provenance": "points for a test", "synthetic": True}
    np.savez(folder / FILE_GT, positions_2d=np.array(tree, dtype=object), **label)
    after = H36MFiles(folder, "gt").labelled(["S1"], ["Walking"]).videos
    for one, other in zip([v for v in before if v.action == "Walking"], after, strict=True):
        assert torch.equal(one.keypoints, other.keypoints)


# Missing joints.


def test_missing_joints_are_noted_with_the_worst_video(save: Callable, trees: dict) -> None:
    names = [camera.name for camera in h36m_cameras("S1")]
    walk = trees["gt"]["S1"]["Walking"]
    walk[0][2, 5] = 0
    walk[2][:3, 5] = -1
    trees["gt"]["S11"]["Walking 1"][1][4, 16] = np.nan
    files = H36MFiles(save(), "gt")
    where = f"{files.path_2d}: joints missing in 3 videos; the most in S1 Walking, camera {names[2]}: "
    expected = "2.9% of the joints missing, 0% of these filled in"  # 3 of 6 x 17
    assert files.unlabelled(["S1", "S11"]).notes == files.labelled(["S1", "S11"]).notes == [where + expected]
    assert files.labelled(["S1"]).notes == [where.replace("3 videos", "2 videos") + expected]
    assert files.labelled(["S1"], ["Sitting"]).notes == []
    seen = {(v.action, v.camera): v for v in files.labelled(["S1"], ["Walking"]).videos}
    clean = load_h36m(save(), "gt", ["S1"], ["Walking 1"]).videos
    assert all(v.confidence is None for v in clean)
    filled, held = seen["Walking", names[0]], seen["Walking", names[2]]
    assert filled.confidence[2, 5] == 0.5 and (filled.confidence != 1).sum() == 1
    torch.testing.assert_close(filled.keypoints[2, 5], (filled.keypoints[1, 5] + filled.keypoints[3, 5]) / 2)
    assert (held.confidence[:3, 5] == 0).all() and (held.keypoints[:3, 5] == held.keypoints[3, 5]).all()


def test_a_detectors_confidence_reaches_the_videos(save: Callable, trees: dict) -> None:
    rng = np.random.default_rng(3)
    sure = {take: [rng.uniform(0.2, 1, v.shape[:2]) for v in views] for take, views in trees["gt"]["S1"].items()}
    expected = load_h36m(save(), "gt", ["S1"]).videos
    trees["gt"]["S1"] = {
        take: [np.concatenate([v, s[..., None]], -1) for v, s in zip(views, sure[take])]
        for take, views in trees["gt"]["S1"].items()
    }
    data = load_h36m(save(), "gt", ["S1"])
    assert data.notes == []
    flat = [s for views in sure.values() for s in views]
    for one, other, values in zip(expected, data.videos, flat):
        assert torch.equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(other.confidence, values.astype(np.float32))


# Names.


@pytest.mark.parametrize(
    ("take", "action"),
    [("Walking", "Walking"), ("Walking 1", "Walking"), ("Walking-1", "Walking"), ("SittingDown 2", "SittingDown"),
     ("02_01 1", "02_01"), ("02_01", "02_01"), ("_ALL 1", "_ALL"),
     ("Walking dog 1", "Walking"), ("slow-2-1", "slow-2-1")],
)  # fmt: skip
def test_the_action_of_a_take(take: str, action: str) -> None:
    assert action_of(take) == action


def test_takes_with_a_hyphen_are_asked_for_by_their_action(save: Callable, trees: dict) -> None:
    for tree in (trees["poses"]["S1"], trees["gt"]["S1"]):
        tree["Walking-1"] = tree.pop("Walking 1")
    videos = load_h36m(save(), "gt", ["S1"], ["Walking"]).videos
    assert [v.action for v in videos[::4]] == ["Walking", "Walking-1"]
    assert {v.action for v in load_h36m(save(), "gt", ["S1"], ["Walking-1"]).videos} == {"Walking-1"}
