"""Input: blobs that the caller fills."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Input"]


@register_layer("Input")
class Input(Layer):
    """Tops of the shapes in input_param: one ``shape`` for each top, one for all, or none (Caffe's input_layer.cpp).

    The caller writes ``top.data`` and may reshape a top between passes.

    Raises:
        LayerError: another number of shapes.
    """

    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        shapes = self.param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            raise self.error(
                "Must specify 'shape' once, once per top blob, or not at all: "
                f"{len(top)} tops vs. {len(shapes)} shapes."
            )
        for i, blob in enumerate(top):
            if shapes:
                blob.reshape(*shapes[min(i, len(shapes) - 1)].dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing: the shape is the caller's."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing: the data is the caller's."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing lies below."""
