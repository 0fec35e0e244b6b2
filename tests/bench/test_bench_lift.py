"""The benchmark of `lift.py` measures every stage of a real run."""

import numpy as np
import pytest

from benchmarks import bench_lift


@pytest.mark.slow
def test_every_stage_takes_time(tmp_path):
    model = bench_lift.write_model(tmp_path / "model.bin")
    np.save(tmp_path / "motion.npy", bench_lift.write_motion()[:120])
    run = bench_lift.measured(tmp_path / "motion.npy", model, tmp_path / "out")
    assert all(run["seconds"][stage] > 0 for stage in bench_lift.STAGES) and run["peak_mb"] > 50
    assert sum(run["seconds"][stage] for stage in bench_lift.STAGES if stage != "all") <= run["seconds"]["all"]
    assert (tmp_path / "out" / "poses.html").exists()
