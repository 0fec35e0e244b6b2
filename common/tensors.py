"""Small constant tensors, made once for each device: to make one anew is to wait until a GPU has done all its work."""

from functools import cache

import torch


@cache
def constant(values: tuple, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor of these values, the same one at every call: not to be written to."""
    return torch.tensor(values, dtype=dtype, device=device)


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device. On its way to a GPU it lies in pinned memory, and nobody waits until it is there."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
