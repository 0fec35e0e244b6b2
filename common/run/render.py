"""One video of a run to look at, for `--render`: what each model makes of it, and the truth."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..adaptation.floor import up_of
from ..datasets.video import Dataset, LabelledVideo
from ..datasets.windows import stitch
from ..errors import InputError
from ..evaluation.metrics import joint_errors
from ..evaluation.uncertainty import fitted_scale
from ..footage.lifting import stature
from ..footage.placing import into_world, on_floor
from ..geometry.camera import denormalise, project, undistort
from ..model.inference import Sampling, draw_hypotheses
from ..model.lifter import Lifter
from ..reprojection.bones import bone_vectors
from ..reprojection.lifting import lift_videos
from ..reprojection.refinement import Refinement
from ..reprojection.root import solve_root
from ..viewer.track import Track
from ..viewer.view import check_view, write_view
from .report import REFINED_ROWS, RENDER_FILES, TITLES

PIXELS_PER_INCH = 80


def select_video(reported: Sequence[LabelledVideo], args: Namespace) -> LabelledVideo:
    """The video the --viz flags name, found before any training.

    Raises:
        InputError: it is not among those reported, its file cannot be written, or a number leaves nothing to draw.
    """
    if not reported:
        raise InputError("--render: draws a video beside its labels, and there is no 3D of the subjects reported on")
    subject = args.viz_subject or reported[0].subject
    videos = [v for v in reported if v.subject == subject and args.viz_action in (None, v.action)]
    videos = [v for v in videos if v.action == videos[0].action]
    if not 0 <= args.viz_camera < len(videos):
        wanted = " ".join(filter(None, (subject, args.viz_action, f"camera {args.viz_camera}")))
        found = ", ".join(dict.fromkeys(f"{v.subject} {v.action}" for v in reported))
        raise InputError(f"--render: no video of {wanted}; there are cameras from 0 up of {found}")
    video = videos[args.viz_camera]
    chosen_frames(len(video), args)
    if args.viz_output is not None:
        check_view(args.viz_output)
    return video


def chosen_frames(count: int, args: Namespace) -> range:
    """The numbers of the frames to draw, by `--viz-skip`, `--viz-downsample` and `--viz-limit`."""
    limit, skip = args.viz_limit, args.viz_skip
    if not args.viz_size > 0:
        raise InputError(f"--viz-size: expected inches above 0, found {args.viz_size}")
    if limit < 1 and limit != -1:
        raise InputError(f"--viz-limit: expected 1 or more frames, or -1 for all, found {limit}")
    if not 0 <= skip < count:
        raise InputError(f"--viz-skip: expected 0 to {count - 1}, as the video has {count} frames, found {skip}")
    frames = range(skip, count, args.viz_downsample)
    return frames if limit == -1 else frames[:limit]


def render_video(
    models: dict[str, Lifter],
    refinements: dict[str, Refinement | None],
    video: LabelledVideo,
    source: Sequence[LabelledVideo],
    sampling: Sampling,
    data: Dataset[Any],
    args: Namespace,
) -> None:
    """Draw a labelled video: the 2D, every model's pose, J-Agg or, where it is the result, refined, and the truth.

    Every pose stands where the true hips are, as errors are measured; its reprojection is from where its own 2D places
    it.

    Args:
        source: at the lifter's frame rate; on it the factor of the expected error is fitted.
    """
    frames = np.array(chosen_frames(len(video), args))
    up = video.up if video.up is not None else up_of(video.pose, video.trajectory, video.confidence)
    bones = bone_vectors(video.pose).norm(dim=-1).median(0).values
    world, to_camera = on_floor(video.pose + video.trajectory[:, None], up, stature(bones))

    def placed(pose: torch.Tensor) -> np.ndarray:
        """Poses (F, ..., 17, 3) about the hips, in the world."""
        hips = video.trajectory.reshape(len(video), *[1] * (pose.ndim - 2), 3)
        return into_world(pose + hips, to_camera)[frames]

    tracks = []
    rays = undistort(video.keypoints, video.intrinsics)
    for row, model in models.items():
        refinement = refinements[row] if row in REFINED_ROWS else None
        ((_, pose, spread),) = lift_videos(model, [video], sampling, refinement, args.root)
        seen = project(pose + solve_root(pose, rays, video.confidence)[:, None], video.intrinsics)
        scale = fitted_scale(model, source, sampling, refinement) if sampling.num_proposals > 1 else None
        ((_, hypotheses),) = draw_hypotheses(model, [video], sampling)  # the same draws again
        many = stitch(hypotheses[:, -1].transpose(1, 2), len(video))  # (F, H, 17, 3)
        error = 1000 * joint_errors(pose, video.pose)[frames].mean()
        track = Track(
            f"{TITLES[row]}, {error:.0f} mm",
            placed(pose),
            expected_error=None if scale is None else (scale * spread).numpy()[frames],
            hypotheses=placed(many) if many.shape[1] > 1 else None,
            reprojected=denormalise(seen, video.width, video.height).numpy()[frames],
        )
        tracks.append(track)
    tracks.append(Track("truth", world[frames], truth=True))
    pixels = denormalise(video.keypoints, video.width, video.height).numpy()[frames]
    if video.confidence is not None:
        pixels = np.where(video.confidence.numpy()[frames, :, None] > 0, pixels, np.nan)
    about = [
        data.provenance,
        f"{args.keypoints} 2D",
        "mm: mean joint error of these frames",
        "poses stand at the true hips",
    ]
    if data.synthetic and "synthetic" not in data.provenance.lower():
        about[0] = f"Synthetic data: {data.provenance}"
    if frames[0] or len(frames) < len(video):
        about.append(f"frames {frames[0]} to {frames[-1]} of {len(video)}, one in {args.viz_downsample}")
    names = dict.fromkeys((video.subject, video.action))  # 3DHP's test sequences have one name for all
    title = " ".join(names) + ("" if video.camera in names else f", camera {video.camera}")
    outputs = [args.viz_output] if args.viz_output else [args.checkpoint / name for name in RENDER_FILES]
    for output in outputs:
        write_view(
            output, tracks, video.fps / args.viz_downsample, title, about, pixels, (video.width, video.height),
            height=round(args.viz_size * PIXELS_PER_INCH), start=frames[0] / video.fps,
        )  # fmt: skip
    print(f"drawn: {', '.join(map(str, outputs))}")
