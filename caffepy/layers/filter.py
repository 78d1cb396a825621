"""Filter: the items that a selector chooses."""

from __future__ import annotations

import math

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Filter"]


@register_layer("Filter")
class Filter(Layer):
    """Of each bottom but the last, the items whose number in the last, the selector, is not 0; in order.

    Bottoms (N, ...) and the selector (N,) or (N, 1, ...), tops (selected, ...). How many are selected is known in
    forward only: until then, and when the net is made, the tops have all N items, as in Caffe. The selector gets no
    gradient; items not selected get 0, and all do where none is (Caffe's filter_layer.cpp divides by zero then).

    Raises:
        LayerError: another number of tops, a selector that is not one number an item, or backward to the selector.
    """

    bottoms = (2, None)
    tops = (1, None)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) != len(bottom) - 1:
            raise self.error(
                "there is a top for each bottom but the selector, the last "
                f"(Check failed: top.size() == bottom.size() - 1); got {len(top)} tops for {len(bottom)} bottoms."
            )
        self.gather = self.ops.Gather(self.backend)

    def can_propagate(self, index: int) -> bool:
        return index != len(self.param.bottom) - 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        selector = bottom[-1]
        if any(size != 1 for size in selector.shape[1:]):
            raise self.error(
                "Selector blob dimensions must be singletons (1), except the first; "
                f"got a selector {selector.shape_string}."
            )
        for i, blob in enumerate(bottom[:-1]):
            if not selector.shape or blob.shape[:1] != selector.shape[:1]:
                raise self.error(
                    "Each bottom should have the same 0th dimension as the selector blob; "
                    f"got bottom[{i}] {blob.shape_string} and the selector {selector.shape_string}."
                )
            top[i].reshape(*blob.shape)
        self.gather.plan(selector.count, selector.count)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        selected = self.gather.set_selected(bottom[-1].data)
        for x, y in zip(bottom, top, strict=False):
            y.reshape(selected, *x.shape[1:])
            self.gather.forward(_rows(x.data), _rows(y.data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[-1]:
            raise self.error(
                "Filter Layer cannot backpropagate to filter index inputs. Set propagate_down: false for it."
            )
        for x, y, down in zip(bottom, top, propagate_down, strict=False):
            if down:
                x.diff.fill(0)
                self.gather.backward(_rows(y.diff), _rows(x.diff))


def _rows(array: Array) -> Array:
    """One row for each item."""
    return array.reshape(len(array), math.prod(array.shape[1:]))
