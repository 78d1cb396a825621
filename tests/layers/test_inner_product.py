"""InnerProduct."""

from __future__ import annotations

import math

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.inner_product import inner_product


def setting(fields, shape, axis=1, transpose=False, **more):
    def reference(bottoms, blobs):
        x = bottoms[0].reshape(-1, math.prod(shape[axis:]))
        y = inner_product(x, blobs[0], blobs[1] if len(blobs) > 1 else None, transpose)
        return [y.reshape(*bottoms[0].shape[:axis], -1)]

    filler = 'weight_filler { type: "gaussian" std: 0.5 }'
    return case(
        f'type: "InnerProduct" inner_product_param {{ {fields} {filler} }}',
        [shape],
        reference=reference,
        label=f"{fields} {shape}",
        **more,
    )


CASES = [
    setting("num_output: 4", (3, 5)),
    setting("num_output: 1", (3, 2, 2, 3)),
    setting("num_output: 7", (1, 1)),
    setting("num_output: 4 bias_term: false", (2, 3, 4)),
    setting("num_output: 3 axis: 2", (2, 3, 4, 2), 2),
    setting("num_output: 3 axis: -1", (2, 3, 4), 2),
    setting("num_output: 3 axis: 3", (2, 2, 3, 4), 3),
    setting("num_output: 3 axis: -2 transpose: true", (2, 3, 4), 1, True),
    setting("num_output: 5 transpose: true", (3, 4), 1, True),
    setting("num_output: 5 transpose: true bias_term: false", (2, 3, 2), 1, True),
    setting("num_output: 2 axis: 0", (3, 2, 2), 0, waived={"batch": "all axes, the first too, are inputs here"}),
]


def run(fields, *shapes):
    under = LayerUnderTest(
        case(f'type: "InnerProduct" inner_product_param {{ {fields} }}', shapes), get_backend("cpu", "float32", 1)
    )
    under.forward()
    return under


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "num_output must be positive; got 0. Set it in inner_product_param"),
        ("num_output: 2 axis: 3", r"axis: axis 3 out of range for 3-D Blob with shape 2 3 4 \(24\)"),
        ("num_output: 2 axis: -4", "axis: axis -4 out of range for 3-D Blob"),
    ],
)
def test_settings_refused(fields, message):
    with pytest.raises(LayerError, match=rf"'under_test' \(InnerProduct\): {message}"):
        run(fields, (2, 3, 4))


def test_the_batch_may_change_and_the_size_may_not():
    under = run("num_output: 2", (2, 3, 4))
    under.resize([(5, 4, 3)])
    assert under.forward()[0].shape == (5, 2)
    under.resize([(2, 3, 5)])
    expected = (
        r"Input size incompatible with inner product parameters: weights read 12 values from axis 1 on, "
        r"bottom has shape 2 3 5 \(30\)"
    )
    with pytest.raises(LayerError, match=expected):
        under.forward()


def test_a_size_that_changes_behind_another_axis():
    under = run("num_output: 2 axis: 2", (2, 3, 4))
    under.resize([(7, 2, 4)])
    assert under.forward()[0].shape == (7, 2, 2)
    under.resize([(2, 4, 3)])
    with pytest.raises(LayerError, match="weights read 4 values from axis 2 on"):
        under.forward()


@pytest.mark.parametrize(
    ("fields", "shapes"),
    [
        ("num_output: 5", [(5, 12), (5,)]),
        ("num_output: 5 transpose: true", [(12, 5), (5,)]),
        ("num_output: 5 axis: 2 bias_term: false", [(5, 4)]),
    ],
)
def test_weights_have_caffes_shape(fields, shapes):
    assert [blob.shape for blob in run(fields, (2, 3, 4)).layer.blobs] == shapes
