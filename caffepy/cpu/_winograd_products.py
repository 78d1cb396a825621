"""The products between transforms: a matrix for each point, of panels (see `_winograd_tiles`), in blocks of registers.

Nothing is laid out anew, as BLAS would, so that a product of a few tiles is as fast as one of many.
"""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._simd import multiply_add
from caffepy.cpu._winograd_tiles import Tiles, span

__all__ = ["multiply_gradients", "multiply_tiles"]

# Three panels of as many rows, and what they are multiplied by, fit the L1 cache.
_ROWS = 256


@kernel
def _strip_of_panels(
    width: int,
    add: bool,
    v: Array,
    v0: int,
    v_step: int,
    panels: int,
    u: Array,
    u0: int,
    u_step: int,
    p: Array,
    p0: int,
    p_step: int,
    count: int,
) -> None:
    """``count`` rows of ``width`` (1 to 3) panels of p, from ``panels`` panels of v and rows of u."""
    t = 0
    while t < count:
        # The last block begins earlier rather than be smaller, where nothing is added twice by it.
        if t + 4 > count and count >= 4 and not add:
            t = count - 4
        at, to = v0 + t * 8, p0 + t * 8
        if t + 4 <= count:
            if width == 3:
                multiply_add(4, 3, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            elif width == 2:
                multiply_add(4, 2, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            else:
                multiply_add(4, 1, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            t += 4
        else:
            if width == 3:
                multiply_add(1, 3, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            elif width == 2:
                multiply_add(1, 2, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            else:
                multiply_add(1, 1, 8, 1, 8, add, panels, v, at, v_step, u, u0, u_step, p, to, p_step)
            t += 1


@kernel
def _width(left: int) -> int:
    """Panels to take together of those left: never one alone if it can be helped."""
    return 3 if left == 3 or left > 4 else min(left, 2)


@kernel
def multiply_tiles(
    t: Tiles,
    first: int,
    last: int,
    v: Array,
    v_step: int,
    u_panel: int,
    u: Array,
    u_step: int,
    p: Array,
    p_step: int,
    length: int,
    first_panel: int,
    last_panel: int,
) -> None:
    """p = v u for the tiles of strips ``first`` to ``last`` and panels ``first_panel`` to ``last_panel``, of one group.

    v and p hold ``length`` tiles in a panel; p begins with ``first_panel``, and u with ``u_panel``.
    """
    group = first_panel // t.filter_panels
    most = _ROWS // 8
    for point in range(t.points_h * t.points_w):
        begin, end = span(t, first, last, point // t.points_w, point % t.points_w)
        for channel in range(0, t.panels, most):
            panels = min(most, t.panels - channel)
            v0 = point * v_step + ((group * t.panels + channel) * length + begin) * 8
            panel = first_panel
            while panel < last_panel:
                width = _width(last_panel - panel)
                u0 = point * u_step + ((panel - u_panel) * t.panels + channel) * 64
                p0 = point * p_step + ((panel - first_panel) * length + begin) * 8
                steps = length * 8, t.panels * 64
                _strip_of_panels(
                    width, channel > 0, v, v0, steps[0], panels, u, u0, steps[1], p, p0, steps[0], end - begin
                )
                panel += width


@kernel
def _rows_of_filters(
    width: int,
    add: bool,
    v: Array,
    v0: int,
    y: Array,
    y0: int,
    step: int,
    u: Array,
    u0: int,
    u_step: int,
    panels: int,
    count: int,
) -> None:
    """``width`` (1 to 3) panels of u, a row for each channel of ``panels`` panels of v, summed over ``count`` tiles."""
    fours, rest = count // 4, count % 4
    for row in range(0, panels * 8, 4):
        at, to = v0 + row // 8 * step + row % 8, u0 + row * 8
        if width == 3:
            multiply_add(4, 3, 4, 8, 1, add, fours, v, at, 32, y, y0, step, u, to, u_step)
            multiply_add(4, 3, 1, 8, 1, True, rest, v, at + fours * 32, 8, y, y0 + fours * 32, step, u, to, u_step)
        elif width == 2:
            multiply_add(4, 2, 4, 8, 1, add, fours, v, at, 32, y, y0, step, u, to, u_step)
            multiply_add(4, 2, 1, 8, 1, True, rest, v, at + fours * 32, 8, y, y0 + fours * 32, step, u, to, u_step)
        else:
            multiply_add(4, 1, 4, 8, 1, add, fours, v, at, 32, y, y0, step, u, to, u_step)
            multiply_add(4, 1, 1, 8, 1, True, rest, v, at + fours * 32, 8, y, y0 + fours * 32, step, u, to, u_step)


@kernel
def multiply_gradients(
    t: Tiles,
    first: int,
    last: int,
    add: bool,
    part: int,
    parts: int,
    v: Array,
    v_step: int,
    y: Array,
    y_step: int,
    length: int,
    u: Array,
    u_step: int,
) -> None:
    """u = v^T y over the tiles of strips ``first`` to ``last``, or that added to u; of every ``parts``-th point."""
    for point in range(part, t.points_h * t.points_w, parts):
        begin, end = span(t, first, last, point // t.points_w, point % t.points_w)
        if begin == end and not add:
            u[point * u_step : (point + 1) * u_step] = 0
        for at in range(begin, end, _ROWS):
            count = min(_ROWS, end - at)
            for group in range(t.group):
                v0 = point * v_step + (group * t.panels * length + at) * 8
                panel = group * t.filter_panels
                while panel < (group + 1) * t.filter_panels:
                    width = _width((group + 1) * t.filter_panels - panel)
                    y0 = point * y_step + (panel * length + at) * 8
                    u0 = point * u_step + panel * t.panels * 64
                    _rows_of_filters(
                        *(width, add or at > begin, v, v0, y, y0, length * 8, u, u0, t.panels * 64, t.panels, count)
                    )
                    panel += width
