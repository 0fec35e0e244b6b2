"""The MPI-INF-3DHP files: read back exactly, every mistake named, and the self-check of the joint order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import poses

from common.datasets.cameras_3dhp import RECORDINGS, TEST_SEQUENCES, fit_intrinsics, frame_rate, parse_intrinsics
from common.datasets.cameras_3dhp import test_cameras as cameras_3dhp
from common.datasets.joint_order import check_joint_order
from common.datasets.mpi_3dhp import (
    TEST_FILE,
    TRAIN_FILE,
    UNLABELLED,
    TestSequence,
    load_3dhp_test,
    load_3dhp_train,
    load_3dhp_videos,
)
from common.datasets.npz import read_object, write_npz
from common.datasets.video import LabelledVideo, Video
from common.errors import InputError
from common.files import sha256
from common.geometry.camera import denormalise, project
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert, mirror
from common.sample.files_3dhp import TRAIN_FOCAL, make_3dhp, train_cameras

RECORDING, CAMERA = "S2 Seq1", "7"  # of the mistakes below
TEST_VIDEO = "TS5"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("3dhp")
    make_3dhp(folder, seed=3, seconds=0.2, provenance="SYNTHETIC, for a test")
    return folder


@pytest.fixture
def trees(sample: Path) -> dict[str, Any]:
    """The content of both files, to be written with one mistake in it."""
    train = {key: read_object(sample / TRAIN_FILE, key) for key in ("data", "cameras")}
    return train | {"test": read_object(sample / TEST_FILE, "data")}


@pytest.fixture
def save(tmp_path: Path, trees: dict) -> Callable[[], Path]:
    def write() -> Path:
        stored = {} if trees["cameras"] is None else {"cameras": trees["cameras"]}
        write_npz(tmp_path / TRAIN_FILE, data=trees["data"], fps=50.0, **stored)
        write_npz(tmp_path / TEST_FILE, data=trees["test"])
        return tmp_path

    return write


def refusal(load: Callable, folder: Path, *parts: str, **arguments: str) -> None:
    """Loading must fail with one line that holds every one of `parts`."""
    with pytest.raises(InputError) as caught:
        load(folder, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def reprojection_px(video: LabelledVideo) -> torch.Tensor:
    """(F, 17) pixels between the keypoints and the projected labels."""
    projected = project(video.pose + video.trajectory[:, None], video.intrinsics)
    return (projected - video.keypoints).norm(dim=-1) * video.width / 2


def check_tensors(video: LabelledVideo, entry: dict[str, np.ndarray]) -> None:
    """What was read is what the file holds, joint by joint, in the units used inside."""
    frames = len(entry["data_3d"])
    tensors = video.keypoints, video.intrinsics, video.pose, video.trajectory
    assert [t.shape for t in tensors] == [(frames, 17, 2), (9,), (frames, 17, 3), (frames, 3)]
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors)
    assert (video.pose[:, H36M_17.root_index] == 0).all()
    in_camera = convert((video.pose + video.trajectory[:, None]).numpy(), H36M_17, MPI_3DHP_17)
    np.testing.assert_allclose(in_camera * 1000, entry["data_3d"], atol=2e-3)
    pixels = convert(denormalise(video.keypoints, video.width, video.height).numpy(), H36M_17, MPI_3DHP_17)
    np.testing.assert_allclose(pixels, entry["data_2d"], atol=1e-3)
    for name, number in {"pelvis": "Hip", "head_top": "Head", "neck": "Thorax", "LAnkle": "LFoot"}.items():
        seen = video.pose[:, H36M_17.index(number)] + video.trajectory
        np.testing.assert_allclose(seen * 1000, entry["data_3d"][:, MPI_3DHP_17.index(name)], atol=2e-3)


def test_train_file(sample: Path) -> None:
    data = load_3dhp_train(sample)
    stored = read_object(sample / TRAIN_FILE, "data")
    names = [(*recording.split(), camera) for recording, (views,) in stored.items() for camera in views]
    assert [(v.subject, v.action, v.camera) for v in data.videos] == names and len(names) == 32
    for video in data.videos:
        check_tensors(video, stored[f"{video.subject} {video.action}"][0][video.camera])
        assert (video.width, video.height, video.fps) == (2048, 2048, 50)
        expected = train_cameras()[video.camera].normalised_intrinsics().float()
        torch.testing.assert_close(video.intrinsics, expected)
        assert reprojection_px(video).max() < 0.05
    assert data.provenance == "SYNTHETIC, for a test" and data.synthetic is True
    assert data.files == {TRAIN_FILE: sha256(sample / TRAIN_FILE)}
    assert data.notes == [f"training cameras as stored in {TRAIN_FILE}"]


def test_test_file(sample: Path) -> None:
    data = load_3dhp_test(sample)
    stored = read_object(sample / TEST_FILE, "data")
    assert [v.subject for v in data.videos] == ["TS1", "TS2", "TS3", "TS4", "TS5", "TS6"] == list(TEST_SEQUENCES)
    for name, found in zip(TEST_SEQUENCES, data.videos):
        camera = cameras_3dhp()[name]
        assert (found.subject, found.action, found.camera) == (name, name, name)
        assert (found.width, found.height) == (camera.width, camera.height)
        check_tensors(found, stored[name])
        assert reprojection_px(found).max() < 0.05
        assert found.valid.dtype == torch.bool and found.activity.dtype == torch.int64
        assert (found.valid.numpy() == stored[name]["valid"]).all() and not found.valid.all()
        assert (found.activity.numpy() == stored[name]["activity"]).all()
    aspects = {v.subject: float(v.intrinsics[1] / v.intrinsics[0]) for v in data.videos}
    assert aspects == pytest.approx(dict.fromkeys(TEST_SEQUENCES, 1.0) | {"TS5": 0.993236423, "TS6": 0.993236423})
    assert data.synthetic is True and data.notes == [] and data.files == {TEST_FILE: sha256(sample / TEST_FILE)}


def test_a_test_sequence_is_thinned_with_its_flags_and_loses_them_with_its_labels(sample: Path) -> None:
    found = load_3dhp_test(sample).videos[0]
    thin, bare = found.downsampled(2, 1), found.unlabelled()
    for name in ("keypoints", "pose", "trajectory", "valid", "activity"):
        assert torch.equal(getattr(thin, name), getattr(found, name)[1::2]), name
    assert type(thin) is TestSequence and thin.fps == found.fps / 2
    assert type(bare) is Video and not vars(bare).keys() & {"pose", "trajectory", "valid", "activity"}


def test_files_of_the_published_layout(save: Callable, trees: dict) -> None:
    """Neither cameras nor activities nor provenance; `valid` as MATLAB's column."""
    trees["cameras"] = None
    for entry in trees["test"].values():
        del entry["activity"]
        entry["valid"] = entry["valid"][:, None]
    test = load_3dhp_test(save())
    assert all(found.activity is None and found.valid.ndim == 1 for found in test.videos)
    train = load_3dhp_train(save(), "estimate")
    for data in (train, test):
        assert data.provenance == UNLABELLED and data.synthetic is False
    refusal(load_3dhp_train, save(), TRAIN_FILE, "stores no 'cameras'", "--target-intrinsics estimate")


def test_cameras_that_differ_between_recordings(save: Callable, trees: dict) -> None:
    other = {name: camera | {"width": 1024} for name, camera in trees["cameras"].items()}
    trees["cameras"] = trees["cameras"] | {RECORDING: other}
    widths = {(v.width, f"{v.subject} {v.action}" == RECORDING) for v in load_3dhp_train(save()).videos}
    assert widths == {(1024, True), (2048, False)}


def test_estimate_recovers_the_cameras(sample: Path) -> None:
    data = load_3dhp_train(sample, "estimate")
    for video in data.videos:
        expected = train_cameras()[video.camera].normalised_intrinsics()
        assert ((video.intrinsics - expected)[:2].abs() < 1e-3 * expected[:2]).all()
        assert ((video.intrinsics - expected)[2:4].abs() * 1024 < 1e-3 * 1024).all()  # pixels of 1024
        assert reprojection_px(video).max() < 0.05
    (note,) = data.notes
    assert "target 3D labels were read for calibration" in note


def test_fit_is_exact_and_needs_pairs_that_belong_together() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.5, (30, 17, 3)) + [0.2, -0.1, 4]
    pixels = points[..., :2] / points[..., 2:] * [1400, 1390] + [1000, 1050]
    intrinsics, misfit = fit_intrinsics(points * 1000, pixels, "here")
    assert intrinsics == pytest.approx((1400, 1390, 1000, 1050)) and misfit < 1e-8
    for wrong in (pixels[::-1], 2048 - pixels):
        with pytest.raises(InputError, match="here: intrinsics cannot be estimated"):
            fit_intrinsics(points, wrong, "here")


def test_an_estimated_principal_point_is_near_the_middle(save: Callable, trees: dict) -> None:
    entry = trees["data"][RECORDING][0][CAMERA]
    pixels = entry["data_2d"]
    entry["data_2d"] = pixels + [500, -500]
    notes = load_3dhp_train(save(), "estimate").notes
    assert len(notes) == 1  # the fit hides it
    for away, found in (([520, 0], "(1544, 1024)"), ([0, -520], "(1024, 504)")):
        entry["data_2d"] = pixels + away
        parts = f"{TRAIN_FILE}: {RECORDING}, camera {CAMERA}: ", f"principal point is {found}", "within 512 px"
        for load in (load_3dhp_train, load_3dhp_videos):
            refusal(load, save(), *parts, "middle of 2048 x 2048", "give FX,FY,CX,CY", intrinsics="estimate")


def test_given_intrinsics(sample: Path, save: Callable, trees: dict) -> None:
    right = load_3dhp_train(sample, f"{TRAIN_FOCAL},{TRAIN_FOCAL},1024,1024")
    for video, stored in zip(right.videos, load_3dhp_train(sample).videos):
        assert torch.equal(video.intrinsics, stored.intrinsics)
    (note,) = right.notes
    assert "as given" in note and "1500,1500,1024,1024" in note
    trees["data"] = {RECORDING: trees["data"][RECORDING]}
    _, doubt = load_3dhp_train(save(), "1500,1500,1200,1024").notes
    assert "176 px of 2048" in doubt and "4 of 4 videos" in doubt and "or give the true --target-intrinsics" in doubt
    wrong = "2D and 3D do not belong together", "4 of 4 videos", "or give the true --target-intrinsics"
    refusal(load_3dhp_train, save(), *wrong, intrinsics="500,500,1024,1024")
    *_, note = load_3dhp_videos(save(), "500,500,1024,1024").notes
    assert all(part in note for part in wrong)
    for text in ("files", "1500,1500,1024", "1500,0,1,1", "nan,1500,1,1", "1500,1500,inf,1", "1500,1500,1,1,1", ""):
        with pytest.raises(InputError, match="expected file, estimate or FX,FY,CX,CY"):
            parse_intrinsics(text)
        refusal(load_3dhp_train, sample, "--target-intrinsics", intrinsics=text)


@pytest.mark.parametrize("load, name", [(load_3dhp_train, TRAIN_FILE), (load_3dhp_test, TEST_FILE)])
def test_missing_file_says_where_to_get_it(tmp_path: Path, load: Callable, name: str) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        refusal(load, folder, name, str(folder), "https://vcai.mpi-inf.mpg.de/3dhp-dataset/", "annot3", "--sample")
    (tmp_path / name).write_bytes(b"not an archive")
    refusal(load, tmp_path, name, "npz")


@pytest.mark.parametrize("load, name", [(load_3dhp_train, TRAIN_FILE), (load_3dhp_test, TEST_FILE)])
def test_wrong_label(tmp_path: Path, load: Callable, name: str) -> None:
    write_npz(tmp_path / name, data={}, synthetic="no")
    refusal(load, tmp_path, name, "'synthetic'", "one bool")


def change_points(change: Callable[[np.ndarray], Any]) -> Callable[[dict], None]:
    def apply(entry: dict) -> None:
        entry["data_3d"] = change(entry["data_3d"].copy())

    return apply


def change_pixels(change: Callable[[np.ndarray], Any]) -> Callable[[dict], None]:
    def apply(entry: dict) -> None:
        entry["data_2d"] = change(entry["data_2d"].copy())

    return apply


def put(frame: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def apply(array: np.ndarray) -> np.ndarray:
        array[frame, 3, 1] = value
        return array

    return apply


def one_point(points: np.ndarray) -> np.ndarray:
    points[2] = points[2, :1]
    return points


MISTAKES = {
    "no 3D": (lambda entry: entry.pop("data_3d"), ["'data_3d'", "found none"]),
    "no 2D": (lambda entry: entry.pop("data_2d"), ["'data_2d'", "found none"]),
    "28 joints": (change_points(lambda x: np.tile(x, (1, 2, 1))[:, :28]), ["(frames, 17, 3)", "28, 3"]),
    "flat": (change_points(lambda x: x.reshape(len(x), -1)), ["(frames, 17, 3)", "51)"]),
    "no frames": (change_points(lambda x: x[:0]), ["(frames, 17, 3)", "(0, 17, 3)"]),
    "text": (change_points(lambda x: x.astype(str)), ["numbers", "data_3d"]),
    "four numbers as 2D": (change_pixels(lambda x: np.tile(x, 2)), ["data_2d", ", 17, 2 or 3)", "17, 4)"]),
    "3D as 2D": (lambda entry: entry.update(data_2d=entry["data_3d"]), ["third number of data_2d", "looks like 3D"]),
    "no confidence anywhere": (change_pixels(lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1)))), ["data_2d", "no joint"]),
    "nothing detected": (change_pixels(np.zeros_like), ["data_2d", "no joint is seen"]),
    "shorter 2D": (change_pixels(lambda x: x[:-1]), ["data_2d", "as data_3d"]),
    "NaN in 3D": (change_points(put(1, np.nan)), ["3D holds NaN", "1 of", "the first is frame 1;"]),
    "infinite": (change_points(put(0, -np.inf)), ["3D holds", "infinity", "1 of", "the first is frame 0;"]),
    "absurd 2D": (change_pixels(lambda x: put(2, 1e9)(x.astype(np.float64))), ["data_2d: 1 of", "frame 2"]),
    "infinite in float32": (
        change_points(lambda x: put(0, 1e300)(x.astype(np.float64))),
        ["absurd", "the first is frame 0;"],
    ),
    "metres": (change_points(lambda x: x / 1000), ["metres taken for millimetres, multiply by 1000"]),
    "centimetres": (change_points(lambda x: x / 10), ["expected a person of 0.3 to 4.0 m", "in millimetres"]),
    "micrometres": (change_points(lambda x: x * 1000), ["expected a person of 0.3 to 4.0 m", "divide by 1000"]),
    "far away": (change_points(lambda x: x + [0, 0, 60000]), ["m away in", "expected less than 50 m"]),
    "a frame of one point": (change_points(one_point), ["0 m across in 1 of", "the first is frame 2,"]),
    "root-relative": (
        change_points(lambda x: x - x[:, -3:-2]),
        ["behind the camera", "not relative to the pelvis", "annot3"],
    ),
    "normalised 2D": (change_pixels(lambda x: x / 1024 - 1), ["all of the 2D is below 4", "look normalised", "annot2"]),
    "normalised 2D, one missing": (
        change_pixels(lambda x: put(1, np.nan)(x / 1024 - 1)),
        ["all of the 2D is below 4", "look normalised"],
    ),
    "2D beside the image": (change_pixels(lambda x: x + 4000), ["% of the 2D is far outside the image"]),
    "2D elsewhere": (
        change_pixels(lambda x: x * 20),
        ["2D holds", "outside the image", "expected pixels of", "annot2"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_arrays(save: Callable, trees: dict, mistake: str) -> None:
    change, parts = MISTAKES[mistake]
    change(trees["data"][RECORDING][0][CAMERA])
    change(trees["test"][TEST_VIDEO])
    folder = save()
    for intrinsics in ("file", "estimate"):
        refusal(load_3dhp_train, folder, f"{TRAIN_FILE}: {RECORDING}, camera {CAMERA}", *parts, intrinsics=intrinsics)
    refusal(load_3dhp_test, folder, f"{TEST_FILE}: {TEST_VIDEO}", *parts)


def test_wrong_2d_is_refused_without_labels_too(save: Callable, trees: dict) -> None:
    entry = trees["data"][RECORDING][0][CAMERA]
    right = dict(entry)
    for mistake in ("normalised 2D", "2D elsewhere", "2D beside the image", "nothing detected"):
        change, parts = MISTAKES[mistake]
        for has_labels in (True, False):
            entry.update(right)
            change(entry)
            if not has_labels:
                del entry["data_3d"]
            refusal(load_3dhp_videos, save(), f"{TRAIN_FILE}: {RECORDING}, camera {CAMERA}", *parts)


def test_wrong_training_layout(save: Callable, trees: dict) -> None:
    right = trees["data"]
    for wrong, part in (
        ([1.0], "found list"),
        ({}, "'S1 Seq1', found an empty one"),
        ({"S1": right[RECORDING]}, "S1: expected a subject and a sequence"),
        ({RECORDING: right[RECORDING][0]}, "expected [cameras, frames a second]"),
        ({RECORDING: [np.zeros(3)]}, "expected [cameras, frames a second]"),
        ({RECORDING: []}, "found a list of nothing"),
        ({RECORDING: [25]}, "found a list of int"),
        ({RECORDING: [25, right[RECORDING][0]]}, "found a list of int, dict"),
        ({RECORDING: [{CAMERA: 3}]}, "found none"),
        ({RECORDING: [{}, 25]}, f"{RECORDING}: it has no cameras"),
        ({RECORDING: [{}]}, f"{RECORDING}: it has no cameras"),
        (right | {RECORDING: [{}, 25]}, f"{RECORDING}: it has no cameras"),
    ):
        trees["data"] = wrong
        refusal(load_3dhp_train, save(), TRAIN_FILE, part)


def test_wrong_cameras(save: Callable, trees: dict) -> None:
    right = trees["cameras"]
    for wrong, part in (
        ([1], "expected 'cameras' to be a dict"),
        ({name: right[name] for name in right if name != CAMERA}, "camera 7: not among the file's 'cameras'"),
        (right | {CAMERA: 5}, "nine intrinsics"),
        (right | {CAMERA: right[CAMERA] | {"intrinsics": (1500.0, 1500.0, 1024.0, 1024.0)}}, "nine intrinsics"),
        (right | {CAMERA: right[CAMERA] | {"intrinsics": (float("nan"),) * 9}}, "nine intrinsics"),
        (right | {CAMERA: right[CAMERA] | {"height": 0}}, "nine intrinsics"),
        (right | {CAMERA: {"width": 2048, "height": 2048}}, "nine intrinsics"),
    ):
        trees["cameras"] = wrong
        refusal(load_3dhp_train, save(), TRAIN_FILE, part)
    (note,) = load_3dhp_train(save(), "1500,1500,1024,1024").notes  # asks for nothing that is wrong
    assert "as given" in note


def test_wrong_test_layout(save: Callable, trees: dict) -> None:
    right = trees["test"]
    for wrong, parts in (
        ([1.0], ["some of TS1, TS2, TS3, TS4, TS5, TS6, found none"]),
        ({}, ["some of TS1, TS2, TS3, TS4, TS5, TS6, found none"]),
        ({"S1": right["TS1"], "ts2": right["TS2"]}, ["some of TS1, TS2, TS3, TS4, TS5, TS6, found S1, ts2"]),
        (right | {TEST_VIDEO: np.zeros(3)}, [TEST_VIDEO, "found none"]),
    ):
        trees["test"] = wrong
        refusal(load_3dhp_test, save(), TEST_FILE, *parts)


FLAG_MISTAKES = {
    "no valid": ("valid", None, ["'valid'", "found none"]),
    "short valid": ("valid", lambda x: x[:-3], ["'valid'", "as data_3d"]),
    "one column too many": ("valid", lambda x: np.stack([x, x], 1), ["'valid'", "as data_3d"]),
    "valid in per cent": ("valid", lambda x: x * 100, ["'valid'", "0 or 1", "100"]),
    "valid NaN": ("valid", lambda x: x * np.nan, ["'valid'", "0 or 1", "nan"]),
    "nothing valid": ("valid", lambda x: x * 0, ["no frame is valid"]),
    "activity from 0": ("activity", lambda x: x - x.min(), ["'activity'", "1 to 7", "found 0"]),
    "activity 8": ("activity", lambda x: np.r_[x[:-1], 8], ["'activity'", "1 to 7", "found 8", "1 of"]),
    "activity between": ("activity", lambda x: x + 0.5, ["'activity'", "1 to 7"]),
    "long activity": ("activity", lambda x: np.r_[x, 1], ["'activity'", "as data_3d"]),
}


@pytest.mark.parametrize("mistake", FLAG_MISTAKES)
def test_wrong_flags(save: Callable, trees: dict, mistake: str) -> None:
    key, change, parts = FLAG_MISTAKES[mistake]
    entry = trees["test"][TEST_VIDEO]
    if change is None:
        del entry[key]
    else:
        entry[key] = change(entry[key])
    refusal(load_3dhp_test, save(), f"{TEST_FILE}: {TEST_VIDEO}", *parts)


def test_labels_of_invalid_frames_do_not_matter(save: Callable, trees: dict) -> None:
    (before,) = load_3dhp_test(save()).of([TEST_VIDEO])
    invalid = np.flatnonzero(trees["test"][TEST_VIDEO]["valid"] == 0)
    trees["test"][TEST_VIDEO]["data_3d"][invalid] = 0
    trees["test"][TEST_VIDEO]["data_3d"][invalid[0]] = np.nan
    data = load_3dhp_test(save())
    (after,) = data.of([TEST_VIDEO])
    assert data.notes == [] and after.pose.isfinite().all() and after.trajectory.isfinite().all()
    for name in ("pose", "trajectory"):
        old, new = getattr(before, name), getattr(after, name)
        assert torch.equal(old[before.valid], new[before.valid]) and (new[~before.valid] == 0).all()
    trees["test"][TEST_VIDEO]["data_2d"][invalid[0]] = 1e5  # a point that the camera's plane nearly holds
    assert load_3dhp_test(save()).notes == []
    trees["test"][TEST_VIDEO]["activity"][invalid] = 0  # as the official files have it
    (unlabelled,) = load_3dhp_test(save()).of([TEST_VIDEO])
    assert (unlabelled.activity[~after.valid] == 0).all()
    assert torch.equal(unlabelled.activity[after.valid], before.activity[before.valid])


def labels(sample: Path) -> list[torch.Tensor]:
    """Poses of every video of the sample, Human3.6M-17."""
    train, test = load_3dhp_train(sample).videos, load_3dhp_test(sample).videos
    return [v.pose for v in train] + [v.pose[v.valid] for v in test]


@pytest.mark.slow
def test_right_order_is_not_doubted(sample_dir: Path, sample: Path) -> None:
    """Whole videos, random frames of them, single frames, other axes, mirror images, with the root's place or not."""
    rng = np.random.default_rng(0)
    for pose in labels(sample_dir) + labels(sample):
        rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))).float())[0]
        rotation = rotation * rotation.det()  # a proper one
        for some in (pose, pose[rng.permutation(len(pose))[:5]], pose[rng.integers(len(pose))][None]):
            for same in (some, some @ rotation.T, mirror(some), some + torch.tensor([0.3, -0.2, 4]), some * 1.1):
                assert check_joint_order(same) is None
    assert check_joint_order(poses(1, 40)[0]) is None


def test_noise_is_not_doubted(sample: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    for pose in labels(sample):
        assert check_joint_order(pose + 0.02 * torch.randn(pose.shape, generator=rng)) is None


def test_wrong_order_is_seen(sample: Path) -> None:
    rng = np.random.default_rng(1)
    for pose in labels(sample):
        other = convert(pose, MPI_3DHP_17, H36M_17)  # Human3.6M's order taken for 3DHP's
        back = convert(pose, H36M_17, MPI_3DHP_17)  # and the other way round
        for wrong in (other, back, pose.flip(1), *(pose[:, rng.permutation(17)] for _ in range(10))):
            assert "joint order looks wrong" in check_joint_order(wrong)


def test_one_limb_out_of_order_is_seen() -> None:
    pose = poses(1, 40)[0]

    def exchanged(*pairs: tuple[str, str]) -> str | None:
        wrong = pose.clone()
        for a, b in pairs:
            wrong[:, H36M_17.index(a)], wrong[:, H36M_17.index(b)] = (
                pose[:, H36M_17.index(b)],
                pose[:, H36M_17.index(a)],
            )
        return check_joint_order(wrong)

    assert exchanged() is None
    assert "looks wrong" in exchanged(("RWrist", "LWrist"))
    assert "looks wrong" in exchanged(("Hip", "Head"))
    assert "looks wrong" in exchanged(("RKnee", "RFoot"))
    arms = [("LShoulder", "RShoulder"), ("LElbow", "RElbow"), ("LWrist", "RWrist")]
    assert "shoulders face away" in exchanged(*arms)


def test_bones_that_change_or_differ_are_seen() -> None:
    pose = poses(1, 40)[0]
    wrist, elbow = H36M_17.indices("LWrist", "LElbow")

    def stretched(factor: torch.Tensor) -> str:
        wrong = pose.clone()
        wrong[:, wrist] = pose[:, elbow] + (pose[:, wrist] - pose[:, elbow]) * factor[:, None]
        return check_joint_order(wrong)

    assert "left forearm is 0.15 m, the right one 0.25 m" in stretched(torch.full((40,), 0.6))
    assert "left forearm changes from" in stretched(1 + 0.5 * torch.sin(torch.arange(40.0)))


def test_sides_exchanged_are_seen_where_knees_bend(sample: Path) -> None:
    for pose in labels(sample):
        for wrong in (pose[:, H36M_17.mirrored], pose * torch.tensor([-1, 1, 1])):
            assert check_joint_order(wrong) == "left and right look exchanged: the knees bend forwards"
    straight = poses(1, 40, swing=0.0)[0]
    assert check_joint_order(straight) is None
    assert check_joint_order(straight[:, H36M_17.mirrored]) is None  # as the docstring says, this cannot be seen
    straight[:, H36M_17.indices("LKnee", "RKnee"), 2] += 0.01  # knees pushed back a little, as some people stand
    assert check_joint_order(straight) is None


def in_other_order(entry: dict) -> None:
    for key in ("data_3d", "data_2d"):
        entry[key] = convert(entry[key], MPI_3DHP_17, H36M_17)


def test_loader_tells_of_the_other_order(save: Callable, trees: dict) -> None:
    for views in trees["data"].values():
        for entry in views[0].values():
            in_other_order(entry)
    in_other_order(trees["test"]["TS3"])
    said = "it looks like Human3.6M-17 order, convert it to MPI-INF-3DHP-17"
    parts = f"{TRAIN_FILE}: the joint order looks wrong: ", "S1 Seq1 0", "in 32 of 32 videos", said
    refusal(load_3dhp_train, save(), *parts)
    first, note = load_3dhp_videos(save()).notes
    assert first == f"training cameras as stored in {TRAIN_FILE}" and all(part in note for part in parts)
    (note,) = load_3dhp_test(save()).notes  # one of six may be a strange person
    for part in (f"{TEST_FILE}: the joint order looks wrong: ", "TS3", "in 1 of 6 videos", said):
        assert "\n" not in note and part in note, note
    for name in ("TS1", "TS4", "TS6"):
        in_other_order(trees["test"][name])
    refusal(load_3dhp_test, save(), f"{TEST_FILE}: the joint order looks wrong: ", "in 4 of 6 videos", said)


def test_loader_tells_of_exchanged_sides(save: Callable, trees: dict) -> None:
    entry = trees["test"]["TS3"]
    for key in ("data_3d", "data_2d"):
        entry[key] = entry[key][:, MPI_3DHP_17.mirrored]
    (note,) = load_3dhp_test(save()).notes
    for part in (f"{TEST_FILE}: left and right look exchanged: ", "in 1 of 6 videos", "TS3", "exchange left and right"):
        assert part in note and "it looks like" not in note
    entry["data_3d"] = entry["data_3d"][:, MPI_3DHP_17.mirrored]
    parts = (
        f"{TEST_FILE}: 2D and 3D do not belong together: left and right look exchanged in the 2D",
        "in 1 of 6 videos",
    )
    refusal(load_3dhp_test, save(), *parts, "TS3", "px of 2048 apart", "exchange them in the file's keypoints")


def of_univ(points: np.ndarray) -> np.ndarray:
    """`univ_annot3` of a person who is 5 % smaller than its skeleton."""
    root = points[:, [MPI_3DHP_17.root_index]]
    return root + 1.05 * (points - root)


def test_univ_annot3_taken_for_annot3_is_a_note(save: Callable, trees: dict) -> None:
    expected = load_3dhp_test(save())
    for entry in (trees["test"]["TS4"], trees["data"][RECORDING][0][CAMERA]):
        entry["data_3d"] = of_univ(entry["data_3d"])
    trees["data"] = {RECORDING: trees["data"][RECORDING]}
    test, train, videos = load_3dhp_test(save()), load_3dhp_train(save()), load_3dhp_videos(save())
    for note, parts in (
        (test.notes[-1], (TEST_FILE, "TS4", "in 1 of 6 videos")),
        (train.notes[-1], (TRAIN_FILE, f"{RECORDING} {CAMERA}", "in 1 of 4 videos")),
    ):
        for part in (*parts, "a person of another size", "0.95 times", "px of 2048 apart", "not univ_annot3"):
            assert "\n" not in note and part in note, note
    assert [len(data.notes) for data in (test, train, videos)] == [1, 2, 2] and videos.notes == train.notes
    for video, same in zip(test.videos, expected.videos, strict=True):
        assert torch.equal(video.pose, same.pose) is (video.subject != "TS4")
        assert torch.equal(video.keypoints, same.keypoints)
    for intrinsics in ("estimate", "1500,1500,1024,1024"):  # could be off by as much
        assert len(load_3dhp_train(save(), intrinsics).notes) == 1


def test_a_misfit_of_half_a_pixel_is_told_where_2d_is_made_by_projecting(save: Callable, trees: dict) -> None:
    pixels = trees["test"]["TS1"]["data_2d"].astype(np.float64)
    trees["test"]["TS1"]["data_2d"] = pixels + [0.4, 0]
    assert load_3dhp_test(save()).notes == []
    rng = np.random.default_rng(0)
    trees["test"]["TS1"]["data_2d"] = pixels + rng.normal(0, 2, pixels.shape)
    (note,) = load_3dhp_test(save()).notes
    assert "2D and 3D do not belong together" in note and "TS1" in note and "px of 2048 apart" in note


def test_cameras_in_another_order_are_refused(save: Callable, trees: dict) -> None:
    views = trees["data"][RECORDING][0]
    first, second, *_ = views.values()
    first["data_2d"], second["data_2d"] = second["data_2d"], first["data_2d"]
    trees["data"] = {RECORDING: [views]}
    parts = TRAIN_FILE, "another camera's", "in 2 of 4 videos", *(f"{RECORDING} {name}" for name in list(views)[:2])
    refusal(load_3dhp_train, save(), *parts)
    _, note = load_3dhp_videos(save()).notes
    assert all(part in note for part in parts), note


def pairs(data: dict, rates: dict[str, int]) -> dict[str, list]:
    """The published layout: [cameras, frames a second]."""
    return {recording: [views, rates[recording]] for recording, (views,) in data.items()}


def objects(pair: list) -> np.ndarray:
    array = np.empty(2, dtype=object)
    array[:] = pair
    return array


@pytest.mark.parametrize("kind", [list, tuple, objects])
@pytest.mark.parametrize("number", [int, float, np.int64, np.array])
def test_the_published_layout_says_its_frame_rates(
    save: Callable, trees: dict, tmp_path: Path, kind: Callable, number: Callable
) -> None:
    """As P-STMO's and D3DP's scripts write it, with numpy's own writer."""
    expected = load_3dhp_train(save())
    rates = {name: frame_rate(name) for name in trees["data"]}
    data = {name: kind([views, number(int(fps))]) for name, (views, fps) in pairs(trees["data"], rates).items()}
    np.savez_compressed(tmp_path / TRAIN_FILE, data=data, cameras=trees["cameras"])
    found = load_3dhp_train(tmp_path)
    assert found.notes == expected.notes
    for video, same in zip(found.videos, expected.videos, strict=True):
        assert video.fps == rates[f"{video.subject} {video.action}"] and same.fps == 50
        for name in ("keypoints", "pose", "trajectory", "intrinsics"):
            assert torch.equal(getattr(video, name), getattr(same, name)), name
    assert {v.fps for v in found.videos} == {25, 50}


@pytest.mark.parametrize("rate", [0, -25, float("nan"), 1e9, "25", True, np.zeros(2), None])
def test_a_frame_rate_that_cannot_be(save: Callable, trees: dict, rate: object) -> None:
    trees["data"][RECORDING] = [trees["data"][RECORDING][0], rate]
    refusal(load_3dhp_train, save(), f"{TRAIN_FILE}: {RECORDING}: expected frames a second, up to 1000, found")


def test_frame_rates_of_files_that_say_none(save: Callable, trees: dict, tmp_path: Path) -> None:
    trees["data"]["Anna Seq 3"] = trees["data"].pop("S4 Seq2")
    stored = {"data": trees["data"], "cameras": trees["cameras"]}

    def rates(**more: object) -> tuple[dict[str, float], list[str]]:
        write_npz(tmp_path / TRAIN_FILE, **stored, **more)
        data = load_3dhp_train(tmp_path)
        return {f"{v.subject} {v.action}": v.fps for v in data.videos}, data.notes[1:]

    own = {name: 50 if name in ("S1 Seq2", "S3 Seq1", "S3 Seq2") else 25 for name in trees["data"]}
    found, notes = rates()
    assert found == own | {"Anna Seq 3": 50}
    known, unknown = notes
    assert "no frames a second for S1 Seq1 and 6 more; the data set's own are taken, 50 or 25" in known
    assert "no frames a second for Anna Seq 3; 50 are taken" in unknown
    assert rates(fps=30.0) == (dict.fromkeys(own, 30), [])
    each = {name.split()[0]: {} for name in own}
    for name in own:
        subject, action = name.split(maxsplit=1)
        each[subject][action] = 24 if name == RECORDING else 60.0
    assert rates(fps=each) == (dict.fromkeys(own, 60) | {RECORDING: 24}, [])
    del each["Anna"]
    write_npz(tmp_path / TRAIN_FILE, **stored, fps=each)
    refusal(load_3dhp_train, tmp_path, "fps of Anna Seq 3 is None")


def test_the_data_sets_own_frame_rates() -> None:
    fast = [recording for recording in RECORDINGS if frame_rate(recording) == 50]
    assert fast == ["S1 Seq2", "S3 Seq1", "S3 Seq2", "S5 Seq1", "S5 Seq2"]
    assert len(RECORDINGS) == 16 and {frame_rate(recording) for recording in set(RECORDINGS) - set(fast)} == {25}


def test_frame_rates_of_test_sequences(trees: dict, tmp_path: Path) -> None:
    def rates(**more: object) -> list[float]:
        write_npz(tmp_path / TEST_FILE, data=trees["test"], **more)
        data = load_3dhp_test(tmp_path)
        assert data.notes == []
        return [video.fps for video in data.videos]

    assert rates() == [50] * 6
    assert rates(fps=25) == [25] * 6
    assert rates(fps={"TS1": 25, "TS2": 25, "TS3": 25, "TS4": 25, "TS5": 30, "TS6": 30}) == [25] * 4 + [30] * 2
    trees["test"]["TS5"]["fps"] = 60
    assert rates(fps=25) == [25] * 4 + [60, 25]
    trees["test"]["TS5"]["fps"] = 0
    write_npz(tmp_path / TEST_FILE, data=trees["test"])
    refusal(load_3dhp_test, tmp_path, "TS5: expected frames a second")


def test_confidence_and_a_person_axis(save: Callable, trees: dict) -> None:
    """(F, 17, 3), (F, 1, 17, 2) and (F, 1, 17, 3); the confidence follows its joint into the other order."""
    expected = {"train": load_3dhp_train(save()), "test": load_3dhp_test(save())}
    sure = np.linspace(0.2, 0.9, 17, dtype=np.float32)
    for entry in (trees["data"][RECORDING][0][CAMERA], trees["test"][TEST_VIDEO]):
        pixels = entry["data_2d"]
        each = np.broadcast_to(sure[None, :, None], (*pixels.shape[:2], 1))
        entry["data_2d"] = np.concatenate([pixels, each], -1)
    trees["data"]["S1 Seq1"][0]["0"]["data_2d"] = trees["data"]["S1 Seq1"][0]["0"]["data_2d"][:, None]
    trees["test"]["TS1"] = {k: x[:, None] if "data" in k else x for k, x in trees["test"]["TS1"].items()}
    trees["test"]["TS2"]["data_2d"] = np.pad(trees["test"]["TS2"]["data_2d"], ((0, 0),) * 2 + ((0, 1),))[:, None]
    trees["test"]["TS2"]["data_2d"][..., 2] = 1.11  # AlphaPose says such things
    data = {"train": load_3dhp_train(save()), "test": load_3dhp_test(save())}
    for kind, found in data.items():
        assert found.notes == expected[kind].notes
        for video, same in zip(found.videos, expected[kind].videos, strict=True):
            assert torch.equal(video.keypoints, same.keypoints) and torch.equal(video.pose, same.pose)
            if video.name in (f"{RECORDING} {CAMERA}", f"{TEST_VIDEO} {TEST_VIDEO} {TEST_VIDEO}"):
                for joint, other in (
                    ("Hip", "pelvis"),
                    ("LFoot", "LAnkle"),
                    ("Head", "head_top"),
                    ("RWrist", "RWrist"),
                ):
                    value = float(sure[MPI_3DHP_17.index(other)])
                    assert video.confidence[:, H36M_17.index(joint)].tolist() == pytest.approx([value] * len(video))
            elif video.subject == "TS2":
                assert (video.confidence == 1).all()
            else:
                assert video.confidence is None


MISSED = {"zero": (0.0, 0.0), "minus one": (-1.0, -1.0), "NaN": (np.nan, np.nan), "infinity": (np.inf, 5.0)}


@pytest.mark.parametrize("how", MISSED)
def test_missing_joints_are_filled_and_told(save: Callable, trees: dict, how: str) -> None:
    """A short gap on a straight line, a long one without confidence; nobody else's keypoints change."""
    expected = {"train": load_3dhp_train(save()), "test": load_3dhp_test(save())}
    joint, same = MPI_3DHP_17.index("LAnkle"), H36M_17.index("LFoot")
    for entry in (trees["data"][RECORDING][0][CAMERA], trees["test"][TEST_VIDEO]):
        entry["data_2d"][2, joint] = MISSED[how]
    entry = trees["data"]["S3 Seq2"][0]["0"]
    entry["data_2d"][5:25, MPI_3DHP_17.index("RWrist")] = MISSED[how]  # longer than 0.2 s
    train, test = load_3dhp_train(save()), load_3dhp_test(save())
    note = train.notes[-1]
    assert f"{TRAIN_FILE}: 2 of 32 videos have missing joints, most of all S3 Seq2, camera 0: " in note
    assert f"{20 / 17 / len(entry['data_2d']):.1%} of the joints missing, 0% of these filled in" in note
    assert f"{TEST_FILE}: 1 of 6 videos have missing joints, most of all {TEST_VIDEO}" in test.notes[-1]
    assert "100% of these filled in" in test.notes[-1]
    for kind, data in (("train", train), ("test", test)):
        for video, before in zip(data.videos, expected[kind].videos, strict=True):
            assert video.keypoints.isfinite().all()
            if (
                f"{video.subject} {video.action} {video.camera}" == f"{RECORDING} {CAMERA}"
                or video.subject == TEST_VIDEO
            ):
                path = before.keypoints[:, same]
                torch.testing.assert_close(video.keypoints[2, same], (path[1] + path[3]) / 2)
                assert video.confidence[2, same] == 0.5 and (video.confidence == 1).sum() == 17 * len(video) - 1
            elif video.subject == "S3" and video.action == "Seq2" and video.camera == "0":
                assert (video.confidence[5:25, H36M_17.index("RWrist")] == 0).all()
            else:
                assert video.confidence is None and torch.equal(video.keypoints, before.keypoints)


def test_cameras_are_not_estimated_from_missing_joints(save: Callable, trees: dict) -> None:
    """Nor does a misfit come from where they were put."""
    for views in trees["data"].values():
        for entry in views[0].values():
            entry["data_2d"][3:, MPI_3DHP_17.indices("LWrist", "RAnkle", "head_top")] = 0
    data = load_3dhp_train(save(), "estimate")
    for video in data.videos:
        expected = train_cameras()[video.camera].normalised_intrinsics()
        assert ((video.intrinsics - expected)[:2].abs() < 1e-3 * expected[:2]).all()
    assert len(data.notes) == 2 and "32 of 32 videos have missing joints" in data.notes[1]


def test_valid_frame_for_valid(save: Callable, trees: dict) -> None:
    expected = load_3dhp_test(save())
    for entry in trees["test"].values():
        entry["valid_frame"] = entry.pop("valid")[None].astype(np.uint8)
        entry["activity_annotation"] = entry.pop("activity")[:, None].astype(np.uint8)
    for video, same in zip(load_3dhp_test(save()).videos, expected.videos, strict=True):
        assert torch.equal(video.valid, same.valid) and torch.equal(video.activity, same.activity)


def test_a_part_of_the_test_sequences(save: Callable, trees: dict) -> None:
    whole = load_3dhp_test(save())
    trees["test"] = {name: trees["test"][name] for name in ("TS6", "TS5")}
    data = load_3dhp_test(save())
    assert [video.subject for video in data.videos] == ["TS5", "TS6"]
    for video, same in zip(data.videos, whole.videos[4:], strict=True):
        assert torch.equal(video.pose, same.pose) and torch.equal(video.intrinsics, same.intrinsics)
    (note,) = data.notes
    assert note.endswith(f"{TEST_FILE}: 2 of the six test sequences, TS5, TS6; scores are over these")


def test_targets_without_labels(save: Callable, trees: dict) -> None:
    """Videos to adapt to need no 3D, and take none along where there is some."""
    labelled = load_3dhp_train(save())
    del trees["data"][RECORDING][0][CAMERA]["data_3d"]
    bare = load_3dhp_videos(save())
    assert bare.notes == labelled.notes and bare.files.keys() == labelled.files.keys()
    for video, same in zip(bare.videos, labelled.videos, strict=True):
        assert type(video) is Video and not vars(video).keys() & {"pose", "trajectory"}
        assert torch.equal(video.keypoints, same.keypoints) and torch.equal(video.intrinsics, same.intrinsics)
        assert (video.name, video.fps, video.width) == (same.name, same.fps, same.width)
    where = f"{TRAIN_FILE}: {RECORDING}, camera {CAMERA}"
    refusal(load_3dhp_train, save(), where, "'data_3d'", "found none", "can be adapted to")
    refusal(load_3dhp_videos, save(), where, "no data_3d", "FX,FY,CX,CY", intrinsics="estimate")
    given = load_3dhp_videos(save(), "1500,1500,1024,1024")
    assert all(torch.equal(a.intrinsics, b.intrinsics) for a, b in zip(given.videos, labelled.videos))


def test_labels_that_are_not_asked_for_change_nothing(save: Callable, trees: dict) -> None:
    right = load_3dhp_videos(save())
    for number, views in enumerate(trees["data"].values()):
        for entry in views[0].values():
            wrong = np.random.default_rng(number).normal(size=entry["data_3d"].shape)
            entry["data_3d"] = (wrong * np.nan, wrong, wrong[:-1], wrong * 300 + 5000, "none")[number % 5]
    ruined = load_3dhp_videos(save())
    for video, same in zip(ruined.videos, right.videos, strict=True):
        assert all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
                   for x, y in zip(vars(video).values(), vars(same).values(), strict=True))  # fmt: skip
    assert not any("\n" in note for note in ruined.notes)
    misfit, unusable = ruined.notes[1:]
    assert "2D and 3D do not belong together" in misfit and "in 4 of 4 videos" in misfit and "S2 Seq2" in misfit
    assert f"{TRAIN_FILE}: the 3D of 28 of 32 videos is not held against the 2D, it cannot be used: " in unusable
    assert "S1 Seq1, camera 0: the 3D holds NaN" in unusable


@pytest.mark.parametrize("load, name", [(load_3dhp_train, TRAIN_FILE), (load_3dhp_test, TEST_FILE)])
def test_a_git_lfs_pointer(tmp_path: Path, load: Callable, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2\n")
    refusal(load, tmp_path, name, "Git LFS pointer", "git lfs pull")
