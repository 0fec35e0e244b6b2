"""Small constant tensors, made once for each device: to make one anew is to wait until a GPU has done all its work."""

from functools import cache

import torch


@cache
def constant(values: tuple, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor of these values, the same one at every call: not to be written to."""
    return torch.tensor(values, dtype=dtype, device=device)
