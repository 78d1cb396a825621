#include "_types.cuh"

// Learnable blobs and their gradients are stored as `Sum`.

// Of weights, for products of halves.
extern "C" __global__ void gemm_round(const Sum* w, Real* rounded, Index count) {
    FOR_EACH(i, count) rounded[i] = (Real)w[i];
}

// y[m, n] += b[n]; y (rows, columns). A row of the grid goes through rows of y.
extern "C" __global__ void gemm_add_bias(Real* y, const Sum* b, int rows, int columns) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const Sum bias = b[column];
    for (int row = blockIdx.y; row < rows; row += gridDim.y) {
        const Index i = (Index)row * columns + column;
        y[i] = (Real)((Sum)y[i] + bias);
    }
}

// db[n] += sum over m of dy[m, n], in double and always in the same order. A block of 32 x 16 threads has 32 columns, of
// which each warp adds up every sixteenth row.
extern "C" __global__ void gemm_bias_gradient(const Real* dy, Sum* db, int rows, int columns) {
    __shared__ double sums[16][33];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int column = blockIdx.x * 32 + lane;
    double sum = 0;
    if (column < columns) {
        for (int row = warp; row < rows; row += 16) sum += (double)(Sum)dy[(Index)row * columns + column];
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < columns) {
        for (int other = 1; other < 16; other++) sum += sums[other][lane];
        db[column] = (Sum)((double)db[column] + sum);
    }
}
