#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

extern "C" __global__ void sigmoid_cross_entropy_loss_forward(const Real* x, const Real* target, int ignore,
                                                              int ignore_label, double* sums, Index* counts, Real* out,
                                                              int outputs, Index count) {
    Loss loss = {0, 0};
    FOR_EACH(i, count) {
        const Sum score = (Sum)x[i], t = (Sum)target[i];
        if (ignore && whole(t) == ignore_label) continue;
        loss.sum += (double)score * ((score >= 0 ? 1.0 : 0.0) - (double)t) + (double)log1p(exp(-fabs(score)));
        ++loss.counted;
    }
    leave_loss(loss, sums, counts, out, outputs);
}

extern "C" __global__ void sigmoid_cross_entropy_loss_backward(const Real* x, const Real* target, int ignore,
                                                               int ignore_label, const Real* scale, Real* dx,
                                                               Index count) {
    const Sum factor = (Sum)scale[0];
    FOR_EACH(i, count) {
        const Sum t = (Sum)target[i];
        dx[i] = (Real)(ignore && whole(t) == ignore_label ? (Sum)0 : factor * (1 / (1 + exp(-(Sum)x[i])) - t));
    }
}
