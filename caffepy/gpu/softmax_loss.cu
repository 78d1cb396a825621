#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

extern "C" __global__ void softmax_loss_forward(const Real* prob, const Real* label, Index classes, Index inner, int ignore,
                                                int ignore_label, double smallest, unsigned long long* bad,
                                                double* sums, Index* counts, Real* out, int outputs, Index count) {
    Loss loss = {0, 0};
    FOR_EACH(i, count) {
        const int k = class_of((Sum)label[i], classes, ignore, ignore_label, bad, i);
        if (k < 0) continue;
        const double p = (double)(Sum)prob[(i / inner * classes + k) * inner + i % inner];
        // NaN is not below anything and so stays.
        loss.sum -= log(p < smallest ? smallest : p);
        ++loss.counted;
    }
    leave_loss(loss, sums, counts, out, outputs);
}

extern "C" __global__ void softmax_loss_backward(const Real* prob, const Real* label, Index classes, Index inner, int ignore,
                                                 int ignore_label, const Real* scale, Real* dx, Index count) {
    const Sum factor = (Sum)scale[0];
    FOR_EACH(i, count) {
        const Index column = i / inner;
        const int k = whole((Sum)label[column / classes * inner + i % inner]);
        const Sum p = (Sum)prob[i];
        dx[i] = (Real)(ignore && k == ignore_label ? (Sum)0 : p * factor - (column % classes == k ? factor : (Sum)0));
    }
}
