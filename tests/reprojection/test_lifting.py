"""Lifting: the way in with pixels, the loop over videos, and the spread of the hypotheses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bodies import generator, poses, trajectories, video
from lifters import Knows

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.video import LabelledVideo
from common.datasets.windows import stitch
from common.errors import InputError
from common.geometry.camera import denormalise, normalise, project
from common.geometry.skeleton import COCO_17, H36M_17, JOINT_ORDERS, MPI_3DHP_17, convert
from common.model.inference import Sampling, draw_hypotheses
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.jpma import aggregate
from common.reprojection.lifting import lift, lift_videos, spread
from common.reprojection.refinement import Refinement

T, JOINTS = 4, len(H36M_17.joints)
FRAMES = 9
CAMERA = h36m_cameras("S1")[0]
WRIST = H36M_17.index("LWrist")


# Pixels


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """(F, 17, 2) float64, Human3.6M-17: what `CAMERA` sees of a walk."""
    points = poses(1, FRAMES)[0] + trajectories(1, FRAMES)[0][:, None]
    return denormalise(project(points, CAMERA.normalised_intrinsics()), CAMERA.width, CAMERA.height)


@pytest.fixture(scope="module")
def seen(pixels) -> LabelledVideo:
    """The same as a video, with the truth."""
    points = poses(1, FRAMES)[0] + trajectories(1, FRAMES)[0][:, None]
    return LabelledVideo.from_points("", "", CAMERA, points, pixels, fps=50.0)


@pytest.fixture(scope="module")
def refinement(seen) -> Refinement:
    return Refinement(SourceBones.measure(Knows([seen], T), [seen]), 0.0)


@pytest.fixture
def lifter() -> Lifter:
    """Untrained: its hypotheses are nothing alike, so that every draw and every root shows."""
    torch.manual_seed(0)
    return Lifter(MixSTE(T, JOINTS, 16, 2, drop_path=0.5), timesteps=20)


def test_numpy_gives_numpy_and_torch_gives_torch(lifter, pixels):
    tensor = lift(lifter, pixels, CAMERA)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32 and not tensor.requires_grad
    array = lift(lifter, pixels.numpy(), CAMERA)
    assert isinstance(array, np.ndarray) and array.dtype == np.float32
    assert tensor.shape == array.shape == (FRAMES, JOINTS, 3)
    assert np.isfinite(array).all() and (array[:, H36M_17.root_index] == 0).all()
    np.testing.assert_array_equal(array, tensor.numpy())


@pytest.mark.parametrize("frames", [1, 3, T, 2 * T, 2 * T + 1])
def test_every_frame_has_a_pose(lifter, pixels, frames):
    assert lift(lifter, pixels[:frames], CAMERA).shape == (frames, JOINTS, 3)


def test_whole_and_single_precision_pixels_are_taken(lifter, pixels):
    whole = pixels.round()
    expected = lift(lifter, whole, CAMERA)
    for given in (whole.float(), whole.int(), whole.float().numpy(), whole.numpy().astype(np.int64)):
        np.testing.assert_array_equal(lift(lifter, given, CAMERA), expected)


def test_a_lifter_that_knows_gives_the_pose_in_metres_relative_to_the_hips(pixels, seen):
    lifter = Knows([seen], T)
    torch.testing.assert_close(lift(lifter, pixels, CAMERA), seen.pose, rtol=0, atol=1e-6)
    elsewhere = replace(CAMERA, orientation=(1.0, 0.0, 0.0, 0.0), translation=(7.0, 8.0, 9.0))
    torch.testing.assert_close(lift(lifter, pixels, elsewhere), seen.pose, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("proposals", "steps"), [(5, 1), (3, 2)])
@pytest.mark.parametrize("refined", [False, True])
def test_it_is_the_loop_behind_every_result(lifter, pixels, seen, refinement, proposals, steps, refined):
    given = refinement if refined else None
    found = lift(lifter, pixels, CAMERA, num_proposals=proposals, sampling_timesteps=steps, refinement=given)
    ((_, pose, _),) = lift_videos(lifter.eval(), [seen.unlabelled()], Sampling(proposals, steps), given)
    assert torch.equal(found, pose)
    others = [
        lift(lifter, pixels, CAMERA, num_proposals=proposals + 1, sampling_timesteps=steps, refinement=given),
        lift(lifter, pixels, CAMERA, num_proposals=proposals, sampling_timesteps=steps + 1, refinement=given),
        lift(
            lifter, pixels, CAMERA, num_proposals=proposals, sampling_timesteps=steps,
            refinement=None if refined else refinement,
        ),
    ]  # fmt: skip
    assert all((found - other).abs().max() > 1e-3 for other in others)


def test_five_hypotheses_of_one_step_unless_said(lifter, pixels):
    expected = lift(lifter, pixels, CAMERA, num_proposals=5, sampling_timesteps=1)
    assert torch.equal(lift(lifter, pixels, CAMERA), expected)


def test_nothing_but_the_input_decides(lifter, pixels):
    """Neither PyTorch's generator nor training's randomness enters, and neither is touched."""
    kept, state = pixels.clone(), torch.get_rng_state()
    confidence = torch.rand(FRAMES, JOINTS, generator=generator())
    sure = confidence.clone()
    first = lift(lifter.train(), pixels, CAMERA, confidence=confidence)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert torch.equal(lift(lifter.eval(), pixels, CAMERA, confidence=confidence), first)
    assert torch.equal(pixels, kept) and torch.equal(confidence, sure)


def test_a_plain_regressor_is_asked_for_one_hypothesis(pixels, monkeypatch):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(T, JOINTS, 16, 1), timesteps=20, deterministic=True)
    expected = lift(lifter, pixels, CAMERA, num_proposals=1, sampling_timesteps=1)
    asked, sample = [], lifter.sample

    def watched(x_2d: torch.Tensor, num_proposals: int, sampling_timesteps: int, *rest: object, **named: object):
        asked.append((num_proposals, sampling_timesteps))
        return sample(x_2d, num_proposals, sampling_timesteps, *rest, **named)

    monkeypatch.setattr(lifter, "sample", watched)
    assert torch.equal(lift(lifter, pixels, CAMERA, num_proposals=7, sampling_timesteps=3), expected)
    assert asked == [(1, 1)]


# Orders


@pytest.fixture(scope="module")
def coco() -> torch.Tensor:
    """(F, 17, 2) pixels of another order's joints, which need be no person."""
    return 100 + 800 * torch.rand(FRAMES, 17, 2, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize("order", ["coco", "3dhp"])
@pytest.mark.parametrize("array", [False, True])
def test_another_order_is_converted_first(lifter, coco, order, array):
    found = lift(lifter, coco.numpy() if array else coco, CAMERA, order=order)
    expected = lift(lifter, convert(coco, JOINT_ORDERS[order], H36M_17), CAMERA)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (FRAMES, JOINTS, 3)


def test_the_orders_are_not_the_same(lifter, coco):
    found = [lift(lifter, coco, CAMERA, order=order) for order in ("h36m", "coco", "3dhp")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (found[one] - found[other]).abs().max() > 1e-3
    assert torch.equal(found[0], lift(lifter, coco, CAMERA))


def test_a_known_pose_is_found_from_another_order(pixels, seen):
    other = convert(pixels, H36M_17, MPI_3DHP_17)
    found = lift(Knows([seen], T), other, CAMERA, order="3dhp")
    torch.testing.assert_close(found, seen.pose, rtol=0, atol=1e-6)


# Confidence


@pytest.fixture
def lost(pixels, seen) -> tuple[torch.Tensor, Knows]:
    """Pixels with a wrist that is far off, and a lifter with hypotheses 3 cm of depth either side of the truth.

    Seen from the true root, every other joint looks nearer to its keypoint where it is farther from the camera, by so
    little that J-Agg says so only for a root without fault.
    """
    wrong = pixels.clone()
    wrong[:, WRIST] += torch.tensor([160.0, -120.0])
    keypoints = normalise(wrong, CAMERA.width, CAMERA.height).float()
    lifter = Knows([replace(seen, keypoints=keypoints)], T)
    lifter.apart = 0.03
    return wrong, lifter


def farther(pose: torch.Tensor, seen: LabelledVideo) -> float:
    """The share of joints, but for root and wrist, that are 3 cm farther from the camera than they should be."""
    others = [j for j in range(JOINTS) if j not in (H36M_17.root_index, WRIST)]
    off = (pose - seen.pose)[:, others]
    torch.testing.assert_close(off.norm(dim=-1), torch.full(off.shape[:2], 0.03), rtol=0, atol=1e-5)
    return (off[..., 2] > 0).float().mean().item()


@pytest.mark.parametrize("array", [False, True])
def test_what_the_detector_is_not_sure_of_does_not_move_the_root(lost, seen, array):
    wrong, lifter = lost
    confidence = torch.ones(FRAMES, JOINTS)
    confidence[:, WRIST] = 0
    found = lift(lifter, wrong, CAMERA, confidence=confidence.numpy() if array else confidence, num_proposals=2)
    assert farther(found, seen) > 0.98
    assert farther(lift(lifter, wrong, CAMERA, num_proposals=2), seen) < 0.7


def test_the_same_confidence_everywhere_says_nothing(lost):
    wrong, lifter = lost
    plain = lift(lifter, wrong, CAMERA, num_proposals=2)
    assert torch.equal(lift(lifter, wrong, CAMERA, confidence=torch.ones(FRAMES, JOINTS), num_proposals=2), plain)


def test_confidence_comes_in_the_order_of_the_keypoints(lifter, coco):
    confidence = torch.rand(FRAMES, 17, generator=generator(2), dtype=torch.float64).square()
    found = lift(lifter, coco, CAMERA, order="coco", confidence=confidence)
    converted = convert(confidence[..., None], COCO_17, H36M_17)[..., 0]
    expected = lift(lifter, convert(coco, COCO_17, H36M_17), CAMERA, confidence=converted)
    assert torch.equal(found, expected)
    for other in (None, confidence):
        plain = lift(lifter, convert(coco, COCO_17, H36M_17), CAMERA, confidence=other)
        assert (found - plain).abs().max() > 1e-3


# What is refused


def refusal(lifter: Lifter, *args: object, **flags: object) -> str:
    """The one line that `lift` answers with, for torch and for numpy alike."""
    found = []
    for given in (args, [x.numpy() if isinstance(x, torch.Tensor) else x for x in args]):
        with pytest.raises(InputError) as caught:
            lift(lifter, *given, **flags)
        found.append(str(caught.value))
    assert found[0] == found[1] and "\n" not in found[0]
    return found[0]


def test_an_unknown_order_is_refused(lifter, pixels):
    said = refusal(lifter, pixels, CAMERA, order="openpose")
    assert said.startswith("order 'openpose'") and "h36m, 3dhp, coco" in said


@pytest.mark.parametrize("shape", [(0, 17, 2), (9, 16, 2), (9, 17, 3), (17, 2), (1, 9, 17, 2), (9, 2, 17), (9, 34), ()])
@pytest.mark.parametrize("order", ["h36m", "coco"])
def test_another_shape_is_refused(lifter, shape, order):
    said = refusal(lifter, torch.full(shape, 300.0), CAMERA, order=order)
    assert f"shape {shape}" in said and "(frames, 17, 2)" in said and order in said


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_not_finite_are_refused(lifter, pixels, value):
    broken = pixels.clone()
    broken[3, 5, 1] = broken[7, 0, 0] = value
    said = refusal(lifter, broken, CAMERA)
    assert "2 of 9 frames" in said and "the first is frame 3" in said


def test_normalised_coordinates_are_refused(lifter, pixels, seen):
    said = refusal(lifter, seen.keypoints, CAMERA)
    assert "expected pixels" in said and "normalised" in said
    assert "expected pixels" in refusal(lifter, pixels / pixels.new_tensor([CAMERA.width, CAMERA.height]), CAMERA)


@pytest.mark.parametrize("shape", [(9, 16), (8, 17), (9, 17, 1), (9,), (17,)])
def test_confidence_of_another_shape_is_refused(lifter, pixels, shape):
    said = refusal(lifter, pixels, CAMERA, confidence=torch.ones(shape))
    assert f"confidence of shape {shape}" in said and "(9, 17)" in said


# Videos


@pytest.fixture(scope="module")
def videos() -> list[LabelledVideo]:
    return [
        replace(video(frames, seed, camera=seed), action=action)
        for seed, (frames, action) in enumerate([(10, "Walking"), (3, "Walking 1"), (8, "Sitting")])
    ]


def test_results_come_without_labels(videos):
    lifter = Knows(videos, T)
    known = Refinement(SourceBones.measure(lifter, videos), 0.0)
    lifter.apart = 0.03
    for given in (None, known):
        open_, blind = (
            list(lift_videos(lifter, seen, Sampling(2, 1), given))
            for seen in (videos, [v.unlabelled() for v in videos])
        )
        for v, (_, pose, spreads), (_, same_pose, same_spreads) in zip(videos, open_, blind):
            assert pose.shape == (len(v), JOINTS, 3) and spreads.shape == (len(v), JOINTS)
            assert torch.equal(pose, same_pose) and torch.equal(spreads, same_spreads)
            off = (pose - v.pose).norm(dim=-1)[:, 1:]
            if given:
                assert off.mean() < 0.01  # from the mean, which is right
            else:
                torch.testing.assert_close(off, torch.full_like(off, 0.03), rtol=0, atol=1e-5)


def test_every_video_comes_back_as_it_was_given(videos):
    for seen in (videos, [v.unlabelled() for v in videos]):
        back = [v for v, *_ in lift_videos(Knows(videos, T), seen, Sampling(1, 1), None)]
        assert all(one is other for one, other in zip(back, seen, strict=True))


def test_the_last_diffusion_step_counts(lifter, videos):
    sampling = Sampling(2, 3)
    drawn = draw_hypotheses(lifter.eval(), videos, sampling)
    for (v, pose, spreads), (_, hypotheses) in zip(lift_videos(lifter, videos, sampling, None), drawn):
        last = hypotheses[:, -1]
        assert torch.equal(pose, aggregate(last, v, "estimated")[0]["J_Agg"])
        assert torch.equal(spreads, stitch(spread(last), len(v)))


def test_the_true_root_is_used_where_it_is_asked_for(lifter, videos):
    sampling = Sampling(3, 1)
    drawn = draw_hypotheses(lifter.eval(), videos, sampling)
    for (v, pose, _), (_, hypotheses) in zip(lift_videos(lifter, videos, sampling, None, root="gt"), drawn):
        assert torch.equal(pose, aggregate(hypotheses[:, -1], v, "gt")[0]["J_Agg"])
        assert not torch.equal(pose, aggregate(hypotheses[:, -1], v, "estimated")[0]["J_Agg"])


# Spread


def test_two_hypotheses_either_side_of_the_mean():
    side = torch.tensor([1.0, -1.0])[:, None, None, None] * torch.tensor([0.0, 0.03, 0.04])
    hypotheses = torch.randn(6, 1, T, JOINTS, 3, generator=generator()).double() + side.expand(2, T, JOINTS, 3)
    found = spread(hypotheses)
    assert found.shape == (6, T, JOINTS)
    torch.testing.assert_close(found, torch.full_like(found, 2**0.5 * 0.05))
    torch.testing.assert_close(spread(7 * hypotheses), 7 * found)
    assert torch.equal(spread(hypotheses[2]), found[2])


def test_a_single_hypothesis_has_none():
    assert torch.equal(spread(torch.randn(5, 1, T, JOINTS, 3, generator=generator())), torch.zeros(5, T, JOINTS))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_mean_square_does_not_depend_on_how_many_there_are(count):
    hypotheses = 0.02 * torch.randn(4000, count, 2, 3, 3, generator=generator(), dtype=torch.float64)
    assert spread(hypotheses).square().mean().item() == pytest.approx(3 * 0.02**2, rel=0.02)


def test_every_joint_has_its_own():
    hypotheses = torch.zeros(1, 5, T, JOINTS, 3)
    hypotheses[:, :, 1, H36M_17.index("LKnee")] = torch.randn(5, 3, generator=generator())
    assert spread(hypotheses).nonzero().tolist() == [[0, 1, H36M_17.index("LKnee")]]
