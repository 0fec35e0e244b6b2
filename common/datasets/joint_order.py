"""Can the numbers of a video be a person before its camera, and the joints of a pose be in order? Asked when read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..geometry.camera import Camera
from ..geometry.skeleton import H36M_17, JOINT_ORDERS, Skeleton, convert

SMALLEST_PERSON, LARGEST_PERSON = 0.3, 4.0  # metres, the diagonal of the box round a pose
FARTHEST = 50.0  # metres from the camera
LARGEST_NUMBER = 1e9  # of any unit; float32 can still square it
SMALLEST_PIXELS = 4  # keypoints all nearer to zero than this are not pixels
FARTHEST_IMAGES = 10  # image sizes that a keypoint may lie from the image's middle

NAMED = 3  # videos named in a message, the worst ones
BATCH = 32  # videos looked at together

# Metres between two joints of a person, with room for children, tall people and the habits of data sets; joints named
# without L or R exist on both sides.
_LIMBS = {
    "thigh": ("Hip", "Knee", 0.2, 0.65),
    "shank": ("Knee", "Foot", 0.2, 0.65),
    "upper arm": ("Shoulder", "Elbow", 0.12, 0.45),
    "forearm": ("Elbow", "Wrist", 0.12, 0.4),
}
_SPANS = {
    "trunk": ("Hip", "Thorax", 0.25, 0.8),
    "neck and head": ("Thorax", "Head", 0.08, 0.5),
    "hip width": ("LHip", "RHip", 0.06, 0.5),
    "shoulder width": ("LShoulder", "RShoulder", 0.12, 0.65),
}
_SIDES = {"left": "L", "right": "R"}
_LENGTHS = {
    f"{side} {limb}": (letter + start, letter + end, low, high)
    for limb, (start, end, low, high) in _LIMBS.items()
    for side, letter in _SIDES.items()
} | _SPANS
_STARTS = H36M_17.indices(*(start for start, *_ in _LENGTHS.values()))
_ENDS = H36M_17.indices(*(end for _, end, *_ in _LENGTHS.values()))
_ASYMMETRY = 0.3  # of the mean of both sides; people stay below 0.05, hand-made annotation below 0.2
_VARIATION = 0.5  # of the median, between the 10th and the 90th percentile of the frames; noise of 3 cm makes 0.45
_BENT = 0.1  # mean sine of the knees' angle below which nobody can tell front from back
_BACKWARDS = -0.5  # mean cosine that asks for a warning; right data are near 0.9
EXCHANGED = "left and right look exchanged"  # how two of the answers begin


@dataclass
class Findings:
    """One printable line each.

    Attributes:
        contradictions: what cannot be; the data should be refused. doubts: what the user should know.
        videos: the names of the videos that contradictions are about.
    """

    contradictions: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)


def line(where: str, what: str, names: Sequence[str], total: int, mend: str) -> str:
    """What `names`, the worst ones first, of `total` videos have."""
    return f"{where}: {what}, in {len(names)} of {total} videos, the worst: {', '.join(names[:NAMED])}; {mend}"


def check_numbers(
    points: np.ndarray,
    pixels: np.ndarray,
    camera: Camera,
    where: str,
    valid: np.ndarray | None = None,
    seen: np.ndarray | None = None,
) -> list[str]:
    """What no person before this camera can be; to be asked before the numbers become float32.

    Args:
        points: (F, J, 3) camera axes, metres. pixels: (F, J, 2).
        valid: (F,) bool, the frames whose labels mean something. seen: (F, J) bool, the keypoints that do.

    Returns:
        Contradictions, a line each, the first one the most telling; nothing when all is well.
    """
    frames = np.arange(len(points)) if valid is None else np.flatnonzero(valid)
    if len(frames) == 0:
        return [f"{where}: no frame is valid, expected some; leave out this video"]
    judged = points if valid is None else points[frames]
    return check_points(judged, frames, where) + check_pixels(pixels, camera, where, seen)


def _frames(bad: np.ndarray, frames: np.ndarray) -> str:
    return f"{bad.sum()} of {len(bad)} frames, the first is frame {frames[bad.argmax()]}"


def check_points(points: np.ndarray, frames: np.ndarray, where: str) -> list[str]:
    """What is wrong with points (F, J, 3), camera axes, metres, of the frames numbered `frames` (F,)."""
    if not (points.max() < LARGEST_NUMBER and points.min() > -LARGEST_NUMBER):  # NaN is neither
        bad = np.logical_not((np.abs(points) < LARGEST_NUMBER).all((1, 2)))
        found = f"NaN, infinity or absurd numbers in {_frames(bad, frames)}"
        return [f"{where}: the 3D holds {found}; leave out these frames"]
    # Joint by joint, each in one piece of memory: several times faster than along the middle axis.
    joints = np.ascontiguousarray(points.transpose(1, 2, 0), dtype=np.float32)  # (J, 3, F)
    highest, lowest = joints.max(0), joints.min(0)  # (3, F)
    sizes = np.sqrt(((highest - lowest) ** 2).sum(0))
    size, wanted = float(np.median(sizes)), f"expected a person of {SMALLEST_PERSON} to {LARGEST_PERSON} m"
    if not SMALLEST_PERSON <= size <= LARGEST_PERSON:
        hint = "is this 3D at all"
        for factor, unit in ((1000, "millimetres"), (100, "centimetres")):
            if SMALLEST_PERSON <= size / factor <= LARGEST_PERSON:
                hint = f"these look like {unit} taken for metres, divide by {factor}"
            if SMALLEST_PERSON <= size * factor <= LARGEST_PERSON:
                hint = f"these look like metres taken for {unit}, multiply by {factor}"
        return [f"{where}: the 3D is {size:.3g} m across (median), {wanted}; {hint}"]
    lines = []
    if (bad := (sizes < SMALLEST_PERSON) | (sizes > LARGEST_PERSON)).any():
        found = f"{sizes[bad.argmax()]:.3g} m across in {_frames(bad, frames)}"
        lines.append(f"{where}: the 3D is {found}, {wanted}; leave out these frames")
    if (bad := lowest[2] <= 0).any():
        found = f"has joints at or behind the camera in {_frames(bad, frames)}"
        lines.append(f"{where}: the 3D {found}; expected camera space, not relative to the pelvis")
    if (bad := highest[2] > FARTHEST).any():
        found = f"{highest[2, bad.argmax()]:.3g} m away in {_frames(bad, frames)}"
        mend = "look at the unit and at the camera's place"
        lines.append(f"{where}: the 3D is {found}, expected less than {FARTHEST:.0f} m from the camera; {mend}")
    return lines


def check_pixels(pixels: np.ndarray, camera: Camera, where: str, seen: np.ndarray | None) -> list[str]:
    """What is wrong with keypoints (F, J, 2), pixels; `seen` is (F, J) bool."""
    size = np.array([camera.width, camera.height])
    images = f"expected pixels of {camera.width} x {camera.height}"
    ends = [(pixels[..., axis].min(), pixels[..., axis].max()) for axis in (0, 1)]
    if all(
        -size[i] / 2 < low and high < 1.5 * size[i] and high > SMALLEST_PIXELS for i, (low, high) in enumerate(ends)
    ):
        return []  # as nearly always
    if seen is not None:
        pixels = np.where(seen[..., None], pixels, size / 2)
    away = np.abs(pixels - size / 2)  # (F, J, 2)
    if (bad := np.logical_not((away < FARTHEST_IMAGES * size).all((1, 2)))).any():
        found = f"NaN or numbers far outside the image in {_frames(bad, np.arange(len(pixels)))}"
        return [f"{where}: the 2D holds {found}, {images}; leave out these frames or mark the joints as missing"]
    if abs(pixels).max() < SMALLEST_PIXELS:
        return [f"{where}: all of the 2D is below {SMALLEST_PIXELS}, {images}; these look normalised"]
    outside = (away > size).any(-1).mean()
    if outside > 0.5:
        return [f"{where}: {outside:.0%} of the 2D is far outside the image, {images}; take it from the original video"]
    return []


def check_joint_order(pose: torch.Tensor) -> str | None:
    """Say what is wrong with poses that cannot be a person in Human3.6M-17 order.

    Looked at, in turn: lengths of limbs, trunk and head, as medians over the frames; the same length left and right;
    lengths that stay the same from frame to frame; shoulders on the same sides as hips; knees that bend so that the
    shank goes backwards. The last one finds left and right exchanged, or x negated, in the whole body.

    Not seen: neighbours on one line (Spine, Neck/Nose) exchanged or displaced; left and right exchanged in people who
    keep their legs straight, and in a single frame of crossed legs; joints exchanged in less than half of the frames.

    Args:
        pose: (F, 17, 3) metres, camera or world axes (right-handed), with or without the root's place.

    Returns:
        One line that names the first thing that is wrong, None when nothing is.
    """
    return check_joint_orders(pose[None])[0]


def check_joint_orders(poses: torch.Tensor) -> list[str | None]:
    """The same of several videos at once, (B, F, 17, 3): much faster than one after another."""
    poses = poses.double()
    lengths = (poses[:, :, _ENDS] - poses[:, :, _STARTS]).norm(dim=-1)  # (B, F, lengths)
    spread = lengths.quantile(lengths.new_tensor([0.1, 0.5, 0.9]), dim=1)  # (3, B, lengths)
    sides = _backwards(poses)
    return [_lengths_answer(person) or answer for person, answer in zip(spread.permute(1, 2, 0).tolist(), sides)]


def check_orders(poses: Mapping[str, torch.Tensor], where: str, order: Skeleton, findings: Findings) -> None:
    """Add the joints that are out of order: certain where most videos are so and a known mend would help.

    Args:
        poses: video's name -> (F, 17, 3) metres, as many frames of each. order: that of the file, before converted.
    """
    names, wrong = list(poses), []
    for start in range(0, len(names), BATCH):
        group = names[start : start + BATCH]
        answers = check_joint_orders(torch.stack([poses[name] for name in group]))
        wrong += [(name, answer) for name, answer in zip(group, answers) if answer]
    if wrong:
        mends = [mend for name, answer in wrong if (mend := _find_mend(poses[name], answer, order))]
        mend = mends[0] if mends else f"the file must have its joints in {order.name} order, {order.joints[0]} first"
        said = line(where, wrong[0][1], [name for name, _ in wrong], len(poses), mend)
        certain = len(mends) > len(poses) / 2
        (findings.contradictions if certain else findings.doubts).append(said)
        findings.videos += [name for name, _ in wrong] if certain else []


def _find_mend(pose: torch.Tensor, answer: str, order: Skeleton) -> str | None:
    """What would put a pose (F, 17, 3) right of which `answer` was said; None where nothing known would.

    Args:
        order: that of the file, before it was converted.
    """
    if EXCHANGED in answer:
        return "exchange left and right in both"
    as_read = convert(pose, H36M_17, order)
    for other in JOINT_ORDERS.values():
        full = other.root is not None and len(other.joints) == len(order.joints)
        if full and other != order and check_joint_order(convert(as_read, other, H36M_17)) is None:
            return f"it looks like {other.name} order, convert it to {order.name}"
    return None


def _lengths_answer(spread: list[list[float]]) -> str | None:
    """Of each length its 10th percentile, median and 90th percentile, metres."""
    known = dict(zip(_LENGTHS, spread))
    for name, (_, _, low, high) in _LENGTHS.items():
        if not low <= (median := known[name][1]) <= high:
            return f"the joint order looks wrong: the {name} is {median:.2f} m, expected {low} to {high} m"
    for limb in _LIMBS:
        left, right = (known[f"{side} {limb}"][1] for side in _SIDES)
        if abs(left - right) > _ASYMMETRY * (left + right) / 2:
            return f"the joint order looks wrong: the left {limb} is {left:.2f} m, the right one {right:.2f} m"
    for name, (low, median, high) in known.items():
        if name not in _SPANS and high - low > _VARIATION * median:
            return f"the joint order looks wrong: the {name} changes from {low:.2f} to {high:.2f} m between frames"
    return None


def _backwards(poses: torch.Tensor) -> list[str | None]:
    """Per video of (B, F, 17, 3) what of the body looks to the wrong side."""
    hips = _towards(poses, "RHip", "LHip")  # (B, F, 3) to the person's left
    shoulders = _towards(poses, "RShoulder", "LShoulder")
    facing = (hips * shoulders).sum(-1).mean(1)  # (B,)
    bends = torch.stack(
        [
            torch.linalg.cross(
                _towards(poses, f"{side}Hip", f"{side}Knee"), _towards(poses, f"{side}Knee", f"{side}Foot")
            )
            for side in _SIDES.values()
        ]
    )  # (2, B, F, 3): as long as the sine of the knee's angle, to the person's left where the shank goes backwards
    sine = bends.norm(dim=-1).mean((0, 2))
    forwards = (sine > _BENT) & ((bends * hips).sum(-1).mean((0, 2)) < _BACKWARDS * sine)
    return [
        f"{EXCHANGED}: the shoulders face away from the hips"
        if away < _BACKWARDS
        else f"{EXCHANGED}: the knees bend forwards"
        if knees
        else None
        for away, knees in zip(facing.tolist(), forwards.tolist())
    ]


def _towards(poses: torch.Tensor, start: str, end: str) -> torch.Tensor:
    """(..., 3) unit vectors."""
    return torch.nn.functional.normalize(
        poses[..., H36M_17.index(end), :] - poses[..., H36M_17.index(start), :], dim=-1
    )
