#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

extern "C" __global__ void hinge_loss_forward(const Real* x, const Real* label, Index classes, int squared,
                                              unsigned long long* bad, double* sums, Index* counts, Real* out,
                                              int outputs, Index count) {
    Loss loss = {0, 0};
    FOR_EACH(i, count) {
        const Index n = i / classes, c = i % classes;
        const int k = class_of((Sum)label[n], classes, 0, 0, c ? (unsigned long long*)0 : bad, n);
        const double score = (double)(Sum)x[i];
        const double term = c == k ? 1 - score : 1 + score;
        // NaN is not below anything and so stays.
        if (!(term <= 0)) loss.sum += squared ? term * term : term;
    }
    leave_loss(loss, sums, counts, out, outputs);
}

extern "C" __global__ void hinge_loss_backward(const Real* x, const Real* label, Index classes, int squared,
                                               const Real* scale, Real* dx, Index count) {
    const Sum factor = (Sum)scale[0];
    FOR_EACH(i, count) {
        const Sum sign = i % classes == whole((Sum)label[i / classes]) ? (Sum)-1 : (Sum)1;
        const Sum term = 1 + sign * (Sum)x[i];
        // A term that is NaN has a gradient that is NaN.
        dx[i] = (Real)(term <= 0 ? (Sum)0 : squared ? 2 * factor * sign * term : term > 0 ? factor * sign : term);
    }
}
