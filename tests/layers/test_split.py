"""Split."""

from __future__ import annotations

import numpy as np

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case


def copies(count):
    return lambda bottoms, blobs: [bottoms[0]] * count


CASES = [
    case('type: "Split"', [(2, 3, 4, 5)], tops=count, reference=copies(count), label=f"{count} tops")
    for count in (1, 2, 3, 5)
] + [case('type: "Split"', [()], tops=2, reference=copies(2), label="scalar")]


def test_tops_are_the_bottom_s_memory(backend):
    under = LayerUnderTest(CASES[1], get_backend(backend))
    under.forward()
    assert all(np.shares_memory(top.data, under.bottom[0].data) for top in under.top)


def test_diffs_add_up(backend):
    under = LayerUnderTest(CASES[2], get_backend(backend))
    under.forward()
    ones = [np.full(top.shape, value) for top, value in zip(under.top, (1.0, 10.0, 100.0), strict=True)]
    assert (under.backward(ones)[0] == 111).all()
