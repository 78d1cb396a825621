"""Nets that people published, built: the shapes, inputs and outputs that BVLC Caffe gives them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from caffepy import TEST
from caffepy.devices import get_backend
from caffepy.layer import layer_types
from caffepy.net import Net
from caffepy.proto.read import read_net

WILD = Path(__file__).resolve().parents[3] / "shared" / "wild"

pytestmark = pytest.mark.skipif(not WILD.exists(), reason=f"the sample of public prototxts is not here: {WILD}")


def _split() -> tuple[list[Path], Counter[str]]:
    """Nets whose layer types are all registered; for the others the number of nets by missing types."""
    ready, missing = [], Counter()
    known = set(layer_types())
    for path in sorted((WILD / "nets").glob("*.prototxt")) if WILD.exists() else []:
        types = {layer.type for layer in read_net(path)[0].layer} - known
        if types:
            missing[" + ".join(sorted(types))] += 1
        else:
            ready.append(path)
    return ready, missing


READY, MISSING = _split()


def test_all_nets_are_here():
    assert len(READY) + sum(MISSING.values()) == 80
    assert len(READY) >= 60


def test_layers_still_to_come():
    if MISSING:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(MISSING.items()))
        pytest.skip(f"{sum(MISSING.values())} public nets with layer types not registered yet: {names}")


@pytest.fixture(scope="module")
def recorded():
    return json.loads((WILD / "shapes.json").read_text())


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
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
