"""Crop: a part of a blob, of another blob's size."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Crop"]


@register_layer("Crop")
class Crop(Layer):
    """The part of bottom[0] that has bottom[1]'s size in all axes from crop_param.axis on (2 unless given).

    It begins at ``offset``: none for 0, one for all these axes, or one each. Only the shape of bottom[1] counts; its
    gradient is 0. Not in place. Source: Caffe's crop_layer.cpp.

    Raises:
        LayerError: no such axis, another number of offsets, or a part that lies outside.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.crop_param
        self.given_axis, self.offsets = param.axis, list(param.offset)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape, wanted = bottom[0].shape, bottom[1].shape
        axis = self.axis(bottom[0], self.given_axis)
        cropped = len(shape) - axis
        if len(self.offsets) > 1 and len(self.offsets) != cropped:
            raise self.error(
                "number of offset values specified must be equal to the number of dimensions following axis; "
                f"got {len(self.offsets)} for {cropped} axes of {bottom[0].shape_string} from axis {axis} on."
            )
        if len(wanted) < len(shape):
            raise self.error(
                f"bottom[1] needs a size for each axis of bottom[0]: axis {len(wanted)} out of range for "
                f"{len(wanted)}-D Blob {bottom[1].shape_string}, bottom[0] is {bottom[0].shape_string}."
            )
        offsets = self.offsets if len(self.offsets) > 1 else (self.offsets or [0]) * cropped
        part = [slice(None)] * axis
        for i, offset in enumerate(offsets, axis):
            if offset + wanted[i] > shape[i]:
                raise self.error(
                    f"the crop for dimension {i} is out-of-bounds with size {wanted[i]} and offset {offset}: "
                    f"bottom[0] is {bottom[0].shape_string}."
                )
            part.append(slice(offset, offset + wanted[i]))
        self.part = tuple(part)
        top[0].reshape(*shape[:axis], *wanted[axis : len(shape)])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].data[...] = bottom[0].data[self.part]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].diff.fill(0)
            bottom[0].diff[self.part] = top[0].diff
        if propagate_down[1]:
            bottom[1].diff.fill(0)
