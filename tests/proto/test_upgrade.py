"""Old formats become today's, as in Caffe's upgrade_proto.cpp, and keep their lines."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from caffepy.errors import ParseError
from caffepy.proto.caffe_pb2 import LayerParameter, NetParameter, ParamSpec, SolverParameter, V1LayerParameter
from caffepy.proto.lines import Lines
from caffepy.proto.read import parse_net, parse_solver, read_solver
from caffepy.proto.text import parse_text
from caffepy.proto.upgrade import LAYER_TYPES, SOLVER_TYPES, upgrade_net


def v2(text: str) -> NetParameter:
    """A net in today's form, not upgraded."""
    net = NetParameter()
    parse_text(text, net, "wanted")
    return net


def test_today_is_left_alone() -> None:
    text = 'name: "n" layer { name: "a" type: "Data" data_param { mirror: true } param { lr_mult: 2 } }'
    net, lines = parse_net(text)
    assert net == v2(text)
    assert lines.at("layer").line == 1


# ---- V1


def test_v1_layer() -> None:
    net, lines = parse_net(
        """name: "n"
        layers {
          name: "ip" type: INNER_PRODUCT bottom: "a" bottom: "b" top: "c" top: "d"
          blobs_lr: 1 blobs_lr: 2 weight_decay: 3 param: "w" param: "v" param: "u" blob_share_mode: PERMISSIVE
          loss_weight: 0.5 include { phase: TRAIN } exclude { phase: TEST not_stage: "x" }
          inner_product_param { num_output: 5 } relu_param { negative_slope: 1 } loss_param { ignore_label: 3 }
          transform_param { scale: 4 }
        }
        layers { name: "s" type: SOFTMAX_LOSS }"""
    )
    assert net == v2(
        """name: "n"
        layer {
          name: "ip" type: "InnerProduct" bottom: "a" bottom: "b" top: "c" top: "d"
          param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 3 }
          param { name: "v" lr_mult: 2 }
          param { name: "u" }
          loss_weight: 0.5 include { phase: TRAIN } exclude { phase: TEST not_stage: "x" }
          inner_product_param { num_output: 5 } relu_param { negative_slope: 1 } loss_param { ignore_label: 3 }
          transform_param { scale: 4 }
        }
        layer { name: "s" type: "SoftmaxWithLoss" }"""
    )
    assert [lines.at("layer", 0).line, lines.at("layer", 1).line] == [2, 9]
    assert lines.at("layer", 0).at("inner_product_param").line == 6


def test_v1_share_modes() -> None:
    net, _ = parse_net("layers { blob_share_mode: STRICT blob_share_mode: PERMISSIVE }")
    assert [spec.share_mode for spec in net.layer[0].param] == [ParamSpec.STRICT, ParamSpec.PERMISSIVE]


def test_v1_without_type() -> None:
    net, _ = parse_net('layers { name: "a" } layers { type: NONE }')
    assert [layer.type for layer in net.layer] == ["", ""]
    assert not net.layer[0].HasField("type")


def test_v1_types_are_all_of_the_enum() -> None:
    assert list(LAYER_TYPES) == sorted(LAYER_TYPES, key=lambda name: (name != "NONE", name))
    assert set(LAYER_TYPES) == set(V1LayerParameter.LayerType.keys())
    assert len(set(LAYER_TYPES.values())) == len(LAYER_TYPES)
    # The two spellings agree but for these.
    odd = {name for name, new in LAYER_TYPES.items() if name.replace("_", "").lower() != new.lower()}
    assert odd == {"NONE", "SOFTMAX_LOSS"}
    assert LAYER_TYPES["SOFTMAX_LOSS"] == "SoftmaxWithLoss"


def test_every_v1_setting_is_carried_over() -> None:
    new = {field.name for field in LayerParameter.DESCRIPTOR.fields}
    for field in V1LayerParameter.DESCRIPTOR.fields:
        if field.message_type is None or field.name in ("layer", "include", "exclude", "blobs"):
            continue
        assert field.name in new
        net = NetParameter()
        getattr(net.layers.add(), field.name).SetInParent()
        upgrade_net(net, Lines.unknown())
        assert net.layer[0].HasField(field.name), field.name


def test_v1_weights() -> None:
    net = NetParameter()
    old = net.layers.add(name="a", type=V1LayerParameter.CONVOLUTION)
    old.blobs.add(num=1, channels=2, height=1, width=1, data=[1, 2])
    old.blobs.add(data=[3])
    lines = upgrade_net(net, Lines.unknown("w.caffemodel"))
    assert [list(blob.data) for blob in net.layer[0].blobs] == [[1, 2], [3]]
    assert net.layer[0].blobs[0].channels == 2
    assert lines.at("layer").where() == "w.caffemodel"


def test_mixed_formats_are_refused() -> None:
    with pytest.raises(ParseError, match=r"^<string>:1: a net is written either in 'layer' or .* first at <string>:2"):
        parse_net('layer { name: "a" }\nlayers { name: "b" }')


# ---- transform_param


@pytest.mark.parametrize(
    ("kind", "block"),
    [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param"), ("WINDOW_DATA", "window_data_param")],
)
def test_transform_is_moved(kind: str, block: str) -> None:
    settings = 'scale: 0.5 mean_file: "m" crop_size: 7 mirror: true'
    net, _ = parse_net(f'layers {{ type: {kind} {block} {{ source: "s" {settings} }} }}')
    assert net == v2(
        f'layer {{ type: "{LAYER_TYPES[kind]}" {block} {{ source: "s" }} transform_param {{ {settings} }} }}'
    )


def test_transform_of_another_type_stays() -> None:
    net, _ = parse_net("layers { type: RELU data_param { scale: 2 } }")
    assert net.layer[0].data_param.scale == 2
    assert not net.layer[0].HasField("transform_param")


# ---- V0


def test_v0_net() -> None:
    net, lines = parse_net(
        """name: "n"
        input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
        layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
        layers {
          layer {
            name: "conv1" type: "conv" num_output: 4 kernelsize: 3 stride: 2 group: 2 biasterm: false
            weight_filler { type: "xavier" } bias_filler { value: 1 }
            blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
          bottom: "pad1" top: "conv1" }
        layers { layer { name: "relu" type: "relu" } bottom: "conv1" top: "conv1" }
        layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 } bottom: "conv1" top: "p" }
        layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.2 k: 2 } bottom: "p" top: "n" }
        layers { layer { name: "fc" type: "innerproduct" num_output: 7 biasterm: true } bottom: "n" top: "fc" }
        layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "fc" top: "fc" }
        layers { layer { name: "cat" type: "concat" concat_dim: 0 } bottom: "fc" top: "c" }
        layers { layer { name: "loss" type: "softmax_loss" } bottom: "c" }"""
    )
    assert net == v2(
        """name: "n"
        layer { name: "input" type: "Input" top: "data"
          input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          convolution_param {
            num_output: 4 kernel_size: 3 stride: 2 group: 2 bias_term: false pad: 2
            weight_filler { type: "xavier" } bias_filler { value: 1 } } }
        layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer { name: "pool" type: "Pooling" bottom: "conv1" top: "p"
          pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
        layer { name: "norm" type: "LRN" bottom: "p" top: "n"
          lrn_param { local_size: 3 alpha: 0.1 beta: 0.2 k: 2 } }
        layer { name: "fc" type: "InnerProduct" bottom: "n" top: "fc"
          inner_product_param { num_output: 7 bias_term: true } }
        layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" dropout_param { dropout_ratio: 0.3 } }
        layer { name: "cat" type: "Concat" bottom: "fc" top: "c" concat_param { concat_dim: 0 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" }"""
    )
    assert [lines.at("layer", index).line for index in range(len(net.layer))] == [2, 4, 10, 11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            'name: "d" type: "data" source: "s" batchsize: 5 rand_skip: 3 '
            'scale: 2 meanfile: "m" cropsize: 9 mirror: true',
            'name: "d" type: "Data" data_param { source: "s" batch_size: 5 rand_skip: 3 } '
            'transform_param { scale: 2 mean_file: "m" crop_size: 9 mirror: true }',
        ),
        (
            'type: "images" source: "s" batchsize: 5 rand_skip: 3 shuffle_images: true new_height: 7 new_width: 8',
            'type: "ImageData" '
            'image_data_param { source: "s" batch_size: 5 rand_skip: 3 shuffle: true new_height: 7 new_width: 8 }',
        ),
        (
            'type: "window_data" source: "s" batchsize: 5 det_fg_threshold: 0.1 det_bg_threshold: 0.2 '
            'det_fg_fraction: 0.3 det_context_pad: 4 det_crop_mode: "square"',
            'type: "WindowData" window_data_param { source: "s" batch_size: 5 fg_threshold: 0.1 bg_threshold: 0.2 '
            'fg_fraction: 0.3 context_pad: 4 crop_mode: "square" }',
        ),
        (
            'type: "hdf5_data" source: "s" batchsize: 5',
            'type: "HDF5Data" hdf5_data_param { source: "s" batch_size: 5 }',
        ),
        (
            'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
            'type: "HDF5Output" hdf5_output_param { file_name: "f" }',
        ),
        ('type: "infogain_loss" source: "s"', 'type: "InfogainLoss" infogain_loss_param { source: "s" }'),
        ('type: "pool" pool: STOCHASTIC', 'type: "Pooling" pooling_param { pool: STOCHASTIC }'),
        ('type: "multinomial_logistic_loss"', 'type: "MultinomialLogisticLoss"'),
    ],
)
def test_v0_layers(old: str, new: str) -> None:
    assert parse_net(f"layers {{ layer {{ {old} }} }}")[0] == v2(f"layer {{ {new} }}")


def test_v0_weights() -> None:
    net = NetParameter()
    net.layers.add().layer.type = "conv"
    net.layers[0].layer.blobs.add(data=[1, 2])
    upgrade_net(net, Lines.unknown("w"))
    assert list(net.layer[0].blobs[0].data) == [1, 2]


def test_v0_padding_before_pooling_and_used_twice() -> None:
    net, _ = parse_net(
        """input: "x" input_dim: 1 input_dim: 1 input_dim: 5 input_dim: 5
        layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" }
        layers { layer { name: "a" type: "pool" kernelsize: 3 } bottom: "y" top: "a" }
        layers { layer { name: "b" type: "conv" kernelsize: 3 } bottom: "y" top: "b" }"""
    )
    assert [list(layer.bottom) for layer in net.layer[1:]] == [["x"], ["x"]]
    assert net.layer[1].pooling_param.pad == 1
    assert list(net.layer[2].convolution_param.pad) == [1]


def test_v0_dropped_setting_is_said(caplog: pytest.LogCaptureFixture) -> None:
    net, _ = parse_net('layers { layer { name: "a" type: "relu"\n kernelsize: 3 new_num: 1 } }')
    assert net == v2('layer { name: "a" type: "ReLU" }')
    assert "<string>:2: Unknown parameter kernelsize for layer type relu; it is dropped" in caplog.messages
    assert "<string>:2: Unknown parameter new_num for layer type relu; it is dropped" in caplog.messages


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('layers {\n layer { type: "convv" } }', r"^<string>:2: Unknown layer name: convv\. Did you mean 'conv'\?"),
        (
            'layers { layer { name: "a" type: "relu" } top: "x" }\n'
            'layers { layer { name: "b" type: "relu" } bottom: "y" }',
            r"^<string>:2: Unknown blob input y to layer 'b'",
        ),
        (
            'layers { layer { type: "relu" } }\nlayers { type: RELU }',
            r"^<string>:2: this 'layers' block has no 'layer' block inside",
        ),
        (
            'input: "x" layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" }\n'
            'layers { layer { name: "r" type: "relu" } bottom: "y" }',
            r"^<string>:2: Padding layer input to non-convolutional / non-pooling layer type relu: layer 'r'",
        ),
        (
            'input: "x" layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" bottom: "x" top: "y" }\n'
            'layers { layer { name: "c" type: "conv" } bottom: "y" }',
            r"^<string>:2: Padding Layer takes a single blob as input: 'p' has 2 bottoms and 1 tops",
        ),
    ],
)
def test_v0_refused(text: str, error: str) -> None:
    with pytest.raises(ParseError, match=error):
        parse_net(text)


# ---- legacy inputs


def test_inputs_with_dims() -> None:
    dims = " ".join(f"input_dim: {dim}" for dim in range(1, 9))
    net, lines = parse_net(f'\ninput: "a" input: "b" {dims}\nlayer {{ name: "l" }}')
    assert net == v2(
        """layer { name: "input" type: "Input" top: "a" top: "b" input_param {
             shape { dim: 1 dim: 2 dim: 3 dim: 4 } shape { dim: 5 dim: 6 dim: 7 dim: 8 } } }
           layer { name: "l" }"""
    )
    assert [lines.at("layer", 0).line, lines.at("layer", 1).line] == [2, 3]


def test_inputs_with_shapes() -> None:
    net, _ = parse_net('input: "a" input: "b" input_shape { dim: 5 } input_shape { } input_dim: 1')
    assert net == v2(
        'layer { name: "input" type: "Input" top: "a" top: "b" input_param { shape { dim: 5 } shape { } } }'
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'input: "a"\ninput: "b" input_shape { dim: 1 }',
            r"^<string>:2: 2 'input' but 1 'input_shape': write one shape for each",
        ),
        (
            'input: "a" input_dim: [1, 2, 3]',
            r"^<string>:1: Incorrect input blob dimension specifications: 1 'input' need 4 'input_dim'.*got 3",
        ),
    ],
)
def test_inputs_refused(text: str, error: str) -> None:
    with pytest.raises(ParseError, match=error):
        parse_net(text)


def test_inputs_that_do_nothing_are_said(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_net('input: "a"\nlayer { name: "l" }')[0] == v2('layer { name: "l" }')
    assert "<string>:1: dropped 'input', which has neither input_shape nor input_dim" in caplog.messages
    parse_net('\ninput_dim: 1 layer { name: "l" }')
    assert "<string>:2: 'input_dim' without 'input' has no effect" in caplog.messages
    net, _ = parse_net('input: "a" input_dim: [1, 2, 3, 4, 5]')
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [[1, 2, 3, 4]]
    assert "<string>:1: more input shapes than inputs; the last are not used" in caplog.messages


# ---- BatchNorm


def test_old_batch_norm() -> None:
    """Three params are the old form; Caffe freezes them and keeps the rest, such as the name they are shared by."""
    three = 'param { name: "mean" lr_mult: 1 } param { lr_mult: 0 } param { decay_mult: 2 }'
    net, _ = parse_net(f'layer {{ name: "b" type: "BatchNorm" {three} }} layer {{ name: "s" type: "Scale" {three} }}')
    norm, scale = net.layer
    assert [(spec.lr_mult, spec.decay_mult) for spec in norm.param] == [(0, 0)] * 3
    assert norm.param[0].name == "mean"
    assert [spec.lr_mult for spec in scale.param] == [1, 0, 1]
    two, _ = parse_net('layer { type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } }')
    assert len(two.layer[0].param) == 2


# ---- notices


def test_one_notice_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="caffepy")
    parse_net(
        'input: "x" input_dim: [1, 1, 1, 1] layers { layer { type: "relu" } } layers { layer { type: "tanh" } }', "old"
    )
    assert caplog.messages == [
        "old: upgraded from the V0 format of 2013",
        "old: upgraded 2 layers from the V1 format ('layers')",
        "old: made an Input layer of the 1 legacy 'input' fields",
    ]


# ---- solvers


@pytest.mark.parametrize(("old", "new"), SOLVER_TYPES.items())
def test_solver_type(old: str, new: str) -> None:
    solver, lines = parse_solver(f"\nsolver_type: {old}")
    assert solver == SolverParameter(type=new)
    assert lines.at("solver_type").line == 2


def test_a_message_of_no_file_has_no_place_in_its_error() -> None:
    net = NetParameter(layer=[LayerParameter(name="new")], layers=[V1LayerParameter(name="old")])
    with pytest.raises(ParseError, match=r"^a net is written either in .* first at an unknown line"):
        upgrade_net(net, Lines.unknown())


def test_solver_types_are_all_of_the_enum() -> None:
    assert list(SOLVER_TYPES) == SolverParameter.SolverType.keys()


def test_both_solver_types() -> None:
    with pytest.raises(ParseError, match=r"^<string>:2: Failed to upgrade solver: .*'type' is at <string>:1"):
        parse_solver('type: "Adam"\nsolver_type: ADAM')


def test_nets_in_solvers_are_upgraded() -> None:
    net = "layers {\n type: RELU }"
    solver, lines = parse_solver(
        f"net_param {{ {net} }}\ntrain_net_param {{ {net} }}\ntest_net_param {{ }} test_net_param {{\n{net} }}"
    )
    for inner in (solver.net_param, solver.train_net_param, solver.test_net_param[1]):
        assert [layer.type for layer in inner.layer] == ["ReLU"]
    assert lines.at("net_param").at("layer").line == 1
    assert lines.at("train_net_param").at("layer").line == 3
    assert lines.at("test_net_param", 0).line == 5
    assert lines.at("test_net_param", 1).at("layer").line == 6


@pytest.mark.parametrize(
    ("setting", "prefix"),
    [("", "sub.d/my.solver"), ('snapshot_prefix: "x/y"', "x/y"), ('snapshot_prefix: "out"', "out/my.solver")],
)
def test_snapshot_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, prefix: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub.d").mkdir()
    Path("out").mkdir()
    Path("sub.d/my.solver.prototxt").write_text(f'net: "n" {setting}')
    assert read_solver("sub.d/my.solver.prototxt")[0].snapshot_prefix == prefix
