"""LSTM: markers, static input, exposed states, what goes from pass to pass, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.testing import CHECKS, case
from tests.layers.sequences import fields, going_on, made, markers, refusals
from tests.reference.lstm import lstm


def setting(num_output, bottoms, more="", **settings):
    exposed = "expose_hidden: true" in more
    static = len(bottoms) > (4 if exposed else 2)

    def reference(bottoms, blobs):
        x, cont = bottoms[:2]
        h, c = (b[0] for b in bottoms[-2:]) if exposed else np.zeros((2, x.shape[1], num_output))
        every, h, c = lstm(x, cont, bottoms[2] if static else None, blobs, h, c)
        return [every, h[None], c[None]] if exposed else [every]

    return case(
        fields("LSTM", num_output, more),
        bottoms,
        tops=3 if exposed else 1,
        tops_checked=[0],
        draw={1: settings.pop("cont", markers)},
        reference=reference,
        label=f"{num_output} {bottoms} {more}",
        waived={"batch": "the number of steps cannot change"},
        **settings,
    )


STATE = (1, 3, 4)
EXPOSED = "expose_hidden: true"

CASES = [
    setting(4, [(5, 3, 2), (5, 3)]),
    setting(1, [(1, 1, 1), (1, 1)]),
    setting(3, [(4, 2, 3, 2), (4, 2)], "debug_info: true"),
    setting(4, [(5, 3, 2), (5, 3), (3, 6)]),
    setting(2, [(4, 3, 2), (4, 3), (3, 2, 2)]),
    setting(4, [(5, 3, 2), (5, 3), STATE, STATE], EXPOSED),
    setting(4, [(5, 3, 2), (5, 3), STATE, STATE], EXPOSED, cont=going_on),
    setting(4, [(2, 3, 2), (2, 3), (3, 5), STATE, STATE], EXPOSED, cont=going_on),
    setting(4, [(1, 3, 2), (1, 3), STATE, STATE], EXPOSED, cont=going_on),
]


def test_no_step_makes_an_array(backend):
    CHECKS["allocation"](setting(48, [(3, 512, 40), (3, 512), (512, 40)]), backend)


def test_blobs_come_in_caffe_s_order(backend):
    layer = made(backend, fields("LSTM", 4), [(5, 3, 2, 3), (5, 3)]).layer
    assert [blob.shape for blob in layer.blobs] == [(16, 6), (16,), (16, 4)]
    layer = made(backend, fields("LSTM", 4), [(5, 3, 2), (5, 3), (3, 5, 2)]).layer
    assert [blob.shape for blob in layer.blobs] == [(16, 2), (16,), (16, 10), (16, 4)]


def test_fillers():
    text = (
        'type: "LSTM" recurrent_param { num_output: 2 weight_filler { type: "constant" value: 3 } '
        'bias_filler { type: "constant" value: 5 } }'
    )
    layer = made("cpu", text, [(2, 3, 2), (2, 3), (3, 2)]).layer
    assert [float(blob.data.min()) for blob in layer.blobs] == [3, 5, 3, 3]
    assert [float(blob.data.max()) for blob in layer.blobs] == [3, 5, 3, 3]


def test_a_pass_goes_on_from_the_one_before(backend):
    """Two passes of 3 steps are one of 6, for streams that go on; where cont is 0 a stream begins anew."""
    whole = made(backend, fields("LSTM", 4), [(6, 2, 3), (6, 2)], dtype="float64")
    half = made(backend, fields("LSTM", 4), [(3, 2, 3), (3, 2)], dtype="float64")
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
    # No gradient goes back to the pass before: that of the second half is as if h and c were given.
    again = made(backend, fields("LSTM", 4, EXPOSED), [(3, 2, 3), (3, 2), (1, 2, 4), (1, 2, 4)], 3, dtype="float64")
    again.blob_values = whole.blob_values
    _, h, c = lstm(x[:3], cont[:3], None, whole.blob_values, np.zeros((2, 4)), np.zeros((2, 4)))
    again.values = [x[3:], cont[3:], h[None], c[None]]
    again.forward()
    dy = again.draw_top_diffs()[0]
    np.testing.assert_allclose(
        half.backward([dy])[0], again.backward([dy, np.zeros((1, 2, 4)), np.zeros((1, 2, 4))])[0], rtol=1e-12
    )


def test_another_number_of_streams(backend):
    under = made(backend, fields("LSTM", 4), [(3, 2, 5), (3, 2)])
    under.forward()
    for streams in (5, 1, 2):
        under.resize([(3, streams, 5), (3, streams)])
        top = under.run().tops[0]
        expected = lstm(*under.values, None, under.blob_values, *np.zeros((2, streams, 4)))[0]
        np.testing.assert_allclose(top, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_above_may_write_in_place(backend):
    """What backward needs is not the top, which a Dropout in place overwrites."""
    under = made(backend, fields("LSTM", 4), [(5, 3, 2), (5, 3)])
    expected = under.run()
    under.forward()
    under.top[0].data[...] = 7
    under.clear_blob_diffs()
    bottom_diffs = under.backward(under.draw_top_diffs())
    np.testing.assert_array_equal(bottom_diffs[0], expected.bottom_diffs[0])
    for got, want in zip(under.blob_diffs(), expected.blob_diffs, strict=True):
        np.testing.assert_array_equal(got, want)


def test_exposed_states_have_no_gradient(backend):
    """As in Caffe: neither do the tops' diffs count, nor is there one for the bottoms."""
    bottoms = [(3, 2, 5), (3, 2), (2, 3), (1, 2, 4), (1, 2, 4)]
    under = made(backend, fields("LSTM", 4, EXPOSED), bottoms, 3, going_on)
    under.forward()
    assert [under.layer.can_propagate(i) for i in range(5)] == [True, False, True, False, False]
    dy = under.draw_top_diffs()
    first = under.backward(dy, [True, False, True, True, True])
    assert not first[3].any()
    assert not first[4].any()
    second = under.backward([dy[0], 9 * dy[1], 9 * dy[2]], [True, False, True, False, True])
    np.testing.assert_array_equal(first[0], second[0])
    assert np.isnan(second[3]).all()


def test_no_gradient_to_markers(backend):
    under = made(backend, fields("LSTM", 4), [(3, 2, 5), (3, 2)])
    under.forward()
    assert [under.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match=r"\(LSTM\): Cannot backpropagate to sequence indicators"):
        under.backward(under.draw_top_diffs(), [True, True])


@pytest.mark.parametrize(("more", "bottoms", "tops", "message"), refusals("LSTM", 2))
def test_refused(backend, more, bottoms, tops, message):
    with pytest.raises(LayerError, match=rf"'under_test' \(LSTM\): .*{message}"):
        made(backend, fields("LSTM", 4, more), bottoms, tops).forward()


def test_no_num_output(backend):
    with pytest.raises(LayerError, match="num_output must be positive; got 0"):
        made(backend, 'type: "LSTM"', [(3, 2, 5), (3, 2)])


def test_bottoms_that_change(backend):
    under = made(backend, fields("LSTM", 4), [(3, 2, 5), (3, 2), (2, 3)])
    under.resize([(4, 2, 5), (4, 2), (2, 3)])
    with pytest.raises(LayerError, match=r"input number of timesteps changed: 3 at setup, now 4 2 5 \(40\)"):
        under.forward()
    under.resize([(3, 2, 6), (3, 2), (2, 3)])
    with pytest.raises(
        LayerError, match="Input size incompatible with inner product parameters: weights read 5 values"
    ):
        under.forward()
    under.resize([(3, 2, 5), (3, 2), (2, 4)])
    with pytest.raises(LayerError, match="weights read 3 values from axis 1 on, bottom has shape 2 4"):
        under.forward()
