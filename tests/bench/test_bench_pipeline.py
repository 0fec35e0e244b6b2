"""The benchmark of what surrounds the network: its table, its fits, its data, and a very small run."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scripts import run_here

from benchmarks import bench_pipeline
from benchmarks.bench_pipeline import CLIP, MEBI, STAGES, NoiseLifter, exponent, recordings, slope, table
from common.datasets.h36m import load_h36m
from common.errors import InputError

SIZES = [10_000, 50_000, 200_000]
FEW, MORE = 400, 803  # frames of the small run; cameras go by fours, so that the second is 800


def size(frames: int, scale: float) -> dict[str, Any]:
    """A size of a record: a stage takes its number times `scale` microseconds a frame."""
    return {
        "frames": frames,
        "videos": frames // 2500,
        "seconds": {stage: scale * number * frames / 1e6 for number, stage in enumerate(STAGES, start=1)},
        "import_bytes": 500 * MEBI,
        "peak_bytes": {stage: 500 * MEBI + 100 * number * frames for number, stage in enumerate(STAGES, start=1)},
        "data_bytes": 352 * frames,
        "threads": 1,
    }


def hand_made(scale: float = 1.0) -> dict[str, Any]:
    return {
        "data": "made by hand", "clip_frames": 243, "repeats": 3,
        "sampling": {"num_proposals": 2, "sampling_timesteps": 1},
        "sizes": [size(10_000, scale), size(1_000_000, scale)],
        "exponents": dict.fromkeys(STAGES, 1.004) | {"report": None},
        "bytes_per_added_frame": {stage: 100.0 * number for number, stage in enumerate(STAGES, start=1)},
    }  # fmt: skip


def rows(text: str) -> dict[str, list[str]]:
    """The words of every row after its first, which names it; of equal names the last."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


def refused(*flags: object) -> str:
    """The error line."""
    with pytest.raises(InputError) as caught:
        run_here(bench_pipeline, *flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def child_here(*flags: str) -> list[str]:
    """In place of a process of its own, which takes seconds to start."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_here(bench_pipeline, *flags)
    return said.getvalue().splitlines()


@pytest.fixture
def results(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(bench_pipeline, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_the_table_of_a_hand_made_record():
    times, memory = table(hand_made()).split("\n\n")[1], table(hand_made()).split("\n\n")[2]
    assert times.splitlines()[0].split() == list(STAGES)
    found = rows(times)
    assert found["1000000"] == "400 1.000 1.00 2.000 2.00 3.000 3.00 4.000 4.00 5.000 5.00 6.000 6.00".split()
    assert found["10000"][:3] == ["4", "0.010", "1.00"]
    assert times.splitlines()[-2].split() == ["exponent", *["1.00"] * 4, "-", "1.00"]
    found = rows(memory)
    assert found["1000000"] == "500 595 691 786 881 977 1072 600 352".split()
    assert memory.splitlines()[-1].split()[-6:] == "100 200 300 400 500 600".split()


def test_an_earlier_result_stands_beside():
    earlier = hand_made(scale=2.0)
    del earlier["sizes"][0]
    found = rows(table(hand_made(), earlier).split("\n\n")[1])
    assert found["1000000"][:7] == "400 1.000 2.000 1.00 2.000 4.000 2.00".split()
    assert found["10000"][:4] == "4 0.010 - 1.00".split()  # not measured then


def test_the_exponent_of_made_up_times():
    frames = np.array(SIZES)
    assert exponent(SIZES, 3e-6 * frames) == pytest.approx(1)
    assert exponent(SIZES, 5e-9 * frames**2) == pytest.approx(2)
    assert exponent(SIZES, [0.1] * 3) == pytest.approx(0)
    assert slope(SIZES, 7e8 + 600 * frames) == pytest.approx(600)
    assert exponent([10_000], [1.0]) is None and slope([10_000], [1.0]) is None


@pytest.mark.parametrize("frames", [FEW, MORE, 10_000, 1_500_000])
def test_recordings_have_the_frames_asked_for(frames: int):
    found = recordings(frames)
    lengths = [length for *_, length in found]
    assert sum(lengths) == frames // 4 and found == recordings(frames)
    assert len({(subject, action) for subject, action, _ in found}) == len(found)
    if frames == 1_500_000:  # as many and as long as Human3.6M's
        assert 120 < len(found) < 160 and 900 < min(lengths) < 1100 and 5500 < max(lengths) < 6100


def test_the_lifter_returns_its_noise():
    noise = [torch.randn(3, 2, CLIP, 17, 3)]
    hypotheses = NoiseLifter().sample(torch.zeros(3, CLIP, 17, 2), 2, 1, True, noise=noise, intrinsics=None)
    assert hypotheses.shape == (3, 1, 2, CLIP, 17, 3)
    assert torch.equal(hypotheses[:, 0], bench_pipeline.SPREAD * noise[0])


def test_a_small_run(results: Path, monkeypatch, capsys):
    folders = []
    write = bench_pipeline.write_data

    def keep_note(folder: Path, frames: int) -> None:
        write(folder, frames)
        videos = load_h36m(folder, "gt", ["S1"]).videos
        folders.append((folder, sum(map(len, videos))))

    monkeypatch.setattr(bench_pipeline, "write_data", keep_note)
    monkeypatch.setattr(bench_pipeline, "_child", child_here)
    run_here(bench_pipeline, "--frames", f"{MORE},{FEW},{FEW}", "--repeats", 2)
    assert [frames for _, frames in folders] == [FEW, 800]
    assert not any(folder.exists() for folder, _ in folders)
    record = json.loads((results / "pipeline.json").read_text())
    assert [(size["frames"], size["videos"]) for size in record["sizes"]] == [(FEW, 4), (800, 4)]
    assert record["synthetic"] and record["repeats"] == 2
    for measured in record["sizes"]:
        assert measured["data_bytes"] == measured["frames"] * 4 * 17 * (2 + 3) + measured["frames"] * 4 * 3
        peaks = [measured["import_bytes"], *(measured["peak_bytes"][stage] for stage in STAGES)]
        assert peaks == sorted(peaks) and peaks[0] > MEBI
        for stage in STAGES:
            runs = measured["seconds_of_every_run"][stage]
            assert len(runs) == 2 and measured["seconds"][stage] == pytest.approx(sum(runs) / 2) and min(runs) > 0
    assert all(isinstance(record["exponents"][stage], float) for stage in STAGES)
    text = (results / "pipeline.txt").read_text()
    assert text == table(record) + "\n" and capsys.readouterr().out.endswith(text)

    run_here(bench_pipeline, "--frames", FEW, "--repeats", 1, "--compare", results / "pipeline.json")
    again = json.loads((results / "pipeline.json").read_text())
    assert again["exponents"] == again["bytes_per_added_frame"] == dict.fromkeys(STAGES)  # a single size
    assert (results / "pipeline.txt").read_text() == table(again, record) + "\n"


@pytest.mark.slow
def test_a_process_of_its_own(tmp_path: Path):
    bench_pipeline.write_data(tmp_path / str(FEW), FEW)
    lines = bench_pipeline._child("--part", "measure", str(tmp_path), str(FEW), "--frames", str(FEW), "--repeats", "1")
    assert json.loads(lines[-1])["frames"] == FEW and len(lines) == 1


def test_wrong_input(results: Path, tmp_path: Path):
    assert refused("--frames", "10000,many") == "--frames: expected whole numbers from 400 up, found 'many'"
    assert refused("--frames", "399") == "--frames: expected whole numbers from 400 up, found '399'"
    assert refused("--frames", ",") == "--frames: expected whole numbers from 400 up, found 'none'"
    assert refused("--repeats", 0) == "--repeats: expected 1 or more, found 0"
    other = tmp_path / "other.json"
    for content in ("no json", "[]", '{"sizes": [{"frames": 1, "seconds": {}}]}'):
        other.write_text(content)
        assert refused("--compare", other).startswith(f"--compare {other}: expected a pipeline.json of this benchmark")
    assert "FileNotFoundError" in refused("--compare", tmp_path / "none.json")
    assert not results.exists()
