"""Low-rank adaptation of the attention layers (LoRA, Hu et al., ICLR 2022)."""

import copy
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..errors import InputError
from .denoiser import Denoiser


class _Updated(torch.autograd.Function):
    """A linear layer whose weight is W + scale * up @ down, with gradients for the input, `down` and `up`.

    The sum is cheap beside the layer itself; autograd would pass all activations through both branches instead, or
    make a gradient as large as W.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, down, up)
        ctx.scale = scale
        return F.linear(x, weight + scale * (up @ down), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, down, up = (saved.to(grad.dtype) for saved in ctx.saved_tensors)
        rows, inputs = grad.flatten(0, -2), x.flatten(0, -2)  # (rows, out), (rows, in)
        for_x = grad @ (weight + ctx.scale * (up @ down)) if ctx.needs_input_grad[0] else None
        for_down = ctx.scale * (rows @ up).T @ inputs
        for_up = ctx.scale * rows.T @ (inputs @ down.T)
        return for_x, None, None, for_down, for_up, None


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trained low-rank update: W x + b + scale * up(down(x)).

    `lora_up` starts at zero, so that nothing changes before the first step; `lora_down` normal, its standard deviation
    1 / rank.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float = 1.0):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = scale
        device, dtype = linear.weight.device, linear.weight.dtype
        self.lora_down = nn.Linear(linear.in_features, rank, bias=False, device=device, dtype=dtype)
        self.lora_up = nn.Linear(rank, linear.out_features, bias=False, device=device, dtype=dtype)
        nn.init.normal_(self.lora_down.weight, std=1 / rank)
        nn.init.zeros_(self.lora_up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Updated.apply(
            x, self.linear.weight, self.linear.bias, self.lora_down.weight, self.lora_up.weight, self.scale
        )

    def delta_weight(self) -> torch.Tensor:
        """What the update adds to the linear layer's weight, (out, in)."""
        return self.scale * self.lora_up.weight @ self.lora_down.weight

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain linear layer that computes the same."""
        linear = copy.deepcopy(self.linear)  # a new layer would draw random numbers: saving would change the training
        linear.weight += self.delta_weight()
        return linear


def add_lora(model: Denoiser, rank: int, scale: float = 1.0) -> None:
    """Freeze a denoiser and give its `low_rank_layers` a low-rank update each, in place.

    Raises:
        InputError: it has no such layers.
    """
    layers = list(model.low_rank_layers())
    if not layers:
        raise InputError(f"--lora: {type(model).__name__} has no layers for low-rank updates; leave the flag out")
    model.requires_grad_(False)
    for module, name in layers:
        setattr(module, name, LoRALinear(getattr(module, name), rank, scale))
