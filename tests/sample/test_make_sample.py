"""The sample data: people whose bones, joints, feet and files are as promised."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from common.datasets.cameras_3dhp import test_cameras as cameras_3dhp
from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import load_h36m
from common.datasets.mpi_3dhp import TEST_FILE, TRAIN_FILE
from common.datasets.npz import read_object, read_plain, read_text
from common.errors import InputError
from common.geometry.camera import Camera, camera_to_world, project, world_to_camera
from common.geometry.skeleton import H36M_17, H36M_32, MPI_3DHP_17, convert
from common.sample.actions import make_clip
from common.sample.contact_sheet import contact_sheet
from common.sample.files import BODIES, STYLES, TAKES, make_sample
from common.sample.files_3dhp import look_at, train_cameras

ROOT = Path(__file__).parents[2]
FPS = 50
FEET = H36M_32.indices("LFoot", "RFoot", "LToeBase", "RToeBase", "LToeSite", "RToeSite")
KEYPOINTS = ("gt", "cpn_ft_h36m_dbb")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """A shorter sample than users get: a quarter of the length."""
    folder = tmp_path_factory.mktemp("sample") / "data" / "sample"
    make_sample(folder, seed=0, length=0.25)
    return folder


@pytest.fixture(scope="module")
def takes() -> dict[tuple[str, str], np.ndarray]:
    """Full-length movements of other seeds than the sample's, (F, 32, 3) world metres."""
    return {
        (subject, action): make_clip(action, body, STYLES[subject], 300, np.random.default_rng([5, row, take]))
        for row, (subject, body) in enumerate(BODIES.items())
        for take, action in enumerate(TAKES)
    }


def joint(clip: np.ndarray, name: str) -> np.ndarray:
    return clip[:, H36M_32.index(name)]


def flexion(clip: np.ndarray, *chain: str) -> np.ndarray:
    """Degrees between two bones, 0 when they are in line."""
    first, middle, last = (joint(clip, name) for name in chain)
    one, two = middle - first, last - middle
    cosine = (one * two).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(two, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def bone_lengths(clip: np.ndarray) -> np.ndarray:
    """(F, 31)."""
    ends = [(child, parent) for child, parent in enumerate(H36M_32.parents) if parent >= 0]
    return np.stack([np.linalg.norm(clip[:, a] - clip[:, b], axis=-1) for a, b in ends], -1)


def test_bones_are_rigid_and_a_persons_own(sample):
    positions = read_object(sample / "data_3d_h36m.npz", "positions_3d")
    people = {}
    for subject, actions in positions.items():
        lengths = np.concatenate([bone_lengths(clip.astype(np.float64)) for clip in actions.values()])
        assert lengths.std(0).max() < 1e-5
        people[subject] = lengths.mean(0)
    stack = np.stack(list(people.values()))
    apart = np.linalg.norm(stack[:, None] - stack[None], axis=-1) + np.eye(len(stack))
    assert apart.min() > 0.02


def test_s1_has_the_legs_but_not_the_arms_and_trunk_of_the_target_subjects():
    target = [BODIES[subject] for subject in ("S5", "S6", "S7", "S8")]
    assert BODIES["S1"].leg == pytest.approx(np.mean([body.leg for body in target]), rel=0.03)
    assert all(BODIES["S1"].arm < 0.93 * body.arm for body in target)
    assert all(
        BODIES["S1"].length("lower_trunk") / BODIES["S1"].leg < 0.95 * body.length("lower_trunk") / body.leg
        for body in target
    )


def test_left_and_right_bones_are_equal(takes):
    lengths = bone_lengths(takes["S5", "Greeting"]).mean(0)
    ends = [child for child, parent in enumerate(H36M_32.parents) if parent >= 0]
    by_joint = dict(zip(ends, lengths))
    for left, right in zip(H36M_32.left_indices, H36M_32.right_indices):
        assert by_joint[left] == pytest.approx(by_joint[right], abs=1e-9)


def test_knees_and_elbows_bend_the_right_way_within_their_limits(takes):
    for clip in takes.values():
        for side in "LR":
            knee = flexion(clip, f"{side}Hip", f"{side}Knee", f"{side}Foot")
            elbow = flexion(clip, f"{side}Shoulder", f"{side}Elbow", f"{side}Wrist")
            assert knee.min() > 2 and knee.max() < 146
            assert elbow.min() > 2 and elbow.max() < 146
            # The knee lies in front of the line from hip to ankle, as the foot points, or above it.
            hip, ankle = joint(clip, f"{side}Hip"), joint(clip, f"{side}Foot")
            line = (ankle - hip) / np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
            offset = joint(clip, f"{side}Knee") - hip
            offset -= (offset * line).sum(-1, keepdims=True) * line
            ahead = (joint(clip, f"{side}ToeBase") - ankle) * [1, 1, 0]
            ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
            assert ((offset * (ahead + [0, 0, 0.5])).sum(-1) > 0).all()


def test_feet_stand_on_the_floor(takes):
    for clip in takes.values():
        assert clip[:, FEET, 2].min() > -0.02
        assert clip[..., 2].min() > -0.05  # nor does anything else sink in
        assert np.mean(clip[:, FEET, 2].min(1) < 0.03) > 0.99


def test_feet_on_the_floor_do_not_slide(takes):
    toes = H36M_32.indices("LToeBase", "RToeBase")
    for clip in takes.values():
        speed = np.linalg.norm(np.diff(clip[:, toes, :2], axis=0), axis=-1) * FPS
        standing = np.where(clip[1:, toes, 2] < 0.012, speed, np.inf).min(1)
        assert np.median(standing) < 0.05


def test_speeds_are_human(takes):
    for (subject, action), clip in takes.items():
        speed = np.linalg.norm(np.diff(clip, axis=0), axis=-1) * FPS
        assert speed.max() < 8, (subject, action)
        hips = np.linalg.norm(np.diff(joint(clip, "Hip")[:, :2], axis=0), axis=-1).mean() * FPS
        assert (0.6 < hips < 1.8) if action.startswith("Walk") else hips < 0.5


def test_actions_look_like_their_names(takes):
    for subject in BODIES:
        assert joint(takes[subject, "Sitting"], "Hip")[:, 2].max() < 0.6
        assert joint(takes[subject, "SittingDown"], "Hip")[:, 2].min() < 0.2
        phoning = takes[subject, "Phoning"]
        near = np.linalg.norm(joint(phoning, f"{STYLES[subject].hand}HandSite") - joint(phoning, "Head"), axis=-1)
        assert np.median(near) < 0.3
        greeting = takes[subject, "Greeting"]
        assert (joint(greeting, f"{STYLES[subject].hand}Wrist")[:, 2] > joint(greeting, "Thorax")[:, 2]).any()
        knees = [flexion(takes[subject, "Walking"], f"{side}Hip", f"{side}Knee", f"{side}Foot") for side in "LR"]
        assert np.corrcoef(*knees)[0, 1] < 0  # the legs take turns


def test_s1_mostly_faces_two_cameras_and_the_others_turn_about(takes):
    def sideways(subject: str) -> float:
        shoulders = []
        for seed in range(30):
            clip = make_clip("Waiting", BODIES[subject], STYLES[subject], 50, np.random.default_rng(seed))
            across = joint(clip, "LHip") - joint(clip, "RHip")
            shoulders.append(abs(across[0, 1]) / np.linalg.norm(across[0]))
        return float(np.mean(np.array(shoulders) > 0.7))

    assert sideways("S1") < 0.35 < sideways("S6")


def test_everyone_is_inside_every_image(sample):
    positions = read_object(sample / "data_2d_h36m_gt.npz", "positions_2d")
    for subject, actions in positions.items():
        for views in actions.values():
            for camera, view in zip(h36m_cameras(subject), views):
                assert (view > 0).all() and (view < [camera.width, camera.height]).all()


@pytest.mark.slow
def test_full_length_walks_stay_in_view():
    for row, subject in enumerate(BODIES):
        for seed in (0, 1):
            rng = np.random.default_rng([seed, row, TAKES.index("Walking")])
            clip = make_clip("Walking", BODIES[subject], STYLES[subject], 400, rng, (0.05, 0.32))
            for camera in h36m_cameras(subject):
                in_camera = world_to_camera(torch.from_numpy(clip), camera)
                view = project(in_camera, in_camera.new_tensor(camera.intrinsics)).numpy()
                assert (view > 0).all() and (view < [camera.width, camera.height]).all()


def test_the_loader_reads_it_and_its_2d_is_the_projection(sample):
    for keypoints, tolerance in zip(KEYPOINTS, (0.05, 30.0)):
        data = load_h36m(sample, keypoints, ["S1", "S11"])
        assert data.synthetic and "SYNTHETIC" in data.provenance
        assert [v.action for v in data.of(["S1"])[::4]] == list(TAKES)
        for video in data.of(["S1"]):
            exact = project((video.pose + video.trajectory[:, None]).double(), video.intrinsics.double())
            error = (exact - video.keypoints).norm(dim=-1).mean() * video.width / 2
            assert error < tolerance
            assert len(video) == 100


def test_detector_like_2d_is_four_pixels_off(sample):
    exact, detected = (read_object(sample / f"data_2d_h36m_{name}.npz", "positions_2d") for name in KEYPOINTS)
    errors = [
        np.linalg.norm(one - two, axis=-1).mean()
        for subject in exact
        for action in exact[subject]
        for one, two in zip(exact[subject][action], detected[subject][action])
    ]
    assert 3 < np.mean(errors) < 5


def test_every_file_says_that_it_is_synthetic(sample):
    files = sorted(path.name for path in sample.iterdir())
    assert files == sorted(["data_3d_h36m.npz", *(f"data_2d_h36m_{k}.npz" for k in KEYPOINTS), TRAIN_FILE, TEST_FILE])
    for name in files:
        assert read_plain(sample / name, "synthetic").item() is True
        assert "SYNTHETIC" in read_text(sample / name, "provenance")


@pytest.mark.slow
def test_equal_seeds_give_equal_bytes(tmp_path, sample):
    def digests(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    make_sample(tmp_path / "again", seed=0, length=0.05)
    make_sample(tmp_path / "twice", seed=0, length=0.05)
    make_sample(tmp_path / "other", seed=1, length=0.05)
    assert digests(tmp_path / "again") == digests(tmp_path / "twice")
    assert all(digests(tmp_path / "other")[name] != digest for name, digest in digests(tmp_path / "again").items())
    make_sample(tmp_path / "other", seed=0, length=0.05)  # over an older one
    assert digests(tmp_path / "other") == digests(tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "other", "twice"]


def test_3dhp_test_file(sample):
    data = read_object(sample / TEST_FILE, "data")
    cameras = cameras_3dhp()
    assert list(data) == list(cameras) == ["TS1", "TS2", "TS3", "TS4", "TS5", "TS6"]
    for name, entry in data.items():
        camera, frames = cameras[name], len(entry["valid"])
        assert entry["data_3d"].shape == (frames, 17, 3) and entry["data_2d"].shape == (frames, 17, 2)
        points = torch.from_numpy(entry["data_3d"]).double()
        pixels = project(points, points.new_tensor(camera.intrinsics)).numpy()
        assert np.abs(pixels - entry["data_2d"]).max() < 0.02
        assert (pixels > 0).all() and (pixels < [camera.width, camera.height]).all()
        assert set(np.unique(entry["valid"])) == {0, 1} and entry["valid"].mean() > 0.7
    assert set(np.concatenate([entry["activity"] for entry in data.values()])) == set(range(1, 8))


def test_3dhp_train_file(sample):
    data, stored = (read_object(sample / TRAIN_FILE, key) for key in ("data", "cameras"))
    assert len(data) == 8 and "S1 Seq1" in data
    for entry in data.values():
        worlds = []
        for name, camera in train_cameras().items():
            assert stored[name]["intrinsics"] == list(camera.intrinsics)
            points = torch.from_numpy(entry[0][name]["data_3d"]).double()
            pixels = project(points, points.new_tensor(camera.intrinsics)).numpy()
            assert np.abs(pixels - entry[0][name]["data_2d"]).max() < 0.02
            assert (pixels > 0).all() and (pixels < [camera.width, camera.height]).all()
            worlds.append(camera_to_world(points / 1000, camera).numpy())
        assert np.ptp(np.stack(worlds), axis=0).max() < 1e-4  # all cameras saw the same person
        upright = convert(worlds[0], MPI_3DHP_17, H36M_17)
        head, hip = (upright[:, H36M_17.index(name), 2] for name in ("Head", "Hip"))
        assert (head > hip).all() and hip.min() > 0


def test_look_at_points_the_axis_at_the_target():
    for place in ((3.0, 0.1, 1.0), (-2.0, -2.0, 3.0), (0.5, 4.0, 0.2)):
        target = np.array([0.1, -0.2, 0.9])
        camera = Camera(2, 2, 1.0, orientation=look_at(np.array(place), target), translation=place)
        seen = world_to_camera(torch.tensor(np.stack([target, target + [0, 0, 0.5]])), camera).numpy()
        np.testing.assert_allclose(seen[0], [0, 0, np.linalg.norm(target - place)], atol=1e-9)
        assert seen[1, 0] == pytest.approx(0, abs=1e-9) and seen[1, 1] < 0  # level, and up is up


def test_pixel_aspect_of_the_outdoor_test_camera():
    outdoor, studio = cameras_3dhp()["TS6"], cameras_3dhp()["TS1"]
    assert outdoor.intrinsics[1] / outdoor.intrinsics[0] == pytest.approx(0.993236423)
    assert studio.intrinsics[:4] == pytest.approx((1500.172, 1500.172, 1017.387, 1043.032), abs=1e-3)


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for out, seed, word in ((tmp_path / "file", 0, "folder"), (tmp_path / "new", -1, "seed")):
        with pytest.raises(InputError, match=word) as caught:
            make_sample(out, seed)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_contact_sheet(tmp_path, sample):
    path = tmp_path / "new" / "sheet.png"
    contact_sheet(read_object(sample / "data_3d_h36m.npz", "positions_3d"), path)
    assert path.read_bytes().startswith(b"\x89PNG") and 50_000 < path.stat().st_size < 400_000


@pytest.mark.slow
def test_script_makes_the_whole_sample_small_and_fast(tmp_path):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, ROOT / "data" / "make_sample.py", "--out", tmp_path / "sample"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in (tmp_path / "sample").iterdir())
    print(f"{seconds:.1f} s, {size / 1e6:.1f} MB")
    assert "SYNTHETIC" in done.stdout and size < 30e6
    assert seconds < 60  # 8 to 12 s on an idle core; tests may share the machine
