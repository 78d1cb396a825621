"""Include and exclude rules: phase, level, stage, as Caffe's FilterNet applies them."""

from __future__ import annotations

import pytest

from caffepy import TEST, TRAIN
from caffepy.errors import NetError
from caffepy.net.state import included, meets_rule, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.net.from_text import net_of


def _names(layers: str, phase=TRAIN, level=0, stages=()):
    """Which layers of a text, each ``name rules``, are in the net of a state."""
    state = net_state(phase, level, stages)
    param, _ = parse_net(
        "".join(f'layer {{ type: "Input" {layer} }}' for layer in layers.splitlines() if layer.strip())
    )
    return "".join(layer.name for layer in param.layer if included(layer, state))


PHASES = """
    name: "a"
    name: "b" include { phase: TRAIN }
    name: "c" include { phase: TEST }
    name: "d" exclude { phase: TRAIN }
    name: "e" exclude { phase: TEST }
"""


def test_phase():
    assert _names(PHASES, TRAIN) == "abe"
    assert _names(PHASES, TEST) == "acd"


LEVELS = """
    name: "a" include { min_level: 3 }
    name: "b" include { max_level: 3 }
    name: "c" exclude { min_level: 3 }
    name: "d" include { min_level: 2 max_level: 4 }
    name: "e" include { min_level: -1 max_level: -1 }
    name: "f" exclude { max_level: 0 }
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [(-2, "bc"), (-1, "bce"), (0, "bc"), (1, "bcf"), (2, "bcdf"), (3, "abdf"), (4, "adf"), (5, "af")],
)
def test_levels_are_inclusive_bounds(level, expected):
    assert _names(LEVELS, level=level) == expected


STAGES = """
    name: "a" include { stage: "x" }
    name: "b" exclude { stage: "x" }
    name: "c" include { stage: "x" stage: "y" }
    name: "d" include { stage: "x" } include { stage: "y" }
    name: "e" include { not_stage: "x" }
    name: "f" include { stage: "y" not_stage: "x" }
    name: "g" exclude { stage: "x" stage: "y" }
    name: "h" exclude { stage: "x" } exclude { stage: "y" }
    name: "i" include { not_stage: "x" not_stage: "y" }
    name: "j" exclude { not_stage: "x" }
"""


@pytest.mark.parametrize(
    ("stages", "expected"),
    [((), "beghi"), (("x",), "adgj"), (("y",), "bdefg"), (("y", "x"), "acdj"), (("z",), "beghi"), (("x", "z"), "adgj")],
)
def test_a_rule_needs_all_its_stages_and_no_other(stages, expected):
    assert _names(STAGES, stages=stages) == expected


MIXED = """
    name: "a" include { phase: TRAIN stage: "x" }
    name: "b" include { phase: TRAIN } include { phase: TEST stage: "val" }
    name: "c" exclude { phase: TRAIN stage: "x" } exclude { phase: TEST min_level: 2 }
    name: "d" include { }
    name: "e" exclude { }
"""


@pytest.mark.parametrize(
    ("phase", "level", "stages", "expected"),
    [
        (TRAIN, 0, (), "bcd"),
        (TRAIN, 0, ("x",), "abd"),
        (TEST, 0, (), "cd"),
        (TEST, 2, ("val",), "bd"),
        (TRAIN, 2, (), "bcd"),
    ],
)
def test_all_parts_of_a_rule_and_any_of_several_rules(phase, level, stages, expected):
    assert _names(MIXED, phase, level, stages) == expected


def test_an_empty_rule_is_met_by_every_state():
    assert meets_rule(net_state(TEST, -7, ["x"]), caffe_pb2.NetStateRule())


def test_rules_of_both_kinds_are_refused():
    text = """layer { name: "a" type: "Input" top: "a" }
    layer { name: "b" type: "Input" top: "b"
      include { phase: TRAIN } exclude { stage: "x" } }"""
    match = r"net.prototxt:2: layer 'b': Specify either include rules or exclude rules; not both"
    with pytest.raises(NetError, match=match):
        net_of(text)
    param = caffe_pb2.LayerParameter(name="b", include=[caffe_pb2.NetStateRule()], exclude=[caffe_pb2.NetStateRule()])
    with pytest.raises(NetError, match=r"^layer 'b': Specify either"):
        included(param, net_state(TEST))


ONE_FOR_ALL = """
    name: "all in one"
    layer { name: "train" type: "DummyData" top: "data" top: "label" include { phase: TRAIN not_stage: "deploy" }
      dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
    layer { name: "val" type: "DummyData" top: "data" top: "label" include { phase: TEST stage: "val" }
      dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
    layer { name: "deploy" type: "Input" top: "data" include { stage: "deploy" }
      input_param { shape { dim: 1 dim: 3 } } }
    layer { name: "act" type: "ReLU" bottom: "data" top: "act" }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "act" bottom: "label" top: "loss"
      include { phase: TRAIN } include { phase: TEST stage: "val" } }
    layer { name: "prob" type: "Softmax" bottom: "act" top: "prob" include { stage: "deploy" } }
"""


@pytest.mark.parametrize(
    ("phase", "stages", "layers", "batch"),
    [
        ("TRAIN", [], ["train", "act", "loss"], 4),
        ("TEST", ["val"], ["val", "act", "loss"], 2),
        ("TEST", ["deploy"], ["deploy", "act", "prob"], 1),
    ],
)
def test_one_file_for_train_val_and_deploy(phase, stages, layers, batch):
    net = net_of(ONE_FOR_ALL, phase, stages=stages)
    assert [layer.name for layer in net.layers] == layers
    assert net.blobs["data"].shape == (batch, 3)
    assert net.state.phase == net.phase == {"TRAIN": TRAIN, "TEST": TEST}[phase]


def test_stages_of_the_file_count_beside_those_given():
    """Caffe's Net adds the stages given to those of the file's state, and puts its phase and level in place of them."""
    text = 'state { stage: "deploy" phase: TRAIN level: 9 } ' + ONE_FOR_ALL
    text += (
        'layer { name: "extra" type: "Silence" bottom: "prob" include { stage: "deploy" stage: "more" min_level: 1 } }'
    )
    net = net_of(text, "TEST")
    assert [layer.name for layer in net.layers] == ["deploy", "act", "prob"]
    net = net_of(text, "TEST", stages=["more"], level=1)
    assert [layer.name for layer in net.layers] == ["deploy", "act", "prob", "extra"]
    assert net.phase == TEST


def test_layers_inherit_the_nets_phase_unless_they_have_their_own():
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "a" type: "Dropout" bottom: "x" top: "a" }
        layer { name: "b" type: "Dropout" bottom: "a" top: "b" phase: TEST }"""
    assert [layer.phase for layer in net_of(text, "TRAIN").layers] == [TRAIN, TRAIN, TEST]
    assert [layer.phase for layer in net_of(text, "TEST").layers] == [TEST, TEST, TEST]


def test_legacy_inputs_are_an_input_layer():
    text = """name: "old"
        input: "a" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
        input: "b" input_dim: 5 input_dim: 1 input_dim: 1 input_dim: 1
        layer { name: "act" type: "ReLU" bottom: "a" top: "c" }"""
    net = net_of(text, "TEST")
    assert net.inputs == ["a", "b"]
    assert [net.blobs[name].shape for name in "abc"] == [(2, 3, 1, 1), (5, 1, 1, 1), (2, 3, 1, 1)]
    assert net.outputs == ["b", "c"]
    net = net_of('input: "a" input_shape { dim: 7 } layer { name: "act" type: "ReLU" bottom: "a" top: "c" }', "TEST")
    assert net.blobs["c"].shape == (7,)
