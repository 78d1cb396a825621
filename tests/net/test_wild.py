"""Nets that people published, built: the shapes, inputs and outputs that BVLC Caffe gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffepy import TEST
from caffepy.devices import get_backend
from caffepy.net import Net

WILD = Path(__file__).resolve().parents[3] / "shared" / "wild"

pytestmark = pytest.mark.skipif(not WILD.exists(), reason=f"the sample of public prototxts is not here: {WILD}")


NETS = sorted((WILD / "nets").glob("*.prototxt")) if WILD.exists() else []


def test_all_nets_are_here():
    assert len(NETS) == 80


@pytest.fixture(scope="module")
def recorded():
    return json.loads((WILD / "shapes.json").read_text())


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_caffe_builds_the_same(path, recorded):
    expected = recorded[path.name]
    # Zeros that nobody has touched take no memory: a net that is only built is small, whatever it is when it runs.
    with Net(path, TEST, get_backend("cpu", "float32", 1), fill_params=False) as net:
        blobs = {name: list(blob.shape) for name, blob in net.blobs.items()}
        params = {name: [list(blob.shape) for blob in layer] for name, layer in net.params.items()}
        assert blobs == expected["blobs"]
        assert params == expected["params"]
        assert net.inputs == expected["inputs"]
        assert net.outputs == expected["outputs"]
