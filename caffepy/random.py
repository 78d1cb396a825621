"""Counter-based random numbers: the same bits on every device, whatever the threads, with no state to save.

A `Stream` is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) under a key made of
``(random_seed, names...)``. Number ``i`` of ``step`` s is word ``i % 4`` of the block whose counter is::

    c0 = (i // 4) mod 2^32    c1 = (i // 4) div 2^32    c2 = s mod 2^32    c3 = s div 2^32

so any number can be computed by itself, in any order. The names say what the numbers are for: a dropout mask is
``Stream(seed, layer_name, "dropout")`` at step = iteration; crops and mirrors are at step = record ordinal.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["COS_TERMS", "LOG_TERMS", "SIN_TERMS", "Stream", "philox4x32"]

Bits: TypeAlias = NDArray[np.uint32]

_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Blocks worked on at a time: eight arrays of this many 64-bit words stay in the L2 cache.
_CHUNK = 1 << 13
#: Taylor's series, lowest power first, of 2 atanh(z) / z, sin(z) / z and cos(z), each in z^2.
LOG_TERMS = tuple(2 / (2 * k + 1) for k in range(11))
SIN_TERMS = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8))
COS_TERMS = tuple((-1) ** k / math.factorial(2 * k) for k in range(9))


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> Bits:
    """Ten rounds of Philox4x32 on ``counter`` (4, n), each word below 2^32; gives the random words, (n, 4)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0 = np.uint64(_MULTIPLIER[0]) * c0
        product1 = np.uint64(_MULTIPLIER[1]) * c2
        c0 = (product1 >> _HALF) ^ c1 ^ np.uint64(k0)
        c1 = product1 & _LOW
        c2 = (product0 >> _HALF) ^ c3 ^ np.uint64(k1)
        c3 = product0 & _LOW
        k0 = (k0 + _WEYL[0]) & 0xFFFFFFFF
        k1 = (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _series(terms: tuple[float, ...], z: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.full_like(z, terms[-1])
    for term in terms[-2::-1]:
        total *= z
        total += term
    return total


def _radius(words: Bits) -> NDArray[np.float64]:
    """``sqrt(-2 log((word + 1) / 2^32))``."""
    fraction, exponent = np.frexp(words + 1.0)
    # Near 1, where the series is short: from sqrt(1/2) to sqrt(2).
    small = fraction < math.sqrt(0.5)
    fraction = np.where(small, 2 * fraction, fraction)
    ratio = (fraction - 1) / (fraction + 1)
    logarithm = (exponent - small - 32.0) * math.log(2) + ratio * _series(LOG_TERMS, ratio * ratio)
    radius: NDArray[np.float64] = np.sqrt(-2 * logarithm)
    return radius


def _turn(words: Bits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine of ``2 pi word / 2^32``."""
    whole = words.astype(np.int64)
    quarter = (whole + (1 << 29)) >> 30
    angle = (whole - (quarter << 30)) * (2 * math.pi * 2.0**-32)
    square = angle * angle
    sine, cosine = angle * _series(SIN_TERMS, square), _series(COS_TERMS, square)
    odd = (quarter & 1) == 1
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(quarter & 2, -sine, sine), np.where((quarter + 1) & 2, -cosine, cosine)


def _box_muller(words: Bits) -> NDArray[np.float64]:
    """Two Gaussian numbers of each two neighbouring words along the last axis, an even number of them."""
    radius, (sine, cosine) = _radius(words[..., 0::2]), _turn(words[..., 1::2])
    return np.stack([radius * cosine, radius * sine], axis=-1).reshape(words.shape)


class Stream:
    """Random numbers of one purpose, addressed by ``(step, index)``."""

    def __init__(self, seed: int, *names: str | int) -> None:
        text = "\0".join(str(part) for part in (seed, *names))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        self.key = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))

    def bits(self, count: int, step: int = 0) -> Bits:
        """The first ``count`` 32-bit words of ``step``."""
        out = np.empty((count + 3) // 4 * 4, np.uint32)
        blocks = out.reshape(-1, 4)
        for start in range(0, len(blocks), _CHUNK):
            index = np.arange(start, min(start + _CHUNK, len(blocks)), dtype=np.uint64)
            counter = np.empty((4, len(index)), np.uint64)
            counter[0] = index & _LOW
            counter[1] = index >> _HALF
            counter[2] = step & 0xFFFFFFFF
            counter[3] = step >> 32
            blocks[start : start + len(index)] = philox4x32(counter, self.key)
        return out[:count]

    def bits_of_steps(self, steps: NDArray[np.int64], count: int) -> Bits:
        """The first ``count`` words of each step, (len(steps), count): one call for a whole batch of records."""
        blocks = (count + 3) // 4
        counter = np.zeros((4, len(steps), blocks), np.uint64)
        counter[0] = np.arange(blocks, dtype=np.uint64)
        counter[2] = (steps.astype(np.uint64) & _LOW)[:, None]
        counter[3] = (steps.astype(np.uint64) >> _HALF)[:, None]
        return philox4x32(counter.reshape(4, -1), self.key).reshape(len(steps), -1)[:, :count]

    def uniform(self, count: int, step: int = 0) -> NDArray[np.float32]:
        """Uniform in [0, 1), multiples of 2^-24, float32."""
        return (self.bits(count, step) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)

    def normal(self, count: int, step: int = 0, std: float = 1, mean: float = 0) -> NDArray[np.float32]:
        """Gaussian, by Box and Muller's transform in float64, rounded to float32; then times std, plus mean in that.

        Its logarithm, sine and cosine are sums and products in a fixed order: the same bits on every machine.
        """
        out = np.empty((count + 1) // 2 * 2, np.float32)
        words = self.bits(len(out), step)
        for start in range(0, len(out), 2 * _CHUNK):
            part = slice(start, start + 2 * _CHUNK)
            out[part] = _box_muller(words[part])
        out *= np.float32(std)
        out += np.float32(mean)
        return out[:count]

    def normal_of_steps(self, steps: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The first ``count`` numbers that `normal` gives for each step, not rounded, (len(steps), count)."""
        return _box_muller(self.bits_of_steps(steps, (count + 1) // 2 * 2))[:, :count]

    def permutation(self, count: int, step: int = 0) -> NDArray[np.int64]:
        """A shuffle of ``range(count)``; another one for each step."""
        words = self.bits(2 * count, step).astype(np.uint64)
        return np.argsort((words[0::2] << _HALF) | words[1::2], kind="stable").astype(np.int64)
