"""cuDNN has a plan, in exact float32, for every pass of every convolution of models/, and for odd ones.

On the GPU at hand, or on the one that an emulator poses as: plans are cuDNN's own in either case. Nothing is computed.
"""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.proto.read import read_net
from tests.ops.test_conv import SETTINGS, arrays
from tests.test_models import MODELS, NETS, TEST, TRAIN, first, layers_of, walk

PASSES = "forward", "data", "filter"


@pytest.fixture
def dtype():
    return "float32"


@pytest.fixture
def candidates(gpu):
    """What, shapes and dtype -> the graph and the numbers of its plans."""
    from caffepy.gpu import _cudnn

    cudnn = _cudnn.library()
    if cudnn is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    return lambda what, shapes, dtype: _cudnn._candidates(_cudnn._handle(cudnn), what, shapes, np.dtype(dtype))


def convolutions(path):
    """{shapes: name of a layer} of the convolutions of a net, in both phases."""
    from caffepy.gpu._cudnn import Shapes

    net, _ = read_net(MODELS / path)
    found = {}
    for phase in (TRAIN, TEST):
        blobs, params = walk(path, phase)
        for layer in layers_of(net, phase):
            if layer.type == "Convolution":
                conv = layer.convolution_param
                stride, pad = (first(values, default) for values, default in ((conv.stride, 1), (conv.pad, 0)))
                x, w, y = blobs[layer.bottom[0]], params[layer.name][0], blobs[layer.top[0]]
                found[Shapes(x, w, y, (stride,) * 2, (pad,) * 2, (1, 1))] = layer.name
    return found


@pytest.mark.parametrize("what", PASSES)
@pytest.mark.parametrize("path", NETS)
def test_models(candidates, monkeypatch, path, what):
    from caffepy.gpu import _cudnn

    # One plan will do; what the others are is asked where they are timed.
    monkeypatch.setattr(_cudnn, "_MOST_CANDIDATES", 1)
    found = convolutions(path)
    assert found
    for shapes, name in found.items():
        _, plans = candidates(what, shapes, "float32")
        assert len(plans) == 1, name


def of_setting(name):
    """Shapes of one of tests/ops/test_conv.py's settings."""
    from caffepy.gpu._cudnn import Shapes

    x, w, _, y = arrays(name)
    ones = (1,) * max(4 - x.ndim, 0)
    _, _, _, stride, pad, dilation, _ = SETTINGS[name]
    x, w, y = ((*a.shape[:2], *ones, *a.shape[2:]) for a in (x, w, y))
    return Shapes(x, w, y, ones + stride, (0,) * len(ones) + pad, ones + dilation)


REFUSED = "window larger than the image", "dilated window larger than the image", "4-D"


@pytest.mark.parametrize("what", PASSES)
@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in REFUSED])
def test_odd_ones(candidates, name, what):
    assert candidates(what, of_setting(name), "float32")[1]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(gpu, candidates, name):
    from caffepy.gpu._cudnn import Refused, plan_for

    with pytest.raises(Refused, match=r"failed with message|spatial"):
        plan_for("forward", of_setting(name), np.dtype("float32"))


def test_float64_is_refused(gpu, candidates):
    from caffepy.gpu._cudnn import Refused, plan_for

    with pytest.raises(Refused, match="float64 is not for it"):
        plan_for("forward", of_setting("plain"), np.dtype("float64"))


@pytest.mark.parametrize("what", PASSES)
def test_float32_takes_no_tensor_cores(candidates, monkeypatch, what):
    """They would round factors to TF32: of AlexNet's conv2, no plan is one that cuDNN marks as theirs."""
    from caffepy.gpu import _cudnn

    (shapes,) = (shapes for shapes, name in convolutions("alexnet/deploy.prototxt").items() if name == "conv2")

    def names():
        graph, plans = candidates(what, shapes, "float32")
        return {graph.get_plan_name_at_index(index) for index in plans}

    exact = names()
    monkeypatch.setattr(_cudnn, "_MOST_CANDIDATES", 100)
    cudnn = _cudnn.library()
    plain = cudnn.pygraph.deselect_numeric_notes
    monkeypatch.setattr(cudnn.pygraph, "deselect_numeric_notes", lambda graph, _: None)
    every = names()
    notes = cudnn.numerical_note
    monkeypatch.setattr(cudnn.pygraph, "deselect_numeric_notes", lambda graph, _: plain(graph, [notes.TENSOR_CORE]))
    without = names()
    assert exact <= without
    if int(_capability()) >= 80:
        assert without < every


def _capability():
    import cupy

    return cupy.cuda.Device().compute_capability


def test_plans_are_made_once(gpu, candidates):
    from caffepy.gpu._cudnn import plan_for

    shapes = of_setting("plain")
    assert plan_for("forward", shapes, np.dtype("float32")) is plan_for("forward", shapes, np.dtype("float32"))
    assert plan_for("data", shapes, np.dtype("float32")) is not plan_for("forward", shapes, np.dtype("float32"))


def test_as_many_plans_are_kept_as_may_be(gpu, candidates, monkeypatch):
    from caffepy.gpu import _cudnn

    monkeypatch.setattr(_cudnn, "_MOST_PLANS", 2)
    handle = _cudnn._handle(_cudnn.library())
    monkeypatch.setattr(handle, "plans", {})
    first_one = _cudnn.plan_for("forward", of_setting("plain"), np.dtype("float32"))
    for name in ("groups", "1x1"):
        _cudnn.plan_for("forward", of_setting(name), np.dtype("float32"))
    assert len(handle.plans) == 2
    assert first_one not in handle.plans.values()


@pytest.mark.parametrize(
    ("took", "best"),
    [
        ({3: 1.0, 5: 0.95, 8: 0.91}, 3),  # not clearly faster, none of them
        ({3: 1.0, 5: 0.8, 8: 0.75}, 5),
        ({3: 1.0, 5: 0.8, 8: 0.6}, 8),
        ({3: 90.0, 5: 0.8, 8: 0.6}, 3),  # there is no time for the others
        ({3: 2.0}, 3),
    ],
)
def test_the_fastest_plan(gpu, monkeypatch, took, best):
    from caffepy.gpu import _cudnn

    runs = []

    def milliseconds(run, index):
        runs.append(index)
        # The first run of each loads what it needs.
        return took[index] + (100 if runs.count(index) == 1 and took[index] > 50 else 0.1 * (runs.count(index) == 1))

    monkeypatch.setattr(_cudnn, "_milliseconds", milliseconds)
    assert _cudnn._fastest(None, list(took)) == (best, took[best])


def test_without_memory_to_try_plans_the_first_is_taken(gpu, candidates, monkeypatch):
    import cupy

    from caffepy.gpu import _cudnn

    def full(*_):
        raise cupy.cuda.memory.OutOfMemoryError(1, 2, 3)

    monkeypatch.setattr(_cudnn.cupy, "empty", full)
    handle, shapes = _cudnn._handle(_cudnn.library()), of_setting("plain")
    _, found = candidates("forward", shapes, "float32")
    assert _cudnn._choose(handle, "forward", shapes, np.dtype("float32")) == (found[0], float("inf"))
