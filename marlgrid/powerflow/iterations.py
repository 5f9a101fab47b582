"""Newton's iterations on rows of one topology, in polar coordinates with relative steps, and their cold start.

What belongs to a bus stands at its position of elimination, the slack's bus being the last; the lanes are those of
``solution``.
"""

from __future__ import annotations

import math

from marlgrid.compiled import arithmetic, subkernel
from marlgrid.powerflow.block_lu import factorise, substitute
from marlgrid.powerflow.lanes import farther, get, like, put, width

TOLERANCE = 1e-10
"""Largest mismatch of a solution, per unit."""
MAX_ITERATIONS = 10
IDLE, ACTIVE, SOLVED = 0.0, 1.0, 2.0
"""States of a lane."""


@arithmetic
def newton(one, close, network, wanted, free, state, v, x, injected, pivot, above, below) -> None:  # pragma: no cover
    """Iterates until no mismatch of an active lane exceeds the tolerance; leaves it solved, or idle where it fails.

    From a ``close`` start every second iteration from the third on uses the matrix of the one before: it has not
    changed much, and the elimination is most of the work. Near a collapse that would take too many iterations.
    """
    first, column, update = network[2], network[3], network[4]
    n, lanes = len(first) - 1, width(one)
    half, unit, zero = like(one, 0.5), like(one, 1.0), like(one, 0.0)
    moving, largest, sums = state[lanes:], state[2 * lanes :], state[3 * lanes :]
    for iteration in range(MAX_ITERATIONS + 1):
        renew = not close or iteration < 2 or iteration % 2 == 1
        _evaluate(one, renew, network, free, v, injected, pivot, above, below)
        worst, total = zero, zero
        for k in range(n):
            at = 2 * k * lanes
            p = get(one, wanted, at) - get(one, injected, at)
            q = (get(one, wanted, at + lanes) - get(one, injected, at + lanes)) * like(one, free[k])
            put(one, x, at, p)
            put(one, x, at + lanes, q)
            worst = farther(farther(worst, p), q)
            total += p + q
        put(one, largest, 0, worst)
        put(one, sums, 0, total)
        active = False
        for l in range(lanes):
            if state[l] == ACTIVE:
                if not (largest[l] < 1e6 and sums[l] == sums[l]):  # also not a number
                    state[l] = IDLE
                elif largest[l] < TOLERANCE:
                    state[l] = SOLVED
                else:
                    active = True
            moving[l] = 1.0 if state[l] == ACTIVE else 0.0
        if not active or iteration == MAX_ITERATIONS:
            return
        if renew:
            factorise(one, first, column, update, pivot, above, below)
        substitute(one, first, column, pivot, above, below, x)
        go = get(one, moving, 0)
        for k in range(n):
            re, im = 2 * k * lanes, (2 * k + 1) * lanes
            h = get(one, x, re) * go * half
            # a rotation by 2 atan(h): that by 2 h to third order, and it keeps magnitudes
            scale = (unit + get(one, x, im) * go) / (unit + h * h)
            c, s = (unit - h * h) * scale, (h + h) * scale
            a, b = get(one, v, re), get(one, v, im)
            put(one, v, re, c * a - s * b)
            put(one, v, im, c * b + s * a)


@arithmetic
def _evaluate(one, renew, network, free, v, injected, pivot, above, below):  # pragma: no cover
    """S = V conj(Y V) at each position, and, if asked for, the Jacobian.

    Its blocks are (dP/dangle, dP/dstep, dQ/dangle, dQ/dstep) of relative steps of the voltage; where the voltage is
    held, the equation step = 0 stands for that of Q. Their entries are the terms of the sum S.
    """
    _, _, first, column, _, links, diagonal, upper, lower, link_y = network
    n, lanes = len(first) - 1, width(one)
    zero = like(one, 0.0)
    for i in range(2 * n):
        put(one, injected, i * lanes, zero)
    slack = get(one, v, 2 * n * lanes)
    for i in range(len(links)):
        re, im = 2 * links[i] * lanes, (2 * links[i] + 1) * lanes
        y_re, y_im = like(one, link_y[2 * i]) * slack, like(one, link_y[2 * i + 1]) * slack
        a, b = get(one, v, re), get(one, v, im)
        put(one, injected, re, get(one, injected, re) + (a * y_re + b * y_im))
        put(one, injected, im, get(one, injected, im) + (b * y_re - a * y_im))
    for k in range(n):
        k_re, k_im, row = 2 * k * lanes, (2 * k + 1) * lanes, like(one, free[k])
        a, b = get(one, v, k_re), get(one, v, k_im)
        sum_re, sum_im = get(one, injected, k_re), get(one, injected, k_im)
        for i in range(first[k], first[k + 1]):
            j_re, j_im, other = 2 * column[i] * lanes, (2 * column[i] + 1) * lanes, like(one, free[column[i]])
            c, d = get(one, v, j_re), get(one, v, j_im)
            re, im = a * c + b * d, b * c - a * d  # V_k conj(V_j)
            y_re, y_im = like(one, upper[2 * i]), like(one, upper[2 * i + 1])
            s_re, s_im = re * y_re + im * y_im, im * y_re - re * y_im
            y_re, y_im = like(one, lower[2 * i]), like(one, lower[2 * i + 1])
            t_re, t_im = re * y_re - im * y_im, zero - (im * y_re + re * y_im)
            sum_re += s_re
            sum_im += s_im
            put(one, injected, j_re, get(one, injected, j_re) + t_re)
            put(one, injected, j_im, get(one, injected, j_im) + t_im)
            if renew:
                block, both = 4 * i * lanes, row * other
                put(one, above, block, s_im)
                put(one, above, block + lanes, s_re * other)
                put(one, above, block + 2 * lanes, zero - s_re * row)
                put(one, above, block + 3 * lanes, s_im * both)
                put(one, below, block, t_im)
                put(one, below, block + lanes, t_re * row)
                put(one, below, block + 2 * lanes, zero - t_re * other)
                put(one, below, block + 3 * lanes, t_im * both)
        square = a * a + b * b
        own_re, own_im = square * like(one, diagonal[2 * k]), square * like(one, -diagonal[2 * k + 1])
        put(one, injected, k_re, sum_re + own_re)
        put(one, injected, k_im, sum_im + own_im)
        if renew:
            block = 4 * k * lanes
            put(one, pivot, block, zero - sum_im)
            put(one, pivot, block + lanes, (sum_re + own_re + own_re) * row)
            put(one, pivot, block + 2 * lanes, sum_re * row)
            put(one, pivot, block + 3 * lanes, (sum_im + own_im + own_im) * row + like(one, 1.0 - free[k]))


@subkernel
def linear_guess(one, network, wanted, state, pivot, above, below, x, v) -> None:  # pragma: no cover
    """Angles of the linear (DC) power flow, magnitudes 1, for the active lanes: where a cold start begins."""
    first, column, update, links, upper, link_y = network[2], network[3], network[4], network[5], network[7], network[9]
    n, lanes = len(first) - 1, width(one)
    pivot[: 4 * n * lanes] = 0.0
    above[:] = 0.0
    below[:] = 0.0
    for k in range(n):
        for l in range(lanes):
            x[2 * k * lanes + l], x[(2 * k + 1) * lanes + l] = wanted[2 * k * lanes + l], 0.0
            pivot[(4 * k + 3) * lanes + l] = 1.0
            for i in range(first[k], first[k + 1]):
                b = upper[2 * i + 1]
                above[4 * i * lanes + l] = below[4 * i * lanes + l] = -b
                pivot[4 * k * lanes + l] += b
                pivot[4 * column[i] * lanes + l] += b
    for i in range(len(links)):
        for l in range(lanes):
            pivot[4 * links[i] * lanes + l] += link_y[2 * i + 1]
    factorise(one, first, column, update, pivot, above, below)
    substitute(one, first, column, pivot, above, below, x)
    for k in range(n):
        for l in range(lanes):
            if state[l] == ACTIVE:
                angle = x[2 * k * lanes + l]
                if not abs(angle) < 1e6:
                    angle = 0.0  # lines without reactance may leave no linear solution
                v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l] = math.cos(angle), math.sin(angle)
