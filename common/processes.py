"""One run in several processes, started by torchrun: who does what, and how the parts come together.

Every process draws the same whole batches from the same generator and works on its own clips of them, so that the
result is that of one process. Without torchrun there is one process, and everything here does nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import InputError

# Values of one (clips, T, J, C) tensor in a pass with gradients on a CPU: 16 MiB, one clip of the full size.
PASS_VALUES = 2**22
PATIENCE = timedelta(hours=2)  # for the first process alone to write a report or draw a video
Item = TypeVar("Item")


def started_by_torchrun() -> bool:
    """Whether this process is one that torchrun started."""
    return "LOCAL_RANK" in os.environ and "MASTER_ADDR" in os.environ


def init() -> torch.device:
    """Join the other processes; the device this one computes on. Only the first process prints from here on.

    Raises:
        InputError: there are more processes on this machine than GPUs.
    """
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    gpus = torch.cuda.device_count()
    if gpus and here > gpus:
        raise InputError(
            f"torchrun: expected at most {gpus} processes, one per GPU, found {here}; lower --nproc-per-node"
        )
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if gpus else "gloo", timeout=PATIENCE)
    if not is_main():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, open as long as the process
    return device


def finish(code: int) -> None:
    """Leave the other processes, if there are any, and end this one at once, with an exit code.

    Not by way of the interpreter's own exit: a gloo thread that wants the interpreter then is ended in the middle of
    C++ code, and a process that is done before the others aborts now and then.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def world_size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that prints, logs and writes."""
    return rank() == 0


def barrier() -> None:
    """Until every process is here."""
    if world_size() > 1:
        distributed.barrier()


def shard() -> slice:
    """The items of a list, or clips of a batch, that are this process's: every n-th."""
    return slice(rank(), None, world_size())


def micro_batches(clips: int, least: int, clip_values: int, device: torch.device) -> list[slice]:
    """This process's clips of a batch, a pass through the network at a time; together the passes make one step.

    Every process makes as many passes, some perhaps of no clip.

    Args:
        least: passes at least. On a CPU there are more where clips are large, which saves memory and no time is lost.
        clip_values: T J C.
    """
    mine = -(-clips // world_size())
    at_once = mine if device.type != "cpu" else max(1, PASS_VALUES // clip_values)
    number = min(max(least, -(-mine // at_once)), mine)
    size = -(-mine // number)
    ends = [(rank() + world_size() * size * i, min(clips, world_size() * size * (i + 1))) for i in range(number)]
    return [slice(begin, max(begin, end), world_size()) for begin, end in ends]


def data_parallel(model: nn.Module) -> nn.Module:
    """The model, its gradients averaged over the processes."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, gradient_as_bucket_view=True)


def sync_on_last(model: nn.Module, parts: list[slice]) -> Iterator[slice]:
    """The passes of a step; the processes exchange gradients after the last one only."""
    for part in parts:
        early = isinstance(model, DistributedDataParallel) and part is not parts[-1]
        with model.no_sync() if early else nullcontext():  # type: ignore[operator]
            yield part


def all_reduce(x: torch.Tensor) -> torch.Tensor:
    """The sum over the processes, in each of them."""
    if world_size() > 1:
        x = x.clone()
        distributed.all_reduce(x)
    return x


def all_gather(mine: torch.Tensor, clips: int) -> torch.Tensor:
    """All clips of a batch from what each process has made of its `shard` ones."""
    if world_size() == 1:
        return mine
    whole = mine.new_zeros(clips, *mine.shape[1:])
    whole[shard()] = mine
    return all_reduce(whole)


def all_gather_items(mine: list[Item]) -> list[Item]:
    """The list that `shard` shared out, from the processes' results for their items, in the first order."""
    if world_size() == 1:
        return mine
    parts: list[list[Item]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(parts, mine)
    return [parts[i % world_size()][i // world_size()] for i in range(sum(map(len, parts)))]
