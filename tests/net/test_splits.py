"""Where splits go and what they are called, against Caffe's rules (insert_splits.cpp), and that numbers are theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.errors import NetError
from caffepy.net.splits import insert_splits, split_blob_name, split_layer_name
from caffepy.proto.read import parse_net
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

ORACLE = Path(__file__).parents[2] / ".." / "shared" / "oracle" / "layers"
assert SquareLoss.loss


def _wired(text: str) -> list[str]:
    """``name: bottoms -> tops [loss weights]`` of each layer once splits are in."""
    param, lines = parse_net(text, "net.prototxt")
    placed = [(layer, lines.at("layer", i)) for i, layer in enumerate(param.layer)]
    before = [layer.SerializeToString() for layer in param.layer]
    result = insert_splits(placed)
    assert [layer.SerializeToString() for layer in param.layer] == before, "the given messages were changed"
    return [
        " ".join([f"{layer.name}:", *layer.bottom, "->", *layer.top])
        + (f" {list(layer.loss_weight)}" if layer.loss_weight else "")
        for layer, _ in result
    ]


def _layers(*rows: str) -> str:
    """Layers from ``name: bottoms -> tops`` and what follows a comma."""
    text = []
    for row in rows:
        wires, _, rest = row.partition(", ")
        name, wires = wires.split(":")
        bottoms, tops = (part.split() for part in wires.split("->"))
        blobs = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops)
        text.append(f'layer {{ name: "{name}" type: "ReLU"{blobs} {rest} }}')
    return "\n".join(text)


def test_names():
    assert split_layer_name("ip1", "hidden", 2) == "hidden_ip1_2_split"
    assert split_blob_name("ip1", "hidden", 2, 1) == "hidden_ip1_2_split_1"


@pytest.mark.parametrize(
    "rows",
    [
        ["data: -> data label", "ip: data -> ip", "loss: ip label -> loss"],
        ["data: -> x", "a: x -> y", "b: y -> y", "c: y -> y", "d: y -> z"],
        ["data: -> x unread"],
    ],
)
def test_no_split_where_each_top_has_one_reader(rows):
    assert _wired(_layers(*rows)) == rows


def test_two_and_three_readers_take_copies_in_order():
    got = _wired(_layers("data: -> x y", "a: x -> p", "b: x y -> q", "c: y -> r", "d: x -> s"))
    assert got == [
        "data: -> x y",
        "x_data_0_split: x -> x_data_0_split_0 x_data_0_split_1 x_data_0_split_2",
        "y_data_1_split: y -> y_data_1_split_0 y_data_1_split_1",
        "a: x_data_0_split_0 -> p",
        "b: x_data_0_split_1 y_data_1_split_0 -> q",
        "c: y_data_1_split_1 -> r",
        "d: x_data_0_split_2 -> s",
    ]


def test_one_layer_that_reads_a_top_twice():
    got = _wired(_layers("data: -> x", "sum: x x -> y"))
    assert got[1:] == [
        "x_data_0_split: x -> x_data_0_split_0 x_data_0_split_1",
        "sum: x_data_0_split_0 x_data_0_split_1 -> y",
    ]


def test_in_place_chains_count_by_the_last_that_wrote():
    """x is written by data, then by the in-place a and b; only b's version has two readers."""
    got = _wired(_layers("data: -> x", "a: x -> x", "b: x -> x", "c: x -> y", "d: x -> z", "e: y -> y", "f: y z -> w"))
    assert got[1:] == [
        "a: x -> x",
        "b: x -> x",
        "x_b_0_split: x -> x_b_0_split_0 x_b_0_split_1",
        "c: x_b_0_split_0 -> y",
        "d: x_b_0_split_1 -> z",
        "e: y -> y",
        "f: y z -> w",
    ]


def test_a_split_before_and_after_an_in_place_layer():
    got = _wired(_layers("data: -> x", "a: x -> y", "b: y -> y", "c: y x -> z", "d: y -> w"))
    assert got == [
        "data: -> x",
        "x_data_0_split: x -> x_data_0_split_0 x_data_0_split_1",
        "a: x_data_0_split_0 -> y",
        "b: y -> y",
        "y_b_0_split: y -> y_b_0_split_0 y_b_0_split_1",
        "c: y_b_0_split_0 x_data_0_split_1 -> z",
        "d: y_b_0_split_1 -> w",
    ]


def test_a_loss_weight_counts_as_a_reader_and_moves_to_the_first_copy():
    got = _wired(_layers("data: -> x", "ip: x -> y, loss_weight: 2.5", "loss: y -> loss"))
    assert got[1:] == [
        "ip: x -> y [0.0]",
        "y_ip_0_split: y -> y_ip_0_split_0 y_ip_0_split_1 [2.5, 0.0]",
        "loss: y_ip_0_split_1 -> loss",
    ]


def test_a_loss_weight_without_readers_and_one_of_zero_need_no_split():
    rows = ["ip: x -> y, loss_weight: 2.5", "b: z -> w, loss_weight: 0", "c: w -> v"]
    got = _wired(_layers("data: -> x z", *rows))
    assert got[1:] == ["ip: x -> y [2.5]", "b: z -> w [0.0]", "c: w -> v"]


def test_of_two_weighted_tops_the_one_without_readers_keeps_its_weight():
    got = _wired(_layers("data: -> x", "two: x -> y z, loss_weight: 2 loss_weight: 3", "a: y -> w"))
    assert got[1:] == [
        "two: x -> y z [0.0, 3.0]",
        "y_two_0_split: y -> y_two_0_split_0 y_two_0_split_1 [2.0, 0.0]",
        "a: y_two_0_split_1 -> w",
    ]


def test_a_bottom_that_nothing_makes_is_left_for_the_builder_to_name():
    assert _wired(_layers("a: nowhere nowhere -> y")) == ["a: nowhere nowhere -> y"]


def test_errors_of_a_split_name_the_line_of_the_layer_it_stands_for():
    param, lines = parse_net(_layers("data: -> x", "a: x -> p", "b: x -> q"), "net.prototxt")
    result = insert_splits([(layer, lines.at("layer", i)) for i, layer in enumerate(param.layer)])
    assert [place.where() for _, place in result] == [f"net.prototxt:{line}" for line in (1, 1, 2, 3)]


NET = """
    layer { name: "w" type: "Weights" top: "w" input_param { shape { dim: 3 } } }
    layer { name: "p" type: "Power" bottom: "w" top: "p" power_param { scale: 2 } }
    layer { name: "q" type: "Power" bottom: "w" top: "q" power_param { scale: 5 } }
    layer { name: "r" type: "Power" bottom: "w" top: "r" power_param { scale: 11 } %s }
    layer { name: "sum" type: "Eltwise" bottom: "p" bottom: "q" top: "sum" loss_weight: 1 }
"""


def test_copies_share_the_data_and_diffs_add_up():
    net = net_of(NET % "loss_weight: 3")
    copies = [net.blobs[f"w_w_0_split_{i}"] for i in range(3)]
    net.forward()
    assert all(np.shares_memory(copy.data, net.blobs["w"].data) for copy in copies)
    assert not np.shares_memory(copies[0].diff, copies[1].diff)
    for _ in range(2):  # a bottom's diff is overwritten, not added to
        net.clear_param_diffs()
        net.backward()
        np.testing.assert_array_equal([copy.diff[0] for copy in copies], [2, 5, 33])
        np.testing.assert_array_equal(net.params["w"][0].diff, [40, 40, 40])


def test_a_copy_without_gradient_does_not_add_what_lies_in_its_diff():
    """A reader that is under no loss still is a top of the split: its diff must stay zero, as Caffe's does."""
    net = net_of(NET % "")
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.params["w"][0].diff, [7, 7, 7])
    assert not net.blobs["w_w_0_split_2"].diff.any()


def test_caffes_recorded_net_with_an_implicit_split():
    if not ORACLE.is_dir():
        pytest.skip("no ../shared/oracle beside the checkout: BVLC Caffe's recorded results are not compared")
    with np.load(ORACLE / "implicit_split.npz", allow_pickle=False) as file:
        net = net_of(str(file["prototxt"]), str(file["phase"]))
        assert any(layer.type == "Split" for layer in net.layers)
        for key in file.files:
            group, _, name = key.partition("/")
            if group == "in":
                net.blobs[name].data[...] = file[key]
            if group == "param":
                layer, index = name.rsplit("/", 1)
                net.params[layer][int(index)].data[...] = file[key]
        net.forward()
        outputs = {key[4:]: file[key] for key in file.files if key.startswith("out/")}
        assert set(outputs) == set(net.outputs)
        for name, values in outputs.items():
            np.testing.assert_allclose(net.blobs[name].data, values, rtol=1e-4, atol=1e-5)
            net.blobs[name].diff[...] = file[f"topdiff/{name}"]
        net.backward()
        for key in file.files:
            if key.startswith("indiff/"):
                np.testing.assert_allclose(net.blobs[key[7:]].diff, file[key], rtol=1e-4, atol=1e-5)


def test_a_top_named_twice_is_left_to_the_builder_to_refuse():
    """It once was an IndexError: the second has no loss_weight of its own."""
    text = """
    layer { name: "in" type: "Input" top: "x" top: "x" loss_weight: 1 input_param { shape { dim: 2 } } }
    layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
    layer { name: "b" type: "ReLU" bottom: "x" top: "b" }
    """
    assert _wired(text)[0] == "in: -> x x [1.0]"
    with pytest.raises(NetError, match="Top blob 'x' produced by multiple sources: layer 'in' and layer 'in'"):
        net_of(text)
