// s^beta; by square roots, several times as fast, for AlexNet's 0.75 and for 0.5.
__device__ inline Sum power_of(Sum s, Sum beta) {
    if (beta == (Sum)0.75) {
        const Sum root = sqrt(s);
        return root * sqrt(root);
    }
    return beta == (Sum)0.5 ? sqrt(s) : pow(s, beta);
}
