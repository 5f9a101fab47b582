"""From busbars and injections to flows in one compiled call: look-up of networks, Newton's iterations, Ohm's law.

What belongs to a bus stands at its position of elimination, the slack's bus being the last. Rows of one topology are
solved side by side: in ``x[i * lanes + l]`` the lane ``l`` runs fastest, so that one instruction serves several rows.
"""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import arithmetic, kernel

TOLERANCE = 1e-10
"""Largest mismatch of a solution, per unit."""
MAX_ITERATIONS = 10
COLLAPSED = 0.5
"""Per unit: no bus of a normal solution is below."""
UNKNOWN, NOT_ASKED = -1, -2
"""Slots of rows whose network is yet to be worked out, and of rows that are not to be solved."""
IDLE, ACTIVE, SOLVED = 0.0, 1.0, 2.0
"""States of a lane."""
DEGREES = 180.0 / math.pi


@kernel
def solve_rows(  # pragma: no cover
    table, header, ints, admittances, weights, used, slots, sizes, constants,
    topo_vect, shunt_bus, gen_p, gen_v, load_p, load_q, storage_p, start, rows,
    converged, voltage, memory, places,
) -> bool:  # fmt: skip
    """Solves the rows asked for; does nothing and returns True while the network of any of them is unknown.

    Field ``f`` of row ``e`` of the flow (``base.Flow`` without ``converged`` and ``voltage``) is written from
    ``memory[places[f, 0] + e * places[f, 1]]`` on. ``voltage`` may be ``start`` itself.
    """
    room = _look_up(table, header, ints, weights, used, topo_vect, shunt_bus, rows, slots)
    if room < 0:
        return True
    n_key = topo_vect.shape[1] + shunt_bus.shape[1]
    work = np.empty(room + 8 * voltage.shape[1])
    given = gen_p, gen_v, load_p, load_q, storage_p
    members = np.empty(1, np.int64)
    for e in range(len(rows)):
        slot, members[0] = slots[e, 0], e
        converged[e] = False
        if slot >= 0 and header[slot, 1] >= 0:
            columns = ints[header[slot, 5] + n_key :]
            network = _network(slot, n_key + _n_column(sizes), header, ints, admittances)
            _solve(1, members, network, columns, sizes, constants, given, start, voltage, converged, work)
            if converged[e]:
                _flows(e, columns, sizes, constants, given, voltage, memory, places, work)
        if not converged[e]:
            _clear(e, sizes, voltage, memory, places)
    return False


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
            _flows(e, buses[e], sizes, constants, given, voltage, memory, places, work)
        else:
            _clear(e, sizes, voltage, memory, places)


# ---------------------------------------------------------------------------------------------------- networks
@arithmetic
def _look_up(table, header, ints, weights, used, topo_vect, shunt_bus, rows, slots):  # pragma: no cover
    """Writes the slot of every row, and its hash; returns the room that solving them takes, -1 if one is unknown."""
    room, unknown, slot = 0, False, used[3]
    for e in range(len(rows)):
        if not rows[e]:
            slots[e, 0] = NOT_ASKED
            continue
        if slot >= used[0] or not _same(topo_vect[e], shunt_bus[e], ints, header[slot, 5]):
            code = _hash(topo_vect[e], shunt_bus[e], weights)
            slots[e, 1] = code
            where = code & (len(table) - 1)
            slot = table[where] - 1
            while slot >= 0 and not (
                header[slot, 0] == code and _same(topo_vect[e], shunt_bus[e], ints, header[slot, 5])
            ):
                where = (where + 1) & (len(table) - 1)
                slot = table[where] - 1
        slots[e, 0] = slot
        if slot < 0:
            unknown, slot = True, used[0]
        else:
            room = max(room, 14 * (header[slot, 1] + 1) + 8 * header[slot, 2])
            used[3] = slot
    return -1 if unknown else room


@arithmetic
def _same(topo_vect, shunt_bus, ints, begin):  # pragma: no cover
    """Whether a key is that of the network."""
    difference, n = 0, len(topo_vect)
    for i in range(n):
        difference |= topo_vect[i] ^ ints[begin + i]
    for i in range(len(shunt_bus)):
        difference |= shunt_bus[i] ^ ints[begin + n + i]
    return difference == 0


@arithmetic
def _hash(topo_vect, shunt_bus, weights):  # pragma: no cover
    code, n = np.int64(0), len(topo_vect)
    for i in range(n):
        code += topo_vect[i] * weights[i]
    for i in range(len(shunt_bus)):
        code += shunt_bus[i] * weights[n + i]
    return code ^ (code >> 29)


@arithmetic
def _n_column(sizes):  # pragma: no cover
    """Columns of the bus layout."""
    return 2 * sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]


@kernel
def _network(slot, skipped, header, ints, admittances):  # pragma: no cover
    """Views of one network's parts: see ``network.Networks``."""
    n, n_block, n_update, n_link = header[slot, 1], header[slot, 2], header[slot, 3], header[slot, 4]
    i, y = header[slot, 5] + skipped, header[slot, 6]
    bus, leader, first = ints[i : i + n + 1], ints[i + n + 1 : i + 2 * n + 2], ints[i + 2 * n + 2 : i + 3 * n + 3]
    i += 3 * n + 3
    column, update = ints[i : i + n_block], ints[i + n_block : i + n_block + n_update]
    links = ints[i + n_block + n_update : i + n_block + n_update + n_link]
    diagonal, upper = admittances[y : y + 2 * n], admittances[y + 2 * n : y + 2 * n + 2 * n_block]
    y += 2 * n + 2 * n_block
    lower, link_y = admittances[y : y + 2 * n_block], admittances[y + 2 * n_block : y + 2 * n_block + 2 * n_link]
    return bus, leader, first, column, update, links, diagonal, upper, lower, link_y


# ---------------------------------------------------------------------------------------------------- Newton
@arithmetic
def _solve(
    lanes, members, network, columns, sizes, constants, given, start, voltage, converged, work
):  # pragma: no cover
    """Voltages of rows of one topology: from the previous solution, then, for those that fail, from a linear one."""
    bus, leader, column = network[0], network[1], network[3]
    n, n_block, at = len(bus) - 1, len(column), 2 * len(bus) * lanes
    v, wanted, x, injected = work[:at], work[at : 2 * at], work[2 * at : 3 * at], work[3 * at : 4 * at]
    pivot, work, at = work[4 * at : 6 * at], work[6 * at :], 4 * n_block * lanes
    above, below, work = work[:at], work[at : 2 * at], work[2 * at :]
    state, free, per_bus = work[:lanes], work[lanes : lanes + n], work[lanes + n :]
    for k in range(n):
        free[k] = 1.0 if leader[k] < 0 else 0.0
    warm = False
    for l in range(lanes):
        e = members[l]
        _specify(lanes, l, e, bus, columns, sizes, constants, given, wanted, per_bus)
        state[l] = _previous(lanes, l, e, bus, sizes, start, v)
        warm |= state[l] == ACTIVE
    unsolved = lanes
    for attempt in range(2):
        if attempt == 0:
            if not warm:
                continue
        else:
            for l in range(lanes):
                state[l] = IDLE if converged[members[l]] else ACTIVE
            _linear_guess(lanes, network, wanted, state, pivot, above, below, x, v)
        for l in range(lanes):
            _hold(lanes, l, members[l], bus, leader, sizes, constants, given[1], v)
        _newton(lanes, network, wanted, free, state, v, x, injected, pivot, above, below)
        for l in range(lanes):
            # a warm start may find collapsed voltages where a normal solution exists: it is not trusted then
            if state[l] == SOLVED and (attempt == 1 or not _collapsed(lanes, l, n, v)):
                e = members[l]
                converged[e] = True
                unsolved -= 1
                for b in range(sizes[5]):
                    voltage[e, b] = 0.0
                for k in range(n + 1):
                    voltage[e, bus[k]] = complex(v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l])
        if unsolved == 0:
            return


@arithmetic
def _specify(lanes, l, e, bus, columns, sizes, constants, given, wanted, per_bus):  # pragma: no cover
    """Power to be injected at each position, per unit, real and imaginary by turns."""
    n_line, n_gen, n_load, n_storage = sizes[0], sizes[1], sizes[2], sizes[3]
    gen_p, _, load_p, load_q, storage_p = given
    gen = constants[1 + sizes[5] + 10 * n_line :]
    for i in range(2 * sizes[5]):
        per_bus[i] = 0.0
    for g in range(n_gen):
        b = columns[2 * n_line + g]
        if b >= 0:
            per_bus[2 * b] += gen_p[e, g]
            per_bus[2 * b + 1] += gen[5 * g + 1]
    for i in range(n_load):
        b = columns[2 * n_line + n_gen + i]
        if b >= 0:
            per_bus[2 * b] -= load_p[e, i]
            per_bus[2 * b + 1] -= load_q[e, i]
    for i in range(n_storage):
        b = columns[2 * n_line + n_gen + n_load + i]
        if b >= 0:
            per_bus[2 * b] -= storage_p[e, i]
    scale = 1.0 / constants[0]
    for k in range(len(bus) - 1):
        wanted[2 * k * lanes + l] = per_bus[2 * bus[k]] * scale
        wanted[(2 * k + 1) * lanes + l] = per_bus[2 * bus[k] + 1] * scale


@arithmetic
def _previous(lanes, l, e, bus, sizes, start, v):  # pragma: no cover
    """A previous solution as the first guess, turned so that the slack's angle is zero; IDLE where there is none.

    A busbar new in use takes the voltage of its sibling.
    """
    n_bus, n_sub, n = sizes[5], sizes[6], len(bus) - 1
    any_live = False
    for b in range(n_bus):
        any_live |= start[e, b].real != 0.0
    turn_re, turn_im = 1.0, 0.0
    for k in range(n, -1, -1):
        here = start[e, bus[k]]
        sibling = bus[k] % n_sub
        while here == 0.0 and sibling < n_bus:
            here = start[e, sibling]
            sibling += n_sub
        if here == 0.0:
            here = 1.0 + 0.0j
        if k == n and here.imag != 0.0:
            size = math.sqrt(here.real * here.real + here.imag * here.imag)
            turn_re, turn_im = here.real / size, -here.imag / size
        v[2 * k * lanes + l] = here.real * turn_re - here.imag * turn_im
        v[(2 * k + 1) * lanes + l] = here.real * turn_im + here.imag * turn_re
    return ACTIVE if any_live else IDLE


@arithmetic
def _hold(lanes, l, e, bus, leader, sizes, constants, gen_v, v):  # pragma: no cover
    """Sets the magnitudes that generators hold, and the slack's angle to zero."""
    gen = constants[1 + sizes[5] + 10 * sizes[0] :]
    n = len(bus) - 1
    for k in range(n):
        g = leader[k]
        if g >= 0:
            re, im = v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l]
            scale = gen_v[e, g] / (gen[5 * g] * math.sqrt(re * re + im * im))
            v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l] = re * scale, im * scale
    v[2 * n * lanes + l] = gen_v[e, leader[n]] / gen[5 * leader[n]]
    v[(2 * n + 1) * lanes + l] = 0.0


@arithmetic
def _collapsed(lanes, l, n, v):  # pragma: no cover
    """Some bus has less than half its nominal voltage."""
    lowest = COLLAPSED * COLLAPSED
    for k in range(n):
        re, im = v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l]
        lowest = min(lowest, re * re + im * im)
    return lowest < COLLAPSED * COLLAPSED


@arithmetic
def _newton(lanes, network, wanted, free, state, v, x, injected, pivot, above, below):  # pragma: no cover
    """Iterates until no mismatch of an active lane exceeds the tolerance; leaves it solved, or idle where it fails.

    Every second iteration from the third on uses the matrix of the one before: close to the solution it has not
    changed much, and the elimination is most of the work.
    """
    first, column, update = network[2], network[3], network[4]
    n = len(first) - 1
    for iteration in range(MAX_ITERATIONS + 1):
        renew = iteration < 2 or iteration % 2 == 1
        if renew:
            _evaluate(lanes, True, network, free, v, injected, pivot, above, below)
        else:
            _evaluate(lanes, False, network, free, v, injected, pivot, above, below)
        active = False
        for l in range(lanes):
            worst, total = 0.0, 0.0
            for k in range(n):
                p, q = 2 * k * lanes + l, (2 * k + 1) * lanes + l
                x[p] = wanted[p] - injected[p]
                x[q] = (wanted[q] - injected[q]) * free[k]
                worst = max(worst, max(abs(x[p]), abs(x[q])))
                total += x[p] + x[q]
            if state[l] == ACTIVE:
                if not (worst < 1e6 and total == total):  # also not a number
                    state[l] = IDLE
                elif worst < TOLERANCE:
                    state[l] = SOLVED
                else:
                    active = True
        if not active or iteration == MAX_ITERATIONS:
            return
        if renew:
            _factorise(lanes, first, column, update, pivot, above, below)
        _substitute(lanes, first, column, pivot, above, below, x)
        for k in range(n):
            for l in range(lanes):
                re, im = 2 * k * lanes + l, (2 * k + 1) * lanes + l
                half = 0.5 * x[re] if state[l] == ACTIVE else 0.0
                grow = 1.0 + x[im] if state[l] == ACTIVE else 1.0
                # a rotation by 2 atan(half): the same to third order, and it keeps magnitudes
                scale = grow / (1.0 + half * half)
                c, s = (1.0 - half * half) * scale, 2.0 * half * scale
                a, b = v[re], v[im]
                v[re], v[im] = c * a - s * b, c * b + s * a


@arithmetic
def _evaluate(lanes, renew, network, free, v, injected, pivot, above, below):  # pragma: no cover
    """S = V conj(Y V) at each position, and, if asked for, the Jacobian.

    Its blocks are (dP/dangle, dP/dstep, dQ/dangle, dQ/dstep) of relative steps of the voltage; where the voltage is
    held, the equation step = 0 stands for that of Q. Their entries are the terms of the sum S.
    """
    _, _, first, column, _, links, diagonal, upper, lower, link_y = network
    n = len(first) - 1
    for i in range(2 * n * lanes):
        injected[i] = 0.0
    for i in range(len(links)):
        k, y_re, y_im = links[i], link_y[2 * i], link_y[2 * i + 1]
        for l in range(lanes):
            re, im = 2 * k * lanes + l, (2 * k + 1) * lanes + l
            slack = v[2 * n * lanes + l]
            injected[re] += slack * (v[re] * y_re + v[im] * y_im)
            injected[im] += slack * (v[im] * y_re - v[re] * y_im)
    for k in range(n):
        for i in range(first[k], first[k + 1]):
            j = column[i]
            up_re, up_im, low_re, low_im = upper[2 * i], upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]
            row, other, both = free[k], free[j], free[k] * free[j]
            for l in range(lanes):
                k_re, j_re = 2 * k * lanes + l, 2 * j * lanes + l
                k_im, j_im = k_re + lanes, j_re + lanes
                a, b, c, d = v[k_re], v[k_im], v[j_re], v[j_im]
                re, im = a * c + b * d, b * c - a * d  # V_k conj(V_j)
                s_re, s_im = re * up_re + im * up_im, im * up_re - re * up_im
                t_re, t_im = re * low_re - im * low_im, -im * low_re - re * low_im
                injected[k_re] += s_re
                injected[k_im] += s_im
                injected[j_re] += t_re
                injected[j_im] += t_im
                if renew:
                    block = 4 * i * lanes + l
                    above[block], above[block + lanes] = s_im, s_re * other
                    above[block + 2 * lanes], above[block + 3 * lanes] = -s_re * row, s_im * both
                    below[block], below[block + lanes] = t_im, t_re * row
                    below[block + 2 * lanes], below[block + 3 * lanes] = -t_re * other, t_im * both
    for k in range(n):
        y_re, y_im = diagonal[2 * k], diagonal[2 * k + 1]
        for l in range(lanes):
            re, im = 2 * k * lanes + l, (2 * k + 1) * lanes + l
            square = v[re] * v[re] + v[im] * v[im]
            p, q = injected[re], injected[im]
            own_re, own_im = square * y_re, -square * y_im
            injected[re], injected[im] = p + own_re, q + own_im
            if renew:
                block = 4 * k * lanes + l
                pivot[block] = -q
                pivot[block + lanes] = (p + 2.0 * own_re) * free[k]
                pivot[block + 2 * lanes] = p * free[k]
                pivot[block + 3 * lanes] = (q + 2.0 * own_im) * free[k] + (1.0 - free[k])


@arithmetic
def _factorise(lanes, first, column, update, pivot, above, below):  # pragma: no cover
    """Block LU without pivoting between blocks, in place: inverses of the pivots, multipliers below."""
    n, u = len(first) - 1, 0
    for k in range(n):
        begin, end = first[k], first[k + 1]
        _invert(lanes, 4 * k * lanes, pivot)
        for i in range(begin, end):
            _multiply(lanes, 4 * i * lanes, below, 4 * k * lanes, pivot)
            _subtract(lanes, 4 * i * lanes, below, 4 * i * lanes, above, 4 * column[i] * lanes, pivot)
        for i in range(begin, end):
            for j in range(i + 1, end):
                _subtract(lanes, 4 * i * lanes, below, 4 * j * lanes, above, 4 * update[u] * lanes, above)
                _subtract(lanes, 4 * j * lanes, below, 4 * i * lanes, above, 4 * update[u] * lanes, below)
                u += 1


@arithmetic
def _substitute(lanes, first, column, pivot, above, below, x):  # pragma: no cover
    """Solves with the factors, in place."""
    n = len(first) - 1
    for k in range(n):
        for i in range(first[k], first[k + 1]):
            block, row = 4 * i * lanes, 2 * column[i] * lanes
            for l in range(lanes):
                p, q = x[2 * k * lanes + l], x[(2 * k + 1) * lanes + l]
                x[row + l] -= below[block + l] * p + below[block + lanes + l] * q
                x[row + lanes + l] -= below[block + 2 * lanes + l] * p + below[block + 3 * lanes + l] * q
    for k in range(n - 1, -1, -1):
        for i in range(first[k], first[k + 1]):
            block, row = 4 * i * lanes, 2 * column[i] * lanes
            for l in range(lanes):
                p, q = x[row + l], x[row + lanes + l]
                x[2 * k * lanes + l] -= above[block + l] * p + above[block + lanes + l] * q
                x[(2 * k + 1) * lanes + l] -= above[block + 2 * lanes + l] * p + above[block + 3 * lanes + l] * q
        block = 4 * k * lanes
        for l in range(lanes):
            p, q = x[2 * k * lanes + l], x[(2 * k + 1) * lanes + l]
            x[2 * k * lanes + l] = pivot[block + l] * p + pivot[block + lanes + l] * q
            x[(2 * k + 1) * lanes + l] = pivot[block + 2 * lanes + l] * p + pivot[block + 3 * lanes + l] * q


@arithmetic
def _invert(lanes, at, a):  # pragma: no cover
    for i in range(at, at + lanes):
        p, q, r, s = a[i], a[i + lanes], a[i + 2 * lanes], a[i + 3 * lanes]
        scale = 1.0 / (p * s - q * r)
        a[i], a[i + lanes], a[i + 2 * lanes], a[i + 3 * lanes] = s * scale, -q * scale, -r * scale, p * scale


@arithmetic
def _multiply(lanes, at, a, by, b):  # pragma: no cover
    """Puts the product of two 2 x 2 blocks in the place of the first."""
    for l in range(lanes):
        i, j = at + l, by + l
        p, q, r, s = a[i], a[i + lanes], a[i + 2 * lanes], a[i + 3 * lanes]
        t, u, v, w = b[j], b[j + lanes], b[j + 2 * lanes], b[j + 3 * lanes]
        a[i], a[i + lanes] = p * t + q * v, p * u + q * w
        a[i + 2 * lanes], a[i + 3 * lanes] = r * t + s * v, r * u + s * w


@arithmetic
def _subtract(lanes, at, a, by, b, to, out):  # pragma: no cover
    """Takes the product of two 2 x 2 blocks off a third."""
    for l in range(lanes):
        i, j, o = at + l, by + l, to + l
        p, q, r, s = a[i], a[i + lanes], a[i + 2 * lanes], a[i + 3 * lanes]
        t, u, v, w = b[j], b[j + lanes], b[j + 2 * lanes], b[j + 3 * lanes]
        c, d, e, f = out[o], out[o + lanes], out[o + 2 * lanes], out[o + 3 * lanes]
        out[o], out[o + lanes] = c - (p * t + q * v), d - (p * u + q * w)
        out[o + 2 * lanes], out[o + 3 * lanes] = e - (r * t + s * v), f - (r * u + s * w)


@kernel
def _linear_guess(lanes, network, wanted, state, pivot, above, below, x, v):  # pragma: no cover
    """Angles of the linear (DC) power flow, magnitudes 1, for the active lanes: where a cold start begins."""
    first, column, update, links, upper, link_y = network[2], network[3], network[4], network[5], network[7], network[9]
    n = len(first) - 1
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
    _factorise(lanes, first, column, update, pivot, above, below)
    _substitute(lanes, first, column, pivot, above, below, x)
    for k in range(n):
        for l in range(lanes):
            if state[l] == ACTIVE:
                angle = x[2 * k * lanes + l]
                if not abs(angle) < 1e6:
                    angle = 0.0  # lines without reactance may leave no linear solution
                v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l] = math.cos(angle), math.sin(angle)


# ---------------------------------------------------------------------------------------------------- flows
@arithmetic
def _flows(e, columns, sizes, constants, given, voltage, memory, places, work):  # pragma: no cover
    """The flows of one row."""
    n_line, n_gen, n_load, n_storage, n_shunt, n_bus = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]
    gen_p, _, load_p, load_q, storage_p = given
    vn_kv, line = constants[1 : 1 + n_bus], constants[1 + n_bus :]
    gen, shunt = line[10 * n_line :], line[10 * n_line + 5 * n_gen :]
    v_kv, theta, needed, total = work[:n_bus], work[n_bus:], work[2 * n_bus :], work[4 * n_bus :]
    _polar(e, voltage, vn_kv, v_kv, theta)
    for i in range(2 * n_bus):
        needed[i] = total[i] = 0.0
    _line_flows(e, columns, n_line, constants[0], line, voltage, v_kv, theta, needed, memory, places)
    first = 2 * n_line + n_gen
    p, q, v, angle = _place(e, 14, places), _place(e, 15, places), _place(e, 16, places), _place(e, 17, places)
    for i in range(n_load):
        b = columns[first + i]
        if b < 0:
            memory[p + i] = memory[q + i] = memory[v + i] = memory[angle + i] = 0.0
            continue
        memory[p + i], memory[q + i], memory[v + i], memory[angle + i] = load_p[e, i], load_q[e, i], v_kv[b], theta[b]
        needed[2 * b] += load_p[e, i]
        needed[2 * b + 1] += load_q[e, i]
    p, v, angle = _place(e, 18, places), _place(e, 19, places), _place(e, 20, places)
    for i in range(n_storage):
        b = columns[first + n_load + i]
        if b < 0:
            memory[p + i] = memory[v + i] = memory[angle + i] = 0.0
            continue
        memory[p + i], memory[v + i], memory[angle + i] = storage_p[e, i], v_kv[b], theta[b]
        needed[2 * b] += storage_p[e, i]
    p, q, v = _place(e, 21, places), _place(e, 22, places), _place(e, 23, places)
    for i in range(n_shunt):
        b = columns[first + n_load + n_storage + i]
        if b < 0:
            memory[p + i] = memory[q + i] = memory[v + i] = 0.0
            continue
        square = (v_kv[b] / vn_kv[b]) ** 2
        memory[p + i], memory[q + i], memory[v + i] = shunt[2 * i] * square, shunt[2 * i + 1] * square, v_kv[b]
        needed[2 * b] += memory[p + i]
        needed[2 * b + 1] += memory[q + i]
    _generation(e, columns[2 * n_line :], n_gen, gen, gen_p, v_kv, theta, needed, total, memory, places)


@arithmetic
def _place(e, f, places):  # pragma: no cover
    """Where in the memory a field of a row begins."""
    return places[f, 0] + e * places[f, 1]


@arithmetic
def _polar(e, voltage, vn_kv, v_kv, theta):  # pragma: no cover
    """Magnitude, and angle in degrees."""
    for b in range(len(vn_kv)):
        re, im = voltage[e, b].real, voltage[e, b].imag
        v_kv[b] = math.sqrt(re * re + im * im) * vn_kv[b]
        theta[b] = math.atan2(im, re) * DEGREES if re != 0.0 or im != 0.0 else 0.0


@arithmetic
def _line_flows(e, columns, n_line, sn_mva, line, voltage, v_kv, theta, needed, memory, places):  # pragma: no cover
    p_or, q_or, v_or, a_or, theta_or = (
        _place(e, 0, places),
        _place(e, 1, places),
        _place(e, 2, places),
        _place(e, 3, places),
        _place(e, 4, places),
    )
    p_ex, q_ex, v_ex, a_ex, theta_ex = (
        _place(e, 5, places),
        _place(e, 6, places),
        _place(e, 7, places),
        _place(e, 8, places),
        _place(e, 9, places),
    )
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
def _generation(e, columns, n_gen, gen, gen_p, v_kv, theta, needed, total, memory, places):  # pragma: no cover
    """The slack generator balances its bus; who holds a voltage shares what reactive power the bus needs.

    The shares are those of the reactive ranges, or even where no range is known.
    """
    out_p, out_q, out_v, out_theta = (
        _place(e, 10, places),
        _place(e, 11, places),
        _place(e, 12, places),
        _place(e, 13, places),
    )
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
def _clear(e, sizes, voltage, memory, places):  # pragma: no cover
    """A row without a solution is all zeros."""
    for b in range(sizes[5]):
        voltage[e, b] = 0.0
    for f in range(len(places)):
        n = sizes[0] if f < 10 else sizes[1] if f < 14 else sizes[2] if f < 18 else sizes[3] if f < 21 else sizes[4]
        field = _place(e, f, places)
        for i in range(n):
            memory[field + i] = 0.0
