"""Layers: how types are registered and found, and what the base class gives to every layer."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import caffepy
from caffepy.devices import get_backend
from caffepy.errors import DataError, LayerError, NetError
from caffepy.layer import Layer, LayerContext, _registry, get_layer_class, layer_types, register_layer
from caffepy.proto import caffe_pb2
from caffepy.random import Stream


def _class(name: str, module: str, *bases) -> type[Layer]:
    nothing = {method: lambda self, *arguments: None for method in ("setup", "reshape", "forward", "backward")}
    return type(name, bases or (Layer,), {"__module__": module, "__qualname__": name, **nothing})


@pytest.fixture
def registry():
    layer_types()  # a built-in layer registers itself once, when it is imported
    before = dict(_registry)
    yield _registry
    _registry.clear()
    _registry.update(before)


def test_a_registered_class_is_found_by_its_type(registry):
    made = register_layer("Mine")(_class("Whatever", "notebook"))
    assert made.__name__ == "Whatever"
    assert get_layer_class("Mine") is made
    assert "Mine" in layer_types()


def test_the_same_module_may_register_a_type_again(registry):
    register_layer("Mine")(_class("First", "notebook"))
    second = register_layer("Mine")(_class("Second", "notebook"))
    assert get_layer_class("Mine") is second


def test_another_module_may_not(registry):
    first = register_layer("Mine")(_class("First", "one.file"))
    with pytest.raises(NetError, match=r"Layer type Mine already registered by one\.file\.First\. Choose another name"):
        register_layer("Mine")(_class("Second", "other.file"))
    assert get_layer_class("Mine") is first
    with pytest.raises(NetError, match=r"already registered by caffepy\.layers\.relu\.ReLU"):
        register_layer("ReLU")(_class("ReLU", "notebook"))


def test_nor_may_it_take_the_name_of_a_built_in_layer_that_has_not_been_imported():
    code = """
import caffepy
try:
    @caffepy.register_layer("TanH")
    class TanH(caffepy.Layer): ...
except caffepy.errors.NetError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.startswith("Layer type TanH already registered by caffepy.layers.tanh.TanH"), run.stderr


def test_types_are_sorted_and_each_knows_its_class():
    types = layer_types()
    assert types == sorted(types)
    assert {"Accuracy", "Data", "InnerProduct", "ReLU", "SoftmaxWithLoss", "Split"} <= set(types)
    assert all(issubclass(get_layer_class(name), Layer) for name in types)


def test_built_in_layers_are_imported_at_the_first_question_only():
    code = """
import sys, caffepy, caffepy.layer
assert not any(name.startswith("caffepy.layers.") for name in sys.modules)
assert caffepy.layer.get_layer_class("TanH").__name__ == "TanH"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_layer_must_have_all_four_methods():
    class Half(Layer):
        def setup(self, bottom, top): ...
        def forward(self, bottom, top): ...

    with pytest.raises(TypeError, match="abstract"):
        Half(caffe_pb2.LayerParameter(), LayerContext(get_backend("cpu"), caffepy.TRAIN))


def _layer(text_blobs=(), **context) -> Layer:
    param = caffe_pb2.LayerParameter(name="one", type="Mine")
    for values in text_blobs:
        param.blobs.add(data=values)
    backend = context.pop("backend", None) or get_backend("cpu")
    return _class("Mine", "notebook")(param, LayerContext(backend, caffepy.TEST, **context), "net.prototxt:7")


def test_what_a_layer_knows_of_itself():
    layer = _layer(seed=3)
    assert (layer.name, layer.type, layer.phase, layer.where) == ("one", "Mine", caffepy.TEST, "net.prototxt:7")
    assert layer.xp is np
    assert layer.ops is layer.backend.ops
    assert layer.blobs == []
    param = caffe_pb2.LayerParameter(name="one", type="Mine", phase=caffepy.TRAIN)
    assert _class("Mine", "m")(param, LayerContext(get_backend("cpu"), caffepy.TEST)).phase == caffepy.TRAIN


def test_its_errors_name_it_and_its_line():
    error = _layer().error("no good.")
    assert isinstance(error, LayerError)
    assert str(error) == "net.prototxt:7: layer 'one' (Mine): no good."
    layer = _layer()
    layer.where = ""
    assert str(layer.error("no good.")) == "layer 'one' (Mine): no good."


def test_its_axis():
    layer = _layer()
    blob = caffepy.Blob(layer.backend, (2, 3))
    assert layer.axis(blob, -1) == 1
    match = r"net.prototxt:7: layer 'one' \(Mine\): softmax_param.axis: axis 2 out of range for 2-D Blob"
    with pytest.raises(LayerError, match=match):
        layer.axis(blob, 2, "softmax_param.axis")


def test_its_random_numbers_depend_on_seed_name_and_purpose():
    assert _layer(seed=3).stream("dropout").key == Stream(3, "one", "dropout").key
    keys = {_layer(seed=seed).stream(*names).key for seed in (0, 1) for names in ((), ("a",), ("b",), ("a", 1))}
    assert len(keys) == 8


def test_learnable_blobs_are_filled_each_from_its_own_stream():
    layer = _layer()
    filler = caffe_pb2.FillerParameter(type="gaussian", std=2)
    one, two = layer.add_blob((50, 20), filler), layer.add_blob((50, 20), filler)
    assert layer.blobs == [one, two]
    assert one.data.std() == pytest.approx(2, rel=0.1)
    assert not np.array_equal(one.data, two.data)
    assert np.array_equal(_layer().add_blob((50, 20), filler).data, one.data)
    assert not np.array_equal(_layer(seed=1).add_blob((50, 20), filler).data, one.data)


def test_a_filled_blob_is_the_fillers_memory_where_that_can_be(monkeypatch):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    monkeypatch.setattr("caffepy.layer.fill", lambda *_: values)
    for dtype in ("float32", "float64"):
        layer = _layer()
        layer.backend = get_backend("cpu", dtype)
        blob = layer.add_blob((2, 3), caffe_pb2.FillerParameter())
        assert np.shares_memory(blob.data, values) == (dtype == "float32")
        assert blob.data.dtype == dtype
        assert blob.data.tolist() == values.tolist()
        assert blob.unallocated == 0


def test_an_unknown_filler_names_the_layer():
    with pytest.raises(LayerError, match=r"net.prototxt:7: layer 'one' \(Mine\): .*gausian"):
        _layer().add_blob((2,), caffe_pb2.FillerParameter(type="gausian"))


def test_blobs_written_in_the_prototxt_take_the_place_of_the_filler():
    layer = _layer([[1, 2, 3, 4]])
    filler = caffe_pb2.FillerParameter(type="constant", value=9)
    assert layer.add_blob((2, 2), filler).data.tolist() == [[1, 2], [3, 4]]
    assert layer.add_blob((2,), filler).data.tolist() == [9, 9]
    match = r"blobs\[0\] in the prototxt has 4 values; its shape 2 3 \(6\) needs 6"
    with pytest.raises(LayerError, match=match):
        _layer([[1, 2, 3, 4]]).add_blob((2, 3), filler)


def test_unfilled_blobs_stay_zero_and_cost_nothing():
    layer = _layer([[1, 2]], fill_params=False)
    large = layer.add_blob((40000, 50000), caffe_pb2.FillerParameter(type="gausian"))
    assert large.count == 2 * 10**9
    assert not layer.add_blob((2,), caffe_pb2.FillerParameter(type="constant", value=1)).data.any()


def test_closing_a_layer_that_holds_nothing():
    assert _layer().close() is None


def test_labels_have_no_gradient():
    base, loss = _layer(), get_layer_class("SoftmaxWithLoss")
    assert [base.can_propagate(i) for i in range(3)] == [True] * 3
    layer = loss(caffe_pb2.LayerParameter(name="l"), LayerContext(get_backend("cpu"), caffepy.TRAIN))
    assert [layer.can_propagate(i) for i in range(2)] == [True, False]


def test_errors_of_what_knows_no_layer_get_its_name():
    layer = _layer()
    with pytest.raises(LayerError, match=r"^net\.prototxt:7: layer 'one' \(Mine\): what is wrong$"), layer.named():
        raise LayerError("what is wrong")
    with pytest.raises(DataError, match=r"^net\.prototxt:7: layer 'one' \(Mine\): no file$"), layer.named(DataError):
        raise DataError("no file")
    with pytest.raises(DataError, match=r"^another$"), layer.named():
        raise DataError("another")
