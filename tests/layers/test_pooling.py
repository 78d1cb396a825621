"""Pooling."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.random import Stream
from caffepy.testing import LayerUnderTest, case
from caffepy.testing.layer_under_test import PASS
from tests.reference.pool import ave_pool, expected_pool, max_pool, output_shape, stochastic_pool

# Of LayerUnderTest: the seed and the name of its layer.
STREAM = Stream(1701, "under_test", "stochastic_pooling")


def setting(fields, shape, kernel, stride=(1, 1), pad=(0, 0), ceil=True, tops=1, **more):
    def reference(bottoms, blobs):
        x = bottoms[0]
        window = kernel or x.shape[2:], stride, pad
        y_shape = output_shape(x.shape, *window, ceil)
        if "AVE" in fields:
            return [ave_pool(x, y_shape, *window)]
        return list(max_pool(x, y_shape, *window))[:tops]

    return case(
        f'type: "Pooling" pooling_param {{ {fields} }}',
        [shape],
        tops=tops,
        reference=reference,
        # The index of a maximum has no gradient.
        tops_checked=[0],
        label=f"{fields} {shape}{' mask' * (tops - 1)}",
        **more,
    )


def drawn(fields, shape, kernel, stride):
    def reference(bottoms, blobs):
        y_shape = output_shape(bottoms[0].shape, kernel, stride, (0, 0))
        uniform = STREAM.uniform(int(np.prod(y_shape)), PASS)
        return [stochastic_pool(bottoms[0], y_shape, kernel, stride, uniform)[0]]

    return case(
        f'type: "Pooling" pooling_param {{ pool: STOCHASTIC {fields} }}',
        [shape],
        phase="TRAIN",
        reference=reference,
        draw={0: lambda random, shape: random.random(shape)},
        label=f"STOCHASTIC {fields} {shape}",
        # Moving a value moves what is drawn: the gradient is that of the choice made, not a difference.
        gradient=[],
    )


CASES = [
    setting("kernel_size: 2 stride: 2", (2, 3, 6, 8), (2, 2), (2, 2)),
    # Rounded up 4 x 4, rounded down 3 x 3.
    setting("kernel_size: 3 stride: 2", (2, 3, 8, 8), (3, 3), (2, 2)),
    setting("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 3, 8, 8), (3, 3), (2, 2), ceil=False),
    setting("kernel_size: 3 stride: 2 round_mode: CEIL", (2, 3, 7, 8), (3, 3), (2, 2)),
    setting("kernel_size: 3 stride: 2 pad: 1", (2, 2, 6, 7), (3, 3), (2, 2), (1, 1)),
    setting("kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR", (2, 2, 6, 7), (3, 3), (2, 2), (1, 1), ceil=False),
    # The last window of the first axis would begin in the padding.
    setting("kernel_size: 2 stride: 2 pad: 1", (1, 2, 5, 4), (2, 2), (2, 2), (1, 1)),
    setting("kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 2", (1, 2, 5, 7), (2, 3), (1, 2), (1, 2)),
    setting("kernel_size: 3 stride: 2", (1, 2, 9, 7), (3, 3), (2, 2), tops=2),
    setting("kernel_size: 3 pad: 2", (2, 2, 4, 5), (3, 3), (1, 1), (2, 2), tops=2),
    setting("global_pooling: true", (2, 3, 4, 5), None),
    setting("global_pooling: true", (2, 3, 4, 5), None, tops=2),
    setting("pool: MAX kernel_size: 1", (2, 3, 3, 2), (1, 1)),
    setting("pool: AVE kernel_size: 2 stride: 2", (2, 3, 6, 8), (2, 2), (2, 2)),
    setting("pool: AVE kernel_size: 3 stride: 2", (2, 3, 8, 6), (3, 3), (2, 2)),
    setting("pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 3, 8, 6), (3, 3), (2, 2), ceil=False),
    setting("pool: AVE kernel_size: 3 stride: 2 pad: 1", (1, 2, 6, 7), (3, 3), (2, 2), (1, 1)),
    setting("pool: AVE kernel_size: 3 pad_h: 1 pad_w: 2", (1, 2, 4, 4), (3, 3), (1, 1), (1, 2)),
    setting("pool: AVE global_pooling: true", (2, 3, 4, 5), None),
    setting("kernel_size: 3 stride: 2", (1, 2, 2, 2), (3, 3), (2, 2)),
    drawn("kernel_size: 2 stride: 2", (2, 3, 6, 5), (2, 2), (2, 2)),
    drawn("kernel_size: 3 stride: 2", (2, 3, 8, 6), (3, 3), (2, 2)),
]  # fmt: skip


def run(fields, *shapes, tops=1, phase="TEST"):
    under = LayerUnderTest(
        case(f'type: "Pooling" pooling_param {{ {fields} }}', shapes, tops=tops, phase=phase),
        get_backend("cpu", "float32", 1),
    )
    under.forward()
    return under


REFUSED = [
    ("", r"Filter size is kernel_size OR kernel_h and kernel_w; got none of them"),
    ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "Filter size is kernel_size OR kernel_h and kernel_w; not both"),
    ("kernel_h: 2", "For non-square filters both kernel_h and kernel_w are required"),
    ("kernel_w: 2", "For non-square filters both kernel_h and kernel_w are required"),
    ("global_pooling: true kernel_size: 2", "With Global_pooling: true Filter size cannot specified"),
    ("global_pooling: true kernel_h: 2", "With Global_pooling: true Filter size cannot specified"),
    ("global_pooling: true pad: 1", "With Global_pooling: true; only pad = 0 and stride = 1"),
    ("global_pooling: true stride: 2", "With Global_pooling: true; only pad = 0 and stride = 1"),
    ("kernel_size: 0", r"Filter dimensions cannot be zero; got kernel \(0, 0\)"),
    ("kernel_h: 2 kernel_w: 0", r"Filter dimensions cannot be zero; got kernel \(2, 0\)"),
    ("kernel_size: 2 stride: 0", r"Stride dimensions cannot be zero; got stride \(0, 0\)"),
    ("kernel_size: 2 stride: 2 stride_h: 1 stride_w: 1", "stride is stride OR stride_h and stride_w, both of them"),
    ("kernel_size: 2 stride_h: 1", "stride is stride OR stride_h and stride_w, both of them"),
    ("kernel_size: 2 pad: 1 pad_h: 1 pad_w: 1", "pad is pad OR pad_h and pad_w, both of them"),
    ("kernel_size: 2 pad_w: 1", "pad is pad OR pad_h and pad_w, both of them"),
    ("kernel_size: 2 pad: 2", r"pad must be smaller than the kernel \(Check failed: pad < kernel\); got \(2, 2\)"),
    ("kernel_h: 3 kernel_w: 2 pad: 2", r"pad must be smaller than the kernel .* got \(2, 2\) and \(3, 2\)"),
    ("pool: STOCHASTIC kernel_size: 2 pad: 1", "Padding implemented only for average and max pooling"),
    ("kernel_size: 7", "the window does not fit into the image: input 4 x 5, kernel 7 x 7, pad 0 x 0"),
    ("kernel_size: 5 round_mode: FLOOR", "the window does not fit into the image: input 4 x 5"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_settings_refused(fields, message):
    with pytest.raises(LayerError, match=rf"'under_test' \(Pooling\): {message}"):
        run(fields, (1, 2, 4, 5))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (1, 2, 3, 4, 5)])
def test_four_axes(shape):
    expected = r"Input must have 4 axes, corresponding to \(num, channels, height, width\); got shape 2|1"
    with pytest.raises(LayerError, match=expected):
        run("kernel_size: 2", shape)


def test_four_axes_later():
    under = run("kernel_size: 2", (1, 2, 3, 4))
    under.resize([(1, 2, 3)])
    with pytest.raises(LayerError, match=r"Input must have 4 axes, .* got shape 1 2 3 \(6\)"):
        under.forward()


@pytest.mark.parametrize("method", ["AVE", "STOCHASTIC"])
def test_only_a_maximum_has_an_index(method):
    with pytest.raises(LayerError, match=r"Pooling Layer produces at most 1 top blob\(s\).* unless pool is MAX; got 2"):
        run(f"pool: {method} kernel_size: 2", (1, 2, 4, 4), tops=2)


def test_stochastic_pooling_gives_the_mean_in_tests():
    under = run("pool: STOCHASTIC kernel_h: 3 kernel_w: 2 stride: 2", (2, 3, 8, 6))
    under.values[0][...] = np.random.random((2, 3, 8, 6)).astype(np.float32)
    expected = expected_pool(under.values[0], (2, 3, 4, 3), (3, 2), (2, 2))
    np.testing.assert_allclose(under.forward()[0], expected, rtol=1e-5)


def test_stochastic_pooling_has_no_gradient_in_tests():
    under = run("pool: STOCHASTIC kernel_size: 2", (1, 2, 4, 4))
    with pytest.raises(LayerError, match="stochastic pooling has a gradient in the TRAIN phase only"):
        under.backward(under.draw_top_diffs())
    under.backward(under.draw_top_diffs(), [False])


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_a_global_window_follows_the_image(method):
    under = run(f"pool: {method} global_pooling: true", (2, 3, 4, 5))
    for shape in ((2, 3, 7, 2), (1, 3, 1, 1), (2, 3, 4, 5)):
        under.resize([shape])
        top = under.forward()[0]
        x = under.values[0]
        assert top.shape == (*shape[:2], 1, 1)
        np.testing.assert_allclose(top[..., 0, 0], x.max((2, 3)) if method == "MAX" else x.mean((2, 3)), rtol=1e-5)
        diff = under.backward([np.ones(top.shape)])[0]
        np.testing.assert_allclose(diff.sum((2, 3)), 1, rtol=1e-6)


def test_another_image_size_keeps_the_window():
    under = run("kernel_size: 3 stride: 2", (1, 2, 8, 8))
    under.resize([(1, 2, 5, 11)])
    np.testing.assert_array_equal(
        under.forward()[0], max_pool(under.values[0], (1, 2, 2, 5), (3, 3), (2, 2), (0, 0))[0].astype(np.float32)
    )


def test_the_mask_is_the_index_in_the_plane():
    under = run("kernel_size: 2 stride: 2", (1, 2, 2, 4), tops=2)
    under.values[0][...] = np.array([[0, 9, 1, 1], [2, 3, 1, 7]])
    top, mask = under.forward()
    assert top.ravel().tolist() == [9, 7, 9, 7]
    assert mask.ravel().tolist() == [1, 7, 1, 7]
    assert mask.dtype == np.float32
