"""Stand-ins for a lifter that know the true pose of every frame, and err as they are told to."""

import torch
from torch import nn

from common.datasets.video import LabelledVideo
from common.geometry.camera import mirror_intrinsics
from common.geometry.skeleton import mirror


class Knows(nn.Module):
    """Finds the true pose of every frame of some labelled videos, and of their mirror images.

    The attributes are errors along the optical axis, metres, all zero at first; they are far below the true depths.

    Attributes:
        flipped: of mirror images, unless flips are averaged. early: of the first half of a window.
        apart: of even hypotheses one way and of odd ones the other way.
    """

    def __init__(self, videos: list[LabelledVideo], frames: int):
        super().__init__()
        self.frames = frames
        self.weight = nn.Parameter(torch.zeros(1))
        self.flipped = self.early = self.apart = 0.0
        self.deterministic = False
        self.known = {}
        for v in videos:
            for seen, pose in zip(v.keypoints, v.pose):
                self.known[_key(seen, v.intrinsics)] = pose, False
                self.known[_key(mirror(seen), mirror_intrinsics(v.intrinsics))] = mirror(pose), True

    def sample(
        self,
        x_2d: torch.Tensor,
        num_proposals: int,
        sampling_timesteps: int,
        flip: bool,
        intrinsics: torch.Tensor,
        **_: object,
    ) -> torch.Tensor:
        """(B, K, H, T, J, 3); the randomness it is given is not used. KeyError for a frame or a camera not known."""
        found = [[self.known[_key(seen, lens)] for seen in clip] for clip, lens in zip(x_2d, intrinsics)]
        poses = torch.stack([torch.stack([pose for pose, _ in clip]) for clip in found])
        mirrored = torch.tensor([[is_mirrored for _, is_mirrored in clip] for clip in found])  # (B, T)
        off = self.early * (torch.arange(self.frames) < self.frames // 2) + self.flipped * mirrored * (not flip)
        side = 1 - 2 * (torch.arange(num_proposals) % 2)
        off = off[:, None] + self.apart * side[:, None]  # (B, H, T)
        hypotheses = poses[:, None] + off[..., None, None] * torch.tensor([0, 0, 1.0])
        return hypotheses[:, None].repeat(1, sampling_timesteps, 1, 1, 1, 1)


def _key(keypoints: torch.Tensor, intrinsics: torch.Tensor) -> bytes:
    return keypoints.numpy().tobytes() + intrinsics.numpy().tobytes()
