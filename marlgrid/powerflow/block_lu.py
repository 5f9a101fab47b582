"""A sparse matrix of 2 x 2 blocks, factorised and solved on the pattern of ``ordering``: one, or eight side by side."""

from __future__ import annotations

from marlgrid.compiled import arithmetic
from marlgrid.powerflow.lanes import get, like, put, width


@arithmetic
def factorise(one, first, column, update, pivot, above, below) -> None:  # pragma: no cover
    """Block LU without pivoting between blocks, in place: inverses of the pivots, multipliers below."""
    n, u, size = len(first) - 1, 0, 4 * width(one)
    for k in range(n):
        begin, end = first[k], first[k + 1]
        _invert(one, k * size, pivot)
        for i in range(begin, end):
            _multiply(one, i * size, below, k * size, pivot)
            _subtract(one, i * size, below, i * size, above, column[i] * size, pivot)
        for i in range(begin, end):
            for j in range(i + 1, end):
                _subtract(one, i * size, below, j * size, above, update[u] * size, above)
                _subtract(one, j * size, below, i * size, above, update[u] * size, below)
                u += 1


@arithmetic
def substitute(one, first, column, pivot, above, below, x) -> None:  # pragma: no cover
    """Solves with the factors, in place."""
    n, lanes = len(first) - 1, width(one)
    for k in range(n):
        p, q = get(one, x, 2 * k * lanes), get(one, x, (2 * k + 1) * lanes)
        for i in range(first[k], first[k + 1]):
            block, row = 4 * i * lanes, 2 * column[i] * lanes
            y, z = get(one, x, row), get(one, x, row + lanes)
            put(one, x, row, y - (get(one, below, block) * p + get(one, below, block + lanes) * q))
            s, t = get(one, below, block + 2 * lanes), get(one, below, block + 3 * lanes)
            put(one, x, row + lanes, z - (s * p + t * q))
    for k in range(n - 1, -1, -1):
        y, z = get(one, x, 2 * k * lanes), get(one, x, (2 * k + 1) * lanes)
        for i in range(first[k], first[k + 1]):
            block, row = 4 * i * lanes, 2 * column[i] * lanes
            p, q = get(one, x, row), get(one, x, row + lanes)
            y -= get(one, above, block) * p + get(one, above, block + lanes) * q
            z -= get(one, above, block + 2 * lanes) * p + get(one, above, block + 3 * lanes) * q
        block = 4 * k * lanes
        p = get(one, pivot, block) * y + get(one, pivot, block + lanes) * z
        q = get(one, pivot, block + 2 * lanes) * y + get(one, pivot, block + 3 * lanes) * z
        put(one, x, 2 * k * lanes, p)
        put(one, x, (2 * k + 1) * lanes, q)


@arithmetic
def _invert(one, at, a):  # pragma: no cover
    lanes, zero = width(one), like(one, 0.0)
    p, q, r, s = get(one, a, at), get(one, a, at + lanes), get(one, a, at + 2 * lanes), get(one, a, at + 3 * lanes)
    scale = like(one, 1.0) / (p * s - q * r)
    put(one, a, at, s * scale)
    put(one, a, at + lanes, zero - q * scale)
    put(one, a, at + 2 * lanes, zero - r * scale)
    put(one, a, at + 3 * lanes, p * scale)


@arithmetic
def _multiply(one, i, a, j, b):  # pragma: no cover
    """Puts the product of two 2 x 2 blocks in the place of the first."""
    lanes = width(one)
    p, q, r, s = get(one, a, i), get(one, a, i + lanes), get(one, a, i + 2 * lanes), get(one, a, i + 3 * lanes)
    t, u, v, w = get(one, b, j), get(one, b, j + lanes), get(one, b, j + 2 * lanes), get(one, b, j + 3 * lanes)
    put(one, a, i, p * t + q * v)
    put(one, a, i + lanes, p * u + q * w)
    put(one, a, i + 2 * lanes, r * t + s * v)
    put(one, a, i + 3 * lanes, r * u + s * w)


@arithmetic
def _subtract(one, i, a, j, b, o, out):  # pragma: no cover
    """Takes the product of two 2 x 2 blocks off a third."""
    lanes = width(one)
    p, q, r, s = get(one, a, i), get(one, a, i + lanes), get(one, a, i + 2 * lanes), get(one, a, i + 3 * lanes)
    t, u, v, w = get(one, b, j), get(one, b, j + lanes), get(one, b, j + 2 * lanes), get(one, b, j + 3 * lanes)
    put(one, out, o, get(one, out, o) - (p * t + q * v))
    put(one, out, o + lanes, get(one, out, o + lanes) - (p * u + q * w))
    put(one, out, o + 2 * lanes, get(one, out, o + 2 * lanes) - (r * t + s * v))
    put(one, out, o + 3 * lanes, get(one, out, o + 3 * lanes) - (r * u + s * w))
