"""A motion in the kind of file that a name's ending asks for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import writing
from .page import write_page
from .track import Track
from .video import ENDINGS as FILMS
from .video import USUAL_HEIGHT, check_av, write_film

PAGE = ".html"
VIEWS = (PAGE, *FILMS)


def check_view(path: Path) -> None:
    """Raises `InputError` where a file of this name cannot be written: another ending, or a package is missing."""
    if path.suffix.lower() not in VIEWS:
        raise InputError(f"{path}: expected a name that ends in {', '.join(VIEWS)}, found {path.suffix!r}")
    if path.suffix.lower() == ".mp4":
        check_av(path)


def write_view(
    path: Path,
    tracks: Sequence[Track],
    fps: float,
    title: str,
    about: Sequence[str],
    pixels: np.ndarray | None = None,
    image_size: tuple[int, int] | None = None,
    height: int = USUAL_HEIGHT,
    start: float = 0.0,
) -> None:
    """A page (.html, see `write_page`) or a film (.gif, .mp4; .png of its first frame; see `write_film`).

    Raises:
        InputError: see `check_view`; or the file cannot be written.
    """
    check_view(path)
    with writing(path):
        if path.suffix.lower() == PAGE:
            write_page(path, tracks, fps, title, about, pixels, image_size)
        else:
            write_film(path, tracks, fps, title, about, pixels, image_size, height, start)
