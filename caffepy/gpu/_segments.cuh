// Where the parameters lie in the flat buffers of all of them: see _segments.py.

// The segment that element i is in, or -1. `bounds` is (begin, end) of each, begins rising.
__device__ inline int segment_of(Index i, const Index* bounds, int segments) {
    int low = 0, high = segments;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (bounds[2 * middle] <= i) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return bounds[2 * low] <= i && i < bounds[2 * low + 1] ? low : -1;
}

// The gradient with that of the penalty; the sign of NaN is NaN.
__device__ inline Sum penalized(Sum dw, Sum w, Sum scale, Sum decay, int l1) {
    return scale * dw + decay * (!l1 ? w : w > 0 ? (Sum)1 : w < 0 ? (Sum)-1 : w);
}
