"""The temporal-convolution denoiser: what it sees, its checkpoints, and what it is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import InputError
from common.geometry.skeleton import MPI_3DHP_17
from common.model import tcn
from common.model.checkpoint import load_lifter, save_checkpoint, weights_hash
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.tcn import TCN, TemporalBlock

B, H, T, J = 2, 3, 9, 17
SIZES = {"frames": T, "joints": J, "channels": 16, "depth": 2}


def make_lifter(**sizes: int) -> Lifter:
    torch.manual_seed(0)
    return Lifter(TCN(**(SIZES | sizes))).eval()


def inputs(frames: int = T, hypotheses: int = H) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    x_2d = torch.randn(B, frames, J, 2, generator=rng)
    return x_2d, torch.randn(B, hypotheses, frames, J, 3, generator=rng), torch.tensor([5, 900])


def shifted(lifter: Lifter, change: int) -> torch.Tensor:
    """(B, H, T) how far the prediction moves when the input of this number is changed in clip 0's first frame."""
    given = inputs()
    moved = [x.clone() for x in given]
    moved[change][0, ..., :1, 0, :] += 0.1  # in every hypothesis
    return (lifter.denoise(*moved) - lifter.denoise(*given)).abs().amax((-1, -2))


@pytest.mark.parametrize("frames", [1, 9, 27])
@pytest.mark.parametrize("hypotheses", [1, 4])
def test_the_poses_have_the_shape_of_the_noisy_ones(frames, hypotheses):
    lifter = make_lifter(frames=frames, depth=4)
    x_2d, x_3d, t = inputs(frames, hypotheses)
    found = lifter.denoise(x_2d, x_3d, t)
    assert found.shape == (B, hypotheses, frames, J, 3) and found.isfinite().all()
    assert lifter.sample(x_2d, hypotheses, 2).shape == (B, 2, hypotheses, frames, J, 3)


@pytest.mark.parametrize("change", [0, 1], ids=["2D", "noisy pose"])
def test_the_2d_and_the_noisy_pose_matter_to_the_frames_within_reach(change):
    moved = shifted(make_lifter(), change)
    assert (moved[0, :, :5] > 0).all()  # dilations 1 and 3 reach four frames
    assert moved[0, :, 5:].max() < 1e-5 and moved[1].max() < 1e-5


def test_the_time_matters():
    lifter, (x_2d, x_3d, t) = make_lifter(), inputs()
    found, later = lifter.denoise(x_2d, x_3d, t), lifter.denoise(x_2d, x_3d, t + torch.tensor([50, 0]))
    assert ((later - found)[0].abs().amax((-1, -2)) > 0).all()
    torch.testing.assert_close(later[1], found[1])


def test_hypotheses_do_not_see_each_other():
    lifter, (x_2d, x_3d, t) = make_lifter(), inputs()
    found = lifter.denoise(x_2d, x_3d, t)
    for h in range(H):
        torch.testing.assert_close(lifter.denoise(x_2d, x_3d[:, h : h + 1], t), found[:, h : h + 1])
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-3


def test_the_edges_of_a_clip_are_like_its_middle():
    """Padded with the outermost frames, a clip that stands still has one pose."""
    x_2d, x_3d, t = inputs()
    found = make_lifter(depth=4).denoise(x_2d[:, :1].expand(B, T, J, 2), x_3d[:, :, :1].expand(B, H, T, J, 3), t)
    torch.testing.assert_close(found, found[:, :, :1].expand_as(found), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("frames", "dilations"), [(1, [1] * 5), (9, [1, 3, 1, 3, 1]), (27, [1, 3, 9, 1, 3])])
def test_dilations_grow_as_far_as_the_clip(frames, dilations):
    denoiser = TCN.build(frames, J, 16, 5, drop_path=0.1)
    assert [block.dilation for block in denoiser.blocks] == dilations
    assert denoiser.sizes == {"frames": frames, "joints": J, "channels": 16, "depth": 5}
    assert (denoiser.channels, denoiser.depth, denoiser.clip_values) == (16, 5, frames * 16)


def test_every_weight_is_trained_and_dropout_acts_only_then():
    lifter = make_lifter()
    lifter.denoise(*inputs()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in lifter.parameters())
    assert torch.equal(lifter.denoise(*inputs()), lifter.denoise(*inputs()))
    assert not torch.equal(lifter.train().denoise(*inputs()), lifter.denoise(*inputs()))


def test_what_only_a_transformer_can_is_refused():
    denoiser = make_lifter().denoiser
    with pytest.raises(InputError, match="--lora: TCN has no layers"):
        add_lora(denoiser, 2)
    assert all(p.requires_grad for p in denoiser.parameters())  # nothing was frozen before
    with pytest.raises(InputError, match="TCN: cannot be put into another joint order"):
        denoiser.reorder_joints(MPI_3DHP_17)


# Checkpoints.


def test_round_trip(tmp_path):
    lifter = make_lifter(frames=27, depth=4)
    save_checkpoint(tmp_path / "a.bin", lifter, 1, 0.1, {})
    loaded = load_lifter(tmp_path / "a.bin")
    assert type(loaded.denoiser) is TCN and loaded.denoiser.sizes == lifter.denoiser.sizes
    assert torch.equal(loaded.denoise(*inputs(27)), lifter.denoise(*inputs(27)))
    assert weights_hash(loaded) == weights_hash(lifter) and not loaded.training


def refused(folder: Path, **config: Any) -> str:
    """The one line a checkpoint is refused with whose config was changed after it was written."""
    save_checkpoint(folder / "a.bin", make_lifter(), 1, 0.1, {})
    content = torch.load(folder / "a.bin", weights_only=True)
    content["config"] |= config
    torch.save(content, folder / "a.bin")
    with pytest.raises(InputError, match=str(folder / "a.bin")) as caught:
        load_lifter(folder / "a.bin")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("model", ["resnet", "", None, 3, ["tcn"], torch.zeros(2, 2)])
def test_an_unknown_model_is_refused(tmp_path, model):
    assert "expected one of mixste, tcn" in refused(tmp_path, model=model)


@pytest.mark.parametrize("forged", [{"channels": 2**19}, {"joints": 2**19}, {"frames": 2**62}, {"depth": 1}])
def test_sizes_that_are_not_the_weights_are_refused(tmp_path, forged):
    refused(tmp_path, sizes=SIZES | forged)  # had anything been allocated, it would have been terabytes


def test_a_forged_depth_is_refused_before_so_many_blocks_are_built(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(tcn, "TemporalBlock", lambda *sizes: built.append(sizes) or TemporalBlock(*sizes))
    refused(tmp_path, sizes=SIZES | {"depth": 3000})
    assert len(built) < 100


WRONG = [{"heads": 8}, {"depth": 2.0}, {"joints": 0}, {"joints": -17}, {"depth": True}, {"channels": None}, {1: 2}]


@pytest.mark.parametrize("sizes", [None, {}, [T, J], {"frames": T}, torch.zeros(2, 2), *(SIZES | x for x in WRONG)])
def test_sizes_that_cannot_be_are_refused(tmp_path, sizes):
    assert "sizes" in refused(tmp_path, sizes=sizes)
