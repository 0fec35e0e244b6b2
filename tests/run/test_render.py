"""Which video, which of its frames, and what is shown of it."""

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bodies import video
from lifters import Knows

from common.datasets.video import Dataset
from common.errors import InputError
from common.model.inference import Sampling
from common.run import render
from common.run.render import chosen_frames, render_video, select_video

USUAL = {
    "viz_subject": None, "viz_action": None, "viz_camera": 0, "viz_output": None, "viz_skip": 0, "viz_limit": -1,
    "viz_downsample": 1, "viz_size": 5.0, "root": "estimated", "keypoints": "gt",
}  # fmt: skip


def asked(**flags) -> Namespace:
    return Namespace(**USUAL | flags)


@pytest.mark.parametrize(
    ("flags", "frames"),
    [
        ({}, range(12)),
        ({"viz_limit": 5}, range(5)),
        ({"viz_skip": 9}, range(9, 12)),
        ({"viz_downsample": 5}, range(0, 12, 5)),
        ({"viz_skip": 3, "viz_downsample": 2, "viz_limit": 4}, range(3, 11, 2)),
        ({"viz_limit": 100}, range(12)),
    ],
)
def test_limit_skip_and_downsample(flags, frames):
    assert list(chosen_frames(12, asked(**flags))) == list(frames)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"viz_limit": 0}, "--viz-limit"),
        ({"viz_skip": 12}, "--viz-skip: expected 0 to 11"),
        ({"viz_size": 0.0}, "--viz-size"),
        ({"viz_output": Path("a.avi")}, "a.avi: expected a name that ends in"),
        ({"viz_camera": 3}, "no video of .*camera 3"),
    ],
)
def test_what_cannot_be_drawn_is_known_before_training(flags, expected):
    with pytest.raises(InputError, match=expected) as caught:
        select_video([video(12)], asked(**flags))
    assert "\n" not in str(caught.value)


def shown(monkeypatch, tmp_path, apart: float = 0.0, synthetic: bool = False, **flags) -> tuple[list[str], dict]:
    """The names of the files, and what is in them, of a lifter that knows the truth."""
    v = replace(video(12), confidence=torch.ones(12, 17))
    v.confidence[:, 3] = 0
    knows = Knows([v], 9)
    knows.apart = apart
    files = []

    def take(path, tracks, fps, title, about, pixels, size, height, start):
        files.append(path.name)
        found.update(tracks=tracks, fps=fps, title=title, about=about, pixels=pixels, height=height, start=start)

    found: dict = {}
    monkeypatch.setattr(render, "write_view", take)
    data = Dataset([v], "made up", synthetic, {})
    args = asked(checkpoint=tmp_path, **flags)
    models = {"source_only": knows, "adapted": knows}
    nothing = dict.fromkeys(models)
    render_video(models, nothing, v, [v], Sampling(2, 1, seed=0), data, args)
    return files, found | {"video": v}


def test_a_page_and_a_film_by_default(monkeypatch, tmp_path):
    files, found = shown(monkeypatch, tmp_path)
    assert files == ["render.gif", "render.html"]
    before, after, truth = found["tracks"]
    assert (before.name, after.name, truth.name) == ("source only, 0 mm", "adapted, 0 mm", "truth")
    assert truth.truth and not before.truth
    for track in (before, after):
        np.testing.assert_allclose(track.joints, truth.joints, atol=1e-4)
    assert np.isnan(found["pixels"][:, 3]).all() and np.isfinite(found["pixels"][:, 4]).all()
    assert found["height"] == 400 and found["start"] == 0


def test_the_truth_is_upright_and_stands_on_the_floor(monkeypatch, tmp_path):
    _, found = shown(monkeypatch, tmp_path)
    joints, v = found["tracks"][-1].joints, found["video"]
    bones = [np.linalg.norm(np.diff(x, axis=1), axis=-1) for x in (joints, v.pose.numpy())]
    np.testing.assert_allclose(*bones, atol=1e-5)  # turned and moved, not bent
    np.testing.assert_allclose(joints[0, 0, [0, 2]], 0, atol=1e-6)


def test_hypotheses_and_expected_error_where_they_differ(monkeypatch, tmp_path):
    _, found = shown(monkeypatch, tmp_path, apart=0.05)
    track = found["tracks"][0]
    assert track.hypotheses.shape == (12, 2, 17, 3) and track.expected_error.shape == (12, 17)
    assert np.linalg.norm(track.hypotheses[:, 0, 5] - track.hypotheses[:, 1, 5], axis=-1) == pytest.approx(
        0.1, rel=0.02
    )
    _, alike = shown(monkeypatch, tmp_path)
    assert alike["tracks"][0].expected_error is None


def test_part_of_a_video_is_said_to_be_one(monkeypatch, tmp_path):
    files, found = shown(
        monkeypatch, tmp_path, viz_skip=2, viz_downsample=3, viz_limit=3, viz_output=tmp_path / "x.html", synthetic=True
    )
    assert files == ["x.html"] and len(found["tracks"][0].joints) == len(found["pixels"]) == 3
    assert found["start"] == pytest.approx(2 / found["video"].fps) and found["fps"] == found["video"].fps / 3
    assert "frames 2 to 8 of 12, one in 3" in found["about"]
    assert re.match("Synthetic data: made up", found["about"][0])
