"""A plain temporal-convolution denoiser in the manner of VideoPose3D (Pavllo et al., CVPR 2019), for comparison.

Every joint's 2D and noisy 3D lie side by side in one vector per frame; residual blocks of a dilated convolution over
time and a pointwise one follow. Unlike there, clips are padded with their outermost frames, so that as many frames come
out as go in, layer norm takes the place of batch norm, which would see clips of two domains, and the diffusion's time
is added.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .denoiser import Denoiser, Sizes
from .mixste import SinusoidalEmbedding

KERNEL = 3  # frames a convolution sees
DROPOUT = 0.1


class TemporalBlock(nn.Module):
    """(N, T, C) -> (N, T, C): a dilated convolution, then a pointwise one, beside the identity."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(channels)
        self.over_time = nn.Conv1d(channels, channels, KERNEL, dilation=dilation)
        self.pointwise = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        around = F.pad(self.norm(x).mT, (self.dilation, self.dilation), mode="replicate")  # (N, C, T + 2 dilation)
        return x + self.dropout(self.pointwise(F.gelu(self.over_time(around).mT)))


class TCN(Denoiser):
    """A temporal-convolution denoiser.

    Args:
        frames: frames in a clip, T.
        joints: joints, J.
        channels: of a frame inside, C.
        depth: blocks; their dilations are 1, 3, 9, ... and begin anew where one would reach beyond the clip.
    """

    def __init__(self, frames: int, joints: int, channels: int, depth: int):
        super().__init__()
        self.frames, self.joints, self.channels, self.depth = frames, joints, channels, depth
        self.expand = nn.Linear(joints * (2 + 3), channels)
        self.time_mlp = nn.Sequential(SinusoidalEmbedding(channels), nn.Linear(channels, channels), nn.GELU())
        reach = [KERNEL**i for i in range(depth) if KERNEL**i < max(frames, 2)]
        self.blocks = nn.ModuleList(TemporalBlock(channels, reach[i % len(reach)]) for i in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, joints * 3))

    @property
    def sizes(self) -> Sizes:
        return {"frames": self.frames, "joints": self.joints, "channels": self.channels, "depth": self.depth}

    @property
    def clip_values(self) -> int:
        """T C: the joints share a frame's channels."""
        return self.frames * self.channels

    def forward(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `Denoiser.forward`."""
        B, H, T, J, _ = x_3d.shape
        x = torch.cat([x_2d[:, None].expand(B, H, T, J, 2), x_3d], -1)  # (B, H, T, J, 5)
        x = self.expand(x.reshape(B * H, T, J * 5)) + self.time_mlp(t).repeat_interleave(H, 0)[:, None]  # (B H, T, C)
        for block in self.blocks:
            x = block(x)
        return self.head(x).view(B, H, T, J, 3)
