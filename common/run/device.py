"""How a run begins: flags, device, and the sample data where it is asked for."""

import argparse
import ctypes
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch

from .. import processes
from ..errors import InputError
from ..sample.files import make_sample
from .arguments import parse

SAMPLE_DIR = Path("data/sample")
# mallopt parameters of glibc (malloc.h), and the highest threshold it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MMAP_THRESHOLD_MAX = -1, -3, 32 * 2**20


def start_run(parser: argparse.ArgumentParser, sample_defaults: Mapping[str, object]) -> tuple[Namespace, torch.device]:
    """The flags and the device of a run. With --sample the sample data are made where they are not there yet.

    Args:
        sample_defaults: what --sample stands for, see `parse`.
    """
    args = parse(parser, sample_defaults)
    device = pick_device(args.gpu)
    torch.set_float32_matmul_precision("high" if args.tf32 and device.type == "cuda" else "highest")
    if args.sample and args.data_dir == SAMPLE_DIR and not SAMPLE_DIR.exists() and processes.is_main():
        make_sample(SAMPLE_DIR)
    processes.barrier()
    return args, device


def pick_device(gpu: str) -> torch.device:
    """The CUDA device asked for or the first one; the CPU, with a word, where there is none.

    Processes of torchrun join here, and get a device each.
    """
    device = _device(gpu)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def _device(gpu: str) -> torch.device:
    if processes.started_by_torchrun():
        if gpu:
            raise InputError("-gpu: torchrun gives each process a GPU; leave it out, CUDA_VISIBLE_DEVICES=0,1 chooses")
        return processes.init()
    if "," in gpu:
        asked = ("-gpu", "--gpu", gpu, f"-gpu={gpu}", f"--gpu={gpu}")
        words = shlex.join(word for word in sys.argv if word not in asked)
        number = len(gpu.split(","))
        raise InputError(
            f"-gpu {gpu}: one process works on one GPU; for several run "
            f"CUDA_VISIBLE_DEVICES={gpu} torchrun --nproc-per-node {number} {words}"
        )
    if not torch.cuda.is_available():
        if gpu:
            print(f"-gpu {gpu}: no CUDA device here, running on the CPU")
        return torch.device("cpu")
    if gpu and (not gpu.isdigit() or int(gpu) >= torch.cuda.device_count()):
        raise InputError(f"-gpu: expected a number below {torch.cuda.device_count()}, found {gpu}")
    return torch.device("cuda", int(gpu or 0))


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next step, where it is glibc. By itself it hands large blocks back
    to the system, which clears them anew: a tenth or more of a large step on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_MAX)
