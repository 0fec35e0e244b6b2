"""Low-rank adaptation: what it changes, what it trains, what it merges to."""

import copy

import pytest
import torch

from common.model.lora import LoRALinear, add_lora
from common.model.mixste import MixSTE

FRAMES, JOINTS, WIDTH, DEPTH, RANK = 3, 5, 16, 2, 4


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    x_2d = torch.randn(2, FRAMES, JOINTS, 2, generator=rng)
    return x_2d, torch.randn(2, 2, FRAMES, JOINTS, 3, generator=rng), torch.tensor([3, 700])


@pytest.fixture
def base() -> MixSTE:
    torch.manual_seed(0)
    return MixSTE(FRAMES, JOINTS, WIDTH, DEPTH).eval()


def adapted(base: MixSTE, scale: float = 1.0) -> MixSTE:
    """A copy whose updates have been moved away from zero."""
    model = copy.deepcopy(base)
    add_lora(model, RANK, scale)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoRALinear):
                module.lora_up.weight.normal_(std=0.2)
    return model


def test_step_zero_is_the_base(base):
    wanted = base(*inputs())
    add_lora(base, RANK)
    assert torch.equal(base(*inputs()), wanted)


def test_the_update_is_scaled_and_of_low_rank():
    torch.manual_seed(0)
    layer = LoRALinear(torch.nn.Linear(6, 9), 2, scale=0.5)
    torch.nn.init.normal_(layer.lora_up.weight)
    x = torch.randn(4, 6)
    wanted = layer.linear(x) + 0.5 * x @ layer.lora_down.weight.T @ layer.lora_up.weight.T
    torch.testing.assert_close(layer(x), wanted)
    torch.testing.assert_close(layer.merged()(x), wanted)
    assert torch.linalg.matrix_rank(layer.delta_weight()) == 2


def test_only_the_low_rank_matrices_of_attention_are_trained(base):
    frozen = {name: value.clone() for name, value in base.state_dict().items()}
    add_lora(base, RANK)
    trained = {name: p for name, p in base.named_parameters() if p.requires_grad}
    layers = {
        f"{kind}blocks.{i}.attn.{layer}" for kind in ("STE", "TTE") for i in range(DEPTH) for layer in ("qkv", "proj")
    }
    assert trained.keys() == {f"{name}.{part}.weight" for name in layers for part in ("lora_down", "lora_up")}
    # Per attention layer: rank * (C + 3 C) for qkv and rank * (C + C) for proj.
    assert sum(p.numel() for p in trained.values()) == 2 * DEPTH * RANK * 6 * WIDTH

    optimizer = torch.optim.AdamW(trained.values(), lr=0.1, weight_decay=0.1)
    start = {name: p.detach().clone() for name, p in trained.items()}
    for _ in range(2):  # lora_down has a gradient only once lora_up is not zero
        base(*inputs()).square().mean().backward()
        optimizer.step()
    assert all((p - start[name]).abs().max() > 0 for name, p in trained.items())
    for name, value in base.state_dict().items():
        if "lora_" not in name:
            assert torch.equal(value, frozen[name.replace(".linear.", ".")]), name


def test_merging_leaves_the_layer_as_it_was(base):
    model = adapted(base)
    layer = model.STEblocks[0].attn.qkv
    weight = layer.linear.weight.clone()
    layer.merged()
    assert torch.equal(layer.linear.weight, weight)


def test_the_gradients_are_those_of_the_formula():
    torch.manual_seed(0)
    layer = LoRALinear(torch.nn.Linear(4, 6), 2, scale=0.5).double()
    torch.nn.init.normal_(layer.lora_up.weight)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.lora_down.weight, layer.lora_up.weight))
    layer(x).square().sum().backward()
    assert layer.linear.weight.grad is None and layer.linear.bias.grad is None


def test_a_half_precision_pass_leaves_full_precision_gradients(base):
    model = adapted(base)
    full = model(*inputs())
    with torch.autocast("cpu", torch.bfloat16):
        half = model(*inputs())
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)
    half.float().square().sum().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() and p.grad.any() for p in trained)
