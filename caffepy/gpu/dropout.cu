#include "_types.cuh"
#include "_philox.cuh"

// A thread makes the four words of a block, for four elements side by side.
extern "C" __global__ void dropout_run(
    const Real* x, Real* y, unsigned int threshold, Sum scale, unsigned int key0, unsigned int key1,
    const unsigned long long* step, Index size, Index count) {
    FOR_EACH(block, count) {
        const Words words = philox(block, *step, key0, key1);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const Index i = 4 * block + j;
            if (i < size) {
                y[i] = (Real)((Sum)x[i] * (words.word[j] >= threshold ? scale : (Sum)0));
            }
        }
    }
}
