"""ArgMax: where the largest values are."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["ArgMax"]


@register_layer("ArgMax")
class ArgMax(Layer):
    """The top_k largest values' indices, the largest value first; of equal values the last comes first.

    * Without axis, of each item as one row: x (N, ...) to (N, 1, top_k), or with out_max_val (N, 2, top_k): indices,
      then values. With more than three axes the top has as many, the further ones of size 1.
    * With axis, along it: the shape of x with top_k there; indices, or with out_max_val values instead.

    NaN counts as the largest. Not in place, no gradient. Source: Caffe's argmax_layer.cpp.

    Raises:
        LayerError: top_k of 0 or more than there is, no such axis; backward.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False
    no_gradient = frozenset({0})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.argmax_param
        self.values, self.top_k = param.out_max_val, param.top_k
        self.given_axis = param.axis if param.HasField("axis") else None
        if self.top_k < 1:
            raise self.error(f"top k must not be less than 1; got top_k {self.top_k}.")
        self.arg_max = self.ops.ArgMax(self.backend, self.top_k)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if self.given_axis is not None:
            axis = self.axis(bottom[0], self.given_axis)
            self.found = (math.prod(shape[:axis]), self.top_k, math.prod(shape[axis + 1 :]))
            size, what = shape[axis], "the dimension of the axis"
            result = (*shape[:axis], self.top_k, *shape[axis + 1 :])
        else:
            items = shape[self.axis(bottom[0], 0)]
            self.found = (items, self.top_k, 1)
            size, what = math.prod(shape[1:]), "the dimension of the flattened bottom blob per instance"
            result = (items, 2 if self.values else 1, self.top_k, *(1 for _ in shape[3:]))
        if self.top_k > size:
            raise self.error(
                f"top_k must be less than or equal to {what}; "
                f"got top_k {self.top_k} for {size} of a bottom {bottom[0].shape_string}."
            )
        top[0].reshape(*result)
        self.arg_max.plan((self.found[0], size, self.found[2]))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data
        if not self.values:
            self.arg_max.forward(bottom[0].data, y.reshape(self.found), None)
        elif self.given_axis is not None:
            self.arg_max.forward(bottom[0].data, None, y.reshape(self.found))
        else:
            both = y.reshape(self.found[0], 2, self.top_k, 1)
            self.arg_max.forward(bottom[0].data, both[:, 0], both[:, 1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            raise self.error(
                "Not Implemented Yet: ArgMax Layer has no gradient. Set propagate_down: false, or learn nothing below "
                "it."
            )
