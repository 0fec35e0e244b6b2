"""ASF/AMC motion capture -> Human3.6M files, on a hand-made skeleton whose kinematics are known."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.datasets.cameras_h36m import h36m_cameras, h36m_subjects
from common.datasets.h36m import load_h36m
from common.datasets.h36m_writing import project_h36m
from common.errors import InputError
from common.geometry.skeleton import H36M_32
from common.mocap.asf_amc import METRES_PER_UNIT, ROOT, read_amc, read_asf, rotation
from common.mocap.capture_space import MARGIN_PX, CaptureSpace
from common.mocap.convert import place_takes, read_person
from common.mocap.kinematics import Motion, bone_ends, move, resample
from common.mocap.people import Person

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "prepare_mocap.py"


FACTOR = 0.45
UNIT = METRES_PER_UNIT / FACTOR

# name: (parent, direction, length in metres, axis in degrees, dof). Facing +z, left on +x, y up; arms stretched out.
LIMBS = {
    "{s}hipjoint": ("root", (0.09, -0.1, 0), 0.13, (0, 0, 0), ""),
    "{s}femur": ("{s}hipjoint", (0, -1, 0), 0.42, (0, 0, 20), "rx ry rz"),
    "{s}tibia": ("{s}femur", (0, -1, 0), 0.4, (0, 0, 20), "rx"),
    "{s}foot": ("{s}tibia", (0, -0.3, 1), 0.13, (-90, 0, 20), "rx rz"),
    "{s}toes": ("{s}foot", (0, 0, 1), 0.06, (-90, 0, 20), "rx"),
    "{s}clavicle": ("thorax", (1, 0.2, 0), 0.18, (0, 0, 0), "ry rz"),
    "{s}humerus": ("{s}clavicle", (1, 0, 0), 0.28, (0, 0, 0), "rx ry rz"),
    "{s}radius": ("{s}humerus", (1, 0, 0), 0.18, (0, 90, 0), "rx"),
    "{s}wrist": ("{s}radius", (1, 0, 0), 0.09, (0, 90, 90), "ry"),
    "{s}hand": ("{s}wrist", (1, 0, 0), 0.04, (0, 90, 90), "rx rz"),
    "{s}fingers": ("{s}hand", (1, 0, 0), 0.03, (0, 90, 90), "rx"),
    "{s}thumb": ("{s}wrist", (1, 0, 1), 0.04, (-90, 45, 0), "rx rz"),
}
TRUNK = {
    "lowerback": ("root", (0, 1, 0), 0.12, (0, 0, 0), "rx ry rz"),
    "upperback": ("lowerback", (0, 1, 0), 0.12, (0, 0, 0), "rx ry rz"),
    "thorax": ("upperback", (0, 1, 0), 0.12, (0, 0, 0), "rx ry rz"),
    "lowerneck": ("thorax", (0, 1, 0), 0.09, (0, 0, 0), "rx ry rz"),
    "upperneck": ("lowerneck", (0, 1, 0), 0.09, (0, 0, 0), "rx ry rz"),
    "head": ("upperneck", (0, 1, 0), 0.09, (0, 0, 0), "rx ry rz"),
}
BONES = TRUNK | {
    name.format(s=side): (parent.format(s=side), (sign * x, y, z), length, axis, dof)
    for side, sign in (("l", 1), ("r", -1))
    for name, (parent, (x, y, z), length, axis, dof) in LIMBS.items()
}
DOF = {ROOT: "TX TY TZ RX RY RZ"} | {name: bone[4] for name, bone in BONES.items() if bone[4]}


def asf_text(without: str = "", order: str = DOF[ROOT], angle: str = "deg") -> str:
    lines = [
        "# made by hand", ":version 1.10", ":units", f"  length {FACTOR}", f"  angle {angle}", ":documentation", "  no",
        ":root", f"  order {order}", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata",
    ]  # fmt: skip
    bones = {name: bone for name, bone in BONES.items() if name != without}
    for number, (name, (_, direction, length, axis, dof)) in enumerate(bones.items(), 1):
        lines += ["begin", f"id {number}", f"name {name}", f"direction {direction[0]} {direction[1]} {direction[2]}"]
        lines += [f"length {length / UNIT:.9f}", f"axis {axis[0]} {axis[1]} {axis[2]} XYZ"]
        lines += [f"dof {dof}", "limits (-180.0 180.0)"] if dof else []
        lines.append("end")
    lines += [":hierarchy", "begin", *(f"{bone[0]} {name}" for name, bone in bones.items()), "end"]
    return "\n".join(lines) + "\n"


def amc_text(frames: list[dict[str, tuple[float, ...]]], unit: str = ":DEGREES", first: int = 1) -> str:
    """Frames of bone -> values; bones left out are at zero."""
    lines = ["#!OML:ASF made by hand", ":FULLY-SPECIFIED", unit]
    for number, frame in enumerate(frames, first):
        lines.append(str(number))
        for bone, dof in DOF.items():
            values = frame.get(bone, (0,) * len(dof.split()))
            lines.append(" ".join([bone, *(repr(float(value)) for value in values)]))
    return "\n".join(lines) + "\n"


def walk(frames: int, speed: float = 1.4, seed: int = 0, fps: float = 120) -> list[dict[str, tuple[float, ...]]]:
    """A march along +z with every joint moving a little; m/s."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(DOF), 3))
    motion = []
    for t in np.arange(frames) / fps:
        frame = {
            bone: tuple(12 * np.sin(2 * np.pi * t + phases[i, : len(dof.split())]))
            for i, (bone, dof) in enumerate(DOF.items())
        }
        frame |= {knee: (abs(frame[knee][0]),) for knee in ("ltibia", "rtibia")}  # backwards, as knees bend
        frame[ROOT] = (0.0, 0.95 / UNIT, speed * t / UNIT, 0.0, 5 * np.sin(t), 0.0)
        motion.append(frame)
    return motion


def lifted(frames: list[dict[str, tuple[float, ...]]]) -> list[dict[str, tuple[float, ...]]]:
    """The same, rising 100 m/s."""
    return [frame | {ROOT: (0, 100 / UNIT * i / 120, 0, 0, 0, 0)} for i, frame in enumerate(frames)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people, one in a folder of their own."""
    for name, seed in (("07", 0), ("08", 1)):
        (tmp_path / "capture" / name).mkdir(parents=True)
        (tmp_path / "capture" / name / f"{name}.asf").write_text(asf_text())
        (tmp_path / "capture" / name / f"{name}_01.amc").write_text(amc_text(walk(25, seed=seed)))
    return tmp_path / "capture"


def ends_of(tmp_path: Path, frames: list[dict], asf: str | None = None, **amc: str) -> dict[str, np.ndarray]:
    (tmp_path / "x.asf").write_text(asf or asf_text())
    (tmp_path / "x.amc").write_text(amc_text(frames, **amc))
    skeleton = read_asf(tmp_path / "x.asf")
    return bone_ends(skeleton, move(skeleton, read_amc(tmp_path / "x.amc", skeleton)))


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_zero_pose_is_the_sum_of_the_bones(tmp_path):
    ends = ends_of(tmp_path, [{}])
    np.testing.assert_allclose(ends["head"][0], [0, 0.63, 0], atol=1e-9)
    hip = np.array([-0.09, -0.1, 0]) / np.hypot(0.09, 0.1) * 0.13
    np.testing.assert_allclose(ends["rtibia"][0], hip + [0, -0.82, 0], atol=1e-9)
    shoulder = np.array([0, 0.36, 0]) + np.array([1, 0.2, 0]) / np.hypot(1, 0.2) * 0.18
    np.testing.assert_allclose(ends["lwrist"][0], shoulder + [0.28 + 0.27, 0, 0], atol=1e-9)


def test_an_elbow_turns_about_its_own_axis(tmp_path):
    # lradius turns about the x of its frame, which axis (0, 90, 0) lays along -z: +x turns to -y.
    zero, bent = ends_of(tmp_path, [{}, {"lradius": (90,)}])["lwrist"]
    np.testing.assert_allclose(bent - zero, [-0.27, -0.27, 0], atol=1e-9)


def test_a_knee_bends_backward_and_takes_the_foot_along(tmp_path):
    ends = ends_of(tmp_path, [{}, {"rfemur": (-90, 0, 0)}, {"rtibia": (90,)}])
    knee, foot = ends["rfemur"], ends["rtibia"]
    # axis (0, 0, 20): the thigh swings about an axis 20 degrees off the x axis.
    turn = (
        rotation(("z",), np.radians([20.0]))
        @ rotation(("x",), np.radians([-90.0]))
        @ rotation(("z",), np.radians([-20.0]))
    )
    np.testing.assert_allclose(knee[1] - ends["rhipjoint"][1], turn @ [0, -0.42, 0], atol=1e-9)
    np.testing.assert_allclose(foot[1] - knee[1], turn @ [0, -0.4, 0], atol=1e-9)
    assert knee[1, 2] > 0.3
    assert foot[2, 2] < -0.3


def test_rotations_are_applied_first_one_first():
    angles = np.array([0.3, -0.8, 1.1])
    x, y, z = (rotation((axis,), angles[[i]]) for i, axis in enumerate("xyz"))
    np.testing.assert_allclose(rotation(("rx", "ry", "rz"), angles), z @ y @ x, atol=1e-12)
    np.testing.assert_allclose(rotation(("z",), np.array([np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_root_moves_the_whole_body(tmp_path):
    still, moved = (
        {name: end[f] for name, end in ends_of(tmp_path, [{}, {ROOT: (1, 2, 3, 0, 90, 0)}]).items()} for f in (0, 1)
    )
    turn = rotation(("y",), np.array([np.pi / 2]))
    for bone, end in still.items():
        np.testing.assert_allclose(moved[bone], turn @ end + np.array([1, 2, 3]) * UNIT, atol=1e-9, err_msg=bone)


def test_root_order_and_angle_units_are_read_from_the_files(tmp_path):
    expected = ends_of(tmp_path, [{ROOT: (1, 2, 3, 30, 0, 60), "lradius": (45,)}])
    asf = asf_text(order="RX RY RZ TX TY TZ")
    reordered = ends_of(tmp_path, [{ROOT: (30, 0, 60, 1, 2, 3), "lradius": (45,)}], asf=asf)
    radians = {ROOT: (1, 2, 3, *np.radians([30, 0, 60]).tolist()), "lradius": (np.radians(45).item(),)}
    in_radians = ends_of(tmp_path, [radians], unit=":RADIANS")
    for bone, end in expected.items():
        np.testing.assert_allclose(reordered[bone], end, atol=1e-9)
        np.testing.assert_allclose(in_radians[bone], end, atol=1e-9)


@pytest.mark.parametrize("fps", [25, 50, 60, 120])
def test_resampling_keeps_duration_and_bones(tmp_path, fps):
    (tmp_path / "x.asf").write_text(asf_text())
    (tmp_path / "x.amc").write_text(amc_text(walk(fps + 1, fps=fps)))
    skeleton = read_asf(tmp_path / "x.asf")
    motion = move(skeleton, read_amc(tmp_path / "x.amc", skeleton))
    resampled = resample(motion, fps, 50)
    assert len(resampled.root) == 51  # one second
    np.testing.assert_allclose(resampled.root[-1], motion.root[-1], atol=1e-9)
    before, after = bone_ends(skeleton, motion), bone_ends(skeleton, resampled)
    for name, bone in list(skeleton.bones.items())[1:]:
        lengths = np.linalg.norm(after[name] - after[bone.parent], axis=-1)
        np.testing.assert_allclose(lengths, BONES[name][2], atol=1e-8)
        # After a second, and halfway where both have a frame: the motion is neither delayed nor smoothed away.
        np.testing.assert_allclose(after[name][[0, 50]], before[name][[0, fps]], atol=1e-8)
        if fps % 10 == 0:
            np.testing.assert_allclose(after[name][::5], before[name][:: fps // 10], atol=1e-8)


def test_resampling_takes_the_middle_of_two_frames():
    turns = rotation(("z",), np.radians([[0.0], [40.0], [80.0]]))
    halves = resample(Motion(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), {"bone": turns}), 25, 50)
    np.testing.assert_allclose(halves.root[:, 0], [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(
        halves.rotations["bone"], rotation(("z",), np.radians([[0.0], [20], [40], [60], [80]])), atol=1e-9
    )


@pytest.mark.slow
def test_script_writes_files_that_load(folder, tmp_path):
    result = run("--asf-amc", folder, "--out", tmp_path / "out", "--subjects", "08=S1,07=S5", "--seed", 3)
    assert result.returncode == 0, result.stderr
    exact, noisy = (load_h36m(tmp_path / "out", name, ["S1", "S5"]) for name in ("gt", "cpn_ft_h36m_dbb"))
    assert not exact.synthetic
    assert "motion capture from capture: 08 as S1, 07 as S5" in exact.provenance
    assert "synthetic noise (seed 3)" in exact.provenance
    for subject, action in (("S1", "08_01"), ("S5", "07_01")):
        assert [v.action for v in exact.of([subject])] == [action] * 4
        for clean, detected in zip(exact.of([subject]), noisy.of([subject]), strict=True):
            assert len(clean) == 11  # 24 steps of 1/120 s
            error = (clean.keypoints - detected.keypoints).norm(dim=-1).mean() * clean.width / 2
            assert 0.5 < error < 20


def test_people_stand_on_the_floor_in_view_with_left_and_right_as_they_are(folder, tmp_path):
    takes = read_person(Person("07", folder / "07/07.asf", [folder / "07/07_01.amc"]), 120).takes
    (clip,) = place_takes(takes, CaptureSpace(h36m_cameras("S7")))[0].values()
    joint = {name: clip[:, H36M_32.index(name)] for name in H36M_32.joints}
    assert abs(np.stack([joint[name][:, 2] for name in ("LToeBase", "RToeBase", "LToeSite", "RToeSite")]).min()) < 0.01
    assert (joint["Head"][:, 2] > 1.3).all()
    walked = joint["Hip"][-1] - joint["Hip"][0]
    assert abs(np.linalg.norm(walked) - 0.28) < 0.05  # a fifth of a second
    forward = walked / np.linalg.norm(walked)
    left = np.cross([0, 0, 1], forward)
    for name in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"):
        assert ((joint["L" + name] - joint["R" + name]) @ left).mean() > 0.05, name
    for side in "LR":
        assert ((joint[f"{side}ToeSite"] - joint[f"{side}Foot"]) @ forward > 0).all()
    nose = joint["Neck/Nose"] - (joint["Thorax"] + joint["Head"]) / 2
    assert (nose @ forward).mean() > 0.01
    np.testing.assert_allclose(joint["Hip"], (joint["LHip"] + joint["RHip"]) / 2, atol=1e-6)
    for view, camera in zip(project_h36m(clip, "S7"), h36m_cameras("S7")):
        assert (view > MARGIN_PX).all()
        assert (view < [camera.width - MARGIN_PX, camera.height - MARGIN_PX]).all()


@pytest.mark.parametrize("subject", h36m_subjects())
def test_a_walk_out_of_the_room_is_cut_and_nothing_is_lost(subject):
    rng = np.random.default_rng(0)
    body = rng.uniform([-0.4, -0.4, 0], [0.4, 0.4, 1.8], (len(H36M_32.joints), 3))
    path = np.linspace([0, 0, 0], [9, 5, 0], 200)[:, None]
    pieces = CaptureSpace(h36m_cameras(subject)).pieces(body + path)
    assert len(pieces) > 1
    assert sum(map(len, pieces)) == 200
    steps = np.concatenate([np.diff(piece, axis=0) for piece in pieces])
    np.testing.assert_allclose(steps, np.broadcast_to(path[1] - path[0], steps.shape), atol=1e-9)
    for piece in pieces:
        for view, camera in zip(project_h36m(piece, subject), h36m_cameras(subject)):
            assert (view > MARGIN_PX - 0.1).all()
            assert (view < np.array([camera.width, camera.height]) - MARGIN_PX + 0.1).all()


def test_placing_is_the_best_there_is():
    space = CaptureSpace(h36m_cameras("S5"))
    points = np.random.default_rng(1).uniform([-0.5, -0.5, 0], [0.5, 0.5, 1.8], (50, 3))

    def slack(shift):
        return (((points + [*shift, 0]) @ space.normals.T) + space.offsets).min()

    best = space.place(points)
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61)), -1).reshape(-1, 2)
    assert slack(best) >= max(slack(shift) for shift in grid)
    assert space.place(points * 4) is None


@pytest.mark.slow
def test_frames_that_were_not_captured_are_left_out(folder, tmp_path):
    frames = walk(25)
    (folder / "07" / "07_01.amc").write_text(amc_text([{ROOT: frames[0][ROOT]}] * 20 + frames))
    result = run("--asf-amc", folder, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "07_01.amc: left out 20 of 45 frames" in result.stdout
    assert len(load_h36m(tmp_path / "out", "gt", ["S1"]).videos[0]) == 11


def _edit(path: str, old: str, new: str, count: int = 1):
    def change(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new, count))

    return change


def _line(path: str, number: int, new: str):
    def change(folder: Path) -> None:
        lines = (folder / path).read_text().splitlines()
        lines[number - 1 : number] = [new] if new else []
        (folder / path).write_text("\n".join(lines) + "\n")

    return change


AMC, ASF = "07/07_01.amc", "07/07.asf"
BROKEN = {
    "value missing": (_line(AMC, 6, "lowerback 1 2"), f"{AMC}, line 6: lowerback (rx ry rz) should be 3 finite"),
    "value too many": (_line(AMC, 6, "lowerback 1 2 3 4"), f"{AMC}, line 6: "),
    "no number": (_line(AMC, 6, "lowerback 1 2 x"), f"{AMC}, line 6: "),
    "infinite": (_line(AMC, 6, "lowerback 1 2 nan"), f"{AMC}, line 6: "),
    "unknown bone": (_line(AMC, 6, "tail 1 2 3"), f"{AMC}, line 6: unknown bone 'tail'"),
    "bone twice": (_line(AMC, 6, "root 1 2 3 4 5 6"), f"{AMC}, line 6: the bone 'root' comes twice"),
    "frame truncated": (_line(AMC, 6, ""), "frame 1 is truncated"),
    "file truncated": (
        lambda folder: (folder / AMC).write_text("\n".join((folder / AMC).read_text().splitlines()[:50])),
        f"{AMC}, line 50: frame 2 is truncated",
    ),
    "frame lost": (_edit(AMC, "\n2\n", "\n3\n"), "frame 2 was expected, found frame 3"),
    "no frames": (lambda folder: (folder / AMC).write_text(":FULLY-SPECIFIED\n"), f"{AMC}: no frames"),
    "binary": (lambda folder: (folder / AMC).write_bytes(bytes(range(256))), f"{AMC}: expected an ASF or AMC text"),
    "never captured": (lambda folder: (folder / AMC).write_text(amc_text([{}] * 5)), f"{AMC}: in every frame"),
    "too high": (lambda folder: (folder / AMC).write_text(amc_text(lifted(walk(9)))), f"{AMC}: a pose of this motion"),
    "no section": (_edit(ASF, ":hierarchy", "#hierarchy"), f"{ASF}"),
    "not an ASF file": (lambda folder: (folder / ASF).write_text("hello\n"), f"{ASF}, line 1: "),
    "empty ASF file": (lambda folder: (folder / ASF).write_text(""), f"{ASF}: the section :units is missing"),
    "length": (_edit(ASF, "length 0.45", "length metre"), f"{ASF}, line 4: length should be 1 finite number"),
    "wrong scale": (_edit(ASF, "length 0.45", "length 0.045"), f"{ASF}: in 07_01.amc the person is"),
    "angle": (_edit(ASF, "angle deg", "angle grad"), f"{ASF}, line 5: the angle unit"),
    "direction": (_edit(ASF, "direction 0 1 0", "direction 0 1"), f"{ASF}, line 17: direction should be 3 finite"),
    "axis order": (_edit(ASF, "axis 0 0 0 XYZ", "axis 0 0 0 XYY"), f"{ASF}, line 19: an axis order"),
    "dof": (_edit(ASF, "dof rx ry rz", "dof tx"), f"{ASF}, line 20: only rx ry rz"),
    "unplaced parent": (_edit(ASF, "root lowerback", "trunk lowerback"), "the parent 'trunk' is not a bone"),
    "unknown child": (_edit(ASF, "root lowerback", "root trunk"), "unknown bone 'trunk'"),
    "missing bone": (lambda folder: (folder / ASF).write_text(asf_text(without="lclavicle")), f"{ASF}"),
    "no skeleton beside": (lambda folder: (folder / AMC).rename(folder / "walk.amc"), "walk.amc: no skeleton for"),
    "no motion": (lambda folder: (folder / AMC).unlink(), f"{ASF}: no .amc motion"),
    "second skeleton": (lambda folder: (folder / "08/07.asf").write_text(asf_text()), "a second skeleton of this name"),
}  # fmt: skip


def error_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """The message `main` stops with."""
    monkeypatch.setattr(sys, "argv", ["prepare_mocap.py", *map(str, arguments)])
    with pytest.raises(InputError) as caught:
        runpy.run_path(str(SCRIPT))["main"]()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_clear_line(folder, tmp_path, monkeypatch, case):
    change, expected = BROKEN[case]
    change(folder)
    assert expected in error_of(monkeypatch, "--asf-amc", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        ("07=", "expected names such as 02,05 or pairs"),
        ("09=S1", "nobody is named '09'; found 07, 08"),
        ("07=S1,08=S1", "second time"),
        ("07,08=07", "second time"),
    ],
)
def test_wrong_subjects_are_one_clear_line(folder, tmp_path, monkeypatch, subjects, expected):
    assert expected in error_of(monkeypatch, "--asf-amc", folder, "--out", tmp_path, "--subjects", subjects)


def test_wrong_folders_are_one_clear_line(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert "no such folder" in error_of(monkeypatch, "--asf-amc", tmp_path / "none", "--out", tmp_path)
    assert "expected a folder, found a file" in error_of(monkeypatch, "--asf-amc", folder, "--out", tmp_path / "file")
    assert "--fps" in error_of(monkeypatch, "--asf-amc", folder, "--out", tmp_path, "--fps", 0)


@pytest.mark.slow
def test_empty_folder_ends_the_script_with_code_2(tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("--asf-amc", tmp_path / "empty", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "no .asf and .amc files" in result.stderr
    assert len(result.stderr.splitlines()) == 1
