#include "_types.cuh"

// Images lie one after the other, y (N, M, places), or side by side, as one product makes them: packed (M, N, places).
// All of this has fewer than 2^31 elements (blob.py), so places are worked out in 32 bits.

// Learnable blobs and their gradients are stored as `Sum`.

// f(scale[m] * value + shift[m]), f(v) = v where v > 0, else v * slope; scale and shift may be null. NaN stays NaN.
__device__ inline Real finished(Sum value, const Sum* scale, const Sum* shift, unsigned int filter, Sum slope) {
    if (scale) value *= scale[filter];
    if (shift) value += shift[filter];
    return (Real)(value > 0 ? value : value * slope);
}

// y[n, m, p] = packed[m, n, p], finished; y may be packed where N is 1.
extern "C" __global__ void conv_unpack(const Real* packed, const Sum* scale, const Sum* shift, Real* y, Sum slope,
                                       int images, int filters, int places) {
    FOR_EACH(i, (Index)images * filters * places) {
        const unsigned int plane = (unsigned int)i / places, place = (unsigned int)i % places;
        const unsigned int image = plane / filters, filter = plane % filters;
        y[i] = finished(packed[((Index)filter * images + image) * places + place], scale, shift, filter, slope);
    }
}

// The same, where images lie one after the other already.
extern "C" __global__ void conv_finish(Real* y, const Sum* scale, const Sum* shift, Sum slope, int images, int filters,
                                       int places) {
    FOR_EACH(i, (Index)images * filters * places) {
        const unsigned int plane = (unsigned int)i / places;
        y[i] = finished(y[i], scale, shift, plane % filters, slope);
    }
}

// scaled[m, k] = scale[m] * w[m, k], for `depth` numbers k.
extern "C" __global__ void conv_scale(const Sum* w, const Sum* scale, Real* scaled, Index depth, Index count) {
    FOR_EACH(i, count) scaled[i] = (Real)(w[i] * scale[i / depth]);
}

// packed[m, n, p] = y[n, m, p].
extern "C" __global__ void conv_pack(const Real* y, Real* packed, int images, int filters, int places) {
    FOR_EACH(i, (Index)images * filters * places) {
        const unsigned int row = (unsigned int)i / places, place = (unsigned int)i % places;
        const unsigned int filter = row / images, image = row % images;
        packed[i] = y[((Index)image * filters + filter) * places + place];
    }
}

// dw[i] += part[i].
extern "C" __global__ void conv_add(const Sum* part, Sum* dw, Index count) {
    FOR_EACH(i, count) dw[i] += part[i];
}

extern "C" __global__ void conv_add_rounded(const Real* part, Sum* dw, Index count) {
    FOR_EACH(i, count) dw[i] += (Sum)part[i];
}

// db[m] += sum over n, p of dy[n, m, p], in double and always in the same order: a block of 512 threads for each m.
extern "C" __global__ void conv_bias_gradient(const Real* dy, Sum* db, int images, int filters, int places) {
    __shared__ double sums[512];
    const int filter = blockIdx.x, thread = threadIdx.x;
    double sum = 0;
#pragma unroll 4
    for (unsigned int i = thread; i < (unsigned int)images * places; i += 512) {
        const unsigned int image = i / places, place = i % places;
        sum += (double)(Sum)dy[((Index)image * filters + filter) * places + place];
    }
    sums[thread] = sum;
    __syncthreads();
    for (int half = 256; half > 0; half /= 2) {
        if (thread < half) sums[thread] += sums[thread + half];
        __syncthreads();
    }
    if (thread == 0) db[filter] = (Sum)((double)db[filter] + sums[0]);
}
