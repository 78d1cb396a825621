"""--on-mismatch, --reshape-weights and --allow-python-layers, where commands have them."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy

HEAD = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n'
FC = HEAD + (
    'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: %d\n'
    'weight_filler { type: "constant" value: 2 } } }'
)
CONV = HEAD + (
    'layer { name: "fc" type: "Convolution" bottom: "x" top: "y"\n'
    "convolution_param { num_output: 6 kernel_h: 4 kernel_w: 5 } }"
)
PYTHON = HEAD + 'layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "%s" layer: "Same" } }'


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder, made current, with nets and the weights of a fully connected one of six outputs."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("six", FC % 6), ("eight", FC % 8), ("conv", CONV)):
        (tmp_path / f"{name}.prototxt").write_text(text)
    caffepy.Net("six.prototxt", caffepy.TEST).save("six.caffemodel")
    return tmp_path


def test_test(run, files):
    flags = ["-weights=six.caffemodel", "-iterations=1"]
    refused = run("test", "-model=conv.prototxt", *flags)
    assert refused.code == 1
    assert "Both have as many values: --reshape-weights" in refused.err
    reshaped = run("test", "-model=conv.prototxt", "--reshape-weights", *flags)
    assert reshaped.code == 0
    assert "1 layers loaded; 1 of them reshaped: fc (blob 0: 6 60 (360) in the file, 6 3 4 5 (360)" in reshaped.err
    refused = run("test", "-model=eight.prototxt", *flags)
    assert refused.code == 1
    assert "--on-mismatch skip" in refused.err
    skipped = run("test", "-model=eight.prototxt", "--on-mismatch=skip", *flags)
    assert skipped.code == 0
    assert "layer 'fc' is skipped and keeps its values" in skipped.err
    assert run("test", "-model=eight.prototxt", "--on-mismatch=guess", *flags).code == 2


def test_train(run, project):
    text = (project / "net.prototxt").read_text()
    extra = """layer { name: "ip" type: "InnerProduct" bottom: "scale" top: "ip"
      inner_product_param { num_output: %d } }
    layer { name: "loss" type: "SoftmaxWithLoss" """
    for name, outputs in (("net", 12), ("other", 10)):
        changed = text.replace(
            'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scale"', extra % outputs + 'bottom: "ip"'
        )
        (project / f"{name}.prototxt").write_text(changed)
    net = caffepy.Net("net.prototxt", caffepy.TRAIN)
    net.params["scale"][0].data[...] = 3
    net.save("w.caffemodel")
    net.close()
    solver = (project / "solver.prototxt").read_text().replace("net.prototxt", "other.prototxt")
    # A step of nothing: what is written is what was copied.
    solver = solver.replace("max_iter: 40", "max_iter: 1").replace("base_lr: 0.5", "base_lr: 0")
    (project / "solver.prototxt").write_text(solver)
    flags = ["train", "-solver=solver.prototxt", "-weights=w.caffemodel"]
    refused = run(*flags)
    assert refused.code == 1
    assert "Cannot copy param 0 weights from layer 'ip'; shape mismatch" in refused.err
    done = run(*flags, "--on-mismatch=skip")
    assert done.code == 0, done.err
    assert "layer 'ip' is skipped" in done.err
    trained = caffepy.Net("other.prototxt", caffepy.TRAIN, weights="out/tiny_iter_1.caffemodel")
    assert np.array_equal(trained.params["scale"][0].data, net.params["scale"][0].data)
    trained.close()


@pytest.mark.parametrize("command", [("summary",), ("time", "--iterations=1", "--phase=test")])
def test_python_layers_need_leave(run, files, monkeypatch, command):
    monkeypatch.syspath_prepend(str(files))
    module = f"same_{command[0]}"
    (files / f"{module}.py").write_text(
        """import caffepy


class Same(caffepy.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
"""
    )
    (files / "python.prototxt").write_text(PYTHON % module)
    refused = run(*command, "--model=python.prototxt")
    assert refused.code == 1
    assert "--allow-python-layers" in refused.err
    assert run(*command, "--model=python.prototxt", "--allow-python-layers").code == 0


def test_model_and_weights_swapped(run, files):
    flags = ["-model=six.caffemodel", "-weights=six.prototxt", "-iterations=1"]
    assert "the file is binary: a .caffemodel holds weights, not the text of a net" in run("test", *flags).err
    caffepy.Net("six.prototxt", caffepy.TEST).save("six.h5")
    flags[0] = "-model=six.h5"
    assert "expected the text of a net (prototxt), but the file is an HDF5 file" in run("test", *flags).err


def test_the_log_tells_of_each_layer(run, files):
    done = run("test", "-model=eight.prototxt", "-weights=six.caffemodel", "-iterations=1", "-on_mismatch=skip")
    assert "fc  skipped   blob 0: 6 60 (360) in the file, 8 60 (480) in the net" in done.lines
