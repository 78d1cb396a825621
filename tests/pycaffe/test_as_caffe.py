"""``import caffe`` is caffepy: in scripts that are not edited, and the names of modules."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

import caffepy
from caffepy.aliases import HELPERS, alias_caffe
from caffepy.errors import CaffepyError
from caffepy.proto import caffe_pb2
from tests.pycaffe.nets import write

ROOT = Path(__file__).parents[2]


def run(folder, *arguments, code=None):
    """Python in ``folder`` with caffepy on its path; ``code`` becomes script.py. Gives stdout, stderr and status."""
    if code is not None:
        (folder / "script.py").write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("name", HELPERS)
def test_modules_of_pycaffe_have_their_names(name):
    module = importlib.import_module(f"caffepy.{name}")
    assert module is getattr(caffepy, name) is importlib.import_module(f"caffepy.pycaffe.{name}")
    assert module.__spec__.name == module.__name__ == f"caffepy.pycaffe.{name}"


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("caffe", "caffepy"),
        ("caffe.io", "caffepy.pycaffe.io"),
        ("caffe.proto", "caffepy.proto"),
        ("caffe.proto.caffe_pb2", "caffepy.proto.caffe_pb2"),
        ("caffe.layers", "caffepy.layers"),
        ("caffe.coord_map", "caffepy.pycaffe.coord_map"),
        ("caffe.pycaffe", "caffepy.pycaffe"),
        ("caffe._caffe", "caffepy"),
    ],
)
def test_caffe_is_caffepy(name, real):
    alias_caffe()
    module = importlib.import_module(name)
    assert module is importlib.import_module(real)
    assert module.__name__ == module.__spec__.name == real


def test_from_imports():
    alias_caffe()
    scope = {}
    exec(
        "from caffe.proto import caffe_pb2\n"
        "from caffe import layers as L, params as P, NetSpec\n"
        "import caffe.proto.caffe_pb2 as second\n"
        "from caffe._caffe import Net\n"
        "import caffe.draw, caffe.io\n"
        "import caffe.pycaffe\n",
        scope,
    )
    assert scope["caffe_pb2"] is scope["second"] is caffe_pb2
    assert scope["Net"] is caffepy.Net is scope["caffe"].pycaffe.Net
    assert scope["P"].Pooling.AVE == caffe_pb2.PoolingParameter.AVE


def test_what_is_not_there():
    alias_caffe()
    for name in ("caffe.nothing", "caffepy.nothing", "caffe.io.nothing"):
        with pytest.raises(ModuleNotFoundError, match="nothing"):
            importlib.import_module(name)
    for owner in ("caffepy", "caffepy.pycaffe", "caffepy.layers", "caffepy.proto"):
        with pytest.raises(AttributeError, match=f"module '{owner}' has no attribute 'nothing'"):
            importlib.import_module(owner).nothing  # noqa: B018


def test_without_being_asked_caffe_is_not_caffepy(tmp_path):
    _out, err, code = run(tmp_path, "-c", "import caffepy.io, caffe.io")
    assert code == 1
    assert "No module named 'caffe'" in err


def test_another_caffe_that_was_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", types.ModuleType("caffe"))
    with pytest.raises(
        CaffepyError, match=r"'caffe' has been imported already, from elsewhere: call caffepy.install_as"
    ):
        caffepy.install_as_caffe()


LAYERS = """
import caffe

class Ones(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(2, 3)
    def forward(self, bottom, top): top[0].data[...] = 1
    def backward(self, top, propagate_down, bottom): pass
"""
NET = 'layer { name: "p" type: "Python" top: "y" python_param { module: "my_layers" layer: "Ones" } }'


def test_a_script_runs_unchanged(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my_layers.py").write_text(LAYERS)
    write(tmp_path, NET)
    (tmp_path / "sub" / "script.py").write_text(
        "import sys, caffe\n"
        "if __name__ == '__main__':\n"
        "    net = caffe.Net('net.prototxt', caffe.TEST)\n"
        "    print(net.forward()['y'].sum(), sys.argv)\n"
        "    caffe.log('a line')\n"
    )
    out, err, code = run(tmp_path, "-m", "caffepy.as_caffe", "sub/script.py", "-x", "3")
    assert (out, code) == ("6.0 ['sub/script.py', '-x', '3']\n", 0), err
    assert err.startswith("I")
    assert err.endswith("script.py:5] a line\n")
    out, err, code = run(tmp_path, "-m", "caffepy.as_caffe", "-m", "sub.script", "y")
    assert (out, code) == ("", 1)
    assert "No module named 'my_layers'" in err
    (tmp_path / "my_layers.py").write_text(LAYERS)
    out, err, code = run(tmp_path, "-m", "caffepy.as_caffe", "-m", "sub.script", "y")
    assert out.startswith("6.0 [")
    assert out.endswith("sub/script.py', 'y']\n")


def test_errors_of_a_script_are_its_own(tmp_path):
    _out, err, code = run(tmp_path, "-m", "caffepy.as_caffe", "script.py", code="import caffe\n1 / 0\n")
    assert code == 1
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m caffepy.as_caffe script.py"),
        (["-x"], "usage:"),
        (["-m"], "usage:"),
        (["no.py"], "there is no"),
    ],
)
def test_how_it_is_called(tmp_path, arguments, said):
    _out, err, code = run(tmp_path, "-m", "caffepy.as_caffe", *arguments)
    assert err.startswith(said)
    assert code == 1


def test_one_import_is_changed(tmp_path):
    """Python layers run where the script has imported them, or says that they may."""
    (tmp_path / "my_layers.py").write_text(LAYERS.replace("import caffe\n", "import caffepy as caffe\n"))
    write(tmp_path, NET)
    code = """
        import caffepy as caffe
        try:
            caffe.Net('net.prototxt', caffe.TEST)
        except RuntimeError as error:
            print('import my_layers in the script' in str(error))
        print(caffe.Net('net.prototxt', caffe.TEST, allow_python_layers=True).forward()['y'].sum())
    """
    out, err, _ = run(tmp_path, "script.py", code=code)
    assert out == "True\n6.0\n", err
    out, err, _ = run(tmp_path, "script.py", code="import my_layers\n" + textwrap.dedent(code))
    assert out == "6.0\n", err
    install = "import caffepy\ncaffepy.install_as_caffe()\n"
    code = install + textwrap.dedent(code).replace("caffepy as caffe", "caffe")
    out, err, _ = run(tmp_path, "script.py", code=code)
    assert out == "6.0\n", err
