"""DummyData."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.filler import fill
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.random import Stream
from caffepy.testing import LayerUnderTest, case

SHAPE = "shape { dim: 2 dim: 3 }"
GAUSSIAN = 'data_filler { type: "gaussian" std: 2 }'
CONSTANT = 'data_filler { type: "constant" value: 3 }'

CASES = [case(f'type: "DummyData" dummy_data_param {{ {SHAPE} {GAUSSIAN} }}', [], label="gaussian")]


def net(backend, fields, tops=1, seed=5):
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    text = f'layer {{ name: "d" type: "DummyData" {names} dummy_data_param {{ {fields} }} }}'
    return Net(parse_net(text), caffe_pb2.TEST, get_backend(backend), seed=seed)


def data(made):
    return [np.array(blob.backend.to_host(blob.data)) for blob in made.blobs.values()]


@pytest.mark.parametrize(
    ("fields", "tops", "shapes"),
    [
        (SHAPE, 1, [(2, 3)]),
        (SHAPE, 2, [(2, 3), (2, 3)]),
        (SHAPE + "shape { dim: 4 }", 2, [(2, 3), (4,)]),
        ("num: 2 channels: 3 height: 4 width: 5", 1, [(2, 3, 4, 5)]),
        ("num: 2 channels: 3 height: 4 width: 5", 2, [(2, 3, 4, 5)] * 2),
        ("num: 2 num: 6 channels: 3 height: 4 width: 5 width: 1", 2, [(2, 3, 4, 5), (6, 3, 4, 1)]),
    ],
)
def test_shapes(backend, fields, tops, shapes):
    assert [blob.shape for blob in net(backend, fields, tops).blobs.values()] == shapes


def test_without_a_filler_tops_are_zero(backend):
    made = net(backend, SHAPE)
    made.forward()
    assert (data(made)[0] == 0).all()


def test_one_filler_for_all_or_one_for_each(backend):
    made = net(backend, SHAPE + CONSTANT, 2)
    assert all((values == 3).all() for values in data(made))
    made = net(backend, SHAPE + CONSTANT + GAUSSIAN, 2)
    made.forward()
    constant, gaussian = data(made)
    assert (constant == 3).all()
    assert len(set(gaussian.ravel())) == 6


def test_a_constant_is_filled_in_once(backend):
    made = net(backend, SHAPE + CONSTANT)
    assert (data(made)[0] == 3).all()
    made.blobs["t0"].data[...] = 8
    made.forward()
    assert (data(made)[0] == 8).all()


def test_draws_are_those_of_the_pass(backend):
    made = net(backend, SHAPE + GAUSSIAN, 2)
    filler = caffe_pb2.FillerParameter(type="gaussian", std=2)
    for step in range(3):
        made.forward()
        for i, values in enumerate(data(made)):
            assert (values == fill(filler, (2, 3), Stream(5, "d", "data", i), step)).all()
    made.counter.value = 1
    made.forward()
    assert (data(made)[0] == fill(filler, (2, 3), Stream(5, "d", "data", 0), 1)).all()


@pytest.mark.parametrize(
    ("fields", "tops", "match"),
    [
        (
            SHAPE + CONSTANT * 2,
            3,
            "Number of data fillers must be 0, 1 or equal to the number of tops: 3; you specified 2",
        ),
        ("", 1, "Must specify 'shape' once, or once per top blob .1.; specified 0"),
        (SHAPE * 2, 3, "Must specify 'shape' once, or once per top blob .3.; specified 2"),
        (SHAPE + "num: 1", 1, "Both shape and legacy fields were specified"),
        ("num: 1 channels: 2 height: 3", 1, "Must specify 'width' once, or once per top blob .1.; specified 0"),
        (
            SHAPE + 'data_filler { type: "gauss" }',
            1,
            "layer 'd' .DummyData.: data_filler: Unknown filler name: 'gauss'",
        ),
    ],
)
def test_refusals(backend, fields, tops, match):
    with pytest.raises(LayerError, match=match):
        net(backend, fields, tops)


def test_backward_does_nothing(backend):
    made = LayerUnderTest(CASES[0], get_backend(backend))
    made.forward()
    before = [top.data.copy() for top in made.top]
    made.set_diffs([np.full(top.shape, 7) for top in made.top])
    made.layer.backward(made.top, [], [])
    for top, data in zip(made.top, before, strict=True):
        assert (top.data == data).all()
        assert (top.diff == 7).all()
