// Windows over the planes of images, as the pooling kernels take them; _planes.py fills it in. A blob has fewer than
// 2^31 elements (blob.py), so places are worked out in 32 bits: a division of 64-bit numbers costs a hundred times as much.

struct Window {
    int height, width;      // Of the image.
    int rows, columns;      // Of windows.
    int kernel_h, kernel_w;
    int stride_h, stride_w;
    int pad_h, pad_w;
    int shift;              // 2^shift threads share a window.
};

struct Span {
    int begin, end;
};

// What of a window from `corner` on lies in the image, along one axis.
__device__ inline Span inside(int corner, int kernel, int size) {
    Span span = {larger(corner, 0), smaller(corner + kernel, size)};
    return span;
}

// The windows that reach `place` of the image, along one axis with `count` of them.
__device__ inline Span reaching(int place, int kernel, int stride, int pad, int count) {
    const int last = place + pad;
    Span span = {last < kernel ? 0 : (last - kernel) / stride + 1, smaller(last / stride + 1, count)};
    return span;
}

struct Place {
    unsigned int plane;
    int row, column;
};

__device__ inline Place place_of(Index i, int rows, int columns) {
    const unsigned int at = (unsigned int)i, row = at / columns;
    Place place = {row / rows, (int)(row % rows), (int)(at % columns)};
    return place;
}
