"""Softmax."""

from __future__ import annotations

import math

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.softmax import softmax


def along(axis):
    def reference(bottoms, blobs):
        x = bottoms[0]
        k = axis % x.ndim
        return [softmax(x.reshape(math.prod(x.shape[:k]), x.shape[k], -1)).reshape(x.shape)]

    return reference


CASES = [
    case('type: "Softmax"', [shape], reference=along(1), label=str(shape)) for shape in [(4, 5), (1, 5), (2, 3, 4, 5)]
]
CASES += [
    case(
        f'type: "Softmax" softmax_param {{ axis: {axis} }}',
        [(2, 3, 4)],
        reference=along(axis),
        label=f"axis {axis}",
        # Along the batch one sample's result depends on the others, which no other check minds.
    )
    for axis in (0, 2, -1, -2)
]


@pytest.mark.parametrize("axis", [2, -3])
def test_no_such_axis(backend, axis):
    setting = case(f'type: "Softmax" softmax_param {{ axis: {axis} }}', [(2, 3)])
    with pytest.raises(LayerError, match=rf"softmax_param.axis: axis {axis} out of range for 2-D Blob with shape 2 3"):
        LayerUnderTest(setting, get_backend(backend)).forward()
