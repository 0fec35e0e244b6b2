"""The .mat files: what they hold, that reading undoes writing, and what is refused."""

from pathlib import Path

import bodies
import numpy as np
import pytest
import torch
from scipy.io import loadmat
from scripts import predictions_mm

from common.datasets.cameras_3dhp import TEST_SEQUENCES, test_cameras
from common.datasets.mpi_3dhp import TestSequence
from common.errors import InputError
from common.evaluation.mat_files import write_annotations, write_expected_errors, write_inference
from common.evaluation.scores_3dhp import official_pose
from common.geometry.skeleton import H36M_17, MPI_3DHP_17


def predictions(steps: int, frames: int = 4) -> dict[str, torch.Tensor]:
    """Per test sequence (F, K, 17, 3) metres; every sequence of another length."""
    return {
        name: bodies.poses(steps, frames + i, seed=i).transpose(0, 1).float() for i, name in enumerate(TEST_SEQUENCES)
    }


def labelled(name: str, activity: bool) -> TestSequence:
    camera = test_cameras()[name]
    pose = bodies.poses(1, 6)[0].float()
    return TestSequence(
        subject=name, action=name, camera=name, keypoints=pose[..., :2], intrinsics=camera.normalised_intrinsics(),
        width=camera.width, height=camera.height, fps=50.0, pose=pose, trajectory=bodies.trajectories(1, 6)[0].float(),
        valid=torch.tensor([True, True, False, True, True, False]),
        activity=torch.tensor([1, 1, 2, 2, 7, 7]) if activity else None,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3])
def test_layout_of_the_file(tmp_path: Path, steps: int):
    given = predictions(steps)
    write_inference(tmp_path / "inference_data.mat", given)
    assert [path.name for path in tmp_path.iterdir()] == ["inference_data.mat"]
    contents = loadmat(tmp_path / "inference_data.mat")
    for name, poses in given.items():
        assert contents[name].dtype == np.float64
        assert contents[name].shape == (3, 17, len(poses), steps)
        left_knee = contents[name][:, MPI_3DHP_17.index("LKnee"), 2, steps - 1]
        root = poses[2, -1, H36M_17.root_index]
        expected = (poses[2, -1, H36M_17.index("LKnee")].double() - root) * 1000
        np.testing.assert_allclose(left_knee, expected, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2])
def test_reading_undoes_writing(tmp_path: Path, steps: int):
    given = predictions(steps)
    path = tmp_path / "deeper" / "inference_data.mat"
    write_inference(path, given)
    for name, poses in predictions_mm(path).items():
        np.testing.assert_array_equal(poses, official_pose(given[name]))


def test_equal_predictions_give_equal_bytes(tmp_path: Path):
    for name in ("a.mat", "b.mat"):
        write_inference(tmp_path / name, predictions(2))
    content = (tmp_path / "a.mat").read_bytes()
    assert content == (tmp_path / "b.mat").read_bytes()
    assert content.startswith(b"MATLAB 5.0 MAT-file")


def test_annotations(tmp_path: Path):
    test = [labelled("TS1", activity=True), labelled("TS5", activity=False)]
    write_annotations(tmp_path / "test_annotations.mat", test)
    contents = loadmat(tmp_path / "test_annotations.mat")
    assert {name for name in contents if not name.startswith("__")} == {"TS1", "TS5"}
    first = contents["TS1"][0, 0]
    assert first["annot3"].shape == (3, 17, 1, 6)
    np.testing.assert_array_equal(first["annot3"][:, :, 0].T, official_pose(test[0].pose))
    assert first["valid_frame"].tolist() == [[1], [1], [0], [1], [1], [0]]
    assert first["activity_annotation"].tolist() == [[1], [1], [2], [2], [7], [7]]
    assert "activity_annotation" not in contents["TS5"].dtype.names


def test_expected_errors_are_millimetres_per_joint_in_the_official_order(tmp_path: Path):
    spreads = {name: torch.rand(4 + i, 17, generator=bodies.generator(i)) for i, name in enumerate(TEST_SEQUENCES)}
    write_expected_errors(tmp_path / "expected_error.mat", spreads, scale=1.5)
    assert [path.name for path in tmp_path.iterdir()] == ["expected_error.mat"]
    contents = loadmat(tmp_path / "expected_error.mat")
    for name, given in spreads.items():
        assert contents[name].dtype == np.float64 and contents[name].shape == (17, len(given))
        for joint, same in (("LKnee", "LKnee"), ("RAnkle", "RFoot"), ("pelvis", "Hip"), ("head_top", "Head")):
            expected = 1500 * given[:, H36M_17.index(same)].double()
            np.testing.assert_allclose(contents[name][MPI_3DHP_17.index(joint)], expected, rtol=1e-12)
        np.testing.assert_allclose(np.sort(contents[name], axis=0), 1500 * given.double().sort(1).values.T, rtol=1e-12)


def test_nothing_is_written_when_a_prediction_is_not_a_number(tmp_path: Path):
    given = predictions(1)
    given["TS4"][1, 0, 5] = torch.nan
    with pytest.raises(InputError, match="TS4 has NaN or infinity"):
        write_inference(tmp_path / "inference_data.mat", given)
    assert not list(tmp_path.iterdir())
