"""The motion that the open model learns from: whole takes of whole people, in the world, Human3.6M-17 joints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..geometry.skeleton import H36M_17, H36M_32, convert
from ..mocap.convert import read_person
from ..mocap.people import find_people
from ..mocap.standing import FPS
from ..sample.actions import ACTIONS, EXTRA_ACTIONS, make_clip
from ..sample.files import BODIES, STYLES

SAMPLE_SECONDS = 5.0  # of every action of every invented person
RARITY_STEP = 5  # every so many frames are compared with each other: 0.1 s
RARITY_NEIGHBOURS = 20
COMMONEST = 0.25  # of the mean weight: even the commonest pose is drawn


@dataclass(frozen=True)
class Take:
    """One recording: `joints` (F, 17, 3) float32 metres, world axes, z up, at 50 frames a second."""

    person: str
    name: str
    joints: torch.Tensor


@dataclass(frozen=True)
class Motion:
    """Takes one after another, from which clips are drawn.

    Attributes:
        joints: (N, 17, 3) metres, world axes, z up, 50 frames a second. last: (N,) the last frame of each frame's take.
        odds: (N,) how often a clip is centred on each frame, up to a factor. first: (N,) likewise the take's first.
    """

    joints: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    odds: torch.Tensor

    @classmethod
    def of(cls, takes: Sequence[Take], even: bool = True) -> "Motion":
        """From takes.

        Args:
            even: draw rare poses more often than common ones, see `rarity`; otherwise every frame as often.
        """
        lengths = torch.tensor([len(take.joints) for take in takes])
        ends = lengths.cumsum(0)
        joints = torch.cat([take.joints for take in takes])
        odds = rarity(joints) if even else torch.ones(len(joints))
        return cls(joints, (ends - lengths).repeat_interleave(lengths), (ends - 1).repeat_interleave(lengths), odds)


def read_takes(folder: Path, people: Iterable[str] | None = None) -> tuple[list[Take], list[str]]:
    """The takes of a folder of motion capture (ASF/AMC, BVH), and a line about each take that was refused.

    Args:
        people: whom to read; None for all.

    Raises:
        InputError: no such folder, nobody of that name, or a person none of whose takes can be used.
    """
    found = find_people(folder, None, "--mocap")
    wanted = list(found) if people is None else list(people)
    if missing := [name for name in wanted if name not in found]:
        raise InputError(f"--mocap {folder}: nobody is named {missing[0]!r}; found {', '.join(found)}")
    takes, refused = [], []
    for name in wanted:
        record = read_person(found[name], 120.0)
        refused += record.refused
        takes += [Take(name, take, _h36m_17(positions)) for take, positions in record.takes.items()]
    return takes, refused


def sample_takes(seed: int, seconds: float = SAMPLE_SECONDS) -> list[Take]:
    """Takes of the invented people of the synthetic sample; they sit, crouch and reach, which few recordings show."""
    takes = []
    for number, (person, body) in enumerate(BODIES.items()):
        for order, action in enumerate(ACTIONS | EXTRA_ACTIONS):
            rng = np.random.default_rng([seed, number, order])
            positions = make_clip(action, body, STYLES[person], round(seconds * FPS), rng)
            takes.append(Take(f"sample {person}", action, _h36m_17(positions)))
    return takes


def _h36m_17(positions: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(convert(positions, H36M_32, H36M_17), dtype=np.float32))


def rarity(joints: torch.Tensor) -> torch.Tensor:
    """How rare the pose of every frame is: its mean distance to the poses nearest to it, 1 on average.

    Of recordings most are walking. Poses are compared as they are without where the person is and faces.

    Args:
        joints: (N, 17, 3) world axes, z up.

    Returns:
        (N,), at least `COMMONEST`.
    """
    sparse = joints[::RARITY_STEP] - joints[::RARITY_STEP, H36M_17.root_index, None]
    left, right = H36M_17.indices("LHip", "RHip")
    across = sparse[:, left] - sparse[:, right]
    angle = torch.atan2(across[:, 1], across[:, 0])
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    x, y, z = sparse.unbind(-1)
    poses = torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], -1).flatten(1)
    neighbours = min(RARITY_NEIGHBOURS, len(poses))
    near = [torch.cdist(part, poses).topk(neighbours, largest=False).values.mean(1) for part in poses.split(1024)]
    odds = torch.cat(near)
    odds = (odds / odds.mean().clamp_min(1e-9)).clamp_min(COMMONEST)
    return odds.repeat_interleave(RARITY_STEP)[: len(joints)]
