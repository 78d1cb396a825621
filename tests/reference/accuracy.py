"""Accuracy of (outer, classes, inner), one label at a time."""

import numpy as np


def accuracy(scores, label, top_k=1, ignore_label=None):
    """(share that is right, the same for each class)."""
    classes = scores.shape[1]
    right, total = np.zeros(classes), np.zeros(classes)
    for n in range(label.shape[0]):
        for i in range(label.shape[1]):
            k = int(label[n, i])
            if k == ignore_label:
                continue
            rivals = sum(1 for c in range(classes) if c != k and scores[n, c, i] >= scores[n, k, i])
            total[k] += 1
            right[k] += rivals < top_k
    share = right.sum() / total.sum() if total.sum() else 0.0
    return np.array(share), np.array([r / t if t else 0.0 for r, t in zip(right, total, strict=True)])
