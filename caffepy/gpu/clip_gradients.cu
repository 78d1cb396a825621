#include "_types.cuh"
#include "_warp.cuh"

// The sum of the squares of each warp's elements, in float64.
extern "C" __global__ void clip_gradients_squares(const Real* dw, double* parts, Index count) {
    double total = 0;
    FOR_EACH(i, count) {
        const double value = (double)(Sum)dw[i];
        total += value * value;
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) parts[(blockIdx.x * blockDim.x + threadIdx.x) / 32] = total;
}

// By one warp: the root of the sum of `parts`, and what each gradient counts.
extern "C" __global__ void clip_gradients_scale(const double* parts, Index count, double limit, double passes,
                                                double* norm, Real* scale) {
    double total = 0;
    for (Index i = threadIdx.x; i < count; i += 32) total += parts[i];
    total = sqrt(warp_sum(total));
    if (threadIdx.x) return;
    norm[0] = total;
    scale[0] = (Real)(Sum)((total > limit ? limit / total : 1.0) / passes);
}
