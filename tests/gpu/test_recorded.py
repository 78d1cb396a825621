"""A recorded pass does what its ops did one by one."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import caffepy
from caffepy.errors import LayerError
from caffepy.gpu.backend import GpuBackend
from caffepy.net import Net
from caffepy.net.recorded import RecordedPass
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.solver.steps import Steps

NET = """
name: "small"
layer { name: "data" type: "Input" top: "x" top: "t" input_param { shape { dim: [4, 6] } shape { dim: 4 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "act" type: "ReLU" bottom: "a" top: "a" }
layer { name: "drop" type: "Dropout" bottom: "a" top: "d" }
layer { name: "squash" type: "TanH" bottom: "a" top: "s" }
layer { name: "sum" type: "Eltwise" bottom: "d" bottom: "s" top: "e" }
layer { name: "y" type: "InnerProduct" bottom: "e" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }
"""


class Recorded:
    """The passes of a net, each one recording."""

    def __init__(self, net):
        self.net, self.steps = net, Steps(net)

    def run(self):
        self.steps.run_pass(self.net.counter.value, lambda: None)
        self.steps.finish()


def _net(gpu, text=NET, **arguments):
    return Net(parse_net(text), caffe_pb2.TRAIN, gpu, seed=5, **arguments)


def _feed(net, number, size=4):
    random = np.random.default_rng(number)
    net.blobs["x"].reshape(size, 6)
    net.blobs["t"].reshape(size)
    net.blobs["x"].data.set(random.standard_normal((size, 6)).astype(net.backend.dtype))
    net.blobs["t"].data.set(random.integers(0, 3, size).astype(net.backend.dtype))


def _results(net):
    return [net.loss(), *(net.backend.to_host(param.blob.diff) for param in net.learnable_params)]


@pytest.mark.parametrize("share", [False, True])
def test_equal_to_the_bit_pass_by_pass(gpu, share, caplog):
    """Other units are dropped each time; the fifth batch is larger, and recorded anew."""
    plain, other = _net(gpu), _net(gpu, share_memory=share)
    recorded = Recorded(other)
    with caplog.at_level(logging.INFO, "caffepy"):
        for number in range(10):
            size = 4 if number < 5 else 7
            for net in (plain, other):
                _feed(net, number, size)
                net.clear_param_diffs()
            plain.forward()
            plain.backward()
            recorded.run()
            assert plain.counter.value == other.counter.value == number + 1
            for a, b in zip(_results(plain), _results(other), strict=True):
                np.testing.assert_array_equal(a, b)
    assert caplog.messages.count("Recorded as a CUDA graph: forward, loss, backward.") == 2


def test_a_bad_label_is_refused_at_the_next_wait(gpu):
    net = _net(gpu)
    recorded = Recorded(net)
    for number in range(5):
        _feed(net, number)
        recorded.run()
        net.loss()
    net.blobs["t"].data.fill(3)
    recorded.run()
    with pytest.raises(LayerError, match=r"layer 'loss' .*label 3 of sample 0 in the batch is not in 0\.\.2"):
        net.loss()


def test_a_bad_label_that_two_losses_read_is_told_once(gpu):
    text = NET + 'layer { name: "too" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "too" }'
    net = _net(gpu, text)
    _feed(net, 1)
    net.blobs["t"].data.fill(3)
    net.forward()
    with pytest.raises(LayerError, match=r"layer 'loss' .*label 3 of sample 0"):
        net.loss()
    _feed(net, 1)
    net.forward()
    assert np.isfinite(net.loss())


@caffepy.register_layer("LooksAtValues")
class LooksAtValues(caffepy.Layer):
    """A user's layer that does on the host what no recording would repeat."""

    def setup(self, bottom, top):
        self.seen = []

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.seen.append(float(bottom[0].data.sum()))
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff


def test_layers_of_users_run_each_time(gpu):
    text = NET.replace(
        'layer { name: "a" ', 'layer { name: "own" type: "LooksAtValues" bottom: "x" top: "own" } layer { name: "a" ', 1
    )
    net = _net(gpu, text.replace('bottom: "x" top: "a"', 'bottom: "own" top: "a"'))
    assert RecordedPass.why_not(net) == ""
    recorded = Recorded(net)
    for number in range(5):
        _feed(net, number)
        recorded.run()
    assert len(net.layer_dict["own"].seen) == 5
    text = NET.replace(
        'layer { name: "y" ', 'layer { name: "own" type: "LooksAtValues" bottom: "e" top: "own" } layer { name: "y" ', 1
    )
    why = RecordedPass.why_not(_net(gpu, text.replace('bottom: "e" top: "y"', 'bottom: "own" top: "y"')))
    assert why == "layer 'own' (LooksAtValues) runs on the host, backward too"


def test_scratch_memory_of_a_recording_stays_its_own(dtype):
    """Another net makes the arena grow: what was in its place before may be anybody's, but for the recording."""
    gpu = GpuBackend(0, dtype)
    recorder, values = gpu.recorder(caffepy.backend.Counter()), gpu.zeros((1000,))

    def work():
        scratch = gpu.scratch((1000,))
        scratch.fill(3)
        values[...] += scratch

    for _ in range(4):
        recorder.run("work", [work])
    gpu.scratch((5000,))
    others = [gpu.zeros((1000,)) for _ in range(20)]
    recorder.run("work", [work])
    assert (gpu.to_host(values) == 15).all()
    assert not any(gpu.to_host(other).any() for other in others)


def test_what_cannot_be_recorded_runs_as_it_is(gpu, caplog):
    """A layer that says it could be, and waits for the device all the same."""
    recorder, seen = gpu.recorder(caffepy.backend.Counter()), []
    values = gpu.zeros((3,))

    def work():
        values[...] += 1
        seen.append(values.get()[0])

    with caplog.at_level(logging.INFO, "caffepy"):
        for _ in range(5):
            recorder.run("work", [work])
    assert seen == [1, 2, 3, 4, 5]
    assert "Not recorded as a CUDA graph, but started kernel by kernel (work): " in caplog.text


FROZEN = """
name: "frozen"
layer { name: "data" type: "Input" top: "x" top: "t" input_param { shape { dim: [4, 6] } shape { dim: 4 } } }
layer { name: "image" type: "Reshape" bottom: "x" top: "i" reshape_param { shape { dim: [0, 1, 2, 3] } } }
layer { name: "conv" type: "Convolution" bottom: "i" top: "c" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 2 pad: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" param { lr_mult: 0 } param { lr_mult: 0 }
  param { lr_mult: 0 } batch_norm_param { use_global_stats: true } }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" param { lr_mult: 0 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "conv2" type: "Convolution" bottom: "c" top: "d"
  convolution_param { num_output: 8 kernel_size: 2 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "d" top: "d" }
layer { name: "y" type: "InnerProduct" bottom: "d" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def test_layers_are_joined_and_go_by_the_numbers_of_now(gpu, monkeypatch, caplog):
    """A recording holds where numbers of BatchNorm and Scale are, not what they were."""
    plain, other = _net(gpu, FROZEN), _net(gpu, FROZEN)
    for name in ("bn", "scale", "relu", "relu2"):
        monkeypatch.setattr(other.layer_dict[name], "forward", None)
    recorded = Recorded(other)
    losses = []
    caplog.set_level(logging.INFO, "caffepy")
    for number in range(6):
        for net in (plain, other):
            _feed(net, 1)
            net.clear_param_diffs()
            for blob, value in zip(net.params["bn"], (0.1, 2.0, 1.0 + number), strict=True):
                blob.data.fill(value)
            net.params["scale"][0].data.fill(1.0 - number / 4)
        plain.forward()
        plain.backward()
        recorded.run()
        for a, b in zip(_results(plain), _results(other), strict=True):
            np.testing.assert_array_equal(a, b)
        losses.append(plain.loss())
    assert len(set(losses)) == 6
    assert "Recorded as a CUDA graph: forward, loss, backward." in caplog.messages
