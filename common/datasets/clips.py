"""Batches of clips drawn from videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

import torch

from ..geometry.camera import mirror_intrinsics
from ..geometry.skeleton import H36M_17, mirror
from ..tensors import to_device
from .video import LabelledVideo, Video
from .windows import window_indices

AnyBatch = TypeVar("AnyBatch", bound="Batch")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips of T frames.

    Attributes:
        keypoints: (B, T, 17, 2). intrinsics: (B, 9).
        subjects: the person in each clip.
        up: (B, 3) against gravity, camera axes; None when some video does not know it.
        confidence: (B, T, 17) the detector's, from 0 to 1; None where no video has one.
    """

    keypoints: torch.Tensor
    intrinsics: torch.Tensor
    subjects: list[str]
    up: torch.Tensor | None = None
    confidence: torch.Tensor | None = None

    def weights(self) -> torch.Tensor:
        """How much each keypoint counts, (B, T, 17): the confidence, or 1."""
        return torch.ones_like(self.keypoints[..., 0]) if self.confidence is None else self.confidence

    def __len__(self) -> int:
        return len(self.keypoints)

    def to(self: AnyBatch, device: torch.device) -> AnyBatch:
        """The batch on a device, see `to_device`."""
        moved: dict[str, Any] = {name: to_device(x, device) for name, x in self._tensors().items()}
        return replace(self, **moved)

    def first(self: AnyBatch, count: int) -> AnyBatch:
        """The first clips."""
        parts: dict[str, Any] = {name: x[:count] for name, x in self._tensors().items()}
        return replace(self, subjects=self.subjects[:count], **parts)

    def mirrored(self: AnyBatch, chosen: torch.Tensor) -> AnyBatch:
        """The batch with the clips where `chosen` (B,) is true replaced by their mirror image, camera included."""
        tensors, flipped = self._tensors(), self._mirror_image()
        picked: dict[str, Any] = {}
        for name, x in tensors.items():
            picked[name] = torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), flipped[name], x)
        return replace(self, **picked)

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}

    def _mirror_image(self) -> dict[str, torch.Tensor]:
        flipped = {"keypoints": mirror(self.keypoints), "intrinsics": mirror_intrinsics(self.intrinsics)}
        if self.up is not None:
            flipped["up"] = _flip_x(self.up)
        if self.confidence is not None:
            flipped["confidence"] = self.confidence[..., H36M_17.mirrored]
        return flipped


@dataclass(frozen=True, kw_only=True)
class LabelledBatch(Batch):
    """Clips whose 3D is known.

    Attributes:
        pose: (B, T, 17, 3) metres, relative to the root. trajectory: (B, T, 3) metres, the root.
    """

    pose: torch.Tensor
    trajectory: torch.Tensor

    def _mirror_image(self) -> dict[str, torch.Tensor]:
        return super()._mirror_image() | {"pose": mirror(self.pose), "trajectory": _flip_x(self.trajectory)}


def _flip_x(x: torch.Tensor) -> torch.Tensor:
    return x * x.new_tensor([-1, 1, 1])


class Clips(Generic[AnyBatch]):
    """Clips of `frames` frames: batches with labels from labelled videos, without from others.

    An epoch has as many clips as the videos have windows; each clip starts at a random frame of its video and goes on
    at about `rate` frames a second; None takes every frame.
    """

    @overload
    def __init__(
        self: "Clips[LabelledBatch]", videos: Sequence[LabelledVideo], frames: int, rate: float | None = None
    ) -> None: ...

    @overload
    def __init__(self: "Clips[Batch]", videos: Sequence[Video], frames: int, rate: float | None = None) -> None: ...

    def __init__(self, videos: Sequence[Video], frames: int, rate: float | None = None) -> None:
        if not videos:
            raise ValueError("no videos to draw clips from")
        if len({isinstance(v, LabelledVideo) for v in videos}) > 1:
            raise ValueError("some videos carry labels and some do not; draw clips from each kind by itself")
        self.videos, self.frames = videos, frames
        self._steps = [v.step(rate) if rate else 1 for v in videos]
        self._some_confidence = any(v.confidence is not None for v in videos)
        windows = [len(window_indices(-(-len(v) // step), frames)) for v, step in zip(videos, self._steps)]
        self._video_of_window = torch.tensor([i for i, count in enumerate(windows) for _ in range(count)])

    def __len__(self) -> int:
        return len(self._video_of_window)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-len(self) // batch_size)

    def epoch(self, batch_size: int, generator: torch.Generator, flip: bool = False) -> Iterator[AnyBatch]:
        """One pass in random order; with `flip` every clip is mirrored with probability 1/2."""
        order = torch.randperm(len(self), generator=generator)
        for chosen in self._video_of_window[order].split(batch_size):
            yield self._batch(chosen.tolist(), generator, flip)

    def endless(self, batch_size: int, generator: torch.Generator, flip: bool = False) -> Iterator[AnyBatch]:
        """Random batches, for ever; always `batch_size` clips."""
        while True:
            chosen = torch.randint(len(self), (batch_size,), generator=generator)
            yield self._batch(self._video_of_window[chosen].tolist(), generator, flip)

    def _confidence(self, videos: list[Video], frames: list[torch.Tensor]) -> torch.Tensor | None:
        if not self._some_confidence:
            return None
        full = [torch.ones_like(v.keypoints[..., 0]) if v.confidence is None else v.confidence for v in videos]
        return torch.stack([x[f] for x, f in zip(full, frames)])

    def _batch(self, chosen: list[int], generator: torch.Generator, flip: bool) -> AnyBatch:
        videos = [self.videos[i] for i in chosen]
        steps = [self._steps[i] for i in chosen]
        latest = torch.tensor([max(len(v) - ((self.frames - 1) * step + 1), 0) for v, step in zip(videos, steps)])
        starts = (torch.rand(len(chosen), generator=generator) * (latest + 1)).long()
        offsets = torch.arange(self.frames)
        frames = [
            (start + step * offsets).clamp(max=len(v) - 1) for start, step, v in zip(starts.tolist(), steps, videos)
        ]

        ups = [v.up for v in videos if v.up is not None]
        batch = Batch(
            keypoints=torch.stack([v.keypoints[f] for v, f in zip(videos, frames)]),
            intrinsics=torch.stack([v.intrinsics for v in videos]),
            subjects=[v.subject for v in videos],
            up=torch.stack(ups) if len(ups) == len(videos) else None,
            confidence=self._confidence(videos, frames),
        )
        labelled = [v for v in videos if isinstance(v, LabelledVideo)]
        if labelled:
            batch = LabelledBatch(
                **vars(batch),
                pose=torch.stack([v.pose[f] for v, f in zip(labelled, frames)]),
                trajectory=torch.stack([v.trajectory[f] for v, f in zip(labelled, frames)]),
            )
        return batch.mirrored(torch.rand(len(chosen), generator=generator) < 0.5) if flip else batch  # type: ignore[return-value]
