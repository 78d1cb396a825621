#include "_types.cuh"
#include "_warp.cuh"

// Softmax over the middle axis of (outer, classes, inner): by rows, where inner is 1 and a warp reads a row in a piece,
// or by columns, where the threads of a warp read neighbours.

extern "C" __global__ void softmax_forward_rows(const Real* x, Real* y, Index classes, Index rows) {
    const int lane = threadIdx.x % 32;
    for (Index row = (blockIdx.x * (Index)blockDim.x + threadIdx.x) / 32; row < rows;
         row += (Index)gridDim.x * blockDim.x / 32) {
        const Real* from = x + row * classes;
        Real* to = y + row * classes;
        // In place, a lane may read what it alone writes: it begins at minus infinity, not at the first score.
        Sum highest = (Sum)__uint_as_float(0xff800000u);
        for (Index c = lane; c < classes; c += 32) highest = larger((Sum)from[c], highest);
        highest = warp_largest(highest);
        // A NaN among the scores reaches every probability through its own exponential.
        Sum total = 0;
        for (Index c = lane; c < classes; c += 32) total += exp((Sum)from[c] - highest);
        total = warp_sum(total);
        for (Index c = lane; c < classes; c += 32) to[c] = (Real)(exp((Sum)from[c] - highest) / total);
    }
}

extern "C" __global__ void softmax_forward_columns(const Real* x, Real* y, Index classes, Index inner, Index columns) {
    FOR_EACH(column, columns) {
        const Index first = column / inner * classes * inner + column % inner;
        const Real* from = x + first;
        Real* to = y + first;
        Sum highest = (Sum)from[0];
        for (Index c = 1; c < classes; ++c) highest = larger((Sum)from[c * inner], highest);
        Sum total = 0;
        for (Index c = 0; c < classes; ++c) total += exp((Sum)from[c * inner] - highest);
        for (Index c = 0; c < classes; ++c) to[c * inner] = (Real)(exp((Sum)from[c * inner] - highest) / total);
    }
}

extern "C" __global__ void softmax_backward_rows(const Real* y, const Real* dy, Real* dx, Index classes, Index rows) {
    const int lane = threadIdx.x % 32;
    for (Index row = (blockIdx.x * (Index)blockDim.x + threadIdx.x) / 32; row < rows;
         row += (Index)gridDim.x * blockDim.x / 32) {
        const Index first = row * classes;
        Sum dot = 0;
        for (Index c = lane; c < classes; c += 32) dot += (Sum)y[first + c] * (Sum)dy[first + c];
        dot = warp_sum(dot);
        for (Index c = lane; c < classes; c += 32) {
            dx[first + c] = (Real)((Sum)y[first + c] * ((Sum)dy[first + c] - dot));
        }
    }
}

extern "C" __global__ void softmax_backward_columns(const Real* y, const Real* dy, Real* dx, Index classes, Index inner,
                                                    Index columns) {
    FOR_EACH(column, columns) {
        const Index first = column / inner * classes * inner + column % inner;
        Sum dot = 0;
        for (Index c = 0; c < classes; ++c) dot += (Sum)y[first + c * inner] * (Sum)dy[first + c * inner];
        for (Index c = 0; c < classes; ++c) {
            const Index i = first + c * inner;
            dx[i] = (Real)((Sum)y[i] * ((Sum)dy[i] - dot));
        }
    }
}
