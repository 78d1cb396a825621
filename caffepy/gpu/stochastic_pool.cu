#include "_types.cuh"
#include "_philox.cuh"
#include "_window.cuh"

// One value after the other, as the CPU adds them: the sums, and with them the draws, are the same to the bit.
extern "C" __global__ void stochastic_pool_draw(
    const Real* x, Window window, unsigned int key0, unsigned int key1, const unsigned long long* step, Real* y,
    int* drawn, Index count) {
    FOR_EACH(i, count) {
        const Place at = place_of(i, window.rows, window.columns);
        const Span rows = inside(at.row * window.stride_h, window.kernel_h, window.height);
        const Span columns = inside(at.column * window.stride_w, window.kernel_w, window.width);
        const Real* image = x + (Index)at.plane * window.height * window.width;
        Sum total = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin; column < columns.end; ++column) {
                total += (Sum)image[row * window.width + column];
            }
        }
        const unsigned int word = philox(i / 4, *step, key0, key1).word[i % 4];
        const Sum threshold = (Sum)((double)(word >> 8) * 5.9604644775390625e-8) * total;
        Sum so_far = 0;
        // The last positive value where rounding keeps the sum below; the first of a window of zeros, as Caffe.
        const bool empty = rows.begin >= rows.end || columns.begin >= columns.end;
        int place = empty ? -1 : rows.begin * window.width + columns.begin;
        bool found = false;
        for (int row = rows.begin; row < rows.end && !found; ++row) {
            for (int column = columns.begin; column < columns.end && !found; ++column) {
                const Sum value = image[row * window.width + column];
                so_far += value;
                if (value > 0) {
                    place = row * window.width + column;
                    found = so_far > threshold;
                }
            }
        }
        drawn[i] = place;
        y[i] = place < 0 ? (Real)(Sum)0 : image[place];
    }
}

// The whole gradient of a window goes to the value drawn from it.
extern "C" __global__ void stochastic_pool_backward(
    const Real* dy, const int* drawn, Window window, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const Place place = place_of(i, window.height, window.width);
        const Span rows = reaching(place.row, window.kernel_h, window.stride_h, 0, window.rows);
        const Span columns = reaching(place.column, window.kernel_w, window.stride_w, 0, window.columns);
        const Index plane = (Index)place.plane * window.rows * window.columns;
        Sum total = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin; column < columns.end; ++column) {
                const Index at = plane + row * window.columns + column;
                if (drawn[at] == place.row * window.width + place.column) {
                    total += (Sum)dy[at];
                }
            }
        }
        dx[i] = (Real)total;
    }
}

extern "C" __global__ void stochastic_pool_expect(const Real* x, Window window, Real* y, Index count) {
    FOR_EACH(i, count) {
        const Place at = place_of(i, window.rows, window.columns);
        const Span rows = inside(at.row * window.stride_h, window.kernel_h, window.height);
        const Span columns = inside(at.column * window.stride_w, window.kernel_w, window.width);
        const Real* image = x + (Index)at.plane * window.height * window.width;
        // Caffe starts its sum at the least normal number, so that a window of zeros is no division by zero.
        Sum total = (Sum)1.1754943508e-38f, squares = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin; column < columns.end; ++column) {
                const Sum value = image[row * window.width + column];
                total += value;
                squares += value * value;
            }
        }
        y[i] = (Real)(squares / total);
    }
}
