"""rtmlib: YOLOX and RTMPose by ONNX Runtime, several people, Halpe's 26 joints. It downloads its weights once."""

import contextlib
import io

import numpy as np

from .detector import Detector, Find


def start() -> Find:
    """Its balanced pair of networks, on a GPU where ONNX Runtime has one."""
    import onnxruntime
    import rtmlib

    device = "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the paths of its weights
        body = rtmlib.BodyWithFeet(mode="balanced", backend="onnxruntime", device=device)

    def find(picture: np.ndarray) -> list[np.ndarray]:
        mirrored = np.ascontiguousarray(picture[..., ::-1])  # BGR, as OpenCV reads pictures
        boxes = body.det_model(mirrored)
        if len(boxes) == 0:  # `body` itself would then take the whole picture for a person
            return []
        points, scores = body.pose_model(mirrored, bboxes=boxes)  # (P, 26, 2), (P, 26)
        return list(np.concatenate([points, scores[..., None]], -1))

    return find


DETECTOR = Detector("rtmlib", "rtmlib", "rtmlib onnxruntime", "halpe26", start)
