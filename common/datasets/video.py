"""Videos of one person: in 2D, or in 2D with 3D labels; and what a loader returns.

What adapts to a target takes a `Video`, which has no label to read; what trains or scores takes a `LabelledVideo`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Generic, TypeVar

import torch

from ..geometry.camera import Camera, normalise
from ..geometry.skeleton import H36M_17

AnyVideo = TypeVar("AnyVideo", bound="Video")


@dataclass(frozen=True, kw_only=True)
class Video:
    """One person seen by one camera: 2D keypoints, Human3.6M-17 joints.

    Attributes:
        camera: its name.
        keypoints: (F, 17, 2) normalised screen coordinates.
        intrinsics: (9,) fx fy cx cy k1 k2 k3 p1 p2 in normalised screen coordinates, see `common.geometry.camera`.
        width, height: the image, pixels.
        fps: frames a second.
        confidence: (F, 17) the detector's, from 0 to 1; None where it gives none.
        up: (3,) unit vector against gravity, camera axes; None where it is not known.
    """

    PER_FRAME: ClassVar[tuple[str, ...]] = ("keypoints", "confidence")

    subject: str
    action: str
    camera: str
    keypoints: torch.Tensor
    intrinsics: torch.Tensor
    width: int
    height: int
    fps: float
    confidence: torch.Tensor | None = None
    up: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def name(self) -> str:
        """Subject, action and camera, which tell videos of a data set apart."""
        return f"{self.subject} {self.action} {self.camera}"

    def unlabelled(self) -> "Video":
        """What a detector and a calibrated camera give: the video without 3D and without a known vertical."""
        return Video(**{f.name: getattr(self, f.name) for f in fields(Video) if f.name != "up"})

    def downsampled(self: AnyVideo, factor: int, phase: int = 0) -> AnyVideo:
        """Every `factor`-th frame, from frame `phase` on."""
        known = {name: getattr(self, name) for name in self.PER_FRAME}
        thinner = {name: value[phase::factor] for name, value in known.items() if value is not None}
        return replace(self, fps=self.fps / factor, **thinner)


@dataclass(frozen=True, kw_only=True)
class LabelledVideo(Video):
    """A video whose 3D is known.

    Attributes:
        pose: (F, 17, 3) metres, camera axes, relative to the root.
        trajectory: (F, 3) metres, the root in the camera's frame.
    """

    PER_FRAME: ClassVar[tuple[str, ...]] = (*Video.PER_FRAME, "pose", "trajectory")

    pose: torch.Tensor
    trajectory: torch.Tensor

    @classmethod
    def from_points(
        cls,
        subject: str,
        action: str,
        camera: Camera,
        points: torch.Tensor,
        pixels: torch.Tensor,
        fps: float,
        up: torch.Tensor | None = None,
    ) -> "LabelledVideo":
        """From joints in the camera's frame (F, 17, 3), float64 metres, and keypoints (F, 17, 2), float64 pixels."""
        trajectory = points[:, H36M_17.root_index]  # (F, 3)
        return LabelledVideo(
            subject=subject,
            action=action,
            camera=camera.name,
            keypoints=normalise(pixels, camera.width, camera.height).float(),
            intrinsics=camera.normalised_intrinsics().float(),
            width=camera.width,
            height=camera.height,
            fps=fps,
            pose=(points - trajectory[:, None]).float(),
            trajectory=trajectory.float(),
            up=None if up is None else up.float(),
        )


@dataclass
class Dataset(Generic[AnyVideo]):
    """Videos and where they came from: what every loader returns.

    Attributes:
        provenance: one line, what the data is.
        synthetic: True when no person was recorded.
        files: file name -> SHA-256.
        notes: lines for the user to see: videos left out, doubts about the data, where intrinsics come from.
    """

    videos: list[AnyVideo]
    provenance: str
    synthetic: bool
    files: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: "Iterable[Dataset]") -> "Dataset":
        """Several data sets as one: where the videos of a run come from."""
        parts = list(parts)
        return cls(
            [video for part in parts for video in part.videos],
            "; ".join(dict.fromkeys(part.provenance for part in parts)),
            any(part.synthetic for part in parts),
            {name: digest for part in parts for name, digest in part.files.items()},
            [note for part in parts for note in part.notes],
        )

    def of(self, subjects: Iterable[str]) -> list[AnyVideo]:
        """The videos of some subjects, subject by subject in the order given."""
        return [video for subject in subjects for video in self.videos if video.subject == subject]
