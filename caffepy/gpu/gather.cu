#include "_types.cuh"
#include "_whole.cuh"

// Rows picked by number. A pick that cannot be used takes row 0, or none where there is no row: -1.
extern "C" __global__ void gather_set_index(const Real* numbers, Index rows, int fractions, Index* index,
                                            unsigned long long* bad, Index picks) {
    FOR_EACH(m, picks) {
        const Sum value = (Sum)numbers[m];
        // NaN is in no range.
        if (value >= 0 && value < (Sum)rows && (fractions || value == floor(value))) {
            index[m] = (Index)value;
        } else {
            index[m] = rows ? 0 : -1;
            note_bad(bad, m, value);
        }
    }
}

// The rows whose number is not 0, in order, by one warp: 32 rows at a time.
extern "C" __global__ void gather_set_selected(const Real* selector, Index* index, Index* picked, Index rows) {
    Index before = 0;
    for (Index first = 0; first < rows; first += 32) {
        const Index row = first + threadIdx.x;
        // NaN is not 0.
        const bool selected = row < rows && !((Sum)selector[row] == 0);
        const unsigned int lanes = __ballot_sync(0xffffffffu, selected);
        if (selected) index[before + __popc(lanes & ((1u << threadIdx.x) - 1))] = row;
        before += __popc(lanes);
    }
    if (threadIdx.x == 0) picked[0] = before;
}

extern "C" __global__ void gather_forward(const Real* x, const Index* index, Index columns, Real* y, Index count) {
    FOR_EACH(i, count) {
        const Index row = index[i / columns];
        y[i] = row < 0 ? (Real)(Sum)0 : x[row * columns + i % columns];
    }
}

// Of each row, the first and the last pick that takes it; both as what grows, from -1, which means none.
extern "C" __global__ void gather_ends(const Index* index, int* ends, Index picks) {
    FOR_EACH(m, picks) {
        if (index[m] >= 0) {
            atomicMax(ends + 2 * index[m], (int)(picks - 1 - m));
            atomicMax(ends + 2 * index[m] + 1, (int)m);
        }
    }
}

// For each pick, the next that takes the same row.
extern "C" __global__ void gather_chain(const Index* index, const int* ends, int* next, Index picks) {
    FOR_EACH(m, picks) {
        const Index row = index[m];
        Index other = m + 1;
        if (row >= 0 && ends[2 * row + 1] > m) {
            while (index[other] != row) ++other;
            next[m] = (int)other;
        } else {
            next[m] = -1;
        }
    }
}

// The thread of a row's first pick adds all of them, in order: no two threads write one element.
extern "C" __global__ void gather_backward(const Real* dy, const Index* index, const int* ends, const int* next,
                                           Index columns, Real* dx, Index picks, Index count) {
    FOR_EACH(i, count) {
        const Index first = i / columns, column = i % columns, row = index[first];
        if (row < 0 || ends[2 * row] != picks - 1 - first) continue;
        Sum total = (Sum)dx[row * columns + column];
        for (int m = (int)first; m >= 0; m = next[m]) total += (Sum)dy[m * columns + column];
        dx[row * columns + column] = (Real)total;
    }
}
