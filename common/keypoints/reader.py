"""What a module that reads a detector's format has to offer."""

from collections.abc import Callable
from dataclasses import dataclass

from .detections import Detections
from .source import Source


@dataclass(frozen=True)
class Asked:
    """What the user says beside the file.

    Attributes:
        size: (width, height) of the image, pixels. video: which one, of a file that holds several.
    """

    size: tuple[int, int] | None = None
    video: str | None = None


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        name: what the user calls it.
        recognises: whether the content looks like it. An `InputError` says that nobody can read it.
        read: reads it, whatever it is. Raises `InputError`.
        several: whether a file may hold several videos.
    """

    name: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source, Asked], Detections]
    several: bool = False


def never(source: Source) -> bool:
    """`recognises` of a format that content cannot tell from another one, so that the user must name it."""
    return False
