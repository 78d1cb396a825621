"""Learnable blobs of one name are one blob: in memory, in gradients, in updates and in files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.proto import caffe_pb2
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "target"
  dummy_data_param { shape { dim: 5 dim: 4 } data_filler { type: "gaussian" std: 1 } } }
"""


def _ip(name: str, bottom: str, params: str = "", num_output: int = 4) -> str:
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {params}
        inner_product_param {{ num_output: {num_output} bias_term: false
          weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
    """


LOSS = 'layer { name: "loss" type: "SquareLoss" bottom: "two" bottom: "target" top: "loss" }'
W = 'param { name: "w" }'


def _twice(first: str = W, second: str = W):
    """data -> one -> two -> loss."""
    return net_of(DATA + _ip("one", "data", first) + _ip("two", "one", second) + LOSS)


def test_layers_that_name_a_blob_alike_share_data_and_diff():
    net = _twice()
    one, two = net.params["one"][0], net.params["two"][0]
    assert np.shares_memory(one.data, two.data)
    assert np.shares_memory(one.diff, two.diff)
    assert len(net.learnable_params) == 1
    assert (net.learnable_params[0].name, net.learnable_params[0].owner) == ("w", "one")
    assert net.learnable_params[0].sharers == [two]
    assert [entry.param_ids for entry in net.entries if entry.layer.blobs] == [[0], [0]]
    assert np.ptp(one.data) > 0, "the owner's filler counts"


def test_other_names_and_no_names_share_nothing():
    for first, second in (("", ""), (W, ""), (W, 'param { name: "v" }'), ("param { lr_mult: 2 }", W)):
        net = _twice(first, second)
        assert len(net.learnable_params) == 2
        assert not np.shares_memory(net.params["one"][0].data, net.params["two"][0].data)


def test_gradients_of_all_sharers_add_up():
    shared, apart = _twice(), _twice("", "")
    apart.params["two"][0].data[...] = apart.params["one"][0].data
    shared.params["one"][0].data[...] = apart.params["one"][0].data
    for net in (shared, apart):
        net.forward()
        net.clear_param_diffs()
        net.backward()
    assert shared.loss() == apart.loss()
    first, second = apart.params["one"][0].diff, apart.params["two"][0].diff
    assert first.any()
    assert second.any()
    np.testing.assert_allclose(shared.params["two"][0].diff, first + second, rtol=1e-5)


def test_clearing_the_diffs_clears_a_shared_one_once_and_for_all():
    net = _twice()
    net.params["two"][0].diff[...] = 7
    net.clear_param_diffs()
    assert not net.params["one"][0].diff.any()


def test_sharing_outlives_the_move_into_flat_memory():
    net = net_of(DATA + _ip("zero", "data") + _ip("one", "zero", W) + _ip("two", "one", W) + LOSS)
    before = [net.params[name][0].data.copy() for name in ("zero", "one", "two")]
    data, diff = net.flatten_params()
    assert data.shape == diff.shape == (32,)
    for name, values in zip(("zero", "one", "two"), before, strict=True):
        np.testing.assert_array_equal(net.params[name][0].data, values)
    net.forward()
    net.backward()
    expected = net.params["one"][0].diff.copy()
    assert expected.any()
    np.testing.assert_array_equal(diff[16:].reshape(4, 4), expected)
    data[16:] = 3
    diff[16:] = 5
    for name in ("one", "two"):
        assert (net.params[name][0].data == 3).all()
        assert (net.params[name][0].diff == 5).all()


def test_strict_sharing_needs_equal_shapes():
    text = DATA + _ip("one", "data", W) + _ip("two", "one", W, 2)
    match = (
        r"net.prototxt:6: layer 'two' \(InnerProduct\): Cannot share param 'w' owned by layer 'one' with layer 'two'; "
        r"shape mismatch\. Owner layer param shape is 4 4 \(16\); sharing layer expects shape 2 4 \(8\)"
    )
    with pytest.raises(LayerError, match=match):
        net_of(text)


WEIGHTS = (
    'layer {{ name: "{0}" type: "Weights" top: "{0}" param {{ name: "w" {2} }} input_param {{ shape {{ {1} }} }} }}'
)


def test_permissive_sharing_needs_equal_counts():
    text = WEIGHTS.format("one", "dim: 2 dim: 6", "") + WEIGHTS.format("two", "dim: 3 dim: 4", "share_mode: PERMISSIVE")
    net = net_of(text)
    assert (net.params["one"][0].shape, net.params["two"][0].shape) == ((2, 6), (3, 4))
    net.params["one"][0].data[...] = np.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(net.params["two"][0].data, np.arange(12).reshape(3, 4))
    net.flatten_params()
    net.params["two"][0].diff[2, 3] = 9
    assert net.params["one"][0].diff[1, 5] == 9
    match = r"Cannot share param 'w' owned by layer 'one' with layer 'two'; count mismatch.*2 6 \(12\).*3 5 \(15\)"
    with pytest.raises(LayerError, match=match):
        net_of(text.replace("dim: 4", "dim: 5"))
    # It is the sharer's mode that counts.
    text = WEIGHTS.format("one", "dim: 12", "share_mode: PERMISSIVE") + WEIGHTS.format("two", "dim: 3 dim: 4", "")
    with pytest.raises(LayerError, match=r"shape mismatch.*share_mode: PERMISSIVE shares blobs of equal count"):
        net_of(text)


@pytest.mark.parametrize("field", ["lr_mult", "decay_mult"])
def test_multipliers_of_a_shared_blob(field):
    def mults(first: str, second: str, third: str = ""):
        def spec(value: str) -> str:
            return f'param {{ name: "w" {field}: {value} }}' if value else W

        text = (
            DATA + _ip("one", "data", spec(first)) + _ip("two", "one", spec(second)) + _ip("three", "two", spec(third))
        )
        return [getattr(param, field) for param in net_of(text).learnable_params]

    assert mults("", "") == [1]
    assert mults("3", "") == [3]
    assert mults("", "3") == [3], "the owner leaves it open, so a sharer may say it"
    assert mults("3", "3", "3") == [3]
    assert mults("", "3", "3") == [3]
    for values in (("3", "2"), ("", "3", "2"), ("3", "", "2"), ("1", "2")):
        with pytest.raises(LayerError, match=f"Shared param 'w' has mismatched {field}: 2.0 here"):
            mults(*values)


def test_a_sharer_that_is_frozen_adds_nothing_to_the_gradient():
    """Its lr_mult must agree with the owner's where both say it, but a sharer alone may say 0: then both are frozen."""
    net = _twice(W, 'param { name: "w" lr_mult: 0 }')
    assert net.learnable_params[0].lr_mult == 0
    assert [entry.layer.param_propagate_down for entry in net.entries if entry.layer.blobs] == [[True], [False]]


def test_shared_blobs_are_stored_by_each_layer_in_a_caffemodel_and_by_the_owner_in_hdf5(tmp_path):
    net = _twice()
    net.save(tmp_path / "net.caffemodel", diff=True)
    net.save(tmp_path / "net.caffemodel.h5", diff=True)
    stored = caffe_pb2.NetParameter.FromString((tmp_path / "net.caffemodel").read_bytes())
    assert {layer.name: len(layer.blobs) for layer in stored.layer if layer.blobs} == {"one": 1, "two": 1}
    assert stored.layer[1].blobs[0].data == stored.layer[2].blobs[0].data
    with h5py.File(tmp_path / "net.caffemodel.h5") as file:
        assert list(file["data/one"]) == ["0"]
        assert list(file["data/two"]) == []
        assert list(file["diff/two"]) == ["0"], "Caffe writes diffs for each layer"
    for name in ("net.caffemodel", "net.caffemodel.h5"):
        other = _twice()
        other.params["one"][0].data[...] = 0
        report = other.copy_from(tmp_path / name)
        np.testing.assert_array_equal(other.params["two"][0].data, net.params["one"][0].data)
        assert report.loaded == ["one", "two"]
        assert np.shares_memory(other.params["one"][0].data, other.params["two"][0].data)


def test_what_was_stored_by_the_owner_alone_does_not_fill_a_net_that_does_not_share(tmp_path):
    from caffepy.errors import WeightsError

    _twice().save(tmp_path / "net.h5")
    with pytest.raises(WeightsError, match="Incompatible number of blobs for layer two: 0 in the file, 1 in the net"):
        _twice("", "").copy_from(tmp_path / "net.h5")
