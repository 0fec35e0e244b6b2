"""The moving average of a student, and the labels it draws from 2D alone."""

from dataclasses import replace

import pytest
import torch
from bodies import BONES, batch, generator, lengths, some_ratios

from common.adaptation.teacher import REPROJECTION_SCALE, SPREAD_SCALE, Teacher, pseudo_label, ray_errors
from common.datasets.clips import Batch, LabelledBatch
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones, bone_vectors, rebone
from common.reprojection.jpma import j_agg
from common.reprojection.refinement import Refinement
from common.reprojection.root import estimate_root

WRIST = H36M_17.index("LWrist")


@pytest.fixture
def student() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(frames=5, joints=17, channels=16, depth=1))


@pytest.fixture
def clips() -> LabelledBatch:
    return batch(4, 5)


@pytest.fixture
def people(clips) -> torch.Tensor:
    """(4, 17) the bones of everybody in the clips."""
    return bone_vectors(clips.pose).norm(dim=-1)[:, 0]


REFINEMENTS = [None, *(Refinement(SourceBones(torch.ones(17), torch.ones(17)), 0.002, m) for m in ("map", "snap"))]
EACH_REFINEMENT = pytest.mark.parametrize("refinement", REFINEMENTS, ids=["none", "map", "snap"])


def shift(lifter: Lifter, by: float) -> None:
    """Add a number to every weight, frozen ones too."""
    with torch.no_grad():
        for weight in lifter.parameters():
            weight += by


class Draws:
    """A lifter that answers with hypotheses (B, H, T, J, 3) fixed beforehand."""

    def __init__(self, hypotheses: torch.Tensor):
        self.hypotheses = hypotheses

    def sample(self, keypoints, num_proposals, sampling_timesteps, flip, noise, intrinsics):
        assert self.hypotheses.shape[1] == num_proposals
        return self.hypotheses[:, None].expand(-1, sampling_timesteps, -1, -1, -1, -1)


def test_the_average_is_the_stated_arithmetic(student):
    teacher = Teacher(student, decay=0.3)
    expected = [p.detach().clone() for p in student.parameters()]
    for update in range(1, 8):
        shift(student, 0.1 * update)
        teacher.update(student)
        decay = min(0.3, update / (update + 10))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, student.parameters())]
        for mine, theirs in zip(teacher.lifter.parameters(), expected):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    assert teacher.updates == 7


def test_the_decay_rises_to_its_final_value(student):
    teacher = Teacher(student, decay=0.9)
    weight = next(teacher.lifter.parameters())
    kept = []
    for _ in range(120):
        before = weight.clone()
        shift(student, 1.0)
        gap = next(student.parameters()) - before
        teacher.update(student)
        kept.append(1 - ((weight - before) / gap).mean().item())
    assert kept[0] == pytest.approx(1 / 11, abs=1e-4)
    assert all(later >= earlier - 1e-3 for earlier, later in zip(kept, kept[1:]))
    assert kept[-1] == pytest.approx(0.9, abs=1e-3)


def test_the_teacher_is_its_own_frozen_copy(student):
    student.train()
    teacher = Teacher(student, decay=0.99)
    assert not teacher.lifter.training and student.training
    assert not any(p.requires_grad for p in teacher.lifter.parameters())
    assert all(p.requires_grad for p in student.parameters())
    before = [p.clone() for p in teacher.lifter.parameters()]
    shift(student, 1.0)
    assert all(torch.equal(p, b) for p, b in zip(teacher.lifter.parameters(), before))
    after = [p.detach().clone() for p in student.parameters()]
    teacher.update(student)
    assert all(torch.equal(p, a) for p, a in zip(student.parameters(), after))


def test_frozen_parts_are_not_averaged(student):
    add_lora(student.denoiser, rank=2)
    teacher = Teacher(student, decay=0.5)
    before = {name: p.clone() for name, p in teacher.lifter.named_parameters()}
    shift(student, 1.0)
    teacher.update(student)
    moved = {name for name, p in teacher.lifter.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "lora_" in name} and moved
    assert moved == {name for name, p in student.named_parameters() if p.requires_grad}


@EACH_REFINEMENT
@pytest.mark.parametrize("virtual_camera", [False, True])
def test_pseudo_labels_of_a_lifter(clips, people, refinement, virtual_camera):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(frames=5, joints=17, channels=16, depth=1), virtual_camera=virtual_camera).eval()
    seen = Batch(keypoints=clips.keypoints.float(), intrinsics=clips.intrinsics.float(), subjects=clips.subjects)
    kept, people = seen.keypoints.clone(), people.float()
    pose, confidence = pseudo_label(lifter, seen, people, refinement, 3, generator(1))
    assert pose.shape == (4, 5, 17, 3) and confidence.shape == (4, 5, 17)
    assert not pose.requires_grad and not confidence.requires_grad
    assert (confidence >= 0).all() and (confidence <= 1).all() and pose.isfinite().all()
    again = pseudo_label(lifter, seen, people, refinement, 3, generator(1))
    assert torch.equal(again[0], pose) and torch.equal(again[1], confidence)
    assert not torch.equal(pseudo_label(lifter, seen, people, refinement, 3, generator(2))[0], pose)
    assert torch.equal(seen.keypoints, kept)


def test_without_a_refinement_hypotheses_are_joined_and_reboned(clips, people):
    hypotheses = clips.pose[:, None] + 0.02 * torch.randn(4, 3, 5, 17, 3, generator=generator(), dtype=torch.float64)
    people = people * some_ratios(4)  # each their own
    pose, _ = pseudo_label(Draws(hypotheses), clips, people, None, 3, generator())
    torch.testing.assert_close(lengths(pose), people[:, None, BONES].expand(-1, 5, -1))
    root = estimate_root(hypotheses, clips.keypoints, clips.intrinsics)
    joined = j_agg(hypotheses, root, clips.keypoints, clips.intrinsics)
    torch.testing.assert_close(pose, rebone(joined, people[:, None]))


@pytest.mark.parametrize("refinement", REFINEMENTS[1:], ids=["map", "snap"])
def test_with_a_refinement_the_mean_is_refined(clips, people, refinement):
    hypotheses = clips.pose[:, None] + 0.05 * torch.randn(4, 3, 5, 17, 3, generator=generator(), dtype=torch.float64)
    people = people * (1 + 0.1 * torch.rand(4, 1, generator=generator(), dtype=torch.float64))
    pose, confidence = pseudo_label(Draws(hypotheses), clips, people, refinement, 3, generator())
    rays = undistort(clips.keypoints, clips.intrinsics)
    torch.testing.assert_close(pose, refinement(hypotheses.mean(1), rays, people[:, None]))
    plain, doubt = pseudo_label(Draws(hypotheses), clips, people, None, 3, generator())
    assert (pose - plain).abs().max() > 1e-3
    assert confidence.mean() > doubt.mean()  # it projects better


def test_a_refined_label_is_nearer_to_the_truth(clips, people):
    hypotheses = clips.pose[:, None] + 0.05 * torch.randn(4, 3, 5, 17, 3, generator=generator(), dtype=torch.float64)
    off = [
        (pseudo_label(Draws(hypotheses), clips, people, how, 3, generator())[0] - clips.pose).norm(dim=-1).mean()
        for how in REFINEMENTS[:2]
    ]
    assert off[1] < 0.8 * off[0]


@EACH_REFINEMENT
def test_certainty_is_complete_when_all_agrees(clips, people, refinement):
    agreeing = Draws(clips.pose[:, None].expand(-1, 2, -1, -1, -1))
    pose, confidence = pseudo_label(agreeing, clips, people, refinement, 2, generator())
    torch.testing.assert_close(pose, clips.pose, rtol=0, atol=1e-7)
    assert (confidence > 1 - 1e-5).all()


@EACH_REFINEMENT
def test_an_outlier_keypoint_is_believed_least(clips, people, refinement):
    keypoints = clips.keypoints.clone()
    keypoints[1, 2, WRIST] += 0.1
    spoilt = replace(clips, keypoints=keypoints)
    lifter = Draws(clips.pose[:, None])
    _, before = pseudo_label(lifter, clips, people, refinement, 1, generator())
    _, confidence = pseudo_label(lifter, spoilt, people, refinement, 1, generator())
    if refinement is None:
        assert confidence[1, 2, WRIST] < 0.01
    if refinement is None or refinement.mode == "map":  # a snap believes what it is told
        assert confidence[1, 2].argmin() == WRIST
    others = torch.ones_like(confidence).bool()
    others[1, 2] = False
    torch.testing.assert_close(confidence[others], before[others])


def test_confidence_falls_with_spread_as_stated(clips, people):
    """Two hypotheses on either side along the ray: the same image, a depth nobody knows."""
    along = clips.pose + clips.trajectory[..., None, :]
    offset = 0.03 * torch.nn.functional.normalize(along, dim=-1)
    offset[..., :WRIST, :] = 0
    offset[..., WRIST + 1 :, :] = 0
    hypotheses = torch.stack([clips.pose - offset, clips.pose + offset], 1)
    _, confidence = pseudo_label(Draws(hypotheses), clips, people, REFINEMENTS[1], 2, generator())
    expected = torch.full_like(confidence[..., WRIST], -0.03 / SPREAD_SCALE).exp()
    torch.testing.assert_close(confidence[..., WRIST], expected, rtol=1e-4, atol=0)
    assert confidence[..., :WRIST].min() > 1 - 1e-4


def test_confidence_falls_with_distance_as_stated(clips, people):
    """All joints but one where they belong, with the wrist so far away that reweighting leaves it out."""
    keypoints = clips.keypoints.clone()
    keypoints[..., WRIST, 0] += REPROJECTION_SCALE
    seen = replace(clips, keypoints=keypoints)
    _, confidence = pseudo_label(Draws(clips.pose[:, None]), seen, people, None, 1, generator())
    assert (confidence[..., WRIST] - torch.tensor(-1.0).exp()).abs().max() < 0.05


def test_a_perfect_pose_has_no_reprojection_loss_at_any_size(clips):
    for size in (1.0, 0.5, 2.0):  # 2D does not tell the size
        assert ray_errors(size * clips.pose, clips.keypoints, clips.intrinsics).max() < 1e-9
    turned = clips.pose.flip(-1)
    assert ray_errors(turned, clips.keypoints, clips.intrinsics).mean() > 0.01


def test_the_gradient_draws_a_shifted_joint_back(clips):
    offset = clips.pose.new_tensor([0.1, -0.05, 0.0])
    pose = clips.pose.clone()
    pose[..., WRIST, :] += offset
    pose.requires_grad_()
    loss = ray_errors(pose, clips.keypoints, clips.intrinsics).mean()
    loss.backward()
    assert pose.grad.isfinite().all()
    assert ((pose.grad[..., WRIST, :] * offset).sum(-1) > 0).all()
    with torch.no_grad():
        step = torch.zeros_like(pose)
        step[..., WRIST, :] = 0.01 * torch.nn.functional.normalize(pose.grad[..., WRIST, :], dim=-1)
        nearer = pose - step
    assert ray_errors(nearer, clips.keypoints, clips.intrinsics).mean() < loss


def test_a_clip_without_a_person_has_finite_gradients():
    pose = torch.randn(2, 5, 17, 3, generator=generator()).requires_grad_()
    nobody = Batch(keypoints=torch.zeros(2, 5, 17, 2), intrinsics=batch(2, 1).intrinsics.float(), subjects=["A", "B"])
    ray_errors(pose, nobody.keypoints, nobody.intrinsics).mean().backward()
    assert pose.grad.isfinite().all()
    for refinement in REFINEMENTS:
        lifter = Draws(pose.detach()[:, None])
        found, confidence = pseudo_label(lifter, nobody, torch.full((2, 17), 0.3), refinement, 1, generator())
        assert found.isfinite().all() and confidence.isfinite().all()
