"""What a detector found in a video, and the same in the order of joints that is used inside the package."""

from dataclasses import dataclass

import numpy as np

from ..geometry.skeleton import H36M_17, JOINT_ORDERS, convert, joint_sources


@dataclass(frozen=True)
class Detections:
    """The people a detector found in the frames of one video: a row per person and frame, frames ascending.

    Attributes:
        order: of the K joints, a key of `JOINT_ORDERS`.
        frame: (N,) int64, from 0.
        pixels: (N, K, 2) float64, finite; (0, 0) where the joint was not seen.
        confidence: (N, K) float64 from 0 to 1; 0 where the joint was not seen, 1 where the file gives none.
        track: (N,) int64, the file's own numbers of people; None where it has none.
        frames: how many frames the video has; the last one seen and one where the file does not say.
        size: (width, height) pixels; None where it is not known.
        fps: frames a second; None where it is not known.
        format: the reader's name, a key of `common.keypoints.read.FORMATS`.
        notes: plain lines for the user.
    """

    order: str
    frame: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray
    track: np.ndarray | None
    frames: int
    size: tuple[int, int] | None
    fps: float | None
    format: str
    notes: tuple[str, ...] = ()


def to_h36m(detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """The detections in Human3.6M-17 order.

    A joint made of several is as sure as the least sure of them; where one of them was not seen it is not seen.

    Returns:
        pixels (N, 17, 2), (0, 0) where not seen, and confidence (N, 17) from 0 to 1.
    """
    skeleton = JOINT_ORDERS[detections.order]
    sources = joint_sources(skeleton, H36M_17)
    confidence = np.stack([detections.confidence[:, joints].min(-1) for joints in sources], -1)  # (N, 17)
    pixels = convert(detections.pixels, skeleton, H36M_17)
    return np.where(confidence[..., None] > 0, pixels, 0.0), confidence
