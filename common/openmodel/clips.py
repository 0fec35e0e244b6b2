"""Endless clips for training: recorded motion with other bodies, seen from anywhere, as detectors see it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch

from ..datasets.clips import LabelledBatch
from ..geometry.camera import rotation_between
from ..geometry.skeleton import H36M_17
from ..mocap.standing import FPS
from . import bodies, detectors
from .motion import Motion

ELEVATION_DEG = (-30.0, 50.0)
USUAL_ELEVATION_DEG = (8.0, 10.0)  # mean and standard deviation of half of the cameras
ROLL_DEG, LARGE_ROLL_DEG, LARGE_ROLLS = 6.0, 35.0, 0.3
DISTANCE_M = (2.0, 10.0)
FOCAL = (1.2, 4.0)  # normalised: 0.6 to 2 of the width
ASPECTS = (9 / 16, 3 / 4, 1.0, 16 / 9)  # height over width
FILL = (0.25, 0.95)  # of the image's smaller side that a standing person fills
PERSON_M = 1.75
ASIDE = 0.7  # of the way to the image's edge
FOCAL_GUESSED, FOCAL_ERROR = 0.3, 0.15  # chance that the focal length is guessed, and how far off it then is
SHORT = 0.1  # chance of a clip from a video shorter than the clip: its last frame is repeated
PACE = (0.75, 1.33)  # times the lifter's frame rate: videos are thinned to whole frames, and people move faster or not
NEAREST = 0.3  # metres, in front of the camera


@dataclass(frozen=True)
class Recipe:
    """Which augmentations there are; all of them unless an ablation leaves some out."""

    exchange: bool = True
    turns: bool = True
    bodies: bool = True
    definitions: bool = True
    noise: bool = True
    missing: bool = True
    swaps: bool = True
    truncation: bool = True
    pace: bool = True
    focal: bool = True

    @classmethod
    def without(cls, names: list[str]) -> "Recipe":
        return cls(**{field.name: field.name not in names for field in fields(cls)})


def clips(
    motion: Motion, frames: int, rate: float, recipe: Recipe, batch_size: int, generator: torch.Generator
) -> Iterator[LabelledBatch]:
    """Batches without end; the random numbers come from `generator` alone, on the CPU.

    Args:
        frames: T. rate: frames a second.

    Returns:
        Keypoints with a detector's errors; poses are of the joints that the detector means, exactly.
    """
    while True:
        yield one_batch(motion, frames, rate, recipe, batch_size, generator)


def one_batch(
    motion: Motion, frames: int, rate: float, recipe: Recipe, count: int, generator: torch.Generator
) -> LabelledBatch:
    """One batch of `clips`."""
    world = draw_motion(motion, frames, rate, recipe.pace, count, generator)
    world = bodies.mirrored(world, generator)
    if recipe.exchange:
        world = bodies.exchange_limbs(world, generator)
    if recipe.turns:
        world = bodies.turn_joints(world, generator)
    if recipe.bodies:
        world = bodies.other_bodies(world, generator)
    family = detectors.draw_families(count, generator)
    if recipe.definitions:
        world = detectors.detector_joints(world, family, generator)
    else:
        family = torch.full_like(family, detectors.EXACT)
    placed, focal, up = before_cameras(world, generator)
    points = placed[..., :2] / placed[..., 2:].clamp_min(NEAREST) * focal[:, None, None, None]
    if recipe.noise:
        points = detectors.add_noise(points, family, generator)
    if recipe.swaps:
        points = detectors.swap_sides(points, generator)
    seen = None
    if recipe.missing or recipe.truncation:
        seen = detectors.seen_joints(points, generator, recipe.missing, recipe.truncation)
        points = detectors.fill_gaps(points, seen)
    assumed = focal
    if recipe.focal:
        wrong = bodies.chance(count, FOCAL_GUESSED, generator)
        assumed = focal * torch.exp(FOCAL_ERROR * wrong * torch.randn(count, generator=generator))
    intrinsics = torch.zeros(count, 9)
    intrinsics[:, :2] = assumed[:, None]
    trajectory = placed[..., H36M_17.root_index, :]
    return LabelledBatch(
        keypoints=points, intrinsics=intrinsics, subjects=[""] * count, up=up,
        confidence=None if seen is None else seen.float(),
        pose=placed - trajectory[..., None, :], trajectory=trajectory,
    )  # fmt: skip


def draw_motion(
    motion: Motion, frames: int, rate: float, pace: bool, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Clips (B, T, 17, 3) of recorded motion, world axes, their mean root at the origin; linear between frames."""
    middle = torch.multinomial(motion.odds, count, replacement=True, generator=generator)
    low, high = (math.log(x) if pace else 0.0 for x in PACE)
    step = FPS / rate * torch.exp(low + (high - low) * torch.rand(count, generator=generator))
    at = torch.arange(frames)
    if pace:
        short = bodies.chance(count, SHORT, generator)
        longest = torch.randint(1, frames + 1, (count,), generator=generator).where(short, frames)
        at = torch.minimum(at, longest[:, None] - 1)
    times = (at - (frames - 1) / 2) * step[:, None]
    # The middle is moved so that the clip fits into its take; one longer than the take repeats its last frame.
    first, last = motion.first[middle].float(), motion.last[middle].float()
    half = (frames - 1) / 2 * step
    centre = torch.maximum(torch.minimum(middle.float(), last - half), first + half)
    times = torch.minimum(centre[:, None] + times, last[:, None])
    before = times.long()
    after = torch.minimum(before + 1, motion.last[middle][:, None])
    share = (times - before)[..., None, None]
    joints = motion.joints[before] * (1 - share) + motion.joints[after] * share
    return joints - joints[:, :, H36M_17.root_index].mean(1)[:, None, None]


def before_cameras(world: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A camera for each clip, at random.

    Args:
        world: (B, T, 17, 3) metres, z up, about the origin.

    Returns:
        (B, T, 17, 3) metres in the camera's frame; the focal lengths (B,), normalised; up (B, 3), camera axes.
    """
    count = len(world)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    yaw = uniform(0, 2 * math.pi)
    usual = USUAL_ELEVATION_DEG[0] + USUAL_ELEVATION_DEG[1] * torch.randn(count, generator=generator)
    elevation = usual.where(bodies.chance(count, 0.5, generator), uniform(*ELEVATION_DEG)).clamp(*ELEVATION_DEG)
    roll = ROLL_DEG * torch.randn(count, generator=generator)
    roll = uniform(-LARGE_ROLL_DEG, LARGE_ROLL_DEG).where(bodies.chance(count, LARGE_ROLLS, generator), roll)
    elevation, roll = elevation.deg2rad(), roll.deg2rad()
    # From the world's axes to those of a camera that looks at the origin: right, down and forward as rows.
    zero = torch.zeros(count)
    forward = -torch.stack([yaw.cos() * elevation.cos(), yaw.sin() * elevation.cos(), elevation.sin()], -1)
    right = torch.stack([-yaw.sin(), yaw.cos(), zero], -1)
    down = torch.linalg.cross(forward, right)
    cosine, sine = roll.cos()[:, None], roll.sin()[:, None]
    turn = torch.stack([cosine * right + sine * down, cosine * down - sine * right, forward], 1)  # (B, 3, 3)

    distance = torch.exp(uniform(*(math.log(x) for x in DISTANCE_M)))
    aspect = torch.tensor(ASPECTS)[torch.randint(len(ASPECTS), (count,), generator=generator)]
    focal = (2 * uniform(*FILL) * aspect.clamp(max=1) * distance / PERSON_M).clamp(*FOCAL)
    aside = torch.stack([uniform(-ASIDE, ASIDE), uniform(-ASIDE, ASIDE) * aspect], -1) / focal[:, None]
    towards = bodies.unit(torch.cat([aside, torch.ones(count, 1)], -1))  # (B, 3) the ray through the person
    axis = towards.new_tensor([0.0, 0.0, 1.0]).expand_as(towards)
    turn = rotation_between(axis, towards) @ turn
    placed = world @ turn[:, None].mT + (distance[:, None] * towards)[:, None, None]
    return placed, focal, turn[:, :, 2]
