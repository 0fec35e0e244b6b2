"""The target's own motion as a source: every frame labelled, mixed in by its share, nothing drawn without one."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import generator, numbered, video
from lifters import Knows

from common.adaptation.own_motion import RELABEL_EPOCHS, OwnMotion, label_video
from common.adaptation.synthesis import Synthesis
from common.datasets.clips import Clips
from common.datasets.video import Video
from common.geometry.camera import project
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import bone_lengths

T, FRAMES, RATE = 5, 43, 10.0  # no whole number of windows, in none of the phases
HOW = Synthesis(1.0, False, math.pi)


@pytest.fixture
def labelled() -> list:
    videos = [video(FRAMES, seed=seed, subject=subject) for seed, subject in ((0, "S5"), (1, "S6"))]
    return [
        replace(v, fps=50.0, keypoints=project(v.pose + v.trajectory[:, None], v.intrinsics).float()) for v in videos
    ]


def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, 17, 16, 1)).eval()


def unlabelled(videos: list) -> list[Video]:
    """With a vertical of our own, not the label's."""
    return [replace(v.unlabelled(), up=torch.tensor([0.0, -1, 0])) for v in videos]


def ready(videos: list, share: float, flip: bool = True) -> OwnMotion:
    own = OwnMotion(share, unlabelled(videos), T, RATE, flip)
    own.relabel(lifter(), None, bone_lengths(videos), {v.subject: torch.ones(17) for v in videos}, 0)
    return own


def test_every_frame_is_labelled_in_its_place(labelled):
    """By a lifter that knows the truth: the label is the truth, though only one frame in five is a lifter's next."""
    for v, bare in zip(labelled, unlabelled(labelled)):
        found = label_video(Knows(labelled, T), bare, RATE, None, bone_lengths([v]))
        assert found.pose.shape == v.pose.shape and (found.fps, found.subject) == (50.0, v.subject)
        # Bones get the mean of their lengths, which moves a joint a little where the length varies.
        assert (found.pose - v.pose).norm(dim=-1).mean() < 0.02
        assert (found.trajectory - v.trajectory).norm(dim=-1).median() < 0.2
        assert torch.equal(found.keypoints, v.keypoints)


def test_a_share_of_the_clips_is_the_targets_own(labelled):
    own = ready(labelled, 0.3)
    source = next(Clips([video(60, seed=4)], T, None).endless(400, generator()))
    target = next(Clips(unlabelled(labelled), T, RATE).endless(400, generator()))
    mixed = own.mixed_into(source, target, HOW, generator(1))
    kept = (mixed.pose == source.pose).all(-1).all(-1).all(-1)
    assert 0.6 < kept.float().mean() < 0.8
    assert torch.equal(mixed.keypoints[kept], source.keypoints[kept])
    assert torch.equal(mixed.trajectory[kept], source.trajectory[kept])
    assert {name for name, k in zip(mixed.subjects, kept) if not k} == {"S5", "S6"}
    assert {name for name, k in zip(mixed.subjects, kept) if k} == {"S1"}
    # A replaced clip is consistent: its pose projects onto its keypoints but for what the label missed them by.
    new = ~kept
    seen = project(mixed.pose[new] + mixed.trajectory[new][..., None, :], mixed.intrinsics[new])
    shuffled = seen.roll(1, 0)
    assert (seen - mixed.keypoints[new]).norm(dim=-1).median() < (shuffled - mixed.keypoints[new]).norm(dim=-1).median()


def test_joints_that_were_not_seen_do_not_count(labelled):
    hidden = torch.ones(FRAMES, 17)
    hidden[:, 3] = 0
    half_seen = [replace(v, confidence=hidden) for v in labelled]
    own = ready(half_seen, 0.5)
    source = next(Clips([video(60, seed=4)], T, None).endless(40, generator()))
    target = next(Clips(unlabelled(labelled), T, RATE).endless(40, generator()))
    mixed = own.mixed_into(source, target, HOW, generator(1))
    kept = torch.tensor([name == "S1" for name in mixed.subjects])
    assert (mixed.weights()[kept] == 1).all()
    unseen = mixed.weights()[~kept] == 0
    assert (unseen.sum(-1) == 1).all()  # the joint, or its twin in a mirrored clip
    assert unseen.any(0).any(0).nonzero().flatten().tolist() == [3, 6]
    unseen = ready(half_seen, 0.5, flip=False).mixed_into(source, target, HOW, generator(1)).weights() == 0
    assert unseen.any(0).any(0).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_nothing_changes_where_there_is_none(labelled, share):
    """With no share, and before anything is labelled, the clips are the same and no number is drawn."""
    own = OwnMotion(share, unlabelled(labelled), T, RATE)
    if not share:
        own.relabel(lifter(), None, bone_lengths(labelled), {"S5": torch.ones(17), "S6": torch.ones(17)}, 0)
    source = next(Clips([numbered(60)], T, None).endless(4, generator()))
    draws = generator(2)
    before = draws.get_state()
    assert own.mixed_into(source, source, HOW, draws) is source
    assert torch.equal(draws.get_state(), before) and own.state() == {}


def test_labels_are_made_again_from_what_a_checkpoint_holds(labelled, monkeypatch):
    own, other = ready(labelled, 0.5), OwnMotion(0.5, unlabelled(labelled), T, RATE)
    later = lifter()
    with torch.no_grad():
        later.denoiser.head[1].bias.add_(0.1)
    kept = {name: value.clone() for name, value in later.state_dict().items()}
    other.load_state(own.state(), later, None)
    assert all(torch.equal(value, kept[name]) for name, value in later.state_dict().items())
    source = next(Clips([video(60, seed=4)], T, None).endless(40, generator()))
    target = next(Clips(unlabelled(labelled), T, RATE).endless(40, generator()))
    one, two = (o.mixed_into(source, target, HOW, generator(1)) for o in (own, other))
    assert torch.equal(one.pose, two.pose) and torch.equal(one.keypoints, two.keypoints)
    # Not in every epoch, but again after some.
    ratios = {"S5": torch.ones(17), "S6": torch.ones(17)}
    own.relabel(later, None, bone_lengths(labelled), ratios, RELABEL_EPOCHS - 1)
    assert torch.equal(own.mixed_into(source, target, HOW, generator(1)).pose, one.pose)
    own.relabel(later, None, bone_lengths(labelled), ratios, RELABEL_EPOCHS)
    assert not torch.equal(own.mixed_into(source, target, HOW, generator(1)).pose, one.pose)
