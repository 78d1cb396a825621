"""A run that the memory cannot hold is refused before it begins."""

from __future__ import annotations

import re

import pytest

from caffepy.devices import get_backend
from caffepy.errors import SolverError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.solver.memory import check_memory

NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "x" top: "t" input_param { shape { dim: 10 dim: 100 } shape { dim: 10 dim: 50 } } }
layer { name: "small" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 7 bias_term: false } }
layer { name: "large" type: "InnerProduct" bottom: "h" top: "y" inner_product_param { num_output: 50 bias_term: false } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""  # noqa: E501
# Data of x, t, h, y and loss; diffs of h, y and loss, whose layers run backward; 100 * 7 + 7 * 50 weights, and their
# data, diff and one history.
VALUES = 10 * (100 + 50 + 7 + 50) + 1 + 10 * (7 + 50)
WEIGHTS = 3 * (700 + 350)


@pytest.fixture
def net(monkeypatch):
    return Net(parse_net(NET), caffe_pb2.TRAIN)


def test_a_run_that_fits_to_the_byte_passes(net, monkeypatch):
    monkeypatch.setattr(get_backend(), "available_memory", lambda: 4 * (VALUES + WEIGHTS), raising=False)
    check_memory(net, [], 1)


def test_a_run_one_byte_too_large_is_refused_with_its_largest_layer(net, monkeypatch):
    monkeypatch.setattr(get_backend(), "available_memory", lambda: 4 * (VALUES + WEIGHTS) - 1, raising=False)
    most = 4 * (3 * 700 + 2 * 10 * 7)
    text = (
        f"Training net 'tiny' needs {4 * (VALUES + WEIGHTS):,} bytes more than it has, and "
        f"{4 * (VALUES + WEIGHTS) - 1:,} are available: out of memory. Most of them are for layer 'small' "
        f"(InnerProduct), {most:,}."
    )
    with pytest.raises(SolverError, match=re.escape(text)):
        check_memory(net, [], 1)


def test_a_batch_that_fits_is_proposed(net, monkeypatch):
    per_item, fixed = 4 * VALUES // 10, 4 * WEIGHTS
    monkeypatch.setattr(get_backend(), "available_memory", lambda: fixed + 4 * per_item + 8, raising=False)
    text = r"A batch_size of about 4 in place of 10 would fit, and learns the same with iter_size 3 times as large\."
    with pytest.raises(SolverError, match=text):
        check_memory(net, [], 1)
    monkeypatch.setattr(get_backend(), "available_memory", lambda: fixed, raising=False)
    with pytest.raises(SolverError, match="iter_size keeps the gradient of a large batch with a smaller batch_size"):
        check_memory(net, [], 1)


def test_the_history_and_test_nets_count(net, monkeypatch):
    monkeypatch.setattr(get_backend(), "available_memory", lambda: 4 * (VALUES + WEIGHTS), raising=False)
    with pytest.raises(SolverError, match="out of memory"):
        check_memory(net, [], 2)
    with pytest.raises(SolverError, match="out of memory"):
        check_memory(net, [Net(parse_net(NET), caffe_pb2.TEST)], 1)


def test_shared_memory_counts_once(monkeypatch):
    net = Net(parse_net(NET), caffe_pb2.TRAIN, share_memory=True)
    # Data of h and y, and the diff of y; that of h lies where y was, which backward has read by then.
    assert net.memory.size == 128 + 512 + 512
    kept = 10 * (100 + 50) + 1
    needed = 4 * (kept + net.memory.size + WEIGHTS)
    monkeypatch.setattr(get_backend(), "available_memory", lambda: needed, raising=False)
    check_memory(net, [], 1)
    monkeypatch.setattr(get_backend(), "available_memory", lambda: needed - 1, raising=False)
    with pytest.raises(SolverError, match="out of memory"):
        check_memory(net, [], 1)
