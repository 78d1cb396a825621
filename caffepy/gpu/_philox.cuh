// Philox4x32-10 as caffepy/random.py has it: the same words on every device.

struct Words {
    unsigned int word[4];
};

__device__ inline Words philox(unsigned long long block, unsigned long long step, unsigned int key0, unsigned int key1) {
    unsigned int c0 = (unsigned int)block, c1 = (unsigned int)(block >> 32);
    unsigned int c2 = (unsigned int)step, c3 = (unsigned int)(step >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = 0xD2511F53ull * c0;
        const unsigned long long product1 = 0xCD9E8D57ull * c2;
        c0 = (unsigned int)(product1 >> 32) ^ c1 ^ key0;
        c1 = (unsigned int)product1;
        c2 = (unsigned int)(product0 >> 32) ^ c3 ^ key1;
        c3 = (unsigned int)product0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    Words words = {{c0, c1, c2, c3}};
    return words;
}
