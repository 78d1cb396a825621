"""A net that the memory cannot hold is refused at the layer where it ends, before anything large is allocated."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from caffepy.backend import Budget
from caffepy.devices import get_backend
from caffepy.errors import BackendError, LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net

MIB = 1 << 20


@pytest.fixture
def available(monkeypatch):
    """Set the bytes that the backend says there are."""

    def to(size: int) -> None:
        monkeypatch.setattr(get_backend(), "available_memory", lambda: size, raising=False)

    return to


def _net(*layers: str) -> str:
    return 'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1048576 } } }' + "".join(
        f"layer {{ {layer} }}" for layer in layers
    )


def _power(bottom: str, top: str) -> str:
    return f'name: "{top}" type: "Power" bottom: "{bottom}" top: "{top}"'


def _refused(text: str, message: str) -> None:
    net = parse_net(text, "net.prototxt")
    tracemalloc.start()
    try:
        with pytest.raises(LayerError, match=re.escape(message)):
            Net(net)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_net_that_fits_to_the_byte_is_built(available):
    available(12 * MIB)
    Net(parse_net(_net(_power("x", "y"), _power("y", "z"))))


def test_tops_add_up_and_the_layer_is_named(available):
    available(12 * MIB - 1)
    text = (
        "net.prototxt:1: layer 'z' (Power): top 'z', 1 1048576 (1048576), needs 4,194,304 bytes, 8,388,608 are needed "
        "by what comes before it, and 12,582,911 are available: out of memory."
    )
    _refused(_net(_power("x", "y"), _power("y", "z")), text)


def test_shared_memory_counts_once(available):
    available(8 * MIB)
    flatten = 'name: "f" type: "Flatten" bottom: "x" top: "f"'
    Net(parse_net(_net(flatten, 'name: "r" type: "ReLU" bottom: "f" top: "f"', _power("f", "y"))))


def test_a_learnable_blob_is_refused_before_it_is_filled(available):
    available(68 * MIB)
    layer = (
        'name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 8 bias_term: false }'
    )
    Net(parse_net(_net(layer)))
    available(68 * MIB - 1)
    _refused(_net(layer), "layer 'fc' (InnerProduct): learnable blob 0, 8 1048576 (8388608), needs 67,108,864 bytes")


def test_dummy_data_is_refused_before_it_is_filled(available):
    available(8 * MIB - 1)
    layer = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1048576 } } }'
    _refused(layer, "layer 'd' (DummyData): top 0, 1048576 (1048576), needs 8,388,608 bytes")


def test_what_is_only_looked_at_is_not_counted(available):
    available(0)
    net = Net(parse_net(_net(_power("x", "y"))), check_memory=False)
    assert net.blobs["y"].count == 1 << 20


def test_memory_that_an_op_asks_for_names_its_layer(monkeypatch):
    def refuse(shape, dtype=None):
        raise BackendError("an array of 9 needs 36 bytes, and 0 are available: out of memory.")

    monkeypatch.setattr(get_backend(), "empty", refuse, raising=False)
    text = _net('name: "s" type: "Reshape" bottom: "x" top: "x4" reshape_param { shape { dim: [1, 64, 128, 128] } }')
    with pytest.raises(BackendError, match=r"layer 'most' \(ArgMax\): an array of 9 needs"):
        Net(parse_net(text + 'layer { name: "most" type: "ArgMax" bottom: "x4" top: "y" }'))


def test_a_budget_says_what_is_taken():
    budget = Budget(get_backend().available_memory())
    budget.available = 10
    budget.take(4, "a")
    with pytest.raises(BackendError, match="b needs 7 bytes, 4 are needed by what comes before it, and 10 are avail"):
        budget.take(1, "b", 6)
    budget.take(6, "c")
    assert budget.taken == 10
