"""What a lifter asks of its network: the class that every network is built on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from ..errors import InputError
from ..geometry.skeleton import Skeleton

Sizes = dict[str, int]


def shown(value: object) -> str:
    """A value of a file, which may be anything, in one line."""
    return " ".join(repr(value).split())


class Denoiser(nn.Module, ABC):
    """Predicts clean poses from noisy ones and the 2D keypoints. To add one: a subclass, and a line in `registry.py`.

    Attributes:
        frames, joints: T and J of the clips it takes.
        channels, depth: width C and how many blocks, or pairs of them: what -cs and -dep say.
        gradient_checkpointing: keep less for the backward pass, and compute the rest again.
    """

    frames: int
    joints: int
    channels: int
    depth: int
    gradient_checkpointing: bool = False

    @classmethod
    def build(cls, frames: int, joints: int, channels: int, depth: int, drop_path: float) -> "Denoiser":
        """A new network of the size that the flags -f, -cs and -dep ask for, and its stochastic depth set."""
        denoiser = cls(frames, joints, channels, depth)
        denoiser.set_drop_path(drop_path)
        return denoiser

    @property
    @abstractmethod
    def sizes(self) -> Sizes:
        """The constructor's arguments, whole numbers; a checkpoint stores them."""

    @classmethod
    def sizes_of(cls, weights: Mapping[str, torch.Tensor], config: Mapping[str, object], where: str) -> Sizes:
        """The sizes of a stored network. Raises `InputError`, naming the file, where they are not to be had."""
        sizes = config.get("sizes")
        if not isinstance(sizes, dict) or not all(type(n) is int and 0 < n < 2**20 for n in sizes.values()):
            raise InputError(f"{where}: its config has sizes {shown(sizes)}, expected whole numbers above zero")
        if sizes.get("depth", 1) > len(weights):  # every block has tensors of its own
            raise InputError(f"{where}: its config has depth {sizes['depth']}, more than its {len(weights)} tensors")
        return sizes

    @property
    def clip_values(self) -> int:
        """Values of a clip inside the network, which memory goes with; T J C unless it says otherwise."""
        return self.frames * self.joints * self.channels

    @abstractmethod
    def forward(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x_2d: (B, T, J, 2) normalised screen coordinates.
            x_3d: (B, H, T, J, 3) noisy poses, metres.
            t: (B,) diffusion times.

        Returns:
            (B, H, T, J, 3) the clean poses, metres, before any clamp.
        """

    def set_drop_path(self, last: float) -> None:
        """Set the stochastic depth of the last block."""

    def compile_blocks(self) -> None:
        """Let `torch.compile` fuse what it can."""
        self.compile()

    def low_rank_layers(self) -> Iterator[tuple[nn.Module, str]]:
        """The linear layers that LoRA updates, each as the module that holds it and its name there."""
        return iter(())

    def reorder_joints(self, order: Skeleton) -> None:
        """Make a network that was trained on another order of the same joints take and give Human3.6M-17, in place.

        Raises:
            InputError: this kind of network cannot be reordered.
        """
        raise InputError(f"{type(self).__name__}: cannot be put into another joint order than it was trained in")
