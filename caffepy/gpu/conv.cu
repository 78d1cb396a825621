#include "_types.cuh"

// Images lie one after the other, y (N, M, places), or side by side, as one product makes them: packed (M, N, places).
// All of this has fewer than 2^31 elements (blob.py), so places are worked out in 32 bits.

// Learnable blobs and their gradients are stored as `Sum`.

// y[n, m, p] = packed[m, n, p] + b[m]; b may be null; y may be packed where N is 1.
extern "C" __global__ void conv_unpack(const Real* packed, const Sum* b, Real* y, int images, int filters, int places) {
    FOR_EACH(i, (Index)images * filters * places) {
        const unsigned int plane = (unsigned int)i / places, place = (unsigned int)i % places;
        const unsigned int image = plane / filters, filter = plane % filters;
        const Sum value = packed[((Index)filter * images + image) * places + place];
        y[i] = (Real)(b ? value + b[filter] : value);
    }
}

// y[n, m, p] += b[m].
extern "C" __global__ void conv_add_bias(Real* y, const Sum* b, int images, int filters, int places) {
    FOR_EACH(i, (Index)images * filters * places) {
        const unsigned int plane = (unsigned int)i / places;
        y[i] = (Real)((Sum)y[i] + b[plane % filters]);
    }
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
