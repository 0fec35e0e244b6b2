"""The open layout: any people, cameras and frame rates inside the npz files."""

import tempfile
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import poses, trajectories

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import H36MFiles
from common.datasets.h36m_writing import write_h36m
from common.datasets.npz import read_object, write_npz
from common.datasets.open_layout import Rates, cameras_entry, read_cameras
from common.datasets.video import LabelledVideo
from common.errors import InputError
from common.geometry.camera import Camera, camera_to_world, project, world_to_camera
from common.geometry.skeleton import H36M_17, H36M_32, convert

FRAMES = 30
FILE_3D, FILE_2D = "data_3d_h36m.npz", "data_2d_h36m_gt.npz"
ENTRY = cameras_entry({"Anna": [h36m_cameras("S1")[0]]})["Anna"][0]


def motion(seed: int = 0) -> np.ndarray:
    """(F, 32, 3) world metres, of a person who walks in the middle of Human3.6M's room."""
    camera = h36m_cameras("S1")[0]
    points = camera_to_world((poses(1, FRAMES, seed) + trajectories(1, FRAMES, seed)[:, :, None])[0], camera).numpy()
    joints = np.zeros((FRAMES, len(H36M_32.joints), 3))
    joints[:, [H36M_32.index(name) for name in convert_names()]] = points
    return joints


def convert_names() -> list[str]:
    """The 32's names of the 17, in order."""
    numbers = np.arange(len(H36M_32.joints), dtype=float)[None, :, None]
    return [H36M_32.joints[int(i)] for i in convert(numbers, H36M_32, H36M_17)[0, :, 0]]


def eight_cameras() -> list[Camera]:
    """Human3.6M's and four more of other sizes and lenses, around the same person."""
    known = h36m_cameras("S1")
    wide = [
        replace(camera, name=f"wide {i}", width=1920, height=1080, focal=(1400.0 + 7 * i, 1390.0),
                centre=(950.0, 551.5), distortion=(-0.1, 0.02, 0.001, 0.0005, -0.0004))
        for i, camera in enumerate(known)
    ]  # fmt: skip
    return [*known, *wide]


def seen_by(joints: np.ndarray, cameras: list[Camera]) -> list[np.ndarray]:
    world = torch.from_numpy(convert(joints, H36M_32, H36M_17))
    return [
        project(world_to_camera(world, c), torch.tensor(c.intrinsics, dtype=torch.float64)).numpy() for c in cameras
    ]


def save(folder: Path, cameras: list[Camera], fps: float | None = 25.0) -> tuple[Path, list[np.ndarray]]:
    """Anna walks, seen by some cameras; the folder and what they see."""
    joints = motion()
    views = seen_by(joints, cameras)
    positions, keypoints = {"Anna": {"Walking 1": joints}}, {"gt": {"Anna": {"Walking 1": views}}}
    write_h36m(folder, positions, keypoints, "points for a test", True, {"Anna": cameras}, fps)
    return folder, views


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[..., Path]:
    """A whole data set of one camera, of whose files entries are changed; None takes one away."""

    def write(names: tuple[str, ...] = (FILE_3D, FILE_2D), **changes: Any) -> Path:
        save(tmp_path, h36m_cameras("S1")[:1])
        for name in names:
            with np.load(tmp_path / name) as archive:
                entries = {
                    k: read_object(tmp_path / name, k) if k in ("positions_2d", "positions_3d", "metadata", "cameras")
                    else archive[k] for k in archive.files
                }  # fmt: skip
            write_npz(tmp_path / name, **{k: v for k, v in (entries | changes).items() if v is not None})
        return tmp_path

    return write


def refusal(folder: Path, *parts: str) -> None:
    for read in (H36MFiles.labelled, H36MFiles.unlabelled):
        with pytest.raises(InputError) as caught:
            read(H36MFiles(folder, "gt"), ["Anna"])
        message = str(caught.value)
        assert "\n" not in message and str(folder) in message
        for part in parts:
            assert part in message, message


# Cameras.


@pytest.mark.parametrize("cameras", [eight_cameras()[:1], eight_cameras()[5:6], eight_cameras()], ids=len)
def test_what_is_written_projects_as_before(tmp_path: Path, cameras: list[Camera]):
    folder, views = save(tmp_path, cameras)
    data = H36MFiles(folder, "gt").labelled(["Anna"])
    assert [v.camera for v in data.videos] == [camera.name for camera in cameras]
    for found, camera, pixels in zip(data.videos, cameras, views):
        assert type(found) is LabelledVideo and (found.subject, found.action, found.fps) == ("Anna", "Walking 1", 25)
        assert (found.width, found.height) == (camera.width, camera.height)
        placed = (found.pose + found.trajectory[:, None]).double()
        again = project(placed, torch.tensor(camera.intrinsics, dtype=torch.float64)).numpy()
        assert np.abs(again - pixels).max() < 1e-3  # pixels
        by_own_lens = project(placed, found.intrinsics.double()) - found.keypoints
        assert by_own_lens.abs().max() * camera.width / 2 < 1e-3
        torch.testing.assert_close(found.up, camera.up().float(), rtol=0, atol=1e-6)
    blind = H36MFiles(folder, "gt").unlabelled(["Anna"]).videos
    assert all(torch.equal(a.keypoints, b.keypoints) for a, b in zip(data.videos, blind))


def test_cameras_come_back_as_they_were(tmp_path: Path):
    cameras = {"Anna": eight_cameras(), "S1": h36m_cameras("S5")[:2], "no lens": [Camera(100, 50, 80.0)]}
    write_npz(tmp_path / "a.npz", cameras=cameras_entry(cameras))
    found = read_cameras(tmp_path / "a.npz")
    assert found is not None and list(found) == list(cameras)
    for subject, views in cameras.items():
        for one, other in zip(views, found[subject], strict=True):
            assert (one.width, one.height, one.name) == (other.width, other.height, other.name)
            np.testing.assert_allclose(one.intrinsics, other.intrinsics, rtol=1e-12)
            np.testing.assert_allclose(one.translation, other.translation, atol=1e-5)  # published in float32
            turn = np.array([one.orientation, other.orientation])
            assert abs(turn[0] @ turn[1]) > 1 - 1e-6  # a quaternion and its opposite are one rotation
            assert len(astuple(one)) == len(astuple(other))


def test_the_entry_is_as_opencv_has_it():
    """R and t take world points to the camera's axes; dist is k1 k2 p1 p2 k3."""
    camera = eight_cameras()[6]
    (entry,) = cameras_entry({"Anna": [camera]})["Anna"]
    assert entry.keys() == {"name", "width", "height", "K", "dist", "R", "t"}
    points = torch.randn(20, 3, dtype=torch.float64)
    np.testing.assert_allclose(points.numpy() @ entry["R"].T + entry["t"], world_to_camera(points, camera), atol=1e-5)
    np.testing.assert_allclose(entry["R"] @ entry["R"].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(entry["R"]) == pytest.approx(1, abs=1e-5)
    assert entry["K"].tolist() == [[1414, 0, 950], [0, 1390, 551.5], [0, 0, 1]]
    k1, k2, k3, p1, p2 = camera.distortion
    assert entry["dist"].tolist() == [k1, k2, p2, p1, k3]


def test_opencvs_lens_is_ours_within_a_pixel():
    """OpenCV counts the products of p1 and p2 twice; written out here."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.35, 0.35, 9), np.linspace(-0.3, 0.3, 9)))
    k1, k2, p1, p2, k3 = -0.2, 0.05, 0.002, -0.002, 0.001
    r2 = x**2 + y**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    theirs = np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y], 1
    )
    (camera,) = read_one(ENTRY | {"dist": [k1, k2, p1, p2, k3], "K": np.diag([1000.0, 1000.0, 1.0])})
    rays = torch.from_numpy(np.stack([x, y, np.ones_like(x)], 1))
    ours = project(rays, torch.tensor(camera.intrinsics, dtype=torch.float64)).numpy()
    off = np.abs(ours - 1000 * theirs).max(1)
    assert off.max() < 1 and off[np.hypot(x, y) < 0.15].max() < 0.1
    assert np.abs(ours / 1000 - rays.numpy()[:, :2]).max() > 0.01  # the lens is not nothing


def read_one(*entries: Any) -> list[Camera]:
    with tempfile.TemporaryDirectory() as folder:
        write_npz(Path(folder) / "a.npz", cameras={"Anna": list(entries)})
        return (read_cameras(Path(folder) / "a.npz") or {})["Anna"]


def test_what_may_be_left_out_or_written_otherwise():
    plain = {k: v for k, v in ENTRY.items() if k not in ("name", "dist")}
    one, other = read_one(plain, plain | {"dist": [0.1, 0.2, 0.3, 0.4]})
    assert (one.name, other.name) == ("0", "1")
    assert one.distortion == (0,) * 5 and other.distortion == (0.1, 0.2, 0, 0.4, 0.3)
    lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in ENTRY.items()}
    column = ENTRY | {"t": ENTRY["t"][:, None], "dist": ENTRY["dist"][None], "width": np.int64(1000)}
    more = ENTRY | {"dist": [*ENTRY["dist"], 0, 0, 0]}
    (expected,) = read_one(ENTRY)
    for entry in (lists, column, more):
        assert read_one(entry) == [expected]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"K": None}, "expected width, height, K (3, 3), R (3, 3), t (3,)"), ({"K": np.eye(2)}, "cannot read it"),
        ({"K": "K"}, "cannot read it"), ({"R": None}, "cannot read it"), ({"R": np.eye(4)}, "cannot read it"),
        ({"t": [1.0, 2.0]}, "cannot read it"), ({"width": None}, "cannot read it"),
        ({"height": "tall"}, "cannot read it"), ({"dist": "none"}, "cannot read it"),
        ({"width": 0}, "size and focal lengths above zero"), ({"height": -5}, "above zero"),
        ({"K": np.diag([0.0, 1000, 1])}, "above zero"), ({"K": np.diag([1000, -1000.0, 1])}, "above zero"),
        ({"K": np.full((3, 3), np.nan)}, "finite numbers"), ({"t": [0, np.inf, 0]}, "finite numbers"),
        ({"R": np.full((3, 3), np.nan)}, "finite numbers"), ({"dist": [np.nan] * 5}, "finite numbers"),
        ({"R": 2 * np.eye(3)}, "R is no rotation"), ({"R": np.diag([1.0, 1, -1])}, "R is no rotation"),
        ({"R": np.zeros((3, 3))}, "R is no rotation"),
        ({"K": np.array([[1000.0, 3, 500], [0, 1000, 500], [0, 0, 1]])}, "a skew of 3"),
        ({"K": np.array([[1000.0, 0, 0], [0, 1000, 0], [500, 500, 1]])}, "expected [[fx, 0, cx], [0, fy, cy]"),
        ({"K": np.array([[1000.0, 0, 5], [0, 1000, 5], [0, 0, 2]])}, "expected [[fx, 0, cx], [0, fy, cy]"),
        ({"K": np.array([[1000.0, 0, 5], [3, 1000, 5], [0, 0, 1]])}, "expected [[fx, 0, cx], [0, fy, cy]"),
        ({"dist": [0.1] * 8}, "dist has 8 numbers, expected k1 k2 p1 p2 k3"),
    ],
)  # fmt: skip
def test_a_camera_that_cannot_be(rewritten, change, words):
    wrong = {k: v for k, v in (ENTRY | change).items() if v is not None}
    refusal(rewritten(cameras={"Bert": [ENTRY], "Anna": [wrong]}), f"{FILE_2D}: cameras of Anna, number 0: ", words)


@pytest.mark.parametrize(
    "cameras", [[ENTRY], {"Anna": ENTRY}, {"Anna": []}, {"Anna": "one"}, {"Anna": [ENTRY], "Bert": None}]
)
def test_another_tree_of_cameras(rewritten, cameras):
    refusal(rewritten(cameras=cameras), "'cameras' to be a dict of subjects, each a list of cameras")


def test_a_view_that_is_no_dict(rewritten):
    refusal(rewritten(cameras={"Anna": [[1, 2]]}), "cameras of Anna, number 0", "cannot read it")


def test_cameras_of_other_people_only(rewritten):
    refusal(rewritten(cameras={"Bert": [ENTRY]}), "'cameras' have none of subject Anna, found Bert")


def test_two_cameras_of_one_name(rewritten):
    refusal(rewritten(cameras={"Anna": [ENTRY, ENTRY]}), "cameras of Anna: two have one name", "rename")


def test_more_cameras_than_views(rewritten):
    two = [ENTRY, ENTRY | {"name": "other"}]
    refusal(rewritten(cameras={"Anna": two}), "expected 2 cameras (54138969, other), found 1 views")


def test_cameras_in_either_file_are_enough(rewritten):
    for without in (FILE_3D, FILE_2D):
        folder = rewritten((without,), cameras=None)
        assert [v.camera for v in H36MFiles(folder, "gt").labelled(["Anna"]).videos] == ["54138969"]
    folder = rewritten(cameras=None)
    with pytest.raises(InputError, match="nothing is known of the cameras of subject Anna"):
        H36MFiles(folder, "gt").unlabelled(["Anna"])


# Rates.


def rate_of(folder: Path, fps: float = 50.0) -> float:
    files = H36MFiles(folder, "gt", fps)
    (one,), (other,) = files.labelled(["Anna"]).videos, files.unlabelled(["Anna"]).videos
    assert one.fps == other.fps
    return one.fps


@pytest.mark.parametrize(
    "fps",
    [30.0, 30, np.float32(30), {"Anna": {"Walking 1": 30.0}}, {"Anna": {"Walking 1": np.float64(30)}}, {"Anna": 30}],
)
def test_the_rate_is_one_number_or_told_for_every_take(rewritten, fps):
    assert rate_of(rewritten(fps=fps), 24.0) == 30


def test_files_that_do_not_say_it(rewritten):
    folder = rewritten(fps=None)
    assert rate_of(folder) == 50 and rate_of(folder, 24.0) == 24
    assert rate_of(rewritten((FILE_2D,), fps=None)) == 25  # the 3D says it


@pytest.mark.parametrize(
    "fps",
    [0.0, -25.0, np.nan, np.inf, 1001.0, "25", True, [25.0], {"Anna": {"Sitting": 25.0}}, {"Bert": 25.0},
     {"Anna": {"Walking 1": "25"}}, {"Anna": {"Walking 1": None}}, {"Anna": {"Walking 1": 0}}],
    ids=str,
)  # fmt: skip
def test_a_rate_that_cannot_be_or_is_missing_for_a_take(rewritten, fps):
    refusal(rewritten(fps=fps), "fps of Anna Walking 1 is ", "expected frames a second up to 1000")


def test_rates_of_several_takes(tmp_path: Path):
    write_npz(tmp_path / "a.npz", fps={"Anna": {"Walking": 25, "Sitting": 50.0}, "Bert": 30})
    rates = Rates(tmp_path / "a.npz", 24.0)
    takes = [("Anna", "Walking"), ("Anna", "Sitting"), ("Bert", "x")]
    assert rates.stated and [rates.of(*take) for take in takes] == [25, 50, 30]
    with pytest.raises(InputError, match="fps of Anna Lying is None"):
        rates.of("Anna", "Lying")
