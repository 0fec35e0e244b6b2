"""What a module that runs a detector has to offer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Find = Callable[[np.ndarray], list[np.ndarray]]  # a picture -> its people, see `Detector.start`


@dataclass(frozen=True)
class Detector:
    """One detector of 2D keypoints.

    Attributes:
        name: what the user calls it.
        module: the package it is imported from.
        install: what pip is told to install.
        order: of its K joints, a key of `JOINT_ORDERS`.
        start: loads the network and returns a function that finds people in the pictures of one video, called in their
            order: (H, W, 3) uint8 RGB -> per person (K, 3) x and y in pixels and a confidence from 0. Raises
            ImportError or OSError where the package does not work or its weights can be neither read nor downloaded.
    """

    name: str
    module: str
    install: str
    order: str
    start: Callable[[], Find]
