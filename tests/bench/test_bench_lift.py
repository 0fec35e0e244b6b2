"""The benchmark of `lift.py` measures what it says: every stage takes time, and no more than the whole."""

import json

import pytest
from scripts import run_here

from benchmarks import bench_lift
from common.errors import InputError


@pytest.mark.slow
def test_stages_of_a_short_video(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_lift, "RESULTS", tmp_path)
    run_here(bench_lift, "--frames", "60", "--repeats", "1")
    record = json.loads((tmp_path / "lift.json").read_text())
    seconds = record["rows"]["60"]["seconds"]
    assert set(seconds) == set(bench_lift.STAGES) and all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) - seconds["all"] <= seconds["all"]
    assert record["synthetic"] and "SYNTHETIC" in capsys.readouterr().out


def test_numbers_that_are_none(tmp_path):
    for frames in ("0", "a", "10,,20"):
        with pytest.raises(InputError, match="expected numbers above 0"):
            run_here(bench_lift, "--frames", frames)
