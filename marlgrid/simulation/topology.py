"""What is connected to what: switching, busbars, attacks and outages, islands."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.model.system import System
from marlgrid.powerflow.buses import BusLayout, hang_together, locate
from marlgrid.simulation.action import Kind
from marlgrid.simulation.frame import Memory, view_frame
from marlgrid.simulation.state import Outcome, Topology
from marlgrid.simulation.substations import under_attack

BY_BUSBAR = 2
"""Wish for a line that a new busbar brings back: its other end then returns to its last busbar, whatever is changed."""


def islanded(system: System, topology: Topology) -> np.ndarray:
    """(n_env,) bool: some busbar in use is not connected to the slack generator."""
    layout = BusLayout.of(system.grid)
    buses = layout.buses(topology.topo_vect, topology.shunt_bus)
    return ~layout.connected(buses, np.ones(len(buses), dtype=bool))


def name_islands(system: System, memory: Memory) -> None:
    """Tells apart why there is no solution: ``ISLANDED`` where a busbar in use is cut off from the slack generator."""
    _name_islands(memory.block, *BusLayout.of(system.grid).arguments)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _name_islands(block, position, sub, n_sub, n_line, slack, n_bus) -> None:  # pragma: no cover
    """Writes: outcome."""
    frame = view_frame(block)
    state = frame.state
    bus, parent = scratch(len(sub), np.int32), scratch(n_bus, np.int32)
    for e in range(len(state.outcome)):
        if frame.ran[e] and state.outcome[e] == Outcome.DIVERGED:
            locate(state.topology.topo_vect[e], state.topology.shunt_bus[e], position, sub, n_sub, n_line, bus)
            if not hang_together(bus, n_line, slack, parent):
                state.outcome[e] = Outcome.ISLANDED


@rule
def switch(tables, frame, commands, first, last) -> None:  # pragma: no cover
    """Applies the accepted actions, then attacks, maintenance and hazards, which win over them.

    On a line that several zones act on, disconnection wins; each end follows the busbar its owner chose. A line that is
    connected returns to the last busbar of each end that got no new one. What is connected and held by an attack on its
    substation is put there. Writes: topology.topo_vect, outcome.
    """
    state, ruling = frame.state, frame.ruling
    topo_vect, last_bus = state.topology.topo_vect, state.topology.last_bus
    wish, zone_wish = scratch(len(tables.line), np.int8), scratch(len(tables.line), np.int8)
    before = scratch(topo_vect.shape[1], np.int32)
    for e in range(topo_vect.shape[0]):
        if not frame.ran[e]:
            continue
        for l in range(len(wish)):
            wish[l] = 0
        for p in range(len(before)):
            before[p] = topo_vect[e, p]
        asked = (first[e], last[e], ruling.accepted[e])
        outages = state.injections.time_next_maintenance[e], state.injections.hazard_duration[e]
        forced = (ruling.attacked[e], *outages)
        if _switch_row(tables, commands, asked, forced, last_bus[e], topo_vect[e], before, wish, zone_wish):
            state.outcome[e] = Outcome.LOAD_OR_GEN_DISCONNECTED
        if under_attack(state.attacked.sub, e):
            for p in range(topo_vect.shape[1]):
                held = state.attacked.bus[e, p]
                if held > 0 and topo_vect[e, p] > 0:
                    topo_vect[e, p] = held


@rule
def _switch_row(tables, commands, asked, forced, last_bus, topo_vect, before, wish, zone_wish):  # pragma: no cover
    """One environment; ``wish`` is what all zones together want of each line, -1 off or +1 on. True if one is lost:
    a load or generator on no busbar ends the episode, a line or a storage does not."""
    first, last, accepted = asked
    attacked, maintenance, hazard = forced
    for z in range(len(first)):
        if accepted[z]:
            for c in range(first[z], last[z]):
                _apply(tables, commands, c, before, last_bus, topo_vect, zone_wish)
            for c in range(first[z], last[z]):
                _add_wish(tables, commands, c, zone_wish, wish)
    for l in range(len(wish)):
        out = attacked[l] > 0 or maintenance[l] == 0 or hazard[l] > 0
        _connect(tables.line, l, out, wish[l], before, last_bus, topo_vect)
    for p in range(len(topo_vect)):
        if topo_vect[p] < 0 and before[p] > 0 and tables.place[p].line < 0 and not _is_storage(tables, p):
            return True
    return False


@rule
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
            elif wish[line] < 0:
                wish[line] = 1
            elif not connected and wish[line] == 0:
                wish[line] = BY_BUSBAR
    elif kind == Kind.CHANGE_BUS:
        line = tables.place[i].line
        if before[i] > 0:
            topo_vect[i] = 3 - before[i]
        elif line >= 0 and wish[line] == 1:
            topo_vect[i] = 3 - last_bus[i]


@rule
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


@rule
def _connect(line, l, forced, wish, before, last_bus, topo_vect):  # pragma: no cover
    """Both ends of one line on a busbar, or none."""
    origin, extremity = line[l].or_pos, line[l].ex_pos
    connected = before[origin] > 0
    if forced or wish < 0 or (not connected and wish == 0):
        topo_vect[origin] = -1
        topo_vect[extremity] = -1
    elif not connected:
        if topo_vect[origin] < 0:
            topo_vect[origin] = last_bus[origin]
        if topo_vect[extremity] < 0:
            topo_vect[extremity] = last_bus[extremity]


@rule
def _is_storage(tables, place):  # pragma: no cover
    found = False
    for s in range(len(tables.storage)):
        found = found or tables.storage[s].pos == place
    return found


@rule
def settle(frame) -> None:  # pragma: no cover
    """Remembers the busbars in use after the power flow and its trips. Writes: topology.last_bus."""
    topo_vect, last_bus = frame.state.topology.topo_vect, frame.state.topology.last_bus
    for e in range(topo_vect.shape[0]):
        for p in range(topo_vect.shape[1]):
            if topo_vect[e, p] > 0:
                last_bus[e, p] = topo_vect[e, p]
