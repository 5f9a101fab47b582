"""From voltages to what flows through every element, by Ohm's and Kirchhoff's laws, for rows of one topology."""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import arithmetic, kernel, scratch
from marlgrid.powerflow.lanes import WIDTH, choose, collect, farther, get, like, put, root, spread, spread_eight, width
from marlgrid.powerflow.problem import N_FIELD

P_OR, Q_OR, V_OR, A_OR, THETA_OR, P_EX, _, _, _, THETA_EX = range(10)
GEN_P, GEN_Q, GEN_V, GEN_THETA, LOAD_P, LOAD_Q, LOAD_V, LOAD_THETA = range(10, 18)
STORAGE_P, STORAGE_V, STORAGE_THETA, SHUNT_P, SHUNT_Q, SHUNT_V = range(18, N_FIELD)
VOLTAGE, ASKED_GEN, ASKED_LOAD, ASKED_STORAGE, N_ARRAY = range(N_FIELD, N_FIELD + 5)
"""The fields of a flow in their order, then what a flow is worked out from: per bus, generator, load and storage."""
N_LINE_FIELD, N_GEN_FIELD, N_LOAD_FIELD = 10, 4, 4

DEGREES = 180.0 / math.pi
NEAR = 0.66
"""Tangent up to which an angle takes the short way: 33 degrees."""
TINY = 1e-300
"""Below any voltage, and not zero."""
ABOVE = (
    -8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1, -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)  # fmt: skip
BELOW = (
    2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2, 4.853903996359136964868e2,
    1.945506571482613964425e2,
)  # fmt: skip


@kernel
def flows(  # pragma: no cover
    buses, sizes, constants, gen_p, gen_v, load_p, load_q, storage_p, converged, voltage, memory, places
) -> None:
    """The flows of given voltages on (n_env, n_column) buses; clears dead buses, and rows that did not converge."""
    work, live = np.empty(8 * voltage.shape[1]), np.empty(voltage.shape[1], np.bool_)
    given = gen_p, gen_v, load_p, load_q, storage_p
    member, begin = np.empty(1, np.int64), np.empty(N_ARRAY, np.int64)
    for e in range(len(converged)):
        if converged[e]:
            live[:] = False
            for b in buses[e]:
                if b >= 0:
                    live[b] = True
            for b in range(len(live)):
                if not live[b]:
                    voltage[e, b] = 0.0
            member[0] = e
            locate(1, member, sizes, places, begin)
            flows_of(0.0, begin, buses[e], sizes, constants, given, voltage, memory, work)
        else:
            clear_row(e, sizes, voltage, memory, places)


@arithmetic
def locate(lanes, members, sizes, places, begin) -> None:  # pragma: no cover
    """Where in its array each field of each lane begins: (N_ARRAY, lanes), flat."""
    for l in range(lanes):
        e = members[l]
        for f in range(N_FIELD):
            begin[f * lanes + l] = places[f, 0] + e * places[f, 1]
        begin[VOLTAGE * lanes + l] = e * 2 * sizes[5]
        begin[ASKED_GEN * lanes + l] = e * sizes[1]
        begin[ASKED_LOAD * lanes + l] = e * sizes[2]
        begin[ASKED_STORAGE * lanes + l] = e * sizes[3]


@arithmetic
def flows_of(one, begin, columns, sizes, constants, given, voltage, memory, work) -> None:  # pragma: no cover
    """The flows of rows of one topology, side by side; of rows without a solution they mean nothing.

    ``begin`` is what ``locate`` wrote; ``work`` has room for eight numbers per bus and lane.
    """
    n_line, n_gen, n_bus, lanes = sizes[0], sizes[1], sizes[5], width(one)
    vn_kv, line = constants[1 : 1 + n_bus], constants[1 + n_bus :]
    gen, shunt = line[10 * n_line :], line[10 * n_line + 5 * n_gen :]
    at = n_bus * lanes
    volt, v_kv, theta, needed, total = work[: 2 * at], work[2 * at :], work[3 * at :], work[4 * at :], work[6 * at :]
    _polar(one, voltage, begin, vn_kv, volt, v_kv, theta)
    for i in range(2 * n_bus):
        put(one, needed, i * lanes, like(one, 0.0))
        total[i] = 0.0
    _line_flows(one, columns, n_line, constants[0], line, volt, v_kv, theta, needed, memory, begin)
    _consumption(one, columns[2 * n_line + n_gen :], sizes, shunt, vn_kv, given, v_kv, theta, needed, memory, begin)
    _generation(one, columns[2 * n_line :], n_gen, gen, given[0], v_kv, theta, needed, total, memory, begin)


@arithmetic
def _add(one, array, at, value):  # pragma: no cover
    put(one, array, at, get(one, array, at) + value)


@arithmetic
def _polar(one, voltage, begin, vn_kv, volt, v_kv, theta):  # pragma: no cover
    """Voltages of the lanes: real and imaginary parts by turns, magnitudes, and angles in degrees; 0 at a dead bus."""
    lanes, zero, near, degrees = width(one), like(one, 0.0), like(one, NEAR), like(one, DEGREES)
    far, tiny = zero, like(one, TINY)
    for b in range(len(vn_kv)):
        re, im = collect(one, voltage, begin, VOLTAGE, 2 * b), collect(one, voltage, begin, VOLTAGE, 2 * b + 1)
        put(one, volt, 2 * b * lanes, re)
        put(one, volt, (2 * b + 1) * lanes, im)
        put(one, v_kv, b * lanes, root(re * re + im * im) * like(one, vn_kv[b]))
        size, limit = farther(zero, im), near * re
        tangent = choose(size, limit, im, zero) / farther(tiny, re)
        put(one, theta, b * lanes, _arctangent(one, tangent) * degrees)
        far += choose(size, limit, zero, like(one, 1.0))
    n_far = scratch(lanes, np.float64)
    put(one, n_far, 0, far)
    for l in range(lanes):
        if n_far[l] > 0.0:
            for b in range(len(vn_kv)):
                re, im = volt[2 * b * lanes + l], volt[(2 * b + 1) * lanes + l]
                if abs(im) > NEAR * re:
                    theta[b * lanes + l] = math.atan2(im, re) * DEGREES


@arithmetic
def _arctangent(one, x):  # pragma: no cover
    """Of numbers up to ``NEAR``, to the last digit: several at once, where a library takes one after the other.

    The rational approximation of the Cephes library (Moshier, "Methods and Programs for Mathematical Functions", 1989).
    """
    z = x * x
    above, below = like(one, ABOVE[0]), z + like(one, BELOW[0])
    for k in range(1, 5):
        above = above * z + like(one, ABOVE[k])
        below = below * z + like(one, BELOW[k])
    return x + x * (z * above / below)


@arithmetic
def _keep(one, found, field, k, value):  # pragma: no cover
    """Notes a field of number ``k`` of eight neighbours, to be handed over with theirs."""
    put(one, found, (field * WIDTH + k) * width(one), value)


@arithmetic
def _hand_over(one, found, n_field, first_field, k, last, memory, begin):  # pragma: no cover
    """Writes fields of number ``last`` and of the ``k`` before it to their places, where those of a lane are
    neighbours."""
    for field in range(n_field):
        spread_eight(one, found, field * WIDTH * width(one), memory, begin, first_field + field, last - k, k + 1)


@arithmetic
def _line_flows(one, columns, n_line, sn_mva, line, volt, v_kv, theta, needed, memory, begin):  # pragma: no cover
    lanes, base, found = width(one), like(one, sn_mva), scratch(N_LINE_FIELD * WIDTH * width(one), np.float64)
    for i in range(n_line):
        f, t, k = columns[i], columns[n_line + i], i % WIDTH
        if f < 0:
            for field in range(N_LINE_FIELD):
                _keep(one, found, field, k, like(one, 0.0))
        else:
            a, b = get(one, volt, 2 * f * lanes), get(one, volt, (2 * f + 1) * lanes)
            c, d = get(one, volt, 2 * t * lanes), get(one, volt, (2 * t + 1) * lanes)
            for end in range(2):
                y, first, bus = line[10 * i + 4 * end :], P_OR if end == 0 else P_EX, f if end == 0 else t
                re = like(one, y[0]) * a - like(one, y[1]) * b + like(one, y[2]) * c - like(one, y[3]) * d
                im = like(one, y[0]) * b + like(one, y[1]) * a + like(one, y[2]) * d + like(one, y[3]) * c
                v_re, v_im = get(one, volt, 2 * bus * lanes), get(one, volt, (2 * bus + 1) * lanes)
                p, q = base * (v_re * re + v_im * im), base * (v_im * re - v_re * im)
                _keep(one, found, first, k, p)
                _keep(one, found, first + Q_OR, k, q)
                _keep(one, found, first + V_OR, k, get(one, v_kv, bus * lanes))
                _keep(one, found, first + A_OR, k, like(one, line[10 * i + 8 + end]) * root(re * re + im * im))
                _keep(one, found, first + THETA_OR, k, get(one, theta, bus * lanes))
                _add(one, needed, 2 * bus * lanes, p)
                _add(one, needed, (2 * bus + 1) * lanes, q)
        if k == WIDTH - 1 or i == n_line - 1:
            _hand_over(one, found, N_LINE_FIELD, P_OR, k, i, memory, begin)


@arithmetic
def _consumption(one, columns, sizes, shunt, vn_kv, given, v_kv, theta, needed, memory, begin):  # pragma: no cover
    """Loads, storages and shunts take what they are asked to; the columns are theirs."""
    n_load, n_storage, n_shunt, lanes, zero = sizes[2], sizes[3], sizes[4], width(one), like(one, 0.0)
    _, _, load_p, load_q, storage_p = given
    found = scratch(N_LOAD_FIELD * WIDTH * width(one), np.float64)
    for i in range(n_load):
        b, k = columns[i], i % WIDTH
        p = q = v = angle = zero
        if b >= 0:
            v, angle = get(one, v_kv, b * lanes), get(one, theta, b * lanes)
            p, q = collect(one, load_p, begin, ASKED_LOAD, i), collect(one, load_q, begin, ASKED_LOAD, i)
            _add(one, needed, 2 * b * lanes, p)
            _add(one, needed, (2 * b + 1) * lanes, q)
        _keep(one, found, 0, k, p)
        _keep(one, found, LOAD_Q - LOAD_P, k, q)
        _keep(one, found, LOAD_V - LOAD_P, k, v)
        _keep(one, found, LOAD_THETA - LOAD_P, k, angle)
        if k == WIDTH - 1 or i == n_load - 1:
            _hand_over(one, found, N_LOAD_FIELD, LOAD_P, k, i, memory, begin)
    for i in range(n_storage):
        b = columns[n_load + i]
        if b < 0:
            for field in range(STORAGE_P, STORAGE_THETA + 1):
                spread(one, memory, begin, field, i, zero)
            continue
        p = collect(one, storage_p, begin, ASKED_STORAGE, i)
        spread(one, memory, begin, STORAGE_P, i, p)
        spread(one, memory, begin, STORAGE_V, i, get(one, v_kv, b * lanes))
        spread(one, memory, begin, STORAGE_THETA, i, get(one, theta, b * lanes))
        _add(one, needed, 2 * b * lanes, p)
    for i in range(n_shunt):
        b = columns[n_load + n_storage + i]
        if b < 0:
            for field in range(SHUNT_P, SHUNT_V + 1):
                spread(one, memory, begin, field, i, zero)
            continue
        ratio = get(one, v_kv, b * lanes) / like(one, vn_kv[b])
        p, q = like(one, shunt[4 * i]) * (ratio * ratio), like(one, shunt[4 * i + 1]) * (ratio * ratio)
        spread(one, memory, begin, SHUNT_P, i, p)
        spread(one, memory, begin, SHUNT_Q, i, q)
        spread(one, memory, begin, SHUNT_V, i, get(one, v_kv, b * lanes))
        _add(one, needed, 2 * b * lanes, p)
        _add(one, needed, (2 * b + 1) * lanes, q)


@arithmetic
def _generation(one, columns, n_gen, gen, gen_p, v_kv, theta, needed, total, memory, begin):  # pragma: no cover
    """The slack generator balances its bus; who holds a voltage shares what reactive power the bus needs.

    The shares are those of the reactive ranges, or even where no range is known.
    """
    lanes, zero, found = width(one), like(one, 0.0), scratch(N_GEN_FIELD * WIDTH * width(one), np.float64)
    for i in range(n_gen):
        b = columns[i]
        if b < 0:
            continue
        if gen[5 * i + 4] == 0.0:
            _add(one, needed, 2 * b * lanes, zero - collect(one, gen_p, begin, ASKED_GEN, i))
        if gen[5 * i + 3] != 0.0:
            total[2 * b] += gen[5 * i + 2]
            total[2 * b + 1] += 1.0
        else:
            _add(one, needed, (2 * b + 1) * lanes, zero - like(one, gen[5 * i + 1]))
    for i in range(n_gen):
        b, k = columns[i], i % WIDTH
        p = q = v = angle = zero
        if b >= 0:
            v, angle = get(one, v_kv, b * lanes), get(one, theta, b * lanes)
            p, q = collect(one, gen_p, begin, ASKED_GEN, i), like(one, gen[5 * i + 1])
            if gen[5 * i + 4] != 0.0:
                p = get(one, needed, 2 * b * lanes)
            if gen[5 * i + 3] != 0.0:
                known = 0.0 < total[2 * b] < np.inf
                share = gen[5 * i + 2] / total[2 * b] if known else 1.0 / total[2 * b + 1]
                q = get(one, needed, (2 * b + 1) * lanes) * like(one, share)
        _keep(one, found, 0, k, p)
        _keep(one, found, GEN_Q - GEN_P, k, q)
        _keep(one, found, GEN_V - GEN_P, k, v)
        _keep(one, found, GEN_THETA - GEN_P, k, angle)
        if k == WIDTH - 1 or i == n_gen - 1:
            _hand_over(one, found, N_GEN_FIELD, GEN_P, k, i, memory, begin)


@arithmetic
def clear_row(e, sizes, voltage, memory, places) -> None:  # pragma: no cover
    """A row without a solution is all zeros."""
    for b in range(sizes[5]):
        voltage[e, b] = 0.0
    for f in range(N_FIELD):
        n = sizes[0] if f < 10 else sizes[1] if f < 14 else sizes[2] if f < 18 else sizes[3] if f < 21 else sizes[4]
        field = places[f, 0] + e * places[f, 1]
        for i in range(n):
            memory[field + i] = 0.0
