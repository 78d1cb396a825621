// The types of a blob's elements. `Real` is how they are stored, `Sum` what is computed and added up in; both are chosen
// when the kernels are compiled: see _kernels.py.

typedef long long Index;  // Of elements: a blob may have more of them than an int counts.

#define FOR_EACH(i, count)                                                          \
    for (Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x; i < (Index)(count); \
         i += (Index)gridDim.x * blockDim.x)

template <class Number>
__device__ inline Number larger(Number a, Number b) {
    return a > b ? a : b;
}

template <class Number>
__device__ inline Number smaller(Number a, Number b) {
    return a < b ? a : b;
}
