"""Reads what any known detector wrote. To add a format: a module with a `Reader`, and a line in `FORMATS`."""

from pathlib import Path

from ..errors import InputError
from . import alphapose, arrays, coco, deeplabcut, mediapipe_csv, mediapipe_json, mmpose, openpose, videopose3d, yolo
from .detections import Detections
from .reader import Asked, Reader
from .source import Source, listed, plain, shown

_LARGEST_SIZE = 100_000  # pixels

FORMATS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        alphapose.READER,
        openpose.READER,
        openpose.BODY_25,
        openpose.BODY_25B,
        mmpose.READER,
        coco.READER,
        yolo.READER,
        mediapipe_csv.READER,
        mediapipe_json.READER,
        deeplabcut.READER,
        videopose3d.READER,
        arrays.READER,
        arrays.H36M,
    )
}


def read_keypoints(
    path: Path, format: str | None = None, size: tuple[int, int] | None = None, video: str | None = None
) -> Detections:
    """Read the people that a detector found in a video.

    Args:
        path: the detector's file, or its folder of files, one a frame.
        format: a key of `FORMATS`; None finds it by the content.
        size: (width, height) of the image, pixels; needed where coordinates are from 0 to 1 and the file does not say.
        video: which one, of a file that holds several.

    Raises:
        InputError: it cannot be read, in one line.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"format {shown(format)}: not known, expected one of {', '.join(FORMATS)}")
    if size is not None and not (len(size) == 2 and all(type(n) is int and 0 < n <= _LARGEST_SIZE for n in size)):
        raise InputError(f"size {shown(size)}: expected width and height of the image in pixels, such as 1920x1080")
    try:
        source = Source(Path(path))
        reader = _find(source) if format is None else FORMATS[format]
        if video is not None and not reader.several:
            raise InputError(f"{source.place}: {reader.name} files hold one video, found {shown(video)}; leave it out")
        return reader.read(source, Asked(size, video))
    except (RecursionError, MemoryError) as error:
        raise InputError(
            f"{plain(path)}: expected keypoints, found more than fits the memory; is it one video"
        ) from error


def _find(source: Source) -> Reader:
    """The one reader that recognises it. Raises `InputError` where none or several do."""
    found = [reader for reader in FORMATS.values() if reader.recognises(source)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(reader.name for reader in found)
    if source.folder and found:
        raise InputError(
            f"{source.place}: expected files of one format, found {names}; keep them in folders of their own"
        )
    if found:
        raise InputError(f"{source.place}: may be {names}; say which with --format")
    mend = f"if it is one of {', '.join(FORMATS)}, say so with --format"
    raise InputError(f"{source.place}: expected what a detector writes, found {_summary(source)}; {mend}")


def _summary(source: Source) -> str:
    """What something unknown is, for an error."""
    if source.folder:
        inner = sorted(p.name for p in source.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        names = [path.name for path in source.files("")]
        held = f"files {listed(names, 3)}" if names else "no files"
        return f"a folder with {held}" + (f" and the folders {listed(inner, 3)}" if inner else "")
    if source.documents:
        document = source.documents[0][1]
        first = document[0] if isinstance(document, list) and document else document
        keys = f" with {listed(list(first))}" if isinstance(first, dict) else ""
        return f"JSON, a {type(document).__name__}{keys}" if document else "JSON that holds nothing"
    return f"a file that begins with {shown(source.head[:24])}"
