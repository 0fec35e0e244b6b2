"""A predicted pose made to agree with the keypoints and with the person's bones (METHOD 4: rebone and snap).

A lifter's pose neither projects exactly onto the keypoints nor has exactly the person's bones. Both are known without
labels, the bones up to the overall size. `rebone_and_snap` imposes one after the other; `refine` weighs them, and the
lifter's bone directions, against each other, so that noisy keypoints are trusted less than exact ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..datasets.video import LabelledVideo, Video
from ..errors import InputError
from ..geometry.skeleton import H36M_17
from ..model.lifter import Lifter
from ..tensors import constant
from .bones import SourceBones, bone_vectors, rebone
from .root import NEAREST_ROOT, ray_distance, solve_root
from .shoulders import arms_turned

MODES = ("limits", "map", "snap", "none")
DIRECTION_ERROR = 0.05  # metres, a lifter's error of a bone's lower end against its upper end, standard deviation
LENGTH_ERROR = 0.01  # metres, of a bone length measured from 2D
SMALLEST_NOISE = 0.001  # of keypoints called exact, at unit depth: one pixel of a 1000 px image
OUTLIER = 3.0  # keypoints this many standard deviations off count half
STEPS = 6
FRAMES_AT_ONCE = 4096
_DAMPING = 1e-3  # 1 / metres^2, far below every other weight

_PARENTS = tuple(H36M_17.parents[1:])  # of joints 1 to J-1, one bone each


def snap(
    pose: torch.Tensor, root: torch.Tensor, rays: torch.Tensor, weight: float | torch.Tensor = 1.0
) -> torch.Tensor:
    """Every joint moved across the image towards its ray, at its own depth.

    Args:
        pose: (..., J, 3) metres relative to the root. root: (..., 3) metres. rays: (..., J, 2) ideal rays.
        weight: of the keypoints, from 0, nothing moves, to 1, every joint ends on its ray; a tensor is (...) or
            (..., J).

    Returns:
        (..., J, 3) relative to the root's own new place.
    """
    placed = pose + root[..., None, :]
    weight = torch.as_tensor(weight, dtype=pose.dtype, device=pose.device)
    weight = weight[..., None] if weight.ndim == pose.ndim - 1 else weight[..., None, None]
    across = placed[..., :2] + weight * (rays * placed[..., 2:] - placed[..., :2])
    placed = torch.cat([across, placed[..., 2:]], -1)
    return placed - placed[..., H36M_17.root_index, None, :]


def rebone_and_snap(
    pose: torch.Tensor,
    rays: torch.Tensor,
    lengths: torch.Tensor,
    noise: float,
    confidence: torch.Tensor | None = None,
) -> torch.Tensor:
    """The bones set, then each joint moved to its ray, less where the keypoints' noise is large. See `refine`."""
    pose = rebone(pose, lengths)
    root = solve_root(pose, rays, confidence)
    across = noise * root[..., 2]  # metres
    weight = DIRECTION_ERROR**2 / (DIRECTION_ERROR**2 + across**2)  # (...)
    return snap(pose, root, rays, weight if confidence is None else weight[..., None] * confidence)


def refine(
    pose: torch.Tensor,
    rays: torch.Tensor,
    lengths: torch.Tensor,
    noise: float,
    confidence: torch.Tensor | None = None,
    steps: int = STEPS,
) -> torch.Tensor:
    """The most probable pose given the lifter's bone directions, the bone lengths and the keypoints.

    The joints' places in the camera minimise the squared sum of three kinds of errors, each over its standard
    deviation: of the joints against their rays (`noise`), of the bones' lengths (`LENGTH_ERROR`), and of the bones
    against the reboned prediction (`DIRECTION_ERROR`); by Gauss-Newton from the reboned prediction, frame by frame.
    After every step keypoints far from the solution are weighed down.

    Args:
        pose: (..., J, 3) metres relative to the root. rays: (..., J, 2) ideal rays of the keypoints.
        lengths: broadcasts to (..., J), metres. noise: of the keypoints, at unit depth, standard deviation.
        confidence: (..., J) in the keypoints, a factor on the weight of each; 0 where a joint was not seen.

    Returns:
        (..., J, 3) relative to the root.
    """
    shape = pose.shape
    lengths = lengths.expand(shape[:-1]).reshape(-1, shape[-2])
    given = torch.ones_like(rays[..., 0]) if confidence is None else confidence
    parts = zip(
        pose.reshape(-1, *shape[-2:]).split(FRAMES_AT_ONCE),
        rays.reshape(-1, shape[-2], 2).split(FRAMES_AT_ONCE),
        lengths.split(FRAMES_AT_ONCE),
        given.reshape(-1, shape[-2]).split(FRAMES_AT_ONCE),
    )
    return torch.cat([_refine(*part, max(noise, SMALLEST_NOISE), steps) for part in parts]).reshape(shape)


def _refine(
    pose: torch.Tensor,
    rays: torch.Tensor,
    lengths: torch.Tensor,
    confidence: torch.Tensor,
    noise: float,
    steps: int,
) -> torch.Tensor:
    frames, joints, _ = pose.shape
    parents = constant(_PARENTS, torch.long, pose.device)
    each = torch.eye(joints, dtype=pose.dtype, device=pose.device)
    incidence = each[1:] - each[parents]  # (J-1, J)
    pairs = (incidence[:, :, None] * incidence[:, None]).flatten(1)  # (J-1, J * J)
    identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
    lengths = lengths[:, 1:]

    reboned = rebone(pose, torch.nn.functional.pad(lengths, (1, 0)))
    expected = reboned[:, 1:] - reboned[:, parents]
    placed = reboned + solve_root(reboned, rays, confidence)[:, None]
    trust = confidence  # (F, J)
    for _ in range(steps):
        # The derivatives of the distance to the ray: (x - u z) and (y - v z), over the noise at the joint's depth.
        off_ray = torch.cat([identity[:2, :2].expand(frames, joints, 2, 2), -rays[..., None]], -1)  # (F, J, 2, 3)
        off_ray = off_ray * (trust.sqrt() / (noise * placed[..., 2].clamp_min(NEAREST_ROOT)))[..., None, None]
        bones = placed[:, 1:] - placed[:, parents]
        found = bones.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(pose.dtype).eps)
        along = bones / found
        # Per bone the second derivatives (3, 3) and the first (3,) of its length's and direction's errors.
        curvature = along[..., None] * along[..., None, :] / LENGTH_ERROR**2 + identity / DIRECTION_ERROR**2
        slope = along * (found - lengths[..., None]) / LENGTH_ERROR**2 + (bones - expected) / DIRECTION_ERROR**2

        hessian = (curvature.flatten(2).mT @ pairs).unflatten(-1, (joints, joints)).unflatten(1, (3, 3))
        hessian = hessian.permute(0, 3, 1, 4, 2).clone()  # (F, J, 3, J, 3)
        own = torch.arange(joints, device=pose.device)
        hessian[:, own, :, own] += (off_ray.mT @ off_ray + _DAMPING * identity).transpose(0, 1)
        gradient = incidence.T @ slope + (off_ray.mT @ (off_ray @ placed[..., None]))[..., 0]
        # `solve_ex` does not look whether it worked, for which it would have to wait; damped, it does.
        solution, _ = torch.linalg.solve_ex(hessian.reshape(frames, 3 * joints, 3 * joints), gradient.flatten(1))
        placed = placed - solution.reshape(frames, joints, 3)
        distance = ray_distance(placed, rays)
        trust = confidence / (1 + (distance / (OUTLIER * noise)) ** 2)
    return placed - placed[:, H36M_17.root_index, None]


@dataclass(frozen=True)
class Refinement:
    """What an adapted lifter carries so that its poses can be refined for people it has not met.

    Attributes:
        bones: of the source's people, seen through this lifter. noise: of the target's keypoints, see `refine`.
        mode: "map" for `refine`, "limits" for `refine` that also turns arms round which no shoulder allows, "snap" for
            `rebone_and_snap`.
        own: how much the bone lengths of the lifter's poses count beside those measured in the image, from 0 to 1: a
            lifter that has learnt from bodies of all proportions knows them better than one that has met a few people.
    """

    bones: SourceBones
    noise: float
    mode: str = "map"
    own: float = 0.0

    def __call__(
        self, pose: torch.Tensor, rays: torch.Tensor, lengths: torch.Tensor, confidence: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The refined pose; shapes as for `refine`."""
        if self.mode == "snap":
            return rebone_and_snap(pose, rays, lengths, self.noise, confidence)
        refined = refine(pose, rays, lengths, self.noise, confidence)
        if self.mode == "limits":
            turned, where = arms_turned(refined, pose)
            if where.any():
                sure = None if confidence is None else confidence[where]
                every = lengths.expand(pose.shape[:-1])[where]
                refined[where] = refine(turned[where], rays[where], every, self.noise, sure)
        return refined

    def with_own(self, lengths: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """Bone lengths (17,) measured in the image, weighed against those of the lifter's poses (F, 17, 3), metres."""
        found = bone_vectors(pose).norm(dim=-1).median(0).values
        found = (found + found[H36M_17.mirrored]) / 2
        return lengths ** (1 - self.own) * found**self.own if self.own else lengths

    def lengths(self, lifter: Lifter, videos: Sequence[Video]) -> dict[str, torch.Tensor]:
        """The bone lengths (J,) of every subject in some videos, from their 2D, seen through this lifter."""
        return {name: self.bones.lengths * r for name, r in self.bones.ratios(lifter, videos).items()}

    def remeasured(self, lifter: Lifter, videos: Sequence[LabelledVideo]) -> "Refinement":
        """The same for another lifter. `videos` are the source's, at the lifter's frame rate."""
        return replace(self, bones=SourceBones.measure(lifter, videos))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {
            "lengths": self.bones.lengths.tolist(),
            "apparent": self.bones.apparent.tolist(),
            "noise": self.noise,
            "mode": self.mode,
            "own": self.own,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "Refinement":
        """The inverse of `to_dict`.

        Raises:
            InputError: the values are not those of a refinement.
        """
        try:
            lengths, apparent = (torch.tensor(values[name], dtype=torch.float32) for name in ("lengths", "apparent"))
            noise, mode, own = float(values["noise"]), values["mode"], float(values.get("own", 0))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{where}: its refinement cannot be read ({error}); train it again") from None
        joints = (len(H36M_17.joints),)
        sound = all(x.shape == joints and x.isfinite().all() and (x[1:] > 0).all() for x in (lengths, apparent))
        if not sound or mode not in MODES[:-1] or not 0 <= noise < 1 or not 0 <= own <= 1:
            raise InputError(f"{where}: its refinement is not one of {joints[0]} joints; train it again")
        return cls(SourceBones(lengths, apparent), noise, mode, own)
