"""Accuracy: the share of labels among the top_k scores, over all classes and for each."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._scores import scores_shape

__all__ = ["Accuracy"]


@register_layer("Accuracy")
class Accuracy(Layer):
    """Share of positions where fewer than top_k other classes score at least as high as the label's.

    Bottoms: scores, (N, C, H, W) or any shape with classes along accuracy_param.axis; labels, one for each position.
    Tops: the share, (); optionally that of each class, (C,), 0 for a class without labels. Positions labelled
    ignore_label do not count. A tie counts against the label, and so does NaN, with which Caffe's accuracy_layer.cpp
    makes a diverged net look perfect. No gradient.

    Raises:
        LayerError: top_k or labels that do not match the scores, a label that is no class (in forward), backward.
    """

    bottoms = (2, 2)
    tops = (1, 2)
    in_place = False
    no_gradient = frozenset({0, 1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.accuracy_param
        self.given_axis, self.top_k = param.axis, param.top_k
        ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.accuracy = self.ops.Accuracy(self.backend, param.top_k, ignore_label)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom
        shape = scores_shape(self, scores, labels, self.given_axis, "accuracy_param.axis")
        if self.top_k > shape[1]:
            raise self.error(
                f"top_k must be less than or equal to the number of classes; got {self.top_k} for {shape[1]} classes."
            )
        self.accuracy.plan(shape)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(shape[1])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        each = top[1].data if len(top) > 1 else None
        self.accuracy.forward(bottom[0].data, bottom[1].data, top[0].data.reshape(1), each)
        self.backend.defer(self._check)

    def _check(self) -> None:
        with self.named():
            self.accuracy.check()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            raise self.error("Accuracy Layer has no gradient. Remove its propagate_down and loss_weight.")
