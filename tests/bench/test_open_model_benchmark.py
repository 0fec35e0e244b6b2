"""The benchmark on calibrated footage: its errors are those of known poses, its table has every detector."""

import numpy as np
import pytest
import torch
from bodies import poses

from benchmarks import open_model
from common.errors import InputError
from common.geometry.skeleton import BLAZEPOSE_33, BODY_25B, H36M_17
from common.model.lifter import Lifter
from common.model.mixste import MixSTE

FRAMES = 20


@pytest.fixture
def footage() -> dict[str, np.ndarray]:
    """Two cameras, one of them turned and aside, and an invented person as BODY_25B."""
    rng = np.random.default_rng(0)
    body = poses(1, FRAMES)[0].numpy()
    world = np.zeros((FRAMES, 25, 3))
    for number, joint in enumerate(BODY_25B.joints):
        name = joint.replace("Ankle", "Foot")
        world[:, number] = body[:, H36M_17.index(name)] if name in H36M_17.joints else body[:, H36M_17.index("Head")]
    turned = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    R, t = np.stack([np.eye(3), turned]), np.array([[0.0, 0, 4], [0.5, 0, 5]])
    K = np.array([[[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]]] * 2)
    seen = np.stack([world @ R[c].T + t[c] for c in range(2)])
    pixels = seen[..., :2] / seen[..., 2:] * 1000 + 500
    return {
        "K": K, "dist": np.zeros((2, 4)), "R": R, "t": t, "image_size": np.full((2, 2), 1000), "fps": np.float32(30),
        "openpose_3d": world, "openpose_inlier_cameras": rng.integers(2, 5, (FRAMES, 25)),
        "openpose_2d": pixels, "openpose_conf": np.ones((2, FRAMES, 25)),
    }  # fmt: skip


def test_the_truth_has_no_error_and_a_shift_only_counts_without_alignment(footage):
    for camera in range(2):
        true, counts = open_model.reference(footage, camera)
        assert 0 < counts.mean() < 1
        assert open_model.errors_of(true, true, counts) == pytest.approx((0, 0), abs=1e-4)
        plain, aligned = open_model.errors_of(2 * true + 1, true, counts)
        assert plain > 100 and aligned < 1e-3
    one, other = (open_model.reference(footage, c)[0] for c in range(2))
    assert np.abs(one - other).max() > 0.5  # each in its own camera's axes


def test_uncounted_joints_do_not_count(footage):
    true, counts = open_model.reference(footage, 0)
    wrong = np.where(counts[..., None], true, true + 9)
    hips = open_model.HIPS
    wrong[:, hips] = true[:, hips]
    assert open_model.errors_of(wrong, true, counts) == pytest.approx((0, 0), abs=1e-4)


def test_the_table_has_every_detector_and_camera(footage):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(5, 17, 16, 1), deterministic=True, virtual_camera=True).eval()
    (line,) = open_model.table(footage, lifter, None, 5.0)
    assert line.startswith("openpose 2D, raw") and line.count("/") == 3
    footage["mediapipe_world"] = np.random.default_rng(0).normal(size=(2, FRAMES, 33, 3))
    own = BLAZEPOSE_33.indices(*open_model.JOINTS)
    footage["mediapipe_world"][:, :, own] = np.stack([open_model.reference(footage, c)[0] for c in range(2)])
    line = open_model.table(footage, lifter, None, 5.0)[1]
    assert line.split("mean")[1].split() == ["0.0", "/", "0.0"]


def test_a_detector_is_also_compared_with_its_own_triangulation(footage):
    lifter = Lifter(MixSTE(5, 17, 16, 1), deterministic=True, virtual_camera=True).eval()
    numbers = BODY_25B.indices(*open_model.JOINTS)
    for name in ("2d", "conf", "3d", "inlier_cameras"):
        theirs = footage[f"openpose_{name}"]
        axis = -1 if name in ("conf", "inlier_cameras") else -2
        shape = list(theirs.shape)
        shape[axis] = 33
        every = np.full(shape, 500.0 if name == "2d" else 1.0)
        own = BLAZEPOSE_33.indices(*open_model.JOINTS)
        every[(..., own) if axis == -1 else (..., own, slice(None))] = theirs.take(numbers, axis)
        footage[f"mediapipe_{name}"] = every
    lines = open_model.table(footage, lifter, None, 5.0)
    assert [line.split("  ")[0] for line in lines] == [
        "openpose 2D, raw", "mediapipe 2D, raw", "mediapipe 2D, raw, against its own triangulation",
    ]  # fmt: skip
    assert lines[1].split("triangulation")[-1].split()[-3:] == lines[2].split()[-3:]  # the two are the same here


def test_files_that_are_no_footage_are_refused(tmp_path, footage):
    (tmp_path / "text.npz").write_text("no")
    del footage["R"]
    np.savez(tmp_path / "part.npz", **footage)
    for name, word in (("text.npz", "expected an npz"), ("part.npz", "no array 'R'"), ("none.npz", "expected an npz")):
        with pytest.raises(InputError, match=word):
            open_model.read_footage(tmp_path / name)
