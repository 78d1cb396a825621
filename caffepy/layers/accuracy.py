"""Accuracy: the share of labels among the top_k scores, over all classes and for each."""

from __future__ import annotations

from caffepy.backend import Array
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
        self.ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.bad = self.backend.zeros((0, 1, 0), bool)
        self.bad_labels = self.backend.zeros((0, 1, 0))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom
        self.shape = scores_shape(self, scores, labels, self.given_axis, "accuracy_param.axis")
        outer, classes, inner = self.shape
        if self.top_k > classes:
            raise self.error(
                f"top_k must be less than or equal to the number of classes; got {self.top_k} for {classes} classes."
            )
        if self.bad.shape != (outer, 1, inner):
            self.bad = self.backend.zeros((outer, 1, inner), bool)
            self.bad_labels = self.backend.zeros((outer, 1, inner))
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        xp = self.xp
        outer, classes, inner = self.shape
        scores = bottom[0].data.reshape(self.shape)
        given = bottom[1].data.reshape(outer, 1, inner)
        known = (given > -1) & (given < classes)
        asked = xp.ones(given.shape, bool) if self.ignore_label is None else given != self.ignore_label
        self._note(given, asked & ~known)
        self.backend.defer(self._check)
        counted = asked & known
        label = xp.where(counted, given, 0).astype("int64")
        # The label's own class is one of them.
        at_least = xp.count_nonzero(scores >= xp.take_along_axis(scores, label, 1), axis=1)[:, None]
        right = counted & (at_least >= 1) & (at_least <= self.top_k)
        top[0].data[...] = right.sum() / xp.maximum(counted.sum(), 1)
        if len(top) > 1:
            total = self._per_class(label, counted)
            top[1].data[...] = self._per_class(label, right) / xp.maximum(total, 1)

    def _per_class(self, label: Array, which: Array) -> Array:
        """How many of ``which`` have each label. Not by bincount, for which a GPU waits."""
        total = self.xp.zeros(self.shape[1], "float64")
        self.xp.add.at(total, label.reshape(-1), which.reshape(-1).astype("float64"))
        return total

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if any(propagate_down):
            raise self.error("Accuracy Layer has no gradient. Remove its propagate_down and loss_weight.")

    def _note(self, given: Array, bad: Array) -> None:
        """Keep bad labels until they are looked at, also if that is after other passes."""
        self.bad |= bad
        self.xp.copyto(self.bad_labels, given, where=bad)

    def _check(self) -> None:
        classes, inner = self.shape[1:]
        bad = self.backend.to_host(self.bad).reshape(-1)
        if bad.any():
            place = int(bad.argmax())
            label = float(self.backend.to_host(self.bad_labels).reshape(-1)[place])
            self.bad.fill(False)
            sample, position = divmod(place, inner)
            where = f"sample {sample}" + (f", position {position}" if inner > 1 else "")
            raise self.error(
                f"label {label:g} of {where} in the batch is not in 0..{classes - 1}: "
                f"there are {classes} classes (Check failed: label_value < num_labels). Set num_output to their number "
                "(labels count from 0), or name a label to skip in accuracy_param { ignore_label }."
            )
