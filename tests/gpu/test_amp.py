"""--amp: layers in float16 against float32, the loss scale, and training runs with both."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from caffepy.blob import Blob
from caffepy.devices import get_backend
from caffepy.layer import LayerContext, get_layer_class
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_solver
from caffepy.solver import get_solver
from caffepy.solver.steps import Steps
from tests.gpu.updates import SOLVERS


@pytest.fixture
def amp():
    return get_backend("gpu:0", amp=True)


@pytest.fixture
def plain():
    return get_backend("gpu:0")


# Each with shapes of bottoms; all that keep their blobs in float16.
LAYERS = {
    "Convolution": ('convolution_param { num_output: 8 kernel_size: 3 pad: 1 %s }', [(3, 4, 7, 6)]),
    "Convolution, groups": ('convolution_param { num_output: 8 kernel_size: 3 stride: 2 group: 2 %s }', [(3, 4, 7, 6)]),
    "Convolution, three channels": ('convolution_param { num_output: 6 kernel_size: 3 %s }', [(3, 3, 7, 6)]),
    "Deconvolution": ('convolution_param { num_output: 3 kernel_size: 3 stride: 2 %s }', [(2, 4, 5, 5)]),
    "InnerProduct": ('inner_product_param { num_output: 5 %s }', [(4, 3, 5)]),
    "InnerProduct, transposed": ('inner_product_param { num_output: 5 transpose: true %s }', [(4, 3, 5)]),
    "ReLU": ("relu_param { negative_slope: 0.1 }", [(4, 33)]),
    "PReLU": ("", [(4, 5, 6)]),
    "Pooling": ("pooling_param { kernel_size: 3 stride: 2 }", [(2, 3, 9, 9)]),
    "Pooling, mean": ("pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", [(2, 3, 9, 9)]),
    "LRN": ("lrn_param { alpha: 0.1 }", [(2, 8, 5, 5)]),
    "Dropout": ("", [(4, 33)]),
    "BatchNorm": ("", [(4, 5, 6, 6)]),
    "Scale": ("scale_param { bias_term: true filler { type: 'gaussian' std: 1 } }", [(4, 5, 6, 6)]),
    "Scale, two bottoms": ("scale_param { axis: 0 }", [(4, 5, 6), (4, 5)]),
    "Bias": ("bias_param { filler { type: 'gaussian' std: 1 } }", [(4, 5, 6, 6)]),
    "Eltwise": ("eltwise_param { coeff: 1 coeff: -2 coeff: 1 }", [(4, 9)] * 3),
    "Eltwise, maximum": ("eltwise_param { operation: MAX }", [(4, 9)] * 2),
    "Concat": ("", [(2, 3, 4), (2, 2, 4)]),
}  # fmt: skip
FILLERS = "weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' std: 1 }"


def _layer(name, backend):
    settings, shapes = LAYERS[name]
    param = parse_net(f"layer {{ name: 'l' type: '{name.partition(',')[0]}' {settings.replace('%s', FILLERS)} }}")[
        0
    ].layer[0]
    layer = get_layer_class(param.type)(param, LayerContext(backend, caffe_pb2.TRAIN, seed=3))
    bottom, top = [Blob(backend, shape) for shape in shapes], [Blob(backend)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.param_propagate_down = [True] * len(layer.blobs)
    return layer, bottom, top


def _run(name, backend, size=1.0):
    layer, bottom, top = _layer(name, backend)
    draw = np.random.default_rng(8)

    def numbers(shape):
        return draw.standard_normal(shape).astype(np.float16).astype(np.float32) * size

    for blob in bottom:
        blob.data[...] = backend.asarray(numbers(blob.shape))
    layer.forward(bottom, top)
    results = [top[0].data.get()]
    top[0].diff[...] = backend.asarray(numbers(top[0].shape))
    layer.backward(top, [True] * len(bottom), bottom)
    results += [blob.diff.get() for blob in bottom]
    return results, [blob.diff.get() for blob in layer.blobs], layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_in_half(amp, plain, name):
    """Values within a few roundings of float32's; those of learnable blobs are float32 themselves."""
    (values, params, layer), (expected, expected_params, _) = (_run(name, each) for each in (amp.half, plain))
    assert {value.dtype for value in values} == {np.dtype(np.float16)}
    assert {blob.data.dtype for blob in layer.blobs} <= {np.dtype(np.float32)}
    for value, exact in zip(values + params, expected + expected_params, strict=True):
        np.testing.assert_allclose(value, exact, rtol=2e-3, atol=2e-3 * np.abs(exact).max())


@pytest.mark.parametrize("name", ["Convolution, groups", "InnerProduct", "Bias", "Scale"])
def test_sums_do_not_overflow(amp, plain, name, monkeypatch):
    """Gradients of learnable blobs beyond 65504, of values that are not."""
    # Channels by eights, of which cuDNN gives gradients in float32.
    settings = "convolution_param { num_output: 16 kernel_size: 3 group: 2 %s }"
    monkeypatch.setitem(LAYERS, "Convolution, groups", (settings, [(3, 16, 7, 6)]))
    (_, params, _), (_, expected, _) = (_run(name, each, 4096.0) for each in (amp.half, plain))
    assert max(np.abs(exact).max() for exact in expected) > 65504
    for value, exact in zip(params, expected, strict=True):
        np.testing.assert_allclose(value, exact, rtol=2e-3, atol=2e-3 * np.abs(exact).max())


NET = """
name: "mini"
layer { name: "data" type: "DummyData" top: "x" top: "t"
  dummy_data_param { shape { dim: [8, 3, 14, 14] } shape { dim: 8 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "conv1" param { lr_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.01 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "fc6" type: "InnerProduct" bottom: "conv2" top: "fc6"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "tanh6" type: "TanH" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "drop6" }
layer { name: "fc7" type: "InnerProduct" bottom: "drop6" top: "fc7"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc7" bottom: "t" top: "loss" loss_weight: 1 }
layer { name: "accuracy" type: "Accuracy" bottom: "fc7" bottom: "t" top: "accuracy" }
"""


def _solver(folder, backend, kind="SGD", scale=2.0**8, **arguments):
    """With a loss scale at which nothing overflows, from the first update on."""
    folder.mkdir(exist_ok=True)
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(
        f'train_net: "{folder}/net.prototxt" base_lr: 0.005 lr_policy: "fixed" weight_decay: 0.001 max_iter: 40 '
        f'snapshot_prefix: "{folder}/s" random_seed: 4 display: 1 type: "{kind}" {SOLVERS[kind]}'
    )
    solver = get_solver(read_solver(folder / "solver.prototxt"), backend, **arguments)
    if solver.net.loss_scale:
        solver.net.loss_scale._scale.fill(scale)
    return solver


def _losses(solver, iterations):
    found = []
    for _ in range(iterations):
        solver.step(1)
        found.append(solver.net.loss())
    return np.array(found)


def _weights(solver):
    return np.concatenate([param.blob.data.get().ravel() for param in solver.net.learnable_params])


def test_which_layers_are_in_half(amp):
    net = Net(parse_net(NET), caffe_pb2.TRAIN, amp)
    half = {entry.layer.name for entry in net.entries if entry.layer.backend is amp.half}
    assert half == {
        "conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "fc6", "fc7", "fc7_fc7_0_split",
    }  # fmt: skip
    casts = [name for name in net.layer_dict if net.layer_dict[name].type == "Cast"]
    assert casts == [
        "x_float16",
        "fc6_float32",
        "drop6_float16",
        "fc7_fc7_0_split_0_float32",
        "fc7_fc7_0_split_1_float32",
    ]
    assert net.blobs["conv1"].data.dtype == np.float16
    assert net.blobs["loss"].data.dtype == net.blobs["fc6"].data.dtype == np.float32


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_trains_as_float32_does(tmp_path, amp, plain, kind):
    runs = []
    for name, backend in (("plain", plain), ("amp", amp)):
        solver = _solver(tmp_path / name, backend, kind, share_memory=True)
        runs.append((_losses(solver, 25), _weights(solver)))
    (losses, weights), (amp_losses, amp_weights) = runs
    assert losses[-5:].mean() < 0.5 * losses[:2].mean()
    assert solver.net.loss_scale.report() == (2.0**8, 0)
    np.testing.assert_allclose(amp_losses, losses, atol=0.02)
    assert np.abs(amp_weights - weights).max() < 0.02


def test_a_scale_too_large_comes_down_by_itself(tmp_path, amp):
    solver = _solver(tmp_path, amp, scale=2.0**24)
    losses = _losses(solver, 30)
    scale, skipped = solver.net.loss_scale.report()
    assert 0 < skipped < 20
    assert scale == 2.0 ** (24 - skipped)
    assert np.isfinite(losses).all()


def test_recorded_equals_op_by_op(tmp_path, amp):
    runs = []
    for record in (False, True):
        solver = _solver(tmp_path / str(record), amp, record=record, share_memory=True)
        runs.append((_losses(solver, 8), _weights(solver)))
        assert solver._steps.recorded == record
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_recorded_pass_goes_by_the_scale_of_now(amp):
    net = Net(parse_net(NET), caffe_pb2.TRAIN, amp, seed=2)
    scale = net.loss_scale = amp.loss_scale()
    steps = Steps(net)
    for number in range(6):
        scale._scale.fill(2.0**number)
        steps.run_pass(number, lambda: None)
        steps.finish()
        assert float(net.blobs["loss"].diff.get()) == 2.0**number


def test_a_product_that_is_a_loss_has_float32(amp):
    """Its gradient is the scale itself, which float16 does not hold."""
    text = """
        layer { name: "data" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
        layer { name: "y" type: "InnerProduct" bottom: "x" top: "y" loss_weight: 1
          inner_product_param { num_output: 1 weight_filler { type: "constant" value: 1 } } }"""
    net = Net(parse_net(text), caffe_pb2.TRAIN, amp)
    net.loss_scale = amp.loss_scale()
    net.blobs["x"].data.fill(0.5)
    net.forward()
    net.clear_param_diffs()
    net.backward()
    assert net.blobs["y"].diff.dtype == np.float32
    np.testing.assert_array_equal(net.params["y"][0].diff.get(), np.full((1, 3), 2.0**16, np.float32))


@pytest.mark.parametrize("kind", SOLVERS)
def test_an_overflow_leaves_the_update_out(tmp_path, amp, kind, caplog):
    solver = _solver(tmp_path, amp, kind)
    solver.step(3)
    assert solver.net.loss_scale.report() == (2.0**8, 0)
    before = [_weights(solver), *(array.get() for array in solver.history)]
    solver.net.loss_scale._scale.fill(2.0**40)
    solver.step(1)
    for one, other in zip(before, [_weights(solver), *(array.get() for array in solver.history)], strict=True):
        np.testing.assert_array_equal(one, other)
    assert solver.net.loss_scale.report() == (2.0**39, 1)
    solver.net.loss_scale._scale.fill(2.0**8)
    with caplog.at_level(logging.INFO, "caffepy"):
        solver.step(1)
    assert solver.net.loss_scale.report() == (2.0**8, 1)
    assert np.abs(_weights(solver) - before[0]).max() > 0
    assert "Loss scale 256; 1 updates left out so far" in caplog.text


def test_the_scale_doubles_after_2000_updates_and_stays_in_its_bounds(amp):
    scale, diff = amp.loss_scale(), amp.zeros((3,))
    for _ in range(1999):
        scale.unscale(diff)
    assert scale.report() == (2.0**16, 0)
    scale.unscale(diff)
    assert scale.report() == (2.0**17, 0)
    scale._scale.fill(2.0**24)
    for _ in range(2000):
        scale.unscale(diff)
    assert scale.report() == (2.0**24, 0)
    scale._scale.fill(1)
    for bad in (np.inf, np.nan):
        diff[1] = bad
        scale.unscale(diff)
    assert scale.report() == (1.0, 2)
    assert int(amp.go.get()[0]) == 0


def test_gradients_are_divided_by_the_scale(amp):
    scale, diff = amp.loss_scale(), amp.asarray(np.array([65536.0, -3.0], np.float32))
    scale.unscale(diff)
    np.testing.assert_array_equal(diff.get(), [1, -3 / 65536])


@pytest.mark.parametrize("device", ["gpu:0", "cpu"])
def test_a_snapshot_goes_on_in_float32(tmp_path, amp, device):
    solver = _solver(tmp_path, amp)
    solver.step(4)
    model, state = solver.snapshot()
    other = _solver(tmp_path, get_backend(device))
    other.restore(state)
    for one, two in zip(solver.net.learnable_params, other.net.learnable_params, strict=True):
        np.testing.assert_array_equal(one.blob.data.get(), other.backend.to_host(two.blob.data))
    for one, two in zip(solver.history_blobs(), other.history_blobs(), strict=True):
        np.testing.assert_array_equal(one, two)
    message = caffe_pb2.NetParameter.FromString(Path(model).read_bytes())
    assert "Cast" not in {layer.type for layer in message.layer}
    solver.step(3)
    other.step(3)
    assert abs(solver.net.loss() - other.net.loss()) < 0.02


def test_the_cpu_has_none():
    from caffepy.errors import BackendError

    for name in ("amp", "tf32"):
        with pytest.raises(BackendError, match=f"--{name}: these are ways in which a GPU computes.*'cpu'"):
            get_backend("cpu", **{name: True})
