"""The moving average of a student, and the distance of its poses from keypoints."""

import pytest
import torch
from bodies import batch, generator

from common.adaptation.teacher import Teacher, ray_errors
from common.datasets.clips import Batch, LabelledBatch
from common.geometry.skeleton import H36M_17
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.mixste import MixSTE

WRIST = H36M_17.index("LWrist")


@pytest.fixture
def student() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(frames=5, joints=17, channels=16, depth=1))


@pytest.fixture
def clips() -> LabelledBatch:
    return batch(4, 5)


def shift(lifter: Lifter, by: float) -> None:
    """Add a number to every weight, frozen ones too."""
    with torch.no_grad():
        for weight in lifter.parameters():
            weight += by


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
