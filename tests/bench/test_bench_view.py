"""The benchmark of pages and films: a very small run."""

import pytest
from scripts import run_here

from benchmarks import bench_view
from common.errors import InputError


def test_a_small_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_view, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_view, "ENDINGS", (".html", ".gif"))
    run_here(bench_view, "--frames", 3)
    text = (tmp_path / "view.txt").read_text()
    assert text == capsys.readouterr().out and text.startswith("SYNTHETIC walk, 3 frames")
    rows = [line.rsplit(maxsplit=2) for line in text.splitlines()[2:]]
    assert len(rows) == 4 and all(float(rate) > 0 and float(size) > 10 for _, rate, size in rows)


def test_wrong_input(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_view, "RESULTS", tmp_path)
    with pytest.raises(InputError, match="--frames: expected 2 or more, found 1"):
        run_here(bench_view, "--frames", 1)
    assert not list(tmp_path.iterdir())
