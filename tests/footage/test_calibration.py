"""Cameras from TOML files: the lens that was written, and one line for everything else."""

import os
import sys
from pathlib import Path

import pytest
import torch

from common.errors import InputError
from common.footage.calibration import read_calibration
from common.geometry.camera import project

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
CAMERA = """[{0}]
name = "{0}"
size = [ 1000.0, 800.0]
matrix = [ [ 900.0, 0.0, 510.0], [ 0.0, 910.0, 390.0], [ 0.0, 0.0, 1.0]]
distortions = [ -0.1, 0.02, 0.003, -0.004]
rotation = [ 0.1, 0.2, 0.3]
translation = [ 0.0, 0.0, 1.0]
fisheye = false
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str):
        path = tmp_path / "Calib.toml"
        path.write_text(text)
        return path

    return written


def test_the_lens_is_the_files(write):
    """Against OpenCV's lens model, written out: radial k1 k2, tangential p1 p2."""
    camera = read_calibration(write(CAMERA.format("cam") + "[metadata]\nerror = 0.0\n"))
    assert (camera.width, camera.height) == (1000, 800)
    x, y, k1, k2, p1, p2 = 0.3, -0.2, -0.1, 0.02, 0.003, -0.004
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2
    across = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    down = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    seen = project(torch.tensor([[x, y, 1.0]], dtype=torch.float64) * 3, camera.normalised_intrinsics())[0]
    pixels = (seen + torch.tensor([1, 0.8])) * 500
    assert pixels.tolist() == pytest.approx([900 * across + 510, 910 * down + 390], abs=0.5)


def test_one_of_several_by_name_and_another_size(write):
    path = write(CAMERA.format("left") + CAMERA.format("right").replace("900.0", "700.0"))
    assert read_calibration(path, name="right").focal == (700, 910)
    smaller = read_calibration(path, (500, 400), "left")
    assert smaller.focal == (450, 455) and smaller.centre == (255, 195) and smaller.width == 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CAMERA.format("a") + CAMERA.format("b"), "holds the cameras a, b; say which with --camera"),
        (CAMERA.format("a").replace("fisheye = false", "fisheye = true"), "fisheye"),
        (CAMERA.format("a").replace("1000.0, 800.0", "800.0, 1000.0"), "the keypoints' 1000x800"),
        (CAMERA.format("a").replace("900.0,", "-900.0,"), "two focal lengths above 0"),
        (CAMERA.format("a").replace("900.0,", "nan,"), "matrix should be numbers"),
        (CAMERA.format("a").replace("-0.1, 0.02, 0.003, -0.004", "0.1"), "distortions should be"),
        (CAMERA.format("a").replace("1000.0, 800.0", "1000.0"), "size should be"),
        (CAMERA.format("a").replace("1000.0, 800.0", "0.4, 0.4"), "size should be"),
        (CAMERA.format("a").replace("1000.0, 800.0", "1e300, 1e300"), "size should be"),
        ("[metadata]\nerror = 0.0\n", "found none"),
        ("not: toml", "expected a calibration in TOML"),
        ("", "found none"),
    ],
)
def test_what_cannot_be_used_is_said(write, text, said):
    with pytest.raises(InputError, match=said) as error:
        read_calibration(write(text), (1000, 800))
    assert "Calib.toml" in str(error.value)


def test_no_file_and_no_such_camera(write, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_calibration(tmp_path / "absent.toml")
    for place in (tmp_path, Path(os.devnull)):
        with pytest.raises(InputError, match="found a folder or a device"):
            read_calibration(place)
    with pytest.raises(InputError, match="no camera 'c', expected one of a"):
        read_calibration(write(CAMERA.format("a")), name="c")
