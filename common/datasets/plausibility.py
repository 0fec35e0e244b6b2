"""Does a pose have its joints in the right order? A question put to labels when they are read."""

import torch

from ..geometry.skeleton import H36M_17

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
_ASYMMETRY = 0.3  # of the mean of both sides; people stay below 0.05, hand-made annotation below 0.2
_VARIATION = 0.5  # of the median, between the 10th and the 90th percentile of the frames; noise of 3 cm makes 0.45
_BENT = 0.1  # mean sine of the knees' angle below which nobody can tell front from back
_BACKWARDS = -0.5  # mean cosine that asks for a warning; right data are near 0.9


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
    pose = pose.double()
    lengths = {
        f"{side} {limb}": (_distance(pose, letter + start, letter + end), low, high)
        for limb, (start, end, low, high) in _LIMBS.items()
        for side, letter in _SIDES.items()
    }
    lengths |= {span: (_distance(pose, start, end), low, high) for span, (start, end, low, high) in _SPANS.items()}
    for name, (length, low, high) in lengths.items():
        if not low <= (median := length.median().item()) <= high:
            return f"the joint order looks wrong: the {name} is {median:.2f} m, expected {low} to {high} m"
    for limb in _LIMBS:
        left, right = (lengths[f"{side} {limb}"][0].median().item() for side in _SIDES)
        if abs(left - right) > _ASYMMETRY * (left + right) / 2:
            return f"the joint order looks wrong: the left {limb} is {left:.2f} m, the right one {right:.2f} m"
    for name, (length, _, _) in lengths.items():
        low, median, high = length.quantile(length.new_tensor([0.1, 0.5, 0.9])).tolist()
        if name not in _SPANS and high - low > _VARIATION * median:
            return f"the joint order looks wrong: the {name} changes from {low:.2f} to {high:.2f} m between frames"
    return _check_sides(pose)


def _check_sides(pose: torch.Tensor) -> str | None:
    hips = _towards(pose, "RHip", "LHip")  # (F, 3) to the person's left
    shoulders = _towards(pose, "RShoulder", "LShoulder")
    if (hips * shoulders).sum(-1).mean() < _BACKWARDS:
        return "left and right look exchanged: the shoulders face away from the hips"
    bends = torch.stack(
        [
            torch.linalg.cross(
                _towards(pose, f"{side}Hip", f"{side}Knee"), _towards(pose, f"{side}Knee", f"{side}Foot")
            )
            for side in _SIDES.values()
        ]
    )  # (2, F, 3): as long as the sine of the knee's angle, to the person's left where the shank goes backwards
    sine = bends.norm(dim=-1).mean()
    if sine > _BENT and (bends * hips).sum(-1).mean() < _BACKWARDS * sine:
        return "left and right look exchanged: the knees bend forwards"
    return None


def _distance(pose: torch.Tensor, start: str, end: str) -> torch.Tensor:
    """(F,) metres."""
    return (pose[:, H36M_17.index(end)] - pose[:, H36M_17.index(start)]).norm(dim=-1)


def _towards(pose: torch.Tensor, start: str, end: str) -> torch.Tensor:
    """(F, 3) unit vectors."""
    return torch.nn.functional.normalize(pose[:, H36M_17.index(end)] - pose[:, H36M_17.index(start)], dim=-1)
