"""Ultralytics' YOLO for poses: several people, COCO's 17 joints. It downloads its weights once."""

import numpy as np

from .detector import Detector, Find

WEIGHTS = "yolo11m-pose.pt"


def start() -> Find:
    """Its medium network, on a GPU where torch has one."""
    import ultralytics
    from ultralytics.utils import WEIGHTS_DIR

    network = ultralytics.YOLO(WEIGHTS_DIR / WEIGHTS)  # a bare name would be downloaded to the current folder

    def find(picture: np.ndarray) -> list[np.ndarray]:
        (result,) = network.predict(np.ascontiguousarray(picture[..., ::-1]), verbose=False)  # BGR, as OpenCV reads it
        if result.keypoints is None:
            return []
        people = result.keypoints.data.cpu().numpy().astype(np.float64)  # (P, 17, 3), a joint not seen is (0, 0)
        return [person for person in people if len(person)]

    return find


DETECTOR = Detector("ultralytics", "ultralytics", "ultralytics", "coco", start)
