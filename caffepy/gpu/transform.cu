#include "_types.cuh"

// Of a batch: shapes, and the mean image's, which is 0 high where the mean is a number of each channel.
struct Batch {
    int channels, height, width;
    int mean_height, mean_width;
};

// What is done to image n; the host sends one for each.
struct Image {
    int h_off, w_off;
    int mirror;
};

// In single precision, operation by operation as on the CPU and in Caffe, whatever is stored.
__device__ inline void finish(
    float value, Index i, const Batch& batch, const Image* images, const float* offset, const float* mean, float scale,
    Real* out) {
    const unsigned int row = (unsigned int)i / batch.width, plane = row / batch.height;
    const unsigned int n = plane / batch.channels, c = plane % batch.channels;
    if (batch.mean_height == 0) {
        out[i] = (Real)((value - offset[plane]) * scale);
        return;
    }
    int column = (int)((unsigned int)i % batch.width);
    if (images[n].mirror) {
        column = batch.width - 1 - column;
    }
    const Index at = ((Index)c * batch.mean_height + images[n].h_off + row % batch.height) * batch.mean_width;
    out[i] = (Real)((value - mean[at + images[n].w_off + column] + offset[plane]) * scale);
}

// Where the value of place i of the output comes from: the same place, or the one mirrored.
__device__ inline Index source_of(Index i, unsigned int n, const Batch& batch, const Image* images) {
    const int column = (int)((unsigned int)i % batch.width);
    return images[n].mirror ? i + batch.width - 1 - 2 * column : i;
}

extern "C" __global__ void transform_bytes(
    const unsigned char* x, Batch batch, const Image* images, const float* offset, const float* mean, float scale,
    Real* out, Index count) {
    FOR_EACH(i, count) {
        const unsigned int n = (unsigned int)i / batch.width / batch.height / batch.channels;
        finish((float)x[source_of(i, n, batch, images)], i, batch, images, offset, mean, scale, out);
    }
}

extern "C" __global__ void transform_floats(
    const float* x, Batch batch, const Image* images, const float* offset, const float* mean, float scale, Real* out,
    Index count) {
    FOR_EACH(i, count) {
        const unsigned int n = (unsigned int)i / batch.width / batch.height / batch.channels;
        finish(x[source_of(i, n, batch, images)], i, batch, images, offset, mean, scale, out);
    }
}

// A word is a pixel, red in its low byte, blue in the third; channels are blue, green and red. Count is that of words.
extern "C" __global__ void transform_words(
    const unsigned int* x, Batch batch, const Image* images, const float* offset, const float* mean, float scale,
    Real* out, Index count) {
    const unsigned int area = (unsigned int)batch.height * batch.width;
    FOR_EACH(i, count) {
        const unsigned int n = (unsigned int)i / area;
        const unsigned int word = x[source_of(i, n, batch, images)];
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            const float level = (float)((word >> (16 - 8 * c)) & 255u);
            finish(level, i + ((Index)2 * n + c) * area, batch, images, offset, mean, scale, out);
        }
    }
}
