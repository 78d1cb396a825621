"""Weights of other shapes, and of several files: what is copied, reshaped, skipped, and said of it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from caffepy.errors import WeightsError
from caffepy.net import CopyRules, Net
from caffepy.proto import caffe_pb2
from tests.net.from_text import net_of

FC = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 6
  weight_filler { type: "gaussian" std: 1 } bias_filler { type: "uniform" } } }
layer { name: "out" type: "InnerProduct" bottom: "fc" top: "out" inner_product_param { num_output: %d
  weight_filler { type: "gaussian" std: 1 } bias_filler { type: "uniform" } } }"""

CONV = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } }
layer { name: "fc" type: "Convolution" bottom: "x" top: "fc"
  convolution_param { num_output: 6 kernel_h: 4 kernel_w: 5 } }
layer { name: "out" type: "Convolution" bottom: "fc" top: "out" convolution_param { num_output: 4 kernel_size: 1 } }"""


@pytest.fixture(params=["w.caffemodel", "w.h5"])
def saved(request, tmp_path):
    """A net of fully connected layers, and its weights in a file."""
    net = net_of(FC % 4)
    net.save(tmp_path / request.param)
    return net, tmp_path / request.param


def values(net):
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}


def same(one, other):
    return all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(one, other, strict=True))


def test_a_fully_connected_layer_becomes_a_convolution_and_back(saved, tmp_path):
    net, path = saved
    conv = net_of(CONV)
    with pytest.raises(WeightsError, match=r"shape mismatch.*Both have as many values: --reshape-weights"):
        conv.copy_from(path)
    report = conv.copy_from(path, reshape=True)
    assert report.loaded == ["fc", "out"]
    assert report.reshaped == {
        "fc": "blob 0: 6 60 (360) in the file, 6 3 4 5 (360) in the net",
        "out": "blob 0: 4 6 (24) in the file, 4 6 1 1 (24) in the net",
    }
    assert "2 of them reshaped: fc (blob 0: " in str(report)
    assert report.rows()[0] == ("fc", "reshaped", report.reshaped["fc"])
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    conv.blobs["x"].data[...] = x
    net.blobs["x"].data[...] = x[:, :, 2:6, 3:8]
    dense = conv.forward()["out"]
    assert np.allclose(dense[:, :, 2, 3], net.forward()["out"], rtol=1e-4, atol=1e-4)
    conv.save(tmp_path / "conv.caffemodel")
    back = net_of(FC % 4)
    back.copy_from(tmp_path / "conv.caffemodel", reshape=True)
    assert all(same(back_values, values(net)[name]) for name, back_values in values(back).items())


def test_what_has_other_numbers_is_never_reshaped(saved):
    _, path = saved
    other = net_of(FC % 8)
    for rules in ({}, {"reshape": True}):
        with pytest.raises(
            WeightsError,
            match=r"Cannot copy param 0 weights from layer 'out'; shape mismatch\.  Source param shape is 4 6 \(24\); "
            r"target param shape is 8 6 \(48\).*rename the layer, or skip it with --on-mismatch skip\.$",
        ):
            other.copy_from(path, **rules)


def test_a_layer_that_does_not_fit_is_skipped_whole(saved, caplog):
    net, path = saved
    other = net_of(FC % 8)
    before = values(other)
    with caplog.at_level(logging.WARNING, "caffepy"):
        report = other.copy_from(path, on_mismatch="skip")
    assert report.loaded == ["fc"]
    assert report.skipped == {"out": "blob 0: 4 6 (24) in the file, 8 6 (48) in the net"}
    assert report.missing == []
    assert same(values(other)["fc"], values(net)["fc"])
    assert same(values(other)["out"], before["out"])
    assert "layer 'out' is skipped and keeps its values: blob 0: 4 6 (24) in the file" in caplog.text
    assert "1 do not fit, kept as they were: out (blob 0" in str(report)


def test_a_bias_that_does_not_fit_keeps_the_weights_out_too(tmp_path):
    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 } } }
    layer { name: "s" type: "Scale" bottom: "x" top: "y" scale_param { axis: 1 num_axes: 1 bias_term: %s } }"""
    net_of(text % "true").save(tmp_path / "w.caffemodel")
    other = net_of(text % "false")
    other.params["s"][0].data[...] = 7
    with pytest.raises(WeightsError, match=r"Incompatible number of blobs for layer s: 2 in the file, 1 in the net\."):
        other.copy_from(tmp_path / "w.caffemodel")
    report = other.copy_from(tmp_path / "w.caffemodel", on_mismatch="skip")
    assert report.skipped == {"s": "Incompatible number of blobs for layer s: 2 in the file, 1 in the net"}
    assert (other.params["s"][0].data == 7).all()


def test_several_files_add_up_and_later_ones_win(tmp_path):
    first, second = net_of(FC % 4), net_of(FC % 4)
    second.params["fc"][0].data[...] += 1
    first.save(tmp_path / "a.caffemodel")
    only = net_of(FC.replace('name: "out"', 'name: "other"') % 4)
    only.share_with(second)
    only.save(tmp_path / "b.h5")
    net = net_of(FC % 4)
    report = net.copy_from(tmp_path / "a.caffemodel", tmp_path / "b.h5")
    assert report.loaded == ["fc", "out"]
    assert report.ignored == ["other"]
    assert report.missing == []
    assert report.source == f"{tmp_path / 'a.caffemodel'}, {tmp_path / 'b.h5'}"
    assert same(values(net)["fc"], values(second)["fc"])
    assert same(values(net)["out"], values(first)["out"])


def test_a_later_file_makes_good_what_an_earlier_one_did_not_fit(tmp_path):
    net_of(FC % 8).save(tmp_path / "eight.caffemodel")
    net_of(FC % 4).save(tmp_path / "four.caffemodel")
    paths = tmp_path / "eight.caffemodel", tmp_path / "four.caffemodel"
    report = net_of(FC % 4).copy_from(*paths, on_mismatch="skip")
    assert report.skipped == {}
    assert report.loaded == ["fc", "out"]
    report = net_of(FC % 8).copy_from(*paths, on_mismatch="skip")
    assert report.skipped == {}
    assert report.loaded == ["fc", "out"]


def test_weights_of_caffes_first_form_are_reshaped(tmp_path):
    stored = caffe_pb2.NetParameter()
    layer = stored.layer.add(name="fc", type="InnerProduct")
    layer.blobs.add(num=1, channels=1, height=6, width=60).data.extend(range(360))
    layer.blobs.add(num=1, channels=1, height=1, width=6).data.extend(range(6))
    (tmp_path / "old.caffemodel").write_bytes(stored.SerializeToString())
    net = net_of(CONV)
    report = net.copy_from(tmp_path / "old.caffemodel", reshape=True)
    assert report.loaded == ["fc"]
    assert net.params["fc"][0].data.ravel().tolist() == list(range(360))


def test_rules_that_are_none():
    with pytest.raises(WeightsError, match="on_mismatch 'ignore' is unknown; expected error or skip"):
        CopyRules("ignore")
    with pytest.raises(WeightsError, match="no file of weights is named"):
        Net(caffe_pb2.NetParameter()).copy_from()


def test_the_log_has_a_line_for_each_layer_once(tmp_path, caplog):
    net_of(FC % 4).save(tmp_path / "a.caffemodel")
    net_of(CONV.replace('name: "out"', 'name: "gone"')).save(tmp_path / "b.h5")
    other = net_of(
        (FC % 8)
        + """
    layer { name: "new" type: "InnerProduct" bottom: "out" top: "new" inner_product_param { num_output: 2 } }"""
    )
    with caplog.at_level(logging.INFO, "caffepy.net"):
        other.copy_from(tmp_path / "a.caffemodel", tmp_path / "b.h5", on_mismatch="skip", reshape=True)
    assert [record.getMessage() for record in caplog.records if record.name == "caffepy.net"] == [
        "fc    reshaped  blob 0: 6 3 4 5 (360) in the file, 6 60 (360) in the net",
        "out   skipped   blob 0: 4 6 (24) in the file, 8 6 (48) in the net",
        "new   missing   not in the file: keeps its values",
        "gone  ignored   not in this net",
    ]


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "is an HTML page: the download gave a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "is a Git LFS pointer.*git lfs pull",
        ),
        (b"", "the file is empty"),
        (FC.encode(), r"is text, such as a prototxt\. Are model and weights swapped\?"),
    ],
    ids=["html", "lfs", "empty", "prototxt"],
)
def test_what_is_no_file_of_weights_is_named(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}: .*{match}"):
        net_of(FC % 4).copy_from(tmp_path / name)


def test_a_file_that_is_cut_off_is_named(saved):
    _, path = saved
    whole = path.read_bytes()
    for length in (12, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=rf"{path.name}: .*(cut off or damaged|damaged or cut off)"):
            net_of(FC % 4).copy_from(path)


def test_the_name_of_a_file_does_not_say_what_it_is(tmp_path):
    net = net_of(FC % 4)
    net.save(tmp_path / "a.caffemodel")
    net.save(tmp_path / "b.h5")
    (tmp_path / "a.caffemodel").rename(tmp_path / "binary.h5")
    (tmp_path / "b.h5").rename(tmp_path / "hdf5.caffemodel")
    for name in ("binary.h5", "hdf5.caffemodel"):
        other = net_of(FC % 4, seed=3)
        assert other.copy_from(tmp_path / name).loaded == ["fc", "out"]
        assert same(values(other)["fc"], values(net)["fc"])


def test_as_many_outputs_are_not_as_many_weights(saved):
    _, path = saved
    wider = net_of((FC % 4).replace("dim: 4 dim: 5", "dim: 4 dim: 6"))
    with pytest.raises(WeightsError, match=r"Source param shape is 6 60 \(360\); target param shape is 6 72 \(432\)"):
        wider.copy_from(path, reshape=True)
    assert list(wider.copy_from(path, reshape=True, on_mismatch="skip").skipped) == ["fc"]
