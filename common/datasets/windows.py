"""Sequences to windows of a fixed number of frames, and exactly back."""

import torch


def window_indices(length: int, frames: int) -> torch.Tensor:
    """Which frames make up each window of a sequence.

    Windows follow one another without overlap; the last one is aligned to the sequence's end. A sequence shorter
    than a window repeats its last frame.

    Args:
        length: frames in the sequence, at least 1.
        frames: frames in a window.

    Returns:
        (W, frames) int64, W = ceil(length / frames).
    """
    if length < 1 or frames < 1:
        raise ValueError(f"a sequence of {length} frames cannot be cut into windows of {frames}")
    starts = torch.arange(0, length, frames)
    starts[-1] = max(length - frames, 0)
    return (starts[:, None] + torch.arange(frames)).clamp(max=length - 1)


def split(sequence: torch.Tensor, frames: int) -> torch.Tensor:
    """(F, ...) -> (W, frames, ...), see `window_indices`."""
    return sequence[window_indices(len(sequence), frames)]


def stitch(windows: torch.Tensor, length: int) -> torch.Tensor:
    """The inverse of `split`: (W, frames, ...) -> (length, ...). A frame in two windows comes from the first."""
    indices = window_indices(length, windows.shape[1])
    if len(indices) != len(windows):
        raise ValueError(f"{length} frames make {len(indices)} windows of {windows.shape[1]}, not {len(windows)}")
    if len(windows) == 1:
        return windows[0, :length]
    fresh = length - (len(windows) - 1) * windows.shape[1]  # frames only the last window has
    return torch.cat([windows[:-1].flatten(0, 1), windows[-1, -fresh:]])
