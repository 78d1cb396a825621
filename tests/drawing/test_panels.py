"""Panels: how numbers become brightness, where tiles lie, and which panel weights and blobs get."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from caffepy.drawing.activations import activations_panel
from caffepy.drawing.panels import Matrix, Tiles, Values, draw_panels, stretched, symmetrical, tiled
from caffepy.drawing.weights import weights_panel
from caffepy.errors import CaffepyError, DataError, WeightsError


def test_zero_is_gray():
    x = np.array([[[-2.0, 0, 1]], [[0, 0, 8]]])
    np.testing.assert_allclose(symmetrical(x), [[[0, 0.5, 0.75]], [[0.5, 0.5, 1]]])
    np.testing.assert_allclose(symmetrical(x, each=False), [[[0.375, 0.5, 0.5625]], [[0.5, 0.5, 1]]])
    assert (symmetrical(np.zeros((2, 3))) == 0.5).all()
    assert symmetrical(np.array([[np.nan, np.inf, 1]])).tolist() == [[0.5, 0.5, 1]]


def test_the_smallest_is_black():
    x = np.array([[[-2.0, 0, 2]], [[0, 4, 8]]])
    np.testing.assert_allclose(stretched(x), [[[0, 0.5, 1]], [[0, 0.5, 1]]])
    np.testing.assert_allclose(stretched(x, each=False), [[[0, 0.2, 0.4]], [[0.2, 0.6, 1]]])
    assert not stretched(np.full((2, 3), 7.0)).any()
    assert stretched(np.empty((0, 3))).size == 0


def test_tiles_lie_in_rows():
    images = np.arange(5)[:, None, None] / 10 * np.ones((5, 2, 3))
    whole = tiled(Tiles("", images, columns=2))
    assert whole.shape == (8, 7)
    for i in range(5):
        y, x = i // 2 * 3, i % 2 * 4
        assert (whole[y : y + 2, x : x + 3] == i / 10).all()
    # Between them, and where there is none, it is white.
    assert (whole[2] == 1).all()
    assert (whole[:, 3] == 1).all()
    assert (whole[6:, 4:] == 1).all()
    assert tiled(Tiles("", np.zeros((4, 2, 2, 3)), columns=4)).shape == (2, 11, 3)


@pytest.mark.parametrize(
    ("shape", "captions"),
    [
        *((shape, False) for shape in [(1, 28, 28), (4096, 1, 1), (300, 5, 5), (2, 10, 500), (3, 500, 3)]),
        *((shape, True) for shape in [(1, 28, 28), (12, 227, 227, 3), (64, 8, 8), (3, 500, 3)]),
    ],
)
def test_any_number_of_tiles_fits(tmp_path, shape, captions):
    panel = Tiles("t", np.zeros(shape), ["x"] * shape[0] if captions else None)
    columns, rows, width, height = panel.layout()
    assert columns * rows >= shape[0] > columns * (rows - 1)
    assert columns * width <= 11.001
    assert height > 0
    draw_panels([panel], tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        assert min(image.size) > 100
        assert max(image.size) < 3000


def test_pixels_of_a_picture(tmp_path):
    images = np.zeros((2, 4, 4, 3))
    images[0, :, :, 0], images[1, :, :, 2] = 1, 1
    for captions in (None, ["a", "b"]):
        draw_panels([Tiles("t", images, captions, columns=2)], tmp_path / "t.png")
        with Image.open(tmp_path / "t.png") as image:
            seen = np.asarray(image.convert("RGB"))
        red, blue = (np.argwhere((seen == colour).all(2)) for colour in ([255, 0, 0], [0, 0, 255]))
        assert len(red) > 1000
        assert abs(len(red) - len(blue)) < 0.05 * len(red)
        # The first is left of the second, at the same height.
        assert red[:, 1].max() < blue[:, 1].min()
        assert red[:, 0].min() == blue[:, 0].min()


def test_texts(tmp_path):
    panels = [
        Tiles("tiles $x$", np.zeros((1, 3, 3)), ["a caption that is far too long for its tile, certainly and forever"]),
        Matrix("matrix", np.eye(3), "across", "down"),
        Values("values", np.array([1.0, np.nan, 3]), [(2, "largest $"), (0, "next")]),
        Values("many", np.linspace(-1, 1, 3000)),
    ]
    draw_panels(panels, tmp_path / "t.svg", "the title")
    text = "\n".join(re.findall("<!-- (.*?) -->", (tmp_path / "t.svg").read_text()))
    for piece in ("the title", "tiles $x$", "…", "across", "down", "3  largest $", "1  next", "many"):
        assert piece in text
    assert "forever" not in text
    for kind in ("png", "svg", "pdf"):
        for name in "ab":
            draw_panels(panels[:2], tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with pytest.raises(CaffepyError, match="pictures are png, svg, pdf"):
        draw_panels(panels, tmp_path / "t.bmp")


def test_coloured_and_gray_filters():
    weight = np.zeros((5, 3, 4, 4))
    # Blue comes first in Caffe, red in pictures.
    weight[1, 0], weight[1, 2] = 2, -1
    panel = weights_panel("conv1", weight)
    assert isinstance(panel, Tiles)
    assert panel.title == "conv1: 5x3x4x4"
    np.testing.assert_allclose(panel.images[1, 0, 0], [0.25, 0.5, 1])
    assert (panel.images[0] == 0.5).all()
    few = weights_panel("conv1", weight, most=2)
    assert few.images.shape == (2, 4, 4, 3)
    assert few.title == "conv1: 5x3x4x4, the first 2 of 5 filters"
    assert weights_panel("conv1", weight[:, :1]).images.shape == (5, 4, 4)


def test_filters_of_many_channels_are_rows():
    weight = np.random.default_rng(1).normal(size=(6, 4, 3, 3))
    panel = weights_panel("conv2", weight)
    assert (panel.images.shape, panel.columns) == ((24, 3, 3), 4)
    # All channels of a filter have one range.
    for o in range(6):
        expected = weight[o] / (2 * abs(weight[o]).max()) + 0.5
        np.testing.assert_allclose(panel.images[4 * o : 4 * o + 4], expected)
    few = weights_panel("conv2", np.ones((64, 48, 5, 5)), most=100)
    assert (len(few.images), few.columns) == (100, 10)
    assert few.title.endswith(", the first 10 of 64 filters, a row each, the first 10 of 48 channels")
    assert len(weights_panel("conv2", np.ones((2, 512, 3, 3)), most=100).images) == 100


def test_other_weights_are_a_matrix():
    weight = np.random.default_rng(1).normal(size=(5, 7))
    panel = weights_panel("ip", weight)
    assert isinstance(panel, Matrix)
    np.testing.assert_array_equal(panel.values, weight)
    np.testing.assert_array_equal(weights_panel("conv", weight[:, :, None, None]).values, weight)
    large = np.zeros((3, 4096))
    large[1, 4095], large[2, 0], large[2, 1] = -5, 1, -3
    values = weights_panel("fc", large).values
    assert values.shape == (3, 820)
    assert (values[1, -1], values[2, 0]) == (-5, -3)
    for wrong in (np.ones(3), np.ones((2, 3, 4)), np.ones((0, 3))):
        with pytest.raises(WeightsError, match="are no filters: expected two axes or four"):
            weights_panel("x", wrong)


def test_blobs():
    panel = activations_panel("conv1", np.arange(24.0).reshape(2, 3, 4))
    assert panel.title == "conv1: 2x3x4, 0 to 23"
    np.testing.assert_allclose(panel.images[1, 0, 0], 12 / 23)
    assert activations_panel("c", np.arange(24.0).reshape(2, 3, 4), each=True).images[1, 0, 0] == 0
    assert activations_panel("c", np.ones((9, 2, 2)), most=4).title == "c: 9x2x2, 1 to 1, the first 4 of 9 channels"
    panel = activations_panel("fc", np.array([0, 5, -1, 2, 7, 1, np.nan]).reshape(7, 1, 1))
    assert isinstance(panel, Values)
    assert panel.named == [(4, "4"), (1, "1"), (3, "3"), (5, "5"), (0, "0")]
    assert activations_panel("prob", np.array([0.25, 0.75]), labels=["cat", "dog"]).named == [(1, "dog"), (0, "cat")]
    for wrong in (np.ones((2, 3)), np.ones((0,)), np.ones((2, 2, 2, 2))):
        with pytest.raises(DataError, match="is no image and no row of values"):
            activations_panel("x", wrong)
