"""caffepy fold-bn: files, what it shows, and that nothing is written that differs."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.net import Net, fold_bn
from caffepy.proto import caffe_pb2

NET = """name: "N"
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 9 } data_param { source: "gone" batch_size: 2 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "late" type: "Scale" bottom: "conv" top: "late" }
layer { name: "ip" type: "InnerProduct" bottom: "late" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "bias" type: "Bias" bottom: "conv" top: "b" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.prototxt").write_text(NET)
    (tmp_path / "input.prototxt").write_text(
        NET.replace('type: "Data"', 'type: "Input" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } '
        "shape { dim: 2 } }").replace('source: "gone"', "")
    )  # fmt: skip
    with Net("input.prototxt", caffe_pb2.TEST, seed=5) as net:
        for name, index, value in (("bn", 0, 0.3), ("bn", 1, 2.5), ("bn", 2, 1), ("scale", 1, 0.5), ("late", 0, 3)):
            net.layer_dict[name].blobs[index].data[...] = value
        net.save("n.caffemodel")
    return tmp_path


@pytest.mark.parametrize("kind", ["caffemodel", "h5"])
def test_files_and_table(run, trained, kind):
    result = run("fold_bn", "n.prototxt", "n.caffemodel", "o.prototxt", f"o.{kind}")
    assert result.code == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert "bn BatchNorm folded into conv" in lines
    assert "late Scale folded into ip" in lines
    assert "bias Bias kept: it follows ReLU 'relu' (in place), not Convolution, InnerProduct, Deconvolution" in lines
    assert "3 layers folded, 1 kept; 724 parameters became 707" in lines
    assert "largest difference on random inputs: " in result.out
    assert result.lines[-1] == f"Wrote o.prototxt and o.{kind}"
    # The data layer is there again, and a net of the files computes what the first did.
    text = (trained / "o.prototxt").read_text()
    assert 'source: "gone"' in text
    (trained / "p.prototxt").write_text(
        text.replace('type: "Data"', 'type: "Input" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } '
        "shape { dim: 2 } }")
    )  # fmt: skip
    with Net("input.prototxt", weights="n.caffemodel") as net, Net("p.prototxt", weights=f"o.{kind}") as other:
        for one in (net, other):
            one.blobs["data"].data[...] = np.random.default_rng(1).normal(0, 9, (2, 3, 9, 9))
            one.forward()
        np.testing.assert_allclose(other.blobs["ip"].data, net.blobs["ip"].data, rtol=1e-4, atol=1e-4)
        assert "bn" not in other.layer_dict


def test_nothing_is_written_that_differs(run, trained, monkeypatch):
    monkeypatch.setattr(fold_bn, "fold_after", lambda layer, blobs, after: [blobs[0] * 1.01])
    result = run("fold-bn", "n.prototxt", "n.caffemodel", "o.prototxt", "o.caffemodel")
    assert result.code == 1
    assert "more than --tolerance 0.001, so nothing is written" in result.err
    assert not list(trained.glob("o.*"))


def test_errors(run, trained):
    assert run("fold-bn", "n.prototxt", "n.caffemodel", "o.prototxt").code == 2
    result = run("fold-bn", "n.prototxt", "no.caffemodel", "o.prototxt", "o.caffemodel")
    assert result.code == 1
    result = run("fold-bn", "n.prototxt", "n.caffemodel", "o.prototxt", "no/o.caffemodel")
    assert result.code == 1
    assert "not written" in result.err
    assert not (trained / "o.prototxt").exists()
