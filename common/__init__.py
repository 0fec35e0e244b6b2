"""PoSynDA as a library: lift 2D keypoints to 3D, adapt the model that does it.

    from common import Camera, lift, load_lifter  # in a checkout; `posynda` when installed
    lifter = load_lifter("checkpoint/best_epoch.bin")
    poses = lift(lifter, pixels, Camera(width=1920, height=1080, focal=1500), order="coco")  # (F, 17, 3) metres

Importing it loads nothing; each name is looked up when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .geometry.camera import Camera as Camera
    from .keypoints.read import read_keypoints as read_keypoints
    from .model.checkpoint import load_lifter as load_lifter
    from .model.lifter import Lifter as Lifter
    from .reprojection.lifting import lift as lift

_HOMES = {
    "Camera": ".geometry.camera",
    "Lifter": ".model.lifter",
    "lift": ".reprojection.lifting",
    "load_lifter": ".model.checkpoint",
    "read_keypoints": ".keypoints.read",
}
__all__ = ["Camera", "Lifter", "lift", "load_lifter", "read_keypoints"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
