"""The file of a run's poses: what it holds, and that it is written as a whole."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from bodies import video
from lifters import Knows

from common.datasets.video import LabelledVideo
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.reprojection.lifting import lift_videos
from common.run.predictions import write_predictions

T, JOINTS = 4, len(H36M_17.joints)


@pytest.fixture(scope="module")
def videos() -> list[LabelledVideo]:
    return [
        replace(video(frames, seed, camera=seed), action=action)
        for seed, (frames, action) in enumerate([(10, "Walking"), (3, "Walking 1"), (8, "Sitting")])
    ]


def test_the_file_has_a_pose_and_an_expected_error_for_every_video(videos, tmp_path: Path):
    lifter = Knows(videos, T)
    lifter.apart = 0.03
    given = lifter, videos, Sampling(2, 1), None
    write_predictions(tmp_path / "predictions.npz", *given, scale=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        contents = dict(file)
    names = [f"{v.subject}/{v.action}/{v.camera}" for v in videos]
    assert names[1].startswith("S1/Walking 1/") and len(set(names)) == 3
    assert contents.keys() == {f"{name}/{kind}" for name in names for kind in ("pose", "expected_error")}
    for name, (v, pose, spreads) in zip(names, lift_videos(*given)):
        assert {contents[f"{name}/{kind}"].dtype for kind in ("pose", "expected_error")} == {np.dtype(np.float32)}
        assert contents[f"{name}/pose"].shape == (len(v), JOINTS, 3)
        np.testing.assert_array_equal(contents[f"{name}/pose"], pose)
        np.testing.assert_allclose(contents[f"{name}/expected_error"], 0.5 * spreads)

    write_predictions(tmp_path / "predictions.npz", *given, scale=None)
    with np.load(tmp_path / "predictions.npz") as file:
        assert set(file.files) == {f"{name}/pose" for name in names}


def test_no_label_is_needed(videos, tmp_path: Path):
    written = []
    for seen in (videos, [v.unlabelled() for v in videos]):
        write_predictions(tmp_path / "predictions.npz", Knows(videos, T), seen, Sampling(2, 1), None, scale=None)
        written.append((tmp_path / "predictions.npz").read_bytes())
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
        write_predictions(path, Knows(videos, T), videos, Sampling(1, 1), None, None)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])
