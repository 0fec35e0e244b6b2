"""Bodies and poses made from recorded ones: bones keep or change their lengths as said, joints bend the right way."""

import torch
from bodies import BONES, generator, lengths
from invented import upright

from common.geometry.camera import rotation_about
from common.geometry.skeleton import H36M_17
from common.openmodel import bodies as made
from common.reprojection.bones import bone_vectors


def test_exchanged_and_turned_bodies_keep_their_bones():
    pose = upright(32, 5)
    for changed in (made.exchange_limbs(pose, generator(1)), made.turn_joints(pose, generator(2))):
        torch.testing.assert_close(lengths(changed), lengths(pose), rtol=1e-4, atol=1e-5)
        assert (changed - pose).abs().amax((1, 2, 3)).median() > 0.05


def test_a_limb_is_held_against_its_own_body():
    one = upright(1, 5)
    count = 16
    yaw = torch.linspace(0, 6, count)[:, None]
    turns = rotation_about(torch.tensor([0.0, 0.0, 1.0]).expand(count, 1, 3), yaw)
    pose = one @ turns.mT
    torch.testing.assert_close(made.exchange_limbs(pose, generator(0)), pose, atol=1e-4, rtol=0)


def test_every_limb_of_a_body_comes_from_one_clip_of_the_batch():
    pose = upright(8, 3)
    changed = made.exchange_limbs(pose, generator(3))
    side, thorax = made.ARMS["L"], made.chest_frame
    number = H36M_17.index(side[1])

    def seen(clips: torch.Tensor) -> torch.Tensor:
        bones = made.unit(bone_vectors(clips)[..., number, :])
        return (bones[..., None, :] @ thorax(clips))[..., 0, :]  # (8, 3, 3)

    distance = (seen(changed)[:, None] - seen(pose)[None]).norm(dim=-1).amax(-1)  # (8, 8)
    assert distance.amin(1).max() < 1e-4


def test_knees_and_elbows_bend_one_way():
    pose = upright(1, 4, swing=0).expand(200, -1, -1, -1).clone()
    straight = bone_vectors(pose)
    for upper, lower in (*made.LEGS.values(), *made.ARMS.values()):
        up, low = H36M_17.indices(upper, lower)
        straight[..., low, :] = made.unit(straight[..., up, :]) * straight[..., low, :].norm(dim=-1, keepdim=True)
    turned = made.turn_joints(made.from_bones(straight), generator(4))
    bones = bone_vectors(turned)
    pelvis, chest = made.pelvis_frame(turned), made.chest_frame(turned)
    for pairs, frame, sign in ((made.LEGS, pelvis, 1), (made.ARMS, chest, -1)):
        for upper, lower in pairs.values():
            up, low = (made.unit(bones[..., H36M_17.index(name), :]) for name in (upper, lower))
            flexion = torch.acos((up * low).sum(-1).clamp(-1, 1))
            assert flexion.max() < made.TIGHTEST + 1e-3
            hanging = (up * frame[..., 2]).sum(-1) < -0.7  # where the axis to the side is the joint's own
            hinge = (torch.linalg.cross(up, low) * frame[..., 1]).sum(-1) * sign
            bent = hanging & (flexion > 0.2)
            assert bent.sum() > 50 and (hinge[bent] > 0).all()


def test_other_bodies_are_symmetric_and_within_bounds():
    pose = upright(64, 3)
    ratio = (lengths(made.other_bodies(pose, generator(5))) / lengths(pose))[:, 0]
    low, high = ((1 + s * made.BONE_SPREAD) * (1 + s * made.SIZE_SPREAD) for s in (-1, 1))
    assert low < ratio.min() < 0.85 and 1.15 < ratio.max() < high
    column = {joint: place for place, joint in enumerate(BONES)}
    for left, right in zip(H36M_17.left_indices, H36M_17.right_indices):
        torch.testing.assert_close(ratio[:, column[left]], ratio[:, column[right]], rtol=1e-4, atol=0)


def test_frames_are_rotations():
    frame = made.chest_frame(upright(3, 2))
    torch.testing.assert_close(frame.mT @ frame, torch.eye(3).expand_as(frame), atol=1e-5, rtol=0)
    assert (torch.linalg.det(frame) > 0.99).all()
    assert (frame[..., 1, 0] < -0.5).all()  # forward is -y
