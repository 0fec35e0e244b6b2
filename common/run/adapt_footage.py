"""`lift.py --adapt`: the lifter learns the person in the file before it lifts them."""

import time
from pathlib import Path
from typing import Any

import torch

from ..datasets.h36m import H36MFiles
from ..datasets.h36m_checks import keypoint_names
from ..datasets.rates import fit_to_rate
from ..datasets.video import Dataset, LabelledVideo, Video
from ..errors import InputError
from ..footage.adapter import KnownPerson, save_adapter
from ..footage.adapting import UNITS, adapt
from ..footage.lifting import DETECTOR_NOISE, lift_person
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.bones import SourceBones
from ..reprojection.refinement import Refinement

EXACT = "gt"  # the name of keypoints without a detector's noise
SHORTEST = 1.5  # seconds of a person


def load_source(folder: Path, rate: float) -> Dataset[LabelledVideo]:
    """Labelled videos to learn from beside the person's own: everybody in a prepared folder.

    Raises:
        InputError: the folder holds no prepared data.
    """
    names = keypoint_names(folder)
    detected = [name for name in names if name != EXACT]
    files = H36MFiles(folder, (detected or [EXACT])[0])
    known = [subject for subject in files.subjects() if files.has_labels(subject)]
    if not known:
        raise InputError(f"--source {folder}: nobody in it has 3D; expected labelled people to learn from")
    return fit_to_rate(files.labelled(known), rate, "source")


def adapt_to_person(
    lifter: Lifter,
    refinement: Refinement | None,
    video: Video,
    source: Dataset[LabelledVideo] | None,
    rate: float,
    path: Path,
    about: dict[str, Any],
) -> tuple[Lifter, KnownPerson, list[str]]:
    """Adapt to a person, write the adapter, and say what it changed.

    Args:
        refinement: of the lifter; None where it is measured on the source, which then there must be.
        path: of the adapter. about: what goes into it.

    Returns:
        The lifter to use, the person, and lines for the user.

    Raises:
        InputError: the person is seen too shortly, or the adapter cannot be written.
    """
    begin = time.monotonic()
    if len(video) < SHORTEST * video.fps:
        raise InputError(
            f"--adapt: {video.subject} is seen for {len(video)} frames, {len(video) / video.fps:.1f} s, expected "
            f"{SHORTEST:g} s or more to learn from; leave the flag out"
        )
    if refinement is None:
        assert source is not None, "without a refinement there must be a source"
        thinned = [v.at_rate(rate) for v in source.videos]
        refinement = Refinement(SourceBones.measure(lifter, thinned), DETECTOR_NOISE, "limits")
    lengths = lift_person(lifter, video, rate, Sampling(1, 1), refinement).lengths
    assert lengths is not None
    with torch.enable_grad():
        found = adapt(lifter, refinement, [video], lengths, rate, source.videos if source else ())
    lines = [f"learnt from {source.provenance}"] if source else []
    for name, unit in UNITS.items():
        lines.append(f"{name} {found.before[name]:.1f} {unit} before adaptation, {found.after[name]:.1f} after")
    person = KnownPerson(refinement, lengths)
    if found.kept:
        save_adapter(path, lifter, found.lifter, person, about)
        lines.append(f"adapted in {time.monotonic() - begin:.0f} s; use {path.name} again by --adapter")
    else:
        lines.append("some score became worse: the lifter stays as it was, no adapter is written")
    return found.lifter, person, lines
