"""Do 2D and 3D belong together? Asked of the arrays of a video as they are read, then of the data set as a whole.

What cannot be is a contradiction, what is odd a doubt. Detected 2D errs by several pixels, now and then by many:
certain is only a misfit far beyond a detector's, or a smaller one that goes away once a mistake is supposed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..geometry.camera import project, undistort
from ..geometry.skeleton import H36M_17, JOINT_ORDERS, Skeleton, convert
from .joint_order import EXCHANGED, Findings, check_joint_order, check_numbers, check_orders, line
from .video import LabelledVideo

__all__ = ["Findings", "check_joint_order", "check_numbers", "check_videos"]

# Median distances between the 2D and the projected 3D of a video, of the image width. Human3.6M's best known detector
# (CPN) stays near 0.01 and, in its worst videos, below 0.025; a person is about 0.3 high.
IMPOSSIBLE, ODD, SUSPECT = 0.06, 0.03, 0.015
FITTING = 0.02  # what a mistake may leave once it is undone, ...
UNDONE, FITTED = 0.5, 0.25  # ... also of what it was before: where nothing, and where something, was fitted
SHIFTED = 0.8  # the same, where the delay of the motion says it too
INEXACT = 0.5  # pixels, for 2D that was made by projecting
LARGEST_DELAY = 0.04  # seconds by which the 2D may seem late; a detector of twice the usual noise makes 0.023
CORRELATED = 0.3  # seconds that a detector's error stays much the same
SMALLEST_SHIFT, FARTHEST_STEPS = 0.1, 50  # seconds worth a word; tenths of a second that are looked through
LARGEST_MOVE = 1.0  # metres that a person's place may be wrong: some takes of Human3.6M's S9 are, their poses are right
STRAY = 0.1  # of the frames may be IMPOSSIBLE, most of their joints
STILL = 1e-3  # metres in which nobody's root stays
SAMPLED, BATCH = 64, 32  # frames of a video that are looked at, evenly taken; videos at a time
RATES = (2, 3, 4, 5, 6 / 5)  # between the frame rates of 2D and 3D

# Per kind of mistake what the data looks like, and the mend.
_MISTAKES = {
    "sides 2D": ("left and right look exchanged in the 2D", "exchange them in the file's keypoints"),
    "sides 3D": ("left and right look exchanged in the 3D", "exchange them in the file's 3D"),
    "order 2D": ("the 2D looks like another joint order", "convert the keypoints"),
    "order 3D": ("the 3D looks like another joint order", "convert the 3D"),
    "mirrored": ("the 2D looks taken from mirrored images", "negate x, measured from the image's middle"),
    "rate": ("2D and 3D look like different frame rates", "bring both to one frame rate"),
    "shift": ("2D and 3D look shifted in time", "start both with the same frame"),
    "camera": ("the 2D looks like another camera's", "put the cameras into the order of the calibration"),
    "take": ("the 2D looks like another recording's", "exchange the recordings' 2D or 3D"),
    "scale": ("the 2D looks like that of a video of another size", "scale it to pixels of the calibrated image"),
    "size": ("the 3D looks like a person of another size", "take 3D of the true size (annot3, not univ_annot3)"),
    "relative": ("the 3D looks relative to the root", "give the joints' places in the room or before the camera"),
    "place": ("the person stands elsewhere in the 3D than in the 2D", "look at the 3D; poses relative to the root fit"),
    "": ("no simple mistake explains it", "look at these videos, their cameras and their names"),
}
_FITTED = ("shift", "scale", "size", "relative", "place")  # could seem right by bending to the data


@dataclass
class _Mistake:
    """One that was supposed: its kind, what was found, the median distance that it leaves, pixels; if it is sure."""

    kind: str
    found: str
    left: float
    certain: bool = True


@dataclass
class _Look:
    """A video at `SAMPLED` frames: where it shows the joints, `seen`, and where they should be, `expected` (S, 17, 2).

    Both are NaN where nothing is known. `misfit` is their median distance, `sides` that with left and right exchanged,
    pixels; `delay` the seconds that the 2D seems ahead; `far` (S, 17) tells joints that are IMPOSSIBLE.
    """

    video: LabelledVideo
    valid: torch.Tensor | None
    frames: torch.Tensor
    seen: torch.Tensor
    expected: torch.Tensor
    misfit: float
    sides: float
    delay: float
    far: torch.Tensor
    mistake: _Mistake | None = None

    def distance(self, seen: torch.Tensor, expected: torch.Tensor) -> float:
        """The median distance of points (..., 2), pixels; infinite where none is known."""
        return float((seen - expected).norm(dim=-1).nanmedian().nan_to_num(torch.inf)) * self.video.width / 2

    def see(self, points: torch.Tensor) -> torch.Tensor:
        """(F, 17, 2) float32, where the camera sees points (F, 17, 3)."""
        return project(points.float(), self.video.intrinsics)


def check_videos(
    videos: Sequence[LabelledVideo],
    where: str,
    exact: bool = False,
    valid: Sequence[torch.Tensor] | None = None,
    order: Skeleton = H36M_17,
) -> Findings:
    """Look for 2D and 3D that do not belong together, and for joints out of order.

    Args:
        where: the file, named in the lines.
        exact: the 2D was made by projecting the 3D, not detected.
        valid: per video (F,) bool, the frames whose labels mean something.
        order: the joint order of the file, in which mistakes are made; the videos are in Human3.6M's.
    """
    known = list(valid) if valid is not None else [None] * len(videos)
    looks = []
    for start in range(0, len(videos), BATCH):
        looks += _look_at(videos[start : start + BATCH], known[start : start + BATCH])
    wrong = []
    for look in looks:
        moved = look.sides < SHIFTED * look.misfit or abs(look.delay) > LARGEST_DELAY
        if moved or not look.misfit <= (INEXACT if exact else SUSPECT * look.video.width):  # NaN is wrong too
            wrong.append(look)
    for look in wrong:
        look.mistake = _explain(look, order)
    _match(looks, wrong)
    for look in wrong:
        if look.mistake is None and not look.misfit <= (INEXACT if exact else ODD * look.video.width):
            look.mistake = _Mistake("", "", look.misfit, not look.misfit <= IMPOSSIBLE * look.video.width)
    return _report(looks, where, order)


def _keypoints(video: LabelledVideo, frames: torch.Tensor) -> torch.Tensor:
    """(S, 17, 2) a copy, NaN where nothing was seen."""
    seen = video.keypoints.index_select(0, frames)
    if video.confidence is not None:
        seen[video.confidence[frames] <= 0] = torch.nan
    return seen


def _points(video: LabelledVideo, frames: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """(S, 17, 3) camera axes, metres, NaN where the label means nothing."""
    points = video.pose.index_select(0, frames) + video.trajectory.index_select(0, frames)[:, None]
    if valid is not None:
        points[~valid[frames]] = torch.nan
    return points


def _look_at(videos: Sequence[LabelledVideo], valid: Sequence[torch.Tensor | None]) -> list[_Look]:
    frames, points, spans = [], [], []
    for video, known in zip(videos, valid):
        chosen = torch.arange(len(video)) if known is None else known.nonzero()[:, 0]
        chosen = chosen[torch.linspace(0, len(chosen) - 1, SAMPLED).round().long()]
        step = max(1, round(video.fps / 10))
        three = torch.stack([chosen, (chosen + step).clamp_max(len(video) - 1), (chosen - step).clamp_min(0)])
        frames.append(chosen)
        points.append(_points(video, three.flatten(), known).unflatten(0, (3, -1)))  # (3, S, 17, 3)
        spans.append((three[1] - three[2]).clamp_min(1) / video.fps)
    expected, later, earlier = project(torch.stack(points), torch.stack([v.intrinsics for v in videos])).unbind(1)
    seen = torch.stack([_keypoints(video, chosen) for video, chosen in zip(videos, frames)])  # (B, S, 17, 2)
    away = seen - expected
    distance = away.norm(dim=-1)
    misfit = distance.flatten(1).nanmedian(1).values
    sides = (seen[:, :, H36M_17.mirrored] - expected).norm(dim=-1).flatten(1).nanmedian(1).values
    # The time by which the motion must be moved to meet the keypoints; one that lies far away counts less.
    speed = (later - earlier) / torch.stack(spans)[..., None, None]
    weight = 1 / (1 + (distance / misfit.clamp_min(1e-6)[:, None, None]) ** 2)[..., None]
    # Errors that stay for some frames are fewer witnesses; the doubt they leave (ridge) says that nothing is late.
    seconds = torch.tensor([float(f[-1] - f[0] + 1) / v.fps for v, f in zip(videos, frames)])
    ridge = misfit**2 * (SAMPLED * CORRELATED / seconds).clamp_min(1) / (LARGEST_DELAY / 2) ** 2 + 1e-9
    delay = (weight * away * speed).nansum((1, 2, 3)) / ((weight * speed**2).nansum((1, 2, 3)) + ridge)
    numbers, far = torch.stack([misfit, sides, delay], 1).tolist(), distance > 2 * IMPOSSIBLE  # the image is 2 wide
    return [
        _Look(video, known, f, k, e, m * video.width / 2, s * video.width / 2, late, bad)
        for video, known, f, k, e, (m, s, late), bad in zip(videos, valid, frames, seen, expected, numbers, far)
    ]


def _explain(look: _Look, order: Skeleton) -> _Mistake | None:
    """The mistake that leaves least, simple ones first, if it leaves little."""
    best = None
    for found in _suppose(look, order):
        late = found.kind == "shift" and abs(look.delay) > LARGEST_DELAY
        share = SHIFTED if late else FITTED if found.kind in _FITTED else UNDONE
        explains = found.left < min(FITTING * look.video.width, share * look.misfit)
        if explains and (best is None or found.left < UNDONE * best.left):
            best = found
    return best


def _suppose(look: _Look, order: Skeleton) -> Iterator[_Mistake]:
    video, seen, expected = look.video, look.seen, look.expected
    corner = seen.new_tensor([1, video.height / video.width])  # normalised coordinates begin at minus this
    answer = check_joint_order(video.pose[look.frames]) or ""
    yield _Mistake("sides 3D" if EXCHANGED in answer else "sides 2D", "left is right", look.sides)
    for other in JOINT_ORDERS.values():
        if other != order and len(other.joints) == len(order.joints):
            as_read, mend = convert(seen, H36M_17, order), convert(expected, H36M_17, order)
            yield _Mistake("order 2D", other.name, look.distance(convert(as_read, other, H36M_17), expected))
            if other.root is not None:
                yield _Mistake("order 3D", other.name, look.distance(seen, convert(mend, other, H36M_17)))
    yield _Mistake("mirrored", "x negated", look.distance(seen * seen.new_tensor([-1, 1]), expected))
    everywhere = look.see(_points(video, torch.arange(len(video)), look.valid))  # (F, 17, 2)
    yield from _shifts(look, everywhere)
    last = len(video) - 1
    for rate in RATES:
        slow = torch.linspace(0, int(last / rate), SAMPLED).round().long().unique()
        fast = (slow * rate).round().long().clamp_max(last)
        yield _Mistake("rate", f"2D at 1/{rate:g}", look.distance(_keypoints(video, slow), everywhere[fast]))
        yield _Mistake("rate", f"3D at 1/{rate:g}", look.distance(_keypoints(video, fast), everywhere[slow]))

    both = (seen + expected).isfinite().all(-1)  # (S, 17)
    shown, wanted = seen[both] + corner, expected[both] + corner  # (N, 2)
    scale = ((shown * wanted).sum(-1) / (wanted**2).sum(-1).clamp_min(1e-9)).median()
    yield _Mistake("scale", f"{scale:.2f} times", look.distance(shown / scale, wanted))

    # A joint (x, y, z) of the pose is seen on the ray u where u (Z + z) = X + x, with the root at (X, Y, Z).
    pose, root = video.pose[look.frames].double(), video.trajectory[look.frames].double()
    ray = undistort(seen.double(), video.intrinsics.double())
    ray = torch.where(both[..., None], ray, torch.nan)
    of_pose = (pose[..., :2] - ray * pose[..., 2:]).nan_to_num()  # (S, 17, 2)
    of_root = (ray * root[:, None, 2:] - root[:, None, :2]).nan_to_num()
    factor = (of_pose * of_root).sum() / (of_pose**2).sum().clamp_min(1e-9)
    yield _Mistake(
        "size", f"{factor:.2f} times as large", look.distance(seen, look.see(factor * pose + root[:, None])), False
    )
    rows = torch.cat([torch.eye(2).double().expand(*ray.shape, 2), -ray[..., None]], -1)  # (S, 17, 2, 3)
    rows = torch.where(both[..., None, None], rows, 0).flatten(1, 2)
    place = torch.linalg.lstsq(rows, -of_pose.flatten(1)[..., None]).solution[..., 0]  # (S, 3)
    off = float((place - root).norm(dim=-1).median())
    still = len(video) > 1 and float((root.amax(0) - root.amin(0)).max()) < STILL
    left = look.distance(seen, look.see(pose + place[:, None]))
    yield _Mistake("relative" if still else "place", f"{off:.1f} m off", left, still or off > LARGEST_MOVE)


def _shifts(look: _Look, everywhere: torch.Tensor) -> Iterator[_Mistake]:
    """The shift in time that leaves least, found coarsely, then to the frame."""
    video, frames, best, left = look.video, look.frames[::2], 0, torch.inf
    step = max(1, round(video.fps / 10))
    for count, size in ((min(FARTHEST_STEPS, len(video) // 2 // step), step), (step, 1)):
        shifts = best + torch.arange(-count, count + 1) * size
        there = frames + shifts[:, None]
        expected = everywhere[there.clamp(0, len(video) - 1)]  # (shifts, S / 2, 17, 2)
        expected[(there < 0) | (there >= len(video))] = torch.nan
        distance = (look.seen[::2] - expected).norm(dim=-1).flatten(1).nanmedian(1).values.nan_to_num(torch.inf)
        best, left = int(shifts[distance.argmin()]), float(distance.min()) * video.width / 2
    if abs(best) / video.fps >= SMALLEST_SHIFT or left < FITTED * look.misfit:
        text = f"2D {abs(best) / video.fps:.2f} s {'ahead' if best > 0 else 'behind'}"
        yield _Mistake("shift", text, left, left < UNDONE * look.misfit)


def _match(looks: Sequence[_Look], wrong: Sequence[_Look]) -> None:
    """Look for the 2D of `wrong` videos among the others of their subject, and those of their action and camera."""
    if wrong:
        frames = torch.linspace(0, min(len(look.video) for look in looks) - 1, 24).round().long()
        shown = torch.stack([_keypoints(look.video, frames) for look in looks])  # (N, 24, 17, 2)
    for look in wrong:
        video = look.video
        place = (video.action, video.camera)
        near = [(x.video.subject == video.subject) or (x.video.action, x.video.camera) == place for x in looks]
        others = [i for i, x in enumerate(looks) if near[i] and x is not look]
        if not others:
            continue
        expected = look.see(_points(video, frames, look.valid))
        distance = (shown[others] - expected).norm(dim=-1).flatten(1).nanmedian(1).values.nan_to_num(torch.inf)
        other = looks[others[int(distance.argmin())]].video
        same = look.frames < len(other)
        left = look.distance(_keypoints(other, look.frames[same]), look.expected[same])
        if left < min(FITTING * video.width, UNDONE * (look.mistake.left if look.mistake else look.misfit)):
            take = (other.subject, other.action) == (video.subject, video.action)
            look.mistake = _Mistake("camera" if take else "take", f"that of {other.name}", left)


def _report(looks: Sequence[_Look], where: str, order: Skeleton) -> Findings:
    findings = Findings()
    kinds: dict[tuple[str, bool], list[tuple[float, str, str]]] = {}
    for look in looks:
        if look.mistake:
            cure = f", {look.mistake.left:.3g} px if so: {look.mistake.found}" if look.mistake.kind else ""
            text = f"{look.video.name} ({look.misfit:.3g} px of {look.video.width} apart{cure})"
            known = kinds.setdefault((look.mistake.kind, look.mistake.certain), [])
            known.append((-look.misfit, text, look.video.name))
    for (kind, certain), found in kinds.items():
        looks_like, mend = _MISTAKES[kind]
        what, texts = f"2D and 3D do not belong together: {looks_like}", [text for _, text, _ in sorted(found)]
        said = line(where, what, texts, len(looks), mend)
        (findings.contradictions if certain else findings.doubts).append(said)
        findings.videos += [name for *_, name in found] if certain else []
    fine = [look for look in looks if not look.mistake]
    _report_parts(findings, fine, where, len(looks))
    poses = {look.video.name: look.video.pose.index_select(0, look.frames) for look in fine}
    check_orders(poses, where, order, findings)
    return findings


def _report_parts(findings: Findings, looks: Sequence[_Look], where: str, total: int) -> None:
    """Videos that fit as a whole, but not all of their frames or joints."""
    names = []
    for look in (look for look in looks if look.far.any()):
        frames = float((look.far.float().mean(1) > 0.5).float().mean())
        joints = [H36M_17.joints[joint] for joint in (look.far.float().mean(0) > 0.5).nonzero()[:, 0].tolist()]
        if frames > STRAY or joints:
            names.append(f"{look.video.name} ({', '.join(joints) or f'{frames:.0%} of the frames'})")
    if names:
        what = f"2D and 3D are more than {IMPOSSIBLE:.0%} of the image's width apart in some frames or joints"
        findings.doubts.append(line(where, what, names, total, "look at these videos"))
