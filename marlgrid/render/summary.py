"""What is worth saying about a state: per zone, and what is wrong now."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.render.style import ATTACK, OUT, PLANNED, SPLIT, TRIP, hex_colour, rho_colour
from marlgrid.simulation.state import State


class ZoneSummary(NamedTuple):
    """One zone in figures."""

    number: int
    name: str
    load_mw: float
    gen_mw: float
    storage_mw: float
    """Charging is positive."""
    max_rho: float
    """Highest loading of a line with an end in the zone."""
    n_overload: int
    n_out: int
    n_attacked: int


def zone_summaries(system: System, state: State, row: int = 0) -> list[ZoneSummary]:
    """One per zone, in order."""
    grid, zones, flow = system.grid, system.zones, state.flow
    out = ~connected(system, state, row)
    attacked = state.attack.remaining[row] > 0
    found = []
    for zone, name in enumerate(zones.agents):
        mine = zones.line_in_zone[zone]
        rho = state.rho[row][mine]
        found.append(
            ZoneSummary(
                number=zone,
                name=name,
                load_mw=float(flow.load_p[row][zones.load == zone].sum()),
                gen_mw=float(flow.gen_p[row][zones.gen == zone].sum()),
                storage_mw=float(flow.storage_p[row][zones.storage == zone].sum()) if grid.n_storage else 0.0,
                max_rho=float(rho.max(initial=0.0)),
                n_overload=int((rho > 1).sum()),
                n_out=int(out[mine].sum()),
                n_attacked=int(attacked[mine].sum()),
            )
        )
    return found


def connected(system: System, state: State, row: int = 0) -> np.ndarray:
    """(n_line,) bool: the line is in service."""
    return state.topology.topo_vect[row][system.grid.line_or_pos_topo_vect] > 0


def events(system: System, state: State, row: int = 0) -> list[tuple[str, str]]:
    """(colour, text) of everything unusual: attacks, trips, overloads, lines out, split substations; worst first."""
    grid, rho = system.grid, state.rho[row]
    remaining, waves = state.attack.remaining[row], state.disc_lines[row]
    repair = np.maximum(state.injections.duration_next_maintenance[row], 0)
    repair = np.where(state.injections.time_next_maintenance[row] == 0, repair, 0)
    hazard = state.injections.hazard_duration[row]
    attacks = [(ATTACK, f"{grid.name_line[k]} attacked, {remaining[k]} more steps") for k in np.flatnonzero(remaining)]
    held = np.maximum(state.attacked.sub[row] - 1, 0)
    attacks += [(ATTACK, f"{grid.name_sub[k]} attacked, {held[k]} more steps") for k in np.flatnonzero(held)]
    trips = [(TRIP, f"{grid.name_line[k]} tripped") for k in np.flatnonzero(waves >= 0)]
    overloaded = sorted(np.flatnonzero(rho > 1), key=lambda k: -float(rho[k]))
    overloads = [(hex_colour(rho_colour(rho[k])), f"{grid.name_line[k]} at {100 * rho[k]:.0f} %") for k in overloaded]
    outages = []
    for k in np.flatnonzero(~connected(system, state, row) & (remaining == 0) & (waves < 0)):
        if repair[k] or hazard[k]:
            reason = "in maintenance" if repair[k] >= hazard[k] else "failed"
            outages.append((PLANNED, f"{grid.name_line[k]} {reason}, {max(repair[k], hazard[k])} steps"))
        else:
            outages.append((OUT, f"{grid.name_line[k]} out"))
    splits = [(SPLIT, f"{grid.name_sub[s]} split") for s in np.flatnonzero(split_substations(system, state, row))]
    return attacks + trips + overloads + outages + splits


def split_substations(system: System, state: State, row: int = 0) -> np.ndarray:
    """(n_sub,) bool: elements stand on more than one busbar."""
    topo, sub = state.topology.topo_vect[row], system.grid.topology_layout.sub
    used = np.zeros((system.grid.n_sub, system.grid.n_busbar + 1), dtype=bool)
    used[sub, np.maximum(topo, 0)] = True
    return used[:, 1:].sum(axis=1) > 1
