"""From busbars and injections to flows in one compiled call: look-up of networks, Newton's iterations, Ohm's law.

What belongs to a bus stands at its position of elimination, the slack's bus being the last. Rows of one topology are
solved side by side: in ``x[i * lanes + l]`` the lane ``l`` runs fastest, so that one instruction serves several rows.
"""

from __future__ import annotations

import math

import numpy as np

from marlgrid.compiled import arithmetic, kernel, scratch, subkernel
from marlgrid.powerflow.iterations import ACTIVE, IDLE, SOLVED, linear_guess, newton
from marlgrid.powerflow.lanes import WIDTH, choose, collect, eight, farther, get, like, put, root, width
from marlgrid.powerflow.network import NOT_ASKED, learn, look_up, network_of, view_networks
from marlgrid.powerflow.ohm import (
    ASKED_GEN,
    ASKED_LOAD,
    ASKED_STORAGE,
    N_ARRAY,
    VOLTAGE,
    clear_row,
    flows_of,
    locate,
)
from marlgrid.powerflow.problem import asked_of, found_of

COLLAPSED = 0.5
"""Per unit: no bus of a normal solution is below."""
FEWEST = 3
"""Rows of one topology from which on solving eight side by side, some of them twice, is quicker than one by one."""


@kernel
def solve_rows(block, memory, places, start, rows) -> bool:  # pragma: no cover
    """Solves the rows asked for, except where there is no room for their networks: it says True then, and does nothing.

    ``block`` holds the networks, ``memory`` the problem (see ``problem.places_of``), whose voltage may be ``start``
    itself.
    """
    networks, n_env = view_networks(block), len(rows)
    topo_vect, shunt_bus, given = asked_of(memory, places, n_env)
    converged, voltage = found_of(memory, places, n_env)
    slots = np.empty((n_env, 2), np.int64)
    room = _ready(networks, topo_vect, shunt_bus, rows, slots)
    if room < 0:
        return True
    sizes, constants, skipped = networks.sizes, networks.constants, topo_vect.shape[1] + shunt_bus.shape[1]
    work = np.empty(room + 4 + 8 * voltage.shape[1])
    member, begin = np.empty(1, np.int64), np.empty(N_ARRAY, np.int64)
    for e in range(n_env):
        slot = slots[e, 0]
        if slot == NOT_ASKED:
            continue
        member[0], converged[e] = e, False
        locate(1, member, sizes, places, begin)
        columns = networks.ints[networks.header[slot, 5] + skipped :]
        if networks.header[slot, 1] >= 0:
            network = network_of(slot, skipped + _n_column(sizes), networks)
            _solve(0.0, member, begin, network, columns, sizes, constants, given, start, voltage, converged, work)
        if converged[e]:
            flows_of(0.0, begin, columns, sizes, constants, given, voltage, memory, work)
        else:
            clear_row(e, sizes, voltage, memory, places)
    return False


@kernel
def solve_groups(block, memory, places, start, rows) -> bool:  # pragma: no cover
    """As ``solve_rows``, with rows of one topology side by side. Apart from it, for it takes long to compile."""
    networks, n_env = view_networks(block), len(rows)
    topo_vect, shunt_bus, given = asked_of(memory, places, n_env)
    converged, voltage = found_of(memory, places, n_env)
    slots = np.empty((n_env, 2), np.int64)
    room = _ready(networks, topo_vect, shunt_bus, rows, slots)
    if room < 0:
        return True
    sizes, constants, skipped = networks.sizes, networks.constants, topo_vect.shape[1] + shunt_bus.shape[1]
    work = np.empty((room + 4 + 8 * voltage.shape[1]) * WIDTH)
    order = np.argsort(slots[:, 0], kind="mergesort")
    members, begin = np.empty(WIDTH, np.int64), np.empty(N_ARRAY * WIDTH, np.int64)
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
        columns = networks.ints[networks.header[slot, 5] + skipped :]
        if networks.header[slot, 1] >= 0:
            network = network_of(slot, skipped + _n_column(sizes), networks)
            grid = columns, sizes, constants, given
            if count == 1:
                locate(1, members, sizes, places, begin)
                _solve(0.0, members, begin, network, *grid, start, voltage, converged, work)
                flows_of(0.0, begin, *grid, voltage, memory, work)
            else:
                members[count:] = members[0]
                locate(WIDTH, members, sizes, places, begin)
                _solve(eight(0.0), members, begin, network, *grid, start, voltage, converged, work)
                flows_of(eight(0.0), begin, *grid, voltage, memory, work)
        for l in range(count):
            if not converged[members[l]]:
                clear_row(members[l], sizes, voltage, memory, places)
    return False


@subkernel
def _ready(networks, topo_vect, shunt_bus, rows, slots):  # pragma: no cover
    """Has the networks of all rows at hand; the room that solving them takes, -1 without room for the networks."""
    room = look_up(networks, topo_vect, shunt_bus, rows, slots)
    if room < 0 and learn(networks, topo_vect, shunt_bus, rows, slots):
        room = look_up(networks, topo_vect, shunt_bus, rows, slots)
    return room


@arithmetic
def _n_column(sizes):  # pragma: no cover
    """Columns of the bus layout."""
    return 2 * sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]


@arithmetic
def _solve(
    one, members, begin, network, columns, sizes, constants, given, start, voltage, converged, work
):  # pragma: no cover
    """Voltages of rows of one topology: from the previous solution, then, for those that fail, from a linear one."""
    bus, leader, column = network[0], network[1], network[3]
    lanes = width(one)
    n, n_block, at = len(bus) - 1, len(column), 2 * len(bus) * lanes
    v, wanted, x, injected = work[:at], work[at : 2 * at], work[2 * at : 3 * at], work[3 * at : 4 * at]
    pivot, work, at = work[4 * at : 6 * at], work[6 * at :], 4 * n_block * lanes
    above, below, work = work[:at], work[at : 2 * at], work[2 * at :]
    state, free, per_bus = work[: 4 * lanes], work[4 * lanes : 4 * lanes + n], work[4 * lanes + n :]
    _specify(one, begin, bus, columns, sizes, constants, given, wanted, per_bus)
    for k in range(n):
        free[k] = 1.0 if leader[k] < 0 else 0.0
    warm = _as_it_stands(one, begin, bus, start, v)
    for l in range(lanes):
        state[l] = ACTIVE
    if not warm:
        for l in range(lanes):
            state[l] = _previous(lanes, l, members[l], bus, sizes, start, v)
            warm |= state[l] == ACTIVE
    unsolved = lanes
    for attempt in range(2):
        if attempt == 0:
            if not warm:
                continue
        else:
            for l in range(lanes):
                state[l] = IDLE if converged[members[l]] else ACTIVE
            linear_guess(one, network, wanted, state, pivot, above, below, x, v)
        _hold(one, begin, leader, sizes, constants, given[1], v)
        newton(one, attempt == 0, network, wanted, free, state, v, x, injected, pivot, above, below)
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
def _specify(one, begin, bus, columns, sizes, constants, given, wanted, per_bus):  # pragma: no cover
    """Power to be injected at each position, per unit, real and imaginary by turns."""
    n_line, n_gen, n_load, n_storage, lanes = sizes[0], sizes[1], sizes[2], sizes[3], width(one)
    gen_p, _, load_p, load_q, storage_p = given
    gen = constants[1 + sizes[5] + 10 * n_line :]
    for i in range(2 * sizes[5]):
        put(one, per_bus, i * lanes, like(one, 0.0))
    for g in range(n_gen):
        at = 2 * columns[2 * n_line + g] * lanes
        if at >= 0:
            put(one, per_bus, at, get(one, per_bus, at) + collect(one, gen_p, begin, ASKED_GEN, g))
            put(one, per_bus, at + lanes, get(one, per_bus, at + lanes) + like(one, gen[5 * g + 1]))
    for i in range(n_load):
        at = 2 * columns[2 * n_line + n_gen + i] * lanes
        if at >= 0:
            put(one, per_bus, at, get(one, per_bus, at) - collect(one, load_p, begin, ASKED_LOAD, i))
            put(one, per_bus, at + lanes, get(one, per_bus, at + lanes) - collect(one, load_q, begin, ASKED_LOAD, i))
    for i in range(n_storage):
        at = 2 * columns[2 * n_line + n_gen + n_load + i] * lanes
        if at >= 0:
            put(one, per_bus, at, get(one, per_bus, at) - collect(one, storage_p, begin, ASKED_STORAGE, i))
    scale = like(one, 1.0 / constants[0])
    for k in range(len(bus) - 1):
        for part in range(2):
            put(one, wanted, (2 * k + part) * lanes, get(one, per_bus, (2 * bus[k] + part) * lanes) * scale)


@arithmetic
def _as_it_stands(one, begin, bus, start, v) -> bool:  # pragma: no cover
    """Takes over the previous solution; False if some lane has none, not for all buses, or one to be turned."""
    n, lanes, zero, unfit = len(bus) - 1, width(one), like(one, 0.0), like(one, 0.0)
    for k in range(n + 1):
        re = collect(one, start, begin, VOLTAGE, 2 * bus[k])
        im = collect(one, start, begin, VOLTAGE, 2 * bus[k] + 1)
        put(one, v, 2 * k * lanes, re)
        put(one, v, (2 * k + 1) * lanes, im)
        unfit += choose(farther(farther(zero, re), im), zero, like(one, 1.0), zero)
        if k == n:
            unfit += choose(farther(zero, im), zero, zero, like(one, 1.0))
    n_unfit = scratch(width(one), np.float64)
    put(one, n_unfit, 0, unfit)
    fit = True
    for l in range(lanes):
        fit = fit and n_unfit[l] == 0.0
    return fit


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
def _hold(one, begin, leader, sizes, constants, gen_v, v):  # pragma: no cover
    """Sets the magnitudes that generators hold, and the slack's angle to zero."""
    n, lanes, gen = len(leader) - 1, width(one), constants[1 + sizes[5] + 10 * sizes[0] :]
    for k in range(n):
        g = leader[k]
        if g >= 0:
            re, im = get(one, v, 2 * k * lanes), get(one, v, (2 * k + 1) * lanes)
            held = collect(one, gen_v, begin, ASKED_GEN, g)
            scale = held / (like(one, gen[5 * g]) * root(re * re + im * im))
            put(one, v, 2 * k * lanes, re * scale)
            put(one, v, (2 * k + 1) * lanes, im * scale)
    at, held = 2 * n * lanes, collect(one, gen_v, begin, ASKED_GEN, leader[n])
    put(one, v, at, held / like(one, gen[5 * leader[n]]))
    put(one, v, at + lanes, like(one, 0.0))


@arithmetic
def _collapsed(lanes, l, n, v):  # pragma: no cover
    """Some bus has less than half its nominal voltage."""
    lowest = COLLAPSED * COLLAPSED
    for k in range(n):
        re, im = v[2 * k * lanes + l], v[(2 * k + 1) * lanes + l]
        lowest = min(lowest, re * re + im * im)
    return lowest < COLLAPSED * COLLAPSED
