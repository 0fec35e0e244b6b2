"""Poses made to agree with the keypoints and with the person's bones."""

from dataclasses import replace

import pytest
import torch
from bodies import BONES, batch, generator, lengths, some_ratios, video

from common.datasets.clips import LabelledBatch
from common.errors import InputError
from common.evaluation.metrics import joint_errors
from common.geometry.camera import undistort
from common.geometry.skeleton import H36M_17
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection import refinement
from common.reprojection.bones import SourceBones, bone_vectors, rebone, scale_bones
from common.reprojection.refinement import Refinement, rebone_and_snap, refine, snap
from common.reprojection.root import solve_root

ROOT, WRIST = H36M_17.root_index, H36M_17.index("LWrist")
NAMES = ("lengths", "apparent", "noise", "mode")


@pytest.fixture
def clips() -> LabelledBatch:
    return batch(4, 5)


@pytest.fixture
def rays(clips) -> torch.Tensor:
    return undistort(clips.keypoints, clips.intrinsics)


@pytest.fixture
def true_lengths(clips) -> torch.Tensor:
    """(17,) the bones of every body."""
    return bone_vectors(clips.pose).norm(dim=-1)[0, 0]


def misjudged(pose: torch.Tensor, directions: tuple[int, int, int]) -> torch.Tensor:
    """The pose with every bone's lower end off from its upper end by 3 cm in those directions, standard deviation."""
    error = 0.03 * torch.randn(pose.shape, generator=generator(7), dtype=pose.dtype) * pose.new_tensor(directions)
    joints = [torch.zeros_like(pose[..., 0, :])]
    for bone, joint_error, parent in zip(bone_vectors(pose).unbind(-2)[1:], error.unbind(-2)[1:], H36M_17.parents[1:]):
        joints.append(joints[parent] + bone + joint_error)
    return torch.stack(joints, -2)


@pytest.fixture
def deep(clips) -> torch.Tensor:
    """Wrong in depth, which is what 2D does not tell."""
    return misjudged(clips.pose, (0, 0, 1))


@pytest.fixture
def rough(clips) -> torch.Tensor:
    """Wrong in every direction, as a lifter is."""
    return misjudged(clips.pose, (1, 1, 1))


def millimetres(found: torch.Tensor, clips: LabelledBatch) -> float:
    return joint_errors(found, clips.pose).mean().item() * 1000


def off_rays(pose: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
    """Distance of every joint's image from its ray, at unit depth."""
    placed = pose + solve_root(pose, rays)[..., None, :]
    return (placed[..., :2] / placed[..., 2:] - rays).norm(dim=-1)


# Snap


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_snapping_a_perfect_pose_changes_nothing(clips, rays, weight):
    found = snap(clips.pose, clips.trajectory, rays, weight)
    torch.testing.assert_close(found, clips.pose, rtol=0, atol=1e-9)


def test_the_weight_of_a_snap_goes_from_nothing_to_the_ray(clips, rays, deep):
    none, half, whole = (snap(deep, clips.trajectory, rays, weight) for weight in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, deep, rtol=0, atol=1e-12)
    torch.testing.assert_close(half, (none + whole) / 2, rtol=0, atol=1e-12)
    assert (whole[..., ROOT, :] == 0).all()
    torch.testing.assert_close(whole[..., 2], deep[..., 2], rtol=0, atol=1e-12)  # depths stay
    depth = clips.trajectory[..., 2]
    root = torch.cat([rays[..., ROOT, :] * depth[..., None], depth[..., None]], -1)
    placed = whole + root[..., None, :]
    torch.testing.assert_close(placed[..., :2] / placed[..., 2:], rays, rtol=0, atol=1e-9)
    each = snap(deep, clips.trajectory, rays, torch.tensor([0.0, 0.5, 1.0, 1.0])[:, None].expand(4, 5))
    assert torch.equal(each, torch.stack([none[0], half[1], whole[2], whole[3]]))


def test_rebone_and_snap_of_a_perfect_pose_changes_nothing(clips, rays, true_lengths):
    for noise in (0.0, 0.01):
        found = rebone_and_snap(clips.pose, rays, true_lengths, noise)
        torch.testing.assert_close(found, clips.pose, rtol=0, atol=1e-9)


def test_rebone_and_snap_trusts_exact_keypoints_alone(clips, rays, deep, true_lengths):
    assert off_rays(rebone_and_snap(deep, rays, true_lengths, 0.0), rays).max() < 1e-6
    unseen = rebone_and_snap(deep, rays, true_lengths, 100.0)
    torch.testing.assert_close(unseen, rebone(deep, true_lengths), rtol=0, atol=1e-4)


def test_rebone_and_snap_treats_every_frame_by_itself(clips, rays, deep, true_lengths):
    together = rebone_and_snap(deep, rays, true_lengths, 0.01)
    for b, t in ((0, 0), (3, 4)):
        alone = rebone_and_snap(deep[b, t], rays[b, t], true_lengths, 0.01)
        torch.testing.assert_close(alone, together[b, t], rtol=0, atol=1e-9)


# Refine


@pytest.mark.parametrize("noise", [0.0, 0.01, 1.0])
def test_refining_a_perfect_pose_changes_nothing(clips, rays, true_lengths, noise):
    torch.testing.assert_close(refine(clips.pose, rays, true_lengths, noise), clips.pose, rtol=0, atol=1e-7)


def test_exact_keypoints_and_known_bones_improve_depths(clips, rays, deep, true_lengths):
    found = refine(deep, rays, true_lengths, 0.0)
    before, reboned, after = (millimetres(p, clips) for p in (deep, rebone(deep, true_lengths), found))
    assert after < 0.75 * before and after < 0.75 * reboned
    assert (found[..., ROOT, :] == 0).all()
    assert (lengths(found) - true_lengths[BONES]).abs().max() < 0.01 < (lengths(deep) - true_lengths[BONES]).abs().max()
    assert off_rays(found, rays).mean() < 0.001 < off_rays(rebone(deep, true_lengths), rays).mean()


def test_it_beats_rebone_and_snap(clips, rays, rough, true_lengths):
    found, snapped = (how(rough, rays, true_lengths, 0.0) for how in (refine, rebone_and_snap))
    assert millimetres(found, clips) < 0.75 * millimetres(snapped, clips) < 0.75 * millimetres(rough, clips)


def test_wrong_bones_are_set_right(clips, rays, true_lengths):
    wrong = scale_bones(clips.pose, some_ratios(1)[0])
    found = refine(wrong, rays, true_lengths, 0.0)
    torch.testing.assert_close(found, clips.pose, rtol=0, atol=1e-5)  # the directions were true


def test_the_noisier_the_keypoints_the_less_they_count(clips, rays, deep, true_lengths):
    reboned = rebone(deep, true_lengths)
    moved = [(refine(deep, rays, true_lengths, noise) - reboned).norm(dim=-1).mean() for noise in (0.001, 0.01, 0.1, 1)]
    assert all(later < earlier for earlier, later in zip(moved, moved[1:]))
    assert moved[0] > 0.01 and moved[-1] < 1e-3


def test_the_right_noise_serves_noisy_keypoints_best(clips, rays, rough, true_lengths):
    level = 0.004
    noisy = rays + level * torch.randn(rays.shape, generator=generator(9), dtype=rays.dtype)
    trusted, right, ignored = (millimetres(refine(rough, noisy, true_lengths, n), clips) for n in (0.0, level, 1.0))
    assert right < 0.9 * trusted and right < 0.9 * ignored


def test_the_solution_is_a_minimum(clips, rays, deep, true_lengths, monkeypatch):
    """The stated sum of squares, without the reweighting, is no smaller anywhere near."""
    monkeypatch.setattr(refinement, "OUTLIER", float("inf"))
    noise, parents = 0.01, H36M_17.parents[1:]
    expected = bone_vectors(rebone(deep, true_lengths))[..., 1:, :]

    def cost(placed: torch.Tensor) -> torch.Tensor:
        across = (placed[..., :2] - rays * placed[..., 2:]) / (noise * depth)
        bones = placed[..., 1:, :] - placed[..., parents, :]
        stretch = (bones.norm(dim=-1) - true_lengths[1:]) / refinement.LENGTH_ERROR
        turned = (bones - expected) / refinement.DIRECTION_ERROR
        return across.square().sum((-1, -2)) + stretch.square().sum(-1) + turned.square().sum((-1, -2))

    pose = refine(deep, rays, true_lengths, noise, steps=40)
    depth = pose[..., 2:] + clips.trajectory[..., None, 2:]  # nearly the solution's own, which is not returned
    root = clips.trajectory.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([root], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        total = cost(pose + root[..., None, :]).sum()
        total.backward()
        return total

    optimiser.step(closure)
    with torch.no_grad():
        placed = pose + root[..., None, :]
        depth = placed[..., 2:].clone()
        least = cost(placed)
        start = rebone(deep, true_lengths)
        assert (least < cost(start + solve_root(start, rays)[..., None, :])).all()
        for seed in range(20):
            step = 0.005 * torch.randn(placed.shape, generator=generator(seed), dtype=placed.dtype)
            assert (cost(placed + step) > least).all()


def test_an_outlier_does_less_harm_than_without_reweighting(clips, rays, rough, true_lengths, monkeypatch):
    def harm() -> float:
        exact, wrong = (refine(rough, seen, true_lengths, 0.005) for seen in (rays, spoilt))
        return millimetres(wrong, clips) - millimetres(exact, clips)

    spoilt = rays.clone()
    spoilt[..., WRIST, :] += torch.tensor([0.08, -0.06])  # half a metre
    reweighted = harm()
    monkeypatch.setattr(refinement, "OUTLIER", float("inf"))
    assert 0 < reweighted < 0.75 * harm()


def test_frames_and_chunks_do_not_see_each_other(clips, rays, deep, true_lengths, monkeypatch):
    together = refine(deep, rays, true_lengths, 0.005)
    close = {"rtol": 0, "atol": 1e-9}
    flat = refine(deep.flatten(0, 1), rays.flatten(0, 1), true_lengths, 0.005)
    torch.testing.assert_close(flat, together.flatten(0, 1), **close)
    torch.testing.assert_close(refine(deep[1, 2], rays[1, 2], true_lengths, 0.005), together[1, 2], **close)
    monkeypatch.setattr(refinement, "FRAMES_AT_ONCE", 3)
    torch.testing.assert_close(refine(deep, rays, true_lengths, 0.005), together, **close)


def test_every_clip_may_have_its_own_bones(clips, rays, deep, true_lengths):
    people = true_lengths * some_ratios(4)  # (4, 17)
    found = refine(deep, rays, people[:, None], 0.005)
    for b in range(4):
        torch.testing.assert_close(found[b], refine(deep[b], rays[b], people[b], 0.005), rtol=0, atol=1e-9)
    assert (found - refine(deep, rays, true_lengths, 0.005)).abs().amax((1, 2, 3)).min() > 1e-3


def test_single_precision_is_enough(clips, rays, deep, true_lengths):
    exact = refine(deep, rays, true_lengths, 0.0)
    single = refine(deep.float(), rays.float(), true_lengths.float(), 0.0)
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 5e-4


def test_inputs_are_left_alone(clips, rays, deep, true_lengths):
    before = [x.clone() for x in (rays, deep, true_lengths)]
    for mode in ("map", "snap"):
        known = SourceBones(true_lengths, true_lengths)
        Refinement(known, 0.005, mode)(deep, rays, true_lengths)
    assert all(torch.equal(x, b) for x, b in zip((rays, deep, true_lengths), before))


def test_hopeless_poses_and_keypoints_stay_finite(rays, true_lengths):
    nowhere = torch.zeros_like(rays)
    random = torch.randn(4, 5, 17, 3, generator=generator(), dtype=torch.float64)
    for pose in (random, -random, torch.zeros_like(random)):
        for seen in (rays, nowhere, 0.7 * (2 * torch.rand(rays.shape, generator=generator(1)) - 1).double()):
            for how in (refine, rebone_and_snap):
                assert how(pose, seen, true_lengths, 0.005).isfinite().all()


# What is stored


@pytest.fixture
def known(true_lengths) -> Refinement:
    return Refinement(SourceBones(true_lengths.float(), 0.1 + torch.rand(17, generator=generator())), 0.0123, "snap")


def test_the_mode_says_how(clips, rays, deep, true_lengths, known):
    snapped, refined = (replace(known, mode=mode)(deep, rays, true_lengths) for mode in ("snap", "map"))
    assert torch.equal(snapped, rebone_and_snap(deep, rays, true_lengths, known.noise))
    assert torch.equal(refined, refine(deep, rays, true_lengths, known.noise))
    assert (snapped - refined).abs().max() > 1e-3


def test_plain_values_and_back(known):
    plain = known.to_dict()
    assert set(plain) == {*NAMES, "own"}
    assert all(type(x) is float for name in ("lengths", "apparent") for x in plain[name])
    again = Refinement.from_dict(plain, "a.bin")
    assert again.noise == known.noise and again.mode == known.mode
    assert torch.equal(again.bones.lengths, known.bones.lengths)
    assert torch.equal(again.bones.apparent, known.bones.apparent)
    assert again.to_dict() == plain
    assert Refinement.from_dict({name: plain[name] for name in NAMES}, "from before").own == 0


def test_own_bones_are_weighed_against_those_in_the_image(known, clips, true_lengths):
    pose = clips.pose.flatten(0, 1).float()
    own = bone_vectors(pose).norm(dim=-1).median(0).values
    measured = true_lengths.float() * 1.2
    assert torch.equal(known.with_own(measured, pose), measured)
    between = replace(known, own=0.5).with_own(measured, pose)
    torch.testing.assert_close(between, (measured * (own + own[H36M_17.mirrored]) / 2).sqrt())
    lopsided = scale_bones(pose, 1 + 0.2 * torch.eye(17)[H36M_17.index("LKnee")])
    both = replace(known, own=1.0).with_own(measured, lopsided)[H36M_17.indices("LKnee", "RKnee")]
    assert both[0] == both[1] > own[H36M_17.index("RKnee")]


@pytest.mark.parametrize("name", NAMES)
def test_lacking_values_are_refused(known, name):
    plain = known.to_dict()
    del plain[name]
    with pytest.raises(InputError, match=rf"a\.bin: .*{name}.*train it again"):
        Refinement.from_dict(plain, "a.bin")


@pytest.mark.parametrize(("name", "value"), [
    ("lengths", [0.3] * 16), ("lengths", "long"), ("lengths", [["a"]]), ("lengths", [[0.3], [0.3, 0.2]]),
    ("apparent", 1.0), ("apparent", [float("nan")] * 17), ("apparent", [0.0] * 17), ("lengths", [-0.3] * 17),
    ("noise", -0.1), ("noise", 1.0), ("noise", float("nan")), ("noise", "loud"), ("noise", None),
    ("own", -0.1), ("own", 2), ("own", "much"), ("mode", "none"), ("mode", "fit"), ("mode", None), ("mode", ["map"]),
])  # fmt: skip
def test_wrong_values_are_refused_in_one_line(known, name, value):
    with pytest.raises(InputError) as caught:
        Refinement.from_dict(known.to_dict() | {name: value}, "a.bin")
    assert str(caught.value).startswith("a.bin: its refinement") and "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, 3, "map", []])
def test_what_is_no_mapping_is_refused(values):
    with pytest.raises(InputError, match=r"a\.bin: its refinement"):
        Refinement.from_dict(values, "a.bin")


def test_people_are_measured_against_the_source_through_the_same_lifter():
    torch.manual_seed(0)
    first, second = (Lifter(MixSTE(frames=5, joints=17, channels=16, depth=1)).eval() for _ in range(2))
    source = [video(20, seed=1), video(20, seed=2)]
    target = [video(20, seed=3, subject="S5").unlabelled()]
    known = Refinement(SourceBones.measure(first, source), 0.005)
    own = known.lengths(first, source)["S1"]
    torch.testing.assert_close(own[BONES], known.bones.lengths[BONES])
    other = known.remeasured(second, source)
    assert torch.equal(other.bones.lengths, known.bones.lengths)
    assert not torch.equal(other.bones.apparent, known.bones.apparent)
    assert (other.noise, other.mode) == (known.noise, known.mode)
    torch.testing.assert_close(other.lengths(second, source)["S1"][BONES], known.bones.lengths[BONES])
    assert list(known.lengths(first, target)) == ["S5"]
