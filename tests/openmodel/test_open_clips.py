"""Endless clips: they agree with their cameras, repeat with their seed, and stay within what is said of them."""

import pytest
import torch
from bodies import generator
from invented import some_motion

from common.errors import InputError
from common.geometry.camera import project
from common.openmodel import clips
from common.openmodel.clips import Recipe, one_batch
from common.openmodel.motion import Motion, Take, rarity, read_takes
from common.openmodel.validation import EXACT


def test_exact_keypoints_are_projections():
    batch = one_batch(some_motion(), 9, 5.0, EXACT, 64, generator(0))
    placed = batch.pose + batch.trajectory[:, :, None]
    near = (placed[..., 2] > 1).flatten(1).all(1)
    seen = project(placed, batch.intrinsics)
    inside = ((placed[..., :2] / placed[..., 2:]).abs() < 1).flatten(1).all(1) & near
    assert inside.sum() > 50
    torch.testing.assert_close(batch.keypoints[inside], seen[inside], atol=1e-4, rtol=0)
    assert (batch.pose[:, :, 0] == 0).all()


@pytest.mark.parametrize("recipe", [Recipe(), EXACT])
def test_batches_are_finite_and_follow_the_seed(recipe):
    motion = some_motion()
    one, same, other = (one_batch(motion, 9, 5.0, recipe, 32, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.keypoints, same.keypoints) and torch.equal(one.pose, same.pose)
    assert not torch.equal(one.keypoints, other.keypoints)
    assert one.keypoints.isfinite().all() and one.pose.isfinite().all()
    assert one.keypoints.shape == (32, 9, 17, 2) and one.pose.shape == (32, 9, 17, 3)


def test_cameras_are_where_they_should_be():
    batch = one_batch(some_motion(), 9, 5.0, EXACT, 500, generator(3))
    distance = batch.trajectory.mean(1).norm(dim=-1)
    assert distance.min() > 1.8 and distance.max() < 10.5
    towards = torch.nn.functional.normalize(batch.trajectory.mean(1), dim=-1)
    height = -torch.rad2deg(torch.asin((towards * batch.up).sum(-1)))  # of the camera over the person
    assert -31 < height.min() < -20 and 40 < height.max() < 51
    focal = batch.intrinsics[:, 0]
    assert focal.min() >= 1.2 and focal.max() <= 4
    torch.testing.assert_close(batch.up.norm(dim=-1), torch.ones(500))


def test_clips_of_takes_that_are_too_short_repeat_the_last_frame():
    take = torch.arange(30.0)[:, None, None].expand(30, 17, 3).clone()
    take[:, 0] = 0  # the root stands still
    motion = Motion.of([Take("anna", "short", take)], even=False)
    drawn = clips.draw_motion(motion, 9, 5.0, False, 4, generator(0))[:, :, 1, 0]
    assert torch.equal(drawn[0], torch.tensor([0.0, 10, 20, 29, 29, 29, 29, 29, 29]))


def test_clips_stay_within_their_take():
    takes = [Take("anna", str(i), torch.full((120, 17, 3), float(i))) for i in range(3)]
    for take in takes:
        take.joints[:, 0] = 0
    drawn = clips.draw_motion(Motion.of(takes, even=False), 9, 5.0, True, 200, generator(0))[:, :, 1, 0]
    torch.testing.assert_close(drawn, drawn.round(), atol=1e-3, rtol=0)
    drawn = drawn.round()
    assert (drawn == drawn[:, :1]).all() and set(drawn[:, 0].tolist()) == {0.0, 1.0, 2.0}


def test_rare_poses_have_better_odds_wherever_they_face():
    common, rare = some_motion(1, 400).joints, some_motion(1, 50, seed=9).joints
    rare = rare * torch.tensor([1.0, 1.0, 0.5])
    odds = rarity(torch.cat([common, rare]))
    assert odds[400:].mean() > 1.3 * odds[:400].mean()
    turned = common @ torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    torch.testing.assert_close(rarity(turned), rarity(common), atol=1e-2, rtol=0)


def test_unknown_people_are_refused(tmp_path):
    with pytest.raises(InputError, match="--mocap"):
        read_takes(tmp_path / "none")
