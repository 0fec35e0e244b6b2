"""The target's own motion as a source: what the teacher makes of target videos, seen from other sides.

A pose that is lifted wrongly along the line of sight is a wrong pose from any other side too, and other videos
contradict it there; what many videos agree on remains. Nothing here takes a target label.
"""

import copy
from collections.abc import Mapping, Sequence
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
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root
from .synthesis import Synthesis, synthesise

RELABEL_EPOCHS = 5


def label_video(
    lifter: Lifter, video: Video, rate: float, refinement: Refinement | None, lengths: torch.Tensor
) -> LabelledVideo:
    """A video with the poses that a lifter finds in it, every frame, from the 2D alone.

    Args:
        rate: the lifter's, frames a second; the frames between are lifted as a video of their own.
        lengths: (J,) metres, the person's bones.
    """
    phases = [video.downsampled(video.step(rate), phase) for phase in range(min(video.step(rate), len(video)))]
    pose = torch.empty(*video.keypoints.shape[:-1], 3)
    for phase, (part, hypotheses) in enumerate(draw_hypotheses(lifter, phases, Sampling(1, 1))):
        pose[phase :: len(phases)] = stitch(hypotheses[:, -1].mean(1), len(part))
    rays = undistort(video.keypoints, video.intrinsics.expand(len(video), 9))
    pose = rebone(pose, lengths) if refinement is None else refinement(pose, rays, lengths, video.confidence)
    return LabelledVideo(**vars(video), pose=pose, trajectory=solve_root(pose, rays, video.confidence))


class OwnMotion:
    """Target clips labelled by a lifter, which take the place of a share of the source's clips in training.

    Args:
        share: from 0, which does nothing, up to 1. videos: the target's; they must know which way is up.
        frames, rate: of clips. flip: mirror every clip with probability 1/2.
    """

    def __init__(self, share: float, videos: Sequence[Video], frames: int, rate: float, flip: bool = True):
        self.share, self._videos, self._frames, self._rate, self._flip = share, videos, frames, rate, flip
        self._labelled: Clips[LabelledBatch] | None = None
        self._state: dict[str, Any] = {}

    def relabel(
        self,
        lifter: Lifter,
        refinement: Refinement | None,
        source_lengths: torch.Tensor,
        ratios: Mapping[str, torch.Tensor],
        epoch: int,
    ) -> None:
        """Label all videos anew in every `RELABEL_EPOCHS`-th epoch, counted from 0; several processes share them.

        Args:
            source_lengths: (J,) metres, of the source's bones. ratios: (J,) per subject, of the target's to these.
        """
        if not self.share or epoch % RELABEL_EPOCHS:
            return
        weights = {name: value.clone() for name, value in lifter.denoiser.state_dict().items()}
        self._state = {"own_motion": {"lifter": weights, "source_lengths": source_lengths, "ratios": dict(ratios)}}
        mine = self._videos[processes.shard()]
        found = [label_video(lifter, v, self._rate, refinement, source_lengths * ratios[v.subject]) for v in mine]
        self._labelled = Clips(processes.all_gather_items(found), self._frames, self._rate)

    def state(self) -> dict[str, Any]:
        """What `load_state` takes, for a checkpoint: the lifter that labelled, not the labels."""
        return self._state

    def load_state(self, state: Mapping[str, Any], lifter: Lifter, refinement: Refinement | None) -> None:
        """Label as when `state` was asked for. `lifter` is of the kind that labelled and is left as it is."""
        if "own_motion" in state:
            stored, labeller = state["own_motion"], copy.deepcopy(lifter)
            labeller.denoiser.load_state_dict(stored["lifter"])
            self.relabel(labeller, refinement, stored["source_lengths"], stored["ratios"], 0)

    def mixed_into(
        self, source: LabelledBatch, target: Batch, how: Synthesis, generator: torch.Generator
    ) -> LabelledBatch:
        """Synthesised source clips, some of them replaced by the target's own motion from other sides.

        Args:
            source: from `synthesise`. target: as many clips, as for `synthesise`.
        """
        if self._labelled is None:
            return source
        own = next(self._labelled.endless(len(source), generator, self._flip))
        seen = own.weights()
        ratios = torch.ones_like(own.pose[:, 0, :, 0])
        own = synthesise(own, target, ratios, replace(how, noise=1.0), generator)
        chosen = torch.rand(len(source), generator=generator) < self.share

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
