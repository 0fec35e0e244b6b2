"""Test sequences and predictions for the official 3DHP scores, and the files that people have of such."""

from pathlib import Path

import numpy as np
import torch
from bodies import poses, trajectories
from scipy.io import savemat

from common.datasets.cameras_3dhp import test_cameras
from common.datasets.mpi_3dhp import TestSequence
from common.evaluation.scores_3dhp import official_errors, official_pose, score_3dhp
from common.geometry.skeleton import H36M_17

EXACT = {"LWrist": (0.09, -0.12, 0.0), "RKnee": (0.0, 0.0, 0.15)}  # metres, both 150 mm long
_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 02 2017 HDF5 schema 1.00 .".ljust(124)


def make_test() -> list[TestSequence]:
    """Six labelled sequences of different lengths, one activity absent, the odd label that is no activity."""
    rng = np.random.default_rng(5)
    test = []
    for i, (name, camera) in enumerate(test_cameras().items()):
        frames = 17 + 3 * i
        pose = poses(1, frames, seed=i)[0]
        pose[0, H36M_17.indices(*EXACT)] = 0  # at the root, where a displacement is not rounded
        activity = torch.from_numpy(rng.choice([1, 2, 3, 4, 6, 7], frames))
        activity[-1] = 0
        valid = torch.from_numpy(rng.random(frames) > 0.3)
        valid[[0, 1, -1]] = torch.tensor([True, True, True])
        video = TestSequence(
            subject=name, action=name, camera=name, keypoints=pose[..., :2], intrinsics=camera.normalised_intrinsics(),
            width=camera.width, height=camera.height, fps=50.0, pose=pose, trajectory=trajectories(1, frames, i)[0],
            valid=valid, activity=activity,
        )  # fmt: skip
        test.append(video)
    return test


def make_predictions(test: list[TestSequence]) -> dict[str, torch.Tensor]:
    """(F, K = 2, 17, 3): random errors; in the last step of every first frame exact ones."""
    rng = torch.Generator().manual_seed(6)
    predicted = {}
    for video in test:
        pose = video.pose
        noise = torch.randn(len(pose), 2, *pose.shape[1:], generator=rng, dtype=torch.float64) * 0.06
        noise[0, -1] = 0
        for joint, displacement in EXACT.items():
            noise[0, -1, H36M_17.index(joint)] = torch.tensor(displacement, dtype=torch.float64)
        predicted[video.subject] = pose[:, None] + noise
    return predicted


def perfect_of(test: list[TestSequence]) -> dict[str, torch.Tensor]:
    """(F, K = 1, 17, 3): the labels."""
    return {v.subject: v.pose[:, None] for v in test}


def scores_of(predicted: dict[str, torch.Tensor], test: list[TestSequence], step: int) -> dict:
    """Over the sequences of `test`."""
    errors = {v.subject: official_errors(predicted[v.subject][v.valid, step], v.pose[v.valid]) for v in test}
    return score_3dhp(errors, {v.subject: v.activity[v.valid].numpy() for v in test})


def write_h36m_order(path: Path, predicted: dict[str, torch.Tensor]) -> None:
    """Predictions whose joints were not put into 3DHP's order: (3, 17, F, K) mm in Human3.6M's."""
    savemat(path, {name: (p * 1000).permute(3, 2, 0, 1).numpy() for name, p in predicted.items()})


def write_metres(path: Path, predicted: dict[str, torch.Tensor]) -> None:
    """Predictions in metres, 3DHP order: (3, 17, F, K)."""
    savemat(path, {name: official_pose(p).transpose(3, 2, 0, 1) / 1000 for name, p in predicted.items()})


def write_p_stmo(path: Path, predicted: dict[str, torch.Tensor], test: list[TestSequence], axis: bool = True) -> None:
    """The last step of the valid frames alone, (3, 17, 1, F) as P-STMO writes them, or (3, 17, F); mm, 3DHP order."""
    poses = {v.subject: official_pose(predicted[v.subject][v.valid, -1]).transpose(2, 1, 0) for v in test}
    savemat(path, {name: pose[:, :, None] if axis else pose for name, pose in poses.items()})


def _official(video: TestSequence) -> dict[str, np.ndarray]:
    """The official variables and shapes: absolute millimetres, one person, flags as bytes in a row."""
    pose = official_pose(video.pose) + np.array([200.0, -100.0, 3500.0])
    return {
        "annot3": pose.transpose(2, 1, 0)[:, :, None],
        "univ_annot3": 0.9 * pose.transpose(2, 1, 0)[:, :, None],
        "valid_frame": video.valid.numpy().astype(np.uint8)[None],
        "activity_annotation": video.activity.numpy().astype(np.uint8)[:, None],
    }


def write_official(folder: Path, test: list[TestSequence]) -> None:
    """TS*/annot_data.mat of level 5."""
    for video in test:
        (folder / video.subject).mkdir(parents=True)
        savemat(folder / video.subject / "annot_data.mat", _official(video))


def write_official_73(folder: Path, test: list[TestSequence]) -> None:
    """TS*/annot_data.mat of level 7.3, with a cell array and a struct beside, which Octave cannot read."""
    import h5py

    for video in test:
        (folder / video.subject).mkdir(parents=True)
        path = folder / video.subject / "annot_data.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, values in _official(video).items():
                stored = file.create_dataset(name, data=values.T, chunks=True, compression="gzip")
                stored.attrs["MATLAB_class"] = np.bytes_(values.dtype.name.replace("float64", "double"))
            cell = file.create_dataset("#refs#/a", data=np.zeros((2, 2)))
            cells = file.create_dataset("bb_crop", data=np.array([[cell.ref]], h5py.ref_dtype), dtype=h5py.ref_dtype)
            cells.attrs["MATLAB_class"] = np.bytes_("cell")
            file.create_group("info").attrs["MATLAB_class"] = np.bytes_("struct")
            file.create_dataset("remark", data="text")
        with path.open("r+b") as raw:
            raw.write(_HEADER + b"\x00\x02IM")
