"""Human3.6M in VideoPose3D's npz layout: the only file that knows what these files look like."""

import re
from collections.abc import Mapping
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..files import sha256
from ..geometry.camera import Camera, project, world_to_camera
from ..geometry.skeleton import H36M_17, H36M_32, convert
from .cameras_h36m import UNPLACED, h36m_cameras, h36m_subjects
from .keypoints import Keypoints, read_keypoints
from .npz import describe, entry_names, read_label, read_object, write_npz
from .open_layout import Rates, cameras_entry, read_cameras
from .video import Dataset, LabelledVideo, Video

FILE_3D = "data_3d_h36m.npz"
FILE_2D = "data_2d_h36m_{}.npz"
FRAME_RATE = 50  # of the motion capture and, after cutting, of the videos
JOINTS = len(H36M_17.joints)
UNLABELLED = "Human3.6M-layout files without a provenance entry (taken as the user's own)"
# The one video that releases of the data set are known to lack or to have damaged.
UNRELIABLE = ("S11", "Directions")
LARGEST_PERSON = 10  # metres; anything larger is in another unit
SMALLEST_PIXELS = 4  # keypoints all nearer to zero than this are not pixels


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
        self.path_3d, self.path_2d = _find_files(data_dir, keypoints)
        self._points = _by_subject(read_object(self.path_3d, "positions_3d"), self.path_3d, "positions_3d")
        self._pixels = _by_subject(read_object(self.path_2d, "positions_2d"), self.path_2d, "positions_2d")
        if "metadata" in entry_names(self.path_2d):
            _check_metadata(read_object(self.path_2d, "metadata"), self.path_2d)
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
        self._seen: dict[tuple[str, str], list[tuple[Camera, Keypoints]]] = {}

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
            for action in (a for a in chosen[subject] if a not in lacking):
                try:
                    data.videos += self._load(subject, action)
                except InputError as error:
                    if (subject, action) != UNRELIABLE:
                        raise
                    data.notes.append(_damaged(subject, action, error))
            if lacking:
                data.notes.append(f"{subject}: {_listed(lacking)} not both in 2D and 3D, left out where labels count")
            if len(data.videos) == before:
                raise InputError(f"{self.path_3d}: subject {subject} has no usable action among {', '.join(actions)}")
        data.notes += self._missing_joints(data.videos)
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
            for action in chosen[subject]:
                fps = self._rates.of(subject, action)
                try:
                    views = self._views(subject, action)
                except InputError as error:
                    if (subject, action) != UNRELIABLE:
                        raise
                    data.notes.append(_damaged(subject, action, error))
                    continue
                for camera, seen in views:
                    pixels, confidence = _tensors(seen)
                    data.videos.append(Video.from_pixels(subject, action, camera, pixels, fps, confidence))
            if len(data.videos) == before:
                raise InputError(f"{self.path_2d}: subject {subject} has no usable action among {', '.join(actions)}")
        data.notes += self._missing_joints(data.videos)
        return data

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
        """The views of one take, with labels."""
        if self._cameras is None and subject in UNPLACED:
            raise InputError(
                f"{self.path_3d}: there is 3D of subject {subject}, but nothing is known of where the cameras stood; "
                "store an entry 'cameras' (see data/README.md), or leave out this 3D"
            )
        poses = _check_poses(self._points[subject][action], f"{self.path_3d}: {subject} {action}")
        world = torch.from_numpy(convert(poses, H36M_17 if poses.shape[1] == JOINTS else H36M_32, H36M_17))
        fps, videos = self._rates.of(subject, action), []
        for camera, seen in self._views(subject, action):
            if len(seen.pixels) < len(poses):
                raise InputError(
                    f"{self.path_2d}: {subject} {action}, camera {camera.name}: 2D of {len(seen.pixels)} frames is "
                    f"shorter than the 3D of {len(poses)} frames"
                )
            pixels, confidence = _tensors(seen, len(poses))
            points = world_to_camera(world, camera)
            videos.append(
                LabelledVideo.from_points(subject, action, camera, points, pixels, fps, camera.up(), confidence)
            )
        return videos

    def _views(self, subject: str, action: str) -> list[tuple[Camera, Keypoints]]:
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
            named = ((view, camera, f"{where}, camera {camera.name}") for view, camera in zip(views, cameras))
            self._seen[subject, action] = [(camera, _read_view(view, fps, name)) for view, camera, name in named]
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
        gaps = {}
        for video in {(v.subject, v.action): v for v in videos}.values():
            for camera, seen in self._views(video.subject, video.action):
                if seen.missing:
                    gaps[f"{video.subject} {video.action}, camera {camera.name}"] = seen
        if not gaps:
            return []
        worst = max(gaps, key=lambda name: gaps[name].missing / gaps[name].pixels.size)
        return [f"{self.path_2d}: joints missing in {len(gaps)} videos; the most in {worst}: {gaps[worst].note()}"]


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


def _tensors(seen: Keypoints, frames: int | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pixels and confidence, cut to the length of the motion capture."""
    confidence = None if seen.confidence is None else torch.from_numpy(seen.confidence[:frames])
    return torch.from_numpy(seen.pixels[:frames]), confidence


def _find_files(data_dir: Path, keypoints: str) -> tuple[Path, Path]:
    path_3d, path_2d = data_dir / FILE_3D, data_dir / FILE_2D.format(keypoints)
    missing = [path.name for path in (path_3d, path_2d) if not path.is_file()]
    pattern = FILE_2D.format("*")
    start, end = pattern.split("*")
    present = sorted(path.name.removeprefix(start).removesuffix(end) for path in data_dir.glob(pattern))
    if missing == [path_2d.name] and present:
        raise InputError(
            f"{path_2d}: no such file, so there are no keypoints named {keypoints!r}; "
            f"{data_dir} has {', '.join(present)}: ask for one of these"
        )
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not found in {data_dir}; Human3.6M is had from "
            "http://vision.imar.ro/human3.6m (by licence) and prepared as VideoPose3D's DATASETS.md says; for motion "
            "capture run python data/prepare_mocap.py; to try the project without data give --sample"
        )
    return path_3d, path_2d


def _by_subject(tree: Any, path: Path, key: str) -> dict[str, dict[str, Any]]:
    if not isinstance(tree, dict) or not all(isinstance(actions, dict) for actions in tree.values()):
        raise InputError(
            f"{path}: expected {key!r} to be a dict of subjects, each a dict of actions; found another layout; "
            "prepare it as VideoPose3D's DATASETS.md says"
        )
    return tree


def _check_metadata(metadata: Any, path: Path) -> None:
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: expected 'metadata' to be a dict, found {type(metadata).__name__}")
    joints, symmetry = metadata.get("num_joints"), metadata.get("keypoints_symmetry")
    if joints != JOINTS:
        raise InputError(f"{path}: metadata says num_joints {joints}, expected {JOINTS} ({H36M_17.name})")
    expected = [H36M_17.left_indices, H36M_17.right_indices]
    try:
        pairs = set(zip(*list(symmetry or ()), strict=True))
    except (TypeError, ValueError):
        pairs = set()
    if pairs != set(zip(*expected)):
        raise InputError(
            f"{path}: metadata says keypoints_symmetry {symmetry}, expected [left, right] = {expected} ({H36M_17.name})"
        )


def _check_poses(poses: Any, where: str) -> np.ndarray:
    """(F, 32 or 17, 3) float64."""
    counts = (len(H36M_32.joints), JOINTS)
    if not _is_numbers(poses) or poses.shape[1] not in counts or poses.shape[2] != 3 or len(poses) == 0:
        raise InputError(
            f"{where}: expected numbers of shape (frames, {counts[0]} or {counts[1]}, 3), found {describe(poses)}"
        )
    _check_finite(poses, where)
    size = float(np.median(np.linalg.norm(np.ptp(poses, axis=1), axis=-1)))
    if size > LARGEST_PERSON:
        raise InputError(
            f"{where}: the person is {size:.0f} across, expected metres; these look like millimetres, divide by 1000"
        )
    return poses.astype(np.float64)


def _read_view(view: Any, fps: float, where: str) -> Keypoints:
    """One camera's keypoints; lists of lists are understood."""
    if isinstance(view, (list, tuple)):
        try:
            view = np.array(view, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: expected numbers of shape (frames, {JOINTS}, 2 or 3), found a list") from None
    seen = read_keypoints(view, JOINTS, fps, where)
    if np.abs(seen.pixels).max() < SMALLEST_PIXELS:
        raise InputError(f"{where}: all values are below {SMALLEST_PIXELS}, expected pixels; these look normalised")
    return seen


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == 3


def _check_finite(values: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(values).all((1, 2))
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} frames hold NaN or infinity, the first is frame {bad.argmax()}"
        )


def project_h36m(positions: np.ndarray, subject: str) -> list[np.ndarray]:
    """What the four cameras of a subject see, lens distortion included.

    Args:
        positions: (F, 32, 3) Human3.6M-32 joints, world metres.

    Returns:
        Per camera (F, 17, 2) float32, Human3.6M-17 joints, pixels.

    Raises:
        InputError: the subject's cameras are not known.
    """
    if subject not in h36m_subjects():
        raise InputError(f"subject {subject!r} has no Human3.6M cameras; those that have: {', '.join(h36m_subjects())}")
    world = torch.from_numpy(convert(positions, H36M_32, H36M_17).astype(np.float64))  # (F, 17, 3)
    return [
        project(world_to_camera(world, camera), world.new_tensor(camera.intrinsics)).float().numpy()
        for camera in h36m_cameras(subject)
    ]


def write_h36m(
    out_dir: Path,
    positions_3d: Mapping[str, Mapping[str, np.ndarray]],
    keypoints: Mapping[str, Mapping[str, Mapping[str, list[np.ndarray]]]],
    provenance: str,
    synthetic: bool,
    cameras: Mapping[str, Many[Camera]] | None = None,
    fps: float | None = None,
) -> None:
    """Write `data_3d_h36m.npz` and per set of keypoints `data_2d_h36m_<name>.npz` (layout: VideoPose3D, DATASETS.md).

    Args:
        positions_3d: subject -> action -> (F, 32, 3), world metres, 50 fps.
        keypoints: name -> subject -> action -> per camera (F, 17, 2), pixels.
        provenance: one line that says what the data is; every report repeats it.
        synthetic: True when no person was recorded.
        cameras: subject -> its views' cameras; None for Human3.6M's. fps: frames a second; None for Human3.6M's 50.
            Either makes it the open layout, see `open_layout`.
    """
    label: dict[str, Any] = {"provenance": provenance, "synthetic": synthetic}
    if cameras is not None:
        label["cameras"] = cameras_entry(cameras)
    if fps is not None:
        label["fps"] = float(fps)
    metadata = {
        "layout_name": "h36m",
        "num_joints": JOINTS,
        "keypoints_symmetry": [H36M_17.left_indices, H36M_17.right_indices],
    }
    write_npz(
        out_dir / FILE_3D,
        positions_3d={
            subject: {action: poses.astype(np.float32) for action, poses in actions.items()}
            for subject, actions in positions_3d.items()
        },
        **label,
    )
    for name, subjects in keypoints.items():
        positions_2d = {
            subject: {action: [view.astype(np.float32) for view in views] for action, views in actions.items()}
            for subject, actions in subjects.items()
        }
        write_npz(out_dir / FILE_2D.format(name), positions_2d=positions_2d, metadata=metadata, **label)
