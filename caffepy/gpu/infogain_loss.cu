#include "_types.cuh"
#include "_warp.cuh"
#include "_whole.cuh"
#include "_loss.cuh"

extern "C" __global__ void infogain_loss_forward(const Real* prob, const Real* label, const Real* h, Index classes,
                                                 Index inner, int ignore, int ignore_label, Sum smallest,
                                                 unsigned long long* bad, double* sums, Index* counts, Real* out,
                                                 int outputs, Index count) {
    Loss loss = {0, 0};
    FOR_EACH(i, count) {
        const Index row = i / inner, c = row % classes;
        const Index place = row / classes * inner + i % inner;
        // Each class's thread sees the label; the first's tells of it.
        const int k = class_of((Sum)label[place], classes, ignore, ignore_label, c ? (unsigned long long*)0 : bad, place);
        if (k < 0) continue;
        const Sum p = (Sum)prob[i];
        // NaN is not below anything and so stays.
        loss.sum -= (double)((Sum)h[k * classes + c] * log(p < smallest ? smallest : p));
        loss.counted += c == 0;
    }
    leave_loss(loss, sums, counts, out, outputs);
}

// The sum of each row of h, by a warp each.
extern "C" __global__ void infogain_loss_rows(const Real* h, double* rows, Index classes) {
    const int lane = threadIdx.x % 32;
    for (Index row = (blockIdx.x * (Index)blockDim.x + threadIdx.x) / 32; row < classes;
         row += (Index)gridDim.x * blockDim.x / 32) {
        double sum = 0;
        for (Index c = lane; c < classes; c += 32) sum += (double)(Sum)h[row * classes + c];
        sum = warp_sum(sum);
        if (lane == 0) rows[row] = sum;
    }
}

extern "C" __global__ void infogain_loss_backward(const Real* prob, const Real* label, const Real* h, const double* rows,
                                                  Index classes, Index inner, int ignore, int ignore_label,
                                                  const Real* scale, Real* dx, Index count) {
    const double factor = (double)(Sum)scale[0];
    FOR_EACH(i, count) {
        const Index row = i / inner, c = row % classes;
        const Index place = row / classes * inner + i % inner;
        const int k = class_of((Sum)label[place], classes, ignore, ignore_label, (unsigned long long*)0, place);
        const double slope = k < 0 ? 0 : (double)(Sum)prob[i] * rows[k] - (double)(Sum)h[k * classes + c];
        dx[i] = (Real)(Sum)(k < 0 ? 0 : factor * slope);
    }
}
