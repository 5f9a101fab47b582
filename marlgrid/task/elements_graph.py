"""The grid of an observation as a graph of its elements: what is connected to which bus of which substation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from marlgrid.task.record import Record


def elements_graph(record: Record) -> Any:
    """Frozen ``networkx.DiGraph`` of fixed nodes: substations, buses, loads, gens, lines, storages, shunts, end to end.

    Every node has ``type`` and ``id`` (its number among those of its type), elements also ``name``, ``connected``,
    ``local_bus``, ``global_bus``, ``bus_node_id`` (with ``_or`` and ``_ex`` for lines) and what the observation says of
    them beside flows. Each bus points to its substation, each connected element to its bus: those edges bear ``type``,
    ``p``, ``q``, ``v``, ``theta`` and for lines ``a`` and ``side``, power being positive out of the bus. Units as in
    the observation. -1 stands for no bus. The graph itself has ``max_step``, ``current_step``, ``delta_time`` and the
    date.
    """
    import networkx

    date = {name: getattr(record, name) for name in _GRAPH}
    graph = networkx.DiGraph(**date)
    _add_substations(graph, record)
    _add_buses(graph, record)
    for kind in ("load", "gen", "line", "storage", "shunt"):
        _add_elements(graph, record, kind)
    return networkx.freeze(graph)


_GRAPH = (
    "max_step", "current_step", "delta_time",
    "year", "month", "day", "hour_of_day", "minute_of_hour", "day_of_week",
)  # fmt: skip
_LINE = (
    "rho", "timestep_overflow", "timestep_protection_engaged", "time_before_cooldown_line", "time_next_maintenance",
    "duration_next_maintenance",
)  # fmt: skip
_GEN = (
    "target_dispatch", "actual_dispatch", "gen_p_before_curtail", "curtailment_mw", "curtailment", "curtailment_limit",
    "gen_margin_up", "gen_margin_down",
)  # fmt: skip
_ABOUT: dict[str, dict[str, str]] = {
    "load": {},
    "gen": {name: name for name in _GEN} | {"p_delta": "gen_p_delta"},
    "line": {name: name for name in _LINE},
    "storage": {name: name for name in ("storage_charge", "storage_power_target")},
    "shunt": {},
}
"""Node attribute -> attribute of the observation."""
_FLOWS: dict[str, dict[str, str]] = {
    "load": {name: f"load_{name}" for name in ("p", "q", "v", "theta")},
    "gen": {name: f"gen_{name}" for name in ("p", "q", "v", "theta")},
    "storage": {"p": "storage_power", "theta": "storage_theta"},
    "shunt": {name: f"_shunt_{name}" for name in ("p", "q", "v")},
    "or": {name: f"{name}_or" for name in ("p", "q", "v", "a", "theta")},
    "ex": {name: f"{name}_ex" for name in ("p", "q", "v", "a", "theta")},
}
"""Edge attribute -> attribute of the observation."""


def _add_substations(graph: Any, record: Record) -> None:
    cooldown = record.time_before_cooldown_sub
    for sub, name in enumerate(record.grid.name_sub):
        graph.add_node(sub, id=sub, type="substation", name=name, cooldown=int(cooldown[sub]))


def _add_buses(graph: Any, record: Record) -> None:
    """Every bus; one without elements has voltage and angle 0."""
    grid = record.grid
    v, theta, connected = np.zeros(grid.n_bus), np.zeros(grid.n_bus), np.zeros(grid.n_bus, dtype=bool)
    for kind in ("storage", "load", "gen", "ex", "or"):
        buses = _global_bus(record, kind)
        on = buses >= 0
        connected[buses[on]] = True
        if kind != "storage":
            v[buses[on]] = getattr(record, _FLOWS[kind]["v"])[on]
        theta[buses[on]] = getattr(record, _FLOWS[kind]["theta"])[on]
    for bus in range(grid.n_bus):
        sub, node = bus % grid.n_sub, grid.n_sub + bus
        graph.add_node(
            node,
            id=bus,
            type="bus",
            global_id=bus,
            local_id=bus // grid.n_sub + 1,
            connected=bool(connected[bus]),
            v=float(v[bus]),
            theta=float(theta[bus]),
        )
        graph.add_edge(node, sub, type="bus_to_substation")


def _add_elements(graph: Any, record: Record, kind: str) -> None:
    """One node for each element of a kind, and an edge to each bus it stands on."""
    first, n_sub = len(graph), record.grid.n_sub
    ends = ("or", "ex") if kind == "line" else (kind,)
    buses = {end: _global_bus(record, end) for end in ends}
    about = {name: getattr(record, source) for name, source in _ABOUT[kind].items()}
    for i, name in enumerate(getattr(record.grid, f"name_{kind}")):
        node, places = first + i, {}
        for end in ends:
            bus, suffix = int(buses[end][i]), f"_{end}" if kind == "line" else ""
            places[f"global_bus{suffix}"] = bus
            places[f"local_bus{suffix}"] = bus // n_sub + 1 if bus >= 0 else -1
            places[f"bus_node_id{suffix}"] = n_sub + bus if bus >= 0 else -1
        connected = bool(min(int(buses[end][i]) for end in ends) >= 0)
        told = {key: values[i].item() for key, values in about.items()}
        graph.add_node(node, id=i, type=kind, name=name, connected=connected, **places, **told)
        for end in ends:
            if buses[end][i] >= 0:
                graph.add_edge(node, n_sub + int(buses[end][i]), **_flow(record, kind, end, i))


def _flow(record: Record, kind: str, end: str, i: int) -> dict[str, Any]:
    """Attributes of the edge between an element and its bus."""
    sign = -1.0 if kind == "gen" else 1.0
    found: dict[str, Any] = {"type": f"{kind}_to_bus", "id": i}
    if kind == "line":
        found["side"] = end
    for name, source in _FLOWS[end].items():
        found[name] = float(getattr(record, source)[i]) * (sign if name in ("p", "q") else 1.0)
    return found


def _global_bus(record: Record, kind: str) -> np.ndarray:
    """(n_element,) global number of each element's bus, -1 where it is out; "or" and "ex" are the ends of lines."""
    line_end = f"line_{kind}" if kind in ("or", "ex") else kind
    local = getattr(record, "_shunt_bus" if kind == "shunt" else f"{line_end}_bus")
    return np.where(local > 0, getattr(record.grid, f"{line_end}_to_subid") + (local - 1) * record.grid.n_sub, -1)
