#include "_types.cuh"

// scale[c] * y + shift[c] is what BatchNorm by its stored sums, then a factor and an offset, make of y + b[c]. Pointers
// may be null: b, factor, offset, and mean with variance and weight. Learnable blobs are stored as `Sum`.
extern "C" __global__ void channel_affine(const Sum* b, const Sum* mean, const Sum* variance, const Sum* weight,
                                          const Sum* factor, const Sum* offset, Sum* scale, Sum* shift, double eps,
                                          Index channels) {
    FOR_EACH(c, channels) {
        double wide = 1, moved = b ? (double)b[c] : 0.0;
        if (mean) {
            const double share = *weight == 0 ? 0.0 : 1.0 / (double)*weight;
            wide = 1.0 / sqrt((double)variance[c] * share + eps);
            moved = (moved - (double)mean[c] * share) * wide;
        }
        if (factor) {
            wide *= factor[c];
            moved *= factor[c];
        }
        if (offset) moved += offset[c];
        scale[c] = (Sum)wide;
        shift[c] = (Sum)moved;
    }
}
