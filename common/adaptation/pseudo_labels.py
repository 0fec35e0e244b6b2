"""Pseudo-labels: what a lifter makes of whole target videos, from the 2D alone (METHOD 6).

They teach in two ways: as labels of the target's own clips, and, seen from other sides, as more source motion. A pose
that is lifted wrongly along the line of sight is a wrong pose from any other side too, and other videos contradict it
there; what many videos agree on remains. Nothing here takes a target label.
"""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from .. import processes
from ..datasets.clips import Batch, Clips, LabelledBatch
from ..datasets.video import LabelledVideo, Video
from ..datasets.windows import stitch
from ..geometry.camera import undistort
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import Lifter
from ..reprojection.bones import rebone
from ..reprojection.jpma import aggregate, p_agg
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root
from .synthesis import Synthesis, synthesise

PHASES = 2  # of the ways to thin a video out to the lifter's frame rate, other ones each time


def label_videos(
    lifter: Lifter,
    videos: Sequence[Video],
    lengths: Mapping[str, torch.Tensor],
    refinement: Refinement | None,
    num_proposals: int,
) -> list[LabelledVideo]:
    """Videos at the lifter's frame rate with the poses it finds, refined, or else J-Agg given the person's bones.

    Args:
        lengths: (J,) metres per subject.
    """
    found = []
    for video, hypotheses in draw_hypotheses(lifter, videos, Sampling(num_proposals, 1)):
        last, person, rays = hypotheses[:, -1], lengths[video.subject], undistort(video.keypoints, video.intrinsics)
        if refinement is not None:
            pose = refinement(stitch(p_agg(last), len(video)), rays, person, video.confidence)
        else:
            pose = rebone(aggregate(last, video, "estimated")[0]["J_Agg"], person)
        root = solve_root(pose, rays, video.confidence)
        found.append(LabelledVideo(**vars(video), pose=pose, trajectory=root))
    return found


class PseudoLabels:
    """The target's videos, labelled anew by the teacher every few epochs, and clips of them."""

    def __init__(
        self, clips: Clips[Batch], rate: float, num_proposals: int, epochs: int, own_motion: float, flip: bool = True
    ):
        """
        Args:
            clips: of the target's videos, at `rate` frames a second. num_proposals: hypotheses behind a label.
            epochs: for which a label stays. own_motion: the share of source clips that the target's take the place of,
                see `mixed_into`. flip: mirror every clip with probability 1/2.
        """
        self._videos, self._frames, self._rate, self._flip = clips.videos, clips.frames, rate, flip
        self._num_proposals, self._epochs, self._own_motion = num_proposals, epochs, own_motion
        self._clips: Clips[LabelledBatch] | None = None
        self._state: dict[str, Any] = {}

    def relabel(
        self, lifter: Lifter, lengths: Mapping[str, torch.Tensor], refinement: Refinement | None, epoch: int
    ) -> None:
        """Label `PHASES` phases of all videos, where it is time to; several processes share them.

        Args:
            lengths: (J,) metres per subject. epoch: counted from the first with labels, from 0.
        """
        if epoch % self._epochs:
            return
        weights = {name: value.clone() for name, value in lifter.denoiser.state_dict().items()}
        self._state = {"labels": {"lifter": weights, "lengths": dict(lengths), "epoch": epoch}}
        generator = torch.Generator().manual_seed(epoch)
        thinned = []
        for video in self._videos:
            step = min(video.step(self._rate), len(video))
            phases = torch.randperm(step, generator=generator)[:PHASES].tolist()
            thinned += [video.downsampled(video.step(self._rate), phase) for phase in phases]
        found = label_videos(lifter, thinned[processes.shard()], lengths, refinement, self._num_proposals)
        self._clips = Clips(processes.all_gather_items(found), self._frames)

    def state(self) -> dict[str, Any]:
        """What `load_state` takes, for a checkpoint: the lifter that labelled, not the labels."""
        return self._state

    def load_state(self, state: Mapping[str, Any], lifter: Lifter, refinement: Refinement | None) -> None:
        """Label as when `state` was asked for. `lifter` is of the kind that labelled and is left as it is."""
        if "labels" in state:
            stored, labeller = state["labels"], copy.deepcopy(lifter)
            labeller.denoiser.load_state_dict(stored["lifter"])
            self.relabel(labeller, stored["lengths"], refinement, stored["epoch"])

    def batches(self, batch_size: int, generator: torch.Generator, steps: int) -> Iterator[LabelledBatch]:
        """So many batches of labelled target clips."""
        return itertools.islice(self._endless(batch_size, generator), steps)

    def mixed_into(
        self, source: LabelledBatch, target: Batch, how: Synthesis, generator: torch.Generator
    ) -> LabelledBatch:
        """Synthesised source clips, some of them replaced by the target's own motion from other sides.

        Args:
            source: from `synthesise`. target: as many clips, as for `synthesise`, which know which way is up.
        """
        if not self._own_motion:
            return source
        own = self.from_other_sides(target, how, generator)
        seen = own.weights()
        chosen = torch.rand(len(source), generator=generator) < self._own_motion

        def mix(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
            return torch.where(chosen.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs)

        return LabelledBatch(
            keypoints=mix(own.keypoints, source.keypoints),
            intrinsics=mix(own.intrinsics, source.intrinsics),
            subjects=[mine if c else theirs for c, mine, theirs in zip(chosen, own.subjects, source.subjects)],
            confidence=mix(seen, source.weights()),
            pose=mix(own.pose, source.pose),
            trajectory=mix(own.trajectory, source.trajectory),
        )

    def from_other_sides(self, target: Batch, how: Synthesis, generator: torch.Generator) -> LabelledBatch:
        """As many clips of the target's own motion as `target` has, seen as `synthesise` says."""
        own = next(self._endless(len(target), generator))
        ratios = torch.ones_like(own.pose[:, 0, :, 0])
        return replace(synthesise(own, target, ratios, replace(how, noise=1.0), generator), confidence=own.confidence)

    def _endless(self, batch_size: int, generator: torch.Generator) -> Iterator[LabelledBatch]:
        if self._clips is None:
            raise RuntimeError("nothing is labelled yet")
        return self._clips.endless(batch_size, generator, self._flip)
