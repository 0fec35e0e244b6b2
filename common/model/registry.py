"""The networks that `--model` names. Checkpoints store the name; files without one are MixSTE's."""

from .denoiser import Denoiser
from .mixste import MixSTE
from .tcn import TCN

DENOISERS: dict[str, type[Denoiser]] = {"mixste": MixSTE, "tcn": TCN}
DEFAULT = "mixste"


def name_of(denoiser: Denoiser) -> str:
    """The name a network is registered under."""
    return next(name for name, kind in DENOISERS.items() if type(denoiser) is kind)
