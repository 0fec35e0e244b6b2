"""Random viewpoints, and whole folders with them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from bvh_files import CGSPEED, CGSPEED_ENDS, bvh_text, dance

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import load_h36m
from common.datasets.h36m_writing import project_h36m
from common.errors import InputError
from common.geometry.skeleton import H36M_32
from common.mocap import views
from common.mocap.capture_space import MARGIN_PX
from common.mocap.convert import place_takes
from common.mocap.views import project_to, random_cameras, view_space

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "prepare_mocap.py"


def clip_of(frames: int, path: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> np.ndarray:
    """(F, 32, 3) a body of fixed points that is carried along a straight path, metres."""
    body = np.random.default_rng(seed).uniform([-0.3, -0.3, 0], [0.3, 0.3, 1.75], (len(H36M_32.joints), 3))
    return body + np.linspace([0, 0, 0], [*path, 0], frames)[:, None]


def test_viewpoints_are_as_promised():
    cameras = random_cameras(16, [clip_of(50)], np.random.default_rng(3))
    assert len({camera.name for camera in cameras}) == 16
    yaws = []
    for camera in cameras:
        distance = np.linalg.norm(np.array(camera.translation) - views.AIM_M)
        assert 2 - 0.4 < distance < 10 + 0.4
        assert 600 <= camera.focal <= 2000
        elevation = np.degrees(np.arcsin((camera.translation[2] - views.AIM_M[2]) / distance))
        assert -30 - 7 < elevation < 50 + 7
        w, x, y, z = camera.orientation
        assert np.hypot(np.hypot(w, x), np.hypot(y, z)) == pytest.approx(1)
        right = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
        assert abs(np.degrees(np.arcsin(right[2]))) <= views.ROLL_DEG + 1e-6
        yaws.append(np.arctan2(camera.translation[1], camera.translation[0]))
    assert {int(yaw // (np.pi / 2)) for yaw in yaws} == {-2, -1, 0, 1}  # from all four sides
    aimed = project_to(np.broadcast_to(views.AIM_M, (1, 32, 3)).copy(), cameras)
    assert all(np.abs(view - 500).max() < 300 for view in aimed)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_everyone_is_inside_all_images_and_fills_a_part_of_them(count):
    takes = {"stand": clip_of(50), "walk": clip_of(200, (4, 1)), "run": clip_of(300, (18, 0))}
    cameras = random_cameras(count, list(takes.values()), np.random.default_rng(5))
    actions, _ = place_takes(takes, view_space(cameras), 0.5)
    assert {name.split()[0] for name in actions} == set(takes)
    for name, positions in actions.items():
        assert len(positions) >= 25
        for view, camera in zip(project_to(positions, cameras), cameras, strict=True):
            assert (view > MARGIN_PX - 0.1).all()
            assert (view < np.array([camera.width, camera.height]) - MARGIN_PX + 0.1).all()
            assert np.ptp(view, axis=1).max() > 100, name


def test_what_fits_in_no_piece_of_half_a_second_is_left_out_and_said():
    cameras = random_cameras(4, [clip_of(50)], np.random.default_rng(1))
    flight = np.concatenate([clip_of(100), clip_of(100, (3000, 0)), clip_of(100)])
    actions, lost = place_takes({"stand": clip_of(50), "flight": flight}, view_space(cameras), 0.5)
    kept = sum(len(clip) for name, clip in actions.items() if name.startswith("flight"))
    assert 100 <= kept < 300
    assert lost == [f"flight: left out {(300 - kept) / 50:.1f} of 6.0 s, which fit into view in no piece of 0.5 s"]
    with pytest.raises(InputError, match="flight: a pose of this motion leaves"):
        place_takes({"flight": clip_of(100, (3000, 0))}, view_space(cameras), 0.5)


def test_human36m_cameras_see_the_same_through_either_function():
    clip = clip_of(5).astype(np.float32)
    for one, other in zip(project_h36m(clip, "S5"), project_to(clip, h36m_cameras("S5")), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people in BVH, two takes each, one file with a T-pose."""
    for person, seed in (("05", 0), ("anna", 4)):
        (tmp_path / "capture" / person).mkdir(parents=True)
        for take in (1, 2):
            frames = [{}] * (take == 1) + dance(61, CGSPEED, seed + take, speed=1.0)
            text = bvh_text(frames, CGSPEED, CGSPEED_ENDS, unit=0.0254 / 0.45)
            (tmp_path / "capture" / person / f"{person}_{take}.bvh").write_text(text)
    return tmp_path / "capture"


def convert(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare_mocap.py", *map(str, arguments)])
    runpy.run_path(str(SCRIPT))["main"]()


def test_a_folder_of_bvh_becomes_files_that_load(folder, tmp_path, monkeypatch, capsys):
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    convert(monkeypatch, "--source", folder, "--out", out, "--views", 3, "--contact-sheet", sheet)
    printed = capsys.readouterr().out
    assert "LKnee      <- LeftLeg" in printed
    assert "05: left out the first frame, a T-pose (05_1.bvh)" in printed
    assert "so lengths are in 1/0.45 inch (0.82 m) (05_1.bvh and 1 more)" in printed
    (row,) = (line.split() for line in printed.splitlines() if line.startswith("anna    "))
    assert row[:3] == ["anna", "anna", "BVH"]
    assert row[-4:] == ["2", "2", "52", "1.0"]
    assert sheet.read_bytes().startswith(b"\x89PNG")
    data = load_h36m(out, "gt", ["05", "anna"])
    assert "motion capture from capture: 05, anna; 3 random viewpoints per person" in data.provenance
    assert [(v.subject, v.action) for v in data.videos[::3]] == [
        ("05", "05_1"), ("05", "05_2"), ("anna", "anna_1"), ("anna", "anna_2")
    ]  # fmt: skip
    assert {video.fps for video in data.videos} == {50}
    for video in data.videos:
        assert (video.keypoints.abs() < 1).all()  # inside the image
    noisy = load_h36m(out, "cpn_ft_h36m_dbb", ["anna"]).videos[0]
    error = (noisy.keypoints - data.of(["anna"])[0].keypoints).norm(dim=-1).mean() * noisy.width / 2
    assert 0.5 < error < 20


def test_the_same_seed_and_name_give_the_same_files(folder, tmp_path, monkeypatch):
    runs = {"one": (), "two": (), "other": ("--seed", 1), "alone": ("--subjects", "anna")}
    for name, more in runs.items():
        convert(monkeypatch, "--source", folder, "--out", tmp_path / name, "--views", 2, *more)
    files = {name: {p.name: p.read_bytes() for p in sorted((tmp_path / name).glob("*.npz"))} for name in runs}
    assert files["one"] == files["two"]
    assert all(files["one"][name] != files["other"][name] for name in files["one"])
    anna = [load_h36m(tmp_path / name, "cpn_ft_h36m_dbb", ["anna"]).videos for name in ("one", "alone")]
    for one, alone in zip(*anna, strict=True):
        assert one.camera == alone.camera
        assert one.keypoints.equal(alone.keypoints)


def test_people_of_any_name_get_human36m_cameras_in_turn(folder, tmp_path, monkeypatch):
    convert(monkeypatch, "--source", folder, "--out", tmp_path / "own")
    own = load_h36m(tmp_path / "own", "gt", ["05", "anna"])
    for person, subject in (("05", "S1"), ("anna", "S5")):
        for video, camera in zip(own.of([person])[:4], h36m_cameras(subject), strict=True):
            np.testing.assert_allclose(video.intrinsics, camera.normalised_intrinsics(), atol=1e-6)
    convert(monkeypatch, "--source", folder, "--out", tmp_path / "h36m", "--subjects", "05=S1,anna=S5")
    assert set(np.load(tmp_path / "h36m" / "data_3d_h36m.npz").files) == {"positions_3d", "provenance", "synthetic"}
    for person, subject in (("05", "S1"), ("anna", "S5")):
        named = load_h36m(tmp_path / "h36m", "gt", [subject])
        for one, other in zip(own.of([person]), named.videos, strict=True):
            assert (one.keypoints - other.keypoints).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--views", 0), "--views: expected 1 to 16 viewpoints, found 0"),
        (("--views", 17), "--views: expected 1 to 16"),
        (("--format", "amc"), "no .asf and .amc files"),
        (("--subjects", "bob"), "nobody is named 'bob'; found 05, anna"),
    ],
)
def test_wrong_flags_are_one_clear_line(folder, tmp_path, monkeypatch, flags, expected):
    with pytest.raises(InputError) as caught:
        convert(monkeypatch, "--source", folder, "--out", tmp_path / "out", *flags)
    assert expected in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_take_that_cannot_be_read_is_left_out_and_said(folder, tmp_path, monkeypatch, capsys):
    path = folder / "anna" / "anna_2.bvh"
    path.write_text(path.read_text()[:-200])
    convert(monkeypatch, "--source", folder, "--out", tmp_path / "out", "--views", 2)
    printed = capsys.readouterr().out
    assert f"anna: left out a take: {path}, line " in printed
    assert "1 takes were left out or cut short, see above" in printed
    (folder / "anna" / "anna_1.bvh").unlink()
    with pytest.raises(InputError, match="a frame should be"):
        convert(monkeypatch, "--source", folder, "--out", tmp_path / "out", "--views", 2)
