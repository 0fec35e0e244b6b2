"""The doctor: what lies in a data folder, what is wrong with it, and which script it is enough for."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..datasets.h36m import H36MFiles
from ..datasets.h36m_checks import FILE_2D, FILE_3D
from ..datasets.mpi_3dhp import TEST_FILE, TRAIN_FILE, load_3dhp_test, load_3dhp_train
from ..datasets.video import Dataset, LabelledVideo, Video
from ..errors import InputError
from ..files import sha256

H36M_FILES, MPI_3DHP_FILES = (FILE_3D, FILE_2D), (TRAIN_FILE, TEST_FILE)
SCRIPTS = {"h36m_transfer.py": (H36M_FILES,), "h36m_3dhp_transfer.py": (H36M_FILES, MPI_3DHP_FILES)}
COLUMNS = ("file", "who", "videos", "people", "cameras", "frames", "fps", "joints unseen", "3D")


@dataclass
class Check:
    """What was found.

    Attributes:
        files: a line per file. table: a row of `COLUMNS` per person or file. wrong: files that are there and cannot be
            used, one line each. notes: doubts. present, usable: the kinds of files, as `SCRIPTS` names them.
    """

    files: list[str] = field(default_factory=list)
    table: list[tuple[str, ...]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    usable: set[str] = field(default_factory=set)

    @property
    def well(self) -> bool:
        """Nothing is wrong, and every script one of whose own files is there has all it needs."""
        ready = {script: not self._lacking(script) for script in SCRIPTS}
        begun = [script for script, groups in SCRIPTS.items() if self.present & set(groups[-1])]
        return not self.wrong and ready["h36m_transfer.py"] and all(ready[script] for script in begun)

    def _lacking(self, script: str) -> list[str]:
        return [name.format("NAME") for group in SCRIPTS[script] for name in group if name not in self.usable]

    def text(self) -> str:
        """The report."""
        lines = list(self.files)
        if self.table:
            rows = [COLUMNS, *self.table]
            widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
            lines += ["", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)]
        lines += ["", *(f"wrong: {line}" for line in dict.fromkeys(self.wrong))]
        lines += [f"note: {line}" for line in dict.fromkeys(self.notes)]
        runs = "can run with what is not wrong above" if self.wrong else "can run"
        for script in SCRIPTS:
            lacking = self._lacking(script)
            lines.append(f"{script}: {'lacks a good ' + ', '.join(lacking) if lacking else runs}")
        return "\n".join(lines)


def check_folder(folder: Path) -> Check:
    """Read every file of a data folder as the scripts would.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    check = Check()
    start, end = FILE_2D.split("{}")
    names = sorted(path.name.removeprefix(start).removesuffix(end) for path in folder.glob(FILE_2D.format("*")))
    present = [FILE_3D, *(FILE_2D.format(name) for name in names), TRAIN_FILE, TEST_FILE]
    for name in present:
        path = folder / name
        if path.is_file():
            check.files.append(f"{name}: {path.stat().st_size / 1e6:.1f} MB, sha256 {sha256(path)[:12]}")
            check.present.add(FILE_2D if name in map(FILE_2D.format, names) else name)
        else:
            check.files.append(f"{name}: not there")
    if not names:
        check.files.append(f"{FILE_2D.format('NAME')}: none there")
    for name in names:
        _check_h36m(folder, name, check)
    if (folder / TRAIN_FILE).is_file():
        _try(check, lambda: _videos(check, TRAIN_FILE, "", _load_train(folder)))
    if (folder / TEST_FILE).is_file():
        _try(check, lambda: _videos(check, TEST_FILE, "", load_3dhp_test(folder)))
    return check


def _load_train(folder: Path) -> Dataset[LabelledVideo]:
    try:
        return load_3dhp_train(folder)
    except InputError as error:
        if "--target-intrinsics" not in str(error):
            raise
        data = load_3dhp_train(folder, "estimate")
        data.notes.insert(0, f"{folder / TRAIN_FILE}: stores no cameras: give --target-intrinsics estimate")
        return data


def _check_h36m(folder: Path, name: str, check: Check) -> None:
    """One set of keypoints beside the 3D: every subject with labels where it has any, without where not."""
    if not (folder / FILE_3D).is_file():
        check.wrong.append(f"{folder / FILE_2D.format(name)}: needs {FILE_3D} beside it for the source's labels")
        return
    files: list[H36MFiles] = []
    if not _try(check, lambda: files.append(H36MFiles(folder, name))):
        return
    for subject in files[0].subjects():
        has = files[0].has_labels(subject)
        read = partial(files[0].labelled if has else files[0].unlabelled, [subject])
        if _try(check, lambda: _videos(check, FILE_2D.format(name), subject, read())) and has:  # noqa: B023, used at once
            check.usable |= {FILE_3D, FILE_2D}


def _try(check: Check, step: Callable[[], object]) -> bool:
    """Whether a step went well; its error is kept."""
    try:
        step()
    except InputError as error:
        check.wrong.append(str(error))
        return False
    return True


def _videos(check: Check, file: str, who: str, data: Dataset) -> None:
    """A row on some videos, and their notes."""
    videos: Sequence[Video] = data.videos
    frames = sum(map(len, videos))
    unseen = sum(int((v.confidence == 0).sum()) for v in videos if v.confidence is not None)
    numbers = len(videos), len({v.subject for v in videos}), len({v.camera for v in videos}), frames
    rates = ", ".join(f"{fps:g}" for fps in sorted({v.fps for v in videos}))
    share = f"{unseen / (frames * videos[0].keypoints.shape[1]):.2%}"
    labels = "yes" if all(isinstance(v, LabelledVideo) for v in videos) else "no"
    check.table.append((file, who, *map(str, numbers), rates, share, labels))
    if data.synthetic:
        check.notes.append(f"{file}: SYNTHETIC, no person was recorded")
    check.notes += data.notes
    check.usable.add(file)


def main(words: Sequence[str] | None = None) -> None:
    """The command line: `python data/check.py [DIR]`. Exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description="Check the data files that the transfer scripts read.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data"), metavar="DIR", help="the files' folder")
    check = check_folder(parser.parse_args(words).folder)
    print(check.text())
    if not check.well:
        sys.exit(1)
