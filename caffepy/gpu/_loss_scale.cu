#include "_types.cuh"

// The gradient with which a loss begins.
extern "C" __global__ void loss_scale_seed(const Sum* scale, Sum weight, Sum* diff, Index count) {
    FOR_EACH(i, count) diff[i] = weight * scale[0];
}

// Gradients without the scale; notes whether one is not finite.
extern "C" __global__ void loss_scale_unscale(const Sum* scale, int* bad, Sum* diff, Index count) {
    const Sum factor = 1 / scale[0];
    bool found = false;
    FOR_EACH(i, count) {
        const Sum value = diff[i] * factor;
        diff[i] = value;
        // Of an infinite number this is NaN.
        found = found || !(value - value == 0);
    }
    if (found) atomicOr(bad, 1);
}

// By one thread: what comes next. `counts` are good updates since the scale changed, and those left out in all.
extern "C" __global__ void loss_scale_settle(
    Sum* scale, int* bad, int* counts, Index* go, Sum least, Sum most, int patience) {
    if (*bad) {
        *scale = larger(*scale / 2, least);
        counts[0] = 0;
        ++counts[1];
    } else if (++counts[0] >= patience) {
        *scale = smaller(*scale * 2, most);
        counts[0] = 0;
    }
    *go = *bad ? 0 : 1;
    *bad = 0;
}
