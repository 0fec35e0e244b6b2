"""2D and 3D that do not belong together: every mistake is found and named, right data and detectors' errors are not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bodies import poses, trajectories, video

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.h36m import load_h36m
from common.datasets.plausibility import Findings, check_joint_order, check_numbers, check_videos
from common.datasets.video import LabelledVideo
from common.geometry.camera import denormalise, normalise, project
from common.geometry.skeleton import COCO_17, H36M_17, MPI_3DHP_17, convert
from common.mocap.detector_noise import detector_noise

CAMERA = h36m_cameras("S1")[0]
Videos = list[LabelledVideo]


@pytest.fixture(scope="module")
def sample(sample_dir: Path) -> Videos:
    """Four views of each of 15 takes of two people, exact."""
    return load_h36m(sample_dir, "gt", ["S1", "S5"]).videos


@pytest.fixture(scope="module")
def some(sample: Videos) -> Videos:
    """Of every seventh take and view, none of them alike."""
    return sample[::7]


def moving() -> Videos:
    """People who move for eight seconds, fast enough for a delay to be seen; they have no room to stand in together."""
    return [replace(video(400, seed), action=f"Waving {seed}") for seed in range(6)]


def pixels(v: LabelledVideo) -> torch.Tensor:
    return denormalise(v.keypoints.double(), v.width, v.height)


def detected(videos: Videos, mean_px: float) -> Videos:
    rng = np.random.default_rng(0)
    noisy = [torch.from_numpy(detector_noise(pixels(v).numpy(), rng, mean_px)).double() for v in videos]
    return [replace(v, keypoints=normalise(p, v.width, v.height).float()) for v, p in zip(videos, noisy)]


def cut(v: LabelledVideo, frames: slice, of_2d: slice) -> LabelledVideo:
    return replace(v, pose=v.pose[frames], trajectory=v.trajectory[frames], keypoints=v.keypoints[of_2d])


def coco(v: LabelledVideo) -> torch.Tensor:
    """The keypoints as a detector of COCO's joints would give them."""
    face = {"nose": "Neck/Nose", "LAnkle": "LFoot", "RAnkle": "RFoot"} | dict.fromkeys(COCO_17.joints[1:5], "Head")
    return v.keypoints[:, H36M_17.indices(*(face.get(joint, joint) for joint in COCO_17.joints))]


def of_camera(videos: Videos, permutation: tuple[int, ...]) -> Videos:
    """Four by four, each with the 2D of another view."""
    return [replace(v, keypoints=videos[i - i % 4 + permutation[i % 4]].keypoints) for i, v in enumerate(videos)]


def certain(findings: Findings, *parts: str) -> None:
    """Exactly one line, a contradiction, that holds every one of `parts`."""
    assert findings.doubts == [] and len(findings.contradictions) == 1, findings
    line = findings.contradictions[0]
    assert line.isprintable() and line.startswith("file.npz: ")
    for part in parts:
        assert part in line, line


def test_right_data_is_not_doubted(some: Videos) -> None:
    for videos, exact in ((some, True), (moving(), True), (some, False), (detected(some, 4), False)):
        assert check_videos(videos, "file.npz", exact) == Findings()
    assert check_videos([], "file.npz") == Findings()


@pytest.mark.slow
def test_much_right_data_and_a_loud_detector_are_not_refused(sample: Videos) -> None:
    for videos, exact in ((sample, True), (sample, False), (detected(sample, 4), False)):
        assert check_videos(videos, "file.npz", exact) == Findings()
    loud = check_videos(detected(sample, 16), "file.npz")
    assert loud.contradictions == [] and loud.videos == []


SIDES = H36M_17.mirrored
FAULTS: dict[str, tuple[Callable[[LabelledVideo], LabelledVideo], tuple[str, ...]]] = {
    "sides of the 2D": (
        lambda v: replace(v, keypoints=v.keypoints[:, SIDES]),
        ("left and right look exchanged in the 2D", "exchange them"),
    ),
    "sides of the 3D": (lambda v: replace(v, pose=v.pose[:, SIDES]), ("left and right look exchanged in the 3D",)),
    "sides of both": (
        lambda v: replace(v, pose=v.pose[:, SIDES], keypoints=v.keypoints[:, SIDES]),
        ("knees bend forwards", "exchange left and right in both"),
    ),
    "half the size": (
        lambda v: replace(v, keypoints=normalise(pixels(v) / 2, v.width, v.height).float()),
        ("a video of another size", "0.50 times", "px of 10"),
    ),
    "COCO": (lambda v: replace(v, keypoints=coco(v)), ("the 2D looks like another joint order", "COCO-17")),
    "3DHP in 2D": (
        lambda v: replace(v, keypoints=convert(v.keypoints, H36M_17, MPI_3DHP_17)),
        ("the 2D looks like another joint order", "MPI-INF-3DHP-17"),
    ),
    "mirrored images": (lambda v: replace(v, keypoints=v.keypoints * torch.tensor([-1, 1])), ("mirrored images",)),
    "no place": (lambda v: replace(v, trajectory=v.trajectory[:1] + torch.ones(len(v), 3)), ("relative to the root",)),
    "far": (lambda v: replace(v, trajectory=v.trajectory + torch.tensor([0, 0, 20.0])), ("stands elsewhere",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("noise", [0, 4])
def test_mistakes_are_named(some: Videos, name: str, noise: float) -> None:
    fault, parts = FAULTS[name]
    videos = [fault(v) for v in (detected(some, noise) if noise else some)]
    found = check_videos(videos, "file.npz", exact=not noise)
    certain(found, f"in {len(videos)} of {len(videos)} videos", *parts)
    assert set(found.videos) == {v.name for v in videos}


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0, 4])
def test_other_cameras_and_recordings_are_named(sample: Videos, noise: float) -> None:
    videos = detected(sample, noise) if noise else sample
    certain(check_videos(of_camera(videos, (1, 0, 2, 3)), "file.npz"), "another camera's", "in 60 of 120 videos")
    few = of_camera(videos[:4], (1, 2, 3, 0)) + videos[4:]  # one take of thirty
    certain(check_videos(few, "file.npz"), "in 4 of 120 videos", "S1 Directions", "px if so: that of S1 Directions")
    later = [replace(v, keypoints=videos[(i - 4) % 60].keypoints) for i, v in enumerate(videos[:60])]
    found = check_videos(later, "file.npz")
    line = next(line for line in found.contradictions if "another recording's" in line)
    assert line.isprintable() and "exchange the recordings" in line and len(found.videos) >= 55  # some are near-copies
    alone = check_videos([later[0]], "file.npz")  # nobody to compare with
    assert "no simple mistake" in (alone.contradictions + alone.doubts)[0]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0, 4])
def test_times_that_differ_are_named(noise: float) -> None:
    videos = detected(moving(), noise) if noise else moving()
    late = [cut(v, slice(20, None), slice(-20)) for v in videos]
    certain(check_videos(late, "file.npz"), "shifted in time", "2D 0.40 s behind", "in 6 of 6 videos")
    early = [cut(v, slice(-10), slice(10, None)) for v in videos]
    certain(check_videos(early, "file.npz"), "shifted in time", "2D 0.20 s ahead")
    slow = [cut(v, slice(0, None, 2), slice(200)) for v in videos]
    certain(check_videos(slow, "file.npz"), "different frame rates", "3D at 1/2")
    fast = [cut(v, slice(200), slice(0, None, 2)) for v in videos]
    certain(check_videos(fast, "file.npz"), "different frame rates", "2D at 1/2")


@pytest.mark.slow
def test_exact_2d_must_be_exact(some: Videos) -> None:
    """3DHP's `univ_annot3` taken for `annot3`; and what no mistake explains."""
    univ = [replace(v, pose=v.pose * 1.05) for v in some]
    found = check_videos(univ, "file.npz", exact=True)
    assert found.contradictions == [] and len(found.doubts) == 1
    assert "a person of another size" in found.doubts[0] and "0.95 times" in found.doubts[0]
    assert check_videos(univ, "file.npz") == Findings()  # a detector could err so
    found = check_videos(detected(some, 2), "file.npz", exact=True)
    assert found.contradictions == [] and "no simple mistake" in found.doubts[0]
    nonsense = [replace(v, keypoints=v.keypoints.roll(3, 1)) for v in some]
    found = check_videos(nonsense, "file.npz")
    assert "no simple mistake explains it, in" in found.contradictions[0] and len(found.videos) > 0.8 * len(some)


def test_a_person_who_stands_a_little_aside_is_a_doubt(some: Videos) -> None:
    """As in some takes of Human3.6M's S9, whose poses are right."""
    found = check_videos([replace(v, trajectory=v.trajectory + 0.2) for v in some], "file.npz")
    assert found.contradictions == [] and found.videos == [] and "stands elsewhere" in found.doubts[0]


def test_parts_that_do_not_fit_are_doubts(some: Videos) -> None:
    v, other = moving()[:2]
    half = replace(v, keypoints=torch.cat([v.keypoints[:300], other.keypoints[300:] + 0.2]))
    limb = replace(v, keypoints=v.keypoints.clone())
    limb.keypoints[:, H36M_17.index("LWrist")] += 0.3
    for wrong, part in ((half, "% of the frames"), (limb, "LWrist")):
        found = check_videos([wrong, *some], "file.npz")
        assert found.contradictions == [] and len(found.doubts) == 1
        assert part in found.doubts[0] and f"in 1 of {len(some) + 1} videos" in found.doubts[0]


@pytest.mark.slow
def test_both_in_another_order_is_seen(sample: Videos) -> None:
    def other(v: LabelledVideo) -> LabelledVideo:
        points = convert(v.pose + v.trajectory[:, None], MPI_3DHP_17, H36M_17)
        return replace(
            v,
            keypoints=convert(v.keypoints, MPI_3DHP_17, H36M_17),
            pose=points - points[:, :1],
            trajectory=points[:, 0],
        )

    videos = [other(v) for v in sample]  # Human3.6M's order in a file of 3DHP's
    found = check_videos(videos, "file.npz", order=MPI_3DHP_17)
    certain(found, "the joint order looks wrong", "it looks like Human3.6M-17 order, convert it to MPI-INF-3DHP-17")
    few = check_videos(videos[:20] + sample[20:], "file.npz", order=MPI_3DHP_17)
    assert few.contradictions == [] and "in 20 of 120 videos" in few.doubts[0]


def test_what_was_not_seen_or_is_not_valid_does_not_count(sample: Videos) -> None:
    v = moving()[0]
    half = torch.arange(len(v)) % 2 == 0
    keypoints = torch.where(half[:, None, None], v.keypoints, torch.tensor(7.0))
    seen = replace(v, keypoints=keypoints, confidence=half[:, None].expand(-1, 17).float())
    assert check_videos([seen], "file.npz", exact=True) == Findings()
    wrong = replace(v, trajectory=torch.where(half[:, None], v.trajectory, torch.tensor(0.0)))
    assert check_videos([wrong], "file.npz", exact=True, valid=[half]) == Findings()
    assert check_videos([wrong], "file.npz", exact=True).doubts != []


def numbers(points: np.ndarray, seen_at: np.ndarray | None = None, **known: np.ndarray) -> list[str]:
    exact = project(torch.from_numpy(points), torch.tensor(CAMERA.intrinsics, dtype=torch.float64)).numpy()
    lines = check_numbers(points, exact if seen_at is None else seen_at, CAMERA, "file.npz: S1", **known)
    assert all(line.isprintable() and line.startswith("file.npz: S1: ") for line in lines)
    return lines


def test_numbers_that_no_person_can_have() -> None:
    right = (poses(1, 40)[0] + trajectories(1, 40)[0][:, None]).numpy()
    fine = project(torch.from_numpy(right), torch.tensor(CAMERA.intrinsics, dtype=torch.float64)).numpy()
    assert numbers(right) == [] and numbers(right.astype(np.float32), fine) == []

    def one(value: float, array: np.ndarray = right) -> np.ndarray:
        wrong = array.copy()
        wrong[7] = value
        return wrong

    for value in (np.nan, np.inf, -np.inf, 1e30):
        assert "in 1 of 40 frames, the first is frame 7" in numbers(one(value), fine)[0]
        assert "the 2D holds NaN or numbers far outside" in numbers(right, one(value, fine))[0]
    assert "the first is frame 7" in numbers(right, one(1e9, fine))[0]
    assert "0 m across in 1 of 40 frames" in numbers(one(5.0), fine)[0]
    assert "0 m across (median)" in numbers(right * 0, fine)[0]
    assert "millimetres taken for metres, divide by 1000" in numbers(right * 1000, fine)[0]
    assert "metres taken for millimetres, multiply by 1000" in numbers(right / 1000, fine)[0]
    assert "at or behind the camera in 40 of 40 frames" in numbers(right - right[:, :1], fine)[0]
    assert "expected less than 50 m" in numbers(right + [0, 0, 50], fine)[0]
    assert "look normalised" in numbers(right, fine / 1000)[0]
    assert "far outside the image" in numbers(right, fine + 3000)[0]
    valid = np.arange(40) != 7
    assert (
        numbers(one(np.nan), fine, valid=valid) == [] and "no frame is valid" in numbers(right, valid=valid & False)[0]
    )
    seen = np.broadcast_to(valid[:, None], (40, 17))
    assert numbers(right, one(np.nan, fine), seen=seen) == []


def test_joint_order_is_asked_by_its_old_name(sample: Videos) -> None:
    assert check_joint_order(sample[0].pose) is None
    assert check_joint_order(sample[0].pose[:, SIDES]) == "left and right look exchanged: the knees bend forwards"
