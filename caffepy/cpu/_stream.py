"""Random numbers in all threads, by kernels: the very bits of `caffepy.random.Stream`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array
from caffepy.cpu._chunks import CHUNK, chunks_of
from caffepy.cpu._jit import exact_kernel, kernel
from caffepy.cpu._parallel import Workers
from caffepy.cpu._philox import philox_block
from caffepy.random import COS_TERMS, LOG_TERMS, SIN_TERMS, Bits, Stream

__all__ = ["FastStream"]

_LOW = 0xFFFFFFFF
_HALF_ROOT = math.sqrt(0.5)
_LOG_2 = math.log(2)
_ANGLE = 2 * math.pi * 2.0**-32
_FRACTION = np.int64((1 << 52) - 1)
_ONE = np.int64(1023 << 52)


class FastStream(Stream):
    """A `Stream` for many numbers at a time; ``workers`` share them."""

    def __init__(self, workers: Workers, seed: int, *names: str | int) -> None:
        super().__init__(seed, *names)
        self._workers = workers

    def bits(self, count: int, step: int = 0) -> Bits:
        return self._draw(count, step, None)

    def normal(self, count: int, step: int = 0, std: float = 1, mean: float = 0) -> NDArray[np.float32]:
        return self._draw(count, step, (np.float32(std), np.float32(mean))).view(np.float32)

    def _draw(self, count: int, step: int, normal: tuple[np.float32, np.float32] | None) -> Bits:
        """Words, or the numbers of a ``normal`` distribution made of them while they are in the cache."""
        out = np.empty((count + 3) // 4 * 4, np.uint32)
        blocks, numbers = out.reshape(-1, 4), out.view(np.float32)
        key0, key1 = map(np.uint64, self.key)

        def some(first: int, last: int, worker: int) -> None:
            for chunk in range(first, last):
                begin, end = chunk * CHUNK, min((chunk + 1) * CHUNK, len(out))
                _words(begin // 4, np.uint64(step), key0, key1, blocks[begin // 4 : end // 4])
                if normal is not None:
                    part = numbers[begin:end]
                    _normal(out[begin:end], part)
                    part *= normal[0]
                    part += normal[1]

        self._workers.run(chunks_of(len(out)), some)
        return out[:count]


@kernel
def _words(first: int, step: np.uint64, key0: np.uint64, key1: np.uint64, out: Array) -> None:
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = philox_block(np.uint64(first + i), step, key0, key1)


@exact_kernel
def _normal(words: Array, out: Array) -> None:
    """As `caffepy.random.Stream.normal` makes pairs of numbers, operation by operation; ``out`` may be ``words``."""
    for i in range(np.uintp(words.size // 2)):
        value = np.float64(words[2 * i]) + 1.0
        number = np.float64(value).view(np.int64)
        exponent = np.float64((number >> 52) - 1022)
        fraction = 0.5 * np.int64((number & _FRACTION) | _ONE).view(np.float64)
        small = fraction < _HALF_ROOT
        fraction = 2 * fraction if small else fraction
        exponent = exponent - 1.0 if small else exponent
        ratio = (fraction - 1) / (fraction + 1)
        square = ratio * ratio
        total = LOG_TERMS[10]
        for k in range(9, -1, -1):
            total = total * square + LOG_TERMS[k]
        radius = np.sqrt(-2 * ((exponent - 32.0) * _LOG_2 + ratio * total))

        whole = np.int64(words[2 * i + 1])
        quarter = (whole + (1 << 29)) >> 30
        angle = np.float64(whole - (quarter << 30)) * _ANGLE
        square = angle * angle
        sine = SIN_TERMS[7]
        for k in range(6, -1, -1):
            sine = sine * square + SIN_TERMS[k]
        sine *= angle
        cosine = COS_TERMS[8]
        for k in range(7, -1, -1):
            cosine = cosine * square + COS_TERMS[k]
        odd = (quarter & 1) == 1
        first, second = (sine, cosine) if odd else (cosine, sine)
        out[2 * i] = radius * (-first if (quarter + 1) & 2 else first)
        out[2 * i + 1] = radius * (-second if quarter & 2 else second)
