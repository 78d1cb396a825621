"""Threshold."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def setting(fields="", threshold=0.0, shape=(2, 3, 4, 5)):
    def reference(bottoms, blobs):
        return [np.array([1 if v > threshold else 0 for v in bottoms[0].ravel()]).reshape(bottoms[0].shape)]

    text = f'type: "Threshold" threshold_param {{ {fields} }}'
    waived = {"in_place": "there is no gradient to compare: what is left in the diff is the top's"}
    return case(text, [shape], reference=reference, label=fields or "threshold 0", waived=waived)


CASES = [setting(), setting("threshold: 0.5", 0.5), setting("threshold: -1", -1, (5,))]


def run(backend, threshold, x):
    fields = f"threshold_param {{ threshold: {threshold} }}"
    made = LayerUnderTest(case(f'type: "Threshold" {fields}', [(len(x),)]), get_backend(backend))
    made.values[0][...] = x
    return made.forward()[0], made


def test_the_threshold_itself_is_not_above_it(backend):
    assert run(backend, 0.5, [0.5, np.nextafter(np.float32(0.5), np.float32(1)), -1])[0].tolist() == [0, 1, 0]


def test_infinity_and_nan(backend):
    assert run(backend, 1, [np.inf, -np.inf, np.nan])[0].tolist() == [1, 0, 0]


def test_no_gradient(backend):
    _, made = run(backend, 0, [1])
    assert not made.layer.can_propagate(0)
    with pytest.raises(LayerError, match="Not Implemented Yet: Threshold Layer has no gradient"):
        made.backward([np.ones(1)], [True])
    made.backward([np.ones(1)], [False])
