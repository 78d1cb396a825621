"""Running a net: ranges of layers, shapes that change between passes, outputs, and the count of passes."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy
from caffepy.errors import NetError, WeightsError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

CHAIN = """
    name: "chain" force_backward: true
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "double" type: "Power" bottom: "x" top: "a" power_param { scale: 2 } }
    layer { name: "shift" type: "Power" bottom: "a" top: "b" power_param { shift: 1 } }
    layer { name: "square" type: "Power" bottom: "b" top: "c" power_param { power: 2 } }
"""


def _chain():
    net = net_of(CHAIN, "TEST")
    net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    return net


def test_names_layers_and_blobs_in_the_order_of_the_file():
    net = _chain()
    assert net.name == "chain"
    assert [layer.name for layer in net.layers] == list(net.layer_dict) == ["x", "double", "shift", "square"]
    assert list(net.blobs) == ["x", "a", "b", "c"]
    assert (net.inputs, net.outputs, net.params) == (["x"], ["c"], {})


def test_forward_gives_the_outputs():
    net = _chain()
    out = net.forward()
    assert list(out) == ["c"]
    np.testing.assert_array_equal(out["c"], [[9, 25, 49], [81, 121, 169]])
    assert np.shares_memory(out["c"], net.blobs["c"].data)


def test_forward_to_a_layer_runs_no_further_and_gives_its_tops():
    net = _chain()
    out = net.forward(end="shift")
    assert list(out) == ["b"]
    np.testing.assert_array_equal(out["b"], [[3, 5, 7], [9, 11, 13]])
    assert not net.blobs["c"].data.any()


def test_forward_from_a_layer_takes_what_lies_in_its_bottom():
    net = _chain()
    net.forward()
    net.blobs["a"].data[...] = 0
    np.testing.assert_array_equal(net.forward(start="shift")["c"], np.ones((2, 3)))
    np.testing.assert_array_equal(net.forward(start="square", end="square")["c"], np.ones((2, 3)))
    assert net.blobs["a"].data.max() == 0


def test_backward_ranges():
    net = _chain()
    net.forward()
    net.blobs["c"].diff[...] = 1
    net.backward(end="square")
    np.testing.assert_array_equal(net.blobs["b"].diff, 2 * net.blobs["b"].data)
    assert not net.blobs["a"].diff.any()
    net.blobs["b"].diff[...] = 5
    net.backward(start="shift")
    np.testing.assert_array_equal(net.blobs["x"].diff, np.full((2, 3), 10))
    net.blobs["x"].diff[...] = 0
    net.backward("shift", "shift")
    assert not net.blobs["x"].diff.any()
    np.testing.assert_array_equal(net.blobs["a"].diff, np.full((2, 3), 5))


@pytest.mark.parametrize("call", ["forward", "backward"])
@pytest.mark.parametrize("which", ["start", "end"])
def test_a_range_names_layers_that_exist(call, which):
    match = r"The net has no layer 'sqare'\. Did you mean 'square'\? Its layers: x, double, shift, square"
    with pytest.raises(NetError, match=match):
        getattr(_chain(), call)(**{which: "sqare"})


def test_outputs_are_sorted_by_name():
    text = """
        layer { name: "x" type: "Input" top: "z" top: "b" top: "a" input_param { shape { dim: 1 } } }
        layer { name: "p" type: "Power" bottom: "a" top: "m" }"""
    assert net_of(text).outputs == ["b", "m", "z"]
    assert list(net_of(text).forward()) == ["b", "m", "z"]


CONV = """
    force_backward: true
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
    layer { name: "norm" type: "BatchNorm" bottom: "x" top: "norm" batch_norm_param { use_global_stats: false } }
    layer { name: "drop" type: "Dropout" bottom: "norm" top: "drop" }
    layer { name: "act" type: "ReLU" bottom: "drop" top: "drop" }
    layer { name: "left" type: "Sigmoid" bottom: "drop" top: "left" }
    layer { name: "both" type: "Concat" bottom: "left" bottom: "drop" top: "both" }
    layer { name: "prob" type: "Softmax" bottom: "both" top: "prob" }
    layer { name: "zero" type: "Input" top: "zero" input_param { shape { dim: 2 dim: 6 dim: 6 dim: 6 } } }
    layer { name: "loss" type: "SquareLoss" bottom: "prob" bottom: "zero" top: "loss" }
"""


def _passes(net: Net, shape: tuple[int, ...]):
    net.blobs["x"].reshape(*shape)
    net.blobs["zero"].reshape(shape[0], 6, *shape[2:])
    net.blobs["x"].data[...] = np.sin(np.arange(np.prod(shape))).reshape(shape)
    net.blobs["zero"].data[...] = 0
    net.counter.value = 3
    net.forward()
    net.backward()
    return net.blobs["prob"].data.copy(), net.blobs["x"].diff.copy()


def test_inputs_may_change_their_batch_and_size_between_passes():
    """Each pass gives what a net made for that shape gives, whatever the shapes before it were."""
    net = net_of(CONV)
    for shape in [(2, 3, 6, 6), (5, 3, 6, 6), (1, 3, 6, 6), (2, 3, 9, 4), (2, 3, 2, 3), (5, 3, 6, 6)]:
        got = _passes(net, shape)
        expected = _passes(net_of(CONV), shape)
        assert got[0].shape == (shape[0], 6, *shape[2:])
        for values, right in zip(got, expected, strict=True):
            np.testing.assert_array_equal(values, right)


def test_reshape_shapes_all_blobs_without_running():
    net = _chain()
    net.blobs["x"].reshape(4, 1)
    net.reshape()
    assert net.blobs["c"].shape == (4, 1)
    assert not net.blobs["c"].data.any()


COUNTED = """
    layer { name: "data" type: "DummyData" top: "data"
      dummy_data_param { shape { dim: 64 } data_filler { type: "uniform" } } }
    layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
    layer { name: "end" type: "Power" bottom: "drop" top: "end" }
"""


def test_each_pass_draws_anew_and_the_same_in_every_net_of_the_seed():
    runs = []
    for seed in (5, 5, 6):
        net = net_of(COUNTED, seed=seed)
        runs.append([net.forward()["end"].copy() for _ in range(3)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])
    assert not np.array_equal(runs[0][0], runs[2][0])


def test_a_pass_in_two_parts_is_one_pass():
    """Or else data layers would pass over every second batch, and the parts would count as two draws."""
    whole, parts = net_of(COUNTED), net_of(COUNTED)
    for _ in range(3):
        expected = whole.forward()["end"].copy()
        parts.forward(end="data")
        parts.forward(start="drop", end="drop")
        np.testing.assert_array_equal(parts.forward(start="end")["end"], expected)
    assert whole.counter.value == parts.counter.value == 3


def test_a_pass_that_fails_does_not_count():
    net = net_of(COUNTED)
    net.forward()
    real, net.layers[1].forward = net.layers[1].forward, None
    with pytest.raises(TypeError):
        net.forward()
    with pytest.raises(TypeError):
        net.forward(start="drop")
    net.layers[1].forward = real
    assert net.counter.value == 1


def test_gradients_of_learnable_blobs_add_up_until_they_are_cleared():
    text = """
        layer { name: "w" type: "Weights" top: "w" input_param { shape { dim: 3 } } loss_weight: 2 }"""
    net = net_of(text)
    net.forward()
    for total in (2, 4, 6):
        net.backward()
        assert net.params["w"][0].diff.tolist() == [total] * 3
    net.clear_param_diffs()
    assert net.params["w"][0].diff.tolist() == [0] * 3


def test_flat_memory_holds_the_learnable_blobs_one_after_another():
    text = """
        layer { name: "a" type: "Weights" top: "a" top: "b" input_param { shape { dim: 3 } shape { dim: 2 dim: 2 } } }
        layer { name: "c" type: "Weights" top: "c" input_param { shape { } } }"""
    net = net_of(text)
    net.params["a"][1].diff[...] = 6
    data, diff = net.flatten_params()
    assert data.tolist() == [1, 1, 1, 2, 2, 2, 2, 1]
    assert diff.tolist() == [0, 0, 0, 6, 6, 6, 6, 0]
    assert all(np.shares_memory(blob.data, data) for blobs in net.params.values() for blob in blobs)
    data[7] = 8
    assert net.params["c"][0].data == 8
    net.forward()
    assert net.blobs["c"].data == 8


def test_nets_share_weights_by_layer_name():
    text = """
        layer { name: "%s" type: "Weights" top: "a" input_param { shape { dim: 3 } } }
        layer { name: "own" type: "Weights" top: "b" input_param { shape { dim: 2 } } }"""
    one, two = net_of(text % "w"), net_of(text % "v")
    two.share_with(one)
    assert np.shares_memory(one.params["own"][0].data, two.params["own"][0].data)
    assert not np.shares_memory(one.params["own"][0].diff, two.params["own"][0].diff)
    one.params["own"][0].data[...] = 9
    assert two.forward()["b"].tolist() == [9, 9]
    assert two.params["v"][0].data.tolist() == [1, 1, 1]


def test_nets_that_do_not_fit_do_not_share():
    text = 'layer {{ name: "w" type: "Weights" top: "a" input_param {{ {} }} }}'
    one, two = net_of(text.format("shape { dim: 3 }")), net_of(text.format("shape { dim: 1 dim: 3 }"))
    match = (
        r"Cannot share param 0 weights from layer 'w'; shape mismatch.*Source param shape is 3 \(3\); "
        r"target param shape is 1 3 \(3\)"
    )
    with pytest.raises(caffepy.errors.WeightsError, match=match):
        two.share_with(one)
    three = net_of(text.format("shape { dim: 3 } shape { dim: 3 }"))
    with pytest.raises(
        caffepy.errors.WeightsError, match="Incompatible number of blobs for layer w: 1 in net '', 2 in"
    ):
        three.share_with(one)


def test_sources_of_a_net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(CHAIN)
    message, lines = parse_net(CHAIN, "net.prototxt")
    old = caffe_pb2.NetParameter(input=["x"], layer=[message.layer[1]])
    old.input_shape.add(dim=[2, 3])
    for source in (path, str(path), message, (message, lines), old):
        with Net(source, caffepy.TEST) as net:
            assert net.blobs["a"].shape == (2, 3)
    assert list(old.input) == ["x"], "the caller's message was upgraded"


def test_layers_named_as_another_nets_are_not_filled():
    text = """
        layer { name: "a" type: "Weights" top: "a" input_param { shape { dim: 2 } } }
        layer { name: "b" type: "Weights" top: "b" input_param { shape { dim: 2 } } }"""
    net = net_of(text, unfilled={"a"})
    assert {name: blobs[0].data.tolist() for name, blobs in net.params.items()} == {"a": [0, 0], "b": [1, 1]}
    net = net_of(text, fill_params=False)
    assert {name: blobs[0].data.tolist() for name, blobs in net.params.items()} == {"a": [0, 0], "b": [0, 0]}


def test_weights_are_loaded_when_the_net_is_made(tmp_path):
    text = 'layer { name: "a" type: "Weights" top: "a" input_param { shape { dim: 2 } } }'
    net = net_of(text)
    net.params["a"][0].data[...] = 4
    net.save(tmp_path / "w.caffemodel")
    assert net_of(text, weights=tmp_path / "w.caffemodel").params["a"][0].data.tolist() == [4, 4]


def test_who_watches_layers_is_called_around_each():
    net = _chain()
    calls = []

    def seen(when, blob, what):
        return lambda i: calls.append((when, i, float(getattr(net.blobs[blob], what)[0, 0])))

    net.before_forward.append(seen("before", "a", "data"))
    net.after_forward.append(seen("after", "a", "data"))
    net.forward(end="shift")
    assert calls == [
        ("before", 0, 0),
        ("after", 0, 0),
        ("before", 1, 0),
        ("after", 1, 2),
        ("before", 2, 2),
        ("after", 2, 2),
    ]
    net.forward()
    calls.clear()
    net.blobs["c"].diff.fill(1)
    net.before_backward.append(seen("before", "b", "diff"))
    net.after_backward.append(seen("after", "b", "diff"))
    net.backward(end="shift")
    # d c / d b = 2 b = 6.
    assert calls == [("before", 3, 0), ("after", 3, 6), ("before", 2, 6), ("after", 2, 6)]


def test_the_loss_of_some_layers():
    net = net_of(CHAIN + 'layer { name: "l" type: "Reduction" bottom: "c" top: "l" loss_weight: 2 }')
    net.blobs["x"].data.fill(1)
    net.forward()
    assert net.loss() == net.loss(4) == net.loss(0, 4) == 2 * 6 * 9
    assert net.loss(0, 3) == 0


def test_what_passes_have_waited_is_the_sum_of_what_layers_have():
    net = _chain()
    assert net.wait_seconds == 0
    net.layers[0].wait_seconds, net.layers[2].wait_seconds = 1.5, 2.0
    assert net.wait_seconds == 3.5


def test_a_net_whose_weights_cannot_be_read_lets_go_of_what_it_opened(monkeypatch):
    closed = []
    monkeypatch.setattr(caffepy.Layer, "close", lambda self: closed.append(self.name))
    with pytest.raises(WeightsError, match=r"Could not open file none\.caffemodel"):
        net_of(CHAIN, weights="none.caffemodel")
    assert closed == ["x", "double", "shift", "square"]
