#include "_types.cuh"

// What the gates of one cell let through: Caffe's order of the inputs is i, f, o, g.
struct Gates {
    Sum i, f, o, g;
};

__device__ inline Sum sigmoid(Sum x) {
    return (Sum)1 / ((Sum)1 + exp(-x));
}

__device__ inline Gates gates_of(const Real* x, int cells, Sum keep) {
    // A sequence that begins forgets what was, be it NaN.
    Gates gates = {sigmoid((Sum)x[0]), keep != 0 ? keep * sigmoid((Sum)x[cells]) : keep,
                   sigmoid((Sum)x[2 * (Index)cells]), tanh((Sum)x[3 * (Index)cells])};
    return gates;
}

extern "C" __global__ void lstm_forward(
    const Real* c_prev, const Real* x, const Real* cont, int cells, Real* c, Real* h, Index count) {
    FOR_EACH(i, count) {
        const unsigned int n = (unsigned int)i / cells, d = (unsigned int)i % cells;
        const Gates gates = gates_of(x + 4 * (Index)n * cells + d, cells, (Sum)cont[n]);
        const Sum cell = gates.f * (Sum)c_prev[i] + gates.i * gates.g;
        c[i] = (Real)cell;
        h[i] = (Real)(gates.o * tanh(cell));
    }
}

extern "C" __global__ void lstm_backward(
    const Real* c_prev, const Real* x, const Real* cont, const Real* c, const Real* dc, const Real* dh, int cells,
    Real* dc_prev, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const unsigned int n = (unsigned int)i / cells, d = (unsigned int)i % cells;
        const Index at = 4 * (Index)n * cells + d;
        const Gates gates = gates_of(x + at, cells, (Sum)cont[n]);
        const Sum squashed = tanh((Sum)c[i]), into_h = dh[i], before = c_prev[i];
        const Sum into_c = (Sum)dc[i] + into_h * gates.o * (1 - squashed * squashed);
        dc_prev[i] = (Real)(into_c * gates.f);
        dx[at] = (Real)(into_c * gates.g * gates.i * (1 - gates.i));
        dx[at + cells] = (Real)(into_c * before * gates.f * (1 - gates.f));
        dx[at + 2 * (Index)cells] = (Real)(into_h * squashed * gates.o * (1 - gates.o));
        dx[at + 3 * (Index)cells] = (Real)(into_c * gates.i * (1 - gates.g * gates.g));
    }
}
