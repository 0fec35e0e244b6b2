"""A whole video lifted: every frame in its place, windows blended, the person at their size in a world with a floor."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bodies import video
from lifters import Knows

from common.datasets.video import LabelledVideo
from common.footage.lifting import Lifted, blend_windows, lift_every_frame, lift_person, stature
from common.footage.placing import in_world, verdict
from common.footage.preparing import USUAL_FOCAL, assumed_camera, prepare
from common.geometry.camera import Camera, project
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement

T = 9


@pytest.fixture
def person() -> LabelledVideo:
    v = video(61, seed=3)
    keypoints = project(v.pose + v.trajectory[:, None], v.intrinsics)
    return replace(v, fps=30.0, keypoints=keypoints.float(), confidence=torch.ones(61, 17))


def bare(v: LabelledVideo):
    return v.unlabelled()


@pytest.mark.parametrize(("length", "frames"), [(1, 9), (5, 9), (9, 9), (10, 9), (61, 9), (60, 8), (7, 1), (20, 2)])
def test_the_weights_of_every_frame_sum_to_one(length, frames):
    indices, weights = blend_windows(length, frames)
    assert indices.shape == weights.shape and indices.shape[1] == frames
    assert (weights >= 0).all() and indices.min() >= 0 and indices.max() == length - 1
    total = torch.zeros(length).index_add_(0, indices.flatten(), weights.flatten())
    torch.testing.assert_close(total, torch.ones(length))
    starts = indices[:, 0]
    assert (starts.diff() <= max(frames // 2, 1)).all() and (starts.diff() > 0).all()


@pytest.mark.parametrize("rate", [30.0, 10.0, 4.0, 0.3])
def test_every_frame_is_lifted_in_its_place(person, rate):
    """At the video's rate, a third of it, one in eight (no whole number of windows), and fewer than the video has."""
    pose, spread, _ = lift_every_frame(Knows([person], T), bare(person), rate, Sampling(2, 1))
    torch.testing.assert_close(pose, person.pose, rtol=0, atol=1e-5)
    assert spread.shape == (61, 17) and spread.max() < 1e-5


def test_windows_are_blended_not_cut(person):
    """A lifter that errs in the first half of its windows: its error is shared out, without steps of its full size."""
    knows = Knows([person], T)
    knows.early = 0.2
    pose, *_ = lift_every_frame(knows, bare(person), 30.0, Sampling(1, 1))
    off = (pose - person.pose)[:, 5, 2]
    assert off[10:-10].min() > 0.02 and off[10:-10].max() < 0.19


def test_the_spread_is_that_of_the_hypotheses(person):
    knows = Knows([person], T)
    knows.apart = 0.05
    _, spread, _ = lift_every_frame(knows, bare(person), 10.0, Sampling(2, 1))
    torch.testing.assert_close(spread[:, 1:], torch.full((61, 16), 0.05 * 2**0.5), rtol=1e-3, atol=0)


def test_some_hypotheses_are_kept_in_their_places(person):
    knows = Knows([person], T)
    knows.apart = 0.05
    for keep, count in ((0, 0), (1, 1), (2, 2), (5, 3)):
        *_, kept = lift_every_frame(knows, bare(person), 10.0, Sampling(3, 1), keep)
        assert kept.shape == (61, count, 17, 3) and kept.dtype == torch.float16
        off = kept.float() - person.pose[:, None]
        for number in range(count):
            expected = torch.tensor([0, 0, 0.05 * (-1) ** number]).expand(61, 16, 3)
            torch.testing.assert_close(off[:, number, 1:], expected, rtol=0, atol=1e-3)


def test_hypotheses_and_their_spread_have_the_persons_size(person):
    lifter, refinement = knowing(person)
    lifter.apart = 0.05
    for how in (refinement, None):
        usual, tall = (lift_person(lifter, bare(person), 10.0, Sampling(2, 1), how, h, keep=2) for h in (None, 2.0))
        ratio = 2.0 / usual.height
        assert ratio > 1.05
        torch.testing.assert_close(tall.spread, usual.spread * ratio, rtol=0.01, atol=1e-4)
        torch.testing.assert_close(tall.hypotheses, usual.hypotheses * ratio, rtol=0.01, atol=2e-3)
    assert lift_person(lifter, bare(person), 10.0, Sampling(2, 1), None).hypotheses is None


def knowing(person: LabelledVideo) -> tuple[Knows, Refinement]:
    known = Knows([person], T)
    return known, Refinement(SourceBones.measure(known, [person]), 0.001)


def test_a_person_is_where_they_stand(person):
    lifter, refinement = knowing(person)
    lifted = lift_person(lifter, bare(person), 10.0, Sampling(1, 1), refinement)
    assert (lifted.pose - person.pose).norm(dim=-1).mean() < 0.02
    assert (lifted.root - person.trajectory).norm(dim=-1).median() < 0.15
    assert lifted.reprojection.median() < 2


def test_a_height_sets_the_size(person):
    lifter, refinement = knowing(person)
    for how in (refinement, None):
        usual, tall = (lift_person(lifter, bare(person), 10.0, Sampling(1, 1), how, h) for h in (None, 2.0))
        assert tall.height == pytest.approx(2.0, rel=1e-3)
        ratio = 2.0 / usual.height
        torch.testing.assert_close(
            tall.root.median(0).values[2] / usual.root.median(0).values[2], torch.tensor(ratio), rtol=0.03, atol=0
        )
        if how is not None:
            assert stature(tall.lengths) == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    "hidden", [("Thorax", "Neck/Nose", "LShoulder", "RShoulder", "Head"), ("LFoot", "RFoot", "LKnee", "RKnee")]
)
def test_bones_out_of_the_picture_are_as_long_as_the_sources(person, hidden):
    """Somebody of whom only the legs, or only the upper body, is ever seen."""
    lifter, refinement = knowing(person)
    sure = torch.ones(61, 17)
    sure[:, H36M_17.indices(*hidden)] = 0
    lifted = lift_person(lifter, replace(bare(person), confidence=sure), 10.0, Sampling(1, 1), refinement)
    assert lifted.pose.isfinite().all() and lifted.root.isfinite().all()
    for joint in hidden:
        at = H36M_17.index(joint)
        assert lifted.lengths[at] == pytest.approx(refinement.bones.lengths[at].item(), rel=0.05)


def test_stature_is_trunk_head_leg_and_ankle():
    lengths = torch.zeros(17)
    for name, length in {
        "RKnee": 0.4,
        "RFoot": 0.4,
        "LKnee": 0.4,
        "LFoot": 0.4,
        "Spine": 0.3,
        "Thorax": 0.3,
        "Neck/Nose": 0.1,
        "Head": 0.1,
    }.items():
        lengths[H36M_17.index(name)] = length
    assert stature(lengths) == pytest.approx(1.6 / (1 - 0.039))


def test_the_world_is_upright_and_goes_back_to_the_camera(person):
    lifter, refinement = knowing(person)
    lifted = lift_person(lifter, bare(person), 10.0, Sampling(1, 1), refinement)
    joints, to_camera = in_world(lifted)
    back = joints @ to_camera[:3, :3].T + to_camera[:3, 3]
    np.testing.assert_allclose(back, (lifted.pose + lifted.root[:, None]).numpy(), atol=1e-5)
    assert np.linalg.det(to_camera[:3, :3]) == pytest.approx(1)
    hip, head = joints[:, 0], joints[:, H36M_17.index("Head")]
    assert (head - hip)[:, 1].mean() > 0.4  # y is up
    np.testing.assert_allclose(joints[0, 0, [0, 2]], 0, atol=1e-9)
    feet = joints[:, H36M_17.indices("RFoot", "LFoot"), 1].min(1)
    assert 0 < np.quantile(feet, 0.1) < 0.1
    np.testing.assert_allclose(to_camera[:3, :3] @ [0, 1, 0], lifted.up.numpy(), atol=1e-5)


def detections(frames: int = 40):
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 1, (frames, 1, 2)), 0) + rng.uniform(200, 600, (1, 17, 2))
    return np.arange(frames), walk, np.full((frames, 17), 0.9)


CAMERA = assumed_camera((1000, 800))


def seen_off_by(pixels: float, shaking: float = 0.0) -> Lifted:
    """Somebody whose joints reproject so far off; they jump by so many metres, to and fro."""
    pose = torch.zeros(40, 17, 3)
    pose[::2] = shaking
    nothing = torch.zeros(40, 17)
    return Lifted(pose, torch.zeros(40, 3), None, nothing, nothing + pixels, torch.tensor([0.0, -1, 0]), 1.7)


def test_preparing_keeps_what_is_whole():
    frame, pixels, confidence = detections()
    ready = prepare(frame, pixels, confidence, CAMERA, 30.0, "a", "file")
    np.testing.assert_allclose(ready.pixels, pixels, atol=1e-3)
    assert ready.video.confidence.numpy() == pytest.approx(confidence)
    assert (ready.missing, ready.swapped.sum(), ready.notes()) == (0, 0, [])
    assert ready.frames.tolist() == frame.tolist() and ready.video.fps == 30


def test_preparing_fills_gaps_and_says_so():
    frame, pixels, confidence = detections()
    confidence[5:7, 3] = 0
    kept = np.r_[0:10, 30:40]
    ready = prepare(frame[kept] + 100, pixels[kept], confidence[kept], CAMERA, 30.0, "a", "file")
    assert ready.frames.tolist() == list(range(100, 140))
    assert (ready.video.confidence[10:30] == 0).all() and (ready.video.confidence[5:7, 3] > 0).all()
    assert ready.missing == pytest.approx((20 * 17 + 2) / (40 * 17))
    assert np.isfinite(ready.pixels).all() and "joints missing" in ready.notes()[0]
    good, words = verdict(ready, seen_off_by(1.0))
    assert not good and words == "do not trust: 50% of joints missing"


def test_a_good_clip_is_said_to_be_one():
    ready = prepare(*detections(), CAMERA, 30.0, "a", "file")
    good, words = verdict(ready, seen_off_by(4.0))
    assert good and words == "reprojection 4.0 px (median), person 1.70 m tall"
    good, words = verdict(ready, seen_off_by(400.0))
    assert not good and "reprojection 400 px" in words
    assert verdict(ready, seen_off_by(4.0, shaking=0.03))[0]
    good, words = verdict(ready, seen_off_by(4.0, shaking=0.2))
    assert not good and words == "do not trust: joints jump about, at 10 m/s"


def test_assumed_cameras():
    assert assumed_camera((1080, 1920)) == Camera(1080, 1920, USUAL_FOCAL * 1920)
    assert assumed_camera((1000, 500), focal=700).focal == 700
    assert assumed_camera((1000, 500), fov=90).focal == pytest.approx(500)


def test_a_lifter_that_refining_moves_far_is_not_trusted(person):
    lifter, refinement = knowing(person)
    lifted = lift_person(lifter, bare(person), 10.0, Sampling(1, 1), refinement)
    assert lifted.moved < 0.03
    camera = assumed_camera((1000, 1000))
    ready = prepare(np.arange(61), np.full((61, 17, 2), 300.0), np.ones((61, 17)), camera, 30.0, "a", "file")
    assert "refining moves" not in verdict(ready, lifted)[1]
    good, words = verdict(ready, replace(lifted, moved=0.15))
    assert not good and "refining moves joints by 150 mm" in words
