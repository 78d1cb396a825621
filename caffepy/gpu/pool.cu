#include "_types.cuh"
#include "_window.cuh"

// Of 2^shift threads that share a window each takes every 2^shift-th column; the first of them has the result.
template <class Number>
__device__ void greatest(
    const Real* x, const Window& window, Index windows, Real* y, Number* chosen, Real* mask, Index count) {
    const Number none = (Number)-1;
    const int lanes = 1 << window.shift;
    FOR_EACH(thread, count) {
        const Index mine = thread >> window.shift, i = smaller(mine, windows - 1);
        const Place place = place_of(i, window.rows, window.columns);
        const int top = place.row * window.stride_h - window.pad_h, left = place.column * window.stride_w - window.pad_w;
        const Span rows = inside(top, window.kernel_h, window.height);
        const Span columns = inside(left, window.kernel_w, window.width);
        const int lane = (int)thread & (lanes - 1);
        const Real* image = x + (Index)place.plane * window.height * window.width;
        // Caffe's least value, in double precision too; NaN is not above it.
        Sum best = (Sum)-3.402823466e+38f;
        unsigned int number = none;
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin + lane; column < columns.end; column += lanes) {
                const Sum value = image[(Index)row * window.width + column];
                if (value > best) {
                    best = value;
                    number = (row - top) * window.kernel_w + column - left;
                }
            }
        }
        for (int far = lanes / 2; far > 0; far /= 2) {
            const Sum other = __shfl_down_sync(0xffffffffu, best, far, lanes);
            const unsigned int its = __shfl_down_sync(0xffffffffu, number, far, lanes);
            if (other > best || (other == best && its < number)) {
                best = other;
                number = its;
            }
        }
        if (lane == 0 && mine < windows) {
            y[i] = (Real)best;
            chosen[i] = (Number)number;
            if (mask) {
                const int row = top + (int)(number / window.kernel_w), column = left + (int)(number % window.kernel_w);
                mask[i] = (Real)(number == none ? (Sum)-1 : (Sum)(row * window.width + column));
            }
        }
    }
}

// Each value gathers from the windows that chose it.
template <class Number>
__device__ void gather(const Real* dy, const Number* chosen, const Window& window, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const Place place = place_of(i, window.height, window.width);
        const Span rows = reaching(place.row, window.kernel_h, window.stride_h, window.pad_h, window.rows);
        const Span columns = reaching(place.column, window.kernel_w, window.stride_w, window.pad_w, window.columns);
        const Index plane = (Index)place.plane * window.rows * window.columns;
        Sum total = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            const int down = place.row - (row * window.stride_h - window.pad_h);
            for (int column = columns.begin; column < columns.end; ++column) {
                const int along = place.column - (column * window.stride_w - window.pad_w);
                const Index at = plane + row * window.columns + column;
                if (chosen[at] == (Number)(down * window.kernel_w + along)) {
                    total += (Sum)dy[at];
                }
            }
        }
        dx[i] = (Real)total;
    }
}

extern "C" __global__ void pool_max_forward8(
    const Real* x, Window window, Index windows, Real* y, unsigned char* chosen, Real* mask, Index count) {
    greatest(x, window, windows, y, chosen, mask, count);
}

extern "C" __global__ void pool_max_forward16(
    const Real* x, Window window, Index windows, Real* y, unsigned short* chosen, Real* mask, Index count) {
    greatest(x, window, windows, y, chosen, mask, count);
}

extern "C" __global__ void pool_max_forward32(
    const Real* x, Window window, Index windows, Real* y, unsigned int* chosen, Real* mask, Index count) {
    greatest(x, window, windows, y, chosen, mask, count);
}

extern "C" __global__ void pool_max_backward8(
    const Real* dy, const unsigned char* chosen, Window window, Real* dx, Index count) {
    gather(dy, chosen, window, dx, count);
}

extern "C" __global__ void pool_max_backward16(
    const Real* dy, const unsigned short* chosen, Window window, Real* dx, Index count) {
    gather(dy, chosen, window, dx, count);
}

extern "C" __global__ void pool_max_backward32(
    const Real* dy, const unsigned int* chosen, Window window, Real* dx, Index count) {
    gather(dy, chosen, window, dx, count);
}

// The values that a window has along one axis, padding among them.
__device__ inline int extent(int corner, int kernel, int size, int pad) {
    return smaller(corner + kernel, size + pad) - corner;
}

extern "C" __global__ void pool_ave_forward(const Real* x, Window window, Index windows, Real* y, Index count) {
    const int lanes = 1 << window.shift;
    FOR_EACH(thread, count) {
        const Index mine = thread >> window.shift, i = smaller(mine, windows - 1);
        const Place place = place_of(i, window.rows, window.columns);
        const int top = place.row * window.stride_h - window.pad_h, left = place.column * window.stride_w - window.pad_w;
        const Span rows = inside(top, window.kernel_h, window.height);
        const Span columns = inside(left, window.kernel_w, window.width);
        const int lane = (int)thread & (lanes - 1);
        const Real* image = x + (Index)place.plane * window.height * window.width;
        Sum total = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin + lane; column < columns.end; column += lanes) {
                total += (Sum)image[(Index)row * window.width + column];
            }
        }
        for (int far = lanes / 2; far > 0; far /= 2) {
            total += __shfl_down_sync(0xffffffffu, total, far, lanes);
        }
        if (lane == 0 && mine < windows) {
            const Sum tall = extent(top, window.kernel_h, window.height, window.pad_h);
            const Sum wide = extent(left, window.kernel_w, window.width, window.pad_w);
            y[i] = (Real)(total / (tall * wide));
        }
    }
}

extern "C" __global__ void pool_ave_backward(const Real* dy, Window window, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const Place place = place_of(i, window.height, window.width);
        const Span rows = reaching(place.row, window.kernel_h, window.stride_h, window.pad_h, window.rows);
        const Span columns = reaching(place.column, window.kernel_w, window.stride_w, window.pad_w, window.columns);
        const Index plane = (Index)place.plane * window.rows * window.columns;
        Sum total = 0;
        for (int row = rows.begin; row < rows.end; ++row) {
            const int top = row * window.stride_h - window.pad_h;
            const Sum tall = extent(top, window.kernel_h, window.height, window.pad_h);
            for (int column = columns.begin; column < columns.end; ++column) {
                const int left = column * window.stride_w - window.pad_w;
                const Sum wide = extent(left, window.kernel_w, window.width, window.pad_w);
                total += (Sum)dy[plane + row * window.columns + column] / (tall * wide);
            }
        }
        dx[i] = (Real)total;
    }
}
