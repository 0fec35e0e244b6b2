"""Windows and whole videos through a lifter, in batches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..datasets.video import Video
from ..datasets.windows import split
from ..geometry.skeleton import H36M_17
from .lifter import Lifter

AnyVideo = TypeVar("AnyVideo", bound=Video)
BATCH_SIZE = 32  # clips in a forward pass


@dataclass(frozen=True)
class Sampling:
    """How hypotheses are drawn: H, K, whether flips are averaged, clips in a forward pass, and the seed."""

    num_proposals: int
    sampling_timesteps: int
    flip: bool = True
    batch_size: int = BATCH_SIZE
    seed: int = 0


@torch.no_grad()
def lift_windows(
    lifter: Lifter, windows: torch.Tensor, intrinsics: torch.Tensor, sampling: Sampling, noise: Sequence[torch.Tensor]
) -> torch.Tensor:
    """The hypotheses for windows of T frames: the one loop in which a lifter works through more than a batch.

    Args:
        windows: (W, T, J, 2) normalised screen coordinates. intrinsics: (W, 9).
        noise: the K draws, each (W, H, T, J, 3).

    Returns:
        (W, K, H, T, J, 3) metres, on the CPU.
    """
    device = next(lifter.parameters()).device
    batches = zip(*(x.split(sampling.batch_size) for x in (windows, intrinsics, *noise)))
    found = []
    for keypoints, lens, *draws in batches:
        keypoints, lens = keypoints.to(device), lens.to(device)
        hypotheses = lifter.sample(
            keypoints, sampling.num_proposals, sampling.sampling_timesteps, sampling.flip, noise=draws, intrinsics=lens
        )
        found.append(hypotheses.cpu())
    return torch.cat(found)


def draw_hypotheses(
    lifter: Lifter, videos: Sequence[AnyVideo], sampling: Sampling
) -> Iterator[tuple[AnyVideo, torch.Tensor]]:
    """Each video with its hypotheses (W, K, H, T, J, 3), W windows; the same draws whatever else is evaluated.

    Windows of different videos share a forward pass, and nothing is kept longer than needed. Labels are not read.
    """
    waiting: list[AnyVideo] = []
    windows: list[torch.Tensor] = []

    def lift() -> Iterator[tuple[AnyVideo, torch.Tensor]]:
        intrinsics = torch.cat([v.intrinsics.expand(len(mine), 9) for v, mine in zip(waiting, windows)])
        draws = zip(*(_draws(v, mine, sampling) for v, mine in zip(waiting, windows)))
        lifted = lift_windows(lifter, torch.cat(windows), intrinsics, sampling, [torch.cat(step) for step in draws])
        lifted[..., H36M_17.root_index, :] = 0  # poses are relative to it; the network only nearly says so
        yield from zip(waiting, lifted.split([len(mine) for mine in windows]))

    for video in videos:
        waiting.append(video)
        windows.append(split(video.keypoints, lifter.frames))
        if sum(map(len, windows)) >= sampling.batch_size:
            yield from lift()
            waiting, windows = [], []
    if waiting:
        yield from lift()


def _draws(video: Video, windows: torch.Tensor, sampling: Sampling) -> list[torch.Tensor]:
    """The K draws for a video's windows (W, T, J, 2), from the seed and the video's name alone."""
    seed = int.from_bytes(hashlib.sha256(f"{sampling.seed} {video.name}".encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    shape = (len(windows), sampling.num_proposals, *windows.shape[1:3], 3)
    return [torch.randn(shape, generator=generator) for _ in range(sampling.sampling_timesteps)]
