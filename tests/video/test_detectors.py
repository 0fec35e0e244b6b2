"""The detectors' real packages, each where it is installed; continuous integration has none of them.

Only MediaPipe carries weights. The others' networks are stand-ins here: of rtmlib two that say the same of every
picture, of Ultralytics the real one with random weights. What runs between picture and keypoints is the packages' own.
"""

import re

import numpy as np
import pytest

from common.geometry.skeleton import JOINT_ORDERS
from common.video.choosing import DETECTORS, start

PICTURE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def joints(name: str) -> int:
    return len(JOINT_ORDERS[DETECTORS[name].order].joints)


def test_mediapipe_finds_nobody_in_noise():
    pytest.importorskip("mediapipe")
    assert start(DETECTORS["mediapipe"], "a video")(PICTURE) == []


def constant_network(path, **outputs: np.ndarray):
    """An ONNX file of a network that gives the same outputs whatever its picture."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value.astype(np.float32)))
        for name, value in outputs.items()
    ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in outputs.items()]
    graph = helper.make_graph(nodes, "constant", [picture], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def network_of(url: str) -> str:
    """The first word of the file's name: yolox, rtmpose."""
    return re.findall("[a-z]+", url.rsplit("/", 1)[1])[0]


@pytest.mark.parametrize("score", [0.9, 0.1])
def test_rtmlib_with_networks_that_say_the_same_of_every_picture(tmp_path, monkeypatch, score):
    """Two boxes of 640 x 640; in each the joints lie on a diagonal. A low score means that nobody is there."""
    base = pytest.importorskip("rtmlib.tools.base")
    boxes = np.array([[[0, 0, 320, 480, score], [320, 0, 640, 480, score]]])
    number = np.arange(joints("rtmlib"))
    x, y = np.zeros((1, len(number), 384)), np.zeros((1, len(number), 512))
    x[0, number, 100 + 4 * number] = 0.5
    y[0, number, 200 + 8 * number] = 0.5
    constant_network(tmp_path / "yolox.onnx", boxes=boxes)
    constant_network(tmp_path / "rtmpose.onnx", x=x, y=y)
    monkeypatch.setattr(base, "download_checkpoint", lambda url: str(tmp_path / f"{network_of(url)}.onnx"))
    people = start(DETECTORS["rtmlib"], "a video")(PICTURE)
    assert len(people) == (2 if score > 0.3 else 0)
    for person, left in zip(people, (0, 160)):
        assert person.shape == (joints("rtmlib"), 3)
        np.testing.assert_allclose(person[:, 2], 0.5)
        steps = np.diff(person[:, :2], axis=0)
        # A box of 160 x 240 is 200 x 300 with its margin, of 3 to 4 then 225 x 300; four of 384 steps are a joint's.
        np.testing.assert_allclose(steps, np.tile([225 * 4 / 384, 300 * 8 / 512], (len(steps), 1)), rtol=0.01)
        np.testing.assert_allclose(person[0, 0], left + 80 + 225 * (100 / 384 - 0.5), atol=1)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_ultralytics_with_random_weights(monkeypatch, least):
    """They find three people everywhere where any confidence is enough, nobody where it has to be 1."""
    ultralytics = pytest.importorskip("ultralytics")

    class Random(ultralytics.YOLO):
        def __init__(self, weights):
            super().__init__("yolo11n-pose.yaml")

        def predict(self, *given, **flags):
            return super().predict(*given, **flags, conf=least, max_det=3)

    monkeypatch.setattr(ultralytics, "YOLO", Random)
    people = start(DETECTORS["ultralytics"], "a video")(PICTURE)
    assert len(people) == (0 if least else 3)
    for person in people:
        assert person.shape == (joints("ultralytics"), 3) and np.isfinite(person).all()
        assert ((person[:, 2] >= 0) & (person[:, 2] <= 1)).all()
