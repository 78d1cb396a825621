#include "_types.cuh"
#include "_warp.cuh"

// By one warp: the sum of x, added in float64, into one column of the next row. `notes` is the number of rows that there were,
// which goes up with the last column, and then the table, whose rows are used in turn.
extern "C" __global__ void notes_add(const Real* x, double* notes, Index rows, Index columns, Index column,
                                     Index count) {
    double total = 0;
    for (Index i = threadIdx.x; i < count; i += 32) total += (double)(Sum)x[i];
    total = warp_sum(total);
    if (threadIdx.x) return;
    const Index row = (Index)notes[0] % rows;
    notes[1 + row * columns + column] = (double)(Sum)(Real)total;
    if (column == columns - 1) notes[0] += 1;
}
