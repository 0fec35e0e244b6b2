"""A step of adaptation never makes the program wait for a GPU, tried on pretended GPU tensors that hold no numbers.

What makes it wait is a value read back, a shape that depends on values, a library's check that a solution exists, and
a copy from ordinary memory. Only the forward passes are tried: without a GPU no gradient can be pretended.
"""

from contextlib import suppress

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.adaptation.teacher import Teacher, ray_errors
from common.evaluation.metrics import joint_errors
from common.model import lifter as lifter_module
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.mixste import MixSTE
from common.tensors import constant

GPU = torch.device("cuda", 0)
READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::_linalg_check_errors")
T, J = 5, 17


class Watch(TorchDispatchMode):
    """Notes the operations that would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        places = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        if name == "aten::_to_copy" and kwargs.get("device"):
            places.add(kwargs["device"].type)
        copies = name in ("aten::_to_copy", "aten::copy_") and not kwargs.get("non_blocking")
        chosen = name.startswith("aten::index") and any(
            x.dtype == torch.bool for x in tree_leaves(args[1]) if isinstance(x, torch.Tensor)
        )
        if name in READS or chosen or (len(places) > 1 and (copies or name.startswith("aten::index"))):
            self.waits.append(name)
        return func(*args, **kwargs)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch):
    """A lifter and its teacher on a pretended GPU."""
    real = Lifter(MixSTE(T, J, 16, 1), virtual_camera=True)
    add_lora(real.denoiser, 2)
    monkeypatch.setattr(lifter_module, "ddim_times", lambda timesteps, steps: [(timesteps - 1, -1)])  # on the CPU
    constant.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in real.modules():
            for name, p in module._parameters.items():
                if p is not None:
                    module._parameters[name] = nn.Parameter(torch.empty(p.shape, device=GPU), p.requires_grad)
            for name, b in module._buffers.items():
                module._buffers[name] = torch.empty(b.shape, dtype=b.dtype, device=GPU)
        teacher = Teacher.__new__(Teacher)
        teacher.lifter, teacher.decay, teacher.updates = real, 0.9, 0
        yield real, teacher
    constant.cache_clear()  # the pretended ones


@pytest.mark.slow
def test_a_step_waits_for_nothing(pretended):
    student, teacher = pretended
    keypoints, intrinsics = torch.empty(2, T, J, 2, device=GPU), torch.empty(2, 9, device=GPU)
    pose, weight = torch.empty(2, T, J, 3, device=GPU), torch.empty(2, T, J, device=GPU)

    def step() -> None:
        t = torch.zeros(2, dtype=torch.long, device=GPU)
        noisy = student.diffusion.add_noise(pose, t, torch.empty_like(pose))
        predicted = student(keypoints, noisy[:, None], t, intrinsics)[:, 0]
        loss = (weight * joint_errors(predicted, pose)).sum() + ray_errors(predicted, keypoints, intrinsics).sum()
        assert loss.device == GPU
        teacher.update(student)

    step()  # makes the constants
    with Watch() as watch:
        step()
    assert watch.waits == []


def test_waiting_is_noticed():
    with FakeTensorMode(), Watch() as watch:
        x = torch.empty(3, 3, device=GPU)
        for waiting in (
            lambda: x.new_tensor([1, 2]),
            lambda: x[[0, 1]],
            lambda: torch.linalg.solve(x, x),
            lambda: x[x > 0],
            lambda: x.sum().item(),
        ):
            before = len(watch.waits)
            with suppress(RuntimeError):  # pretended tensors have no values to read
                waiting()
            assert len(watch.waits) > before


def test_a_constant_is_made_once():
    made = [constant((1, 2), torch.long, torch.device("cpu")) for _ in range(2)]
    assert made[0] is made[1] and made[0].tolist() == [1, 2]
    assert constant((1, 2), torch.float32, torch.device("cpu")).dtype == torch.float32
