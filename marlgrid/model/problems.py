"""Everything that is wrong with a system, found at once and before anything is simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marlgrid.model.grid import GENERATOR_TYPES, Grid

if TYPE_CHECKING:
    from marlgrid.model.system import System
    from marlgrid.model.zones import Zones

KINDS = ("sub", "line", "gen", "load", "storage", "shunt")
ENDS = {
    "line": ("line_or_to_subid", "line_ex_to_subid"),
    "gen": ("gen_to_subid",),
    "load": ("load_to_subid",),
    "storage": ("storage_to_subid",),
    "shunt": ("shunt_to_subid",),
}
AT_LEAST_ZERO = (
    *("gen_max_ramp_up", "gen_max_ramp_down", "gen_min_uptime", "gen_min_downtime"),
    *("storage_emin", "storage_max_p_prod", "storage_max_p_absorb", "storage_loss"),
)
ABOVE_ZERO = ("sub_vn_kv", "line_ratio", "thermal_limit", "gen_v_kv", "storage_emax")
EFFICIENCIES = ("storage_charging_efficiency", "storage_discharging_efficiency")
SHOWN = 5
"""How many elements one sentence names."""


def problems(system: System) -> list[str]:
    """One sentence per kind of fault: which elements (name and number), what they have, what is allowed.

    An empty list means that the system can be simulated.
    """
    grid = system.grid
    found = list(_shape_problems(grid))
    if not found:
        found += _name_problems(grid)
        found += _value_problems(grid)
        found += _generator_problems(grid)
        ends = list(_end_problems(grid))
        found += ends or [*_start_problems(grid)]
    found += _zone_problems(grid, system.zones)
    unknown = sorted(set(system.attack.lines) - set(grid.name_line))
    if unknown:
        found.append(f"attackable lines {_some(unknown)} do not exist; choose from the grid's name_line")
    unknown = sorted(set(system.attack.subs) - set(grid.name_sub))
    if unknown:
        found.append(f"attackable substations {_some(unknown)} do not exist; choose from the grid's name_sub")
    repeated = [name for name, times in Counter(system.attack.lines).items() if times > 1]
    if repeated:
        found.append(f"attackable lines {_some(repeated)} are listed more than once")
    unknown = system.attention.unknown_lines(grid)
    if unknown:
        found.append(f"lines {_some(unknown)} of alarms and alerts do not exist; choose from the grid's name_line")
    if not system.delta_time > 0:
        found.append(f"delta_time is {system.delta_time} minutes, give a positive number")
    return found


def _some(items: Iterable[object]) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _elements(grid: Grid, kind: str, mask: np.ndarray, values: np.ndarray | None = None) -> str:
    """The elements of a mask by number and name, with their values."""
    names = getattr(grid, f"name_{kind}")
    texts = (f"{kind} {i} ({names[i]})" + ("" if values is None else f": {values[i]}") for i in np.flatnonzero(mask))
    return _some(texts)


def _arrays(grid: Grid) -> Iterator[tuple[str, str, np.ndarray]]:
    """Kind, field and values of every array that has one entry per element."""
    for field in grid.__dataclass_fields__:
        kind = "line" if field == "thermal_limit" else field.split("_")[0]
        value = getattr(grid, field)
        if kind in KINDS and isinstance(value, np.ndarray | tuple | list):
            yield kind, field, np.asarray(value)


def _shape_problems(grid: Grid) -> Iterator[str]:
    if grid.n_busbar < 1:
        yield f"n_busbar is {grid.n_busbar}, give at least 1"
    if not grid.sn_mva > 0:
        yield f"sn_mva is {grid.sn_mva}, give a positive number"
    if not grid.n_sub:
        yield "the grid has no substation"
    for kind, field, value in _arrays(grid):
        expected = len(getattr(grid, f"name_{kind}"))
        if len(value) != expected:
            yield f"{field} has {len(value)} entries for {expected} elements of name_{kind}"
    if grid.initial_topo_vect is not None and len(grid.initial_topo_vect) != grid.dim_topo:
        yield f"initial_topo_vect has {len(grid.initial_topo_vect)} entries, dim_topo is {grid.dim_topo}"


def _name_problems(grid: Grid) -> Iterator[str]:
    for kind in KINDS:
        names = getattr(grid, f"name_{kind}")
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            yield f"name_{kind}: {_some(repeated)} used more than once, give every {kind} a name of its own"
        blank = np.array([not isinstance(name, str) or not name.strip() for name in names], dtype=bool)
        if blank.any():
            yield f"name_{kind}: no text at {_some(np.flatnonzero(blank))}, give every {kind} a name"


def _value_problems(grid: Grid) -> Iterator[str]:
    for kind, field, value in _arrays(grid):
        if value.dtype.kind not in "fc":
            continue
        odd = ~np.isfinite(value)
        odd = odd.any(axis=1) if odd.ndim > 1 else odd
        if odd.any():
            yield f"{field}: {_elements(grid, kind, odd, value)}, give finite numbers"
    rules = (
        *((field, "at least 0", lambda value: value < 0) for field in AT_LEAST_ZERO),
        *((field, "above 0", lambda value: value <= 0) for field in ABOVE_ZERO),
        *((field, "in (0, 1]", lambda value: (value <= 0) | (value > 1)) for field in EFFICIENCIES),
    )
    for field, allowed, is_wrong in rules:
        kind = "line" if field == "thermal_limit" else field.split("_")[0]
        value = np.asarray(getattr(grid, field))
        wrong = is_wrong(value)
        if wrong.any():
            yield f"{field}: {_elements(grid, kind, wrong, value)}, give numbers {allowed}"
    short = np.abs(grid.line_r_pu + 1j * grid.line_x_pu) == 0
    if short.any():
        yield f"no impedance: {_elements(grid, 'line', short)}, give line_r_pu or line_x_pu a value"
    wrong = grid.storage_emin > grid.storage_emax
    if wrong.any():
        yield f"storage_emin is above storage_emax: {_elements(grid, 'storage', wrong)}"


def _generator_problems(grid: Grid) -> Iterator[str]:
    wrong = grid.gen_pmin > grid.gen_pmax
    if wrong.any():
        yield f"gen_pmin is above gen_pmax: {_elements(grid, 'gen', wrong)}"
    types = np.array(grid.gen_type, dtype=object)
    unknown = ~np.isin(types.astype(str), GENERATOR_TYPES)
    if unknown.any():
        yield f"gen_type: {_elements(grid, 'gen', unknown, types)}, choose from {', '.join(GENERATOR_TYPES)}"
    slack = np.asarray(grid.gen_slack, dtype=bool)
    if not slack.any():
        yield "no slack generator, set gen_slack of one generator to True"
    elif slack.sum() > 1:
        yield f"several slack generators: {_elements(grid, 'gen', slack)}, keep one"
    static = slack & ~np.asarray(grid.gen_regulates_voltage, dtype=bool)
    if static.any():
        yield f"the slack must hold its voltage, set gen_regulates_voltage of {_elements(grid, 'gen', static)}"


def _end_problems(grid: Grid) -> Iterator[str]:
    for kind, fields in ENDS.items():
        for field in fields:
            sub = np.asarray(getattr(grid, field))
            wrong = (sub < 0) | (sub >= grid.n_sub)
            if wrong.any():
                yield f"{field}: {_elements(grid, kind, wrong, sub)}, substations are 0 to {grid.n_sub - 1}"
    loop = np.asarray(grid.line_or_to_subid) == np.asarray(grid.line_ex_to_subid)
    if loop.any():
        yield f"both ends at one substation: {_elements(grid, 'line', loop)}, remove these lines"


def _start_problems(grid: Grid) -> Iterator[str]:
    """Busbars at the start of an episode: in range, nothing lost, one island."""
    topo_vect, layout = grid.start_topo_vect, grid.topology_layout
    odd = (topo_vect < -1) | (topo_vect == 0) | (topo_vect > grid.n_busbar)
    if odd.any():
        where = _some(f"place {i}: {topo_vect[i]}" for i in np.flatnonzero(odd))
        yield f"initial_topo_vect: {where}, busbars are 1 to {grid.n_busbar}, or -1 for out of service"
        return
    half = (topo_vect[layout.line_or] < 0) != (topo_vect[layout.line_ex] < 0)
    if half.any():
        yield f"one end out of service at the start: {_elements(grid, 'line', half)}, take out both or none"
        return
    for kind, place in (("gen", layout.gen), ("load", layout.load)):
        out = topo_vect[place] < 0
        if out.any():
            yield f"out of service at the start: {_elements(grid, kind, out)}, remove every such {kind} from the grid"
            return
    yield from _island_problems(grid)


def _island_problems(grid: Grid) -> Iterator[str]:
    topo_vect, layout = grid.start_topo_vect, grid.topology_layout
    bus = layout.sub + (topo_vect - 1) * grid.n_sub
    on = topo_vect[layout.line_or] > 0
    f, t = bus[layout.line_or[on]], bus[layout.line_ex[on]]
    graph = coo_array((np.ones(len(f)), (f, t)), shape=(grid.n_bus, grid.n_bus))
    island = connected_components(graph, directed=False)[1]
    used = np.zeros(grid.n_bus, dtype=bool)
    used[bus[topo_vect > 0]] = True
    used[grid.shunt_to_subid] = True
    slack = np.flatnonzero(grid.gen_slack)
    if len(slack) != 1:
        return
    cut = np.flatnonzero(used & (island != island[bus[layout.gen[slack[0]]]])) % grid.n_sub
    if len(cut):
        where = _elements(grid, "sub", np.isin(np.arange(grid.n_sub), cut))
        yield f"not connected to the slack generator at the start: {where}, connect them or remove their elements"
    bare = ~np.isin(np.arange(grid.n_sub), layout.sub)
    if bare.any():
        yield f"nothing is connected to {_elements(grid, 'sub', bare)}, remove these substations"


def _zone_problems(grid: Grid, zones: Zones) -> Iterator[str]:
    labels = np.asarray(zones.labels)
    if zones.grid is not grid:
        yield "the zones were made for another grid object, make them for this one"
    if labels.shape != (grid.n_sub,):
        yield f"zone labels have shape {labels.shape}, give one for each of the {grid.n_sub} substations"
    elif labels.size:
        if labels.min() < 0:
            yield f"negative zone label at {_elements(grid, 'sub', labels < 0)}"
        empty = sorted(set(range(int(labels.max()) + 1)) - set(labels.tolist()))
        if empty:
            yield f"zone(s) {_some(empty)} have no substation, number zones from 0 without gaps"
