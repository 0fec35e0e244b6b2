"""One person's detections made into a video that can be lifted: gaps filled, left and right put right, a camera."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..datasets.keypoints import filled_keypoints
from ..datasets.video import Video
from ..geometry.camera import Camera
from .swaps import repair_swaps

USUAL_FOCAL = 1.2  # of the image's larger side: a focal length where none is known; phones have 0.7 to 1.4


@dataclass(frozen=True)
class Prepared:
    """A person's video and what was done to it.

    Attributes:
        confidence: (F, 17) float64 from 0 to 1, as the video has it.
        frames: (F,) the numbers of its frames, one after another. swapped: (F,) bool, where left and right were
            exchanged back. missing: share of the joints that were not seen. filled: of these, in short gaps.
    """

    video: Video
    confidence: np.ndarray
    frames: np.ndarray
    swapped: np.ndarray
    missing: float
    filled: float

    @property
    def pixels(self) -> np.ndarray:
        """(F, 17, 2) the keypoints as they are lifted."""
        scaled = self.video.keypoints.double().numpy() + [1, self.video.height / self.video.width]
        return scaled * self.video.width / 2

    def notes(self) -> list[str]:
        """What the user should know, a line each."""
        count, lines = len(self.frames), []
        if self.swapped.any():
            lines.append(f"left and right exchanged back in {int(self.swapped.sum())} of {count} frames")
        if self.missing:
            lines.append(f"{self.missing:.1%} of the joints missing, {self.filled:.0%} of these filled in (short gaps)")
        return lines


def assumed_camera(size: tuple[int, int], focal: float | None = None, fov: float | None = None) -> Camera:
    """A camera without distortion whose principal point is the image's middle.

    Args:
        size: width and height, pixels. focal: pixels. fov: horizontal field of view, degrees, where no focal length is
            given; without either the focal length is `USUAL_FOCAL` of the larger side.
    """
    width, height = size
    if focal is None:
        focal = USUAL_FOCAL * max(size) if fov is None else width / 2 / math.tan(math.radians(fov) / 2)
    return Camera(width=width, height=height, focal=focal)


def prepare(
    frame: np.ndarray, pixels: np.ndarray, confidence: np.ndarray, camera: Camera, fps: float, name: str, where: str
) -> Prepared:
    """A person's video from their detections, every frame from the first to the last.

    Args:
        frame: (n,) ascending. pixels: (n, 17, 2). confidence: (n, 17), 0 where not seen. name: of the person.
        where: the file, for errors.

    Raises:
        InputError: no joint is seen anywhere, or a coordinate is no place in an image.
    """
    pixels, confidence, found = repair_swaps(pixels, confidence)
    frames = np.arange(frame[0], frame[-1] + 1)
    every = np.zeros((len(frames), *pixels.shape[1:-1], 3))  # confidence 0: missing
    every[frame - frame[0]] = np.concatenate([pixels, confidence[..., None]], -1)
    swapped = np.zeros(len(frames), bool)
    swapped[frame - frame[0]] = found
    ready = filled_keypoints(every, every.shape[1], fps, where)
    sure = every[..., 2] if ready.confidence is None else ready.confidence
    video = Video.from_pixels(name, "", camera, torch.from_numpy(ready.pixels), fps, torch.from_numpy(sure))
    filled = ready.filled / ready.missing if ready.missing else 0.0
    return Prepared(video, sure, frames, swapped, ready.missing / max(ready.total, 1), filled)
