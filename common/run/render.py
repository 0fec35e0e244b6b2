"""Animations of poses beside the keypoints they were lifted from, for `--render`."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.video import LabelledVideo
from ..errors import InputError
from ..files import atomic_write
from ..geometry.camera import denormalise
from ..geometry.figures import bone_segments, draw_pose_2d, draw_pose_3d
from ..model.inference import Sampling
from ..model.lifter import Lifter
from ..reprojection.lifting import lift_videos
from ..reprojection.refinement import Refinement
from .report import REFINED_ROWS, RENDER_FILE, TITLES

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes

DPI, STILL_DPI = 80, 120
ELEVATION, AZIMUTH = 12, -70  # degrees; at -90 the view would be the camera's own, where depth cannot be judged


def render(
    keypoints: np.ndarray,
    image_size: tuple[int, int],
    poses: dict[str, np.ndarray],
    output: Path,
    fps: float,
    limit: int = -1,
    skip: int = 0,
    downsample: int = 1,
    size: float = 5.0,
    title: str = "",
) -> None:
    """Write an animation: the 2D input at the left, then one upright 3D view per entry of `poses`.

    A GIF is kept in memory until it is complete, about half a megabyte per frame and view at the usual size.

    Args:
        keypoints: (F, 17, 2) pixels.
        image_size: width and height, pixels.
        poses: title -> (F, 17, 3) metres, root-relative, camera axes (y down).
        output: a .gif file, an .mp4 file, which needs ffmpeg, or a .png file, of the first frame only.
        fps: of the input; the output plays at the same speed.
        limit: at most so many frames are drawn, -1 for all.
        skip: frames left out at the start.
        downsample: draw every so many frames.
        size: height of the picture and width of each view, inches of 80 pixels.
        title: one line above all; says so when the data is synthetic.

    Raises:
        InputError: a suffix other than .gif, .mp4 or .png, no ffmpeg for .mp4, or a number that leaves nothing to draw.
    """
    from matplotlib.figure import Figure

    if any(len(pose) != len(keypoints) for pose in poses.values()):
        lengths = ", ".join(f"{name} {len(pose)}" for name, pose in poses.items())
        raise ValueError(f"expected poses of {len(keypoints)} frames, found {lengths}")
    frames = _frames(len(keypoints), limit, skip, downsample)
    if not size > 0:
        raise InputError(f"--viz-size: expected inches above 0, found {size}")
    still = output.suffix.lower() == ".png"
    frames = frames[:1] if still else frames
    writer = None if still else _writer(output, fps / downsample)
    upright = {name: pose[..., [0, 2, 1]] * [1, 1, -1] for name, pose in poses.items()}  # x right, y away, z up

    figure = Figure((size * (1 + len(poses)), size), layout="constrained")
    figure.suptitle(title)
    flat = figure.add_subplot(1, 1 + len(poses), 1)
    _set_up_2d(flat, keypoints[frames[0]], image_size)
    solid: dict[str, Any] = {}  # of projection "3d", of which matplotlib's stubs know little
    for number, (name, pose) in enumerate(upright.items(), 2):
        solid[name] = figure.add_subplot(1, 1 + len(poses), number, projection="3d")
        _set_up_3d(solid[name], name, pose[frames[0]], np.concatenate([p[frames] for p in upright.values()]))

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: doing it for every frame makes the views tremble

    if writer is None:
        flat.set_title(f"2D input, {frames[0] / fps:.2f} s")
        with atomic_write(output) as partial:
            figure.savefig(partial, dpi=STILL_DPI)
        return
    with atomic_write(output) as partial, writer.saving(figure, str(partial), DPI):
        for frame in frames:
            flat.set_title(f"2D input, {frame / fps:.2f} s")
            for line, (ends, _) in zip(flat.lines, bone_segments(keypoints[frame])):
                line.set_data(*ends.T)
            for name, ax in solid.items():
                for line, (ends, _) in zip(ax.lines, bone_segments(upright[name][frame])):
                    line.set_data_3d(*ends.T)
            writer.grab_frame()


def _frames(count: int, limit: int, skip: int, downsample: int) -> range:
    """The numbers of the frames to draw."""
    if downsample < 1:
        raise InputError(f"--viz-downsample: expected 1 or more, found {downsample}")
    if limit < 1 and limit != -1:
        raise InputError(f"--viz-limit: expected 1 or more frames, or -1 for all, found {limit}")
    if not 0 <= skip < count:
        raise InputError(f"--viz-skip: expected 0 to {count - 1}, as the video has {count} frames, found {skip}")
    frames = range(skip, count, downsample)
    return frames if limit == -1 else frames[:limit]


def _writer(output: Path, fps: float) -> "AbstractMovieWriter":
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if output.suffix.lower() == ".gif":
        return PillowWriter(fps=fps)  # type: ignore[arg-type]
    if output.suffix.lower() != ".mp4":
        raise InputError(
            f"--viz-output {output}: expected a name that ends in .gif, .mp4 or .png, found {output.suffix!r}"
        )
    if not FFMpegWriter.isAvailable():
        raise InputError(f"--viz-output {output}: .mp4 needs ffmpeg, which was not found; install it or name a .gif")
    return FFMpegWriter(fps=fps)  # type: ignore[arg-type]


def _set_up_2d(ax: "Axes", keypoints: np.ndarray, image_size: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    width, height = image_size
    ax.add_patch(Rectangle((0, 0), width, height, facecolor="#f2f2f2", edgecolor="#aaaaaa"))
    draw_pose_2d(ax, keypoints, head=False)
    ax.set_xlim(-0.01 * width, 1.01 * width)
    ax.set_ylim(1.01 * height, -0.01 * height)


def _set_up_3d(ax: Any, name: str, pose: np.ndarray, all_poses: np.ndarray) -> None:
    """Draw the first pose (17, 3) and a square at foot level; the limits hold all poses (..., 17, 3) of all views."""
    draw_pose_3d(ax, pose, world=True)
    points = all_poses.reshape(-1, 3)
    centre, half = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0).max() / 2
    low, high = centre - half, centre + half
    reach, ground = half * np.array([-1, 1, 1, -1, -1]), points[:, 2].min()
    ax.plot(centre[0] + reach, centre[1] + half * np.array([-1, -1, 1, 1, -1]), ground, color="#cccccc", linewidth=1)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set_box_aspect((1, 1, 1), zoom=1.2)
    ax.view_init(ELEVATION, AZIMUTH)
    ax.set_title(f"{name}\nfloor square {2 * half:.1f} m a side", fontsize="medium")


def select_video(reported: Sequence[LabelledVideo], args: Namespace) -> LabelledVideo:
    """The video the --viz flags name. Raises `InputError` when it is not among those reported."""
    if not reported:
        raise InputError("--render: draws a video beside its labels, and there is no 3D of the subjects reported on")
    subject = args.viz_subject or reported[0].subject
    videos = [v for v in reported if v.subject == subject and args.viz_action in (None, v.action)]
    videos = [v for v in videos if v.action == videos[0].action]
    if not 0 <= args.viz_camera < len(videos):
        wanted = " ".join(filter(None, (subject, args.viz_action, f"camera {args.viz_camera}")))
        found = ", ".join(dict.fromkeys(f"{v.subject} {v.action}" for v in reported))
        raise InputError(f"--render: no video of {wanted}; there are cameras from 0 up of {found}")
    return videos[args.viz_camera]


def render_video(
    models: dict[str, Lifter],
    refinements: dict[str, Refinement | None],
    video: LabelledVideo,
    sampling: Sampling,
    synthetic: bool,
    args: Namespace,
) -> None:
    """Draw a labelled video: the 2D, the label, and every model's pose, J-Agg or, where it is the result, refined."""
    poses = {}
    for name, model in models.items():
        refinement = refinements[name] if name in REFINED_ROWS else None
        ((_, pose, _),) = lift_videos(model, [video], sampling, refinement, args.root)
        poses[TITLES[name]] = pose.numpy()
    poses["ground truth"] = video.pose.numpy()
    output = args.viz_output or args.checkpoint / RENDER_FILE
    pixels = denormalise(video.keypoints, video.width, video.height).numpy()
    render(
        pixels, (video.width, video.height), poses, output, video.fps,
        limit=args.viz_limit, skip=args.viz_skip, downsample=args.viz_downsample, size=args.viz_size,
        title=f"{'SYNTHETIC ' if synthetic else ''}{video.subject} {video.action}, camera {video.camera}",
    )  # fmt: skip
    print(f"drawn: {output}")
