"""Embed."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case

GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 }'


def rows(bottoms, blobs):
    x, w = bottoms[0], blobs[0]
    y = np.empty((*x.shape, w.shape[1]))
    for place in np.ndindex(y.shape):
        y[place] = w[int(x[place[:-1]]), place[-1]] + (blobs[1][place[-1]] if len(blobs) > 1 else 0)
    return [y]


def setting(fields, shape, input_dim, **more):
    return case(
        f'type: "Embed" embed_param {{ input_dim: {input_dim} {fields} {GAUSSIAN} }}',
        [shape],
        reference=rows,
        draw={0: lambda random, shape: random.integers(0, input_dim, shape)},
        label=f"{fields} {shape}",
        **more,
    )


CASES = [
    setting("num_output: 4", (3, 5), 9),
    setting("num_output: 4 bias_term: false", (3, 5), 9),
    setting('num_output: 3 bias_filler { type: "gaussian" std: 0.5 }', (7,), 2),
    setting("num_output: 1", (2, 3, 1, 1), 6),
    setting("num_output: 5", (4, 1), 1),
]


def under(backend, fields="num_output: 2 input_dim: 3", x=(0, 2)):
    draw = {0: lambda *_: np.array(x)}
    return LayerUnderTest(
        case(f'type: "Embed" embed_param {{ {fields} }}', [(len(x),)], draw=draw), get_backend(backend)
    )


def test_blobs(backend):
    fields = "num_output: 2 input_dim: 3 weight_filler { value: 2 } bias_filler { value: 3 }"
    blobs = under(backend, fields).layer.blobs
    assert [blob.shape for blob in blobs] == [(3, 2), (2,)]
    assert [blob.data.flat[0] for blob in blobs] == [2, 3]
    assert len(under(backend, "num_output: 2 input_dim: 3 bias_term: false").layer.blobs) == 1


def test_gradients_of_one_row_add_up(backend):
    made = under(backend, x=(1, 0, 1))
    made.forward()
    made.clear_blob_diffs()
    made.backward([np.array([[1.0, 2], [10, 20], [100, 200]])])
    assert made.blob_diffs()[0].tolist() == [[10, 20], [101, 202], [0, 0]]
    assert made.blob_diffs()[1].tolist() == [111, 222]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("input_dim: 3", "EmbedLayer num_output must be positive; got 0"),
        ("num_output: 3", "EmbedLayer input_dim must be positive; got 0"),
    ],
)
def test_refusals(backend, fields, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ((0, -1, 9), r"element 1 of the bottom is -1: expected a whole number in 0\.\.2 \(Check failed: index >= 0\)"),
        ((2, 3), r"element 1 of the bottom is 3: .*\(Check failed: index < K_\)"),
        ((0.5,), r"element 0 of the bottom is 0\.5: .*\(Check failed: non-integer input\)"),
        ((np.nan,), r"element 0 of the bottom is nan: .*\(Check failed: non-integer input\)"),
    ],
)
def test_an_input_that_is_no_row(backend, x, match):
    with pytest.raises(LayerError, match=match):
        under(backend, x=x).forward()


def test_no_gradient_for_the_input(backend):
    made = under(backend)
    made.forward()
    assert not made.layer.can_propagate(0)
    with pytest.raises(LayerError, match="Can't backpropagate to EmbedLayer input"):
        made.backward([np.ones((2, 2))], [True])
