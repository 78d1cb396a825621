"""Every recorded net of one or a few layers, replayed: outputs, state, and diffs of bottoms and learnable blobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing import Tolerance, tolerance
from caffepy.testing.compare import assert_close
from tests.a_gpu import BACKENDS

FOLDER = Path(__file__).parents[2] / ".." / "shared" / "oracle" / "layers"

#: Recorded: what is set before forward, compared after it, set before backward, compared after it.
PREFIXES = {"in", "param", "out", "state", "topdiff", "indiff", "paramdiff"}


def _near() -> Tolerance:
    return tolerance("sum", np.float32)


def load(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], str, int]:
    """The arrays by prefix and name, the prototxt, and the phase."""
    groups: dict[str, dict[str, np.ndarray]] = {prefix: {} for prefix in PREFIXES}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            prefix, _, name = key.partition("/")
            if name:
                groups[prefix][name] = file[key]
        phase = caffe_pb2.TRAIN if str(file["phase"]) == "TRAIN" else caffe_pb2.TEST
        return groups, str(file["prototxt"]), phase


CASES = sorted(FOLDER.glob("*.npz"))


def test_the_recorded_cases_are_there(oracle):
    assert len(CASES) >= 80


def _blob(net: Net, name: str):
    layer, _, index = name.rpartition("/")
    return net.params[layer][int(index)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("backend", "threads"), [("cpu", 2), *((name, 1) for name in BACKENDS)])
def test_caffe_computed_the_same(path, backend, threads):
    groups, text, phase = load(path)
    device = get_backend(backend, "float32", threads)
    net = Net(parse_net(text, path.name), phase, device)
    for name, values in groups["in"].items():
        assert net.blobs[name].shape == values.shape
        net.blobs[name].data[...] = device.asarray(values)
    for name, values in groups["param"].items():
        assert _blob(net, name).shape == values.shape, f"shape of blob {name}"
        _blob(net, name).data[...] = device.asarray(values)
    assert {f"{n}/{i}" for n, blobs in net.params.items() for i in range(len(blobs))} == set(groups["param"])
    net.forward()
    # Caffe counts Input tops that no layer reads as outputs, in place or not.
    assert set(groups["out"]) == set(net.outputs)
    for name, values in groups["out"].items():
        assert_close(device.to_host(net.blobs[name].data), values, _near(), f"output {name}")
    for name, values in groups["state"].items():
        assert_close(device.to_host(_blob(net, name).data), values, _near(), f"blob {name} after forward")
    if groups["indiff"] or groups["paramdiff"]:
        for name, values in groups["topdiff"].items():
            net.blobs[name].diff[...] = device.asarray(values)
        net.clear_param_diffs()
        net.backward()
    for name, values in groups["indiff"].items():
        assert_close(device.to_host(net.blobs[name].diff), values, _near(), f"diff of bottom {name}")
    for name, values in groups["paramdiff"].items():
        assert_close(device.to_host(_blob(net, name).diff), values, _near(), f"diff of blob {name}")
