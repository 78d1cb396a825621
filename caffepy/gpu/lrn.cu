#include "_types.cuh"
#include "_powers.cuh"

// A thread goes along the channels of one position, or along some of them. What it needs of a window's channels it
// keeps in rings: channel c is entry c modulo the window. Entry e of a thread's rings is `rings[e * stride]`, beside
// those of its neighbours, in shared memory or, where that is too small, in the device's.

struct Lrn {
    int channels, places;   // Places: positions of a plane.
    int window, chunk;      // Channels that a sum is over, and that a thread goes along.
    int chunks;
    int in_shared;
};

struct Work {
    Index base;             // Of channel 0 at the thread's position.
    int first, last;        // Channels whose results are the thread's.
};

__device__ inline Work work_of(Index i, const Lrn& lrn) {
    const unsigned int at = (unsigned int)i, row = at / lrn.places, place = at % lrn.places;
    const int first = (int)(row % lrn.chunks) * lrn.chunk;
    Work work = {(Index)(row / lrn.chunks) * lrn.channels * lrn.places + place, first,
                 smaller(first + lrn.chunk, lrn.channels)};
    return work;
}

__device__ inline Sum sum_of(const Sum* ring, int size, int stride) {
    // Afresh: a running sum loses digits where values differ in size.
    Sum total = 0;
    for (int entry = 0; entry < size; ++entry) {
        total += ring[(Index)entry * stride];
    }
    return total;
}

__device__ inline void clear(Sum* ring, int size, int stride) {
    for (int entry = 0; entry < size; ++entry) {
        ring[(Index)entry * stride] = 0;
    }
}

// The square of channel c of those there are, else 0.
__device__ inline Sum square_of(const Real* x, const Work& work, int c, const Lrn& lrn) {
    if (c < 0 || c >= lrn.channels) {
        return 0;
    }
    const Sum value = x[work.base + (Index)c * lrn.places];
    return value * value;
}

extern "C" __global__ void lrn_forward(
    const Real* x, Lrn lrn, Sum alpha, Sum beta, Sum k, Sum* memory, Real* y, Index count) {
    extern __shared__ double shared[];
    const int stride = lrn.in_shared ? blockDim.x : gridDim.x * blockDim.x;
    Sum* squares = lrn.in_shared ? (Sum*)shared + threadIdx.x : memory + blockIdx.x * blockDim.x + threadIdx.x;
    const int size = lrn.window, half = size / 2;
    FOR_EACH(i, count) {
        const Work work = work_of(i, lrn);
        clear(squares, size, stride);
        // The entry of channel c.
        int entry = 0;
        for (int c = work.first - half; c < work.last + half; ++c) {
            squares[(Index)entry * stride] = square_of(x, work, c, lrn);
            entry = entry + 1 < size ? entry + 1 : 0;
            const int e = c - half;
            if (e >= work.first) {
                const Index at = work.base + (Index)e * lrn.places;
                y[at] = (Real)((Sum)x[at] / power_of(k + alpha * sum_of(squares, size, stride), beta));
            }
        }
    }
}

extern "C" __global__ void lrn_backward(
    const Real* x, const Real* dy, Lrn lrn, Sum alpha, Sum beta, Sum k, Sum factor, Sum* memory, Real* dx,
    Index count) {
    extern __shared__ double shared[];
    const int stride = lrn.in_shared ? blockDim.x : gridDim.x * blockDim.x;
    Sum* squares = lrn.in_shared ? (Sum*)shared + threadIdx.x : memory + blockIdx.x * blockDim.x + threadIdx.x;
    const int size = lrn.window, half = size / 2, most = half + 1;
    Sum *ratios = squares + (Index)size * stride, *direct = ratios + (Index)size * stride;
    FOR_EACH(i, count) {
        const Work work = work_of(i, lrn);
        clear(squares, 2 * size, stride);
        int entry = 0, kept = 0;
        // Channel c comes into the ring of squares, which is then the window of channel s, whose ratio comes into the
        // ring of ratios, which is then the window of channel e.
        for (int c = work.first - 2 * half; c < work.last + 2 * half; ++c) {
            squares[(Index)entry * stride] = square_of(x, work, c, lrn);
            const int s = c - half, e = c - 2 * half;
            Sum ratio = 0, share = 0;
            if (s >= larger(work.first - half, 0) && s < lrn.channels) {
                const Index at = work.base + (Index)s * lrn.places;
                const Sum scale = k + alpha * sum_of(squares, size, stride), power = power_of(scale, beta);
                share = (Sum)dy[at] / power;
                ratio = share * (Sum)x[at] / scale;
            }
            ratios[(Index)entry * stride] = ratio;
            direct[(Index)kept * stride] = share;
            entry = entry + 1 < size ? entry + 1 : 0;
            kept = kept + 1 < most ? kept + 1 : 0;
            if (e >= work.first) {
                const Index at = work.base + (Index)e * lrn.places;
                // The oldest of those kept is that of e.
                dx[at] = (Real)(direct[(Index)kept * stride] - factor * (Sum)x[at] * sum_of(ratios, size, stride));
            }
        }
    }
}
