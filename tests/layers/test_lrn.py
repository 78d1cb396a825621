"""LRN."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.lrn import across, lrn, within


def setting(shape, size=5, alpha=1.0, beta=0.75, k=1.0, region="ACROSS_CHANNELS", fields=None):
    # A prototxt's numbers are float32.
    a, b, c = (float(np.float32(number)) for number in (alpha, beta, k))

    def reference(bottoms, blobs):
        if region == "ACROSS_CHANNELS":
            return [lrn(bottoms[0], across, size, a / size, b, c)]
        return [lrn(bottoms[0], within, size, a / size**2, b, 1.0)]

    if fields is None:
        fields = f"local_size: {size} alpha: {alpha} beta: {beta} k: {k} norm_region: {region}"
    return case(f'type: "LRN" lrn_param {{ {fields} }}', [shape], reference=reference, label=f"{fields} {shape}")


CASES = [
    # Caffe's defaults.
    setting((2, 7, 3, 4), fields=""),
    # AlexNet's constants: nothing but the exponent of one is seen, hence the others.
    setting((1, 6, 2, 3), alpha=1e-4, fields="local_size: 5 alpha: 0.0001 beta: 0.75"),
    setting((2, 7, 3, 4), size=3, alpha=2.5, beta=0.6, k=2.0),
    setting((2, 3, 3, 2), size=9, alpha=0.8, beta=1.5, k=0.5),
    setting((2, 5, 2, 2), size=1, beta=0.5),
    setting((1, 1, 3, 3), alpha=3.0),
    setting((2, 3, 5, 6), size=3, alpha=1.5, region="WITHIN_CHANNEL"),
    setting((1, 2, 4, 3), size=5, beta=1.3, region="WITHIN_CHANNEL"),
    # k is not used within channels.
    setting((1, 2, 4, 3), size=3, k=7.0, region="WITHIN_CHANNEL"),
    setting((2, 2, 3, 3), size=1, region="WITHIN_CHANNEL"),
    setting((1, 2, 2, 2), size=7, alpha=4.0, region="WITHIN_CHANNEL"),
]


def run(fields, shape):
    under = LayerUnderTest(case(f'type: "LRN" lrn_param {{ {fields} }}', [shape]), get_backend("cpu", "float32", 1))
    under.forward()
    return under


@pytest.mark.parametrize("size", [0, 2, 4])
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_even_sizes_are_refused(size, region):
    with pytest.raises(LayerError, match=rf"\(LRN\): LRN only supports odd values for local_size; got {size}"):
        run(f"local_size: {size} norm_region: {region}", (1, 2, 3, 3))


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_four_axes(region):
    under = run(f"norm_region: {region}", (1, 2, 6, 6))
    under.resize([(1, 2, 3)])
    with pytest.raises(LayerError, match=r"Input must have 4 axes, corresponding to .* got shape 1 2 3 \(6\)"):
        under.forward()
