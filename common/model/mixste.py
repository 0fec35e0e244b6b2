"""The denoiser: a MixSTE-style spatio-temporal transformer (MixSTE, CVPR 2022; D3DP, ICCV 2023).

Parameter names are those of the released D3DP checkpoints, so that both kinds of file load without renaming.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from ..geometry.skeleton import H36M_17, Skeleton, convert
from .denoiser import Denoiser, Sizes, shown

ESTIMATOR = "pose_estimator."  # how its tensors' names begin in checkpoints
BLOCK_NORM_EPS = 1e-6
HEADS = 8
DROP_PATH = 0.1
EMBEDDING_STD = 0.5
FEW_TOKENS = 128  # up to here written-out attention is faster than the fused kernel on a CPU
# Values of one (clips, T, J, C) tensor that are sent through the network at once when there is no gradient: on a CPU
# about a mebibyte, so that it stays in the caches; elsewhere a gibibyte, a bound on memory.
CHUNK_VALUES = {"cpu": 2**18, "other": 2**28}
# Likewise of a clip in a block on a CPU where there are gradients: large blocks of memory leave large gaps when freed.
PIECE_VALUES = 2**19


class Attention(nn.Module):
    """Multi-head self-attention over the second-to-last axis, (B, N, tokens, C) -> (B, N, tokens, C)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[1]
        q, k, v = rearrange(self.qkv(x), "b n l (three h d) -> three (b n) h l d", three=3, h=self.heads)
        x = attend(q, k, v)  # (B N, heads, tokens, C / heads)
        return self.proj(rearrange(x, "(b n) h l d -> b n l (h d)", n=n))


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Softmax attention, (N, heads, tokens, d) each. Written out for few tokens on a CPU, where it is faster."""
    if q.device.type != "cpu" or q.shape[-2] > FEW_TOKENS:
        return F.scaled_dot_product_attention(q, k, v)
    shape, scale = q.shape, q.shape[-1] ** -0.5
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # (N heads, tokens, d)
    weights = torch.baddbmm(q.new_empty(1, 1, 1), q, k.mT, beta=0, alpha=scale).softmax(-1)
    return (weights @ v).view(shape)


class Block(nn.Module):
    """A pre-norm transformer block, (B, N, tokens, C) -> (B, N, tokens, C), in whichever layout the input has.

    Stochastic depth leaves out each of the B x N sets of tokens by itself.
    """

    def __init__(self, width: int, heads: int, mlp_width: int):
        from timm.layers import DropPath, Mlp  # here, as it takes a second that --help need not wait

        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(width, mlp_width)
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self._drop_path(self.attn(self.norm1(x)))
        return x + self._drop_path(self.mlp(self.norm2(x)))

    def _drop_path(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop_path(x.flatten(0, 1)).view(x.shape)


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


class MixSTE(Denoiser):
    """Predicts the clean 3D pose from a noisy one and the 2D keypoints.

    Args:
        frames: frames in a clip, T.
        joints: joints, J.
        channels: channels, C.
        depth: pairs of a spatial and a temporal block.
        heads: attention heads.
        mlp_width: hidden channels of the blocks' MLPs, 2 C when not given.
        drop_path: stochastic depth of the last pair while training; it rises linearly from 0.
    """

    def __init__(
        self,
        frames: int,
        joints: int,
        channels: int,
        depth: int,
        heads: int = HEADS,
        mlp_width: int | None = None,
        drop_path: float = DROP_PATH,
    ):
        super().__init__()
        mlp_width = mlp_width or 2 * channels
        self.frames, self.joints, self.channels, self.depth = frames, joints, channels, depth
        self.heads, self.mlp_width = heads, mlp_width

        self.Spatial_patch_to_embedding = nn.Linear(2 + 3, channels)
        # Not zeros as in MixSTE: joints told apart from the first step shorten the plateau at the start of training.
        self.Spatial_pos_embed = nn.Parameter(EMBEDDING_STD * torch.randn(1, joints, channels))
        self.Temporal_pos_embed = nn.Parameter(EMBEDDING_STD * torch.randn(1, frames, channels))
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(channels),
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
        )
        self.STEblocks = nn.ModuleList(Block(channels, heads, mlp_width) for _ in range(depth))
        self.TTEblocks = nn.ModuleList(Block(channels, heads, mlp_width) for _ in range(depth))
        self.set_drop_path(drop_path)
        self.Spatial_norm = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.Temporal_norm = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 3))

    @property
    def sizes(self) -> Sizes:
        return {name: getattr(self, name) for name in ("frames", "joints", "channels", "depth", "heads", "mlp_width")}

    @classmethod
    def sizes_of(cls, weights: Mapping[str, torch.Tensor], config: Mapping[str, object], where: str) -> Sizes:
        """Read from the weights, as released checkpoints store no sizes; the heads, which weights do not show, from
        the config. Raises `InputError` where a tensor that shows them is missing or is not what it should be."""

        def shape(name: str, dimensions: int) -> torch.Size:
            if name not in weights:
                raise InputError(f"{where}: its tensor {ESTIMATOR}{name} is missing")
            if weights[name].ndim != dimensions:
                found = tuple(weights[name].shape)
                raise InputError(f"{where}: {ESTIMATOR}{name} has shape {found}, expected {dimensions} dimensions")
            return weights[name].shape

        stored = config.get("sizes")
        heads = (stored if isinstance(stored, dict) else config).get("heads", HEADS)  # older files have it by itself
        if type(heads) is not int or heads < 1:
            raise InputError(f"{where}: its config has heads {shown(heads)}, expected a number above zero")
        _, joints, channels = shape("Spatial_pos_embed", 3)
        _, frames, _ = shape("Temporal_pos_embed", 3)
        mlp_width, _ = shape("STEblocks.0.mlp.fc1.weight", 2)
        depth = len({match[1] for name in weights if (match := re.match(r"[ST]TEblocks\.(\d+)\.", name))})
        if channels % heads or channels % 2:
            raise InputError(
                f"{where}: {ESTIMATOR}Spatial_pos_embed has width {channels}, which {heads} heads do not divide"
            )
        sizes = {"frames": frames, "joints": joints, "channels": channels, "depth": depth}
        return sizes | {"heads": heads, "mlp_width": mlp_width}

    def low_rank_layers(self) -> Iterator[tuple[nn.Module, str]]:
        """The linear layers of attention (PoSynDA, section 3.4)."""
        for module in self.modules():
            if isinstance(module, Attention):
                yield from ((module, name) for name in ("qkv", "proj"))

    def reorder_joints(self, order: Skeleton) -> None:
        """See `Denoiser.reorder_joints`. Only the joint embedding knows one joint from another: its rows move."""
        self.Spatial_pos_embed.data = convert(self.Spatial_pos_embed.data, order, H36M_17).clone()

    def set_drop_path(self, last: float) -> None:
        """Set the stochastic depth, rising linearly from 0 in the first pair to `last`."""
        rates = torch.linspace(0, last, self.depth, device="cpu").tolist()
        for rate, (spatial, temporal) in zip(rates, self._pairs()):
            spatial.drop_path.drop_prob = temporal.drop_path.drop_prob = rate

    def compile_blocks(self) -> None:
        """Let `torch.compile` fuse what is in a block; all spatial blocks share their code, and so do the temporal."""
        for block in [*self.STEblocks, *self.TTEblocks]:
            block.compile()

    def forward(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `Denoiser.forward`."""
        B, H, T, J, _ = x_3d.shape
        x = torch.cat([x_2d[:, None].expand(B, H, T, J, 2), x_3d], -1).flatten(0, 1)  # (B H, T, J, 5)
        time = self.time_mlp(t).repeat_interleave(H, 0)  # (B H, C)
        values = CHUNK_VALUES.get(x.device.type, CHUNK_VALUES["other"])
        clips = len(x) if torch.is_grad_enabled() else values // self.clip_values
        chunks = [self._denoise(*chunk) for chunk in zip(x.split(max(clips, 1)), time.split(max(clips, 1)))]
        return torch.cat(chunks).view(B, H, T, J, 3)

    def _denoise(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Some clips (n, T, J, 5) and their embedded times (n, C) to poses (n, T, J, 3)."""
        x = self.Spatial_patch_to_embedding(x) + (self.Spatial_pos_embed + time[:, None])[:, None]  # (n, T, J, C)
        for i, (spatial, temporal) in enumerate(self._pairs()):
            x = self.Spatial_norm(self._through(spatial, x))
            if i == 0:
                x = x + self.Temporal_pos_embed[:, :, None]
            x = self.Temporal_norm(self._through(temporal, x.transpose(1, 2)).transpose(1, 2))
        return self.head(x)

    def _pairs(self) -> list[tuple[Block, Block]]:
        return list(zip(cast(list[Block], self.STEblocks), cast(list[Block], self.TTEblocks)))

    def _through(self, block: Block, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return block(x)
        pieces = round(self.clip_values / PIECE_VALUES) if x.device.type == "cpu" else 1
        chunks = x.chunk(max(pieces, 1), 1)  # sets of tokens do not see each other
        keep_less = self.gradient_checkpointing
        parts = [checkpoint(block, part, use_reentrant=False) if keep_less else block(part) for part in chunks]
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]
