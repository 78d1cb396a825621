#include "_types.cuh"
#include "_warp.cuh"

// What the warps of a loss left, added by one warp.
extern "C" __global__ void loss_sum(const double* sums, const Index* counts, Real* out, int outputs, Index warps) {
    double sum = 0;
    Index counted = 0;
    for (Index i = threadIdx.x; i < warps; i += 32) {
        sum += sums[i];
        counted += counts[i];
    }
    sum = warp_sum(sum);
    counted = warp_sum(counted);
    if (threadIdx.x) return;
    out[0] = (Real)sum;
    if (outputs > 1) out[1] = (Real)(Sum)counted;
}
