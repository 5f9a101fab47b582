"""From busbars and injections to flows in one compiled call: look-up of networks, Newton's iterations, Ohm's law.

What belongs to a bus stands at its position of elimination, the slack's bus being the last. Rows of one topology are
solved side by side: in ``x[i * lanes + l]`` the lane ``l`` runs fastest, so that one instruction serves several rows.
"""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import arithmetic, kernel, scratch, subkernel
from marlgrid.powerflow.lanes import WIDTH, eight, farther, get, like, put, width
from marlgrid.powerflow.network import NOT_ASKED, learn

TOLERANCE = 1e-10
"""Largest mismatch of a solution, per unit."""
MAX_ITERATIONS = 10
COLLAPSED = 0.5
"""Per unit: no bus of a normal solution is below."""
FEWEST = 3
"""Rows of one topology from which on solving eight side by side, some of them twice, is quicker than one by one."""
IDLE, ACTIVE, SOLVED = 0.0, 1.0, 2.0
"""States of a lane."""
DEGREES = 180.0 / math.pi


@kernel
def solve_rows(  # pragma: no cover
    table, header, ints, admittances, keys, used, slots, sizes, constants,
    topo_vect, shunt_bus, gen_p, gen_v, load_p, load_q, storage_p, start, rows,
    converged, voltage, memory, places,
) -> bool:  # fmt: skip
    """Solves the rows asked for, except where there is no room for their networks: it says True then, and does nothing.

    Field ``f`` of row ``e`` of the flow (``base.Flow`` without ``converged`` and ``voltage``) is written from
    ``memory[places[f, 0] + e * places[f, 1]]`` on. ``voltage`` may be ``start`` itself.
    """
    room = _look_up(table, header, ints, keys, used, topo_vect, shunt_bus, rows, slots)
    if room < 0:
        networks = table, header, ints, admittances, keys, used
        if not learn(networks, sizes, constants, topo_vect, shunt_bus, rows, slots):
            return True
        room = _look_up(table, header, ints, keys, used, topo_vect, shunt_bus, rows, slots)
    n_key = topo_vect.shape[1] + shunt_bus.shape[1]
    work = np.empty(room + 4 + 8 * voltage.shape[1])
    given = gen_p, gen_v, load_p, load_q, storage_p
    member = np.empty(1, np.int64)
    for e in range(len(rows)):
        slot = slots[e, 0]
        if slot == NOT_ASKED:
            continue
        member[0], converged[e] = e, False
        columns = ints[header[slot, 5] + n_key :]
        if header[slot, 1] >= 0:
            network = _network(slot, n_key + _n_column(sizes), header, ints, admittances)
            _solve(0.0, member, network, columns, sizes, constants, given, start, voltage, converged, work)
        if converged[e]:
            _flows(e, columns, sizes, constants, given, voltage, memory, places, work)
        else:
            _clear(e, sizes, voltage, memory, places)
    return False


@kernel
def solve_groups(  # pragma: no cover
    table, header, ints, admittances, keys, used, slots, sizes, constants,
    topo_vect, shunt_bus, gen_p, gen_v, load_p, load_q, storage_p, start, rows,
    converged, voltage, memory, places,
) -> bool:  # fmt: skip
    """As ``solve_rows``, with rows of one topology side by side. Apart from it, for it takes long to compile."""
    room = _look_up(table, header, ints, keys, used, topo_vect, shunt_bus, rows, slots)
    if room < 0:
        networks = table, header, ints, admittances, keys, used
        if not learn(networks, sizes, constants, topo_vect, shunt_bus, rows, slots):
            return True
        room = _look_up(table, header, ints, keys, used, topo_vect, shunt_bus, rows, slots)
    n_key = topo_vect.shape[1] + shunt_bus.shape[1]
    n_env = len(rows)
    work = np.empty((room + 4) * WIDTH + 8 * voltage.shape[1])
    given = gen_p, gen_v, load_p, load_q, storage_p
    order = np.argsort(slots[:n_env, 0], kind="mergesort")
    members = np.empty(WIDTH, np.int64)
    done = 0
    while done < n_env:
        slot, count = slots[order[done], 0], 0
        while count < WIDTH and done + count < n_env and slots[order[done + count], 0] == slot:
            members[count] = order[done + count]
            count += 1
        if count < FEWEST:
            count = 1
        done += count
        if slot == NOT_ASKED:
            continue
        for l in range(count):
            converged[members[l]] = False
        columns = ints[header[slot, 5] + n_key :]
        if header[slot, 1] >= 0:
            network = _network(slot, n_key + _n_column(sizes), header, ints, admittances)
            if count == 1:
                _solve(0.0, members, network, columns, sizes, constants, given, start, voltage, converged, work)
            else:
                members[count:] = members[0]
                _solve(eight(0.0), members, network, columns, sizes, constants, given, start, voltage, converged, work)
        for l in range(count):
            if converged[members[l]]:
                _flows(members[l], columns, sizes, constants, given, voltage, memory, places, work)
            else:
                _clear(members[l], sizes, voltage, memory, places)
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
def _look_up(table, header, ints, keys, used, topo_vect, shunt_bus, rows, slots):  # pragma: no cover
    """Writes the slot of every row, and its hash; returns the room that solving them takes, -1 if one is unknown."""
    room, unknown, slot = 0, False, used[3]
    for e in range(len(rows)):
        if not rows[e]:
            slots[e, 0] = NOT_ASKED
            continue
        if slot >= used[0] or not _same(topo_vect[e], shunt_bus[e], ints, header[slot, 5]):
            code = _hash(topo_vect[e], shunt_bus[e], keys)
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
def _hash(topo_vect, shunt_bus, keys):  # pragma: no cover
    code, n = np.int64(0), len(topo_vect)
    for i in range(n):
        code += topo_vect[i] * keys[i]
    for i in range(len(shunt_bus)):
        code += shunt_bus[i] * keys[n + i]
    return code ^ (code >> 29)


@arithmetic
def _n_column(sizes):  # pragma: no cover
    """Columns of the bus layout."""
    return 2 * sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]


@subkernel
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
    one, members, network, columns, sizes, constants, given, start, voltage, converged, work
):  # pragma: no cover
    """Voltages of rows of one topology: from the previous solution, then, for those that fail, from a linear one."""
    bus, leader, column = network[0], network[1], network[3]
    lanes = width(one)
    n, n_block, at = len(bus) - 1, len(column), 2 * len(bus) * lanes
    v, wanted, x, injected = work[:at], work[at : 2 * at], work[2 * at : 3 * at], work[3 * at : 4 * at]
    pivot, work, at = work[4 * at : 6 * at], work[6 * at :], 4 * n_block * lanes
    above, below, work = work[:at], work[at : 2 * at], work[2 * at :]
    state, free, per_bus = work[: 4 * lanes], work[4 * lanes : 4 * lanes + n], work[4 * lanes + n :]
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
            _linear_guess(one, network, wanted, state, pivot, above, below, x, v)
        for l in range(lanes):
            _hold(lanes, l, members[l], bus, leader, sizes, constants, given[1], v)
        _newton(one, attempt == 0, network, wanted, free, state, v, x, injected, pivot, above, below)
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
def _newton(one, close, network, wanted, free, state, v, x, injected, pivot, above, below):  # pragma: no cover
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
            _factorise(one, first, column, update, pivot, above, below)
        _substitute(one, first, column, pivot, above, below, x)
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


@arithmetic
def _factorise(one, first, column, update, pivot, above, below):  # pragma: no cover
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
def _substitute(one, first, column, pivot, above, below, x):  # pragma: no cover
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


@subkernel
def _linear_guess(one, network, wanted, state, pivot, above, below, x, v):  # pragma: no cover
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
    _factorise(one, first, column, update, pivot, above, below)
    _substitute(one, first, column, pivot, above, below, x)
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
    """Magnitude, and angle in degrees."""
    for b in range(len(vn_kv)):
        re, im = voltage[e, b].real, voltage[e, b].imag
        v_kv[b] = math.sqrt(re * re + im * im) * vn_kv[b]
        theta[b] = math.atan2(im, re) * DEGREES if re != 0.0 or im != 0.0 else 0.0


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
def _clear(e, sizes, voltage, memory, places):  # pragma: no cover
    """A row without a solution is all zeros."""
    for b in range(sizes[5]):
        voltage[e, b] = 0.0
    for f in range(len(places)):
        n = sizes[0] if f < 10 else sizes[1] if f < 14 else sizes[2] if f < 18 else sizes[3] if f < 21 else sizes[4]
        field = places[f, 0] + e * places[f, 1]
        for i in range(n):
            memory[field + i] = 0.0
