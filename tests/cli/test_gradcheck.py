"""caffepy gradcheck: nets that are right, a layer whose backward is wrong, and what cannot be checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffepy

MODELS = Path(__file__).resolve().parents[2] / "models"


def rows(result):
    """The table, cut at runs of spaces."""
    return [line.split() for line in result.out.splitlines()]


def test_lenet(run):
    result = run("gradcheck", MODELS / "lenet" / "train_val.prototxt", "--shape", "data=2,1,28,28")
    assert result.code == 0
    assert result.out.rstrip().endswith("16 gradients of 9 layers checked: ok")
    table = rows(result)
    assert ["conv2", "Convolution", "blobs[0]", "25,000"] in [row[:4] for row in table]
    assert all(float(row[4]) < 1e-6 for row in table if len(row) == 6 and row[5] == "ok")
    assert "conv1: ok" in result.err


def test_a_data_layer_gives_two_images_only(run, project):
    result = run("gradcheck", "net.prototxt")
    assert result.code == 0
    assert ["scale", "Scale", "bottom[0]", "1,568"] in [row[:4] for row in rows(result)]
    assert "accuracy" not in result.out
    tested = run("gradcheck", "net.prototxt", "-phase=test")
    assert ["accuracy", "Accuracy", "skipped:"] in [row[:3] for row in rows(tested)]
    assert "has no gradient by definition" in tested.out


EVERYTHING = """
layer { name: "in" type: "Input" top: "x" top: "label" top: "marks" top: "which" top: "index" top: "two" top: "pair"
  input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } shape { dim: 4 dim: 2 } shape { dim: 4 }
                shape { dim: 4 } shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "lrn" type: "LRN" bottom: "pool" top: "lrn" }
layer { name: "drop" type: "Dropout" bottom: "lrn" top: "drop" }
layer { name: "up" type: "Deconvolution" bottom: "drop" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "up" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "embed" type: "Embed" bottom: "index" top: "embed"
  embed_param { input_dim: 7 num_output: 5 weight_filler { type: "uniform" } } }
layer { name: "sum" type: "Eltwise" bottom: "ip" bottom: "embed" top: "sum" eltwise_param { operation: MAX } }
layer { name: "filter" type: "Filter" bottom: "sum" bottom: "which" top: "filter" }
layer { name: "filtered" type: "Reduction" bottom: "filter" top: "filtered" loss_weight: 1 }
layer { name: "time" type: "Reshape" bottom: "sum" top: "time" reshape_param { shape { dim: 4 dim: 2 dim: -1 } }
  include { stage: "odd" } }
layer { name: "pairs" type: "InnerProduct" bottom: "sum" top: "pairs"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "steps" type: "Reshape" bottom: "pairs" top: "steps" reshape_param { shape { dim: 4 dim: 2 dim: 3 } } }
layer { name: "lstm" type: "LSTM" bottom: "steps" bottom: "marks" top: "lstm"
  recurrent_param { num_output: 3 weight_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "square" type: "Power" bottom: "lstm" top: "square" power_param { power: 2 } }
layer { name: "last" type: "Reduction" bottom: "square" top: "last" loss_weight: 1 }
layer { name: "softmax" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "softmax" }
layer { name: "hinge" type: "HingeLoss" bottom: "sum" bottom: "label" top: "hinge" }
layer { name: "sigmoid" type: "SigmoidCrossEntropyLoss" bottom: "sum" bottom: "two" top: "sigmoid" }
layer { name: "probability" type: "Softmax" bottom: "sum" top: "probability" }
layer { name: "log" type: "MultinomialLogisticLoss" bottom: "probability" bottom: "label" top: "log" }
layer { name: "far" type: "ContrastiveLoss" bottom: "sum" bottom: "pair" bottom: "which" top: "far" }
layer { name: "choose" type: "BatchReindex" bottom: "sum" bottom: "which" top: "choose" }
layer { name: "quiet" type: "Silence" bottom: "choose" }
"""


def test_labels_marks_and_indices_are_such(run, tmp_path):
    (tmp_path / "net.prototxt").write_text(EVERYTHING)
    result = run("gradcheck", tmp_path / "net.prototxt")
    assert result.code == 0, result.out
    table = rows(result)
    checked = {row[0] for row in table if row[-1:] == ["ok"]}
    assert {"embed", "filter", "lstm", "hinge", "sigmoid", "log", "far", "choose", "norm", "pool", "drop"} <= checked
    assert not [row for row in table if "zeros" in row]
    assert ["quiet", "Silence", "skipped:", "has", "no", "top"] in table


@pytest.fixture
def wrong():
    """Two layer types: one whose backward forgets a factor in one element, and one that is right."""
    from caffepy.layer import _registry

    class Cube(caffepy.Layer):
        def setup(self, bottom, top):
            pass

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            top[0].data[...] = bottom[0].data ** 3

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = 3 * bottom[0].data ** 2 * top[0].diff
            if self.type == "WrongCube":
                bottom[0].diff[1, 2] *= 2

    for name in ("WrongCube", "RightCube"):
        caffepy.register_layer(name)(type(name, (Cube,), {}))
    yield
    for name in ("WrongCube", "RightCube"):
        del _registry[name]


def test_a_wrong_backward_is_found_and_its_element_named(run, tmp_path, wrong):
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
        layer { name: "bad" type: "WrongCube" bottom: "x" top: "y" }
        layer { name: "good" type: "RightCube" bottom: "y" top: "z" }"""
    )
    result = run("gradcheck", tmp_path / "net.prototxt")
    assert result.code == 1
    assert "bad: FAILED" in result.err
    assert "good: ok" in result.err
    assert "layer 'bad' (WrongCube), bottom[0]: wrong gradient." in result.out
    assert "worst of 10 elements examined: element [1, 2]: expected " in result.out
    assert result.out.rstrip().endswith("2 gradients of 3 layers checked: 1 layers are wrong")
    only = run("gradcheck", tmp_path / "net.prototxt", "--layer=good")
    assert only.code == 0
    assert "bad" not in only.out


def test_weights_are_those_of_a_file(run, tmp_path):
    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
      layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }
      layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }"""
    (tmp_path / "net.prototxt").write_text(text)
    # Without a filler all weights are zero: of the inputs nothing comes through.
    net = caffepy.Net(str(tmp_path / "net.prototxt"), caffepy.TRAIN)
    assert not net.params["ip"][0].data.any()
    net.params["ip"][0].data[...] = np.arange(15).reshape(3, 5)
    net.save(str(tmp_path / "w.caffemodel"))
    result = run("gradcheck", tmp_path / "net.prototxt", "--weights", tmp_path / "w.caffemodel")
    assert result.code == 0, result.err
    assert "all zeros" not in result.out
    assert run("gradcheck", tmp_path / "net.prototxt", "--weights", tmp_path / "none.caffemodel").code == 1


def test_python_layers_need_leave(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "doubling.py").write_text(
        """import caffepy


class Double(caffepy.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff
"""
    )
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
        layer { name: "twice" type: "Python" bottom: "x" top: "y"
          python_param { module: "doubling" layer: "Double" } }"""
    )
    refused = run("gradcheck", tmp_path / "net.prototxt")
    assert refused.code == 1
    assert "--allow-python-layers" in refused.err
    result = run("gradcheck", tmp_path / "net.prototxt", "--allow-python-layers")
    assert result.code == 0, result.err
    assert "twice: ok" in result.err


def test_wrong_command_lines(run, project):
    assert "Missing argument 'NET'" in run("gradcheck").err
    result = run("gradcheck", "net.prototxt", "--layer=scales")
    assert result.code == 1
    assert "--layer scales: net.prototxt has no such layer in this phase. Did you mean 'scale'?" in result.err
    assert "--shape none: no data layer has a top 'none'." in run("gradcheck", "net.prototxt", "--shape=none=1,2").err
