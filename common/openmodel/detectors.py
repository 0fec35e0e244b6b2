"""What 2D detectors make of a person: where they put the joints, how far off they are, what they miss and mistake.

A detector's hips, neck and head are not those of motion capture. The joints are moved in 3D to where a family of
detectors puts them, and that is what the lifter is asked for: it lifts the joints it is shown.
"""

import torch

from ..geometry.skeleton import H36M_17
from ..mocap.detector_noise import DIFFICULTY
from .bodies import chance, chest_frame, frame_of, pelvis_frame, unit

EXACT, EYES, HEAD_TOP = range(3)  # families: motion capture's own; nose and eyes (COCO, BlazePose); nose and head top
FAMILIES = (0.25, 0.45, 0.30)
TRUNK_M = 0.45  # from hips to thorax, of the person whose offsets are given here in metres
# Mean and standard deviation over detectors and people, metres; the first of widths is a factor.
HIP_WIDTH, HIP_UP, HIP_FORWARD = (1.1, 0.15), (0.02, 0.025), (0.0, 0.02)
SHOULDER_WIDTH, SHOULDER_UP, SHOULDER_FORWARD = (1.0, 0.1), (-0.01, 0.02), (0.0, 0.015)
ALONG = {"Elbow": 0.03, "Wrist": 0.06, "Knee": 0.03, "Foot": 0.04}  # of the bone that ends there, standard deviation
NOSE, EYE, TOP = (-0.145, 0.12), (-0.115, 0.085), (0.0, 0.0)  # from the head's end: up, forward
HEAD_SPREAD = 0.015

CLEAN = 0.2  # chance of no noise
NOISE, NOISE_SPREAD = 0.008, 0.5  # of the box's mean side: median, and standard deviation of its logarithm
CORRELATION = 0.26  # from frame to frame, of 0.15 s at 5 frames a second
BIAS = 0.6  # of the same size, for as long as the clip
TAIL = 4  # degrees of freedom
JUMPS, JUMP_SIZE = 0.01, (3.0, 9.0)  # chance per joint and frame; times the joint's noise
MISSING = 0.15  # chance of a clip with joints missing
MISSED_RUNS = 0.15  # of its joints, have a run of frames missing
TRUNCATED = 0.08  # chance of a clip that the image's edge cuts
SWAPPED_LIMBS, SWAPPED_BODY = 0.06, 0.03  # chance of a clip with legs or arms, or all, left and right exchanged
DISTAL = {"Elbow": "Wrist", "Knee": "Foot"}


def _normal(mean_spread: tuple[float, float], count: int, generator: torch.Generator) -> torch.Tensor:
    """(B, 1)."""
    mean, spread = mean_spread
    return mean + spread * torch.randn(count, 1, generator=generator)


def draw_families(count: int, generator: torch.Generator) -> torch.Tensor:
    """(B,) of `EXACT`, `EYES`, `HEAD_TOP`."""
    return torch.multinomial(torch.tensor(FAMILIES), count, replacement=True, generator=generator)


def head_frame(pose: torch.Tensor) -> torch.Tensor:
    """(..., 17, 3) -> (..., 3, 3): forward, left, up."""
    thorax, nose, head = H36M_17.indices("Thorax", "Neck/Nose", "Head")
    up = unit(pose[..., head, :] - pose[..., thorax, :])
    ahead = pose[..., nose, :] - pose[..., head, :]
    return frame_of(torch.linalg.cross(up, ahead), up)


def detector_joints(pose: torch.Tensor, family: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The joints (B, T, 17, 3) where a detector of each clip's `family` (B,) sees them.

    Hips and shoulders are wider or narrower, higher or lower, elbows, wrists, knees and ankles farther along their
    bones; hip, spine and thorax are means of the others, as in the package's conversions; nose, eyes and the top of
    the head are where they are on a head.
    """
    count, moved = len(pose), pose.clone()
    root, spine, thorax = H36M_17.indices("Hip", "Spine", "Thorax")
    size = (pose[..., thorax, :] - pose[..., root, :]).norm(dim=-1).mean(1) / TRUNK_M  # (B,)
    size = size[:, None, None]
    for joint, lower in (("Elbow", "Shoulder"), ("Wrist", "Elbow"), ("Knee", "Hip"), ("Foot", "Knee")):
        both = ALONG[joint] * torch.randn(count, 1, generator=generator)
        for side in "LR":
            end, start = H36M_17.indices(side + joint, side + lower)
            own = both + 0.3 * ALONG[joint] * torch.randn(count, 1, generator=generator)
            moved[..., end, :] += own[..., None] * (pose[..., end, :] - pose[..., start, :])
    for joint, frame, widths, ups, forwards, middle in (
        ("Hip", pelvis_frame(pose), HIP_WIDTH, HIP_UP, HIP_FORWARD, "Hip"),
        ("Shoulder", chest_frame(pose), SHOULDER_WIDTH, SHOULDER_UP, SHOULDER_FORWARD, None),
    ):
        left, right = H36M_17.indices(f"L{joint}", f"R{joint}")
        centre = (pose[..., left, :] + pose[..., right, :]) / 2 if middle is None else pose[..., root, :]
        width = _normal(widths, count, generator).clamp(0.6, 1.5)[..., None]
        up, forward = (_normal(m, count, generator)[..., None] for m in (ups, forwards))
        shift = size * (up * frame[..., 2] + forward * frame[..., 0])  # (B, T, 3)
        for number in (left, right):
            moved[..., number, :] = centre + width * (pose[..., number, :] - centre) + shift
    with_means(moved, torch.ones_like(family, dtype=torch.bool))

    turned = head_frame(pose)
    head, nose = H36M_17.indices("Head", "Neck/Nose")
    tip = pose[..., head, :]

    def on_head(place: tuple[float, float]) -> torch.Tensor:
        up, forward = (_normal((x, HEAD_SPREAD), count, generator)[..., None] for x in place)
        return tip + size * (up * turned[..., 2] + forward * turned[..., 0])

    eyes, top = on_head(EYE), on_head(TOP)
    moved[..., nose, :] = on_head(NOSE)
    moved[..., head, :] = eyes.where((family == EYES)[:, None, None], top)
    return pose.where((family == EXACT)[:, None, None, None], moved)


def with_means(points: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Hip, spine and thorax of the `chosen` clips (B,) put midway between hips and shoulders, in place.

    Args:
        points: (B, T, 17, D).
    """
    root, spine, thorax, *pairs = H36M_17.indices("Hip", "Spine", "Thorax", "LHip", "RHip", "LShoulder", "RShoulder")
    hips, shoulders = points[..., pairs[:2], :].mean(-2), points[..., pairs[2:], :].mean(-2)
    chosen = chosen[:, None, None]
    for number, place in ((root, hips), (thorax, shoulders), (spine, (hips + shoulders) / 2)):
        points[..., number, :] = place.where(chosen, points[..., number, :])
    return points


def box_sides(points: torch.Tensor) -> torch.Tensor:
    """(B, T, 17, 2) -> (B, 1, 1, 1) the mean side of the person's box over the clip."""
    return (points.amax(-2) - points.amin(-2)).mean((1, 2))[:, None, None, None]


def add_noise(points: torch.Tensor, family: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Keypoints (B, T, 17, 2) with a detector's errors: by joint, correlated in time, heavy-tailed, of any size.

    Hip, spine and thorax that are means of joints (every family but `EXACT`) carry these joints' errors.
    """
    count, frames, joints, _ = points.shape
    level = NOISE * torch.exp(NOISE_SPREAD * torch.randn(count, generator=generator))
    level = level * ~chance(count, CLEAN, generator)
    steady = torch.randn(points.shape, generator=generator)
    for t in range(1, frames):
        steady[:, t] = CORRELATION * steady[:, t - 1] + (1 - CORRELATION**2) ** 0.5 * steady[:, t]
    tail = torch.randn(count, 1, joints, TAIL, generator=generator).square().mean(-1).clamp_min(0.05).rsqrt()
    tail = tail * torch.randn(count, frames, joints, TAIL, generator=generator).square().mean(-1).clamp_min(0.3).rsqrt()
    error = steady * tail[..., None] + BIAS * torch.randn(count, 1, joints, 2, generator=generator)
    jumps = torch.rand(count, frames, joints, 1, generator=generator) < JUMPS
    far = JUMP_SIZE[0] + (JUMP_SIZE[1] - JUMP_SIZE[0]) * torch.rand(count, frames, joints, 1, generator=generator)
    error = error + jumps * far * unit(torch.randn(points.shape, generator=generator))
    scale = points.new_tensor([DIFFICULTY[joint] for joint in H36M_17.joints])
    noisy = points + error * scale[:, None] * (level[:, None, None, None] * box_sides(points))
    return with_means(noisy, family != EXACT)


def swap_sides(points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Keypoints with left and right of legs, arms or everything exchanged over some frames of some clips."""
    count, frames = points.shape[:2]
    swapped = points[:, :, H36M_17.mirrored]
    limbs = torch.zeros(3, len(H36M_17.joints), dtype=torch.bool)  # legs, arms, all
    for joint in H36M_17.joints:
        leg, arm = joint[1:] in ("Knee", "Foot"), joint[1:] in ("Elbow", "Wrist")
        limbs[:, H36M_17.index(joint)] = torch.tensor([leg, arm, True])
    whole, part = chance(count, SWAPPED_BODY, generator), chance(count, SWAPPED_LIMBS, generator)
    which = torch.randint(2, (count,), generator=generator).where(~whole, 2)
    start = torch.randint(frames, (count, 1), generator=generator)
    length = torch.randint(1, max(frames // 2, 2), (count, 1), generator=generator)
    time = torch.arange(frames)
    during = (time >= start) & (time < start + length.where(~whole[:, None], 1)) & (whole | part)[:, None]
    return swapped.where((during[..., None] & limbs[which][:, None])[..., None], points)


def seen_joints(points: torch.Tensor, generator: torch.Generator, missing: bool, truncated: bool) -> torch.Tensor:
    """Which joints a detector saw, (B, T, 17) bool.

    Args:
        points: (B, T, 17, 2). missing: leave out runs of frames of some joints, with what hangs on them.
        truncated: cut some clips by an edge of the image, mostly the lower one.
    """
    count, frames, joints, _ = points.shape
    seen = torch.ones(count, frames, joints, dtype=torch.bool)
    if missing:
        start = torch.randint(-2, frames, (count, 1, joints), generator=generator)
        length = torch.randint(1, frames, (count, 1, joints), generator=generator)
        time = torch.arange(frames)[:, None]
        lost = (time >= start) & (time < start + length)
        lost &= torch.rand(count, 1, joints, generator=generator) < MISSED_RUNS
        lost &= chance(count, MISSING, generator)[:, None, None]
        for side in "LR":
            for upper, lower in DISTAL.items():
                above, below = H36M_17.indices(side + upper, side + lower)
                lost[..., below] |= lost[..., above]
        seen &= ~lost
    if truncated:
        edge = torch.multinomial(torch.tensor([0.1, 0.1, 0.2, 0.6]), count, replacement=True, generator=generator)
        axis, sign = edge // 2, (edge % 2) * 2.0 - 1
        along = points.gather(-1, axis[:, None, None, None].expand(count, frames, joints, 1))[..., 0]
        along = along * sign[:, None, None]
        low, high = along.amin((1, 2), keepdim=True), along.amax((1, 2), keepdim=True)
        share = 0.55 + 0.45 * torch.rand(count, 1, 1, generator=generator)
        cut = chance(count, TRUNCATED, generator)[:, None, None]
        seen &= ~((along > low + share * (high - low)) & cut)
    seen[..., H36M_17.root_index] = True
    return seen


def fill_gaps(points: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Places (B, T, 17, 2) for joints that were not `seen` (B, T, 17), as `common.datasets.keypoints` gives them.

    Between the frames around a gap on a straight line, at the ends as in the nearest frame; a joint never seen is in
    the middle of those that were.
    """
    frames = seen.shape[1]
    time = torch.arange(frames)[:, None].expand_as(seen)
    before = time.where(seen, -1).cummax(1).values
    after = time.where(seen, frames).flip(1).cummin(1).values.flip(1)
    never = ~seen.any(1, keepdim=True)
    low = before.where(before >= 0, after).clamp(0, frames - 1)
    high = after.where(after < frames, before).clamp(0, frames - 1)
    share = ((time - low) / (high - low).clamp_min(1)).clamp(0, 1)[..., None]
    at = [points.gather(1, index[..., None].expand_as(points)) for index in (low, high)]
    filled = at[0] + share * (at[1] - at[0])
    weight = (~never).float()[..., None]  # (B, 1, 17, 1)
    middle = (weight * filled).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
    return middle.where(never[..., None], filled)
