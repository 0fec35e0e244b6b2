"""The denoiser: a MixSTE-style spatio-temporal transformer (MixSTE, CVPR 2022; D3DP, ICCV 2023).

Parameter names are those of the released D3DP checkpoints, so that both kinds of file load without renaming.
"""

import math

import torch
from einops import rearrange
from timm.layers import DropPath, Mlp
from torch import nn
from torch.nn import functional as F

BLOCK_NORM_EPS = 1e-6
HEADS = 8
DROP_PATH = 0.1
EMBEDDING_STD = 0.5


class Attention(nn.Module):
    """Multi-head self-attention over the second-to-last axis, (N, tokens, C) -> (N, tokens, C)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = rearrange(self.qkv(x), "n l (three h d) -> three n h l d", three=3, h=self.heads)
        x = F.scaled_dot_product_attention(q, k, v)  # (N, heads, tokens, C / heads)
        return self.proj(rearrange(x, "n h l d -> n l (h d)"))


class Block(nn.Module):
    """A pre-norm transformer block, (N, tokens, C) -> (N, tokens, C)."""

    def __init__(self, width: int, heads: int, mlp_width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(width, mlp_width)
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SinusoidalEmbedding(nn.Module):
    """Diffusion times (B,) -> (B, width): sines, then cosines (DDPM)."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        frequencies = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
        angles = t[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], -1)


class MixSTE(nn.Module):
    """Predicts the clean 3D pose from a noisy one and the 2D keypoints.

    Args:
        frames: frames in a clip, T.
        joints: joints, J.
        width: channels, C.
        depth: pairs of a spatial and a temporal block.
        heads: attention heads.
        mlp_width: hidden channels of the blocks' MLPs, 2 C when not given.
        drop_path: stochastic depth of the last pair while training; it rises linearly from 0.
    """

    def __init__(
        self,
        frames: int,
        joints: int,
        width: int,
        depth: int,
        heads: int = HEADS,
        mlp_width: int | None = None,
        drop_path: float = DROP_PATH,
    ):
        super().__init__()
        mlp_width = mlp_width or 2 * width
        self.frames, self.joints, self.width, self.depth = frames, joints, width, depth
        self.heads, self.mlp_width = heads, mlp_width

        self.Spatial_patch_to_embedding = nn.Linear(2 + 3, width)
        # Not zeros as in MixSTE: joints told apart from the first step shorten the plateau at the start of training.
        self.Spatial_pos_embed = nn.Parameter(EMBEDDING_STD * torch.randn(1, joints, width))
        self.Temporal_pos_embed = nn.Parameter(EMBEDDING_STD * torch.randn(1, frames, width))
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.STEblocks = nn.ModuleList(Block(width, heads, mlp_width) for _ in range(depth))
        self.TTEblocks = nn.ModuleList(Block(width, heads, mlp_width) for _ in range(depth))
        self.set_drop_path(drop_path)
        self.Spatial_norm = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.Temporal_norm = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def set_drop_path(self, last: float) -> None:
        """Set the stochastic depth, rising linearly from 0 in the first pair to `last`."""
        for rate, *pair in zip(torch.linspace(0, last, self.depth).tolist(), self.STEblocks, self.TTEblocks):
            for block in pair:
                block.drop_path.drop_prob = rate

    def forward(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x_2d: (B, T, J, 2) normalised screen coordinates.
            x_3d: (B, H, T, J, 3) noisy poses.
            t: (B,) diffusion times.

        Returns:
            (B, H, T, J, 3) the clean poses, before any clamp.
        """
        B, H, T, J, _ = x_3d.shape
        x = torch.cat([x_2d[:, None].expand(B, H, T, J, 2), x_3d], -1)  # (B, H, T, J, 5)
        x = self.Spatial_patch_to_embedding(x) + self.Spatial_pos_embed
        x = x + self.time_mlp(t)[:, None, None, None]  # (B, H, T, J, C)
        x = rearrange(x, "b h t j c -> (b h t) j c")
        for i, (spatial, temporal) in enumerate(zip(self.STEblocks, self.TTEblocks)):
            x = self.Spatial_norm(spatial(x))
            x = rearrange(x, "(n t) j c -> (n j) t c", t=T)
            if i == 0:
                x = x + self.Temporal_pos_embed
            x = self.Temporal_norm(temporal(x))
            x = rearrange(x, "(n j) t c -> (n t) j c", j=J)
        return rearrange(self.head(x), "(b h t) j c -> b h t j c", b=B, h=H)
