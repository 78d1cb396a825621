// Channels of arrays (outer, channels, inner). Each channel has `pieces` blocks, which go through `outer * inner` values.

struct Channels {
    int outer, channels, inner;
    int pieces;
};

struct Piece {
    int channel, piece;
    unsigned int begin, end;    // Of the channel's values.
};

__device__ inline Piece piece_of_block(const Channels& sizes) {
    const unsigned int count = (unsigned int)sizes.outer * sizes.inner;
    const unsigned int length = (count + sizes.pieces - 1) / sizes.pieces;
    const int piece = blockIdx.x % sizes.pieces;
    Piece mine = {(int)(blockIdx.x / sizes.pieces), piece, smaller(piece * length, count),
                  smaller((piece + 1) * length, count)};
    return mine;
}

// Where value i of a channel lies.
__device__ inline Index at_channel(unsigned int i, int channel, const Channels& sizes) {
    return ((Index)(i / sizes.inner) * sizes.channels + channel) * sizes.inner + i % sizes.inner;
}

// The sum over a warp, in its first lane.
__device__ inline double sum_of_lanes(double value) {
    for (int far = 16; far > 0; far /= 2) {
        value += __shfl_down_sync(0xffffffffu, value, far);
    }
    return value;
}

// The sums of a channel's pieces, one after the other, as every thread that asks finds them.
__device__ inline double sum_of_pieces(const double* sums, int channel, int pieces) {
    double total = 0;
    for (int piece = 0; piece < pieces; ++piece) {
        total += sums[(Index)channel * pieces + piece];
    }
    return total;
}
