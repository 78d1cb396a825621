// Whole numbers in arrays of `Real`: labels and indices. Those that cannot be used are noted for the host: _whole.py.

#define NO_WHOLE (-2147483647 - 1)

// The number without its fraction; NaN and what is too large could be anything, a class too, and give NO_WHOLE.
__device__ inline int whole(Sum value) {
    return value > (Sum)-2147483648.0 && value < (Sum)2147483648.0 ? (int)value : NO_WHOLE;
}

// The least place counts, whatever thread comes first. A float's bits show the value.
__device__ inline void note_bad(unsigned long long* record, Index place, Sum value) {
    const unsigned int bits = __float_as_uint((float)value);
    atomicMin(record, (unsigned long long)place << 32 | bits);
}
