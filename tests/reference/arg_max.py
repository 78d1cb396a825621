"""The largest values along an axis, by sorting pairs as Caffe does: of equal values the later one is greater."""

import numpy as np


def arg_max(x, top_k):
    """(places, values), both (outer, top_k, inner), of x (outer, dim, inner)."""
    outer, dim, inner = x.shape
    places, values = np.empty((outer, top_k, inner)), np.empty((outer, top_k, inner))
    for n, i in np.ndindex(outer, inner):
        pairs = sorted(((x[n, j, i], j) for j in range(dim)), reverse=True)
        for k in range(top_k):
            values[n, k, i], places[n, k, i] = pairs[k]
    return places, values
