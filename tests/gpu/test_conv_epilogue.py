"""What a convolution on the GPU does with y as it writes it, against the CPU's: scale, shift and ReLU."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.gpu._kernels import Kernels
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing import poisoned
from tests.gpu.twins import on
from tests.ops.test_conv import SETTINGS, arrays

NAMES = ["plain", "groups", "pad and stride 2", "1-D", "3-D", "4-D", "no axis", "batch 1, one output"]
#: Whether there are scale and shift, and the slope.
EPILOGUES = {
    "ReLU": (False, 0.0),
    "scale": (True, 1.0),
    "scale and ReLU": (True, 0.0),
    "leaky": (False, 0.25),
    "scale, leaky": (True, 0.25),
}
NEAR = {"float16": (5e-3, 2e-2), "float32": (1e-4, 3e-5), "float64": (1e-11, 1e-12)}


KINDS = "float16 by cuDNN", "float16 by our own", "float32 by cuDNN", "float32 by our own", "float64 by our own"


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def dtype(kind):
    return kind.split()[0]


@pytest.fixture(autouse=True)
def _one_candidate(monkeypatch):
    """Some plans in float16 are compiled, in seconds each: the first will do."""
    from caffepy.gpu import _cudnn

    monkeypatch.setattr(_cudnn, "_MOST_CANDIDATES", 1)


@pytest.fixture
def gpu(dtype):
    """In which blobs are of the dtype."""
    return get_backend("gpu:0", amp=True).half if dtype == "float16" else get_backend("gpu:0", dtype)


def numbers(name):
    """scale and shift, of both signs."""
    random = np.random.default_rng(7)
    return random.uniform(-2, 2, SETTINGS[name][1]), random.uniform(-1, 1, SETTINGS[name][1])


def run(backend, name, x, w, b, epilogue):
    """The op, and what it gives, in float64."""
    device = poisoned(backend)
    full = device.full
    op = device.ops.Conv(device, *SETTINGS[name][1:])
    y = device.asarray(np.full(arrays(name, batch=len(x))[3].shape, np.nan))
    scaled, slope = epilogue
    given = (*(on(full, values) for values in numbers(name)), slope) if scaled else (None, None, slope)
    op.plan(x.shape, y.shape)
    op.epilogue = given
    op.forward(on(device, x), on(full, w), None if b is None else on(full, b), y)
    return op, device.to_host(y).astype(np.float64)


@pytest.fixture
def values(dtype):
    """Name -> x, w, b that float16 holds."""
    return lambda name: [array.astype(np.float16).astype(np.float64) for array in arrays(name, "float64")[:3]]


@pytest.fixture
def exact():
    """What the CPU gives in float64."""
    cpu = get_backend("cpu", "float64", 1)
    return lambda *args: run(cpu, *args)[1]


def check(got, expected, dtype):
    rtol, atol = NEAR[dtype]
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("epilogue", ["ReLU", "leaky"])
@pytest.mark.parametrize("name", ["groups", "batch 1"])
def test_without_bias(gpu, way, dtype, values, exact, name, epilogue):
    x, w, _ = values(name)
    with way():
        _, got = run(gpu, name, x, w, None, EPILOGUES[epilogue])
    check(got, exact(name, x, w, None, EPILOGUES[epilogue]), dtype)


@pytest.mark.parametrize("epilogue", EPILOGUES)
@pytest.mark.parametrize("name", NAMES)
def test_twins(gpu, way, dtype, values, exact, name, epilogue):
    x, w, b = values(name)
    with way():
        _, got = run(gpu, name, x, w, b, EPILOGUES[epilogue])
    check(got, exact(name, x, w, b, EPILOGUES[epilogue]), dtype)


@pytest.fixture
def launched(monkeypatch):
    """Names of our own kernels, as they are launched."""
    names, launch = [], Kernels.launch
    monkeypatch.setattr(Kernels, "launch", lambda self, name, *rest: [names.append(name), launch(self, name, *rest)])
    return names


@pytest.mark.parametrize("pass_takes", [0.0, 1e9])
@pytest.mark.parametrize("epilogue", ["ReLU", "scale", "scale and ReLU"])
def test_at_once_or_after(gpu, way, dtype, values, exact, launched, monkeypatch, epilogue, pass_takes):
    """A plan of cuDNN's that does it all is taken unless it takes longer, or a kernel of our own follows: one."""
    from caffepy.gpu import _cudnn_conv

    monkeypatch.setattr(_cudnn_conv, "_BIAS_PASS", pass_takes)
    x, w, b = values("batch 1")
    with way():
        op, got = run(gpu, "batch 1", x, w, b, EPILOGUES[epilogue])
    check(got, exact("batch 1", x, w, b, EPILOGUES[epilogue]), dtype)
    scaled, slope = EPILOGUES[epilogue]
    after = [name for name in launched if name in ("conv_finish", "conv_unpack")]
    if way is not nullcontext:
        assert after == ["conv_unpack"]
        return
    # Filters in float16 are not scaled.
    at_once = pass_takes == 0 and not (scaled and dtype == "float16")
    assert (op._cudnn._rectified is not None) == (at_once and slope == 0)
    assert after == ([] if at_once else ["conv_finish"])
    assert ("conv_scale" in launched) == (scaled and at_once)


def test_without_it_a_convolution_is_nothing_more_again(gpu, way, dtype, values, exact):
    x, w, b = values("groups")
    with way():
        op, _ = run(gpu, "groups", x, w, b, EPILOGUES["scale and ReLU"])
    op.epilogue = None
    y = gpu.asarray(np.full(arrays("groups")[3].shape, np.nan))
    op.forward(on(gpu, x), on(gpu.full, w), on(gpu.full, b), y)
    check(gpu.to_host(y).astype(np.float64), exact("groups", x, w, b, (False, 1.0)), dtype)
    assert float(y.min()) < 0


@pytest.mark.parametrize("epilogue", ["ReLU", "scale and ReLU", "leaky"])
def test_nan_stays(gpu, way, values, epilogue):
    if way is nullcontext and "fakegpu" in sys.modules and epilogue != "leaky":
        pytest.skip("the emulator's ReLU makes 0 of NaN; cuDNN is told to keep it")
    x, w, b = values("plain")
    x[1, 0, 0, 0] = np.nan
    with way():
        _, y = run(gpu, "plain", x, w, b, EPILOGUES[epilogue])
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1, :, 0, 0]).all()


def test_shapes_that_change(gpu, way, dtype, values, exact):
    """A plan is for its shape, also that with ReLU."""
    x, w, b = values("batch 7")
    with way():
        op, _ = run(gpu, "batch 7", x, w, b, EPILOGUES["ReLU"])
        for images in (2, 7):
            y = gpu.asarray(np.full((images, *arrays("batch 7")[3].shape[1:]), np.nan))
            op.plan((images, *x.shape[1:]), y.shape)
            op.forward(on(gpu, x[:images]), on(gpu.full, w), on(gpu.full, b), y)
            check(gpu.to_host(y).astype(np.float64), exact("batch 7", x, w, b, EPILOGUES["ReLU"])[:images], dtype)


def test_no_images(gpu, way):
    op = gpu.ops.Conv(gpu, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    op.epilogue = (None, None, 0.0)
    with way():
        op.plan((0, 3, 7, 6), (0, 4, 7, 6))
    op.forward(gpu.zeros((0, 3, 7, 6)), gpu.full.zeros((4, 3, 3, 3)), gpu.full.zeros((4,)), gpu.zeros((0, 4, 7, 6)))


NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: [2, 3, 6, 6] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "y" top: "y" }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
"""


@pytest.mark.parametrize("kind", ["float32 by cuDNN"])
def test_a_net_gets_cudnns_plan_of_all_in_one(gpu, way, launched, monkeypatch):
    """For the shapes that it was built with, and for others."""
    from caffepy.gpu import _cudnn_conv

    monkeypatch.setattr(_cudnn_conv, "_BIAS_PASS", 0.0)
    net = Net(parse_net(NET), caffe_pb2.TEST, gpu)
    for images in (2, 4, 2):
        net.blobs["x"].reshape(images, 3, 6, 6)
        for _ in range(2):
            launched.clear()
            net.forward()
            assert launched == ["channel_affine", "conv_scale"]
