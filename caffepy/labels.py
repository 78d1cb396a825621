"""Labels that are no class, as the losses of all devices name them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import LayerError

__all__ = ["BadLabel", "first_bad", "refuse", "refuse_accuracy_label", "refuse_score_label"]

_CHECK = "label_value >= 0 && label_value < num_classes"


class BadLabel(NamedTuple):
    """A label that is no class, and where it is in the batch; ``positions`` is how many labels a sample has."""

    label: float
    sample: int
    position: int
    positions: int
    classes: int

    def __str__(self) -> str:
        where = f"sample {self.sample}" + (f", position {self.position}" if self.positions > 1 else "")
        classes = self.classes
        return f"label {self.value} of {where} in the batch is not in 0..{classes - 1}: there are {classes} classes."

    @property
    def value(self) -> str:
        """The label as a whole number where it is finite."""
        return f"{int(self.label)}" if math.isfinite(self.label) else f"{self.label}"


def first_bad(places: NDArray[np.int64], label: NDArray[np.floating], classes: int) -> BadLabel | None:
    """The first bad label of ``label`` (samples, positions), or None.

    ``places`` holds for each sample the position of its first label that is no class, or -1.
    """
    if not len(places) or places.max() < 0:
        return None
    sample = int((places >= 0).argmax())
    position = int(places[sample])
    return BadLabel(float(label[sample, position]), sample, position, label.shape[1], classes)


def refuse(bad: BadLabel | None, hint: str = "") -> None:
    """Refuse a bad label, where there is one; ``hint`` says what else can be done about it.

    Raises:
        LayerError: there is one.
    """
    if bad:
        raise LayerError(
            f"{bad} Check failed: {_CHECK}. Labels count from 0: correct them, or give the scores as many classes as "
            f"there are.{hint}"
        )


def refuse_score_label(bad: BadLabel | None) -> None:
    """As `refuse`, in the words of softmax_loss_layer.cpp.

    Raises:
        LayerError: there is a bad label.
    """
    if not bad:
        return
    check = (
        f"label_value >= 0 ({bad.value} vs. 0)"
        if bad.label < 0
        else f"label_value < prob_.shape(softmax_axis_) ({bad.value} vs. {bad.classes})"
    )
    raise LayerError(
        f"{bad} Check failed: {check}. Set num_output of the layer that gives the scores to the number of classes "
        "(labels count from 0), correct the labels, or name one to skip in loss_param { ignore_label }. "
        f"'caffepy check-data DATABASE -num_output {bad.classes}' finds the records of a database with such labels."
    )


def refuse_accuracy_label(bad: BadLabel | None) -> None:
    """As `refuse`, in the words of accuracy_layer.cpp.

    Raises:
        LayerError: there is a bad label.
    """
    if bad:
        raise LayerError(
            f"{bad} Check failed: label_value {'>= 0' if bad.label < 0 else '< num_labels'}. Set num_output to the "
            "number of classes (labels count from 0), or name a label to skip in accuracy_param { ignore_label }."
        )
