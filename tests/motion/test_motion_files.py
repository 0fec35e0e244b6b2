"""Each file of a motion against a plain reading of it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from motions import CAMERA, FPS, bare, motion

from common.errors import InputError
from common.geometry.skeleton import H36M_17

COUNTS = pytest.mark.parametrize("frames", [40, 1])
MICROMETRE = 0.51e-6  # half of the last digit, metres


@COUNTS
def test_npz_has_everything_and_needs_no_pickle(tmp_path: Path, frames: int):
    poses = motion(frames)
    poses.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        found = dict(file)
    for name, array in (("positions", "joints"), *((n, n) for n in ("frames", "to_camera", "seconds", "pixels"))):
        np.testing.assert_array_equal(found[name], getattr(poses, array))
    np.testing.assert_array_equal(found["expected_error"], poses.expected_error)
    np.testing.assert_array_equal(found["confidence"], poses.confidence)
    assert found["positions"].dtype == np.float64 and found["fps"] == FPS
    assert found["joints"].tolist() == list(H36M_17.joints)
    assert [found["joints"][p] for p in found["parents"][1:]] == [H36M_17.bones[j] for j in H36M_17.joints[1:]]
    assert str(found["units"]) == "metres" and "y up" in str(found["axes"])
    assert found["intrinsics"].tolist() == [1500, 1490, 950, 545, 0, 0, 0, 0, 0]
    assert found["size"].tolist() == [1920, 1080] and str(found["camera"]) == "Küche"
    assert json.loads(str(found["about"])) == poses.about


def test_npz_leaves_out_what_is_not_known(tmp_path: Path):
    bare().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == set("positions joints parents fps frames seconds units axes to_camera about".split())


@COUNTS
@pytest.mark.parametrize("errors", [True, False])
def test_csv_is_a_row_of_names_and_a_row_per_pose(tmp_path: Path, frames: int, errors: bool):
    poses = motion(frames) if errors else bare(frames)
    poses.save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(100, 100 + frames))
    assert [float(row["seconds"]) for row in rows] == pytest.approx(poses.seconds, abs=1e-6)
    for number, joint in enumerate(H36M_17.joints):
        found = np.array([[float(row[f"{joint} {axis} (m)"]) for axis in "xyz"] for row in rows])
        np.testing.assert_allclose(found, poses.joints[:, number], atol=MICROMETRE, rtol=0)
        if errors:
            found = np.array([float(row[f"{joint} expected error (m)"]) for row in rows])
            np.testing.assert_allclose(found, poses.expected_error[:, number], atol=MICROMETRE, rtol=0)
    assert len(rows[0]) == 2 + 17 * (4 if errors else 3)


@COUNTS
def test_json_has_everything(tmp_path: Path, frames: int):
    pixels = motion(frames).pixels
    pixels[0, 4] = np.nan
    poses = motion(frames, pixels=pixels)
    poses.save(tmp_path / "a.json")

    def no_constant(word: str):
        raise AssertionError(f"{word} is not JSON")

    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=no_constant)
    for name, values in (("positions", poses.joints), ("expected_error", poses.expected_error)):
        np.testing.assert_allclose(found[name], values, atol=MICROMETRE, rtol=0)
    np.testing.assert_allclose(found["confidence"], poses.confidence, atol=0.51e-4, rtol=0)
    assert found["pixels"][0][4] == [None, None]
    np.testing.assert_allclose(np.array(found["pixels"], dtype=float), pixels, atol=0.51e-3, rtol=0)
    np.testing.assert_allclose(found["seconds"], poses.seconds, atol=1e-6)
    assert found["frames"] == poses.frames.tolist() and found["fps"] == FPS
    assert found["joints"] == list(H36M_17.joints) and found["parents"] == H36M_17.parents
    assert found["units"] == "metres" and "y up" in found["axes"] and found["about"] == poses.about
    assert found["to_camera"] == poses.to_camera.tolist()
    camera = {"name": "Küche", "width": 1920, "height": 1080, "intrinsics": list(CAMERA.intrinsics)}
    assert found["camera"] == camera


def test_json_leaves_out_what_is_not_known(tmp_path: Path):
    bare().save(tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found["camera"] is None and not {"expected_error", "confidence", "pixels"} & found.keys()


@COUNTS
def test_trc_is_laid_out_as_opensim_and_pose2sim_read_it(tmp_path: Path, frames: int):
    poses = motion(frames)
    poses.save(tmp_path / "a.trc")
    lines = (tmp_path / "a.trc").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\ta.trc"
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
    assert header == {
        "DataRate": "29.97", "CameraRate": "29.97", "NumFrames": str(frames), "NumMarkers": "17", "Units": "m",
        "OrigDataRate": "29.97", "OrigDataStartFrame": "100", "OrigNumFrames": str(frames),
    }  # fmt: skip
    names = lines[3].split("\t")
    assert names[:2] == ["Frame#", "Time"] and names[2::3][-1] == "" and not any(names[3::3] + names[4::3])
    assert " ".join(names[2::3][:-1]) == (
        "Hip RHip RKnee RAnkle LHip LKnee LAnkle Spine Neck Nose Head LShoulder LElbow LWrist RShoulder RElbow RWrist"
    )
    assert lines[4].split("\t")[:6] == ["", "", "X1", "Y1", "Z1", "X2"] and lines[4].endswith("\tZ17\t")
    rows = np.array([[float(cell) for cell in line.split("\t")] for line in lines[5:-1]])
    assert rows.shape == (frames, 2 + 17 * 3) and lines[-1] == ""
    np.testing.assert_array_equal(rows[:, 0], poses.frames)
    np.testing.assert_allclose(rows[:, 1], poses.seconds, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2:].reshape(frames, 17, 3), poses.joints, atol=MICROMETRE, rtol=0)


def test_trc_says_a_whole_rate_without_a_point(tmp_path: Path):
    bare(fps=50.0).save(tmp_path / "a.trc")
    assert (tmp_path / "a.trc").read_text(encoding="utf-8").split("\n")[2].startswith("50\t50\t40\t")


@COUNTS
@pytest.mark.parametrize("known", [True, False])
def test_c3d_has_points_in_millimetres_with_z_up(tmp_path: Path, frames: int, known: bool):
    ezc3d = pytest.importorskip("ezc3d")
    poses = motion(frames) if known else bare(frames)
    poses.save(tmp_path / "a.c3d")
    assert [path.name for path in tmp_path.iterdir()] == ["a.c3d"]
    found = ezc3d.c3d(str(tmp_path / "a.c3d"))
    points = {name: entry["value"] for name, entry in found["parameters"]["POINT"].items() if name != "__METADATA__"}
    assert points["UNITS"] == ["mm"] and points["X_SCREEN"] == ["+X"] and points["Y_SCREEN"] == ["+Z"]
    assert points["RATE"] == pytest.approx(FPS) and points["LABELS"][:4] == ["Hip", "RHip", "RKnee", "RAnkle"]
    x, y, z, _ = found["data"]["points"] / 1000
    np.testing.assert_allclose(np.stack([x, z, -y], -1).swapaxes(0, 1), poses.joints, atol=1e-6)  # float32
    assert not found["data"]["meta_points"]["residuals"].any()  # computed points, none of them invalid (-1)
    about = found["parameters"]["ABOUT"]
    assert about["FIRST_FRAME"]["value"].tolist() == [100]
    if known:
        assert about["FOCAL_LENGTH__PX_"]["value"] == ["1500.0"] and about["SOURCE"]["value"] == ["K\\xfcche.mp4"]
        assert about["ASSUMED"]["value"] == ["size", "focal length"]


def test_c3d_refuses_more_frames_than_it_can_count(tmp_path: Path):
    pytest.importorskip("ezc3d")
    joints = np.zeros((65536, 17, 3))
    with pytest.raises(InputError, match="up to 65535 frames, found 65536"):
        bare(1, joints=joints, frames=np.arange(65536)).save(tmp_path / "a.c3d")
