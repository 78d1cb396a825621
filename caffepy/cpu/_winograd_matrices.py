"""The three matrices of a fast convolution, and kernels' words for multiplying by them.

A filter of r taps over n = m + r - 1 numbers has m results, and takes n products instead of m r: polynomials are
multiplied by their values at n points (Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray, "Fast
algorithms for convolutional neural networks", CVPR 2016)::

    y = E_m^T [ (E_r g) * (B d) ]        results y (m), taps g (r), numbers d (n)

E_k (n, k) gives a polynomial's values, from its coefficients, at `POINTS`, and B (n, n) is what makes this exact. The
same with g and y changed round gives a filter's gradient. Both axes of a tile are transformed one after the other.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from caffepy.cpu._simd import Generate, Vectors, intrinsic_of

__all__ = ["MOST_POINTS", "POINTS", "SIZES", "TAPS", "apply", "matrix"]

Matrix = list[list[Fraction]]

#: In this order: n results need the first n, so tiles of all sizes share the same transformed filters. None is the
#: point at infinity, whose value is the highest coefficient. Of the sets with few bits these lose the fewest of a
#: result: the largest error over the largest result, of 256 channels in float32, is 1e-6 for 4 points, 3e-6 for 6,
#: 1e-5 for 7 and 1.3e-5 for 8 with 3 taps, and 6e-6 for 8 with 5. A ninth point would lose ten times as much.
POINTS = (
    Fraction(0),
    None,
    Fraction(1),
    Fraction(-1),
    Fraction(2),
    Fraction(-1, 2),
    Fraction(-2),
    Fraction(1, 2),
)
MOST_POINTS = len(POINTS)

#: Taps on an axis that filters, or their phases, may have.
TAPS = (3, 4, 5)
#: (n, k) of all transforms: k is the taps, or the results, of n points.
SIZES = sorted({(n, k) for taps in TAPS for n in range(taps, MOST_POINTS + 1) for k in (taps, n - taps + 1)})


def _values(n: int, k: int) -> Matrix:
    """E_k (n, k)."""
    return [[Fraction(i == k - 1) if point is None else point**i for i in range(k)] for point in POINTS[:n]]


def _numbers(n: int) -> Matrix:
    """B (n, n): each row the coefficients of the polynomial that is 1 at one point and 0 at the others."""
    finite = [point for point in POINTS[:n] if point is not None]
    rows = []
    for point in POINTS[:n]:
        polynomial, scale = [Fraction(1)], Fraction(1)
        for other in finite:
            if other != point:
                shifted, scaled = [Fraction(0), *polynomial], [other * c for c in polynomial] + [Fraction(0)]
                polynomial = [a - b for a, b in zip(shifted, scaled, strict=True)]
                scale *= 1 if point is None else point - other
        rows.append([c / scale for c in polynomial] + [Fraction(0)] * (n - len(polynomial)))
    return rows


def matrix(kind: str, n: int, k: int) -> Matrix:
    """``values``: E_k (n, k). ``numbers``: B (n, n). ``results``: E_k^T (k, n)."""
    if kind == "numbers":
        return _numbers(n)
    values = _values(n, k)
    return values if kind == "values" else [list(column) for column in zip(*values, strict=True)]


def _paired(a: list[Fraction], b: list[Fraction], least: int) -> bool:
    """Whether two rows differ in signs only, and have enough that is not 0 to gain by it."""
    return all(abs(p) == abs(q) for p, q in zip(a, b, strict=True)) and sum(map(bool, a)) >= least


def _product(vectors: Vectors, rows: Matrix, numbers: list[Any]) -> list[Any]:
    """Matrix times vectors; opposite points share sums, as they have even and odd terms in common."""
    add, subtract = vectors.builder.fadd, vectors.builder.fsub
    columns = [list(column) for column in zip(*rows, strict=True)]
    terms: list[tuple[list[Fraction], Any]] = []
    rest = list(range(len(columns)))
    while rest:
        p = rest.pop(0)
        q = next((q for q in rest if _paired(columns[p], columns[q], 2)), None)
        if q is None:
            terms.append((columns[p], numbers[p]))
            continue
        rest.remove(q)
        same = [a == b for a, b in zip(columns[p], columns[q], strict=True)]
        for wanted, combine in ((True, add), (False, subtract)):
            column = [a if equal is wanted else Fraction(0) for a, equal in zip(columns[p], same, strict=True)]
            terms.append((column, combine(numbers[p], numbers[q])))
    results: list[Any] = [None] * len(rows)
    rest = list(range(len(rows)))
    while rest:
        p = rest.pop(0)
        row = [column[p] for column, _ in terms]
        other = next((q for q in rest if _paired(row, [column[q] for column, _ in terms], 3)), None)
        if other is None:
            results[p] = vectors.dot([(column[p], vector) for column, vector in terms])
            continue
        rest.remove(other)
        even = vectors.dot([(column[p], vector) for column, vector in terms if column[p] == column[other]])
        odd = vectors.dot([(column[p], vector) for column, vector in terms if column[p] != column[other]])
        results[p], results[other] = add(even, odd), subtract(even, odd)
    return results


@intrinsic_of
def apply(
    _: Any, kind: Any, n: Any, k: Any, src: Any, s0: Any, s_step: Any, dst: Any, d0: Any, d_step: Any
) -> tuple[Any, Generate]:
    """Multiply by `matrix` (kind, n, k): ``dst[d0 + i * d_step] = sum over j of M[i, j] * src[s0 + j * s_step]``.

    Each of them is eight numbers; all are read before any is written. ``kind`` is a constant; n and k, which `SIZES`
    has, are not: there is code for each of them.
    """
    word = kind.literal_value
    # B does not depend on k.
    sizes = sorted({(n, n) for n, _ in SIZES}) if word == "numbers" else SIZES

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n, k, src, s0, s_step, dst, d0, d_step = arguments[1:]
        vectors = Vectors(context, builder, signature.args[3])
        size = builder.add(builder.mul(n, ir.Constant(n.type, 16)), n if word == "numbers" else k)
        end = builder.append_basic_block("applied")
        choice = builder.switch(size, end)
        for points, count in sizes:
            block = builder.append_basic_block(f"{word}_{points}_{count}")
            choice.add_case(ir.Constant(n.type, 16 * points + count), block)
            builder.position_at_end(block)
            source, target = vectors.start(signature.args[3], src, s0), vectors.start(signature.args[6], dst, d0)
            rows = matrix(word, points, count)
            loaded = []
            for _ in rows[0]:
                loaded.append(vectors.load(source))
                source = vectors.after(source, s_step)
            for result in _product(vectors, rows, loaded):
                vectors.store(result, target)
                target = vectors.after(target, d_step)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(kind, whole, whole, src, whole, whole, dst, whole, whole), generate
