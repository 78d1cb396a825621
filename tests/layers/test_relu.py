"""ReLU."""

from __future__ import annotations

from caffepy.testing import case
from tests.reference.relu import relu


def setting(slope, shape, **more):
    text = f"relu_param {{ negative_slope: {slope} }}" if slope is not None else ""
    return case(
        f'type: "ReLU" {text}',
        [shape],
        reference=lambda bottoms, blobs: [relu(bottoms[0], slope or 0.0)],
        kink=1e-2,
        label=f"slope {slope} {shape}",
        **more,
    )


CASES = [
    setting(None, (2, 3, 4, 5)),
    setting(None, (1, 7)),
    setting(0.25, (2, 3, 4, 5)),
    setting(0.25, (3,)),
    setting(1.0, (2, 3), phase="TRAIN"),
]
