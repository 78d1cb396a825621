#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

extern "C" __global__ void multinomial_loss_forward(const Real* prob, const Real* label, Index classes, double smallest,
                                                    unsigned long long* bad, double* sums, Index* counts, Real* out,
                                                    int outputs, Index count) {
    Loss loss = {0, 0};
    FOR_EACH(n, count) {
        const int k = class_of((Sum)label[n], classes, 0, 0, bad, n);
        if (k < 0) continue;
        const double p = (double)(Sum)prob[n * classes + k];
        // NaN is not below anything and so stays.
        loss.sum -= log(p < smallest ? smallest : p);
    }
    leave_loss(loss, sums, counts, out, outputs);
}

extern "C" __global__ void multinomial_loss_backward(const Real* prob, const Real* label, Index classes, double smallest,
                                                     const Real* scale, Real* dx, Index count) {
    const double factor = (double)(Sum)scale[0];
    FOR_EACH(i, count) {
        const double p = (double)(Sum)prob[i];
        dx[i] = (Real)(Sum)(i % classes == whole((Sum)label[i / classes]) ? -factor / (p < smallest ? smallest : p) : 0);
    }
}
