#include "_types.cuh"
#include "_warp.cuh"

// Whether value a at place i comes before b at j: NaN first, then the larger, of equal ones the later.
__device__ inline bool is_before(Sum a, Index i, Sum b, Index j) {
    const bool nan = a != a, other_nan = b != b;
    if (nan != other_nan) return nan;
    return nan || a == b ? i > j : a > b;
}

// `LANES` threads look for the largest of one column: each round finds the first of those that come behind the last.
template <int LANES>
__device__ inline void largest(const Real* x, Index* places, Real* values, Index dim, Index inner, Index top_k,
                               Index columns) {
    const int lane = LANES == 1 ? 0 : threadIdx.x % LANES;
    for (Index column = (blockIdx.x * (Index)blockDim.x + threadIdx.x) / LANES; column < columns;
         column += (Index)gridDim.x * blockDim.x / LANES) {
        const Index n = column / inner, i = column % inner;
        const Real* from = x + n * dim * inner + i;
        Sum last = 0;
        Index last_place = -1;
        for (Index k = 0; k < top_k; ++k) {
            Sum best = 0;
            Index place = -1;
            for (Index j = lane; j < dim; j += LANES) {
                const Sum value = (Sum)from[j * inner];
                if (last_place >= 0 && !is_before(last, last_place, value, j)) continue;
                if (place < 0 || is_before(value, j, best, place)) {
                    best = value;
                    place = j;
                }
            }
            for (int offset = LANES / 2; offset > 0; offset /= 2) {
                const Sum value = __shfl_xor_sync(ALL_LANES, best, offset);
                const Index j = __shfl_xor_sync(ALL_LANES, place, offset);
                if (j >= 0 && (place < 0 || is_before(value, j, best, place))) {
                    best = value;
                    place = j;
                }
            }
            if (lane == 0) {
                places[(n * top_k + k) * inner + i] = place;
                values[(n * top_k + k) * inner + i] = (Real)best;
            }
            last = best;
            last_place = place;
        }
    }
}

// A warp for each row where inner is 1; else a thread for each column.
extern "C" __global__ void arg_max_rows(const Real* x, Index* places, Real* values, Index dim, Index top_k, Index rows) {
    largest<32>(x, places, values, dim, 1, top_k, rows);
}

extern "C" __global__ void arg_max_columns(const Real* x, Index* places, Real* values, Index dim, Index inner,
                                           Index top_k, Index columns) {
    largest<1>(x, places, values, dim, inner, top_k, columns);
}
