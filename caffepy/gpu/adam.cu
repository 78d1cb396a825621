#include "_types.cuh"
#include "_segments.cuh"

extern "C" __global__ void adam_update(const Index* bounds, const Sum* mults, int segments, const Real* rate_now,
                                       Sum weight_decay, const Real* scale_now, int l1, Sum momentum, Sum fresh,
                                       Sum momentum2, Sum fresh2, Sum delta, Real* w, Real* dw, Real* m, Real* v,
                                       Index count) {
    const Sum rate = (Sum)rate_now[0], scale = (Sum)scale_now[0];
    FOR_EACH(i, count) {
        const int segment = segment_of(i, bounds, segments);
        if (segment < 0) continue;
        const Sum local_rate = rate * mults[2 * segment], local_decay = weight_decay * mults[2 * segment + 1];
        const Sum value = (Sum)w[i];
        const Sum g = penalized((Sum)dw[i], value, scale, local_decay, l1);
        const Sum mean = momentum * (Sum)m[i] + fresh * g;
        const Sum square = momentum2 * (Sum)v[i] + fresh2 * (g * g);
        const Sum step = local_rate * (mean / (sqrt(square) + delta));
        m[i] = (Real)mean;
        v[i] = (Real)square;
        dw[i] = (Real)step;
        w[i] = (Real)(value - step);
    }
}
