"""BatchReindex: items of a batch by number."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["BatchReindex"]


@register_layer("BatchReindex")
class BatchReindex(Layer):
    """``y[m] = x[index[m]]``; bottoms x (N, ...) and index (M,), y (M, ...). Not in place.

    An item may be taken several times, and its gradients then add up, or never. Fractions of an index are cut off; it
    has no gradient. Source: Caffe's batch_reindex_layer.cpp.

    Raises:
        LayerError: an index blob of other than one axis, an index outside the batch (in forward), a gradient asked for
            the index.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.gather = self.ops.Gather(self.backend)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, index = bottom
        if len(index.shape) != 1:
            raise self.error(
                "the index has one axis (Check failed: 1 == bottom[1]->num_axes()); "
                f"got bottom[1] {index.shape_string}."
            )
        items = x.shape[self.axis(x, 0)]
        inner = math.prod(x.shape[1:])
        self.rows, self.picked = (items, inner), (index.count, inner)
        top[0].reshape(*index.shape, *x.shape[1:])
        self.gather.plan(items, index.count)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.gather.set_index(bottom[1].data, False)
        self.backend.defer(self._check)
        self.gather.forward(bottom[0].data.reshape(self.rows), top[0].data.reshape(self.picked))

    def _check(self) -> None:
        if bad := self.gather.first_bad():
            (place, value), items = bad, self.rows[0]
            wrong = "negative" if value < 0 else "greater than batch size"
            raise self.error(
                f"Index specified for reindex layer was {wrong}: index {place} is {value:g}, the batch has {items} "
                f"items, 0..{items - 1}."
            )

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("Cannot backprop to index. Set propagate_down: false for bottom[1].")
        if propagate_down[0]:
            bottom[0].diff.fill(0)
            self.gather.backward(top[0].diff.reshape(self.picked), bottom[0].diff.reshape(self.rows))
