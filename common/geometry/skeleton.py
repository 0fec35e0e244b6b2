"""Joint orders, their names and the conversions between them: the only file that knows a joint's number.

Inside the package every pose is in the Human3.6M-17 order (`H36M_17`). Other orders exist only where files are
read or written, and are converted by joint name.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch

from ..tensors import constant

Points = TypeVar("Points", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named joints.

    `bones` gives every joint but the root its parent. `left` and `right` name the mirrored joints in matching order.
    """

    name: str
    joints: tuple[str, ...]
    root: str | None
    bones: dict[str, str] = field(hash=False)
    left: tuple[str, ...]
    right: tuple[str, ...]

    def index(self, joint: str) -> int:
        """The number of a joint. Raises `KeyError` with the skeleton's name when it has no such joint."""
        if joint not in self.joints:
            raise KeyError(f"{self.name} has no joint {joint!r}")
        return self.joints.index(joint)

    def indices(self, *joints: str) -> list[int]:
        """The numbers of several joints, in the order given."""
        return [self.index(joint) for joint in joints]

    @cached_property
    def root_index(self) -> int:
        """The number of the root joint. Raises `KeyError` for a skeleton without one."""
        if self.root is None:
            raise KeyError(f"{self.name} has no root")
        return self.index(self.root)

    @cached_property
    def parents(self) -> list[int]:
        """Per joint the number of its parent, -1 for the root."""
        return [self.index(self.bones[joint]) if joint in self.bones else -1 for joint in self.joints]

    @cached_property
    def mirrored(self) -> list[int]:
        """The permutation that swaps left and right joints."""
        partner = dict(zip(self.left + self.right, self.right + self.left))
        return self.indices(*(partner.get(joint, joint) for joint in self.joints))

    @cached_property
    def left_indices(self) -> list[int]:
        return self.indices(*self.left)

    @cached_property
    def right_indices(self) -> list[int]:
        return self.indices(*self.right)


H36M_17 = Skeleton(
    name="Human3.6M-17",
    joints=(
        "Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax", "Neck/Nose", "Head",
        "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    root="Hip",
    bones={
        "RHip": "Hip", "RKnee": "RHip", "RFoot": "RKnee", "LHip": "Hip", "LKnee": "LHip", "LFoot": "LKnee",
        "Spine": "Hip", "Thorax": "Spine", "Neck/Nose": "Thorax", "Head": "Neck/Nose",
        "LShoulder": "Thorax", "LElbow": "LShoulder", "LWrist": "LElbow",
        "RShoulder": "Thorax", "RElbow": "RShoulder", "RWrist": "RElbow",
    },
    left=("LHip", "LKnee", "LFoot", "LShoulder", "LElbow", "LWrist"),
    right=("RHip", "RKnee", "RFoot", "RShoulder", "RElbow", "RWrist"),
)  # fmt: skip

# The 32 joints of the Human3.6M files. The 17 that move on their own bear their Human3.6M-17 names; the rest are
# end sites and joints that coincide with another one. LCollar and RCollar coincide with Thorax.
H36M_32 = Skeleton(
    name="Human3.6M-32",
    joints=(
        "Hip", "RHip", "RKnee", "RFoot", "RToeBase", "RToeSite", "LHip", "LKnee", "LFoot", "LToeBase", "LToeSite",
        "SpineBase", "Spine", "Thorax", "Neck/Nose", "Head",
        "LCollar", "LShoulder", "LElbow", "LWrist", "LHand", "LThumb", "LHandEnd", "LHandSite",
        "RCollar", "RShoulder", "RElbow", "RWrist", "RHand", "RThumb", "RHandEnd", "RHandSite",
    ),
    root="Hip",
    bones={
        "RHip": "Hip", "RKnee": "RHip", "RFoot": "RKnee", "RToeBase": "RFoot", "RToeSite": "RToeBase",
        "LHip": "Hip", "LKnee": "LHip", "LFoot": "LKnee", "LToeBase": "LFoot", "LToeSite": "LToeBase",
        "SpineBase": "Hip", "Spine": "SpineBase", "Thorax": "Spine", "Neck/Nose": "Thorax", "Head": "Neck/Nose",
        "LCollar": "Thorax", "LShoulder": "LCollar", "LElbow": "LShoulder", "LWrist": "LElbow",
        "LHand": "LWrist", "LThumb": "LHand", "LHandEnd": "LWrist", "LHandSite": "LHandEnd",
        "RCollar": "Thorax", "RShoulder": "RCollar", "RElbow": "RShoulder", "RWrist": "RElbow",
        "RHand": "RWrist", "RThumb": "RHand", "RHandEnd": "RWrist", "RHandSite": "RHandEnd",
    },
    left=("LHip", "LKnee", "LFoot", "LToeBase", "LToeSite", "LCollar", "LShoulder", "LElbow", "LWrist", "LHand",
          "LThumb", "LHandEnd", "LHandSite"),
    right=("RHip", "RKnee", "RFoot", "RToeBase", "RToeSite", "RCollar", "RShoulder", "RElbow", "RWrist", "RHand",
           "RThumb", "RHandEnd", "RHandSite"),
)  # fmt: skip

MPI_3DHP_17 = Skeleton(
    name="MPI-INF-3DHP-17",
    joints=(
        "head_top", "neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
        "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "pelvis", "spine", "head",
    ),
    root="pelvis",
    bones={
        "spine": "pelvis", "neck": "spine", "head": "neck", "head_top": "head",
        "RShoulder": "neck", "RElbow": "RShoulder", "RWrist": "RElbow",
        "LShoulder": "neck", "LElbow": "LShoulder", "LWrist": "LElbow",
        "RHip": "pelvis", "RKnee": "RHip", "RAnkle": "RKnee", "LHip": "pelvis", "LKnee": "LHip", "LAnkle": "LKnee",
    },
    left=("LShoulder", "LElbow", "LWrist", "LHip", "LKnee", "LAnkle"),
    right=("RShoulder", "RElbow", "RWrist", "RHip", "RKnee", "RAnkle"),
)  # fmt: skip


def _detected(name: str, *joints: str) -> Skeleton:
    """What a detector finds: no root, no bones; the joints of left and right begin with L and R."""
    left = tuple(joint for joint in joints if joint.startswith("L"))
    return Skeleton(name, joints, None, {}, left, tuple("R" + joint[1:] for joint in left))


COCO_17 = _detected(
    "COCO-17",
    "nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist",
    "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
)  # fmt: skip

# COCO-17 and then the joints in the middle of the body and the feet; AlphaPose, Pose2Sim, RTMPose.
HALPE_26 = _detected(
    "Halpe-26",
    *COCO_17.joints, "head_top", "neck", "hip", "LBigToe", "RBigToe", "LSmallToe", "RSmallToe", "LHeel", "RHeel",
)  # fmt: skip

# OpenPose's first model, with the neck midway between the shoulders.
OPENPOSE_18 = _detected(
    "OpenPose COCO-18",
    "nose", "neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
    "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
)  # fmt: skip

_FEET_OF_OPENPOSE = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
BODY_25 = _detected(
    "OpenPose BODY_25", *OPENPOSE_18.joints[:8], "mid_hip", *OPENPOSE_18.joints[8:], *_FEET_OF_OPENPOSE
)  # fmt: skip

# As many joints as BODY_25 in another order. Its neck is where the head begins, not midway between the shoulders.
BODY_25B = _detected("OpenPose BODY_25B", *COCO_17.joints, "upper_neck", "head_top", *_FEET_OF_OPENPOSE)

# MediaPipe Pose.
BLAZEPOSE_33 = _detected(
    "BlazePose-33",
    "nose", "LEyeInner", "LEye", "LEyeOuter", "REyeInner", "REye", "REyeOuter", "LEar", "REar", "LMouth", "RMouth",
    "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist", "LPinky", "RPinky", "LIndex", "RIndex",
    "LThumb", "RThumb", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "LHeel", "RHeel",
    "LFootIndex", "RFootIndex",
)  # fmt: skip

# What flags and `lift` call the orders that files may have.
JOINT_ORDERS = {
    "h36m": H36M_17, "3dhp": MPI_3DHP_17, "coco": COCO_17, "halpe26": HALPE_26, "body25": BODY_25,
    "body25b": BODY_25B, "openpose18": OPENPOSE_18, "blazepose": BLAZEPOSE_33,
}  # fmt: skip

_PLAIN: dict[str, tuple[str, ...]] = {"RFoot": ("RAnkle",), "LFoot": ("LAnkle",), "Neck/Nose": ("nose",)}
_OF_SIDES: dict[str, tuple[str, ...]] = {  # for orders that have no joint in the middle of the body
    "Hip": ("LHip", "RHip"), "Thorax": ("LShoulder", "RShoulder"), "Spine": ("LHip", "RHip", "LShoulder", "RShoulder"),
}  # fmt: skip
_OF_EYES: dict[str, tuple[str, ...]] = {"Head": ("LEye", "REye")}

# (from, to) -> per joint of the second the joints of the first whose mean it is; joints left out bear the same name.
_CONVERSIONS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    (H36M_32.name, H36M_17.name): {},
    (MPI_3DHP_17.name, H36M_17.name): {
        "Hip": ("pelvis",), "RFoot": ("RAnkle",), "LFoot": ("LAnkle",), "Spine": ("spine",), "Thorax": ("neck",),
        "Neck/Nose": ("head",), "Head": ("head_top",),
    },
    (H36M_17.name, MPI_3DHP_17.name): {
        "pelvis": ("Hip",), "RAnkle": ("RFoot",), "LAnkle": ("LFoot",), "spine": ("Spine",), "neck": ("Thorax",),
        "head": ("Neck/Nose",), "head_top": ("Head",),
    },
    (COCO_17.name, H36M_17.name): _PLAIN | _OF_SIDES | _OF_EYES,
    (HALPE_26.name, H36M_17.name): _PLAIN | {
        "Hip": ("hip",), "Spine": ("neck", "hip"), "Thorax": ("neck",), "Head": ("head_top",),
    },
    (BODY_25.name, H36M_17.name): _PLAIN | _OF_EYES | {
        "Hip": ("mid_hip",), "Spine": ("neck", "mid_hip"), "Thorax": ("neck",),
    },
    (BODY_25B.name, H36M_17.name): _PLAIN | _OF_SIDES | {"Head": ("head_top",)},
    (OPENPOSE_18.name, H36M_17.name): _PLAIN | _OF_EYES | {
        "Hip": ("LHip", "RHip"), "Spine": ("LHip", "RHip", "neck", "neck"), "Thorax": ("neck",),
    },
    (BLAZEPOSE_33.name, H36M_17.name): _PLAIN | _OF_SIDES | _OF_EYES,
}  # fmt: skip


def convert(points: Points, source: Skeleton, target: Skeleton) -> Points:
    """Reorder joints by name, taking means where a joint of `target` lies between joints of `source`.

    Args:
        points: (..., joints of `source`, D), any unit, numpy or torch.

    Returns:
        (..., joints of `target`, D), same type and unit.

    Raises:
        ValueError: no conversion between the two is defined, or `points` does not have the joints of `source`.
    """
    if points.shape[-2] != len(source.joints):
        raise ValueError(f"{source.name} has {len(source.joints)} joints, the points have {points.shape[-2]}")
    if source == target:
        return points
    sources = joint_sources(source, target)
    if all(len(s) == 1 for s in sources):
        return points[..., [s[0] for s in sources], :]
    means = [points[..., s, :].mean(-2) for s in sources]
    return torch.stack(means, -2) if isinstance(points, torch.Tensor) else np.stack(means, -2)


def joint_sources(source: Skeleton, target: Skeleton) -> list[list[int]]:
    """Per joint of `target` the numbers of the joints of `source` whose mean it is; one may count twice.

    Raises:
        ValueError: no conversion between the two is defined.
    """
    if source == target:
        return [[joint] for joint in range(len(target.joints))]
    if (source.name, target.name) not in _CONVERSIONS:
        raise ValueError(f"no conversion from {source.name} to {target.name}")
    recipe = _CONVERSIONS[source.name, target.name]
    return [source.indices(*recipe.get(joint, (joint,))) for joint in target.joints]


def conversion_name(order: str) -> str:
    """What was done to joints of an order of `JOINT_ORDERS` to make them Human3.6M's, in one line for output files.

    Conversions are not interchangeable: a head that is the middle of the eyes is not the top of a head.
    """
    skeleton = JOINT_ORDERS[order]
    if skeleton == H36M_17:
        return f"{H36M_17.name} as it is"
    made = []
    for joint, numbers in zip(H36M_17.joints, joint_sources(skeleton, H36M_17)):
        theirs = [skeleton.joints[number] for number in numbers]
        if theirs != [joint]:
            made.append(f"{joint} = {theirs[0]}" if len(theirs) == 1 else f"{joint} = mean({', '.join(theirs)})")
    return f"{skeleton.name} to {H36M_17.name}: {'; '.join(made)}; the rest by name"


def mirror(points: Points, skeleton: Skeleton = H36M_17) -> Points:
    """The mirror image of poses or keypoints: x negated, left and right joints swapped. Its own inverse.

    Args:
        points: (..., joints, 2 or 3), x measured from the mirror plane (the image centre or the root).
    """
    if isinstance(points, torch.Tensor):
        flipped = points[..., constant(tuple(skeleton.mirrored), torch.long, points.device), :]  # a copy
    else:
        flipped = points[..., skeleton.mirrored, :]
    flipped[..., 0] *= -1
    return flipped


def add_order(name: str, skeleton: Skeleton, joints: dict[str, tuple[str, ...]]) -> None:
    """Let `lift(order=name)` take another joint order.

    Args:
        joints: per joint of `H36M_17` the joints of `skeleton` whose mean it is; those left out bear the same name.

    Raises:
        KeyError: `skeleton` lacks a joint that is needed.
    """
    for joint in H36M_17.joints:
        skeleton.indices(*joints.get(joint, (joint,)))
    JOINT_ORDERS[name] = skeleton
    _CONVERSIONS[skeleton.name, H36M_17.name] = joints
