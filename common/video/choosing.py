"""Which detector finds the people of a video. To add one: a module with a `Detector`, and its line in `DETECTORS`."""

import importlib.util
from importlib import metadata

from ..errors import InputError
from ..keypoints.source import plain, shown
from . import mediapipe_pose, rtmlib_pose, ultralytics_pose
from .detector import Detector, Find

# The first one that is installed is used: several people and feet before several people before one person.
DETECTORS: dict[str, Detector] = {
    detector.name: detector for detector in (rtmlib_pose.DETECTOR, ultralytics_pose.DETECTOR, mediapipe_pose.DETECTOR)
}


def choose(name: str | None, place: str) -> Detector:
    """The detector of that name, or the first one that is installed.

    Args:
        place: the video, for the error.

    Raises:
        InputError: no such detector, or it is not installed, or none is.
    """
    if name is not None and name not in DETECTORS:
        raise InputError(f"--detector {shown(name)}: not known, expected one of {', '.join(DETECTORS)}")
    wanted = list(DETECTORS.values()) if name is None else [DETECTORS[name]]
    for detector in wanted:
        if importlib.util.find_spec(detector.module) is not None:
            return detector
    if name is not None:
        raise InputError(f"{place}: the detector {name} is not installed; {_pip(wanted[0])}")
    ways = " or ".join(_pip(detector) for detector in wanted)
    raise InputError(f"{place}: a video, and no detector that finds people in it is installed; {ways}")


def start(detector: Detector, place: str) -> Find:
    """Load a detector. Raises `InputError` where its package does not work or its weights are missing."""
    try:
        return detector.start()
    except ImportError as error:
        reason = f"is installed but does not work here ({_line(error)})"
        raise InputError(f"{place}: the detector {detector.name} {reason}; {_pip(detector)}") from error
    except OSError as error:
        others = ", ".join(name for name in DETECTORS if name != detector.name)
        reason = f"has no weights and could not download them ({_line(error)})"
        raise InputError(
            f"{place}: the detector {detector.name} {reason}; go online once, or take another --detector: {others}"
        ) from error


def version(detector: Detector) -> str:
    """Of the package, empty where it says none."""
    try:
        return metadata.version(detector.module)
    except metadata.PackageNotFoundError:
        return ""


def _pip(detector: Detector) -> str:
    return f"pip install {detector.install}"


def _line(error: Exception) -> str:
    return plain(next(iter(str(error).splitlines()), type(error).__name__))[:200]
