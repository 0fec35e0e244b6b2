"""Label-free criteria: nothing for a lifter without fault, and as much as the fault each is made to see."""

from dataclasses import replace

import pytest
import torch
from bodies import lengths, video
from lifters import Knows

from common.adaptation.selection import (
    CRITERIA,
    bones_vary,
    flips_disagree,
    hypotheses_disagree,
    reprojection,
    windows_disagree,
)
from common.datasets.video import LabelledVideo
from common.geometry.skeleton import H36M_17
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.mixste import MixSTE

T = 4
JOINTS = len(H36M_17.joints)
MOVING = (JOINTS - 1) / JOINTS  # the root, where every pose begins, cannot be off
EACH = pytest.mark.parametrize("name", CRITERIA)
SAMPLING = Sampling(2, 1)


@pytest.fixture
def videos() -> list[LabelledVideo]:
    return [replace(video(10, seed, camera=seed), action=f"Walking {seed}") for seed in range(3)]


@EACH
@pytest.mark.parametrize("sampling", [Sampling(1, 1), Sampling(3, 2, batch_size=1), Sampling(2, 1, flip=False)])
def test_a_lifter_without_fault_has_none(videos, name, sampling):
    assert CRITERIA[name](Knows(videos, T), [v.unlabelled() for v in videos], sampling) < 1e-5


@EACH
def test_no_label_is_read(videos, name):
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(T, JOINTS, 16, 2, drop_path=0.5), timesteps=20)
    ruined = [replace(v, pose=torch.full_like(v.pose, torch.nan), trajectory=None) for v in videos]
    blind = [v.unlabelled() for v in videos]
    found = [CRITERIA[name](lifter.train(), seen, SAMPLING) for seen in (videos, blind, ruined)]
    assert found[0] > 1e-3 and found == found[:1] * 3  # nor does training's randomness enter


@pytest.mark.parametrize("off", [0.01, 0.05])
def test_hypotheses_apart_are_seen(videos, off):
    lifter = Knows(videos, T)
    lifter.apart = off
    assert hypotheses_disagree(lifter, videos, SAMPLING) == pytest.approx(off * MOVING, rel=1e-4)
    assert hypotheses_disagree(lifter, videos, Sampling(1, 1)) < 1e-6
    for other in (flips_disagree, windows_disagree, bones_vary):
        assert other(lifter, videos, SAMPLING) < 1e-5


@pytest.mark.parametrize("off", [0.01, 0.05])
def test_mirror_images_lifted_otherwise_are_seen(videos, off):
    lifter = Knows(videos, T)
    lifter.flipped = off
    for sampling in (SAMPLING, replace(SAMPLING, flip=False)):  # whatever the run itself does
        assert flips_disagree(lifter, videos, sampling) == pytest.approx(off * MOVING, rel=1e-4)
    for other in (hypotheses_disagree, windows_disagree, bones_vary):
        assert other(lifter, videos, SAMPLING) < 1e-5


@pytest.mark.parametrize("off", [0.01, 0.05])
def test_a_pose_that_depends_on_its_place_in_the_window_is_seen(videos, off):
    lifter = Knows(videos, T)
    lifter.early = off
    # Of the frames 2 to 9 all but the last two are in the other half of their window when the cut is later.
    assert windows_disagree(lifter, videos, SAMPLING) == pytest.approx(off * MOVING * 6 / 8, rel=1e-4)
    for other in (hypotheses_disagree, flips_disagree):
        assert other(lifter, videos, SAMPLING) < 1e-5


def test_videos_too_short_to_cut_otherwise_have_no_say(videos):
    lifter = Knows(videos, T)
    lifter.early = 0.05
    short = [replace(v, keypoints=v.keypoints[: T // 2]) for v in videos]
    assert windows_disagree(lifter, short, SAMPLING) == 0
    assert windows_disagree(lifter, [*short, *videos], SAMPLING) == windows_disagree(lifter, videos, SAMPLING)
    single = Knows(videos, 1)
    assert windows_disagree(single, videos, SAMPLING) == 0


@pytest.mark.parametrize("off", [0.02, 0.1])
def test_bones_that_grow_and_shrink_are_seen(videos, off):
    breath = 1 + off * (1 - 2 * (torch.arange(10) % 2))[:, None, None]
    lifter = Knows([replace(v, pose=breath * v.pose) for v in videos], T)
    mean = torch.stack([lengths(v.pose).mean() for v in videos]).mean().item()
    assert bones_vary(lifter, videos, SAMPLING) == pytest.approx(off * mean, rel=1e-3)
    steady = Knows([replace(v, pose=(1 + off) * v.pose) for v in videos], T)
    assert bones_vary(steady, videos, SAMPLING) < 1e-5


def test_poses_that_do_not_project_onto_the_keypoints_are_seen(videos):
    found = []
    for squeeze in (0.9, 0.8, 0.6):
        lifter = Knows([replace(v, pose=v.pose * torch.tensor([squeeze, 1, 1])) for v in videos], T)
        found.append(reprojection(lifter, videos, SAMPLING))
    assert found == sorted(found) and found[0] > 1e-3 and found[-1] > 2 * found[0]
    larger = Knows([replace(v, pose=1.2 * v.pose) for v in videos], T)
    assert reprojection(larger, videos, SAMPLING) < 1e-5  # farther away, it looks the same


def test_frames_count_alike_in_long_and_short_videos(videos):
    one, other = videos[0], replace(videos[1], keypoints=videos[1].keypoints[:5])
    lifter = Knows([replace(v, pose=v.pose * torch.tensor([0.8, 1, 1])) for v in videos], T)
    alone = [reprojection(lifter, [v], SAMPLING) for v in (one, other)]
    together = reprojection(lifter, [one, other], SAMPLING)
    assert together == pytest.approx((10 * alone[0] + 5 * alone[1]) / 15)
    assert abs(alone[0] - alone[1]) > 1e-5
