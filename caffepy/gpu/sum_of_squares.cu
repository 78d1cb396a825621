#include "_types.cuh"
#include "_warp.cuh"

// The sum of each warp's elements, in float64.
extern "C" __global__ void sum_of_squares_parts(const Real* x, double* parts, Index count) {
    double total = 0;
    FOR_EACH(i, count) {
        const double value = (double)(Sum)x[i];
        total += value * value;
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) parts[(blockIdx.x * blockDim.x + threadIdx.x) / 32] = total;
}

// Theirs, by one warp.
extern "C" __global__ void sum_of_squares_total(const double* parts, double* out, Index count) {
    double total = 0;
    for (Index i = threadIdx.x; i < count; i += 32) total += parts[i];
    total = warp_sum(total);
    if (threadIdx.x == 0) out[0] = total;
}
