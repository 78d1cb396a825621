#include "_types.cuh"

// Windows over images of any number of axes: for each axis its size in x, in y, kernel, stride, pad and dilation, one
// such row of `axes` numbers after the other (Geometry in _geometry.py).
//
// A blob has fewer than 2^31 elements (blob.py), so places are worked out in 32 bits; only columns may be more.

// Where tap `tap` of the window at `place` lies in a plane of x, or -1 outside.
__device__ inline int lies(const int* window, int axes, int tap, int place) {
    const int *x = window, *y = x + axes, *kernel = y + axes, *stride = kernel + axes, *pad = stride + axes,
              *dilation = pad + axes;
    int at = 0, step = 1;
    for (int axis = axes - 1; axis >= 0; axis--) {
        const int p = place % y[axis], k = tap % kernel[axis];
        place /= y[axis];
        tap /= kernel[axis];
        const int position = p * stride[axis] - pad[axis] + k * dilation[axis];
        if (position < 0 || position >= x[axis]) return -1;
        at += position * step;
        step *= x[axis];
    }
    return at;
}

// The place whose window has `at`, an element of a plane of x, at its tap `tap`; or -1 if there is none.
__device__ inline int reads(const int* window, int axes, int tap, int at) {
    const int *x = window, *y = x + axes, *kernel = y + axes, *stride = kernel + axes, *pad = stride + axes,
              *dilation = pad + axes;
    int place = 0, step = 1;
    for (int axis = axes - 1; axis >= 0; axis--) {
        const int position = at % x[axis], k = tap % kernel[axis];
        at /= x[axis];
        tap /= kernel[axis];
        const int corner = position + pad[axis] - k * dilation[axis];
        if (corner < 0 || corner % stride[axis] != 0 || corner / stride[axis] >= y[axis]) return -1;
        place += corner / stride[axis] * step;
        step *= y[axis];
    }
    return place;
}

// cols[image * image_step + row * row_step + place] = x[image, channel, where the tap lies], for rows (channel, tap).
// A row of the grid goes through rows, a thread through columns (image, place).
extern "C" __global__ void im2col_unfold(const Real* x, Real* cols, const int* window, int axes, int images, int channels,
                                         int x_plane, int places, int taps, Index image_step, Index row_step) {
    FOR_EACH(column, (Index)images * places) {
        const int image = (unsigned int)column / places, place = (unsigned int)column % places;
        for (int row = blockIdx.y; row < channels * taps; row += gridDim.y) {
            const int at = lies(window, axes, row % taps, place);
            const Index plane = (Index)image * channels + row / taps;
            cols[image * image_step + row * row_step + place] = at < 0 ? (Real)0 : x[plane * x_plane + at];
        }
    }
}

// The transpose: each element of x is the sum, tap by tap, of what was made of it.
extern "C" __global__ void im2col_fold(const Real* cols, Real* x, const int* window, int axes, int images, int channels,
                                       int x_plane, int places, int taps, Index image_step, Index row_step) {
    FOR_EACH(i, (Index)images * channels * x_plane) {
        const int at = (unsigned int)i % (unsigned int)x_plane, plane = (unsigned int)i / (unsigned int)x_plane;
        const int image = plane / channels, channel = plane % channels;
        const Real* from = cols + image * image_step + (Index)channel * taps * row_step;
        Sum sum = 0;
        for (int tap = 0; tap < taps; tap++) {
            const int place = reads(window, axes, tap, at);
            if (place >= 0) sum += (Sum)from[tap * row_step + place];
        }
        x[i] = (Real)sum;
    }
}
