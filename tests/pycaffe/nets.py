"""Nets that several tests drive, as text and as files."""

from __future__ import annotations

import caffepy as caffe

__all__ = ["DEPLOY", "REGRESSION", "make", "write"]

#: An image in, five probabilities out; every blob can have a gradient.
DEPLOY = """
name: "small" force_backward: true
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {
    num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.5 } bias_filler { value: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "score"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""

#: Two inputs, a linear layer, half the squared distance.
REGRESSION = """
name: "regression"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 4 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "copy" type: "Power" bottom: "y" top: "z" }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 2 }
"""


def write(folder, text, name="net.prototxt"):
    """The path of a prototxt of this text."""
    path = folder / name
    path.write_text(text)
    return str(path)


def make(folder, text, phase=caffe.TEST, **arguments):
    """The net of this text, read from a file."""
    return caffe.Net(write(folder, text), phase, **arguments)
