// Needs _warp.cuh and _whole.cuh. The sum of a kernel's losses, added in float64 and in an order that the grid alone decides: each thread's own terms,
// then the lanes of a warp, then the warps, which _loss.cu adds where there are more than one.

struct Loss {
    double sum;
    Index counted;
};

__device__ inline void leave_loss(Loss mine, double* sums, Index* counts, Real* out, int outputs) {
    mine.sum = warp_sum(mine.sum);
    mine.counted = warp_sum(mine.counted);
    if (threadIdx.x % 32) return;
    if (gridDim.x * blockDim.x == 32) {
        out[0] = (Real)mine.sum;
        if (outputs > 1) out[1] = (Real)(Sum)mine.counted;
    } else {
        const unsigned int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
        sums[warp] = mine.sum;
        counts[warp] = mine.counted;
    }
}

// The class that a label names. A label that is no class is noted, and gives -1; so does one to ignore.
__device__ inline int class_of(Sum label, Index classes, int ignore, int ignore_label, unsigned long long* bad,
                               Index place) {
    const int number = whole(label);
    if (ignore && number == ignore_label) return -1;
    if (number >= 0 && number < classes) return number;
    if (bad) note_bad(bad, place, label);
    return -1;
}
