"""Nets that cannot be built: each error says where, in Caffe's words, and what was probably meant."""

from __future__ import annotations

import pytest

import caffepy
from caffepy import Net
from caffepy.errors import LayerError, NetError, ParseError
from caffepy.layer import get_layer_class, layer_types
from caffepy.proto import caffe_pb2
from caffepy.proto.forks import FORK_LAYERS
from caffepy.proto.read import parse_net
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
"""


def _refused(layers: str, match: str, error=NetError, **arguments):
    with pytest.raises(error, match=match) as caught:
        net_of(DATA + layers, **arguments)
    return str(caught.value)


def test_an_unknown_bottom_names_the_line_and_the_near_miss():
    text = """layer { name: "act" type: "ReLU" bottom: "data" top: "hidden" }
layer { name: "out" type: "ReLU"
  bottom: "hiden" top: "out" }"""
    match = r"^net.prototxt:5: Unknown bottom blob 'hiden' \(layer 'out', bottom index 0\)\. Did you mean 'hidden'\?"
    message = _refused(text, match)
    assert message.endswith("Tops of the layers before it: data, label, hidden.")


def test_the_near_miss_may_be_a_top_that_others_read_and_is_never_a_copy_in_a_split():
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "a1" }
layer { name: "b" type: "ReLU" bottom: "data" top: "b1" }
layer { name: "c" type: "ReLU" bottom: "Data" top: "c1" }"""
    message = _refused(text, r"Unknown bottom blob 'Data'.*Did you mean 'data'\?")
    assert "split" not in message


def test_the_second_bottom_is_named_by_its_index():
    _refused('layer { name: "s" type: "Eltwise" bottom: "data" bottom: "zzz" top: "s" }', "'zzz' .*bottom index 1")


def test_an_unknown_bottom_that_a_later_layer_makes():
    text = """layer { name: "b" type: "ReLU" bottom: "x" top: "y" }
layer { name: "a" type: "ReLU" bottom: "data" top: "x" }"""
    _refused(text, r":3: Unknown bottom blob 'x'.*Layer 'a' makes it, which is not before this one")


def test_an_unknown_bottom_that_only_the_layer_itself_makes():
    _refused('layer { name: "b" type: "ReLU" bottom: "x" top: "x" }', "Unknown bottom blob 'x'.*Layer 'b' makes it")


def test_an_unknown_bottom_that_another_phase_has():
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "x" include { phase: TEST } }
layer { name: "b" type: "ReLU" bottom: "x" top: "y" }"""
    _refused(text, "Unknown bottom blob 'x'.*Layer 'a' makes it, which the include or exclude rules leave out")
    net_of(DATA + text, "TEST")


def test_a_net_without_tops_says_none():
    with pytest.raises(NetError, match=r"Unknown bottom blob 'x'.*layers before it: none\."):
        net_of('layer { name: "b" type: "ReLU" bottom: "x" top: "y" }')


def test_a_top_made_twice():
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "x" }
layer { name: "b" type: "ReLU" bottom: "label"
top: "x" }"""
    match = (
        r"^net.prototxt:5: Top blob 'x' produced by multiple sources: layer 'a' and layer 'b'\. Rename one of the tops"
    )
    _refused(text, match)


def test_a_top_named_twice_by_one_layer():
    text = 'layer { name: "d" type: "Input" top: "x" top: "x" input_param { shape { dim: 1 } } }'
    _refused(text, "Top blob 'x' produced by multiple sources: layer 'd' and layer 'd'")


def test_in_place_on_a_blob_that_others_read():
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "x" }
layer { name: "other" type: "ReLU" bottom: "x" top: "y" }
layer { name: "act" type: "ReLU" bottom: "x" top: "x" }"""
    _refused(
        text, r":5: Top blob 'x' produced by multiple sources.*works in place on a blob that other layers read too"
    )


def test_a_top_that_is_another_bottom_is_not_in_place():
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "x" }
layer { name: "s" type: "Eltwise" bottom: "x" bottom: "label" top: "label" }"""
    _refused(text, "Top blob 'label' produced by multiple sources")


@pytest.mark.parametrize(
    "layer",
    [
        'type: "Split" bottom: "data" top: "data"',
        'type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "data"',
        'type: "SquareLoss" bottom: "data" bottom: "data2" top: "data"',
    ],
)
def test_in_place_for_a_layer_that_cannot(layer):
    text = 'layer { name: "data2" type: "Input" top: "data2" input_param { shape { dim: 4 dim: 3 } } }\n'
    _refused(
        text + f'layer {{ name: "bad" {layer} }}',
        r"net.prototxt:4: layer 'bad' \(\w+\): cannot work in place: bottom and top are both 'data'",
        LayerError,
    )


def test_too_many_params():
    text = 'layer { name: "act" type: "ReLU" bottom: "data" top: "x"\n param { lr_mult: 1 } }'
    _refused(text, r"net.prototxt:3: layer 'act' \(ReLU\): Too many params specified for layer act: 1 ", LayerError)
    text = """layer { name: "w" type: "Weights" top: "w" input_param { shape { dim: 3 } }
      param { name: "a" } param { name: "b" } }"""
    _refused(text, "Too many params specified for layer w: 2 'param' entries, and the layer learns 1 blobs", LayerError)


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ('type: "ReLU" top: "x"', r"ReLU Layer takes 1 bottom blob\(s\) as input; got 0"),
        ('type: "ReLU" bottom: "data" bottom: "label" top: "x"', r"takes 1 bottom blob\(s\) as input; got 2"),
        ('type: "ReLU" bottom: "data"', r"ReLU Layer produces 1 top blob\(s\) as output; got 0"),
        ('type: "ReLU" bottom: "data" top: "x" top: "y"', r"produces 1 top blob\(s\) as output; got 2"),
        ('type: "Eltwise" bottom: "data" top: "x"', r"Eltwise Layer takes at least 2 bottom blob\(s\) as input; got 1"),
        ('type: "SoftmaxWithLoss" bottom: "data" top: "x"', r"SoftmaxWithLoss Layer takes 2 bottom blob\(s\)"),
        (
            'type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "x" top: "y" top: "z"',
            r"SoftmaxWithLoss Layer produces at most 2 top blob\(s\) as output; got 3",
        ),
        ('type: "Silence" bottom: "data" top: "x"', r"Silence Layer produces 0 top blob\(s\) as output; got 1"),
        ('type: "Input"', r"Input Layer produces at least 1 top blob\(s\) as output; got 0"),
    ],
)
def test_numbers_of_bottoms_and_tops(layer, match):
    _refused(f'layer {{ name: "bad" {layer} }}', rf"net.prototxt:3: layer 'bad' \(\w+\): .*{match}", LayerError)


def test_one_top_for_each_bottom():
    @caffepy.register_layer("OneForEach")
    class OneForEach(caffepy.Layer):
        equal_bottoms_tops = True

        def setup(self, bottom, top): ...
        def reshape(self, bottom, top): ...
        def forward(self, bottom, top): ...
        def backward(self, top, propagate_down, bottom): ...

    text = 'layer { name: "e" type: "OneForEach" bottom: "data" bottom: "label" top: "x" }'
    _refused(text, "produces one top blob as output for each bottom blob input; got 2 bottoms and 1 tops", LayerError)


@pytest.mark.parametrize("flags", ["propagate_down: true", "propagate_down: true propagate_down: 0 propagate_down: 1"])
def test_propagate_down_is_given_for_no_bottom_or_for_each(flags):
    text = f'layer {{ name: "l" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "x" {flags} }}'
    match = r"layer 'l'.*propagate_down param must be specified either 0 or bottom_size times; got \d for 2 bottoms"
    _refused(text, match, LayerError)


@pytest.mark.parametrize("weights", ["loss_weight: 1 loss_weight: 2", "loss_weight: 1 loss_weight: 0 loss_weight: 0"])
def test_loss_weight_is_given_for_no_top_or_for_each(weights):
    text = f'layer {{ name: "a" type: "ReLU" bottom: "data" top: "x" {weights} }}'
    _refused(text, "loss_weight must be unspecified or specified once per top blob: got . for 1 tops", LayerError)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Relu", r"Unknown layer type: Relu\. Did you mean 'ReLU'\? A layer of your own is added by @"),
        ("SoftmaxLoss", r"Unknown layer type: SoftmaxLoss\. Did you mean 'SoftmaxWithLoss'\?"),
        ("PriorBox", r"Unknown layer type: PriorBox\. It is a layer of SSD \(weiliu89/caffe, branch ssd\), a fork of"),
        (
            "ROIPooling",
            r"Unknown layer type: ROIPooling\. It is a layer of .* a fork of Caffe, and not of Caffe 1\.0\. A l",
        ),
        ("Zqxj", r"Unknown layer type: Zqxj\. Known types: .*Accuracy, .*@caffepy.register_layer\(\"Zqxj\"\)"),
        ("", r"Unknown layer type: \(none given\)"),
    ],
)
def test_an_unknown_layer_type(name, match):
    text = f'layer {{ name: "a"\n type: "{name}" bottom: "data" top: "x" }}'
    _refused(text, rf"^net.prototxt:4: {match}")
    with pytest.raises(NetError, match=f"^{match}"):
        get_layer_class(name)


def test_no_layer_is_said_to_be_a_forks_alone():
    """Those that caffepy has are known; the table is of others."""
    assert not set(FORK_LAYERS) & set(layer_types())


def test_a_misspelled_field_is_a_matter_of_the_parser_and_has_its_line():
    with pytest.raises(ParseError, match=r"net.prototxt:3:.*botom"):
        net_of(DATA + 'layer { name: "a" type: "ReLU" botom: "data" top: "x" }')


def test_a_message_without_lines_has_no_place_in_its_errors():
    param = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a", type="ReLU", bottom=["x"], top=["y"])])
    with pytest.raises(NetError, match=r"^Unknown bottom blob 'x' \(layer 'a', bottom index 0\)"):
        caffepy.Net(param)
    assert not param.layer[0].HasField("phase"), "the caller's message was changed"


def test_shapes_are_refused_with_the_layers_name():
    text = 'layer { name: "l" type: "SquareLoss" bottom: "data" bottom: "label" top: "x" }'
    _refused(text, r"net.prototxt:3: layer 'l' \(SquareLoss\): bottoms differ in count", LayerError)


def test_tops_that_are_left_out_are_made():
    net = net_of(DATA + 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" }')
    assert net.entries[-1].top_names == [""]
    assert "" not in net.blobs
    assert net.outputs == []
    net.forward()
    assert net.loss() == pytest.approx(1.0986123)


class Closing(caffepy.Layer):
    """Notes what is closed."""

    closed: list[str] = []  # noqa: RUF012

    def setup(self, bottom, top): ...
    def reshape(self, bottom, top): ...
    def forward(self, bottom, top): ...
    def backward(self, top, propagate_down, bottom): ...

    def close(self):
        self.closed.append(self.name)


def test_what_was_opened_is_closed_when_a_later_layer_cannot_be_built():
    """A database stays locked in this process while the layer that opened it is open."""
    caffepy.register_layer("Closing")(Closing)
    Closing.closed.clear()
    text = """layer { name: "one" type: "Closing" top: "x" }
        layer { name: "two" type: "Closing" top: "y" param { lr_mult: 1 } }"""
    _refused(text, "Too many params")
    assert Closing.closed == ["one", "two"]
    Closing.closed.clear()
    with net_of('layer { name: "one" type: "Closing" top: "x" }'):
        assert Closing.closed == []
    assert Closing.closed == ["one"]


def test_layers_of_one_name_are_accepted_as_caffe_accepts_them():
    text = (
        'layer { name: "a" type: "ReLU" bottom: "data" top: "x" } layer { name: "a" type: "ReLU" bottom: "x" top: "y" }'
    )
    net = net_of(DATA + text)
    assert [layer.name for layer in net.layers] == ["data", "a", "a"]


def test_an_unknown_bottom_in_a_large_net_lists_the_last_tops_before_it():
    """Once it took time with the square of their number, and listed all."""
    tops = "".join(f' top: "t{i}"' for i in range(30_000))
    text = (
        f'layer {{ name: "wide" type: "Input" {tops} }}\nlayer {{ name: "a" type: "ReLU" bottom: "t2999x" top: "a" }}'
    )
    message = _refused(text, r"Unknown bottom blob 't2999x'.*Did you mean 't2999\d'\?")
    assert message.endswith("t29998, t29999, and 29902 earlier ones.")
    assert len(message) < 1500


def test_a_net_of_more_layers_than_any_has():
    param, lines = parse_net(DATA, "net.prototxt")
    silence = caffe_pb2.LayerParameter(name="s", type="Silence", bottom=["data"])
    param.layer.extend([silence] * 50_000)
    with pytest.raises(NetError, match=r"^net.prototxt: the net has 50,001 layers; at most 50,000 are built"):
        Net((param, lines))


def test_a_shape_that_no_blob_may_have_names_the_layer():
    text = """layer { name: "ip" type: "InnerProduct" bottom: "data" top: "y"
  inner_product_param { num_output: 4294967295 } }"""
    said = r"^net.prototxt:3: layer 'ip' \(InnerProduct\): blob size exceeds INT_MAX: shape 4294967295 x 3"
    _refused(text, said, LayerError)
