"""Philox4x32-10 in whole numbers of Python, straight from the paper: Salmon et al., SC 2011, section 4.3."""

MASK = 0xFFFFFFFF


def philox4x32(counter, key, rounds=10):
    """Four words from a counter of four and a key of two."""
    left0, right0, left1, right1 = counter[1], counter[0], counter[3], counter[2]
    for turn in range(rounds):
        key0 = (key[0] + turn * 0x9E3779B9) & MASK
        key1 = (key[1] + turn * 0xBB67AE85) & MASK
        low0, high0 = right0 * 0xD2511F53 & MASK, right0 * 0xD2511F53 >> 32
        low1, high1 = right1 * 0xCD9E8D57 & MASK, right1 * 0xCD9E8D57 >> 32
        right0, left0, right1, left1 = high1 ^ left0 ^ key0, low1, high0 ^ left1 ^ key1, low0
    return right0, left0, right1, left1


def word(key, step, index):
    """Word ``index`` of ``step`` as caffepy.random counts them."""
    block, place = divmod(index, 4)
    return philox4x32((block & MASK, block >> 32, step & MASK, step >> 32), key)[place]
