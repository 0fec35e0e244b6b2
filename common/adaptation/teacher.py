"""The teacher: the moving average of the student, and the pseudo-labels it draws (METHOD 6)."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from .. import processes
from ..datasets.clips import Batch
from ..geometry.camera import project, undistort
from ..model.lifter import Lifter
from ..reprojection.bones import rebone
from ..reprojection.jpma import j_agg
from ..reprojection.refinement import Refinement
from ..reprojection.root import estimate_root, ray_distance, solve_root
from ..tensors import to_device

REPROJECTION_SCALE = 0.02  # normalised screen coordinates, about 10 px of a 1000 px image
SPREAD_SCALE = 0.05  # metres


class Teacher:
    """An exponential moving average of a student's trained weights.

    The decay starts low and rises to its final value, so that the first steps are not averaged with the start.
    """

    def __init__(self, student: Lifter, decay: float):
        self.lifter = copy.deepcopy(student).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def state(self) -> dict[str, Any]:
        """What `load_state` takes, for a checkpoint."""
        return {"teacher": self.lifter.denoiser.state_dict(), "teacher_updates": self.updates}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was asked for."""
        self.lifter.denoiser.load_state_dict(state["teacher"])
        self.updates = state["teacher_updates"]

    @torch.no_grad()
    def update(self, student: Lifter) -> None:
        """Move towards the student by 1 - decay."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        for mine, theirs in zip(self.lifter.parameters(), student.parameters()):
            if theirs.requires_grad:
                mine.lerp_(theirs, 1 - decay)


@torch.no_grad()
def pseudo_label(
    lifter: Lifter,
    target: Batch,
    lengths: torch.Tensor,
    refinement: Refinement | None,
    num_proposals: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pose a lifter believes in and how much, joint by joint, from the 2D alone.

    Hypotheses are drawn in one step with flip averaging. Their mean is refined; without a refinement they are joined
    by JPMA with the estimated root and given the person's bone lengths. The confidence falls with the distance of a
    joint's reprojection from its keypoint and with the hypotheses' spread; it is 0 where the joint was not seen.
    Several processes share the clips.

    Args:
        target: its keypoints, their confidence and the intrinsics are read. lengths: (B, J) metres, the people's bones.

    Returns:
        (B, T, J, 3) metres and (B, T, J) in [0, 1].
    """
    clips, frames, joints, _ = target.keypoints.shape
    noise = torch.randn(clips, num_proposals, frames, joints, 3, generator=generator, device=generator.device)
    mine = processes.shard()
    keypoints, intrinsics, lengths = target.keypoints[mine], target.intrinsics[mine], lengths[mine]
    noise = to_device(noise[mine], keypoints.device)
    hypotheses = lifter.sample(keypoints, num_proposals, 1, flip=True, noise=[noise], intrinsics=intrinsics)[:, 0]
    rays, seen = undistort(keypoints, intrinsics), None if target.confidence is None else target.confidence[mine]
    if refinement is not None:
        pose = refinement(hypotheses.mean(1), rays, lengths[:, None], seen)
    else:
        root = estimate_root(hypotheses, keypoints, intrinsics, seen)
        pose = rebone(j_agg(hypotheses, root, keypoints, intrinsics, seen), lengths[:, None])
    placed = pose + solve_root(pose, rays, seen)[..., None, :]
    errors = (project(placed, intrinsics) - keypoints).norm(dim=-1)
    spread = (hypotheses - hypotheses.mean(1, keepdim=True)).norm(dim=-1).mean(1)  # (B, T, J)
    confidence = torch.exp(-errors / REPROJECTION_SCALE - spread / SPREAD_SCALE)
    confidence = confidence if seen is None else confidence * seen
    return processes.all_gather(pose, clips), processes.all_gather(confidence, clips)


def ray_errors(
    pose: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor, confidence: torch.Tensor | None = None
) -> torch.Tensor:
    """Distance of a pose's joints from their rays, (B, T, J, 3) -> (B, T, J), at unit depth: the reprojection loss.

    The root is solved from the pose itself and held fixed, so the gradient moves the joints, not the person.
    """
    rays = undistort(keypoints, intrinsics)
    placed = pose + solve_root(pose, rays, confidence).detach()[..., None, :]
    return ray_distance(placed, rays)
