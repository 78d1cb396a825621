"""Reshape: the same values in another shape."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Reshape"]


@register_layer("Reshape")
class Reshape(Layer):
    """Replaces ``num_axes`` axes from ``axis`` on (-1 and 0 unless given: all) by reshape_param.shape.

    In it 0 keeps the bottom's size in the same place, and one -1 takes what is left. A negative axis counts from the
    end, where -1 is behind the last: it appends axes. Data and diff of the top are the bottom's memory
    (reshape_layer.cpp).

    Raises:
        LayerError: axes that the bottom does not have, or another number of elements.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.reshape_param
        self.dims = list(param.shape.dim)
        self.begin, self.num_axes = param.axis, param.num_axes
        if self.dims.count(-1) > 1:
            raise self.error(
                "new shape contains multiple -1 dims; at most a single (1) value of -1 may be specified; "
                f"got {', '.join(map(str, self.dims))}."
            )
        if any(dim < -1 for dim in self.dims):
            raise self.error(f"a dim is a size, 0 or -1 (Check failed: shape[i] >= 0); got {min(self.dims)}.")
        if param.num_axes < -1:
            raise self.error(f"num_axes must be >= 0, or -1 for all; got {param.num_axes}.")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        begin = self.begin if self.begin >= 0 else len(shape) + self.begin + 1
        if not 0 <= begin <= len(shape):
            raise self.error(f"axis {self.begin} out of range for a bottom {bottom[0].shape_string}.")
        end = len(shape) if self.num_axes == -1 else begin + self.num_axes
        if end > len(shape):
            raise self.error(
                f"end_axis = axis + num_axes is out of range: {begin} + {self.num_axes} for a bottom "
                f"{bottom[0].shape_string}."
            )
        middle = list(self.dims)
        for i, dim in enumerate(middle):
            if dim == 0:
                if begin + i >= len(shape):
                    raise self.error(
                        "new shape contains a 0, but there was no corresponding bottom axis to copy: "
                        f"dim {i} would be axis {begin + i} of a bottom {bottom[0].shape_string}."
                    )
                middle[i] = shape[begin + i]
        if -1 in middle:
            middle[middle.index(-1)] = self._left_over(bottom[0], begin, end)
        result = (*shape[:begin], *middle, *shape[end:])
        if math.prod(result) != bottom[0].count:
            raise self.error(
                f"output count must match input count: shape {' '.join(map(str, result))} has {math.prod(result)} "
                f"elements, the bottom {bottom[0].shape_string}. A dim of -1 takes what is left."
            )
        top[0].reshape(*result)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def _left_over(self, bottom: Blob, begin: int, end: int) -> int:
        """What -1 stands for. Axes that stay are left out on both sides, so that they may be of size 0."""
        copied = [begin + i for i, dim in enumerate(self.dims) if dim == 0]
        given = math.prod(dim for dim in self.dims if dim > 0)
        replaced = math.prod(dim for i, dim in enumerate(bottom.shape[:end]) if i >= begin and i not in copied)
        # An axis behind the range may be copied as well.
        beyond = math.prod(bottom.shape[i] for i in copied if i >= end)
        if beyond == 0 or replaced % (given * beyond):
            kept = [*bottom.shape[:begin], *bottom.shape[end:], *(bottom.shape[i] for i in copied)]
            raise self.error(
                f"bottom count ({bottom.count}) must be divisible by the product of the specified dimensions "
                f"({given * math.prod(kept)})."
            )
        return replaced // (given * beyond)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do: the memory is shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing to do: the memory is shared."""
