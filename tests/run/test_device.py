"""The device a run gets, and the memory it keeps."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from scripts import ROOT

from common.errors import InputError
from common.run.device import pick_device


def test_device():
    if torch.cuda.is_available():
        assert pick_device("").type == "cuda"
        with pytest.raises(InputError, match="-gpu"):
            pick_device("99")
    else:
        assert pick_device("") == pick_device("3") == torch.device("cpu")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives memory back by its own rules")
def test_memory_freed_on_a_cpu_is_kept():
    program = (
        "import resource, torch\n"
        "from common.run.device import pick_device\n"
        "pick_device('')\n"
        "def pages():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    blocks = [torch.zeros(2**22) for _ in range(8)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "[pages() for _ in range(4)], print(sum(pages() for _ in range(6)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    # Cleared anew each time it would be six times all. The heap grows at first: aligned blocks leave gaps.
    assert int(done.stdout) < 8 * 2**22 * 4 // os.sysconf("SC_PAGESIZE") // 2
