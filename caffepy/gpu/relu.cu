#include "_types.cuh"

// y = max(x, 0) + slope * min(x, 0). NaN is neither above nor below zero and stays.
extern "C" __global__ void relu_forward(const Real* x, Real* y, Sum slope, Index count) {
    FOR_EACH(i, count) {
        const Sum value = x[i];
        y[i] = (Real)((value < 0 ? (Sum)0 : value) + slope * (value > 0 ? (Sum)0 : value));
    }
}

extern "C" __global__ void relu_backward(const Real* x, const Real* dy, Real* dx, Sum slope, Index count) {
    FOR_EACH(i, count) {
        dx[i] = (Real)((Sum)dy[i] * ((Sum)x[i] > 0 ? (Sum)1 : slope));
    }
}
