"""The best classes of each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ranks_of", "top_classes"]


def top_classes(scores: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The ``count`` classes of the highest scores, best first, (n, min(count, K)); the lower number first in a tie.

    Args:
        scores: (n, K). NaN is lower than any number.
    """
    ordered = np.where(np.isnan(scores), -np.inf, scores)
    count = min(count, scores.shape[1])
    if count == scores.shape[1]:
        return np.argsort(-ordered, axis=1, kind="stable")
    # Sorting all of a thousand classes for five of them would take longer than anything else here.
    limit = -np.partition(-ordered, count - 1, axis=1)[:, count - 1 : count]
    result = np.empty((len(scores), count), np.int64)
    for row, (own, least) in enumerate(zip(ordered, limit, strict=True)):
        candidates = np.flatnonzero(own >= least)
        result[row] = candidates[np.argsort(-own[candidates], kind="stable")[:count]]
    return result


def ranks_of(scores: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each image's label among its scores, (n,), 1 is best: as Accuracy counts, a tie against the label.

    Args:
        scores: (n, K).
        labels: (n,), classes.

    A label whose score is NaN has the last place of all, K + 1.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    # The label's own score is one of them.
    ranks = np.count_nonzero(scores >= own, axis=1)
    placed: NDArray[np.int64] = np.where(np.isnan(own[:, 0]), scores.shape[1] + 1, ranks)
    return placed
