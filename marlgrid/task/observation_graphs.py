"""The grid of an observation as matrices and graphs, over its elements or over the buses in use.

Buses in use are those with at least one element of the topology vector; they are numbered 0, 1, ... in the order of
their global numbers (see ``model.grid``). Their number changes with the topology. After a game over there are none: the
matrices over buses are a single zero, every element's row is 0, and the graph is one node without attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from marlgrid.task.record import Record


class BusOf(NamedTuple):
    """Row of the matrix on which each element stands, -1 for one that is out."""

    load: np.ndarray
    gen: np.ndarray
    storage: np.ndarray
    line_or: np.ndarray
    line_ex: np.ndarray


def buses_in_use(record: Record) -> tuple[np.ndarray, BusOf]:
    """Global numbers of the buses in use, and each element's place among them."""
    grid = record.grid
    sub, local = grid.topology_layout.sub, record.topo_vect
    bus = np.where(local > 0, sub + (local - 1) * grid.n_sub, -1)
    used = np.unique(bus[bus >= 0])
    rows = np.where(bus >= 0, np.searchsorted(used, bus), -1)
    layout = grid.topology_layout
    return used, BusOf(*(rows[at] for at in (layout.load, layout.gen, layout.storage, layout.line_or, layout.line_ex)))


def shunt_rows(record: Record, used: np.ndarray) -> np.ndarray:
    """(n_shunt,) row of each shunt, -1 where it is on no bus in use."""
    local = record._shunt_bus  # noqa: SLF001 (the attribute's name in Grid2Op)
    bus = np.where(local > 0, record.grid.shunt_to_subid + (local - 1) * record.grid.n_sub, -1)
    return np.where(np.isin(bus, used), np.searchsorted(used, bus), -1)


def connectivity_matrix(record: Record, as_csr_matrix: bool = False) -> Any:
    """(dim_topo, dim_topo) float32 by place in the topology vector: 1 where two elements share a busbar, for the two
    ends of a line in service, and for each connected element with itself; else 0."""
    grid, local = record.grid, record.topo_vect
    bus = np.where(local > 0, grid.topology_layout.sub + (local - 1) * grid.n_sub, -1)
    matrix = ((bus[:, None] == bus[None, :]) & (bus >= 0)[:, None]).astype(np.float32)
    line = np.flatnonzero(record.line_status)
    origin, extremity = grid.line_or_pos_topo_vect[line], grid.line_ex_pos_topo_vect[line]
    matrix[origin, extremity] = matrix[extremity, origin] = 1
    return sparse.csr_matrix(matrix) if as_csr_matrix else matrix


def bus_connectivity_matrix(record: Record, as_csr_matrix: bool = False, return_lines_index: bool = False) -> Any:
    """(n_bus_in_use, n_bus_in_use) float32: 1 where a line in service joins two buses, and on the diagonal; else 0.

    With ``return_lines_index`` also (row of each origin, row of each extremity), -1 for a line that is out.
    """
    if record.over:
        matrix, of = np.zeros((1, 1), dtype=np.float32), _nowhere(record)
    else:
        used, of = buses_in_use(record)
        matrix = np.eye(len(used), dtype=np.float32)
        line = np.flatnonzero(record.line_status)
        matrix[of.line_or[line], of.line_ex[line]] = matrix[of.line_ex[line], of.line_or[line]] = 1
    found = sparse.csr_matrix(matrix) if as_csr_matrix else matrix
    return (found, (of.line_or, of.line_ex)) if return_lines_index else found


def flow_bus_matrix(record: Record, active_flow: bool = True, as_csr_matrix: bool = False) -> tuple[Any, BusOf]:
    """(n_bus_in_use, n_bus_in_use) float64, MW (or MVAr), and the row of every element.

    On the diagonal stands what is injected at each bus (generation minus load, storage and shunt consumption),
    elsewhere minus what leaves the bus of the row over lines to that of the column; each row sums to 0.
    """
    if record.over:
        matrix, of = np.zeros((1, 1)), _nowhere(record)
    else:
        used, of = buses_in_use(record)
        matrix = np.diag(_injected(record, used, of, "p" if active_flow else "q"))
        line = np.flatnonzero(record.line_status)
        origin, extremity = of.line_or[line], of.line_ex[line]
        leaving = (record.p_or, record.p_ex) if active_flow else (record.q_or, record.q_ex)
        np.subtract.at(matrix, (origin, extremity), leaving[0][line])
        np.subtract.at(matrix, (extremity, origin), leaving[1][line])
    return (sparse.csr_matrix(matrix) if as_csr_matrix else matrix), of


def _injected(record: Record, used: np.ndarray, of: BusOf, quantity: str) -> np.ndarray:
    """(n_bus_in_use,) generation minus consumption."""
    total = np.zeros(len(used))
    parts = [
        (of.gen, getattr(record, f"gen_{quantity}"), 1.0),
        (of.load, getattr(record, f"load_{quantity}"), -1.0),
        (shunt_rows(record, used), getattr(record, f"_shunt_{quantity}"), -1.0),
    ]
    if quantity == "p":
        parts.append((of.storage, record.storage_power, -1.0))
    for rows, power, sign in parts:
        np.add.at(total, rows[rows >= 0], sign * power[rows >= 0])
    return total


def _nowhere(record: Record) -> BusOf:
    grid = record.grid
    sizes = (grid.n_load, grid.n_gen, grid.n_storage, grid.n_line, grid.n_line)
    return BusOf(*(np.zeros(size, dtype=np.int32) for size in sizes))


class Kirchhoff(NamedTuple):
    """What leaves minus what enters; zeros but for the tolerance of the power flow."""

    p_subs: np.ndarray
    """(n_sub,) MW."""
    q_subs: np.ndarray
    """(n_sub,) MVAr."""
    p_bus: np.ndarray
    """(n_sub, n_busbar) MW."""
    q_bus: np.ndarray
    """(n_sub, n_busbar) MVAr."""
    diff_v_bus: np.ndarray
    """(n_sub, n_busbar) kV between the highest and the lowest voltage told of a bus."""


def kirchhoff(record: Record) -> Kirchhoff:
    """The balance of every substation and bus."""
    grid = record.grid
    left = {quantity: np.zeros((grid.n_sub, grid.n_busbar)) for quantity in "pq"}
    highest, lowest = np.full((2, grid.n_sub, grid.n_busbar), -np.inf)
    ends = [("line_or", "{}_or"), ("line_ex", "{}_ex")]
    for kind, name in [*ends, *((k, f"{k}_{{}}") for k in ("load", "gen")), ("storage", ""), ("shunt", "_shunt_{}")]:
        local = record._shunt_bus if kind == "shunt" else getattr(record, f"{kind}_bus")  # noqa: SLF001 (Grid2Op's name)
        on = local > 0
        at = getattr(grid, f"{kind}_to_subid")[on], local[on] - 1
        sign = -1.0 if kind == "gen" else 1.0
        if kind == "storage":
            np.add.at(left["p"], at, record.storage_power[on])
            continue
        for quantity in "pq":
            np.add.at(left[quantity], at, sign * getattr(record, name.format(quantity))[on])
        voltage = getattr(record, name.format("v"))[on]
        np.maximum.at(highest, at, voltage)
        np.maximum.at(lowest, at, -voltage)
    spread = np.where(np.isfinite(highest), highest + lowest, 0.0)
    return Kirchhoff(left["p"].sum(axis=1), left["q"].sum(axis=1), left["p"], left["q"], spread)


# ---------------------------------------------------------------------------------------------------- energy graph
SUMMED = ("p", "q", "a")
"""Flows of parallel lines add up."""


def energy_graph(record: Record) -> Any:
    """Frozen ``networkx.Graph``: a node per bus in use, an edge per pair of buses that lines in service join.

    Nodes have ``p``, ``q`` (injected, MW and MVAr), ``v`` (kV), ``theta`` (degree), ``sub_id``, ``cooldown``,
    ``local_bus_id`` and ``global_bus_id``. Of an edge the origin is the node of the lower number, whatever it is to
    the line: ``p_or``, ``q_or``, ``a_or`` (summed over parallel lines), ``v_or``, ``theta_or``, ``sub_id_or``,
    ``node_id_or``, ``bus_or``, ``global_bus_or`` and the same for ``ex``; ``thermal_limit`` (summed), ``rho``,
    ``cooldown``, ``timestep_overflow``, ``timestep_protection_engaged`` (the worst), ``time_next_maintenance`` (the
    next planned, -1 none), ``duration_next_maintenance`` (the longest), ``nb_connected`` lines, ``status`` True.
    """
    import networkx

    graph = networkx.Graph()
    if record.over:
        graph.add_node(0)
        return networkx.freeze(graph)
    used, of = buses_in_use(record)
    for node, attributes in enumerate(_nodes(record, used, of)):
        graph.add_node(node, **attributes)
    for line in np.flatnonzero(record.line_status):
        ends = int(of.line_or[line]), int(of.line_ex[line])
        if ends[0] == ends[1]:
            continue
        new = _edge(record, int(line), ends, used)
        low, high = sorted(ends)
        if graph.has_edge(low, high):
            _merge(graph.edges[low, high], new)
        else:
            graph.add_edge(low, high, **new)
    return networkx.freeze(graph)


def _nodes(record: Record, used: np.ndarray, of: BusOf) -> list[dict[str, Any]]:
    n_sub = record.grid.n_sub
    p, q = _injected(record, used, of, "p"), _injected(record, used, of, "q")
    v, theta = np.zeros(len(used)), np.zeros(len(used))
    for rows, kind in ((of.load, "load_{}"), (of.gen, "gen_{}"), (of.line_ex, "{}_ex"), (of.line_or, "{}_or")):
        on = rows >= 0
        v[rows[on]], theta[rows[on]] = (getattr(record, kind.format(name))[on] for name in ("v", "theta"))
    return [
        {
            "p": float(p[row]),
            "q": float(q[row]),
            "v": float(v[row]),
            "theta": float(theta[row]),
            "sub_id": int(bus % n_sub),
            "cooldown": int(record.time_before_cooldown_sub[bus % n_sub]),
            "local_bus_id": int(bus // n_sub + 1),
            "global_bus_id": int(bus),
        }
        for row, bus in enumerate(used)
    ]


def _edge(record: Record, line: int, ends: tuple[int, int], used: np.ndarray) -> dict[str, Any]:
    """Attributes of one line, its origin taken to be the node of the lower number."""
    n_sub, found = record.grid.n_sub, {}
    sides = ("or", "ex") if ends[0] < ends[1] else ("ex", "or")
    for side, here, node in zip(("or", "ex"), sides, sorted(ends), strict=True):
        for name in ("p", "q", "a", "v", "theta"):
            found[f"{name}_{side}"] = float(getattr(record, f"{name}_{here}")[line])
        bus = int(used[node])
        found |= {f"sub_id_{side}": bus % n_sub, f"node_id_{side}": node}
        found |= {f"bus_{side}": bus // n_sub + 1, f"global_bus_{side}": bus}
    return found | {
        "rho": float(record.rho[line]),
        "thermal_limit": float(record.thermal_limit[line]),
        "cooldown": int(record.time_before_cooldown_line[line]),
        "timestep_overflow": int(record.timestep_overflow[line]),
        "timestep_protection_engaged": int(record.timestep_protection_engaged[line]),
        "time_next_maintenance": int(record.time_next_maintenance[line]),
        "duration_next_maintenance": int(record.duration_next_maintenance[line]),
        "nb_connected": 1,
        "status": True,
    }


def _merge(edge: dict[str, Any], new: dict[str, Any]) -> None:
    """Joins a parallel line into an edge."""
    for name in [f"{quantity}_{side}" for quantity in SUMMED for side in ("or", "ex")] + [
        "thermal_limit",
        "nb_connected",
    ]:
        edge[name] += new[name]
    for name in ("rho", "cooldown", "timestep_overflow", "timestep_protection_engaged", "duration_next_maintenance"):
        edge[name] = max(edge[name], new[name])
    planned = [e["time_next_maintenance"] for e in (edge, new) if e["time_next_maintenance"] >= 0]
    edge["time_next_maintenance"] = min(planned, default=-1)
