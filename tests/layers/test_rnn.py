"""RNN: markers, static input, exposed states, what goes from pass to pass, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError, NetError
from caffepy.layer import get_layer_class
from caffepy.proto.ignored import ignored_note
from caffepy.proto.read import parse_net
from caffepy.testing import CHECKS, case
from tests.layers.sequences import fields, going_on, made, markers, refusals
from tests.reference.rnn import rnn


def setting(num_output, bottoms, more="", **settings):
    exposed = "expose_hidden: true" in more
    static = len(bottoms) > (3 if exposed else 2)

    def reference(bottoms, blobs):
        x, cont = bottoms[:2]
        h = bottoms[-1][0] if exposed else np.zeros((x.shape[1], num_output))
        every, h = rnn(x, cont, bottoms[2] if static else None, blobs, h)
        return [every, h[None]] if exposed else [every]

    return case(
        fields("RNN", num_output, more),
        bottoms,
        tops=2 if exposed else 1,
        tops_checked=[0],
        draw={1: settings.pop("cont", markers)},
        reference=reference,
        label=settings.pop("label", f"{num_output} {bottoms} {more}"),
        waived={"batch": "the number of steps cannot change"},
        **settings,
    )


def fractions(random, shape):
    cont = random.uniform(-1, 2, shape)
    cont[0] = 0
    return cont


STATE = (1, 3, 4)
EXPOSED = "expose_hidden: true"

CASES = [
    setting(4, [(5, 3, 2), (5, 3)]),
    setting(1, [(1, 1, 1), (1, 1)]),
    setting(3, [(4, 2, 3, 2), (4, 2)], "debug_info: true"),
    setting(4, [(5, 3, 2), (5, 3), (3, 6)]),
    setting(2, [(4, 3, 2), (4, 3), (3, 2, 2)]),
    setting(4, [(5, 3, 2), (5, 3), STATE], EXPOSED),
    setting(4, [(5, 3, 2), (5, 3), STATE], EXPOSED, cont=going_on, label="exposed, going on"),
    setting(4, [(2, 3, 2), (2, 3), (3, 5), STATE], EXPOSED, cont=going_on),
    setting(4, [(1, 3, 2), (1, 3), STATE], EXPOSED, cont=going_on),
    setting(4, [(5, 3, 2), (5, 3)], cont=fractions, label="fractions"),
]


def test_no_step_makes_an_array(backend):
    CHECKS["allocation"](setting(64, [(3, 512, 40), (3, 512), (512, 40)]), backend)


def test_blobs_come_in_caffe_s_order(backend):
    layer = made(backend, fields("RNN", 4), [(5, 3, 2, 3), (5, 3)]).layer
    assert [blob.shape for blob in layer.blobs] == [(4, 6), (4,), (4, 4), (4, 4), (4,)]
    layer = made(backend, fields("RNN", 4), [(5, 3, 2), (5, 3), (3, 5, 2)]).layer
    assert [blob.shape for blob in layer.blobs] == [(4, 2), (4,), (4, 10), (4, 4), (4, 4), (4,)]


def test_fillers():
    text = (
        'type: "RNN" recurrent_param { num_output: 2 weight_filler { type: "constant" value: 3 } '
        'bias_filler { type: "constant" value: 5 } }'
    )
    layer = made("cpu", text, [(2, 3, 2), (2, 3), (3, 2)]).layer
    assert [float(blob.data.min()) for blob in layer.blobs] == [3, 5, 3, 3, 3, 5]
    assert [float(blob.data.max()) for blob in layer.blobs] == [3, 5, 3, 3, 3, 5]


def test_a_pass_goes_on_from_the_one_before(backend):
    whole = made(backend, fields("RNN", 4), [(6, 2, 3), (6, 2)], dtype="float64")
    half = made(backend, fields("RNN", 4), [(3, 2, 3), (3, 2)], dtype="float64")
    half.blob_values = whole.blob_values
    cont = np.array([[0, 0], [1, 1], [1, 1], [1, 0], [1, 1], [1, 1]])
    x = whole.values[0]
    whole.values = [x, cont]
    expected = whole.forward()[0]
    got = []
    for part in (slice(0, 3), slice(3, 6)):
        half.values = [x[part], cont[part]]
        got.append(half.forward()[0])
    np.testing.assert_allclose(np.concatenate(got), expected, rtol=1e-12)


def test_another_number_of_streams(backend):
    under = made(backend, fields("RNN", 4), [(3, 2, 5), (3, 2)])
    under.forward()
    for streams in (5, 1, 2):
        under.resize([(3, streams, 5), (3, streams)])
        top = under.run().tops[0]
        expected = rnn(*under.values, None, under.blob_values, np.zeros((streams, 4)))[0]
        np.testing.assert_allclose(top, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_above_may_write_in_place(backend):
    """What backward needs is not the top, which a Dropout in place overwrites."""
    under = made(backend, fields("RNN", 4), [(5, 3, 2), (5, 3)])
    expected = under.run()
    under.forward()
    under.top[0].data[...] = 7
    under.clear_blob_diffs()
    bottom_diffs = under.backward(under.draw_top_diffs())
    np.testing.assert_array_equal(bottom_diffs[0], expected.bottom_diffs[0])
    for got, want in zip(under.blob_diffs(), expected.blob_diffs, strict=True):
        np.testing.assert_array_equal(got, want)


def test_exposed_states_have_no_gradient(backend):
    """As in Caffe: neither does the top's diff count, nor is there one for the bottom."""
    bottoms = [(3, 2, 5), (3, 2), (2, 3), (1, 2, 4)]
    under = made(backend, fields("RNN", 4, EXPOSED), bottoms, 2, going_on)
    under.forward()
    assert [under.layer.can_propagate(i) for i in range(4)] == [True, False, True, False]
    dy = under.draw_top_diffs()
    first = under.backward(dy, [True, False, True, True])
    assert not first[3].any()
    second = under.backward([dy[0], 9 * dy[1]], [True, False, True, False])
    np.testing.assert_array_equal(first[0], second[0])
    assert np.isnan(second[3]).all()


def test_no_gradient_to_markers(backend):
    under = made(backend, fields("RNN", 4), [(3, 2, 5), (3, 2)])
    under.forward()
    assert [under.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match=r"\(RNN\): Cannot backpropagate to sequence indicators"):
        under.backward(under.draw_top_diffs(), [True, True])


@pytest.mark.parametrize(("more", "bottoms", "tops", "message"), refusals("RNN", 1))
def test_refused(backend, more, bottoms, tops, message):
    with pytest.raises(LayerError, match=rf"'under_test' \(RNN\): .*{message}"):
        made(backend, fields("RNN", 4, more), bottoms, tops).forward()


def test_no_num_output(backend):
    with pytest.raises(LayerError, match="num_output must be positive; got 0"):
        made(backend, 'type: "RNN"', [(3, 2, 5), (3, 2)])


def test_bottoms_that_change(backend):
    under = made(backend, fields("RNN", 4), [(3, 2, 5), (3, 2)])
    under.resize([(4, 2, 5), (4, 2)])
    with pytest.raises(LayerError, match=r"input number of timesteps changed: 3 at setup, now 4 2 5 \(40\)"):
        under.forward()
    under.resize([(3, 2, 6), (3, 2)])
    with pytest.raises(
        LayerError, match="Input size incompatible with inner product parameters: weights read 5 values"
    ):
        under.forward()


def test_the_base_of_recurrent_layers_is_no_type():
    with pytest.raises(NetError, match=r"Unknown layer type: Recurrent\. It is what Caffe's RNN and LSTM are built on"):
        get_layer_class("Recurrent")


def test_debug_info_is_said_to_have_no_effect():
    note = ignored_note(*parse_net('layer { type: "RNN" recurrent_param { debug_info: true } }', "n"))
    assert note == (
        "Without effect here: RecurrentParameter.debug_info (n:1): no unrolled net is inside the layer; "
        "a net's debug_info shows the layer"
    )
