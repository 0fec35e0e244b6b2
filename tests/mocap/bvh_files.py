"""BVH files made by hand, whose kinematics are known: a T-pose facing +z, left on +x, y up, lengths in metres."""

import numpy as np

# joint: (parent, offset in metres); arms stretched out.
SIDED = {
    "UpLeg": ("Hips", (0.1, -0.08, 0.0)),
    "Leg": ("{s}UpLeg", (0.0, -0.42, 0.0)),
    "Foot": ("{s}Leg", (0.0, -0.4, 0.0)),
    "ToeBase": ("{s}Foot", (0.0, -0.06, 0.12)),
    "Shoulder": ("Spine2", (0.05, 0.1, 0.0)),
    "Arm": ("{s}Shoulder", (0.13, 0.0, 0.0)),
    "ForeArm": ("{s}Arm", (0.28, 0.0, 0.0)),
    "Hand": ("{s}ForeArm", (0.25, 0.0, 0.0)),
}
MIXAMO = {
    "Hips": ("", (0.0, 0.0, 0.0)),
    "Spine": ("Hips", (0.0, 0.1, 0.0)),
    "Spine1": ("Spine", (0.0, 0.13, 0.0)),
    "Spine2": ("Spine1", (0.0, 0.13, 0.0)),
    "Neck": ("Spine2", (0.0, 0.14, 0.0)),
    "Head": ("Neck", (0.0, 0.1, 0.02)),
} | {
    name: (parent.format(s=side), (sign * x, y, z))
    for side, sign in (("Left", 1), ("Right", -1))
    for name, (parent, (x, y, z)) in ((f"{side}{n}", v) for n, v in SIDED.items())
}
ENDS = {"Head": (0.0, 0.18, 0.0)} | {
    f"{side}{name}": (sign * x, y, z)
    for side, sign in (("Left", 1), ("Right", -1))
    for name, (x, y, z) in {"ToeBase": (0.0, 0.0, 0.07), "Hand": (0.1, 0.0, 0.0)}.items()
}

# cgspeed's conversion of CMU: without the bone from Spine1 to Neck and shoulders, and with a short forearm.
CGSPEED = {
    "Hips": ("", (0.0, 0.0, 0.0)), "LowerBack": ("Hips", (0, 0, 0)), "Spine": ("LowerBack", (0.0, 0.12, 0.0)),
    "Spine1": ("Spine", (0.0, 0.12, 0.0)), "Neck": ("Spine1", (0, 0, 0)), "Neck1": ("Neck", (0.0, 0.09, 0.0)),
    "Head": ("Neck1", (0.0, 0.09, 0.0)),
}  # fmt: skip
for _side, _sign in (("Left", 1), ("Right", -1)):
    CGSPEED |= {
        f"{_side[0]}HipJoint": ("Hips", (0, 0, 0)),
        f"{_side}UpLeg": (f"{_side[0]}HipJoint", (_sign * 0.1, -0.1, 0.0)),
        f"{_side}Leg": (f"{_side}UpLeg", (0.0, -0.42, 0.0)),
        f"{_side}Foot": (f"{_side}Leg", (0.0, -0.4, 0.0)),
        f"{_side}ToeBase": (f"{_side}Foot", (0.0, -0.04, 0.13)),
        f"{_side}Shoulder": ("Spine1", (0, 0, 0)),
        f"{_side}Arm": (f"{_side}Shoulder", (_sign * 0.18, 0.04, 0.0)),
        f"{_side}ForeArm": (f"{_side}Arm", (_sign * 0.28, 0.0, 0.0)),
        f"{_side}Hand": (f"{_side}ForeArm", (_sign * 0.18, 0.0, 0.0)),
        f"{_side}FingerBase": (f"{_side}Hand", (0, 0, 0)),
    }
CGSPEED_ENDS = {"Head": (0.0, 0.09, 0.0)} | {
    f"{side}{name}": value
    for side in ("Left", "Right")
    for name, value in {"ToeBase": (0.0, 0.0, 0.06), "FingerBase": (0.0, 0.0, 0.05)}.items()
}

Frame = dict[str, tuple[float, ...]]  # joint -> its angles, degrees, in the order of its channels; "" -> the position


def bvh_text(
    frames: list[Frame],
    joints: dict = MIXAMO,
    ends: dict = ENDS,
    unit: float = 0.01,
    order: str = "ZXY",
    frame_time: str = ".0083333",
    rename=lambda name: name,
    root: str = "XYZ",
) -> str:
    """A BVH file; lengths are divided by `unit`, joints left out of a frame are at zero, `root` "" gives 3 channels."""
    lines = ["HIERARCHY"]
    told: list[str] = []

    def offset(values) -> str:
        return "OFFSET " + " ".join(f"{value / unit:.8f}" for value in values)

    def tell(name: str, depth: int) -> None:
        told.append(name)
        tab = "\t" * depth
        lines.extend(
            [f"{tab}{'JOINT' if depth else 'ROOT'} {rename(name)}", f"{tab}{{", f"{tab}\t{offset(joints[name][1])}"]
        )
        moved = [f"{axis}position" for axis in root] if not depth else []
        channels = moved + [f"{axis}rotation" for axis in order]
        lines.append(f"{tab}\tCHANNELS {len(channels)} {' '.join(channels)}")
        for child in (child for child, (parent, _) in joints.items() if parent == name):
            tell(child, depth + 1)
        if name in ends:
            lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\t{offset(ends[name])}", f"{tab}\t}}"])
        lines.append(f"{tab}}}")

    tell("Hips", 0)
    lines += ["MOTION", f"Frames: {len(frames)}", f"Frame Time: {frame_time}"]
    for frame in frames:
        place = dict(zip("XYZ", frame.get("", (0.0, 0.0, 0.0))))
        values = [place[axis] / unit for axis in root]
        values += [value for name in told for value in frame.get(name, (0.0,) * len(order))]
        lines.append(" ".join(f"{value:.10g}" for value in values))
    return "\n".join(lines) + "\n"


def dance(frames: int, joints: dict = MIXAMO, seed: int = 0, fps: float = 120, speed: float = 0.0) -> list[Frame]:
    """Every joint moves a little, the whole walks along +z; m/s."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(joints), 3))
    return [
        {name: tuple(10 * np.sin(2 * np.pi * t + phases[i])) for i, name in enumerate(joints)}
        | {"": (0.0, 0.9, speed * t)}
        for t in np.arange(frames) / fps
    ]
