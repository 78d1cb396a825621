"""Python: layers as pycaffe's users have written them, on every device, and what their mistakes become."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import caffepy
from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import ignored_note
from caffepy.proto.read import parse_net
from tests.other_backend import Device, OtherBackend

PYLOSS = '''
import caffe
import numpy as np
from caffe.proto import caffe_pb2


class EuclideanLoss(caffe.Layer):
    """As the examples that come with pycaffe have it."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if not propagate_down[i]:
                continue
            sign = 1 if i == 0 else -1
            bottom[i].diff[...] = sign * self.diff / bottom[i].num


class Scaled(caffe.Layer):
    """A learnable factor, which pycaffe's way of making blobs gives, and a settings text."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)
        assert self.param_str_ == self.param_str
        assert self.phase in (caffe.TRAIN, caffe.TEST) and self.type == "Python"
        assert caffe_pb2.LayerParameter().name == ""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.x = bottom[0].data.copy()
        assert isinstance(bottom[0].data, np.ndarray) and type(bottom[0].data) is np.ndarray
        top[0].data[...] = self.xp.multiply(bottom[0].data, self.blobs[0].data[0])

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff.copy()
        if self.param_propagate_down[0]:
            self.blobs[0].diff[...] += np.sum(dy * self.x)
        if propagate_down[0]:
            bottom[0].diff[...] = dy * self.blobs[0].data[0]


class Growing(caffe.Layer):
    """A data layer whose top changes shape, and that has no backward."""

    def setup(self, bottom, top):
        self.number = 0

    def reshape(self, bottom, top):
        self.number += 1
        top[0].reshape(self.number, 2)

    def forward(self, bottom, top):
        top[0].data[...] = self.number


class Added(caffe.Layer):
    def setup(self, bottom, top):
        self.add_blob((2, 3), caffe_pb2.FillerParameter(type="constant", value=4))

    def reshape(self, bottom, top):
        top[0].reshape(2, 3)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data

    def close(self):
        print("closed", self.name)


class NoForward(caffe.Layer):
    def setup(self, bottom, top):
        pass


class Broken(caffe.Layer):
    def setup(self, bottom, top):
        if self.param_str == "setup":
            raise KeyError("no such setting")
        if self.param_str == "own":
            raise self.error("of my own")

    def reshape(self, bottom, top):
        top[0].reshape(*([-1] if self.param_str == "shape" else [1]))

    def forward(self, bottom, top):
        self.helper()

    def helper(self):
        np.zeros(2).reshape(3)

    def backward(self, top, propagate_down, bottom):
        1 / 0


class Picky(caffe.Layer):
    def __init__(self, one):
        pass

    reshape = forward = setup = backward = None


class Layer:
    pass


class Stranger(Layer):
    pass


number = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A folder with pyloss.py in it, as the current folder; its name is new for each test."""
    path, modules = list(sys.path), dict(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in path if p])
    name = f"pyloss_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PYLOSS)
    yield name
    for added in set(sys.modules) - set(modules):
        if added.startswith(("pyloss", "caffe.")) or added == "caffe":
            del sys.modules[added]


@pytest.fixture(params=["numpy", "other"])
def device(request, backend):
    """Each backend, and one whose arrays are not NumPy's."""
    return get_backend(backend) if request.param == "numpy" else OtherBackend()


def layer(module, name, more="", bottoms=(), top="y", param_str=""):
    blobs = " ".join(f'bottom: "{b}"' for b in bottoms) + f' top: "{top}"'
    return f"""layer {{ name: "p" type: "Python" {blobs} {more}
        python_param {{ module: "{module}" layer: "{name}" param_str: "{param_str}" }} }}"""


def inputs(*names, shape=(2, 3)):
    dims = " ".join(f"dim: {d}" for d in shape)
    return "".join(f'layer {{ type: "Input" top: "{n}" input_param {{ shape {{ {dims} }} }} }}\n' for n in names)


def net(text, device=None, allow=True, phase=caffe_pb2.TRAIN):
    return Net(parse_net(text, "n.prototxt"), phase, device or get_backend("cpu"), allow_python_layers=allow)


def test_it_must_be_allowed(module):
    said = rf"n.prototxt:1: layer 'p' \(Python\): runs '{module}.Growing', code .* --allow-python-layers .*allow_python"
    with pytest.raises(LayerError, match=said):
        net(layer(module, "Growing"), allow=False)
    assert module not in sys.modules


def test_pycaffe_s_loss(module, device):
    made = net(
        inputs("a", "b") + layer(module, "EuclideanLoss", "loss_weight: 3", "ab", "loss") + "force_backward: true",
        device,
    )
    a, b = np.random.default_rng(1).normal(size=(2, 2, 3)).astype("f4")
    made.blobs["a"].data[...] = device.asarray(a)
    made.blobs["b"].data[...] = device.asarray(b)
    made.forward()
    np.testing.assert_allclose(made.loss(), 3 * ((a - b) ** 2).sum() / 4, rtol=1e-6)
    made.backward()
    np.testing.assert_allclose(device.to_host(made.blobs["a"].diff), (a - b) / 2, rtol=1e-6)
    np.testing.assert_allclose(device.to_host(made.blobs["b"].diff), (b - a) / 2, rtol=1e-6)


def test_a_learnable_blob(module, device):
    text = inputs("x") + layer(module, "Scaled", "loss_weight: 1 param { lr_mult: 2 }", "x", param_str="2.5")
    made = net(text + "force_backward: true", device)
    assert [(p.owner, p.lr_mult, p.blob.shape) for p in made.learnable_params] == [("p", 2, (1,))]
    made.flatten_params()
    x = np.arange(6, dtype="f4").reshape(2, 3)
    made.blobs["x"].data[...] = device.asarray(x)
    for turn in (1, 2):
        made.forward()
        assert (device.to_host(made.blobs["y"].data) == 2.5 * x).all()
        made.backward()
        assert made.params["p"][0].diff[0] == turn * x.sum()
        assert (made.blobs["x"].diff == 2.5).all()
    made.params["p"][0].data[...] = 3
    made.forward()
    assert (device.to_host(made.blobs["y"].data) == 3 * x).all()
    assert isinstance(made.params["p"][0].data, Device) == isinstance(device, OtherBackend)


def test_in_place(module, device):
    made = net(inputs("x") + layer(module, "Scaled", "", "x", "x", "2"), device)
    made.blobs["x"].data[...] = 3
    made.forward()
    assert (made.blobs["x"].data == 6).all()


def test_weights_are_kept_in_files(module, tmp_path):
    text = inputs("x") + layer(module, "Scaled", "", "x", param_str="2")
    made = net(text)
    made.params["p"][0].data[...] = 7
    made.save(tmp_path / "w.caffemodel")
    made = net(text)
    made.copy_from(tmp_path / "w.caffemodel")
    assert made.params["p"][0].data == 7


def test_a_top_that_changes_shape(module, device):
    made = net(layer(module, "Growing"), device)
    for number in (2, 3, 4):
        made.forward()
        assert made.blobs["y"].shape == (number, 2)
        assert (made.blobs["y"].data == number).all()


def test_backward_may_be_missing(module):
    made = net(layer(module, "Growing", "loss_weight: 1") + "force_backward: true")
    made.forward()
    made.backward()


def test_caffepy_s_own_way_of_making_blobs(module, device, capsys):
    with net(layer(module, "Added"), device) as made:
        made.forward()
        assert (made.blobs["y"].data == 4).all()
        assert made.params["p"][0].shape == (2, 3)
        assert made.layers[0].can_propagate(0)
    assert capsys.readouterr().out == "closed p\n"


def test_a_module_on_sys_path_comes_first(module, tmp_path, monkeypatch):
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / f"{module}.py").write_text(PYLOSS.replace("self.number = 0", "self.number = 10"))
    sys.path.append(str(tmp_path / "installed"))
    made = net(layer(module, "Growing"))
    made.forward()
    assert (made.blobs["y"].data == 12).all()
    assert str(tmp_path) not in sys.path


def test_a_module_of_the_current_folder_finds_its_neighbours(module, tmp_path):
    (tmp_path / f"{module}_2.py").write_text(f"from {module} import Growing\n")
    made = net(layer(f"{module}_2", "Growing"))
    made.forward()
    assert str(tmp_path) in sys.path


def test_the_current_folder_hides_nothing(module, tmp_path):
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / f"{module}_2.py").write_text(f"from {module} import Growing\n")
    (tmp_path / f"{module}_2.py").write_text("Growing = None\n")
    (tmp_path / f"{module}_3.py").write_text(f"from {module}_2 import Growing\n")
    sys.path.append(str(tmp_path / "installed"))
    net(layer(f"{module}_3", "Growing"))


def test_share_in_parallel_is_ignored_and_that_is_said(module):
    text = layer(module, "Growing").replace("param_str", "share_in_parallel: true param_str")
    assert "PythonParameter.share_in_parallel" in ignored_note(*parse_net(text, "n"))
    net(text)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "Growin",
            r"class 'pyloss_.*.Growin' does not exist. Did you mean 'Growing'\? Layers of .*py: EuclideanLoss, Scaled",
        ),
        ("number", r"class '.*.number' is no layer: derive it from caffe.Layer\. Layers of"),
        (
            "Stranger",
            r"class '.*' is no layer: derive it from caffe.Layer of caffepy; its Layer is that of 'pyloss_.*': write",
        ),
        ("NoForward", r"class '.*.NoForward' has no method forward and no reshape: a layer needs it"),
        ("Picky", r"'.*.Picky', __init__: TypeError: .*positional argument"),
    ],
)
def test_classes_that_are_none(module, name, match):
    with pytest.raises(LayerError, match=rf"n.prototxt:1: layer 'p' \(Python\): {match}"):
        net(layer(module, name))


@pytest.mark.parametrize(
    ("content", "cause", "match"),
    [
        (None, ModuleNotFoundError, "'nothing_there.X', import: ModuleNotFoundError: No module named 'nothing_there'"),
        ("x = 1\ny = nowhere", NameError, r"import: NameError: name 'nowhere' is not defined \(.*nothing_there.py:2\)"),
        ("class X(:", SyntaxError, "import: SyntaxError: .*nothing_there.py, line 1"),
        ("import nothing_else", ModuleNotFoundError, "No module named 'nothing_else'"),
    ],
)
def test_modules_that_cannot_be_imported(module, tmp_path, content, cause, match):
    if content is not None:
        (tmp_path / "nothing_there.py").write_text(content)
    before = list(sys.path)
    with pytest.raises(LayerError, match=rf"layer 'p' \(Python\): .*{match}") as raised:
        net(layer("nothing_there", "X"))
    assert type(raised.value.__cause__) is cause
    assert sys.path == before


def test_no_module_is_named(module):
    with pytest.raises(LayerError, match=r"'.X', import: ValueError: Empty module name"):
        net(layer("", "X"))


@pytest.mark.parametrize(
    ("setting", "when", "cause", "match"),
    [
        ("setup", "build", KeyError, r"'.*.Broken', setup: KeyError: 'no such setting' \(.*py:\d+\)"),
        (
            "shape",
            "build",
            caffepy.CaffepyError,
            r"reshape: NetError: A blob's dimensions are not negative .*\(.*py:\d+\)",
        ),
        ("", "forward", ValueError, r"forward: ValueError: cannot reshape array of size 2 .*\(.*py:\d+\)"),
        ("", "backward", ZeroDivisionError, r"backward: ZeroDivisionError: division by zero \(.*py:\d+\)"),
    ],
)
def test_what_the_class_raises(module, device, setting, when, cause, match):
    text = layer(module, "Broken", "loss_weight: 1", param_str=setting) + "force_backward: true"
    made = net(text, device) if when != "build" else None
    with pytest.raises(LayerError, match=rf"n.prototxt:1: layer 'p' \(Python\): .*{match}") as raised:
        net(text, device) if made is None else getattr(made, when)()
    assert isinstance(raised.value.__cause__, cause)
    line = int(str(raised.value).rpartition(":")[2].rstrip(").")) - 1
    assert PYLOSS.splitlines()[line].strip().startswith(("raise KeyError", "top[0].reshape", "np.zeros(2)", "1 / 0"))


def test_an_error_of_the_layer_s_own_is_passed_on(module):
    with pytest.raises(LayerError, match=r"^n.prototxt:1: layer 'p' \(Python\): of my own$"):
        net(layer(module, "Broken", param_str="own"))


def test_another_caffe_stays(module, tmp_path):
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text("class Layer: pass\n")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        sys.path.append({str(caffepy.__path__[0])!r} + "/..")
        from caffepy.net import Net
        from caffepy.proto.read import parse_net
        text = 'layer {{ name: "p" type: "Python" top: "y" python_param {{ module: "mine" layer: "X" }} }}'
        try:
            Net(parse_net(text), allow_python_layers=True)
        except Exception as error:
            print(error)
    """
    (tmp_path / "mine.py").write_text("import caffe\nclass X(caffe.Layer): pass\n")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert "its Layer is that of 'caffe': write 'import caffepy as caffe'" in run.stdout, run.stderr


def test_memory_of_blobs_is_counted(module, monkeypatch):
    text = inputs("x") + layer(module, "Scaled", "", "x", param_str="2")
    monkeypatch.setattr("caffepy.cpu.backend.CpuBackend.available_memory", lambda self: 26)
    with pytest.raises(LayerError, match=r"layer 'p' \(Python\): learnable blob 0, 1 \(1\), needs 4 bytes"):
        net(text)


def test_a_mirror_writes_back_before_its_shape_changes():
    from caffepy.blob import Blob
    from caffepy.layers._host_blob import HostBlob

    blob = Blob(OtherBackend(), (2, 3))
    host = HostBlob(blob)
    host.data[...] = 1
    host.diff[...] = 2
    host.reshape(3, 2)
    assert (blob.data == 1).all()
    assert (blob.diff == 2).all()
    assert host.data.shape == (3, 2) == host.shape
    assert (host.num, host.count) == (3, 6)
    host.reshape(3, 2)
    host.data[0] = 5
    host.write_back()
    assert blob.data[0].tolist() == [5, 5]
