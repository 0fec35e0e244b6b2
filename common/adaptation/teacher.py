"""The teacher, the moving average of the student, and the loss of a pose against keypoints (METHOD 6)."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from ..geometry.camera import undistort
from ..model.lifter import Lifter
from ..reprojection.root import ray_distance, solve_root


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


def ray_errors(
    pose: torch.Tensor, keypoints: torch.Tensor, intrinsics: torch.Tensor, confidence: torch.Tensor | None = None
) -> torch.Tensor:
    """Distance of a pose's joints from their rays, (B, T, J, 3) -> (B, T, J), at unit depth: the reprojection loss.

    The root is solved from the pose itself and held fixed, so the gradient moves the joints, not the person.
    """
    rays = undistort(keypoints, intrinsics)
    placed = pose + solve_root(pose, rays, confidence).detach()[..., None, :]
    return ray_distance(placed, rays)
