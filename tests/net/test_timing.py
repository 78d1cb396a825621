"""time_layers: every pass of every layer is timed once, and the clock stands where it should."""

from __future__ import annotations

import pytest

from caffepy.net import Net
from caffepy.net import timing as module
from caffepy.net.timing import time_layers
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net

NET = """
layer { name: "in" type: "DummyData" top: "x" top: "t"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { type: "constant" value: 1 } } }
layer { name: "scale" type: "Scale" bottom: "x" top: "y" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.fixture
def net():
    with Net(parse_net(NET), caffe_pb2.TRAIN) as built:
        built.forward()
        built.backward()
        yield built


def test_each_pass_is_timed(net, monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(module.time, "perf_counter", tick)
    told = []
    timing = time_layers(net, 2, lambda i, spent: told.append((i, spent)))
    assert [layer.name for layer in timing.layers] == ["in", "scale", "loss"]
    assert [layer.forward for layer in timing.layers] == [[1000.0, 1000.0]] * 3
    assert [layer.backward for layer in timing.layers] == [[], [1000.0, 1000.0], [1000.0, 1000.0]]
    assert (timing.forward, timing.backward, timing.total) == ([3000.0] * 2, [2000.0] * 2, 10000.0)
    assert timing.mean == timing.middle == (3000.0, 2000.0)
    assert told == [(1, 5000.0), (2, 5000.0)]


def test_passes_are_counted_and_gradients_do_not_grow(net):
    before, gradient = net.counter.value, net.params["scale"][0].diff.copy()
    time_layers(net, 3)
    assert net.counter.value == before + 3
    assert net.params["scale"][0].diff == pytest.approx(gradient)
    assert abs(gradient).max() > 0
