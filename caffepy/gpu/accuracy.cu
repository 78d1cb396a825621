#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

// One position for each `lanes` threads, 1 or the 32 of a warp, which share the classes: is its label among the best?
// `counts` are, of each class, labels that are, and then all labels. Whole numbers: their order does not matter.
extern "C" __global__ void accuracy_count(const Real* x, const Real* label, Index classes, Index inner, int top_k,
                                          int ignore, int ignore_label, unsigned long long* bad, int lanes,
                                          unsigned int* counts, Index count) {
    FOR_EACH(thread, count) {
        const Index i = thread / lanes;
        const int lane = (int)(thread % lanes);
        const int k = class_of((Sum)label[i], classes, ignore, ignore_label, lane ? 0 : bad, i);
        int at_least = 0;
        if (k >= 0) {
            const Real* scores = x + i / inner * classes * inner + i % inner;
            const Sum own = (Sum)scores[k * inner];
            for (Index c = lane; c < classes; c += lanes) at_least += (Sum)scores[c * inner] >= own;
        }
        if (lanes > 1) at_least = warp_sum(at_least);
        if (lane || k < 0) continue;
        // The label's own class is one of them, unless it is NaN.
        if (at_least >= 1 && at_least <= top_k) atomicAdd(counts + k, 1u);
        atomicAdd(counts + classes + k, 1u);
    }
}

// By one warp: the shares, and zeros for the next pass.
extern "C" __global__ void accuracy_share(unsigned int* counts, Index classes, Real* out, Real* each, int wanted) {
    Index right = 0, total = 0;
    for (Index k = threadIdx.x; k < classes; k += 32) {
        const unsigned int mine = counts[k], all = counts[classes + k];
        right += mine;
        total += all;
        if (wanted) each[k] = (Real)(Sum)((double)mine / larger(all, 1u));
        counts[k] = counts[classes + k] = 0;
    }
    right = warp_sum(right);
    total = warp_sum(total);
    if (threadIdx.x == 0) out[0] = (Real)(Sum)((double)right / (double)larger(total, (Index)1));
}
