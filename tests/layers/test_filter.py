"""Filter."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case


def chosen(bottoms, blobs):
    return [
        np.array([x[n] for n in range(len(x)) if bottoms[-1][n] != 0]).reshape(-1, *x.shape[1:]) for x in bottoms[:-1]
    ]


def some(random, shape):
    # At least one, and whatever the batch not all.
    return (np.arange(shape[0]) % 3 == 0).reshape(shape) * random.uniform(-2, -1, shape)


def setting(bottoms, **more):
    draw = {len(bottoms) - 1: some}
    text = 'type: "Filter"'
    return case(text, bottoms, tops=len(bottoms) - 1, reference=chosen, draw=draw, label=f"{bottoms}", **more)


CASES = [
    setting([(4, 3, 2), (4,)]),
    setting([(5,), (5, 1)]),
    setting([(5, 2, 3, 2), (5, 4), (5, 1, 1, 1)]),
    setting([(3, 2), (3,), (3, 1, 2), (3,)]),
]


def run(backend, selector, shapes=((4, 2),)):
    setting = case(
        'type: "Filter"', [*shapes, (len(selector),)], tops=len(shapes), draw={len(shapes): lambda *_: selector}
    )
    made = LayerUnderTest(setting, get_backend(backend))
    return made.forward(), made


def test_gradients_go_back_to_their_items(backend):
    tops, made = run(backend, [0, 0.5, 0, -1])
    assert (tops[0] == made.values[0][[1, 3]]).all()
    dx = made.backward([np.array([[1.0, 2], [3, 4]])])[0]
    assert dx.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]]


@pytest.mark.parametrize("items", [3, 0])
def test_nothing_selected(backend, items):
    tops, made = run(backend, [0] * items, ((items, 2), (items,)))
    assert [top.shape for top in tops] == [(0, 2), (0,)]
    for diff in made.backward([np.empty((0, 2)), np.empty(0)])[:2]:
        assert (diff == 0).all()


def test_the_number_selected_changes(backend):
    _, made = run(backend, [1, 0, 1, 1])
    for selector, count in (([0, 0, 0, 1], 1), ([0, 0, 0, 0], 0), ([1, 1, 1, 1], 4), ([1, 0, 0, 1], 2)):
        made.values[1][...] = selector
        (y,) = made.forward()
        assert (y == made.values[0][np.nonzero(selector)]).all()
        assert len(y) == count
        dx = made.backward([np.ones((count, 2))])[0]
        assert (dx == np.reshape(selector, (4, 1))).all()


def test_in_a_net(backend):
    text = """
        force_backward: true
        layer { name: "x" type: "Input" top: "x" top: "s" input_param { shape { dim: 4 dim: 2 } shape { dim: 4 } } }
        layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" }
        layer { name: "p" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
    """
    device = get_backend(backend)
    net = Net(parse_net(text), backend=device)
    # Until there is a selector, layers above are made for all items.
    assert net.blobs["z"].shape == (4, 2)
    net.blobs["x"].data[...] = device.asarray(np.arange(8).reshape(4, 2))
    net.blobs["s"].data[...] = device.asarray(np.array([0, 1, 1, 0]))
    net.forward()
    assert net.blobs["z"].data.tolist() == [[4, 6], [8, 10]]
    net.blobs["z"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[0, 0], [2, 2], [2, 2], [0, 0]]


@pytest.mark.parametrize(
    ("bottoms", "tops", "match"),
    [
        ([(4, 2), (4,)], 2, r"Check failed: top.size\(\) == bottom.size\(\) - 1\); got 2 tops for 2 bottoms"),
        ([(4, 2), (4, 3), (4,)], 1, r"top.size\(\) == bottom.size\(\) - 1\); got 1 tops for 3 bottoms"),
        ([(4, 2), (4, 2)], 1, r"Selector blob dimensions must be singletons \(1\), except the first; .*4 2 \(8\)"),
        (
            [(4, 2), (3,)],
            1,
            r"Each bottom should have the same 0th dimension as the selector blob; got bottom\[0\] 4 2",
        ),
        ([(4, 2), (3, 1), (4,)], 2, r"same 0th dimension as the selector blob; got bottom\[1\] 3 1"),
        ([(), ()], 1, "same 0th dimension as the selector blob"),
    ],
)
def test_refusals(backend, bottoms, tops, match):
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(case('type: "Filter"', bottoms, tops=tops), get_backend(backend)).forward()


def test_no_gradient_for_the_selector(backend):
    _, made = run(backend, [1, 0, 1, 0])
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="Filter Layer cannot backpropagate to filter index inputs"):
        made.backward([np.ones((2, 2))], [True, True])
