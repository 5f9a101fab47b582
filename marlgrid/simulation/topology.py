"""What is connected to what: switching, busbars, attacks and outages, islands."""

from __future__ import annotations

import numpy as np
from numba import njit

from marlgrid.model.system import System
from marlgrid.model.time_series import Injections
from marlgrid.simulation.action import Action, Kind
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State


def switch(system: System, state: State, action: Action, ruling: Ruling, injections: Injections) -> State:
    """Applies the accepted actions, then attacks, maintenance and hazards, which win over them.

    On a line that several zones act on, disconnection wins; each end follows the busbar its owner chose. A line that is
    connected returns to the last busbar of each end that got no new one. Writes: topology.topo_vect, outcome.
    """
    topo_vect = state.topology.topo_vect.copy()
    outcome = state.outcome.copy()
    _switch(
        system.tables,
        action.commands,
        action.first,
        action.last,
        ruling.accepted,
        ruling.attacked,
        injections.time_next_maintenance,
        injections.hazard_duration,
        state.topology.last_bus,
        topo_vect,
        outcome,
    )
    return state._replace(topology=state.topology._replace(topo_vect=topo_vect), outcome=outcome)


def settle(system: System, state: State) -> State:
    """Opens what the protections tripped and remembers the busbars in use after the power flow.

    Writes: topology.topo_vect, topology.last_bus.
    """
    topo_vect, last_bus = state.topology.topo_vect.copy(), state.topology.last_bus.copy()
    _settle(system.tables.line, state.disc_lines, topo_vect, last_bus)
    return state._replace(topology=state.topology._replace(topo_vect=topo_vect, last_bus=last_bus))


def islanded(system: System, topo_vect: np.ndarray) -> np.ndarray:
    """(n_env,) bool: some busbar in use is not connected to the slack generator."""
    return _islanded(
        system.tables.line,
        system.tables.place,
        topo_vect,
        system.grid.gen_pos_topo_vect[system.grid.slack_gen],
        system.grid.n_sub,
        system.grid.n_busbar,
    )


# ---------------------------------------------------------------------------------------------------- kernels
@njit(cache=True)
def _switch(  # pragma: no cover
    tables, commands, first, last, accepted, attacked, maintenance, hazard, last_bus, topo_vect, outcome
):
    n_env, n_zone = first.shape
    n_line = len(tables.line)
    wish = np.zeros(n_line, np.int8)  # of all zones: -1 off, +1 on
    zone_wish = np.zeros(n_line, np.int8)
    before = np.empty(topo_vect.shape[1], topo_vect.dtype)
    for e in range(n_env):
        wish[:] = 0
        before[:] = topo_vect[e]
        for z in range(n_zone):
            if not accepted[e, z]:
                continue
            for c in range(first[e, z], last[e, z]):
                _apply(tables, commands, c, before, last_bus[e], topo_vect[e], zone_wish)
            for c in range(first[e, z], last[e, z]):
                _add_wish(tables, commands, c, zone_wish, wish)
        for l in range(n_line):
            forced = attacked[e, l] > 0 or maintenance[e, l] == 0 or hazard[e, l] > 0
            _connect(tables.line[l], forced, wish[l], before, last_bus[e], topo_vect[e])
        for p in range(topo_vect.shape[1]):
            if topo_vect[e, p] < 0 and before[p] > 0:
                _note_lost_element(tables, p, outcome, e)


@njit(cache=True)
def _apply(tables, commands, c, before, last_bus, topo_vect, wish):  # pragma: no cover
    """Writes the busbar of one command, and what its zone wishes of the line's status so far.

    Within a zone a new busbar keeps (or brings) a line in service; commands come in the order of their kinds.
    """
    kind, i = commands.kind[c], commands.index[c]
    if kind == Kind.SET_LINE_STATUS:
        wish[i] = np.int8(commands.value[c])
    elif kind == Kind.CHANGE_LINE_STATUS:
        wish[i] = -1 if before[tables.line[i].or_pos] > 0 else 1
    elif kind == Kind.SET_BUS:
        bus, line = np.int32(commands.value[c]), tables.place[i].line
        if line < 0 or bus > 0:
            topo_vect[i] = bus
        if line >= 0:
            connected = before[i] > 0
            if bus < 0:
                wish[line] = -1
            elif not connected or wish[line] < 0:
                wish[line] = 1
    elif kind == Kind.CHANGE_BUS:
        line = tables.place[i].line
        if before[i] > 0:
            topo_vect[i] = 3 - before[i]
        elif line >= 0 and wish[line] > 0:
            topo_vect[i] = 3 - last_bus[i]


@njit(cache=True)
def _add_wish(tables, commands, c, zone_wish, wish):  # pragma: no cover
    """Joins the zone's wish for a line into that of all zones: disconnection wins."""
    kind, i = commands.kind[c], commands.index[c]
    if kind > Kind.CHANGE_BUS:
        return
    line = i if kind <= Kind.CHANGE_LINE_STATUS else tables.place[i].line
    if line < 0:
        return
    if zone_wish[line] < 0 or (zone_wish[line] > 0 and wish[line] == 0):
        wish[line] = zone_wish[line]
    zone_wish[line] = 0


@njit(cache=True)
def _connect(ends, forced, wish, before, last_bus, topo_vect):  # pragma: no cover
    """Both ends of one line on a busbar, or none."""
    connected = before[ends.or_pos] > 0
    if forced or wish < 0 or (not connected and wish == 0):
        topo_vect[ends.or_pos] = -1
        topo_vect[ends.ex_pos] = -1
    elif not connected:
        if topo_vect[ends.or_pos] < 0:
            topo_vect[ends.or_pos] = last_bus[ends.or_pos]
        if topo_vect[ends.ex_pos] < 0:
            topo_vect[ends.ex_pos] = last_bus[ends.ex_pos]


@njit(cache=True)
def _note_lost_element(tables, place, outcome, e):  # pragma: no cover
    """A load or generator on no busbar ends the episode; a line or a storage does not."""
    if tables.place[place].line >= 0 or outcome[e] != Outcome.RUNNING:
        return
    for s in range(len(tables.storage)):
        if tables.storage[s].pos == place:
            return
    outcome[e] = Outcome.LOAD_OR_GEN_DISCONNECTED


@njit(cache=True)
def _settle(lines, tripped, topo_vect, last_bus):  # pragma: no cover
    for e in range(topo_vect.shape[0]):
        for l in range(len(lines)):
            if tripped[e, l] >= 0:
                topo_vect[e, lines[l].or_pos] = -1
                topo_vect[e, lines[l].ex_pos] = -1
        for p in range(topo_vect.shape[1]):
            if topo_vect[e, p] > 0:
                last_bus[e, p] = topo_vect[e, p]


@njit(cache=True)
def _islanded(lines, places, topo_vect, slack_pos, n_sub, n_busbar):  # pragma: no cover
    n_env, n_place = topo_vect.shape
    n_bus = n_sub * n_busbar
    apart = np.zeros(n_env, np.bool_)
    for e in range(n_env):
        if topo_vect[e, slack_pos] < 0:
            apart[e] = True
            continue
        reached = np.zeros(n_bus, np.bool_)
        reached[places[slack_pos].sub + (topo_vect[e, slack_pos] - 1) * n_sub] = True
        growing = True
        while growing:
            growing = False
            for l in range(len(lines)):
                if topo_vect[e, lines[l].or_pos] < 0:
                    continue
                a = lines[l].or_sub + (topo_vect[e, lines[l].or_pos] - 1) * n_sub
                b = lines[l].ex_sub + (topo_vect[e, lines[l].ex_pos] - 1) * n_sub
                if reached[a] != reached[b]:
                    reached[a] = reached[b] = True
                    growing = True
        for p in range(n_place):
            if topo_vect[e, p] > 0 and not reached[places[p].sub + (topo_vect[e, p] - 1) * n_sub]:
                apart[e] = True
    return apart
