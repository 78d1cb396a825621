"""The test kit that caffepy's own layers go through, for authors of custom layers.

* `case`, `Case`: one setting of a layer and what it should compute.
* `check_layer`: everything that every layer must satisfy.
* `check_gradient`: backward against differences of forward.
* `check_net`: the gradients of every layer of a net, as ``caffepy gradcheck`` shows them.
* `feed_inputs`, `fill_zero_params`: plausible numbers for a net without data and without weights.
* `tolerance`, `TOLERANCES`: how near is near enough.
* `LayerUnderTest`, `Pass`, `poisoned`: a layer by itself, for tests of your own.
"""

from __future__ import annotations

from caffepy.testing.case import Case, case
from caffepy.testing.check_gradient import check_gradient
from caffepy.testing.check_layer import CHECKS, check_layer
from caffepy.testing.check_net import LayerCheck, check_net
from caffepy.testing.feed_net import feed_inputs, fill_zero_params
from caffepy.testing.layer_under_test import LayerUnderTest, Pass, poisoned
from caffepy.testing.tolerances import KINDS, TOLERANCES, Tolerance, tolerance

__all__ = [
    "CHECKS",
    "KINDS",
    "TOLERANCES",
    "Case",
    "LayerCheck",
    "LayerUnderTest",
    "Pass",
    "Tolerance",
    "case",
    "check_gradient",
    "check_layer",
    "check_net",
    "feed_inputs",
    "fill_zero_params",
    "poisoned",
    "tolerance",
]
