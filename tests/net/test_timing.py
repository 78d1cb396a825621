"""time_layers: every pass of every layer is timed once, and the clock stands where it should."""

from __future__ import annotations

import pytest

from caffepy.net import Net
from caffepy.net import timing as module
from caffepy.net.timing import LayerTiming, time_layers
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

    monkeypatch.setattr(module, "product_speed", lambda backend: 1e9)
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


PRODUCTS = """
layer { name: "in" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } shape { dim: 2 } } }
layer { name: "first" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "frozen" type: "Convolution" bottom: "a" top: "b" param { lr_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 2 group: 2 } }
layer { name: "scores" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "t" top: "loss" }
"""


def test_operations_of_the_products(monkeypatch):
    speeds = iter([2e9, 4e9])
    monkeypatch.setattr(module, "product_speed", lambda backend: next(speeds))
    with Net(parse_net(PRODUCTS), caffe_pb2.TRAIN) as net:
        timing = time_layers(net, 1)
    first = 2 * (2 * 4 * 3 * 3) * (3 * 3 * 3)  # two a multiply-add: outputs, times the weights of each
    frozen = 2 * (2 * 2 * 2 * 2) * (2 * 2 * 2)
    scores = 2 * (2 * 10) * (2 * 2 * 2)
    found = {layer.name: (layer.forward_flop, layer.backward_flop) for layer in timing.layers}
    # Nothing learns below the first, so only its weights have a gradient; the frozen one has only its bottom's.
    assert found == {
        "in": (0, 0), "first": (first, first), "frozen": (frozen, frozen), "scores": (scores, 2 * scores),
        "loss": (0, 0),
    }  # fmt: skip
    assert timing.flop == 2 * first + 2 * frozen + 3 * scores
    assert timing.product == 3e9
    assert timing.floor == pytest.approx(1e3 * timing.flop / 3e9)


def test_nothing_is_counted_backward_where_there_is_no_backward():
    text = PRODUCTS.replace('type: "SoftmaxWithLoss"', 'type: "SoftmaxWithLoss" loss_weight: 0')
    with Net(parse_net(text), caffe_pb2.TRAIN) as net:
        timing = time_layers(net, 1)
    assert [layer.backward_flop for layer in timing.layers] == [0] * 5
    assert timing.flop == sum(layer.forward_flop for layer in timing.layers) > 0


def test_speed_is_by_medians():
    layer = LayerTiming("fc", "InnerProduct", [1.0, 9.0, 2.0], [3.0, 2.0, 4.0], forward_flop=1e6, backward_flop=2e6)
    assert layer.middle == (2.0, 3.0)
    assert layer.speed == pytest.approx(6e8)
    assert LayerTiming("pool", "Pooling", [0.0]).speed == 0
