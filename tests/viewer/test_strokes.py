"""Lines drawn into pixels cover what a line covers, and nothing outside their box."""

import numpy as np
import pytest

from common.viewer.strokes import colour_bytes, draw_strokes, pale

SIZE = 60
BOX = (0, 0, SIZE, SIZE)


def drawn(*lines: tuple, box=BOX) -> np.ndarray:
    """Black lines (x, y, x, y, width) on white, as darkness from 0 to 1, (SIZE, SIZE)."""
    picture = np.full((SIZE, SIZE, 4), 255, np.uint8)
    ends = np.array([line[:4] for line in lines], float).reshape(-1, 2, 2)
    widths = np.array([line[4] for line in lines], float)
    draw_strokes(picture, ends, widths, np.tile(colour_bytes("#000000"), (len(lines), 1)), box)
    assert (picture[..., 3] == 255).all()
    return 1 - picture[..., 0] / 255


def expected(x, y, end_x, end_y, width) -> np.ndarray:
    """The same by the distance of every pixel's middle from the line."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    way = np.array([end_x - x, end_y - y], float)
    share = np.clip(((columns - x) * way[0] + (rows - y) * way[1]) / max(way @ way, 1e-9), 0, 1)
    distance = np.hypot(columns - x - share * way[0], rows - y - share * way[1])
    return np.clip(width / 2 + 0.5 - distance, 0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_line_is_as_far_as_half_its_width(seed):
    rng = np.random.default_rng(seed)
    line = (*rng.uniform(-10, SIZE + 10, 4), rng.uniform(0.5, 12))
    np.testing.assert_allclose(drawn(line), expected(*line), atol=1.5 / 255)


@pytest.mark.parametrize(
    "line", [(30, 30, 30, 30, 11), (5, 20, 50, 20, 3), (20, 50, 20, 5, 3), (5, 5, 55, 55, 4), (55, 5, 5, 55, 1)]
)
def test_dots_and_straight_lines(line):
    np.testing.assert_allclose(drawn(line), expected(*line), atol=1.5 / 255)


def test_lines_drawn_together_are_those_drawn_alone():
    lines = [(5, 5, 50, 9, 3), (10, 50, 12, 20, 1), (40, 40, 40, 40, 9)]
    together, alone = drawn(*lines), np.max([drawn(line) for line in lines], axis=0)
    np.testing.assert_allclose(together, alone, atol=1 / 255)


def test_the_later_line_lies_on_top():
    picture = np.full((SIZE, SIZE, 4), 255, np.uint8)
    ends = np.array([[[0, 30], [60, 30]], [[30, 0], [30, 60]]], float)
    colours = np.stack([colour_bytes("#FF0000"), colour_bytes("#0000FF")])
    draw_strokes(picture, ends, np.array([6.0, 6.0]), colours, BOX)
    assert picture[30, 30, :3].tolist() == [0, 0, 255] and picture[30, 10, :3].tolist() == [255, 0, 0]


def test_nothing_outside_the_box_nor_of_what_is_not_known():
    inside = np.zeros((SIZE, SIZE), bool)
    inside[10:30, 20:50] = True
    found = drawn((-50, 0, 100, 40, 20), (25, -90, 26, 90, 5), (-9, -9, -9, -9, 30), box=(20, 10, 50, 30))
    assert found[inside].max() == 1 and found[~inside].max() == 0
    assert drawn((np.nan, 5, 6, 7, 3), (5, 5, np.inf, 5, 3)).max() == 0
    assert drawn((100, 100, 200, 200, 3)).max() == 0


def test_colours():
    assert colour_bytes("#E69F00").tolist() == [230, 159, 0, 255]
    assert (pale("#000000", 1), pale("#000000", 0), pale("#0072B2", 0.5)) == ("#000000", "#ffffff", "#80b8d8")
