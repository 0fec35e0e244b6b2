"""The lifter's benchmark: its baseline computes the same, its table is right, and a very small run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import run_here

from benchmarks import bench_lifter
from benchmarks.bench_lifter import PlainMixSTE, Size, forward_flops, table
from common.errors import InputError
from common.model.mixste import MixSTE


def row(seconds: float, efficiency: float, peak_gb: float = 1.0) -> dict[str, Any]:
    return {
        "seconds": seconds, "quartiles": [0.9 * seconds, 1.1 * seconds], "repeats": 5, "peak_gb": peak_gb,
        "gemm_gflops": 180.0, "gflop": 10.0, "efficiency": efficiency,
    }  # fmt: skip


@pytest.fixture
def record() -> dict[str, Any]:
    rows = {
        "plain_forward": row(0.05, 0.3), "forward": row(0.02, 0.75), "plain_train": row(0.4, 0.3),
        "train": row(0.2, 0.6, 4.5), "adapt": row(0.25, 0.5),
    }  # fmt: skip
    return {"size": "full", "device": "CPU, 1 threads", "torch": "2.x", "flags": "--amp bf16", "rows": rows}


def test_the_table_of_a_hand_made_record(record):
    lines = {line[:32].strip(): line[32:].split() for line in table(record).splitlines()}
    assert table(record).startswith("full size, CPU, 1 threads, torch 2.x --amp bf16\n")
    assert lines["forward, 1 clip"] == "20.0 18.0 - 22.0 180 0.75 >= 0.85 1.00 -".split()
    assert lines["training step, 2 clips"] == "200.0 180.0 - 220.0 180 0.60 >= 0.80 4.50 < 5".split()
    assert "LoRA adaptation step, 2 clips / training step, 2 clips: 1.25 (target <= 1.5)" in table(record)
    assert "plain: forward, 1 clip / forward, 1 clip: 2.50" in table(record)


def test_an_earlier_result_stands_beside(record):
    earlier = {**record, "rows": {"forward": row(0.04, 0.4)}}
    lines = {line[:32].strip(): line[32:].split() for line in table(record, earlier).splitlines()}
    assert lines["forward, 1 clip"][-2:] == ["40.0", "0.50"]
    assert lines["training step, 2 clips"][-1] == "5"


def test_the_baseline_computes_the_same():
    inputs = torch.randn(2, 5, 17, 2), torch.randn(2, 3, 5, 17, 3), torch.tensor([3, 700])
    found = []
    for kind in (MixSTE, PlainMixSTE):
        torch.manual_seed(0)
        found.append(kind(5, 17, 16, 2).eval()(*inputs))
    torch.testing.assert_close(*found, atol=2e-6, rtol=0)


def test_flops_are_those_of_the_matrix_products():
    frames, joints, width, depth = 5, 17, 16, 2
    tokens = frames * joints
    per_pair = 2 * 2 * tokens * width * width * (3 + 1 + 2 + 2) + 4 * tokens * width * (joints + frames)
    ends = 2 * tokens * width * (5 + 3) + 2 * width * 2 * width * 2
    assert forward_flops(Size(frames, width, depth, 1)) == depth * per_pair + ends
    assert forward_flops(bench_lifter.SIZES["small"]) == pytest.approx(3.167e9, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--amp", "bf16"]])
def test_a_small_run(flags, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(bench_lifter, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_lifter, "GEMM", 64)
    monkeypatch.setattr(bench_lifter, "SIZES", {"small": Size(5, 16, 2, 1)})
    measured = []

    def here(row: str, args: Any) -> dict[str, Any]:  # a process of its own would not see the sizes
        measured.append(row)
        return bench_lifter.measure(row, args)

    monkeypatch.setattr(bench_lifter, "apart", here)
    run_here(bench_lifter, "--threads", 1, *flags)
    assert measured == list(bench_lifter.ROWS)
    name = "lifter_small" + ("_amp_bf16" if flags else "")
    stored = json.loads((tmp_path / f"{name}.json").read_text())
    assert list(stored["rows"]) == measured
    for found in stored["rows"].values():
        assert found["seconds"] > 0 and found["efficiency"] > 0 and found["repeats"] == bench_lifter.ROUNDS
    text = (tmp_path / f"{name}.txt").read_text()
    assert text == table(stored) + "\n" and text in capsys.readouterr().out


@pytest.mark.slow
def test_a_row_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(bench_lifter, "SIZES", bench_lifter.SIZES | {"small": Size(81, 128, 4, 1)})
    args = bench_lifter.argparse.Namespace(size="small", threads=1, device="cpu", amp=None, compile=False)
    found = bench_lifter.apart("forward", args)
    assert found["seconds"] > 0 and 0.1 < found["peak_gb"] < 5


def test_wrong_input(tmp_path: Path):
    other = tmp_path / "other.json"
    other.write_text('{"size": "full"}')
    wrong = {
        "--rows: no row 'fast'": ("--rows", "forward,fast"),
        "cannot be read": ("--compare", tmp_path / "none.json"),
        "no result of this benchmark at --size small": ("--compare", other),
    }
    for message, flags in wrong.items():
        with pytest.raises(InputError, match=message):
            run_here(bench_lifter, *flags)
