"""caffepy upgrade-net and upgrade-solver, under their own names and those of Caffe's tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffepy.proto.caffe_pb2 import NetParameter

OLD = 'layers { name: "r" type: RELU bottom: "x" top: "x" }\n'


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["upgrade-net", "upgrade_net", "upgrade-net-proto-text", "upgrade_net_proto_text"])
def test_text(run, name):
    Path("old.prototxt").write_text(OLD)
    result = run(name, "old.prototxt", "new.prototxt")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        "old.prototxt: upgraded 1 layers from the V1 format ('layers')",
        "Wrote upgraded NetParameter text proto to new.prototxt",
    ]
    expected = 'layer {\n  name: "r"\n  type: "ReLU"\n  bottom: "x"\n  top: "x"\n}\n'
    assert Path("new.prototxt").read_text() == expected
    result = run(name, "new.prototxt", "new.prototxt")
    assert result.code == 0
    assert result.lines[-1] == "File already in latest proto format: new.prototxt"
    assert Path("new.prototxt").read_text() == expected


@pytest.mark.parametrize("name", ["upgrade-net", "upgrade-net-proto-binary", "upgrade_net_proto_binary"])
def test_binary(run, name):
    Path("old.prototxt").write_text(OLD)
    net = NetParameter()
    net.layers.add(name="r", type=18).blobs.add(data=[1, 2]).shape.dim.append(2)
    Path("old.caffemodel").write_bytes(net.SerializeToString())
    result = run(name, "old.caffemodel", "new.caffemodel")
    assert (result.code, result.out) == (0, "")
    assert result.lines[-1] == "Wrote upgraded NetParameter binary proto to new.caffemodel"
    written = NetParameter.FromString(Path("new.caffemodel").read_bytes())
    assert [layer.type for layer in written.layer] == ["ReLU"]
    assert list(written.layer[0].blobs[0].data) == [1, 2]
    assert not written.layers


@pytest.mark.parametrize("name", ["upgrade-solver", "upgrade-solver-proto-text", "upgrade_solver_proto_text"])
def test_solver(run, name):
    Path("old.prototxt").write_text('net: "n" solver_type: ADAM')
    result = run(name, "old.prototxt", "new.prototxt")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        'old.prototxt:1: solver_type became type: "Adam"',
        "Wrote upgraded SolverParameter text proto to new.prototxt",
    ]
    assert Path("new.prototxt").read_text() == 'net: "n"\ntype: "Adam"\n'
    result = run(name, "new.prototxt", "newer.prototxt")
    assert result.lines[-1] == "File already in latest proto format: new.prototxt"


def test_errors(run):
    assert run("upgrade-net").code == 2
    assert run("upgrade-net", "one").code == 2
    result = run("upgrade-net", "none", "out")
    assert result.code == 1
    assert "error: Could not open file none (File not found)" in result.err
    Path("in").write_text(OLD)
    result = run("upgrade-net", "in", "no/out")
    assert result.code == 1
    assert result.err.endswith("no/out: not written: No such file or directory.\n")
    result = run("upgrade-solver", "in", "out")
    assert result.code == 1
    assert 'error: in:1:1: Message type "caffe.SolverParameter" has no field named "layers"' in result.err
    assert not Path("out").exists()
    assert "Did you mean 'upgrade-net'?" in run("upgrade-nets").err


def test_help_names_the_command(run):
    assert run("upgrade_net_proto_text", "-h").out.startswith("Usage: caffepy upgrade_net_proto_text [OPTIONS] IN OUT")
