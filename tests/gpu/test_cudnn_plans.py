"""cuDNN has a plan, in exact float32, for every pass of every convolution of models/, and for odd ones.

On the GPU at hand, or on the one that an emulator poses as: plans are cuDNN's own in either case. Nothing is computed.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu import cudnn_plans
from tests.gpu.cudnn_plans import Asked, convolutions, every_question, plan, way
from tests.ops.test_conv import SETTINGS, arrays
from tests.test_models import NETS

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


@pytest.mark.parametrize("what", [*PASSES, "biased", "rectified"])
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


def test_what_the_table_asks():
    """Each pass in each precision and layout; gradients of what is trained."""
    asked = every_question()
    assert len(set(asked)) == len(asked) > 5000
    assert len({each[:3] for each in asked}) == 2 * (5 + 5 + 6)
    batches = {what: {each.shapes.x[0] for each in asked if each.what == what} for what in ("rectified", "data")}
    assert batches == {"rectified": {1, 10, 25, 32, 50, 60, 64, 100, 256}, "data": {32, 64, 256}}


def test_channels_last_is_a_matter_of_strides():
    values = np.zeros((2, 5, 7, 3), np.uint8).transpose(0, 3, 1, 2)
    assert values.shape == (2, 3, 5, 7)
    assert tuple(cudnn_plans._channels_last(values.shape)) == values.strides


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("precision", ["fp32", "TF32", "fp16"])
def test_a_plan_and_a_refusal(candidates, precision, layout):
    window = of_setting("window larger than the image")
    assert plan(Asked(precision, layout, "rectified", of_setting("plain"))) == ""
    assert plan(Asked(precision, layout, "forward", window)) != ""


@pytest.mark.parametrize(
    ("refused", "precision", "runs"),
    [
        (set(), "fp32", "cuDNN, forward in one"),
        ({"biased"}, "fp32", "cuDNN, forward in one"),
        ({"rectified"}, "fp32", "cuDNN, forward in two"),
        ({"data"}, "fp32", "cuBLAS and kernels of caffepy's own"),
        ({"filter"}, "TF32", "cuBLAS and kernels of caffepy's own"),
        ({"filter"}, "fp16", "cuDNN, forward in one, gradient of filters rounded to float16"),
        ({"filter", "rounded filter"}, "fp16", "cuBLAS and kernels of caffepy's own"),
    ],
)
def test_the_way_that_is_left(refused, precision, runs):
    assert way(refused, precision) == runs


@pytest.mark.parametrize(
    ("refused", "code", "said"),
    [
        ([], 0, "1 lines of refused_plans.tsv are not needed any more"),
        ([0], 0, ""),
        ([0, 1], 1, "not refused before: fp32 NCHW forward all"),
        ([1], 1, "not refused before: fp32 NCHW forward x "),
    ],
)
def test_what_was_planned_must_stay_planned(gpu, candidates, monkeypatch, tmp_path, capsys, refused, code, said):
    asked = [Asked("fp32", "NCHW", "forward", of_setting(name)) for name in ("plain", "odd sizes")]
    monkeypatch.setattr(cudnn_plans, "FILE", tmp_path / "refused_plans.tsv")
    monkeypatch.setattr(cudnn_plans, "every_question", lambda: asked)
    monkeypatch.setattr(cudnn_plans, "ProcessPoolExecutor", _InThisProcess)
    cudnn_plans.FILE.write_text(cudnn_plans.HEAD + "sm_1\tfp32\tNCHW\tforward\tall\n")

    def run(numbers, *options):
        monkeypatch.setattr(cudnn_plans, "plan", lambda each: "no" * (asked.index(each) in numbers))
        return cudnn_plans.main(list(options))

    assert run([0], "--write") == 0
    capsys.readouterr()
    assert run(refused) == code
    told = capsys.readouterr().out
    assert f"{2 - len(refused)} planned, {len(refused)} refused" in told
    assert said in told
    assert ("not refused before" in told) == bool(code)
    # Of other devices nothing was written over.
    assert "sm_1\tfp32\tNCHW\tforward\tall\n" in cudnn_plans.FILE.read_text()


class _InThisProcess:
    def __init__(self, *_):
        self.map = lambda function, values, chunksize: map(function, values)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
