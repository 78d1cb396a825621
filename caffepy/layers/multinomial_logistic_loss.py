"""MultinomialLogisticLoss: the loss of classification, of probabilities that another layer computed."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import check_batch

__all__ = ["MultinomialLogisticLoss"]


@register_layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    """``loss = -1 / N * sum over n of log(max(prob[n, label[n]], 1e-20))``.

    Bottoms: probabilities (N, classes), all axes but the first taken as one; labels (N,) or (N, 1, 1, 1), whole numbers
    from 0. Top: the loss, (). For scores use SoftmaxWithLoss, whose gradient is stable. Source: Caffe's
    multinomial_logistic_loss_layer.cpp.

    Raises:
        LayerError: labels of another shape, one that is no class (in forward), or backward to the labels.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.multinomial_loss = self.ops.MultinomialLoss(self.backend)
        # The sum of losses, and the gradient's scale. They stay on the device.
        self.total = self.backend.zeros((1,))
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.num = check_batch(self, bottom[0], bottom[1])
        if len(bottom[1].shape) > 4 or bottom[1].count != self.num:
            raise self.error(
                "takes one label for each item (Check failed: bottom[1]->channels() == 1, height() == 1, "
                f"width() == 1); got labels {bottom[1].shape_string} for {self.num} items."
            )
        self.multinomial_loss.plan((self.num, math.prod(bottom[0].shape[1:])))
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.multinomial_loss.forward(bottom[0].data, bottom[1].data, self.total)
        self.backend.defer(self._check)
        self.xp.divide(self.total, max(self.num, 1), out=top[0].data.reshape(1))

    def _check(self) -> None:
        with self.named():
            self.multinomial_loss.check()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("MultinomialLogisticLoss Layer cannot backpropagate to label inputs.")
        if propagate_down[0]:
            self.xp.divide(top[0].diff.reshape(1), max(self.num, 1), out=self.scale)
            self.multinomial_loss.backward(bottom[0].data, bottom[1].data, self.scale, bottom[0].diff)
