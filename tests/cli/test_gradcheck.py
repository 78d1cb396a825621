"""caffepy gradcheck: nets that are right, a layer whose backward is wrong, and what cannot be checked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import caffepy
from caffepy.layer import _registry, get_layer_class

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
  top: "positive" top: "cells" top: "four" top: "going"
  input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } shape { dim: 4 dim: 2 } shape { dim: 4 }
                shape { dim: 4 } shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 }
                shape { dim: 1 dim: 4 dim: 3 } shape { dim: 1 dim: 4 dim: 12 } shape { dim: 1 dim: 4 } } }
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
layer { name: "abs" type: "AbsVal" bottom: "x" top: "abs" }
layer { name: "bias" type: "Bias" bottom: "x" top: "bias" bias_param { axis: 1 } }
layer { name: "bnll" type: "BNLL" bottom: "x" top: "bnll" }
layer { name: "clip" type: "Clip" bottom: "x" top: "clip" clip_param { min: -0.5 max: 0.75 } }
layer { name: "concat" type: "Concat" bottom: "x" bottom: "conv" top: "concat" }
layer { name: "crop" type: "Crop" bottom: "x" bottom: "pool" top: "crop" crop_param { axis: 2 offset: 1 } }
layer { name: "elu" type: "ELU" bottom: "x" top: "elu" }
layer { name: "euclidean" type: "EuclideanLoss" bottom: "ip" bottom: "pair" top: "euclidean" }
layer { name: "exp" type: "Exp" bottom: "x" top: "exp" }
layer { name: "flatten" type: "Flatten" bottom: "conv" top: "flatten" }
layer { name: "im2col" type: "Im2col" bottom: "x" top: "im2col" convolution_param { kernel_size: 3 } }
layer { name: "gains" type: "DummyData" top: "gains"
  dummy_data_param { shape { dim: 1 dim: 1 dim: 5 dim: 5 } data_filler { type: "uniform" min: 0.1 max: 1 } } }
layer { name: "infogain" type: "InfogainLoss" bottom: "ip" bottom: "label" bottom: "gains" top: "infogain" }
layer { name: "logarithm" type: "Log" bottom: "positive" top: "logarithm" }
layer { name: "mvn" type: "MVN" bottom: "x" top: "mvn" }
layer { name: "parameter" type: "Parameter" top: "parameter" parameter_param { shape { dim: 2 dim: 3 } } }
layer { name: "prelu" type: "PReLU" bottom: "x" top: "prelu" }
layer { name: "rnn" type: "RNN" bottom: "steps" bottom: "marks" top: "rnn"
  recurrent_param { num_output: 3 weight_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "gates" type: "LSTMUnit" bottom: "cells" bottom: "four" bottom: "going" top: "c" top: "h" }
layer { name: "sigmoid2" type: "Sigmoid" bottom: "x" top: "sigmoid2" }
layer { name: "slice" type: "Slice" bottom: "conv" top: "first" top: "second" }
layer { name: "spp" type: "SPP" bottom: "conv" top: "spp" spp_param { pyramid_height: 2 } }
layer { name: "swish" type: "Swish" bottom: "x" top: "swish" }
layer { name: "tanh" type: "TanH" bottom: "x" top: "tanh" }
layer { name: "tile" type: "Tile" bottom: "ip" top: "tile" tile_param { tiles: 3 } }
"""

#: What has no gradient, or none that a net without data shows.
NO_GRADIENT = {
    "Accuracy", "ArgMax", "Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "Input", "MemoryData", "Python",
    "Silence", "Split", "Threshold", "WindowData",
}  # fmt: skip


def test_every_layer_that_has_a_gradient(run, tmp_path):
    (tmp_path / "net.prototxt").write_text(EVERYTHING)
    result = run("gradcheck", tmp_path / "net.prototxt")
    assert result.code == 0, result.out
    table = rows(result)
    checked = {row[1] for row in table if row[5:] == ["ok"] and len(row) == 6}
    get_layer_class("ReLU")  # finds the built-in layers
    builtin = {name for name, cls in _registry.items() if cls.__module__.startswith("caffepy.layers.")}
    assert checked == builtin - NO_GRADIENT
    assert not [row for row in table if "zeros" in row]
    assert ["quiet", "Silence", "skipped:", "has", "no", "top"] in table
    for layer, kind, blob in (
        ("softmax", "SoftmaxWithLoss", "bottom[1]"),
        ("lstm", "LSTM", "bottom[1]"),
        ("embed", "Embed", "bottom[0]"),
        ("filter", "Filter", "bottom[1]"),
    ):
        (row,) = (row for row in table if row[:3] == [layer, kind, blob])
        assert row[4:] == ["skipped:", "has", "no", "gradient", "by", "definition"]
    assert [row[4:] for row in table if row[:2] == ["norm", "BatchNorm"]][1:] == [
        ["skipped:", "a", "sum", "that", "the", "layer", "keeps", "itself"]
    ] * 3


def test_alexnet_of_few_outputs(run, tmp_path):
    text = (MODELS / "alexnet" / "train_val.prototxt").read_text()
    text = text.replace("num_output: 4096", "num_output: 32").replace("num_output: 1000", "num_output: 10")
    (tmp_path / "net.prototxt").write_text(text)
    result = run("gradcheck", tmp_path / "net.prototxt", "--shape=data=2,3,67,67")
    assert result.code == 0, result.out
    assert result.out.rstrip().endswith("39 gradients of 24 layers checked: ok")


def test_a_net_without_fillers_is_given_weights(run, tmp_path):
    result = run("gradcheck", MODELS / "lenet" / "deploy.prototxt", "--shape=data=2,1,28,28")
    assert result.code == 0, result.out
    assert result.out.rstrip().endswith("16 gradients of 9 layers checked: ok")
    assert "all zeros" not in result.out
    # The sums of a BatchNorm that was never trained say: divide by nothing.
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 5 } } }
        layer { name: "norm" type: "BatchNorm" bottom: "x" top: "y" }"""
    )
    result = run("gradcheck", tmp_path / "net.prototxt", "--phase=TEST")
    assert result.code == 0
    assert ["norm", "BatchNorm", "bottom[0]", "60"] in [row[:4] for row in rows(result)]


def test_labels_that_are_cut_out_of_an_input_are_classes_of_all_losses(run, tmp_path):
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" top: "labels"
          input_param { shape { dim: 30 dim: 7 } shape { dim: 30 dim: 2 } } }
        layer { name: "cut" type: "Slice" bottom: "labels" top: "one" top: "two" }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "few" inner_product_param { num_output: 3 } }
        layer { name: "seven" type: "SoftmaxWithLoss" bottom: "x" bottom: "one" top: "seven" }
        layer { name: "three" type: "SoftmaxWithLoss" bottom: "few" bottom: "two" top: "three" }"""
    )
    for seed in range(5):
        result = run("gradcheck", tmp_path / "net.prototxt", f"--seed={seed}")
        assert result.code == 0, result.err


@pytest.fixture
def wrong():
    """Two layer types: one whose backward has a factor too many in one element, and one that is right."""

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
      layer { name: "%s" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }"""
    for name, wanted in (("net", "ip"), ("other", "fc")):
        (tmp_path / f"{name}.prototxt").write_text(text % wanted)
    net = caffepy.Net(str(tmp_path / "net.prototxt"), caffepy.TRAIN)
    assert not net.params["ip"][0].data.any()
    net.save(str(tmp_path / "zero.caffemodel"))
    # Drawn where there is no file, and zero where the file says so: of the inputs nothing comes through.
    assert "all zeros" not in run("gradcheck", tmp_path / "net.prototxt").out
    flags = ["--weights", tmp_path / "zero.caffemodel"]
    result = run("gradcheck", tmp_path / "net.prototxt", *flags)
    assert ["ip", "InnerProduct", "bottom[0]", "10", "0.0e+00", "ok,", "all", "zeros"] in rows(result)
    assert "zero.caffemodel: 1 layers loaded" in result.err
    net.params["ip"][0].data[...] = np.arange(15).reshape(3, 5)
    net.save(str(tmp_path / "w.h5"))
    result = run("gradcheck", tmp_path / "net.prototxt", "--weights", f"{flags[1]},{tmp_path / 'w.h5'}")
    assert result.code == 0, result.err
    assert "all zeros" not in result.out
    assert run("gradcheck", tmp_path / "net.prototxt", "--weights", tmp_path / "none.caffemodel").code == 1
    (tmp_path / "net.prototxt").write_text((text % "ip").replace("num_output: 3", "num_output: 4"))
    assert run("gradcheck", tmp_path / "net.prototxt", *flags).code == 1
    skipped = run("gradcheck", tmp_path / "net.prototxt", *flags, "--on-mismatch=skip")
    assert skipped.code == 0
    assert "1 do not fit, kept as they were: ip (blob 0: 3 5 (15) in the file" in skipped.err


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


LAYERS = """import numpy as np

import caffepy


class Base(caffepy.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data


class SquaredLoss(Base):
    # As such losses are written: labels are classes, and have no gradient.
    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        labels = bottom[1].data.astype(int)
        assert (labels == bottom[1].data).all() and labels.min() >= 0
        self.difference = bottom[0].data.copy()
        self.difference[np.arange(len(labels)), labels] -= 1
        top[0].data[...] = (self.difference**2).sum() / 2

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise Exception("Layer cannot backpropagate to label inputs.")
        bottom[0].diff[...] = self.difference * top[0].diff[0]


class Weighted(Base):
    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].shape[1])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] -= (top[0].diff * bottom[0].data).sum(axis=0)
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data


class Unfinished(Base):
    def backward(self, top, propagate_down, bottom):
        pass


class Broken(Base):
    def backward(self, top, propagate_down, bottom):
        raise ZeroDivisionError("a mistake of the user")
"""


@pytest.fixture
def custom(run, tmp_path, monkeypatch):
    """Check a net with one Python layer over five outputs and labels; ``more`` are fields of the net."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "layers_to_check.py").write_text(LAYERS)
    yield lambda name, more="", labels="": (
        (tmp_path / "net.prototxt").write_text(
            f"""{more} layer {{ name: "in" type: "Input" top: "x" top: "label"
              input_param {{ shape {{ dim: 9 dim: 5 }} shape {{ dim: 9 }} }} }}
            layer {{ name: "mine" type: "Python" bottom: "x" {labels} top: "y"
              python_param {{ module: "layers_to_check" layer: "{name}" }} }}
            layer {{ name: "relu" type: "ReLU" bottom: "y" top: "z" }}"""
        ),
        run("gradcheck", tmp_path / "net.prototxt", "--allow-python-layers"),
    )[1]
    sys.modules.pop("layers_to_check", None)


def test_a_loss_of_ones_own_need_not_know_of_its_labels(custom):
    result = custom("SquaredLoss", labels='bottom: "label"')
    assert result.code == 0, result.out + result.err
    table = rows(result)
    assert ["mine", "Python", "bottom[0]", "45"] in [row[:4] for row in table if row[-1:] == ["ok"]]
    assert "mine    Python   bottom[1]        9" in result.out
    assert "skipped: an input of which the net asks no gradient (force_backward: true does)" in result.out
    forced = custom("SquaredLoss", "force_backward: true", labels='bottom: "label"')
    assert forced.code == 1
    assert "layer 'mine' (Python): 'layers_to_check.SquaredLoss', backward: Exception: Layer cannot" in forced.out


def test_a_wrong_gradient_of_weights_is_found(custom):
    result = custom("Weighted")
    assert result.code == 1
    assert "layer 'mine' (Python), blobs[0]: wrong gradient." in result.out
    assert "bottom[0]: wrong" not in result.out


def test_a_backward_that_writes_nothing_or_fails_does_not_stop_the_others(custom):
    result = custom("Unfinished")
    assert result.code == 1
    assert "layer 'mine' (Python), bottom[0]: wrong gradient.\ngot nan everywhere: backward did not" in result.out
    result = custom("Broken")
    assert result.code == 1
    assert "layer 'mine' (Python), passes: a pass fails.\n" in result.out
    assert "layer 'mine' (Python): 'layers_to_check.Broken', backward: ZeroDivisionError: a mistake" in result.out
    assert "under_test" not in result.out
    assert "relu: ok" in result.err


def test_threshold_and_elements(run, tmp_path, wrong):
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 9 dim: 9 } } }
        layer { name: "bad" type: "WrongCube" bottom: "x" top: "y" }"""
    )
    assert run("gradcheck", tmp_path / "net.prototxt").code == 1
    # One of 81 elements is off, which is little of the sum along a direction.
    assert run("gradcheck", tmp_path / "net.prototxt", "--threshold=0.4").code == 0
    result = run("gradcheck", tmp_path / "net.prototxt", "--threshold=0.4", "--elements=81")
    assert result.code == 1
    assert "element [1, 2]: expected" in result.out


def test_wrong_command_lines(run, project):
    assert "Missing argument 'NET'" in run("gradcheck").err
    result = run("gradcheck", "net.prototxt", "--layer=scales")
    assert result.code == 1
    assert "--layer scales: net.prototxt has no such layer in this phase. Did you mean 'scale'?" in result.err
    assert "--shape none: no data layer has a top 'none'." in run("gradcheck", "net.prototxt", "--shape=none=1,2").err
