"""Moving people of plausible size for tests: rigid bones, known labels, seen by the real Human3.6M cameras."""

import torch

from common.datasets.cameras_h36m import h36m_cameras
from common.datasets.clips import LabelledBatch
from common.datasets.video import LabelledVideo
from common.geometry.camera import project
from common.geometry.skeleton import H36M_17
from common.reprojection.bones import bone_vectors

# Per bone its vector in a standing person facing the camera, metres, camera axes (x right, y down, z forward).
_REST = {
    "RHip": (-0.13, 0, 0), "RKnee": (0, 0.45, 0), "RFoot": (0, 0.44, 0),
    "LHip": (0.13, 0, 0), "LKnee": (0, 0.45, 0), "LFoot": (0, 0.44, 0),
    "Spine": (0, -0.24, 0), "Thorax": (0, -0.25, 0), "Neck/Nose": (0, -0.12, -0.03), "Head": (0, -0.11, 0),
    "LShoulder": (0.15, 0, 0), "LElbow": (0.03, 0.27, 0), "LWrist": (0, 0.25, 0),
    "RShoulder": (-0.15, 0, 0), "RElbow": (-0.03, 0.27, 0), "RWrist": (0, 0.25, 0),
}  # fmt: skip

BONES = [joint for joint, parent in enumerate(H36M_17.parents) if parent >= 0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cameras(subject: str = "S1") -> torch.Tensor:
    """(4, 9) float64 normalised intrinsics, all with lens distortion."""
    return torch.stack([camera.normalised_intrinsics() for camera in h36m_cameras(subject)])


def ups(subject: str = "S1") -> torch.Tensor:
    """(4, 3) float64 against gravity, as those cameras hang."""
    hung = torch.stack([camera.up() for camera in h36m_cameras(subject)])
    return torch.nn.functional.normalize(hung, dim=-1)  # published in float32


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    """(*shape, 3) unit vectors every way."""
    return torch.nn.functional.normalize(torch.randn(*shape, 3, generator=generator(seed), dtype=torch.float64), dim=-1)


def lengths(pose: torch.Tensor) -> torch.Tensor:
    """(..., 17, 3) -> (..., 16) the length of every bone, in the order of `BONES`."""
    return bone_vectors(pose).norm(dim=-1)[..., BONES]


def some_ratios(people: int, seed: int = 0) -> torch.Tensor:
    """(people, 17) bone ratios between 0.8 and 1.25, left and right alike."""
    ratios = 0.8 + 0.45 * torch.rand(people, 17, generator=generator(seed), dtype=torch.float64)
    ratios = (ratios + ratios[:, H36M_17.mirrored]) / 2
    ratios[:, H36M_17.root_index] = 1
    return ratios


def poses(clips: int, frames: int, seed: int = 0, swing: float = 0.5) -> torch.Tensor:
    """(clips, frames, 17, 3) float64 metres relative to the root: bones swing smoothly and keep their lengths."""
    rng = generator(seed)
    time = torch.arange(frames, dtype=torch.float64)[None, :, None]  # (1, T, 1)
    joints = {H36M_17.root: torch.zeros(clips, frames, 3, dtype=torch.float64)}
    for joint, parent in H36M_17.bones.items():
        rest = torch.tensor(_REST[joint], dtype=torch.float64)
        phase, speed = torch.rand(2, clips, 1, 3, generator=rng, dtype=torch.float64)
        direction = rest / rest.norm() + swing * torch.sin(6.3 * phase + (0.1 + 0.3 * speed) * time)
        joints[joint] = joints[parent] + direction / direction.norm(dim=-1, keepdim=True) * rest.norm()
    return torch.stack([joints[joint] for joint in H36M_17.joints], -2)


def trajectories(clips: int, frames: int, seed: int = 0) -> torch.Tensor:
    """(clips, frames, 3) float64 metres: slow walks about 5 m in front of the camera."""
    rng = generator(seed + 1000)
    start = torch.tensor([0.0, 0.1, 5.0]) + 0.4 * torch.randn(clips, 1, 3, generator=rng)
    pace = 0.01 * torch.randn(clips, 1, 3, generator=rng)
    return (start + pace * torch.arange(frames)[None, :, None]).double()


def batch(clips: int, frames: int, seed: int = 0) -> LabelledBatch:
    """Labelled clips with exact keypoints, one camera after another."""
    pose, trajectory = poses(clips, frames, seed), trajectories(clips, frames, seed)
    camera = torch.arange(clips) % 4
    intrinsics = cameras()[camera]
    return LabelledBatch(
        keypoints=project(pose + trajectory[..., None, :], intrinsics),
        intrinsics=intrinsics,
        subjects=[f"P{i}" for i in range(clips)],
        up=ups()[camera],
        pose=pose,
        trajectory=trajectory,
    )


def numbered(frames: int, subject: str = "S1", confidence: bool = True) -> LabelledVideo:
    """A video whose values are the number of the frame they belong to."""
    count = torch.arange(frames, dtype=torch.float32)[:, None, None]
    return LabelledVideo(
        subject=subject,
        action="Walking",
        camera="cam",
        keypoints=count.expand(-1, 17, 2),
        intrinsics=torch.zeros(9),
        width=1000,
        height=1000,
        fps=50.0,
        confidence=count[..., 0].expand(-1, 17) if confidence else None,
        pose=count.expand(-1, 17, 3),
        trajectory=count[:, 0].expand(-1, 3),
    )


def video(frames: int, seed: int = 0, camera: int = 0, subject: str = "S1") -> LabelledVideo:
    """A labelled video, float32 as the loaders make it."""
    pose, trajectory, intrinsics = poses(1, frames, seed)[0], trajectories(1, frames, seed)[0], cameras()[camera]
    taken_by = h36m_cameras(subject)[camera]
    return LabelledVideo(
        subject=subject,
        action="Walking",
        camera=taken_by.name,
        keypoints=project(pose + trajectory[:, None], intrinsics).float(),
        intrinsics=intrinsics.float(),
        width=taken_by.width,
        height=taken_by.height,
        fps=50.0,
        up=taken_by.up().float(),
        pose=pose.float(),
        trajectory=trajectory.float(),
    )
