"""Videos of one person: in 2D, or in 2D with 3D labels; and what a loader returns.

What adapts to a target takes a `Video`, which has no label to read; what trains or scores takes a `LabelledVideo`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

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

    @classmethod
    def from_pixels(
        cls,
        subject: str,
        action: str,
        camera: Camera,
        pixels: torch.Tensor,
        fps: float,
        confidence: torch.Tensor | None = None,
    ) -> "Video":
        """From keypoints (F, 17, 2), float64 pixels, and the detector's confidence (F, 17)."""
        return Video(**_seen_by(camera, pixels, confidence), subject=subject, action=action, fps=fps)

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def name(self) -> str:
        """Subject, action and camera, which tell videos of a data set apart."""
        return f"{self.subject} {self.action} {self.camera}"

    def unlabelled(self) -> "Video":
        """What a detector and a calibrated camera give: the video without 3D and without a known vertical."""
        return Video(**{f.name: getattr(self, f.name) for f in fields(Video) if f.name != "up"})

    def step(self, rate: float) -> int:
        """One frame in how many makes `rate` frames a second; 1 where there are no more than that."""
        return max(1, round(self.fps / rate))

    def at_rate(self: AnyVideo, rate: float) -> AnyVideo:
        """The video at about so many frames a second, see `step`."""
        return self.downsampled(self.step(rate))

    def resampled(self: AnyVideo, fps: float) -> AnyVideo:
        """The video at exactly `fps` frames a second, linearly between its frames; the duration changes by less than a
        frame. What is true or false, or a class, is that of the nearest frame."""
        times = torch.arange(int((len(self) - 1) * fps / self.fps + 1e-6) + 1, dtype=torch.float64) * (self.fps / fps)
        before = times.long().clamp(max=max(len(self) - 2, 0))
        after = (before + 1).clamp(max=len(self) - 1)
        weight = (times - before).float()

        def between(x: torch.Tensor) -> torch.Tensor:
            if not x.is_floating_point():
                return x[times.round().long().clamp(max=len(x) - 1)]
            shaped = weight.reshape(-1, *[1] * (x.ndim - 1))
            return x[before] * (1 - shaped) + x[after] * shaped

        known = {name: getattr(self, name) for name in self.PER_FRAME}
        moved: dict[str, Any] = {name: between(value) for name, value in known.items() if value is not None}
        return replace(self, fps=fps, **moved)

    def downsampled(self: AnyVideo, factor: int, phase: int = 0) -> AnyVideo:
        """Every `factor`-th frame, from frame `phase` on."""
        return replace(self.frames(slice(phase, None, factor)), fps=self.fps / factor)

    def frames(self: AnyVideo, chosen: slice) -> AnyVideo:
        """Some of the frames, at the same rate."""
        known = {name: getattr(self, name) for name in self.PER_FRAME}
        taken: dict[str, Any] = {name: value[chosen] for name, value in known.items() if value is not None}
        return replace(self, **taken)


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
    def of(cls, video: Video, points: torch.Tensor, up: torch.Tensor | None = None) -> "LabelledVideo":
        """A video and its joints in the camera's frame (F, 17, 3), float64 metres; it is cut to their length."""
        length, trajectory = len(points), points[:, H36M_17.root_index]  # (F, 3)
        cut = {name: x[:length] for name in Video.PER_FRAME if (x := getattr(video, name)) is not None}
        return LabelledVideo(
            **(vars(video) | cut | {"up": None if up is None else up.float()}),
            pose=(points - trajectory[:, None]).float(),
            trajectory=trajectory.float(),
        )

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
        confidence: torch.Tensor | None = None,
    ) -> "LabelledVideo":
        """From joints in the camera's frame (F, 17, 3), float64 metres, and keypoints (F, 17, 2), float64 pixels."""
        return cls.of(Video.from_pixels(subject, action, camera, pixels, fps, confidence), points, up)


def _seen_by(camera: Camera, pixels: torch.Tensor, confidence: torch.Tensor | None) -> dict[str, Any]:
    """What a camera and a detector say of a video."""
    return {
        "camera": camera.name,
        "keypoints": normalise(pixels, camera.width, camera.height).float(),
        "intrinsics": camera.normalised_intrinsics().float(),
        "width": camera.width,
        "height": camera.height,
        "confidence": None if confidence is None else confidence.float(),
    }


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
            list(dict.fromkeys(note for part in parts for note in part.notes)),
        )

    def announce(self) -> None:
        """Print where the data comes from, and the notes."""
        print("\n".join([f"data: {self.provenance}", *(f"note: {note}" for note in self.notes)]))

    def unlabelled(self) -> "Dataset[Video]":
        """The same videos without labels, see `Video.unlabelled`."""
        return Dataset([v.unlabelled() for v in self.videos], self.provenance, self.synthetic, self.files, self.notes)

    def of(self, subjects: Iterable[str]) -> list[AnyVideo]:
        """The videos of some subjects, subject by subject in the order given."""
        return [video for subject in subjects for video in self.videos if video.subject == subject]
