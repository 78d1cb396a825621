"""Cases and tests that LSTM and RNN share: markers, static input, exposed states, and what is refused."""

from __future__ import annotations

import numpy as np

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'


def markers(random, shape):
    """0 at the first step, so that a pass does not depend on the one before, and now and then later."""
    cont = random.choice([0, 1, 1, 1], shape)
    cont[:1] = 0
    return cont


def going_on(random, shape):
    """1 at all steps: exposed states count."""
    return np.ones(shape)


def fields(type_name, num_output, more=""):
    return f'type: "{type_name}" recurrent_param {{ num_output: {num_output} {FILLERS} {more} }}'


def made(backend, prototxt, bottoms, tops=1, cont=markers, dtype="float32"):
    return LayerUnderTest(case(prototxt, bottoms, tops=tops, draw={1: cont}), get_backend(backend, dtype))


def refusals(type_name, states, num_output=4):
    """(more fields, bottoms, tops, message) of what either layer refuses."""
    x, cont, state = (3, 2, 5), (3, 2), (1, 2, num_output)
    exposed = "expose_hidden: true"
    least = 2 + states
    return [
        ("", [(3,), cont], 1, r"bottom\[0\] must have at least 2 axes -- \(#timesteps, #streams, \.\.\.\)"),
        ("", [(0, 2, 5), (0, 2)], 1, r"bottom\[0\] must have at least 2 axes .*, and a time step; got 0 2 5"),
        ("", [(3, 2), cont], 1, r"the features of bottom\[0\]: axis 2 out of range for 2-D Blob with shape 3 2 \(6\)"),
        ("", [x, (3, 2, 1)], 1, r"bottom\[1\] must have exactly 2 axes -- \(#timesteps, #streams\); got 3 2 1"),
        ("", [x, (2, 2)], 1, r"Check failed: T_ == bottom\[1\]->shape\(0\).*bottom\[0\] has 3 2 5 .*bottom\[1\] 2 2"),
        ("", [x, (3, 1)], 1, r"N_ == bottom\[1\]->shape\(1\)\): bottom\[0\] has 3 2 5 \(30\), bottom\[1\] 3 1"),
        ("", [x, cont, (3, 4)], 1, r"Check failed: N_ == bottom\[2\]->shape\(0\)\).*bottom\[2\] 3 4"),
        ("", [x, cont, ()], 1, r"Check failed: N_ == bottom\[2\]->shape\(0\)"),
        ("", [x, cont, (2,)], 1, r"the features of bottom\[2\]: axis 1 out of range for 1-D Blob"),
        ("", [x], 1, f"{type_name} Layer takes at least 2 bottom blob\\(s\\) as input; got 1"),
        ("", [x, cont, (2, 4), state], 1, f"{type_name} Layer takes at most 3 bottom blob\\(s\\) as input; got 4"),
        ("", [x, cont], 2, f"{type_name} Layer produces 1 top blob\\(s\\) as output; got 2"),
        (
            exposed,
            [x, cont],
            1 + states,
            f"{type_name} Layer takes at least {least} bottom blob\\(s\\) as input; got 2",
        ),
        (
            exposed,
            [x, cont, *[state] * states],
            1,
            f"{type_name} Layer produces {1 + states} top blob\\(s\\) as output",
        ),
        (
            exposed,
            [x, cont, *[state] * (states - 1), (2, num_output)],
            1 + states,
            rf"shape mismatch - recur_input_blobs_\[{states - 1}\]: 1 2 4 \(8\) vs\. bottom\[{1 + states}\]: 2 4",
        ),
    ]
