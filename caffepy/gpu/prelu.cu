#include "_types.cuh"
#include "_channels.cuh"

extern "C" __global__ void prelu_forward(const Real* x, const Sum* w, int channels, int inner, Real* y, Index count) {
    FOR_EACH(i, count) {
        const Sum value = x[i];
        y[i] = (Real)(value > 0 ? value : w[(unsigned int)i / inner % channels] * value);
    }
}

extern "C" __global__ void prelu_backward(
    const Real* x, const Real* dy, const Sum* w, int channels, int inner, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const Sum grad = dy[i];
        dx[i] = (Real)((Sum)x[i] > 0 ? grad : w[(unsigned int)i / inner % channels] * grad);
    }
}

// Of each piece of a channel the sum of x dy where x is not above zero: where it is NaN, it shows.
extern "C" __global__ void prelu_sum(const Real* x, const Real* dy, Channels sizes, double* sums) {
    __shared__ double of_warps[32];
    const Piece mine = piece_of_block(sizes);
    double total = 0;
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        const Sum value = x[at];
        if (!(value > 0)) {
            total += value * (Sum)dy[at];
        }
    }
    total = sum_of_lanes(total);
    if (threadIdx.x % 32 == 0) {
        of_warps[threadIdx.x / 32] = total;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        total = 0;
        for (int warp = 0; warp < blockDim.x / 32; ++warp) {
            total += of_warps[warp];
        }
        sums[blockIdx.x] = total;
    }
}

// The sums of `pieces` each into the slopes: of a channel, or, where all have one slope, of all channels.
extern "C" __global__ void prelu_add(const double* sums, int pieces, Sum* dw, Index count) {
    FOR_EACH(c, count) {
        dw[c] = (Sum)((double)dw[c] + sum_of_pieces(sums, c, pieces));
    }
}
