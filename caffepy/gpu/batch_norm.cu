#include "_types.cuh"
#include "_channels.cuh"

// All in double precision: the sums of a million values are as good as those of ten.

// The sum of a block's values, written by its first thread.
__device__ void write_sum(double value, double* of_warps, double* result) {
    value = sum_of_lanes(value);
    if (threadIdx.x % 32 == 0) {
        of_warps[threadIdx.x / 32] = value;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        value = 0;
        for (int warp = 0; warp < blockDim.x / 32; ++warp) {
            value += of_warps[warp];
        }
        *result = value;
    }
}

__device__ inline double count_of(const Channels& sizes) {
    return (double)sizes.outer * sizes.inner;
}

extern "C" __global__ void batch_norm_sum(const Real* x, Channels sizes, double* sums) {
    __shared__ double of_warps[32];
    const Piece mine = piece_of_block(sizes);
    double total = 0;
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        total += (double)(Sum)x[at_channel(i, mine.channel, sizes)];
    }
    write_sum(total, of_warps, sums + blockIdx.x);
}

// Squares of distances from the mean.
extern "C" __global__ void batch_norm_squares(const Real* x, const double* sums, Channels sizes, double* squares) {
    __shared__ double of_warps[32];
    const Piece mine = piece_of_block(sizes);
    const double mean = sum_of_pieces(sums, mine.channel, sizes.pieces) / count_of(sizes);
    double total = 0;
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const double far = (double)(Sum)x[at_channel(i, mine.channel, sizes)] - mean;
        total += far * far;
    }
    write_sum(total, of_warps, squares + blockIdx.x);
}

extern "C" __global__ void batch_norm_forward(
    const Real* x, const double* sums, const double* squares, Channels sizes, double eps, Sum* mean, Sum* var,
    double* factor, Real* normal, Real* y) {
    const Piece mine = piece_of_block(sizes);
    const double centre = sum_of_pieces(sums, mine.channel, sizes.pieces) / count_of(sizes);
    const double variance = sum_of_pieces(squares, mine.channel, sizes.pieces) / count_of(sizes);
    const double scale = 1 / sqrt(variance + eps);
    if (mine.piece == 0 && threadIdx.x == 0) {
        mean[mine.channel] = (Sum)centre;
        var[mine.channel] = (Sum)variance;
        factor[mine.channel] = scale;
    }
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        const Real value = (Real)(Sum)(((double)(Sum)x[at] - centre) * scale);
        normal[at] = value;
        y[at] = value;
    }
}

extern "C" __global__ void batch_norm_forward_global(
    const Real* x, const Sum* mean, const Sum* var, Channels sizes, double eps, double* factor, Real* y) {
    const Piece mine = piece_of_block(sizes);
    const double centre = (double)mean[mine.channel];
    const double scale = 1 / sqrt((double)var[mine.channel] + eps);
    if (mine.piece == 0 && threadIdx.x == 0) {
        factor[mine.channel] = scale;
    }
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        y[at] = (Real)(Sum)(((double)(Sum)x[at] - centre) * scale);
    }
}

// Of dy, and of dy times the normalised values.
extern "C" __global__ void batch_norm_sum_diffs(
    const Real* dy, const Real* normal, Channels sizes, double* sums, double* products) {
    __shared__ double of_warps[2][32];
    const Piece mine = piece_of_block(sizes);
    double total = 0, product = 0;
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        const double grad = (double)(Sum)dy[at];
        total += grad;
        product += grad * (double)(Sum)normal[at];
    }
    write_sum(total, of_warps[0], sums + blockIdx.x);
    write_sum(product, of_warps[1], products + blockIdx.x);
}

extern "C" __global__ void batch_norm_backward(
    const Real* dy, const Real* normal, const double* sums, const double* products, const double* factor,
    Channels sizes, Real* dx) {
    const Piece mine = piece_of_block(sizes);
    const double mean = sum_of_pieces(sums, mine.channel, sizes.pieces) / count_of(sizes);
    const double slope = sum_of_pieces(products, mine.channel, sizes.pieces) / count_of(sizes);
    const double scale = factor[mine.channel];
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        dx[at] = (Real)(Sum)(((double)(Sum)dy[at] - mean - (double)(Sum)normal[at] * slope) * scale);
    }
}

extern "C" __global__ void batch_norm_backward_global(
    const Real* dy, const double* factor, Channels sizes, Real* dx) {
    const Piece mine = piece_of_block(sizes);
    const double scale = factor[mine.channel];
    for (unsigned int i = mine.begin + threadIdx.x; i < mine.end; i += blockDim.x) {
        const Index at = at_channel(i, mine.channel, sizes);
        dx[at] = (Real)(Sum)((double)(Sum)dy[at] * scale);
    }
}
