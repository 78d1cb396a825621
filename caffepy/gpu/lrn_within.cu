#include "_types.cuh"
#include "_powers.cuh"
#include "_window.cuh"

// Windows of `size` by `size` around each place of planes, by 1; zeros around the image count.

__device__ inline Sum around(const Real* image, const Place& place, int height, int width, int size, bool squared) {
    const Span rows = inside(place.row - size / 2, size, height), columns = inside(place.column - size / 2, size, width);
    Sum total = 0;
    for (int row = rows.begin; row < rows.end; ++row) {
        for (int column = columns.begin; column < columns.end; ++column) {
            const Sum value = image[row * width + column];
            total += squared ? value * value : value;
        }
    }
    return total / ((Sum)size * (Sum)size);
}

extern "C" __global__ void lrn_within_forward(
    const Real* x, int height, int width, int size, Sum alpha, Sum beta, Real* scale, Real* y, Index count) {
    FOR_EACH(i, count) {
        const Place place = place_of(i, height, width);
        const Real* image = x + (Index)place.plane * height * width;
        const Sum s = 1 + alpha * around(image, place, height, width, size, true);
        scale[i] = (Real)s;
        y[i] = (Real)((Sum)x[i] / power_of(s, beta));
    }
}

// dy x s^-(beta + 1), of which backward takes the mean.
extern "C" __global__ void lrn_within_ratio(
    const Real* x, const Real* dy, const Real* scale, Sum beta, Real* ratio, Index count) {
    FOR_EACH(i, count) {
        const Sum s = scale[i];
        ratio[i] = (Real)((Sum)dy[i] * (Sum)x[i] / (power_of(s, beta) * s));
    }
}

extern "C" __global__ void lrn_within_backward(
    const Real* x, const Real* dy, const Real* scale, const Real* ratio, int height, int width, int size, Sum beta,
    Sum factor, Real* dx, Index count) {
    FOR_EACH(i, count) {
        const Place place = place_of(i, height, width);
        const Real* image = ratio + (Index)place.plane * height * width;
        const Sum mean = around(image, place, height, width, size, false);
        dx[i] = (Real)((Sum)dy[i] / power_of((Sum)scale[i], beta) - factor * (Sum)x[i] * mean);
    }
}
