"""The file of a run's poses: what it holds, and that it is written as a whole."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from bodies import video
from lifters import Knows

from common.datasets.video import LabelledVideo
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.reprojection.lifting import lift_videos
from common.run.predictions import ABOUT, predict, write_predictions

T, JOINTS = 4, len(H36M_17.joints)


@pytest.fixture(scope="module")
def videos() -> list[LabelledVideo]:
    return [
        replace(video(frames, seed, camera=seed), action=action)
        for seed, (frames, action) in enumerate([(10, "Walking"), (3, "Walking 1"), (8, "Sitting")])
    ]


KINDS = ("pose", "root", "fps", "intrinsics", "size", "expected_error")


def test_the_file_has_what_is_known_of_every_video(videos, tmp_path: Path):
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    given = lifter, videos, Sampling(2, 1), None
    write_predictions(tmp_path, predict(*given, scale=0.5))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        contents = dict(file)
    names = [f"{v.subject}/{v.action}/{v.camera}" for v in videos]
    assert names[1].startswith("S1/Walking 1/") and len(set(names)) == 3
    assert contents.keys() == ABOUT.keys() | {f"{name}/{kind}" for name in names for kind in KINDS}
    assert contents["joints"].tolist() == list(H36M_17.joints) and str(contents["units"]) == "metres"
    for name, (v, pose, spreads) in zip(names, lift_videos(*given)):
        found = {kind: contents[f"{name}/{kind}"] for kind in KINDS}
        assert {found[kind].dtype for kind in ("pose", "root", "expected_error")} == {np.dtype(np.float32)}
        assert found["pose"].shape == (len(v), JOINTS, 3) and found["root"].shape == (len(v), 3)
        np.testing.assert_array_equal(found["pose"], pose)
        np.testing.assert_allclose(found["expected_error"], 0.5 * spreads)
        np.testing.assert_allclose(found["root"], v.trajectory, atol=0.2)
        np.testing.assert_array_equal(found["intrinsics"], v.intrinsics)
        assert float(found["fps"]) == v.fps and found["size"].tolist() == [v.width, v.height]

    write_predictions(tmp_path, predict(*given, scale=None))
    with np.load(tmp_path / "predictions.npz") as file:
        assert set(file.files) == ABOUT.keys() | {f"{name}/{kind}" for name in names for kind in KINDS[:-1]}


def test_the_table_has_a_row_for_every_frame(videos, tmp_path: Path):
    write_predictions(tmp_path, predict(Knows(videos, T), videos, Sampling(2, 1), None, None), table=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["predictions.csv", "predictions.npz"]
    with (tmp_path / "predictions.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:4] == ["video", "frame", "seconds", "Hip x (m)"] and len(head) == 3 + 3 * JOINTS
    assert len(rows) == sum(len(v) for v in videos) and {len(row) for row in rows} == {len(head)}
    with np.load(tmp_path / "predictions.npz") as stored:
        for v in videos:
            name = f"{v.subject}/{v.action}/{v.camera}"
            mine = [row for row in rows if row[0] == name]
            assert [int(row[1]) for row in mine] == list(range(len(v)))
            np.testing.assert_allclose([float(row[2]) for row in mine], np.arange(len(v)) / v.fps)
            placed = stored[f"{name}/pose"] + stored[f"{name}/root"][:, None]
            np.testing.assert_allclose(
                np.array([row[3:] for row in mine], float), placed.reshape(len(v), -1), atol=1e-5
            )


def test_a_joint_that_was_not_seen_does_not_move_the_root(videos, tmp_path: Path):
    roots = []
    for off in (0.0, 0.7):
        seen = replace(videos[0], confidence=torch.ones(len(videos[0]), JOINTS))
        seen.confidence[:, 5] = 0
        pose = seen.pose.clone()
        keypoints = seen.keypoints.clone()
        keypoints[:, 5] += off
        write_predictions(tmp_path, [(replace(seen, keypoints=keypoints), pose, None)])
        with np.load(tmp_path / "predictions.npz") as file:
            roots.append(file[f"S1/Walking/{seen.camera}/root"])
    np.testing.assert_array_equal(*roots)


def test_no_label_is_needed(videos, tmp_path: Path):
    written = []
    for seen in (videos, [v.unlabelled() for v in videos]):
        found = predict(Knows(videos, T), seen, Sampling(2, 1), None, scale=None)
        write_predictions(tmp_path, found, table=True)
        written.append([(tmp_path / f"predictions.{kind}").read_bytes() for kind in ("npz", "csv")])
    assert written[0] == written[1]


@pytest.mark.parametrize("before", [None, b"an earlier run's"])
def test_all_of_the_file_is_written_or_nothing(videos, tmp_path: Path, monkeypatch, before):
    path = tmp_path / "predictions.npz"
    if before:
        path.write_bytes(before)

    def full(partial: BinaryIO, **_: np.ndarray) -> None:
        partial.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        write_predictions(tmp_path, predict(Knows(videos, T), videos, Sampling(1, 1), None, None))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])
