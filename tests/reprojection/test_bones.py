"""Bones: set, scaled, and measured from 2D alone."""

from dataclasses import replace

import pytest
import torch
from bodies import BONES, cameras, generator, lengths, poses, some_ratios, trajectories, video
from lifters import Knows

from common.datasets.video import LabelledVideo
from common.errors import InputError
from common.geometry.camera import project, undistort
from common.geometry.skeleton import H36M_17
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import (
    SourceBones,
    apparent_bone_lengths,
    bone_lengths,
    bone_ratios,
    bone_vectors,
    measure_bones,
    rebone,
    scale_bones,
)

ROOT, MIRRORED = H36M_17.root_index, H36M_17.mirrored
LEGS = H36M_17.indices("RKnee", "RFoot", "LKnee", "LFoot")


def assert_ratios_up_to_size(found: torch.Tensor, true: torch.Tensor) -> None:
    off = (found / true)[BONES]
    assert (off / off.median() - 1).abs().max() < 0.03
    assert (true[BONES] / true[BONES].median() - 1).abs().max() > 0.1  # ones would not pass


# Setting


def test_scaled_bones_have_exact_lengths_and_their_directions():
    pose, ratios = poses(3, 4), some_ratios(3)
    scaled = scale_bones(pose, ratios[:, None])
    torch.testing.assert_close(lengths(scaled), lengths(pose) * ratios[:, None, BONES], rtol=1e-12, atol=0)
    before, after = (torch.nn.functional.normalize(bone_vectors(p)[..., BONES, :], dim=-1) for p in (pose, scaled))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    assert torch.equal(scaled[..., ROOT, :], pose[..., ROOT, :])


def test_ratios_of_one_and_back_again():
    pose, ratios = poses(3, 4), some_ratios(3)[:, None]
    torch.testing.assert_close(scale_bones(pose, torch.ones(17)), pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(scale_bones(scale_bones(pose, ratios), 1 / ratios), pose, rtol=0, atol=1e-12)
    torch.testing.assert_close(scale_bones(pose, torch.full((17,), 1.25)), 1.25 * pose, rtol=0, atol=1e-12)


def test_rebone_gives_the_lengths_and_keeps_directions():
    wanted = 0.1 + torch.rand(3, 1, 17, generator=generator(), dtype=torch.float64)
    pose = scale_bones(poses(3, 4), some_ratios(1)[0])
    found = rebone(pose, wanted)
    torch.testing.assert_close(lengths(found), wanted[..., BONES].expand(3, 4, -1))
    torch.testing.assert_close(rebone(found, wanted), found)
    before, after = (torch.nn.functional.normalize(bone_vectors(p)[..., BONES, :], dim=-1) for p in (pose, found))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)
    assert (found[..., ROOT, :] == 0).all()
    assert rebone(torch.zeros(2, 17, 3), wanted[0].float()).isfinite().all()


def test_a_pose_has_its_own_bone_lengths():
    videos = [video(6, seed=1), video(4, seed=2)]  # the same person moving differently
    measured = bone_lengths(videos)
    assert measured[ROOT] == 0
    for v in videos:
        torch.testing.assert_close(lengths(v.pose), measured[BONES].expand(len(v), -1), rtol=1e-4, atol=0)
        torch.testing.assert_close(rebone(v.pose, measured), v.pose, rtol=0, atol=1e-5)


# Measuring


def test_ratios_keep_the_legs_and_not_the_size():
    source, target = 0.2 + torch.rand(2, 17, generator=generator())
    ratios = bone_ratios(target, source)
    assert ratios[ROOT] == 1
    torch.testing.assert_close((ratios * source)[LEGS].sum(), source[LEGS].sum())
    torch.testing.assert_close(bone_ratios(3 * target, source), ratios)
    torch.testing.assert_close((ratios * source / target)[BONES].std(), torch.tensor(0.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(bone_ratios(source, source), torch.ones(17))


@pytest.mark.parametrize("side", [0, 1])
def test_a_bone_nobody_sees_is_named(side):
    found = [torch.ones(17), torch.ones(17)]
    found[side][H36M_17.indices("LWrist", "RWrist")] = 0
    with pytest.raises(InputError, match="bones to LWrist, RWrist have no length"):
        bone_ratios(*found)


def test_bone_ratios_are_recovered_from_clean_2d():
    """Two people who move differently, before different cameras; the depth is the true one."""
    true = some_ratios(1, seed=3)[0]
    measured = []
    for seed, ratios, intrinsics in ((0, torch.ones(17), cameras()[0]), (1, true, cameras("S5")[3])):
        pose = scale_bones(poses(60, 15, seed, swing=1.0), ratios)
        root = trajectories(60, 15, seed)
        rays = undistort(project(pose + root[..., None, :], intrinsics), intrinsics)
        measured.append(apparent_bone_lengths(rays.flatten(0, 1), pose.flatten(0, 1), root.flatten(0, 1)))
    found = bone_ratios(measured[1], measured[0])
    assert_ratios_up_to_size(found, true)


def test_apparent_lengths_pool_the_sides_and_ignore_depth_scale():
    pose, root = poses(1, 40, swing=1.0)[0], trajectories(1, 40)[0]
    pose = scale_bones(pose, 1 + 0.2 * torch.rand(17, generator=generator(), dtype=torch.float64))  # lopsided
    rays = (pose + root[:, None])[..., :2] / (pose + root[:, None])[..., 2:]
    found = apparent_bone_lengths(rays, pose, root)
    assert found[ROOT] == 1 and torch.equal(found, found[MIRRORED])
    larger = apparent_bone_lengths(rays, 2 * pose, 2 * root)
    torch.testing.assert_close(larger[BONES], 2 * found[BONES])
    assert (apparent_bone_lengths(rays, pose, root, quantile=0.5) <= found).all()


# Measuring through a lifter


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(frames=5, joints=17, channels=16, depth=1)).eval()


def test_bones_are_measured_without_labels(lifter):
    videos = [video(12, seed=1), video(3, seed=2, camera=1), video(10, seed=3, camera=2)]
    state = torch.get_rng_state()
    found = measure_bones(lifter, videos)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.shape == (17,) and found[ROOT] == 1 and (found > 0).all()
    assert torch.equal(found, found[MIRRORED])
    assert torch.equal(measure_bones(lifter, [v.unlabelled() for v in videos]), found)
    ruined = [replace(v, pose=torch.full_like(v.pose, torch.nan), trajectory=None) for v in videos]
    assert torch.equal(measure_bones(lifter, ruined), found)


def test_measuring_looks_at_evenly_spread_clips(lifter):
    whole = video(50, seed=4)
    ends = replace(whole, keypoints=torch.cat([whole.keypoints[:5], whole.keypoints[-5:]]))
    assert torch.equal(measure_bones(lifter, [whole], clips=2), measure_bones(lifter, [ends]))
    assert not torch.equal(measure_bones(lifter, [whole], clips=2), measure_bones(lifter, [whole]))


def videos_of(subject: str, ratios: torch.Tensor, seed: int, camera: int) -> list[LabelledVideo]:
    """Fifty labelled videos of a person with those bones over the bodies' own."""
    pose, root = scale_bones(poses(50, 15, seed, swing=1.0), ratios), trajectories(50, 15, seed)
    intrinsics = cameras(subject)[camera]
    keypoints = project(pose + root[..., None, :], intrinsics)
    return [
        LabelledVideo(
            subject=subject, action=f"Walking {i}", camera="cam", keypoints=k.float(), intrinsics=intrinsics.float(),
            width=1000, height=1000, fps=50.0, pose=p.float(), trajectory=r.float(),
        )
        for i, (k, p, r) in enumerate(zip(keypoints, pose, root))
    ]  # fmt: skip


def test_every_subjects_ratios_are_recovered_through_a_good_lifter():
    true = dict(zip(("S5", "S6"), some_ratios(2, seed=3)))
    source = videos_of("S1", torch.ones(17), seed=0, camera=0)
    target = [v for i, (name, ratios) in enumerate(true.items()) for v in videos_of(name, ratios, 10 + i, camera=3)]
    lifter = Knows([*source, *target], frames=15)
    known = SourceBones.measure(lifter, source)
    assert torch.equal(known.lengths, bone_lengths(source))
    found = known.ratios(lifter, [v.unlabelled() for v in target])
    assert list(found) == ["S5", "S6"]
    for name, ratios in found.items():
        assert_ratios_up_to_size(ratios, true[name].float())
    own = known.ratios(lifter, source)["S1"]
    torch.testing.assert_close(own, torch.ones(17))
