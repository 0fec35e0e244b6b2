"""From a lifter and 2D keypoints to one pose per frame: the package's way in, and the loop behind every result."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

from ..datasets.video import Video
from ..datasets.windows import stitch
from ..errors import InputError
from ..geometry.camera import Camera, normalise
from ..geometry.skeleton import H36M_17, JOINT_ORDERS, Points, convert
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import PIXELS, Lifter
from .jpma import REFINED, aggregate
from .refinement import Refinement

AnyVideo = TypeVar("AnyVideo", bound=Video)


def lift(
    lifter: Lifter,
    pixels: Points,
    camera: Camera,
    order: str = "h36m",
    confidence: Points | None = None,
    num_proposals: int = 5,
    sampling_timesteps: int = 1,
    refinement: Refinement | None = None,
) -> Points:
    """The 3D pose of a person in every frame of a video.

    Args:
        pixels: (F, joints, 2) the 2D keypoints of one person, pixels, every frame of them.
        camera: the one that took the video; its place in the room does not matter.
        order: of the joints, one of `JOINT_ORDERS`: "h36m", "3dhp", "coco".
        confidence: (F, joints) the detector's, from 0 to 1: for the root that JPMA needs. A refinement weighs the
            keypoints by itself.
        num_proposals, sampling_timesteps: hypotheses H and diffusion steps K; both are 1 for a plain regressor.
        refinement: of an adapted checkpoint, see `common.run.models.stored_refinement`; without one hypotheses are
            joined by JPMA.

    Returns:
        (F, 17, 3) metres, relative to the hips, in the camera's axes (x right, y down, z away from it), in
        Human3.6M-17 order; numpy or torch, as `pixels` is.

    Raises:
        InputError: an order that is not known, another shape than it has, numbers that are not finite, coordinates
            that are no pixels of this camera's image, or a confidence that is not from 0 to 1.
    """
    if order not in JOINT_ORDERS:
        raise InputError(f"order {order!r}: not known, expected one of {', '.join(JOINT_ORDERS)}")
    given = _numbers(pixels, "keypoints")
    joints = len(JOINT_ORDERS[order].joints)
    if given.ndim != 3 or given.shape[1:] != (joints, 2) or len(given) == 0:
        raise InputError(f"keypoints of shape {tuple(given.shape)}, expected (frames, {joints}, 2) for order {order!r}")
    _check_frames(given.isfinite(), "keypoints", "hold NaN or infinity; fill or leave out these frames")
    if given.abs().max() < PIXELS:
        raise InputError(f"keypoints: all values are below {PIXELS}, expected pixels; these look normalised")
    sure = None
    if confidence is not None:
        weights = _numbers(confidence, "confidence")
        if weights.shape != given.shape[:2]:
            raise InputError(f"confidence of shape {tuple(weights.shape)}, expected {tuple(given.shape[:2])}")
        _check_frames((weights >= 0) & (weights <= 1), "confidence", "are not from 0 to 1")
        sure = convert(weights[..., None], JOINT_ORDERS[order], H36M_17)[..., 0].float()
    keypoints = normalise(convert(given, JOINT_ORDERS[order], H36M_17), camera.width, camera.height).float()
    if keypoints.abs().median() > PIXELS:
        raise InputError(f"keypoints: most lie far outside the camera's {camera.width} x {camera.height} pixels")
    video = Video(
        subject="", action="", camera=camera.name, keypoints=keypoints,
        intrinsics=camera.normalised_intrinsics().float(), width=camera.width, height=camera.height, fps=0.0,
        confidence=sure,
    )  # fmt: skip
    if lifter.deterministic:
        num_proposals = sampling_timesteps = 1
    was_training = lifter.training
    ((_, pose, _),) = lift_videos(lifter.eval(), [video], Sampling(num_proposals, sampling_timesteps), refinement)
    lifter.train(was_training)
    return pose.numpy() if isinstance(pixels, np.ndarray) else pose


def _numbers(values: Points, what: str) -> torch.Tensor:
    """A copy on the CPU, float64."""
    try:
        plain = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        return torch.from_numpy(np.array(plain, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: expected an array of numbers ({error})") from None


def _check_frames(good: torch.Tensor, what: str, wrong: str) -> None:
    """Every value of every frame (F, ...) must be good."""
    bad = ~good.flatten(1).all(1)
    if bad.any():
        raise InputError(
            f"{what}: {int(bad.sum())} of {len(bad)} frames, the first is frame {int(bad.int().argmax())}, {wrong}"
        )


def lift_videos(
    lifter: Lifter,
    videos: Sequence[AnyVideo],
    sampling: Sampling,
    refinement: Refinement | None,
    root: str = "estimated",
) -> Iterator[tuple[AnyVideo, torch.Tensor, torch.Tensor]]:
    """Each video with its result (F, J, 3), refined or else J-Agg, and the spread (F, J), of the last diffusion step.

    Labels are not read, but for J-Agg with the root "gt".
    """
    lengths = refinement.lengths(lifter, videos) if refinement else {}
    for video, hypotheses in draw_hypotheses(lifter, videos, sampling):
        last, person = hypotheses[:, -1], lengths.get(video.subject)
        poses, _ = aggregate(last, video if root == "gt" else video.unlabelled(), root, refinement, person)
        yield video, poses[REFINED if refinement else "J_Agg"], stitch(spread(last), len(video))


def spread(hypotheses: torch.Tensor) -> torch.Tensor:
    """Per joint the root of the mean squared distance from the mean, (..., H, T, J, 3) -> (..., T, J), metres.

    Divided by H - 1, so that its square does not depend on H on average; zero for a single hypothesis.
    """
    count = hypotheses.shape[-4]
    distances = (hypotheses - hypotheses.mean(-4, keepdim=True)).norm(dim=-1)
    return (distances.square().sum(-3) / max(count - 1, 1)).sqrt()
