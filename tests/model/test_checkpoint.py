"""Checkpoints: round trips, released forms, and everything that must be refused."""

import copy
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.model.checkpoint import (
    load_lifter,
    plain_weights,
    read_checkpoint,
    save_checkpoint,
    weights_hash,
)
from common.model.lifter import Lifter
from common.model.lora import LoRALinear, add_lora
from common.model.mixste import MixSTE

T, J, H = 3, 17, 2
PREFIX = "pose_estimator."
NAME = PREFIX + "TTEblocks.1.attn.qkv.weight"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of some malformed files, then refuses


def make_lifter(seed: int = 0, **sizes: int) -> Lifter:
    torch.manual_seed(seed)
    return Lifter(MixSTE(**({"frames": T, "joints": J, "channels": 16, "depth": 2} | sizes))).eval()


def with_lora(lifter: Lifter, scale: float = 1.0) -> Lifter:
    lifter = copy.deepcopy(lifter)
    add_lora(lifter.denoiser, 2, scale)
    with torch.no_grad():
        for module in lifter.modules():
            if isinstance(module, LoRALinear):
                module.lora_up.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(3))
    return lifter.eval()


def prediction(lifter: Lifter) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    x_2d, x_3d = torch.randn(2, T, J, 2, generator=rng), torch.randn(2, H, T, J, 3, generator=rng)
    with torch.no_grad():
        return lifter.denoise(x_2d, x_3d, torch.tensor([5, 900]))


def released(lifter: Lifter, prefix: str = "module.") -> dict:
    """The content of a D3DP checkpoint, numpy's random state and schedule buffers included."""
    weights = OrderedDict((f"{prefix}{PREFIX}{name}", x.clone()) for name, x in lifter.denoiser.state_dict().items())
    weights[prefix + "betas"] = torch.zeros(1000, dtype=torch.float64)
    weights[prefix + "alphas_cumprod"] = torch.zeros(1000, dtype=torch.float64)
    return {
        "epoch": 7,
        "lr": 6e-5,
        "random_state": np.random.RandomState(1234),
        "optimizer": None,
        "model_pos": weights,
    }


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return make_lifter()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.bin"


def refused(path: Path, load: Callable[[Path], object] = load_lifter) -> str:
    """The one line a file is refused with, which names the file."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


# Round trips.


@pytest.mark.parametrize("sizes", [{}, {"mlp_width": 20}, {"heads": 4, "channels": 12}, {"frames": T, "depth": 1}])
def test_round_trip(path, sizes):
    lifter = make_lifter(1, **sizes)
    save_checkpoint(path, lifter, 3, 0.5, {"stage": "x"}, training={"history": [1.0]})
    loaded = load_lifter(path)
    assert torch.equal(prediction(loaded), prediction(lifter))
    assert weights_hash(loaded) == weights_hash(lifter)
    assert not loaded.training and all(p.requires_grad for p in loaded.parameters())
    content = torch.load(path, weights_only=True)
    assert (content["epoch"], content["lr"], content["about"]) == (3, 0.5, {"stage": "x"})
    assert content["training"] == {"history": [1.0]}


def test_diffusion_settings_are_kept(path):
    lifter = Lifter(make_lifter().denoiser, timesteps=70, scale=0.5, prior_error=0.1)
    save_checkpoint(path, lifter, 1, 0.1, {})
    loaded = load_lifter(path)
    assert (loaded.diffusion.timesteps, loaded.diffusion.scale, len(loaded.diffusion.alpha_bar)) == (70, 0.5, 70)
    assert loaded.prior_error == 0.1
    content = torch.load(path, weights_only=True)
    del content["config"]["prior_error"]  # as in files of before, and in released ones
    torch.save(content, path)
    assert load_lifter(path).prior_error == 0


@pytest.mark.parametrize(("virtual_camera", "deterministic"), [(True, False), (False, True), (True, True)])
def test_how_a_lifter_looks_and_draws_is_kept(path, virtual_camera, deterministic):
    denoiser = make_lifter().denoiser
    save_checkpoint(path, Lifter(denoiser, virtual_camera=virtual_camera, deterministic=deterministic), 1, 0.1, {})
    stored = torch.load(path, weights_only=True)["config"]
    assert (stored["virtual_camera"], stored["deterministic"]) == (virtual_camera, deterministic)
    loaded = load_lifter(path)
    assert (loaded.virtual_camera, loaded.deterministic) == (virtual_camera, deterministic)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_lifter_with_lora_is_saved_merged(lifter, path, scale):
    adapted = with_lora(lifter, scale)
    save_checkpoint(path, adapted, 1, 0.1, {})
    loaded = load_lifter(path)
    torch.testing.assert_close(prediction(loaded), prediction(adapted), atol=1e-5, rtol=0)
    assert (prediction(loaded) - prediction(lifter)).abs().max() > 1e-2
    assert loaded.state_dict().keys() == lifter.state_dict().keys()
    assert all(p.requires_grad for p in loaded.parameters())
    assert plain_weights(adapted.denoiser).keys() == lifter.denoiser.state_dict().keys()
    assert weights_hash(adapted) == weights_hash(loaded)


def test_saving_draws_no_random_numbers(lifter, path):
    # Resuming starts from the state before the save: a run that goes on must be in the same one.
    adapted, state = with_lora(lifter), torch.get_rng_state()
    save_checkpoint(path, adapted, 1, 0.1, {})
    assert torch.equal(torch.get_rng_state(), state)


def test_the_hash_tells_weights_apart(lifter):
    other = copy.deepcopy(lifter)
    assert weights_hash(other) == weights_hash(lifter)
    with torch.no_grad():
        other.denoiser.head[1].bias[0] += 1e-6
    assert weights_hash(other) != weights_hash(lifter)


def test_a_failed_write_leaves_the_old_file(lifter, path):
    save_checkpoint(path, lifter, 1, 0.1, {})
    before = path.read_bytes()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        save_checkpoint(path, make_lifter(9), 2, 0.1, {"cannot be written": lambda: None})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# Released and older files.


@pytest.mark.parametrize("prefix", ["", "module."])
def test_d3dp_form(lifter, path, prefix):
    torch.save(released(lifter, prefix), path)
    loaded = load_lifter(path)
    assert torch.equal(prediction(loaded), prediction(lifter))
    assert not loaded.virtual_camera and not loaded.deterministic


@pytest.mark.parametrize("heads", [4, 8])
def test_the_older_form(path, heads):
    """Its config has the heads by themselves, and neither a model's name nor sizes."""
    lifter = make_lifter(2, heads=heads, channels=48)
    save_checkpoint(path, Lifter(lifter.denoiser, timesteps=70, scale=0.5, virtual_camera=True), 1, 0.1, {})
    content = torch.load(path, weights_only=True)
    del content["config"]["model"], content["config"]["sizes"]
    content["config"]["heads"] = heads
    torch.save(content, path)
    loaded = load_lifter(path)
    assert type(loaded.denoiser) is MixSTE and loaded.denoiser.sizes == lifter.denoiser.sizes
    assert (loaded.diffusion.timesteps, loaded.diffusion.scale, loaded.virtual_camera) == (70, 0.5, True)
    loaded.virtual_camera = False
    assert torch.equal(prediction(loaded), prediction(lifter))
    content["config"]["heads"] = 12 - heads
    torch.save(content, path)
    assert not torch.equal(prediction(Lifter(load_lifter(path).denoiser)), prediction(lifter))  # the heads were read


@pytest.mark.parametrize("config", [{"gpus": 8, "scale": 0.5}, {"scale": 0.5, "lifter": None}])
def test_what_a_config_says_beside_is_left_alone(lifter, path, config):
    torch.save(released(lifter) | {"config": config}, path)
    assert load_lifter(path).diffusion.scale == 0.5


def test_random_state_under_numpy_1_names(lifter, path):
    torch.save(released(lifter), path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            assert not name.endswith("data.pkl") or b"cnumpy._core.multiarray\n" in data
            new.writestr(name, data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    path.write_bytes(buffer.getvalue())
    trusted = torch.serialization.get_safe_globals()
    content = read_checkpoint(path)
    assert not isinstance(content["random_state"], np.random.RandomState)  # a stand-in: numpy's is never built
    assert torch.equal(prediction(load_lifter(path)), prediction(lifter))
    assert set(torch.serialization.get_safe_globals()) == set(trusted)  # nothing stays let through


def posynda(lifter: Lifter) -> dict:
    """The content of a PoSynDA checkpoint: LoRA in place beside the base, scale 1, and a refiner."""
    content = released(lifter)
    content["model_weight"] = OrderedDict({"pos": torch.zeros(3)})
    return content


def test_posynda_form_is_merged(lifter, path, capsys):
    adapted = with_lora(lifter)
    torch.save(posynda(adapted), path)
    keys = torch.load(path, weights_only=False)["model_pos"].keys()
    assert {
        f"module.{PREFIX}STEblocks.0.attn.qkv.{x}" for x in ("linear.weight", "linear.bias", "lora_up.weight")
    } <= keys
    loaded = load_lifter(path)
    torch.testing.assert_close(prediction(loaded), prediction(adapted), atol=1e-5, rtol=0)
    assert (prediction(loaded) - prediction(lifter)).abs().max() > 1e-2
    assert not any(isinstance(module, LoRALinear) for module in loaded.modules())
    said = capsys.readouterr().out
    assert "model_weight" in said and "left out" in said


@pytest.mark.parametrize("part", ["linear.weight", "linear.bias", "lora_up.weight", "lora_down.weight"])
def test_posynda_form_with_a_part_missing_or_misshapen(lifter, path, part):
    layer = f"{PREFIX}TTEblocks.1.attn.proj"
    content = posynda(with_lora(lifter))
    tensor = content["model_pos"].pop(f"module.{layer}.{part}")
    torch.save(content, path)
    assert "TTEblocks.1.attn.proj" in (message := refused(path)) and "missing" in message
    for wrong in (tensor[1:], tensor[0], tensor[..., :-1]):
        content["model_pos"][f"module.{layer}.{part}"] = wrong.clone()
        torch.save(content, path)
        assert "TTEblocks.1.attn.proj" in refused(path)


@pytest.mark.parametrize("extra", ["weight", "bias", "lora_up.bias", "lora_mid.weight"])
def test_posynda_form_with_a_tensor_too_many(lifter, path, extra):
    content = posynda(with_lora(lifter))
    content["model_pos"][f"module.{PREFIX}TTEblocks.1.attn.proj.{extra}"] = torch.zeros(16)
    torch.save(content, path)
    assert f"TTEblocks.1.attn.proj.{extra}" in refused(path)


# Refusals.


def broken(lifter: Lifter, path: Path, change: Callable[[dict], object]) -> str:
    content = released(lifter, "")
    change(content["model_pos"])
    torch.save(content, path)
    return refused(path)


def test_every_missing_tensor_is_named(lifter, path):
    for name in map(PREFIX.__add__, lifter.denoiser.state_dict()):
        message = broken(lifter, path, lambda weights, name=name: weights.pop(name))
        assert "missing" in message and name in message


@pytest.mark.parametrize("extra", [PREFIX + "STEblocks.0.gate.weight", PREFIX + "pos", "refiner.weight"])
def test_an_extra_tensor_is_named(lifter, path, extra):
    message = broken(lifter, path, lambda weights: weights.update({extra: torch.zeros(2)}))
    assert extra in message and "does not belong" in message


def test_a_block_far_away_does_not_make_a_deep_model(lifter, path):
    name = PREFIX + "STEblocks.99999999.norm1.weight"
    assert "STEblocks" in broken(lifter, path, lambda weights: weights.update({name: torch.zeros(16)}))


@pytest.mark.slow
def test_every_misshapen_tensor_is_refused(lifter, path):
    for name, value in released(lifter, "")["model_pos"].items():
        if not name.startswith(PREFIX):
            continue
        for wrong in (value[..., :-1].clone(), value[None].clone()):
            message = broken(lifter, path, lambda weights, name=name, wrong=wrong: weights.update({name: wrong}))
            assert "expected" in message or "do not divide" in message
    message = broken(lifter, path, lambda weights: weights.update({NAME: weights[NAME][1:]}))
    assert NAME in message and "(47, 16)" in message and "(48, 16)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(lifter, path, value):
    message = broken(lifter, path, lambda weights: weights[NAME].view(-1)[5:6].fill_(value))
    assert NAME in message and "NaN or infinity" in message


@pytest.mark.parametrize(
    "value",
    [3.0, "text", None, [1.0], np.zeros(3), torch.zeros(48, 16, dtype=torch.int64), torch.zeros(48, 16).to_sparse()],
)
def test_a_value_that_is_no_dense_tensor_is_named(lifter, path, value):
    assert NAME in broken(lifter, path, lambda weights: weights.update({NAME: value}))


@pytest.mark.parametrize(
    "config",
    [
        {"heads": 0}, {"heads": "8"}, {"heads": 3}, {"timesteps": -1}, {"timesteps": 10**13}, {"scale": 0.0},
        {"virtual_camera": 1}, {"virtual_camera": None}, {"deterministic": "no"}, {"deterministic": 0.0},
        {"prior_error": -0.1}, {"prior_error": "0.1"}, {"prior_error": float("nan")},
        {"prior_error": 0.1, "deterministic": True},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_is_refused(lifter, path, config):
    torch.save(released(lifter) | {"config": config}, path)
    assert str(next(iter(config.values()))) in refused(path)


class Payload:
    """Runs a command where it is unpickled without care."""

    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("place", ["top", "optimizer", "model_pos", "plain pickle", "legacy"])
def test_a_malicious_pickle_is_refused_and_not_run(lifter, path, place):
    marker = path.parent / "marker"
    payload, content = Payload(os.mkdir, str(marker)), released(lifter)
    if place == "model_pos":
        content["model_pos"]["x"] = payload
    elif place == "optimizer":
        content["optimizer"] = payload
    else:
        content = payload
    if place == "plain pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=place != "legacy")
    message = refused(path)
    assert "refused" in message
    if place != "plain pickle":  # newer pickle protocols are refused before the name is reached
        assert "mkdir" in message
    assert not marker.exists()
    torch.load(path, weights_only=False) if place != "plain pickle" else pickle.loads(path.read_bytes())
    assert marker.exists()  # it was a live payload


def test_the_stand_in_for_numpy_lends_no_power(lifter, path):
    # The names let through must not become a way to numpy's own constructors or to anything callable.
    marker = path.parent / "marker"
    for content in (
        {"x": Payload(np.array, [1.0])},
        {"x": Payload(np.load, str(marker))},
        {"x": Payload(eval, f"__import__('os').mkdir({str(marker)!r})")},
    ):
        torch.save(released(lifter) | content, path)
        assert "refused" in refused(path)
    torch.save(released(lifter) | {"x": np.ones(3), "y": np.float64(2)}, path)
    content = read_checkpoint(path)
    assert not isinstance(content["x"], np.ndarray) and not isinstance(content["y"], float)
    assert not marker.exists()


def test_damaged_files(lifter, path):
    torch.save(released(lifter), path)
    whole = path.read_bytes()
    for data in (b"", b"\0", whole[: len(whole) // 2], whole[:-1], whole[1:], b"just some text\n", b"\x80\x02}.", b"."):
        path.write_bytes(data)
        refused(path)


@pytest.mark.slow
def test_any_changed_byte_loads_or_is_refused(lifter, path):
    torch.save({"model_pos": OrderedDict(released(lifter)["model_pos"])}, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        data = bytearray(members[pickled])
        data[rng.integers(len(data))] = rng.integers(256)
        with zipfile.ZipFile(path, "w") as file:
            for name, value in members.items():
                file.writestr(name, bytes(data) if name == pickled else value)
        try:
            load_lifter(path)
            outcomes.add("loaded")
        except InputError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_not_a_file(tmp_path):
    assert "no such checkpoint" in refused(tmp_path)
    assert "no such checkpoint" in refused(tmp_path / "absent.bin")


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(2), {}, {"state_dict": {}, 3: 1}, {"model_pos": [1]}])
def test_not_a_checkpoint(path, content):
    torch.save(content, path)
    assert "model_pos" in refused(path)


@pytest.mark.parametrize("content", [{"model_pos": {}}, {"model_pos": {3: torch.zeros(2)}}])
def test_nothing_of_a_lifter(path, content):
    torch.save(content, path)
    refused(path)
