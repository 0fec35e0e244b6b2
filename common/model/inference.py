"""Whole videos through a lifter: windows in batches, and the draws each video gets."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..datasets.video import Sequence
from ..datasets.windows import split
from ..geometry.skeleton import H36M_17
from .lifter import Lifter


@dataclass(frozen=True)
class Sampling:
    """How hypotheses are drawn: H, K, whether flips are averaged, clips in a forward pass, and the seed."""

    num_proposals: int
    sampling_timesteps: int
    flip: bool = True
    batch_size: int = 32
    seed: int = 0


@torch.no_grad()
def hypothesise(
    lifter: Lifter, sequences: list[Sequence], sampling: Sampling
) -> Iterator[tuple[Sequence, torch.Tensor]]:
    """Each sequence with its hypotheses (W, K, H, T, J, 3), W windows; the same draws whatever else is evaluated.

    Windows of different sequences share a forward pass, and nothing is kept longer than needed.
    """
    device = next(lifter.parameters()).device
    waiting: list[tuple[Sequence, int]] = []
    windows: list[torch.Tensor] = []
    draws: list[list[torch.Tensor]] = []

    def lift() -> Iterator[tuple[Sequence, torch.Tensor]]:
        chunks = torch.cat(windows).split(sampling.batch_size)
        lenses = torch.cat([s.intrinsics.expand(count, 9) for s, count in waiting]).split(sampling.batch_size)
        noise = zip(*(torch.cat(step).split(sampling.batch_size) for step in zip(*draws)))
        hypotheses = torch.cat(
            [
                lifter.sample(
                    chunk.to(device),
                    sampling.num_proposals,
                    sampling.sampling_timesteps,
                    sampling.flip,
                    noise=draw,
                    intrinsics=lens.to(device),
                ).cpu()
                for chunk, lens, draw in zip(chunks, lenses, noise)
            ]
        )
        hypotheses[..., H36M_17.root_index, :] = 0  # poses are relative to it; the network only nearly says so
        for sequence, count in waiting:
            yield sequence, hypotheses[:count]
            hypotheses = hypotheses[count:]

    for sequence in sequences:
        windows.append(split(sequence.keypoints, lifter.frames))
        draws.append(_draws(sequence, (len(windows[-1]), sampling.num_proposals, *windows[-1].shape[1:3], 3), sampling))
        waiting.append((sequence, len(windows[-1])))
        if sum(count for _, count in waiting) >= sampling.batch_size:
            yield from lift()
            waiting, windows, draws = [], [], []
    if waiting:
        yield from lift()


def _draws(sequence: Sequence, shape: tuple[int, ...], sampling: Sampling) -> list[torch.Tensor]:
    """The K draws for a sequence, from the seed and the video's name alone."""
    name = f"{sampling.seed} {sequence.subject} {sequence.action} {sequence.camera}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(sampling.sampling_timesteps)]
