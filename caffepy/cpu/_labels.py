"""Labels that are no class, as the losses name them."""

from __future__ import annotations

import math

from caffepy.backend import Array

__all__ = ["check_labels"]

_CHECK = "label_value >= 0 && label_value < num_classes"


def check_labels(bad: Array, label: Array, classes: int) -> str:
    """What is wrong with the first bad label of ``label`` (samples, places), or the empty string.

    ``bad`` holds for each sample the place of its first label that is no class, or -1.
    """
    if not len(bad) or bad.max() < 0:
        return ""
    sample = int((bad >= 0).argmax())
    place = int(bad[sample])
    value = float(label[sample, place])
    shown = f"{int(value)}" if math.isfinite(value) else f"{value}"
    where = f"sample {sample}" + (f", position {place}" if label.shape[1] > 1 else "")
    return (
        f"label {shown} of {where} in the batch is not in 0..{classes - 1}: there are {classes} classes. "
        f"Check failed: {_CHECK}. Labels count from 0: correct them, or give the scores as many classes as there are."
    )
