"""From voltages to what flows through every element, by Ohm's and Kirchhoff's laws, for one row at a time."""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import arithmetic, kernel, scratch

DEGREES = 180.0 / math.pi
NEAR = 0.66
"""Tangent up to which an angle takes the short way: 33 degrees."""
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
    work, live = np.empty(6 * voltage.shape[1]), np.empty(voltage.shape[1], np.bool_)
    given = gen_p, gen_v, load_p, load_q, storage_p
    for e in range(len(converged)):
        if converged[e]:
            live[:] = False
            for b in buses[e]:
                if b >= 0:
                    live[b] = True
            for b in range(len(live)):
                if not live[b]:
                    voltage[e, b] = 0.0
            row_flows(e, buses[e], sizes, constants, given, voltage, memory, places, work)
        else:
            clear_row(e, sizes, voltage, memory, places)


@arithmetic
def row_flows(e, columns, sizes, constants, given, voltage, memory, places, work) -> None:  # pragma: no cover
    """The flows of one row."""
    n_line, n_gen, n_load, n_storage, n_shunt, n_bus = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]
    gen_p, _, load_p, load_q, storage_p = given
    vn_kv, line = constants[1 : 1 + n_bus], constants[1 + n_bus :]
    gen, shunt = line[10 * n_line :], line[10 * n_line + 5 * n_gen :]
    v_kv, theta, needed, total = work[:n_bus], work[n_bus:], work[2 * n_bus :], work[4 * n_bus :]
    _polar(e, voltage, vn_kv, v_kv, theta)
    for i in range(2 * n_bus):
        needed[i] = total[i] = 0.0
    begin = scratch(len(places), np.int64)
    for f in range(len(places)):
        begin[f] = places[f, 0] + e * places[f, 1]
    _line_flows(e, columns, n_line, constants[0], line, voltage, v_kv, theta, needed, memory, begin)
    first = 2 * n_line + n_gen
    p, q, v, angle = begin[14], begin[15], begin[16], begin[17]
    for i in range(n_load):
        b = columns[first + i]
        if b < 0:
            memory[p + i] = memory[q + i] = memory[v + i] = memory[angle + i] = 0.0
            continue
        memory[p + i], memory[q + i], memory[v + i], memory[angle + i] = load_p[e, i], load_q[e, i], v_kv[b], theta[b]
        needed[2 * b] += load_p[e, i]
        needed[2 * b + 1] += load_q[e, i]
    p, v, angle = begin[18], begin[19], begin[20]
    for i in range(n_storage):
        b = columns[first + n_load + i]
        if b < 0:
            memory[p + i] = memory[v + i] = memory[angle + i] = 0.0
            continue
        memory[p + i], memory[v + i], memory[angle + i] = storage_p[e, i], v_kv[b], theta[b]
        needed[2 * b] += storage_p[e, i]
    p, q, v = begin[21], begin[22], begin[23]
    for i in range(n_shunt):
        b = columns[first + n_load + n_storage + i]
        if b < 0:
            memory[p + i] = memory[q + i] = memory[v + i] = 0.0
            continue
        square = (v_kv[b] / vn_kv[b]) ** 2
        memory[p + i], memory[q + i], memory[v + i] = shunt[4 * i] * square, shunt[4 * i + 1] * square, v_kv[b]
        needed[2 * b] += memory[p + i]
        needed[2 * b + 1] += memory[q + i]
    _generation(e, columns[2 * n_line :], n_gen, gen, gen_p, v_kv, theta, needed, total, memory, begin)


@arithmetic
def _polar(e, voltage, vn_kv, v_kv, theta):  # pragma: no cover
    """Magnitude, and angle in degrees; 0 at a dead bus."""
    n_far = 0
    for b in range(len(vn_kv)):
        re, im = voltage[e, b].real, voltage[e, b].imag
        v_kv[b] = math.sqrt(re * re + im * im) * vn_kv[b]
        near = abs(im) <= NEAR * re
        theta[b] = _arctangent(im / re if near and re > 0.0 else 0.0) * DEGREES
        n_far += not near
    if n_far:
        for b in range(len(vn_kv)):
            re, im = voltage[e, b].real, voltage[e, b].imag
            if abs(im) > NEAR * re:
                theta[b] = math.atan2(im, re) * DEGREES


@arithmetic
def _arctangent(x):  # pragma: no cover
    """Of numbers up to ``NEAR``, to the last digit: several at once, where a library takes one after the other.

    The rational approximation of the Cephes library (Moshier, "Methods and Programs for Mathematical Functions", 1989).
    """
    z = x * x
    above, below = ABOVE[0], z + BELOW[0]
    above = (((above * z + ABOVE[1]) * z + ABOVE[2]) * z + ABOVE[3]) * z + ABOVE[4]
    below = (((below * z + BELOW[1]) * z + BELOW[2]) * z + BELOW[3]) * z + BELOW[4]
    return x + x * (z * above / below)


@arithmetic
def _line_flows(e, columns, n_line, sn_mva, line, voltage, v_kv, theta, needed, memory, begin):  # pragma: no cover
    p_or, q_or, v_or, a_or, theta_or = begin[0], begin[1], begin[2], begin[3], begin[4]
    p_ex, q_ex, v_ex, a_ex, theta_ex = begin[5], begin[6], begin[7], begin[8], begin[9]
    for i in range(n_line):
        f, t = columns[i], columns[n_line + i]
        if f < 0:
            memory[p_or + i] = memory[q_or + i] = memory[v_or + i] = memory[a_or + i] = memory[theta_or + i] = 0.0
            memory[p_ex + i] = memory[q_ex + i] = memory[v_ex + i] = memory[a_ex + i] = memory[theta_ex + i] = 0.0
            continue
        y = line[10 * i : 10 * i + 10]
        a, b, c, d = voltage[e, f].real, voltage[e, f].imag, voltage[e, t].real, voltage[e, t].imag
        re = y[0] * a - y[1] * b + y[2] * c - y[3] * d
        im = y[0] * b + y[1] * a + y[2] * d + y[3] * c
        p, q = sn_mva * (a * re + b * im), sn_mva * (b * re - a * im)
        memory[p_or + i], memory[q_or + i], memory[v_or + i], memory[theta_or + i] = p, q, v_kv[f], theta[f]
        memory[a_or + i] = y[8] * math.sqrt(re * re + im * im)
        needed[2 * f] += p
        needed[2 * f + 1] += q
        re = y[4] * a - y[5] * b + y[6] * c - y[7] * d
        im = y[4] * b + y[5] * a + y[6] * d + y[7] * c
        p, q = sn_mva * (c * re + d * im), sn_mva * (d * re - c * im)
        memory[p_ex + i], memory[q_ex + i], memory[v_ex + i], memory[theta_ex + i] = p, q, v_kv[t], theta[t]
        memory[a_ex + i] = y[9] * math.sqrt(re * re + im * im)
        needed[2 * t] += p
        needed[2 * t + 1] += q


@arithmetic
def _generation(e, columns, n_gen, gen, gen_p, v_kv, theta, needed, total, memory, begin):  # pragma: no cover
    """The slack generator balances its bus; who holds a voltage shares what reactive power the bus needs.

    The shares are those of the reactive ranges, or even where no range is known.
    """
    out_p, out_q, out_v, out_theta = begin[10], begin[11], begin[12], begin[13]
    for i in range(n_gen):
        b = columns[i]
        memory[out_p + i] = memory[out_q + i] = memory[out_v + i] = memory[out_theta + i] = 0.0
        if b < 0:
            continue
        memory[out_v + i], memory[out_theta + i] = v_kv[b], theta[b]
        if gen[5 * i + 4] == 0.0:
            memory[out_p + i] = gen_p[e, i]
            needed[2 * b] -= gen_p[e, i]
        if gen[5 * i + 3] != 0.0:
            total[2 * b] += gen[5 * i + 2]
            total[2 * b + 1] += 1.0
        else:
            memory[out_q + i] = gen[5 * i + 1]
            needed[2 * b + 1] -= gen[5 * i + 1]
    for i in range(n_gen):
        b = columns[i]
        if b < 0:
            continue
        if gen[5 * i + 4] != 0.0:
            memory[out_p + i] = needed[2 * b]
        if gen[5 * i + 3] != 0.0:
            known = 0.0 < total[2 * b] < np.inf
            memory[out_q + i] = needed[2 * b + 1] * (gen[5 * i + 2] / total[2 * b] if known else 1.0 / total[2 * b + 1])


@arithmetic
def clear_row(e, sizes, voltage, memory, places) -> None:  # pragma: no cover
    """A row without a solution is all zeros."""
    for b in range(sizes[5]):
        voltage[e, b] = 0.0
    for f in range(len(places)):
        n = sizes[0] if f < 10 else sizes[1] if f < 14 else sizes[2] if f < 18 else sizes[3] if f < 21 else sizes[4]
        field = places[f, 0] + e * places[f, 1]
        for i in range(n):
            memory[field + i] = 0.0
