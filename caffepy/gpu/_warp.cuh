// Sums and maxima over the 32 lanes of a warp, the same for every run: each lane gets them.

#define ALL_LANES 0xffffffffu

template <class Number>
__device__ inline Number warp_sum(Number value) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

// NaN may or may not be passed over: who needs it asks for it.
template <class Number>
__device__ inline Number warp_largest(Number value) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) value = larger(value, __shfl_xor_sync(ALL_LANES, value, offset));
    return value;
}
