"""Sequences to windows and back."""

import pytest
import torch

from common.datasets.windows import split, stitch, window_indices


@pytest.mark.parametrize("frames", [1, 2, 9, 27])
def test_stitch_undoes_split(frames):
    for length in range(1, 4 * frames + 3):
        sequence = torch.randn(length, 2, 3)
        windows = split(sequence, frames)
        assert windows.shape == (-(-length // frames), frames, 2, 3)
        assert torch.equal(stitch(windows, length), sequence)


@pytest.mark.parametrize("frames", [1, 4, 9])
def test_every_frame_is_covered_in_order(frames):
    for length in range(1, 3 * frames + 3):
        indices = window_indices(length, frames)
        assert set(indices.flatten().tolist()) == set(range(length))
        steps = indices.diff(dim=1)
        assert ((steps == 1) | ((steps == 0) & (indices[:, 1:] == length - 1))).all()


def test_the_last_window_ends_with_the_sequence():
    assert window_indices(10, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert window_indices(8, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_short_sequence_repeats_its_last_frame():
    assert window_indices(2, 5).tolist() == [[0, 1, 1, 1, 1]]


def test_a_frame_in_two_windows_comes_from_the_first():
    windows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [-6, -7, 8, 9]])
    assert stitch(windows, 10).tolist() == list(range(10))


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="10 frames make 3 windows of 4, not 2"):
        stitch(torch.zeros(2, 4, 3), 10)
    for length, frames in ((0, 4), (4, 0)):
        with pytest.raises(ValueError, match=f"{length} frames cannot be cut into windows of {frames}"):
            window_indices(length, frames)
