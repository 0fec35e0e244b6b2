"""Human3.6M in VideoPose3D's npz layout: the only file that knows what these files look like."""

import re
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..files import sha256
from ..geometry.camera import Camera, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, convert
from .cameras_h36m import UNPLACED, h36m_cameras, h36m_subjects
from .h36m_checks import JOINTS, by_subject, check_metadata, check_poses, find_files, read_view
from .joint_order import check_pixels, check_points
from .keypoints import Keypoints
from .npz import describe, entry_names, read_label, read_object
from .open_layout import Rates, read_cameras
from .plausibility import check_videos
from .video import Dataset, LabelledVideo, Video

FRAME_RATE = 50  # of the motion capture and, after cutting, of the videos
UNLABELLED = "Human3.6M-layout files without a provenance entry (taken as the user's own)"
# The one video that releases of the data set are known to lack or to have damaged.
UNRELIABLE = ("S11", "Directions")


class H36MFiles:
    """`data_3d_h36m.npz` and `data_2d_h36m_<keypoints>.npz` of a folder (layout: VideoPose3D, DATASETS.md), or the open
    layout with cameras and rates of one's own, see `open_layout`.

    Both 3D with the 32 joints of the data set and with the 17 that move are understood. The 3D is read only for labels.

    Args:
        keypoints: whose 2D: gt, cpn_ft_h36m_dbb, ...
        fps: frames a second of files that do not say it.

    Attributes:
        provenance, synthetic, files: as in `Dataset`.

    Raises:
        InputError: a file is missing or is not what the layout says.
    """

    def __init__(self, data_dir: Path, keypoints: str, fps: float = FRAME_RATE):
        self.path_3d, self.path_2d = find_files(data_dir, keypoints)
        self._points = by_subject(read_object(self.path_3d, "positions_3d"), self.path_3d, "positions_3d")
        self._pixels = by_subject(read_object(self.path_2d, "positions_2d"), self.path_2d, "positions_2d")
        if "metadata" in entry_names(self.path_2d):
            check_metadata(read_object(self.path_2d, "metadata"), self.path_2d)
        self.provenance, self.synthetic = read_label(self.path_3d, UNLABELLED)
        label_2d = read_label(self.path_2d, UNLABELLED)
        if (self.provenance, self.synthetic) != label_2d:
            raise InputError(
                f"{self.path_2d}: its provenance is {label_2d[0]!r}, that of {self.path_3d.name} is "
                f"{self.provenance!r}; use files that were made together"
            )
        self._cameras = read_cameras(self.path_2d) or read_cameras(self.path_3d)
        self._rates = Rates(self.path_2d if "fps" in entry_names(self.path_2d) else self.path_3d, fps)
        self.files = {path.name: sha256(path) for path in (self.path_3d, self.path_2d)}
        self._exact = keypoints == "gt"
        self._compared: dict[tuple[tuple[str, str], ...], list[str]] = {}  # which videos, and the doubts about them
        self._loaded: dict[tuple[str, str], list[LabelledVideo]] = {}
        self._seen: dict[tuple[str, str], list[Video]] = {}
        self._gaps: dict[str, Keypoints] = {}  # video -> its counts, where joints are missing

    def subjects(self) -> list[str]:
        """Everybody who has 2D."""
        return list(self._pixels)

    def has_labels(self, subject: str, actions: Many[str] = ("*",)) -> bool:
        """Whether there is 3D of a subject's takes that have 2D, of some actions, see `labelled`."""
        both = set(self._points.get(subject, {})) & set(self._pixels.get(subject, {}))
        return any({"*", take, action_of(take)} & set(actions) for take in both)

    def labelled(self, subjects: Many[str], actions: Many[str] = ("*",)) -> Dataset[LabelledVideo]:
        """The videos of some subjects that have 3D: subject by subject, take by take, the cameras of a take in turn.

        Args:
            subjects: S1, S5, ...
            actions: names without the take's number, "Walking" for "Walking" and "Walking 1"; or with it; "*" is all.

        Raises:
            InputError: a subject, action or camera is missing, or an array is not what the layout says.
        """
        data: Dataset[LabelledVideo] = Dataset([], self.provenance, self.synthetic, self.files)
        for subject in subjects:
            for path, positions in ((self.path_3d, self._points), (self.path_2d, self._pixels)):
                if subject not in positions:
                    raise InputError(f"{path}: subject {subject} is missing, found {', '.join(positions) or 'none'}")
        chosen = self._choose({s: [*self._points[s], *self._pixels[s]] for s in subjects}, actions, self.path_3d)
        for subject in subjects:
            before = len(data.videos)
            lacking = [a for a in chosen[subject] if a not in self._points[subject] or a not in self._pixels[subject]]
            self._add(data, subject, [a for a in chosen[subject] if a not in lacking], self._load)
            if lacking:
                data.notes.append(f"{subject}: {_listed(lacking)} not both in 2D and 3D, left out where labels count")
            if len(data.videos) == before:
                raise InputError(f"{self.path_3d}: subject {subject} has no usable action among {', '.join(actions)}")
        data.notes += self._missing_joints(data.videos)
        together = tuple((v.subject, v.action) for v in data.videos)
        if data.videos and together not in self._compared:
            found = check_videos(data.videos, f"{self.path_3d.name} and {self.path_2d}", exact=self._exact)
            if found.contradictions:
                raise InputError(found.contradictions[0])
            self._compared[together] = found.doubts
        data.notes += self._compared.get(together, [])
        return data

    def unlabelled(self, subjects: Many[str], actions: Many[str] = ("*",)) -> Dataset[Video]:
        """The videos of some subjects in 2D: the 3D is not looked at, and need not be there.

        Raises:
            InputError: as `labelled`; or a camera that nothing is known of.
        """
        data: Dataset[Video] = Dataset([], self.provenance, self.synthetic, self.files)
        for subject in subjects:
            if subject not in self._pixels:
                found = ", ".join(self._pixels) or "none"
                raise InputError(f"{self.path_2d}: subject {subject} is missing, found {found}")
        chosen = self._choose({s: list(self._pixels[s]) for s in subjects}, actions, self.path_2d)
        for subject in subjects:
            before = len(data.videos)
            self._add(data, subject, chosen[subject], self._views)
            if len(data.videos) == before:
                raise InputError(f"{self.path_2d}: subject {subject} has no usable action among {', '.join(actions)}")
        data.notes += self._missing_joints(data.videos)
        return data

    @staticmethod
    def _add(data: Dataset, subject: str, actions: Many[str], views: Callable[[str, str], Many[Video]]) -> None:
        """The views of some takes, which must be good, but for the one that is known to be damaged in many copies."""
        for action in actions:
            try:
                data.videos += views(subject, action)
            except InputError as error:
                if (subject, action) != UNRELIABLE:
                    raise
                data.notes.append(_damaged(subject, action, error))

    def _choose(self, known: dict[str, list[str]], actions: Many[str], path: Path) -> dict[str, list[str]]:
        """Per subject the takes that are asked for, in the file's order."""
        takes = {subject: list(dict.fromkeys(names)) for subject, names in known.items()}
        every = list(dict.fromkeys(take for names in takes.values() for take in names))
        for wanted in actions:
            if takes and wanted != "*" and not any(wanted in (take, action_of(take)) for take in every):
                names = ", ".join(sorted({action_of(take) for take in every}))
                raise InputError(f"{path}: no action {wanted!r} for {', '.join(takes)}, found {names}")
        if "*" in actions:
            return takes
        return {s: [take for take in names if {take, action_of(take)} & set(actions)] for s, names in takes.items()}

    def _load(self, subject: str, action: str) -> list[LabelledVideo]:
        """The views of one take, with labels; kept for the next time."""
        if (subject, action) in self._loaded:
            return self._loaded[subject, action]
        if self._cameras is None and subject in UNPLACED:
            raise InputError(
                f"{self.path_3d}: there is 3D of subject {subject}, but nothing is known of where the cameras stood; "
                "store an entry 'cameras' (see data/README.md), or leave out this 3D"
            )
        poses = check_poses(self._points[subject][action], f"{self.path_3d}: {subject} {action}")
        world = torch.from_numpy(convert(poses, H36M_17 if poses.shape[1] == JOINTS else H36M_32, H36M_17))
        videos = []
        for video, camera in zip(self._views(subject, action), self._cameras_of(subject)):
            if len(video) < len(poses):
                raise InputError(
                    f"{self.path_2d}: {subject} {action}, camera {camera.name}: 2D of {len(video)} frames is shorter "
                    f"than the 3D of {len(poses)} frames"
                )
            points = world_to_camera(world, camera)
            wrong = check_points(
                points.numpy(), np.arange(len(points)), f"{self.path_3d}: {subject} {action}, camera {camera.name}"
            )
            if wrong:
                raise InputError(wrong[0])
            videos.append(LabelledVideo.of(video, points, camera.up()))
        self._loaded[subject, action] = videos
        return videos

    def _views(self, subject: str, action: str) -> list[Video]:
        """Per camera what the detector saw, kept for the next time."""
        if (subject, action) not in self._seen:
            views, where = self._pixels[subject][action], f"{self.path_2d}: {subject} {action}"
            cameras = self._cameras_of(subject)
            if not isinstance(views, (list, tuple)) and not (isinstance(views, np.ndarray) and views.ndim >= 4):
                raise InputError(f"{where}: expected a list of {len(cameras)} cameras, found {describe(views)}")
            if len(views) != len(cameras):
                names = ", ".join(camera.name for camera in cameras)
                raise InputError(
                    f"{where}: expected {len(cameras)} cameras ({names}), found {len(views)} views; which of them "
                    "these are nobody says: complete them, or store an entry 'cameras' (see data/README.md)"
                )
            fps = self._rates.of(subject, action)
            videos = []
            for view, camera in zip(views, cameras):
                name = f"{subject} {action}, camera {camera.name}"
                seen = read_view(view, fps, f"{self.path_2d}: {name}")
                wrong = check_pixels(seen.pixels, camera, f"{self.path_2d}: {name}", None)
                if wrong:
                    raise InputError(wrong[0])
                if seen.missing:
                    self._gaps[name] = replace(seen, pixels=seen.pixels[:0])
                confidence = None if seen.confidence is None else torch.from_numpy(seen.confidence)
                pixels = torch.from_numpy(seen.pixels)
                videos.append(Video.from_pixels(subject, action, camera, pixels, fps, confidence))
            self._seen[subject, action] = videos
        return self._seen[subject, action]

    def _cameras_of(self, subject: str) -> list[Camera]:
        if self._cameras is not None:
            if subject not in self._cameras:
                raise InputError(
                    f"{self.path_2d}: its 'cameras' have none of subject {subject}, found {', '.join(self._cameras)}"
                )
            return self._cameras[subject]
        if subject not in (*h36m_subjects(), *UNPLACED):
            raise InputError(
                f"{self.path_2d}: nothing is known of the cameras of subject {subject}; expected an entry 'cameras' "
                f"(see data/README.md), or a subject of Human3.6M: {', '.join(h36m_subjects())}"
            )
        return h36m_cameras(subject)

    def _missing_joints(self, videos: Many[Video]) -> list[str]:
        """One line on what the detector missed, the worst video named."""
        names = [f"{v.subject} {v.action}, camera {v.camera}" for v in videos]
        gaps = [name for name in names if name in self._gaps]
        if not gaps:
            return []
        worst = max(gaps, key=lambda name: self._gaps[name].share)
        note = self._gaps[worst].note()
        return [f"{self.path_2d}: joints missing in {len(gaps)} videos; the most in {worst}: {note}"]


def load_h36m(
    data_dir: Path, keypoints: str, subjects: Many[str], actions: Many[str] = ("*",)
) -> Dataset[LabelledVideo]:
    """The labelled videos of some subjects, see `H36MFiles`."""
    return H36MFiles(data_dir, keypoints).labelled(subjects, actions)


def action_of(take: str) -> str:
    """The action of a take: "Walking" of "Walking 1" and of "Walking-1"; what stands before a space otherwise."""
    numbered = re.fullmatch(r"([A-Za-z]+)[ -]\d+", take)
    return numbered[1] if numbered else take.split(" ")[0]


def _damaged(subject: str, action: str, error: InputError) -> str:
    return f"left out {subject} {action}, which some releases have damaged: {error}"


def _listed(names: Many[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
