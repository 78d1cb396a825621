"""Dropout: the layer; the op's own tests are in tests/ops."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.random import Stream
from caffepy.testing import LayerUnderTest, case


def same(bottoms, blobs):
    return [bottoms[0]]


HALF = 'type: "Dropout" dropout_param { dropout_ratio: 0.5 }'
CASES = [
    case('type: "Dropout"', [(2, 3, 4, 5)], reference=same, label="TEST"),
    case(HALF, [(1, 6)], reference=same, label="TEST, batch 1"),
    case('type: "Dropout" dropout_param { dropout_ratio: 0 }', [(2, 6)], phase="TRAIN", reference=same, label="none"),
    case('type: "Dropout" dropout_param { dropout_ratio: 0.9 }', [(4, 30)], reference=same, label="TEST, 0.9"),
    # No reference: which units fall the tests below say; that forward and backward agree, the suite.
    case(HALF, [(4, 30)], phase="TRAIN", label="TRAIN"),
]

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 50 dim: 40 } } }
layer { name: "drop" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.25 } }
"""


def trained(backend, seed=3, passes=1, top="y"):
    """The units that are kept in each pass."""
    with Net(parse_net(NET.replace('"y"', f'"{top}"')), caffe_pb2.TRAIN, get_backend(backend), seed=seed) as net:
        kept = []
        for _ in range(passes):
            net.blobs["x"].data[...] = 1
            net.forward()
            kept.append(net.backend.to_host(net.blobs[top].data).copy())
        return kept


def test_training_drops_the_units_of_the_stream(backend):
    first, second = trained(backend, passes=2)
    for step, y in enumerate((first, second)):
        kept = Stream(3, "drop", "dropout").bits(2000, step).reshape(50, 40) >= 2**30
        np.testing.assert_allclose(y, kept / 0.75, rtol=1e-6)
    assert (first != second).any()


def test_seed_and_place_do_not_matter_otherwise(backend):
    assert (trained(backend)[0] == trained(backend, top="x")[0]).all()
    assert (trained(backend)[0] != trained(backend, seed=4)[0]).any()


def test_backward_is_of_the_same_pass(backend):
    with Net(parse_net(NET + "force_backward: true"), caffe_pb2.TRAIN, get_backend(backend)) as net:
        net.blobs["x"].data[...] = 1
        net.forward()
        net.blobs["y"].diff[...] = 1
        net.backward()
        assert (net.blobs["x"].diff == net.blobs["y"].data).all()
        assert 0.6 < (net.backend.to_host(net.blobs["x"].diff) > 0).mean() < 0.9


@pytest.mark.parametrize(
    ("ratio", "check"), [(1, "threshold_ < 1."), (1.5, "threshold_ < 1."), (-0.1, "threshold_ > 0.")]
)
def test_ratios_out_of_range(backend, ratio, check):
    setting = case(f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', [(2, 3)])
    with pytest.raises(LayerError, match=rf"'under_test' \(Dropout\).*{re.escape(check)}\); got {ratio}"):
        LayerUnderTest(setting, get_backend(backend))
