"""The open model: where the weights that come with the project lie, and whether they are whole."""

from pathlib import Path

from ..errors import InputError
from ..files import read_text, sha256

NAME = "open"  # what flags call it
WEIGHTS, DIGEST, CARD = "open.bin", "open.bin.sha256", "MODEL_CARD.md"
_PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (_PACKAGE.parent / "checkpoint" / NAME, _PACKAGE / NAME)  # in a checkout; when installed


def open_checkpoint() -> Path:
    """The open model's checkpoint, its SHA-256 compared with the one beside it.

    Raises:
        InputError: it is not there, or is not the file that was published.
    """
    folder = next((folder for folder in FOLDERS if (folder / WEIGHTS).is_file()), None)
    if folder is None:
        raise InputError(
            f"{FOLDERS[0] / WEIGHTS}: the open model is missing; get the whole project, or give a checkpoint"
        )
    path, stated = folder / WEIGHTS, folder / DIGEST
    expected = read_text(stated, "a SHA-256").split()[:1] if stated.is_file() else []
    found = sha256(path)
    if expected != [found]:
        wanted = expected[0][:12] if expected else f"one in {DIGEST}"
        raise InputError(f"{path}: SHA-256 {found[:12]}..., expected {wanted}...; not the published file, get it again")
    return path
