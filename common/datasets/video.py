"""One video of one person, with or without 3D labels."""

from dataclasses import dataclass, replace

import torch

from ..geometry.camera import Camera, normalise
from ..geometry.skeleton import H36M_17


@dataclass(frozen=True)
class Sequence:
    """One person seen by one camera, Human3.6M-17 joints.

    Attributes:
        keypoints: (F, 17, 2) normalised screen coordinates.
        intrinsics: (9,) fx fy cx cy k1 k2 k3 p1 p2 in normalised screen coordinates, see `common.camera`.
        width, height: the image, pixels.
        pose: (F, 17, 3) metres, camera axes, relative to the root; None where the split hides the labels.
        trajectory: (F, 3) metres, the root in the camera's frame; None likewise.
        up: (3,) unit vector against gravity, camera axes; None where it is not known.
    """

    subject: str
    action: str
    camera: str
    keypoints: torch.Tensor
    intrinsics: torch.Tensor
    width: int
    height: int
    pose: torch.Tensor | None = None
    trajectory: torch.Tensor | None = None
    up: torch.Tensor | None = None

    @classmethod
    def labelled(
        cls,
        subject: str,
        action: str,
        camera: Camera,
        points: torch.Tensor,
        pixels: torch.Tensor,
        up: torch.Tensor | None = None,
    ) -> "Sequence":
        """From joints in the camera's frame (F, 17, 3), float64 metres, and keypoints (F, 17, 2), float64 pixels."""
        trajectory = points[:, H36M_17.root_index]  # (F, 3)
        return cls(
            subject=subject,
            action=action,
            camera=camera.name,
            keypoints=normalise(pixels, camera.width, camera.height).float(),
            intrinsics=camera.normalised_intrinsics().float(),
            width=camera.width,
            height=camera.height,
            pose=(points - trajectory[:, None]).float(),
            trajectory=trajectory.float(),
            up=None if up is None else up.float(),
        )

    def __len__(self) -> int:
        return len(self.keypoints)

    def unlabelled(self) -> "Sequence":
        """The same video without its 3D: what adaptation is given."""
        return replace(self, pose=None, trajectory=None, up=None)

    def downsampled(self, factor: int, phase: int = 0) -> "Sequence":
        """Every `factor`-th frame, from frame `phase` on."""

        def thin(x: torch.Tensor | None) -> torch.Tensor | None:
            return None if x is None else x[phase::factor]

        return replace(self, keypoints=thin(self.keypoints), pose=thin(self.pose), trajectory=thin(self.trajectory))
