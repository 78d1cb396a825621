"""PReLU."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.prelu import prelu

GAUSSIAN = 'filler { type: "gaussian" std: 0.5 }'


def setting(fields, shape, **more):
    def reference(bottoms, blobs):
        return [prelu(bottoms[0], blobs[0].reshape(-1))]

    text = f'type: "PReLU" prelu_param {{ {fields} }}'
    # Gradients of slopes are sums.
    return case(text, [shape], reference=reference, kink=0.01, kind="sum", label=f"{fields} {shape}", **more)


CASES = [
    setting("", (2, 3, 4, 5)),
    setting(GAUSSIAN, (2, 3, 4, 5)),
    setting(GAUSSIAN, (4, 5)),
    setting(GAUSSIAN, (2, 3, 4)),
    setting(GAUSSIAN, (2, 3, 2, 2, 3)),
    setting("channel_shared: true", (2, 3, 4, 5)),
    setting(f"channel_shared: true {GAUSSIAN}", (3, 4)),
]


def under(backend, fields="", shape=(2, 3, 4), **more):
    return LayerUnderTest(case(f'type: "PReLU" prelu_param {{ {fields} }}', [shape]), get_backend(backend), **more)


def test_slopes_before_training(backend):
    assert under(backend).layer.blobs[0].data.tolist() == [0.25] * 3
    assert under(backend, "channel_shared: true").layer.blobs[0].data.tolist() == 0.25
    assert under(backend, "filler { value: 2 }").layer.blobs[0].data.tolist() == [2] * 3
    # A filler without a type is a constant, 0.
    assert under(backend, "filler { }").layer.blobs[0].data.tolist() == [0] * 3


def test_at_zero_the_slope_is_that_from_below(backend):
    made = under(backend, shape=(1, 1, 3))
    made.values[0][...] = [[[-2, 0, 2]]]
    made.blob_values[0][...] = 0.5
    assert made.forward()[0].ravel().tolist() == [-1, 0, 2]
    made.clear_blob_diffs()
    assert made.backward([np.full((1, 1, 3), 4.0)])[0].ravel().tolist() == [2, 2, 4]
    assert made.blob_diffs()[0].tolist() == [-8]


@pytest.mark.parametrize("shape", [(3,), ()])
def test_too_few_axes(backend, shape):
    with pytest.raises(LayerError, match="Number of axes of bottom blob must be >=2; got shape"):
        under(backend, shape=shape)


def test_a_bottom_that_changes(backend):
    made = under(backend)
    made.resize([(3, 3, 7, 2)])
    assert made.forward()[0].shape == (3, 3, 7, 2)
    made.resize([(2, 4, 4)])
    with pytest.raises(
        LayerError, match="Negative slope size is inconsistent with prototxt config: there are 3 slopes"
    ):
        made.forward()
    made.resize([(3,)])
    with pytest.raises(LayerError, match="Number of axes of bottom blob must be >=2"):
        made.forward()
    made = under(backend, "channel_shared: true")
    made.resize([(2, 4, 4)])
    assert made.forward()[0].shape == (2, 4, 4)
