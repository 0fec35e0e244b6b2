"""Checkpoints: one schema, written and read here; released D3DP and PoSynDA files are read too.

A checkpoint is a dict of tensors and plain values: `epoch`, `lr`, `optimizer`, `model_pos` (the lifter's weights under
`pose_estimator.`, plain even when they were trained with LoRA) as in D3DP, and our own `config` (what the weights do
not tell: heads, timesteps, scale), `about` (stage, data, whether synthetic, seed) and `training` (what resuming needs).
"""

import contextlib
import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import LFS, atomic_write
from .denoiser import Denoiser, shown
from .lifter import Lifter
from .lora import LoRALinear
from .mixste import ESTIMATOR
from .open import open_checkpoint
from .registry import DEFAULT, DENOISERS, name_of

# What released checkpoints hold beside the denoiser: numbers of the schedule, recomputed here.
_SCHEDULE_BUFFERS = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
}  # fmt: skip
_REFINER = "model_weight"  # a second network in released PoSynDA checkpoints, not part of the lifter
_LORA_PARTS = ("linear.weight", "lora_up.weight", "lora_down.weight")
# What a pickled numpy RandomState or scalar asks for, by the names numpy has given these over time.
_NUMPY_NAMES = (
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._mt19937.MT19937", "numpy.random.__RandomState_ctor", "numpy.ndarray", "numpy.dtype",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
)  # fmt: skip


class _Ignored:
    """Stands in for numpy objects in released checkpoints (`random_state`), which nothing here needs."""

    def __init__(self, *arguments: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _numpy_ignored() -> contextlib.AbstractContextManager:
    """While open, `torch.load` reads numpy objects as stand-ins; before torch 2.5 it refuses them."""
    stand_ins: list[Any] = []
    for module, name in (full.rsplit(".", 1) for full in _NUMPY_NAMES):
        stand_ins.append(type(name, (_Ignored,), {"__module__": module}))
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    return torch.serialization.safe_globals(stand_ins)


def save_checkpoint(
    path: Path,
    lifter: Lifter,
    epoch: int,
    lr: float,
    about: dict[str, Any],
    optimizer: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> None:
    """Write a lifter, LoRA merged, and what goes with it. The file appears whole or not at all.

    Args:
        about: plain values that say where the weights come from.
        optimizer, training: state for resuming, tensors and plain values only.
    """
    content = {
        "epoch": epoch,
        "lr": lr,
        "optimizer": optimizer,
        "model_pos": {ESTIMATOR + name: value.cpu() for name, value in plain_weights(lifter.denoiser).items()},
        "config": {
            "model": name_of(lifter.denoiser),
            "sizes": lifter.denoiser.sizes,
            "timesteps": lifter.diffusion.timesteps,
            "scale": lifter.diffusion.scale,
            "virtual_camera": lifter.virtual_camera,
            "deterministic": lifter.deterministic,
            "prior_error": lifter.prior_error,
        },
        "about": about,
        "training": training,
    }
    with atomic_write(path) as partial:
        torch.save(content, partial)


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """The content of a checkpoint file, tensors on the CPU. Code in the file is never run.

    The `random_state` of released checkpoints (a numpy object) is read as an empty stand-in.

    Raises:
        InputError: no such file, not a checkpoint, or a file that carries anything but tensors and plain values.
    """
    path = Path(path)
    content = read_plain(path, "checkpoint")
    if isinstance(content, dict) and any(_names_a_weight(name) for name in content):
        print(f"{path}: a bare state dict, taken to be of a released model (scale 1, no virtual camera)")
        content = {"model_pos": content}
    if not isinstance(content, dict) or not isinstance(content.get("model_pos"), dict):
        raise InputError(f"{path}: expected a checkpoint with 'model_pos', found {_outline(content)}")
    about = content.get("about")
    if about is not None and not isinstance(about, dict):
        raise InputError(f"{path}: its 'about' is {shown(about)}, expected names and values; copy or make it again")
    return content


def read_plain(path: Path, what: str) -> Any:
    """What `torch.save` wrote, tensors on the CPU and plain values only; code in the file is never run.

    Args:
        what: it should be, for errors.

    Raises:
        InputError: no such file, a damaged one, or one that carries anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such {what}")
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise InputError(f"{path}: a Git LFS pointer, not the file itself; run git lfs pull")
    try:
        with _numpy_ignored():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"(?:GLOBAL|Unsupported global|global) '?([\w.]+)", str(error))
        found = f"it asks for {culprit[1]}" if culprit else "it cannot be read as tensors and plain values"
        raise InputError(f"{path}: refused, {found}; nothing in it was run; use a file you trust") from None
    except Exception as error:  # malformed bytes can fail anywhere in the unpickler
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: no {what}, or a damaged one ({reason}); copy or make it again") from None


def _names_a_weight(name: object) -> bool:
    return isinstance(name, str) and name.removeprefix("module.").startswith(ESTIMATOR)


def _outline(content: object) -> str:
    """What a file holds, in a few words."""
    if not isinstance(content, dict):
        return type(content).__name__
    names = sorted(map(shown, content))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more or "nothing"


def plain_weights(denoiser: Denoiser) -> dict[str, torch.Tensor]:
    """The denoiser's state dict with low-rank updates folded in: the names of a denoiser that never had any."""
    weights: dict[str, torch.Tensor] = {}
    for name, module in denoiser.named_modules():
        if isinstance(module, LoRALinear):
            weights |= {f"{name}.{key}": value for key, value in module.merged().state_dict().items()}
    rest = {name: value for name, value in denoiser.state_dict().items() if not _in_lora(name)}
    return {name: value.detach() for name, value in (rest | weights).items()}


def _in_lora(name: str) -> bool:
    return any(part in name for part in (".linear.", ".lora_up.", ".lora_down."))


def _merge_released_lora(weights: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Fold `x.linear`, `x.lora_up`, `x.lora_down` (scale 1, as released) into `x`."""
    merged = {name: value for name, value in weights.items() if not _in_lora(name)}
    layers = {
        name.split(part)[0] for part in (".linear.", ".lora_up.", ".lora_down.") for name in weights if part in name
    }
    for layer in sorted(layers):
        parts = [f"{layer}.{part}" for part in _LORA_PARTS]
        merged[f"{layer}.weight"] = _folded(parts, weights, 1.0, path)
        if f"{layer}.linear.bias" in weights:
            merged[f"{layer}.bias"] = weights[f"{layer}.linear.bias"]
        known = {*parts, f"{layer}.linear.bias"}
        extra = [n for n in weights if n.startswith(f"{layer}.") and n not in known]
        if extra:
            raise InputError(f"{path}: its tensor {extra[0]} does not belong to a layer with a low-rank update")
    return merged


def _folded(names: list[str], tensors: dict[str, torch.Tensor], scale: float, path: Path) -> torch.Tensor:
    """The weight with its update, linear + scale * up @ down, from the three tensors named in that order."""
    for name in names:
        if name not in tensors:
            raise InputError(f"{path}: its tensor {name} is missing")
    linear, up, down = (tensors[name] for name in names)
    shapes = [tuple(x.shape) for x in (linear, up, down)]
    if any(len(shape) != 2 for shape in shapes) or shapes[1:] != [(shapes[0][0], len(down)), (len(down), shapes[0][1])]:
        raise InputError(
            f"{path}: the shapes of {names[1]} {shapes[1]} and {names[2]} {shapes[2]} do not fit {names[0]} {shapes[0]}"
        )
    return linear + scale * (up @ down.to(up)).to(linear)


def _checked_tensors(tensors: dict[Any, Any], path: Path) -> dict[str, torch.Tensor]:
    """The same dict, when names are text and values dense tensors of real numbers."""
    for name, value in tensors.items():
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not dense or not value.is_floating_point():
            kind = f"{value.dtype} {value.layout}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(f"{path}: {name} is {kind}, expected a dense tensor of real numbers")
    return tensors


def load_lifter(path: Path | str | None = None, device: str | torch.device = "cpu") -> Lifter:
    """A lifter from one of our checkpoints or a released D3DP or PoSynDA one, in evaluation mode.

    Without a path it is the open model, which comes with the project.

    Frames, joints, width, depth, MLP width and diffusion steps are read from the weights. The joint refiner of
    released PoSynDA checkpoints is left out, with a line that says so.

    Raises:
        InputError: see `read_checkpoint`; or a tensor is missing, extra, misshapen or not finite, named.
    """
    path = open_checkpoint() if path is None else Path(path)
    content = read_checkpoint(path)
    if _REFINER in content:
        print(f"{path}: its '{_REFINER}' (a joint refiner) is not part of the lifter and is left out")
    tensors = _checked_tensors(content["model_pos"], path)
    named = {name.removeprefix("module."): value for name, value in tensors.items()}
    for name in named:
        if not name.startswith(ESTIMATOR) and name not in _SCHEDULE_BUFFERS:
            raise InputError(f"{path}: its tensor {name} does not belong to a lifter")
    weights = {name.removeprefix(ESTIMATOR): v for name, v in named.items() if name.startswith(ESTIMATOR)}
    weights = _merge_released_lora(weights, path)

    stored = content.get("config")
    given: dict[str, Any] = stored if isinstance(stored, dict) else {}
    timesteps = named["betas"].numel() if "betas" in named else 1000
    config: dict[str, Any] = {"timesteps": timesteps, "scale": 1.0, "virtual_camera": False, "deterministic": False}
    config["prior_error"] = 0.0
    config |= {name: value for name, value in given.items() if name in config}
    for name, kinds in (("timesteps", int), ("scale", (int, float))):
        if not isinstance(config[name], kinds) or not 0 < config[name] < 2**20:
            raise InputError(f"{path}: its config has {name} {shown(config[name])}, expected a number above zero")
    error = config["prior_error"]
    if type(error) not in (int, float) or not 0 <= error < 2**20 or (error and config["deterministic"] is True):
        raise InputError(f"{path}: its config has prior_error {shown(error)}, expected metres, 0 for a regressor")
    for name in ("virtual_camera", "deterministic"):
        if not isinstance(config[name], bool):
            raise InputError(f"{path}: its config has {name} {shown(config[name])}, expected True or False")
    model = given.get("model", DEFAULT)
    if not isinstance(model, str) or model not in DENOISERS:
        raise InputError(f"{path}: its model is {shown(model)}, expected one of {', '.join(DENOISERS)}; update PoSynDA")
    return Lifter(_denoiser_with(DENOISERS[model], weights, given, path), **config).eval().to(device)


def _denoiser_with(
    kind: type[Denoiser], weights: dict[str, torch.Tensor], config: dict[str, Any], path: Path
) -> Denoiser:
    """A network of the size the file shows, with the file's weights. Nothing is allocated before the shapes agree."""
    sizes = kind.sizes_of(weights, config, str(path))
    try:
        with torch.device("meta"):
            denoiser = kind(**sizes)
    except TypeError:
        raise InputError(f"{path}: its config has sizes {shown(sizes)}, not those of {kind.__name__}") from None
    _check_exactly(denoiser, weights, path)
    denoiser.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return denoiser


def _check_exactly(module: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    expected = module.state_dict()
    for problem, names in (
        ("is missing", expected.keys() - weights.keys()),
        ("does not belong to a lifter of this size", weights.keys() - expected.keys()),
    ):
        if names:
            raise InputError(f"{path}: its tensor {ESTIMATOR}{min(names)} {problem}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise InputError(
                f"{path}: {ESTIMATOR}{name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            )
        if not torch.isfinite(value).all():
            raise InputError(f"{path}: {ESTIMATOR}{name} holds NaN or infinity")


def weights_hash(lifter: Lifter) -> str:
    """SHA-256 over the lifter's plain weights, name by name; the same however the file was written."""
    digest = hashlib.sha256()
    for name, value in sorted(plain_weights(lifter.denoiser).items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
