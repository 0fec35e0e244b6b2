"""Batches of clips drawn from sequences."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ..geometry.camera import mirror_intrinsics
from ..geometry.skeleton import mirror
from ..tensors import to_device
from .video import Sequence
from .windows import window_indices


@dataclass(frozen=True)
class Batch:
    """Clips of T frames. `pose` and `trajectory` are None when the sequences carry no labels.

    Attributes:
        keypoints: (B, T, 17, 2). intrinsics: (B, 9). pose: (B, T, 17, 3). trajectory: (B, T, 3).
        subjects: the person in each clip.
        up: (B, 3) against gravity, camera axes; None when some sequence does not know it.
    """

    keypoints: torch.Tensor
    intrinsics: torch.Tensor
    pose: torch.Tensor | None
    trajectory: torch.Tensor | None
    subjects: list[str]
    up: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def to(self, device: torch.device) -> "Batch":
        def move(x: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else to_device(x, device)

        return replace(
            self,
            keypoints=move(self.keypoints),
            intrinsics=move(self.intrinsics),
            pose=move(self.pose),
            trajectory=move(self.trajectory),
            up=move(self.up),
        )

    def first(self, count: int) -> "Batch":
        """The first clips."""
        return Batch(*(None if x is None else x[:count] for x in vars(self).values()))

    def mirrored(self, chosen: torch.Tensor) -> "Batch":
        """The batch with the clips where `chosen` (B,) is true replaced by their mirror image, camera included."""

        def swap(x: torch.Tensor | None, flipped: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), flipped, x)

        def turned(x: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else x * x.new_tensor([-1, 1, 1])

        return replace(
            self,
            keypoints=swap(self.keypoints, mirror(self.keypoints)),
            intrinsics=swap(self.intrinsics, mirror_intrinsics(self.intrinsics)),
            pose=swap(self.pose, None if self.pose is None else mirror(self.pose)),
            trajectory=swap(self.trajectory, turned(self.trajectory)),
            up=swap(self.up, turned(self.up)),
        )


class Clips:
    """Clips of `frames` frames from a list of sequences, all labelled or all unlabelled.

    An epoch has as many clips as the sequences have windows; each clip starts at a random frame of its sequence and
    takes every `step`-th frame from there.
    """

    def __init__(self, sequences: list[Sequence], frames: int, step: int = 1):
        if not sequences:
            raise ValueError("no sequences to draw clips from")
        if len({s.pose is None for s in sequences}) > 1:
            raise ValueError("some sequences carry labels and some do not; draw clips from each kind by itself")
        self.sequences, self.frames, self.step = sequences, frames, step
        windows = [len(window_indices(-(-len(s) // step), frames)) for s in sequences]
        self._sequence_of_window = torch.tensor([i for i, count in enumerate(windows) for _ in range(count)])

    def __len__(self) -> int:
        return len(self._sequence_of_window)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-len(self) // batch_size)

    def epoch(self, batch_size: int, generator: torch.Generator, flip: bool = False) -> Iterator[Batch]:
        """One pass in random order; with `flip` every clip is mirrored with probability 1/2."""
        order = torch.randperm(len(self), generator=generator)
        for chosen in self._sequence_of_window[order].split(batch_size):
            yield self._batch(chosen.tolist(), generator, flip)

    def endless(self, batch_size: int, generator: torch.Generator, flip: bool = False) -> Iterator[Batch]:
        """Random batches, for ever; always `batch_size` clips."""
        while True:
            chosen = torch.randint(len(self), (batch_size,), generator=generator)
            yield self._batch(self._sequence_of_window[chosen].tolist(), generator, flip)

    def _batch(self, chosen: list[int], generator: torch.Generator, flip: bool) -> Batch:
        sequences = [self.sequences[i] for i in chosen]
        span = (self.frames - 1) * self.step + 1
        latest = torch.tensor([max(len(s) - span, 0) for s in sequences])
        starts = (torch.rand(len(chosen), generator=generator) * (latest + 1)).long()
        offsets = torch.arange(0, span, self.step)
        frames = [(start + offsets).clamp(max=len(s) - 1) for start, s in zip(starts.tolist(), sequences)]
        labelled = sequences[0].pose is not None

        batch = Batch(
            keypoints=torch.stack([s.keypoints[f] for s, f in zip(sequences, frames)]),
            intrinsics=torch.stack([s.intrinsics for s in sequences]),
            pose=torch.stack([s.pose[f] for s, f in zip(sequences, frames)]) if labelled else None,
            trajectory=torch.stack([s.trajectory[f] for s, f in zip(sequences, frames)]) if labelled else None,
            subjects=[s.subject for s in sequences],
            up=None if any(s.up is None for s in sequences) else torch.stack([s.up for s in sequences]),
        )
        return batch.mirrored(torch.rand(len(chosen), generator=generator) < 0.5) if flip else batch
