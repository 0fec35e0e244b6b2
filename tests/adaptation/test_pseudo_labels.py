"""Pseudo-labels of whole videos: in their place, made again when it is time, mixed into the source by their share."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import generator, numbered, video
from lifters import Knows

from common.adaptation.pseudo_labels import PHASES, PseudoLabels, label_videos
from common.adaptation.synthesis import Synthesis
from common.datasets.clips import Clips
from common.datasets.video import LabelledVideo, Video
from common.geometry.camera import project, undistort
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones, bone_lengths, bone_vectors
from common.reprojection.refinement import Refinement

T, FRAMES, RATE = 5, 43, 10.0  # no whole number of windows, in none of the phases
HOW = Synthesis(1.0, False, math.pi)


@pytest.fixture
def labelled() -> list[LabelledVideo]:
    videos = [video(FRAMES, seed=seed, subject=subject) for seed, subject in ((0, "S5"), (1, "S6"))]
    return [
        replace(v, fps=50.0, keypoints=project(v.pose + v.trajectory[:, None], v.intrinsics).float()) for v in videos
    ]


def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, 17, 16, 1)).eval()


def unlabelled(videos: list[LabelledVideo]) -> list[Video]:
    """With a vertical of our own, not the label's."""
    return [replace(v.unlabelled(), up=torch.tensor([0.0, -1, 0])) for v in videos]


def lengths_of(videos: list[LabelledVideo]) -> dict[str, torch.Tensor]:
    return {v.subject: bone_lengths([v]) for v in videos}


def ready(videos: list[LabelledVideo], share: float, flip: bool = True, epoch: int = 0) -> PseudoLabels:
    labels = PseudoLabels(Clips(unlabelled(videos), T, RATE), RATE, 2, 3, share, flip)
    labels.relabel(lifter(), lengths_of(videos), None, epoch)
    return labels


@pytest.mark.parametrize("mode", [None, "map", "limits", "snap"])
def test_a_lifter_that_knows_labels_truly(labelled, mode):
    known = bone_lengths(labelled)
    refinement = Refinement(SourceBones(known, known), 0.0, mode) if mode else None
    for found, v in zip(
        label_videos(Knows(labelled, T), unlabelled(labelled), lengths_of(labelled), refinement, 2), labelled
    ):
        assert (found.subject, found.fps, found.pose.shape) == (v.subject, v.fps, v.pose.shape)
        # Bones get the mean of their lengths, which moves a joint a little where the length varies.
        assert (found.pose - v.pose).norm(dim=-1).mean() < 0.02
        assert (found.trajectory - v.trajectory).norm(dim=-1).median() < 0.2
        assert torch.equal(found.keypoints, v.keypoints) and torch.equal(found.up, torch.tensor([0.0, -1, 0]))


def test_a_label_is_the_refined_mean_or_else_reboned(labelled):
    """Of hypotheses 20 cm apart in depth, all of them wrong by as much."""
    knows, people = Knows(labelled, T), lengths_of(labelled)
    knows.apart = 0.1
    bare, known = unlabelled(labelled), bone_lengths(labelled)
    refinement = Refinement(SourceBones(known, known), 0.003)
    for found, v in zip(label_videos(knows, bare, people, refinement, 2), labelled):
        expected = refinement(v.pose, undistort(v.keypoints, v.intrinsics), people[v.subject])
        torch.testing.assert_close(found.pose, expected, rtol=0, atol=1e-4)
    for found in label_videos(knows, bare, people, None, 2):
        bones = bone_vectors(found.pose).norm(dim=-1)[:, 1:]
        torch.testing.assert_close(bones, people[found.subject][1:].expand_as(bones))


@pytest.mark.parametrize("mode", [None, "map", "limits", "snap"])
def test_no_label_is_drawn_from_a_joint_that_was_not_seen(labelled, mode):
    """Whatever stands there in place of a keypoint. The lifter answers the same, as it would not here."""

    class Draws(Knows):
        def sample(self, x_2d, num_proposals, *_, **__):
            draws = 0.3 * torch.randn(T, 17, 3, generator=generator())
            return draws.expand(len(x_2d), 1, num_proposals, -1, -1, -1)

    seen = torch.rand(FRAMES, 17, generator=generator(6)) >= 0.05
    spoilt = [
        replace(v, confidence=seen.float(), keypoints=torch.where(seen[..., None], v.keypoints, torch.tensor(place)))
        for v in unlabelled(labelled)
        for place in (0.0, 30.0)
    ]
    known = bone_lengths(labelled)
    refinement = Refinement(SourceBones(known, known), 0.003, mode) if mode else None
    found = label_videos(Draws([], T), spoilt, lengths_of(labelled), refinement, 2)
    for one, other in zip(found[::2], found[1::2]):
        torch.testing.assert_close(one.pose, other.pose, rtol=0, atol=1e-5)
        assert torch.equal(one.confidence, seen.float())


def test_other_frames_are_labelled_each_time(labelled):
    labels, phases = ready(labelled, 0.0), []
    for epoch in (0, 3, 6):
        labels.relabel(lifter(), lengths_of(labelled), None, epoch)
        found = labels._clips.videos
        assert len(found) == PHASES * len(labelled)
        for i, part in enumerate(found):
            whole = labelled[i // PHASES]
            starts = [p for p in range(5) if torch.equal(part.keypoints, whole.keypoints[p::5])]
            assert len(starts) == 1 and part.fps == RATE
            phases.append(starts[0])
        assert all(one != other for one, other in zip(phases[::2], phases[1::2]))
    assert len(set(phases)) == 5


def test_batches_of_labelled_clips(labelled):
    labels = ready(labelled, 0.0)
    batches = list(labels.batches(6, generator(), 4))
    assert [len(b) for b in batches] == [6, 6, 6, 6]
    assert {name for b in batches for name in b.subjects} == {"S5", "S6"}
    again = list(labels.batches(6, generator(), 4))
    assert all(torch.equal(one.pose, other.pose) for one, other in zip(batches, again))
    nothing = PseudoLabels(Clips(unlabelled(labelled), T, RATE), RATE, 2, 3, 0.5)
    with pytest.raises(RuntimeError, match="nothing is labelled"):
        next(nothing.batches(6, generator(), 4))
    assert nothing.state() == {}


def test_a_share_of_the_source_clips_is_the_targets_own(labelled):
    labels = ready(labelled, 0.3)
    source = next(Clips([video(60, seed=4)], T, None).endless(400, generator()))
    target = next(Clips(unlabelled(labelled), T, RATE).endless(400, generator()))
    mixed = labels.mixed_into(source, target, HOW, generator(1))
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
    source = next(Clips([video(60, seed=4)], T, None).endless(40, generator()))
    target = next(Clips(unlabelled(labelled), T, RATE).endless(40, generator()))
    mixed = ready(half_seen, 0.5).mixed_into(source, target, HOW, generator(1))
    kept = torch.tensor([name == "S1" for name in mixed.subjects])
    assert (mixed.weights()[kept] == 1).all()
    unseen = mixed.weights()[~kept] == 0
    assert (unseen.sum(-1) == 1).all()  # the joint, or its twin in a mirrored clip
    assert unseen.any(0).any(0).nonzero().flatten().tolist() == [3, 6]
    unseen = ready(half_seen, 0.5, flip=False).mixed_into(source, target, HOW, generator(1)).weights() == 0
    assert unseen.any(0).any(0).nonzero().flatten().tolist() == [3]


def test_without_a_share_nothing_is_mixed_or_drawn(labelled):
    source = next(Clips([numbered(60)], T, None).endless(4, generator()))
    draws = generator(2)
    before = draws.get_state()
    assert ready(labelled, 0.0).mixed_into(source, source, HOW, draws) is source
    assert torch.equal(draws.get_state(), before)


def test_labels_are_made_again_from_what_a_checkpoint_holds(labelled):
    """Made in epoch 3, asked for in epochs 3 to 5."""
    labels = ready(labelled, 0.5, epoch=3)
    other, later = PseudoLabels(Clips(unlabelled(labelled), T, RATE), RATE, 2, 3, 0.5), lifter()
    with torch.no_grad():
        later.denoiser.head[1].bias.add_(0.1)
    kept = {name: value.clone() for name, value in later.state_dict().items()}
    other.load_state(labels.state(), later, None)
    assert all(torch.equal(value, kept[name]) for name, value in later.state_dict().items())

    def drawn(labels: PseudoLabels) -> torch.Tensor:
        return next(labels.batches(8, generator(), 1)).pose

    first = drawn(labels)
    assert torch.equal(drawn(other), first)
    for epoch, same in ((4, True), (5, True), (6, False)):
        labels.relabel(later, lengths_of(labelled), None, epoch)
        assert torch.equal(drawn(labels), first) == same
