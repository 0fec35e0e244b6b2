"""A camera that looks at the person: lifting is easier there than where people stand aside (METHOD 4).

The camera keeps its place and turns until its axis goes through the person; the image is then scaled until the
person fills it. Nothing is lost but the person's place and size in the image, which a root-relative pose does not have.
"""

import torch

from ..tensors import constant
from .camera import rotation_between, undistort
from .skeleton import H36M_17

SMALLEST_PERSON = 1e-3  # of the box's mean side, at unit depth; less is no person but a failed detection
NEAREST = 0.1  # depth a ray may have after turning, of its length before; less is a keypoint far outside the image


def look_at_person(keypoints: torch.Tensor, intrinsics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip as a camera sees it whose axis goes through the clip's mean root.

    Args:
        keypoints: (B, T, J, 2) normalised screen coordinates. intrinsics: (B, 9).

    Returns:
        (B, T, J, 2) keypoints from the root's mean, over the mean side of the person's box; and the rotation
        (B, 3, 3) from the real camera's axes to the new one's.
    """
    rays = undistort(keypoints, intrinsics)
    rays = torch.cat([rays, torch.ones_like(rays[..., :1])], -1)
    person = torch.nn.functional.normalize(rays[..., H36M_17.root_index, :].mean(1), dim=-1)
    forward = constant((0, 0, 1), person.dtype, person.device)
    rotation = rotation_between(person, forward.expand_as(person))
    turned = rays @ rotation[:, None].mT
    seen = turned[..., :2] / turned[..., 2:].clamp_min(NEAREST)
    sides = seen.amax(-2) - seen.amin(-2)  # (B, T, 2)
    return seen / sides.mean((1, 2)).clamp_min(SMALLEST_PERSON)[:, None, None, None], rotation
