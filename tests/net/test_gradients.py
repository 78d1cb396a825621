"""Which layers run backward and for which bottoms: nets small enough to be reasoned through by hand.

What is expected is what Caffe's Net::Init makes of each net: its log says "needs backward computation" of the layers
that are True here.
"""

from __future__ import annotations

import numpy as np
import pytest

from caffepy import TRAIN
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.text import parse_text
from tests.net.from_text import needs, net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 } data_filler { type: "gaussian" }
    data_filler { type: "constant" value: 1 } } }
"""
LEARNS = "param { lr_mult: 1 } param { lr_mult: 2 }"
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def _ip(name: str, bottom: str, rest: str = "", num_output: int = 3) -> str:
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {rest}
        inner_product_param {{ num_output: {num_output} weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
    """


def _relu(name: str, bottom: str, rest: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{name}" {rest} }}\n'


def _loss(bottom: str, rest: str = "", label: str = "label", name: str = "loss") -> str:
    bottoms = f'bottom: "{bottom}" bottom: "{label}"'
    return f'layer {{ name: "{name}" type: "SoftmaxWithLoss" {bottoms} top: "{name}" {rest} }}\n'


def test_a_chain_that_learns_stops_at_the_data_and_at_the_label():
    net = net_of(DATA + _ip("ip1", "data") + _relu("relu", "ip1") + _ip("ip2", "relu", LEARNS) + _loss("ip2"))
    assert needs(net) == {
        "data": (False, []),
        "ip1": (True, [False]),
        "relu": (True, [True]),
        "ip2": (True, [True]),
        "loss": (True, [True, False]),
    }
    assert net.entries[1].layer.param_propagate_down == [True, True]


def test_nothing_runs_below_the_first_layer_that_learns():
    net = net_of(DATA + _ip("ip1", "data", FROZEN) + _relu("relu", "ip1") + _ip("ip2", "relu") + _loss("ip2"))
    assert needs(net) == {
        "data": (False, []),
        "ip1": (False, [False]),
        "relu": (False, [False]),
        "ip2": (True, [False]),
        "loss": (True, [True, False]),
    }


def test_a_frozen_layer_passes_gradients_on_and_keeps_its_own_diffs():
    net = net_of(DATA + _ip("ip1", "data") + _ip("ip2", "ip1", FROZEN) + _loss("ip2"))
    assert needs(net)["ip2"] == (True, [True])
    assert net.entries[2].layer.param_propagate_down == [False, False]
    net.forward()
    net.backward()
    assert net.params["ip1"][0].diff.any()
    assert not net.params["ip2"][0].diff.any()
    assert not net.params["ip2"][1].diff.any()


def test_a_bias_alone_may_be_frozen():
    net = net_of(DATA + _ip("ip", "data", "param { lr_mult: 1 } param { lr_mult: 0 }") + _loss("ip"))
    assert needs(net)["ip"] == (True, [False])
    net.forward()
    net.backward()
    assert net.params["ip"][0].diff.any()
    assert not net.params["ip"][1].diff.any()


def test_everything_frozen_needs_no_backward_at_all():
    net = net_of(DATA + _ip("ip", "data", FROZEN) + _loss("ip"))
    assert needs(net) == {"data": (False, []), "ip": (False, [False]), "loss": (False, [False, False])}


def test_propagate_down_false_stops_what_lies_below():
    """The layer itself still counts as running backward, since what it reads learns; what made its bottom does not."""
    below = _ip("ip1", "data") + _relu("act1", "ip1")
    net = net_of(DATA + below + _relu("relu", "act1", "propagate_down: false") + _ip("ip2", "relu") + _loss("ip2"))
    assert needs(net) == {
        "data": (False, []),
        "ip1": (False, [False]),
        "act1": (False, [False]),
        "relu": (True, [False]),
        "ip2": (True, [True]),
        "loss": (True, [True, False]),
    }
    net.forward()
    net.backward()
    assert not net.params["ip1"][0].diff.any()
    assert net.params["ip2"][0].diff.any()


def test_propagate_down_false_on_one_reader_leaves_the_other():
    ways = _relu("left", "ip1", "propagate_down: false") + _relu("right", "ip1")
    text = DATA + _ip("ip1", "data") + ways
    text += 'layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }' + _loss("sum")
    net = net_of(text)
    got = needs(net)
    assert got["left"] == (True, [False])
    assert got["right"] == (True, [True])
    assert got["ip1_ip1_0_split"] == (True, [True])
    assert got["ip1"] == (True, [False])
    net.forward()
    net.backward()
    # Only the right way back: the left copy's diff stays zero.
    np.testing.assert_array_equal(net.blobs["ip1"].diff, net.blobs["ip1_ip1_0_split_1"].diff)


def test_propagate_down_true_makes_a_learning_layer_compute_the_gradient_of_data():
    net = net_of(DATA + _ip("ip", "data", "propagate_down: true") + _loss("ip"))
    assert needs(net)["ip"] == (True, [True])
    assert needs(net)["data"] == (False, [])
    net.forward()
    net.backward()
    assert net.blobs["data"].diff.any()
    plain = net_of(DATA + _ip("ip", "data") + _loss("ip"))
    assert needs(plain)["ip"] == (True, [False])


def test_propagate_down_true_does_not_wake_a_layer_with_nothing_below_that_learns():
    net = net_of(DATA + _relu("relu", "data", "propagate_down: true") + _ip("ip", "relu") + _loss("ip"))
    assert needs(net)["relu"][0] is False
    assert needs(net)["ip"] == (True, [False])


def test_a_label_that_is_learned_asks_for_a_gradient_and_propagate_down_refuses_it():
    layers = DATA + _ip("ip", "data", num_output=1) + _ip("fake", "data", num_output=1)
    square = 'layer { name: "loss" type: "SquareLoss" bottom: "ip" bottom: "fake" top: "loss" %s }'
    got = needs(net_of(layers + square % ""))
    assert (got["loss"], got["fake"]) == ((True, [True, True]), (True, [False]))
    got = needs(net_of(layers + square % "propagate_down: true propagate_down: false"))
    assert (got["loss"], got["fake"], got["ip"]) == ((True, [True, False]), (False, [False]), (True, [False]))
    assert got["data_data_0_split"] == (False, [False])


def test_branches_without_loss_are_skipped():
    text = DATA + _ip("ip", "data") + _relu("used", "ip") + _relu("aside", "ip") + _ip("more", "aside") + _loss("used")
    text += """layer { name: "silence" type: "Silence" bottom: "more" }
        layer { name: "accuracy" type: "Accuracy" bottom: "used" bottom: "label" top: "accuracy" }"""
    got = needs(net_of(text))
    assert got["aside"] == (False, [False])
    assert got["more"] == (False, [False])
    assert got["silence"] == (False, [False])
    assert got["accuracy"] == (False, [False, False])
    assert got["ip_ip_0_split"] == (True, [True])
    assert got["used_used_0_split"] == (True, [True])
    assert got["label_data_1_split"] == (False, [False])
    net = net_of(text)
    net.forward()
    net.backward()  # Accuracy must not be asked for a gradient
    np.testing.assert_array_equal(net.blobs["ip"].diff, net.blobs["ip_ip_0_split_0"].diff)


def test_a_net_without_loss_runs_nothing_backward():
    net = net_of(DATA + _ip("ip", "data") + _relu("relu", "ip"), "TEST")
    assert not any(needed or any(bottoms) for needed, bottoms in needs(net).values())
    net.forward()
    net.blobs["relu"].diff[...] = 1
    net.backward()
    assert not net.params["ip"][0].diff.any()


def test_a_loss_of_weight_zero_is_none():
    got = needs(net_of(DATA + _ip("ip", "data") + _loss("ip", "loss_weight: 0")))
    assert not any(needed for needed, _ in got.values())


def test_batch_norm_runs_backward_though_its_own_blobs_never_learn():
    """Its lr_mult are 0 by its own setup, which the analysis does not see: without param it counts as learning."""
    norm = 'layer { name: "norm" type: "BatchNorm" bottom: "data" top: "norm" %s }\n'
    got = net_of(DATA + norm % "" + _loss("norm"))
    assert needs(got)["norm"] == (True, [False])
    assert [param.lr_mult for param in got.learnable_params] == [0, 0, 0]
    # With all three spelled out it does not; a message is taken as it is, while a file would be upgraded first.
    for below in ("", _ip("ip", "data", FROZEN)):
        bottom = "ip" if below else "data"
        frozen = norm.replace('"data"', f'"{bottom}"') % ("param { lr_mult: 0 } " * 3)
        param = caffe_pb2.NetParameter()
        lines = parse_text(DATA + below + frozen + _loss("norm"), param, "net.prototxt")
        assert needs(Net((param, lines), TRAIN))["norm"] == (False, [False])


def test_in_place_layers_count_by_the_blobs_name():
    text = DATA + _ip("ip", "data") + 'layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }' + _loss("ip")
    assert needs(net_of(text))["relu"] == (True, [True])
    text = text.replace('top: "ip" }' + _loss("ip"), 'top: "ip" propagate_down: false }' + _loss("ip"))
    got = needs(net_of(text))
    assert got["relu"] == (True, [False])


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_force_backward(phase):
    text = "force_backward: true " + DATA + _ip("ip", "data", FROZEN) + _loss("ip")
    text += 'layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }'
    net = net_of(text, phase)
    got = needs(net)
    assert all(needed for needed, _ in got.values())
    assert got["ip"] == (True, [True])
    assert got["loss"] == (True, [True, False])
    assert got["accuracy"] == (True, [False, False])
    assert net.entries[2].layer.type == "InnerProduct"
    assert net.entries[2].layer.param_propagate_down == [True, True]
    net.forward()
    net.backward()
    assert net.blobs["data"].diff.any()
    assert net.params["ip"][0].diff.any()


def test_force_backward_does_not_take_back_a_forced_label():
    text = "force_backward: true " + DATA + _ip("ip", "data", num_output=1)
    net = net_of(text + 'layer { name: "loss" type: "SquareLoss" bottom: "ip" bottom: "label" top: "loss" }')
    assert needs(net)["loss"] == (True, [True, True])
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.blobs["label"].diff, -net.blobs["ip"].diff.reshape(-1))


def test_force_backward_leaves_a_label_that_is_learned_as_it_is():
    text = DATA + _ip("ip", "data") + _ip("fake", "data", num_output=1) + _loss("ip", label="fake")
    assert needs(net_of(text))["loss"] == needs(net_of("force_backward: true " + text))["loss"] == (True, [True, True])


def test_force_backward_without_loss_starts_from_the_diff_of_the_caller():
    """What saliency maps do: put a one in the diff of a score and read the diff of the image."""
    net = net_of("force_backward: true " + DATA + _ip("ip", "data"), "TEST")
    net.forward()
    net.blobs["ip"].diff[0, 1] = 1
    net.backward()
    np.testing.assert_array_equal(net.blobs["data"].diff[0], net.params["ip"][0].data[1])
    assert not net.blobs["data"].diff[1:].any()


def test_the_log_says_it_from_the_last_layer_down(caplog):
    caplog.set_level("INFO", "caffepy")
    net = net_of(DATA + _ip("ip1", "data") + _ip("ip2", "ip1") + _loss("ip2") + _relu("extra", "ip1"))
    told = [(record.message, record.place) for record in caplog.records if record.name == "caffepy.net"]
    yes, no = "needs backward computation.", "does not need backward computation."
    assert told == [
        (f"extra {no}", "net.cpp:200"),
        (f"loss {yes}", "net.cpp:198"),
        (f"ip2 {yes}", "net.cpp:198"),
        (f"ip1_ip1_0_split {yes}", "net.cpp:198"),
        (f"ip1 {yes}", "net.cpp:198"),
        (f"data {no}", "net.cpp:200"),
        ("This network produces output extra", "net.cpp:242"),
        ("This network produces output loss", "net.cpp:242"),
        ("Network initialization done.", "net.cpp:255"),
    ]
    assert [entry.need_backward for entry in reversed(net.entries)] == [yes in text for text, _ in told[:6]]
