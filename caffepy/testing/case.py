"""Case: one setting of a layer, and what it should compute; the contract suite runs it on every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Case", "case"]

Values: TypeAlias = NDArray[Any]
#: (bottoms, blobs) -> tops, all float64, from the definition and as slow as it likes.
Reference: TypeAlias = Callable[[list[Values], list[Values]], Sequence[Values]]
#: (generator, shape) -> values of a bottom; standard normal where a case gives none.
Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Values]


@dataclass(frozen=True)
class Case:
    """One setting of a layer.

    Attributes:
        prototxt: the layer's fields but name, bottom and top: ``'type: "ReLU" relu_param { negative_slope: 0.1 }'``.
        bottoms: the shapes of the bottoms.
        tops: how many tops.
        phase: "TRAIN" or "TEST".
        reference: what the tops should be; None where the layer is random (its own test says what holds).
        draw: how to fill bottoms, by index.
        gradient: the bottoms, by index, whose gradient is checked; all but labels unless given.
        kink: inputs this near to ``kink_at`` are moved away before the gradient check (ReLU at 0).
        kink_at: where the function has its kinks.
        tops_checked: tops, by index, that carry a gradient; all unless given (an argmax has none).
        label: short text for the test's name.
        blobs_after: what forward should make of the learnable blobs (BatchNorm's running sums), as ``reference``
            does of the tops; None where it leaves them alone.
        draw_blobs: how to fill learnable blobs, by index. A blob without an entry keeps what its filler gave, unless
            that is the same number everywhere: then it is drawn from [0.5, 1.5), or a forgotten bias would not show.
        blobs_checked: learnable blobs, by index, that carry a gradient; all unless given (BatchNorm's sums have none).
        kind: row of `caffepy.testing.tolerances`; that of the layer's type unless given.
        waived: checks of `caffepy.testing.check_layer`, by name, that this case cannot pass, each with the reason:
            ``{"batch": "the shape in the prototxt is absolute"}``. A waived check that passes is an error.
        allow_python_layers: the prototxt may name Python code to run.
    """

    prototxt: str
    bottoms: Sequence[tuple[int, ...]]
    tops: int = 1
    phase: str = "TEST"
    reference: Reference | None = None
    draw: Mapping[int, Draw] = field(default_factory=dict)
    gradient: Sequence[int] | None = None
    kink: float = 0.0
    kink_at: float = 0.0
    tops_checked: Sequence[int] | None = None
    label: str = ""
    blobs_after: Reference | None = None
    draw_blobs: Mapping[int, Draw] = field(default_factory=dict)
    blobs_checked: Sequence[int] | None = None
    kind: str = ""
    waived: Mapping[str, str] = field(default_factory=dict)
    allow_python_layers: bool = False

    @property
    def title(self) -> str:
        """The label, or else the prototxt on one line: how messages call this case."""
        return self.label or " ".join(self.prototxt.split())

    def with_batch(self, size: int) -> list[tuple[int, ...]]:
        """The shapes of the bottoms for another batch size: that of each bottom that has the first one's."""
        if not self.bottoms or not self.bottoms[0]:
            return [tuple(shape) for shape in self.bottoms]
        old = self.bottoms[0][0]
        return [(size, *shape[1:]) if shape and shape[0] == old else tuple(shape) for shape in self.bottoms]


def case(prototxt: str, bottoms: Sequence[tuple[int, ...]], **settings: Any) -> Case:
    """A `Case`; the short spelling for tables: ``CASES = [case('type: "ReLU"', [(2, 3, 4, 5)], reference=relu)]``."""
    return Case(prototxt, bottoms, **settings)
