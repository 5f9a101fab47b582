"""A grid from any pandapower network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandapower
import pandas as pd

from marlgrid.model.datasets.pandapower_branches import TRANSFORMER_FORMULAS, Branches, line_branches, trafo_branches
from marlgrid.model.datasets.pandapower_rows import NetRows, column, label
from marlgrid.model.grid import RENEWABLE_TYPES, Grid

RAMP = 0.1
"""Ramp of a controllable generator where the network tells nothing, per step, as a fraction of pmax."""
COST_PER_MW = 40.0
STORAGE_HOURS = 4.0
"""Capacity over power of a storage where the network gives one of them."""
EFFICIENCY = 0.95


def grid_from_pandapower(
    net: Any, name: str, n_busbar: int = 2, *, transformer_formula: str = "v3", bus_names: bool | None = None
) -> Grid:
    """The grid of a pandapower network; see ``pandapower_rows`` for which of its rows become elements.

    ``transformer_formula`` is "v3" for networks of pandapower 3 and "v2" for those written for pandapower 2, such as
    Grid2Op's (see ``trafo_branches``). Names of the network are kept where they are all there and unique, else elements
    get Grid2Op's names: ``0_1_0`` (from, to, number), ``load_1_0``, ``gen_0_5``, ``storage_5_0``, ``sub_3``.
    Without ``bus_names`` substations are called ``sub_3`` whatever their buses are called, which is Grid2Op's rule and
    therefore the default with "v2".

    What pandapower does not know gets a default, to be changed by ``dataclasses.replace``: generators are thermal
    unless their ``type`` says wind, solar (or PV, WP), hydro or nuclear; pmin is 0; pmax is ``max_p_mw``, else twice
    the operating point (for an external grid at least the load of the grid); ramps are 10 % of pmax per step, 0 for
    renewables; costs come from ``poly_cost``, else 40 per MW, 0 for renewables; storages have their ``max_e_mwh`` and
    ``sn_mva``, else 4 hours between the two, efficiencies of 0.95 and no losses. An external grid's power is what the
    other generators leave of the load.

    Raises ValueError that names every element which the grid model cannot hold, and TypeError for anything else than a
    network.
    """
    _check_arguments(net, n_busbar, transformer_formula)
    rows = NetRows.of(net)
    parts = {
        **_substations(net, rows, transformer_formula == "v3" if bus_names is None else bus_names),
        **_lines(net, rows, transformer_formula),
        **_loads(net, rows),
        **_storages(net, rows),
        **_shunts(net, rows),
    }
    parts |= _generators(net, rows, float(parts["load_p_mw"].sum()))
    grid = Grid(name=name, sn_mva=float(net.sn_mva), n_busbar=int(n_busbar), source=_source(net), **parts)
    return replace(grid, initial_topo_vect=_initial_topo_vect(net, rows, grid))


def _check_arguments(net: Any, n_busbar: int, transformer_formula: str) -> None:
    if not isinstance(net, pandapower.pandapowerNet):
        raise TypeError(
            f"a pandapower network is needed, not {type(net).__name__}; read files with pandapower.from_json"
        )
    if transformer_formula not in TRANSFORMER_FORMULAS:
        raise ValueError(f"unknown transformer_formula {transformer_formula!r}; choose from {TRANSFORMER_FORMULAS}")
    if isinstance(n_busbar, bool) or n_busbar != int(n_busbar) or n_busbar < 1:
        raise ValueError(f"n_busbar is {n_busbar!r}, give a whole number of at least 1")


def _initial_topo_vect(net: Any, rows: NetRows, grid: Grid) -> np.ndarray | None:
    """(dim_topo,) with lines and storages out of service on no busbar; None where there are none."""
    out = ~np.concatenate([rows.branch_in_service(net, "line"), rows.branch_in_service(net, "trafo")])
    out_storage = ~net.storage.loc[rows.storage, "in_service"].to_numpy(bool)
    if not out.any() and not out_storage.any():
        return None
    topo_vect = np.ones(grid.dim_topo, dtype=np.int32)
    topo_vect[grid.line_or_pos_topo_vect[out]] = -1
    topo_vect[grid.line_ex_pos_topo_vect[out]] = -1
    topo_vect[grid.storage_pos_topo_vect[out_storage]] = -1
    return topo_vect


def _source(net: Any) -> str:
    """The network as JSON, without the results of earlier calculations."""
    bare = copy(net)
    for table in [key for key in bare if key.startswith("res_")]:
        bare[table] = bare[table].iloc[:0]
    return pandapower.to_json(bare)


def _substations(net: Any, rows: NetRows, bus_names: bool) -> dict[str, Any]:
    bus = net.bus.loc[rows.first_bus]
    plain = [f"sub_{i}" for i in range(len(bus))]
    return {
        "name_sub": _names(bus, plain) if bus_names else tuple(plain),
        "sub_vn_kv": bus.vn_kv.to_numpy(float),
        "sub_xy": _coordinates(bus),
    }


def _coordinates(bus: pd.DataFrame) -> np.ndarray:
    """(n_sub, 2): the network's, or a circle where it has none for some bus."""
    points = [_point(geo) for geo in bus.get("geo", pd.Series(None, index=bus.index))]
    if len(points) and all(point is not None for point in points):
        return np.array(points, dtype=float)
    angle = 2 * np.pi * np.arange(len(bus)) / max(len(bus), 1)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _point(geo: Any) -> list[float] | None:
    """The coordinates of a GeoJSON point."""
    if not isinstance(geo, str) or not geo:
        return None
    coordinates = json.loads(geo).get("coordinates")
    return [float(value) for value in coordinates[:2]] if coordinates and len(coordinates) >= 2 else None


def _lines(net: Any, rows: NetRows, formula: str) -> dict[str, Any]:
    parts = line_branches(net, rows.line), trafo_branches(net, rows.trafo, formula)
    branches = Branches(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    origin = np.concatenate([rows.subs(net, "line", "from_bus"), rows.subs(net, "trafo", "hv_bus")])
    extremity = np.concatenate([rows.subs(net, "line", "to_bus"), rows.subs(net, "trafo", "lv_bus")])
    labels = [label(net, table, row) for table in ("line", "trafo") for row in getattr(rows, table)]
    dead = [text for text, r, x in zip(labels, branches.r_pu, branches.x_pu, strict=True) if not abs(r + 1j * x) > 0]
    if dead:
        raise ValueError(f"{', '.join(dead)} must have an impedance; join buses by a closed bus-bus switch instead")
    ends = np.stack([origin, extremity], axis=1)
    ends[len(rows.line) :].sort(axis=1)  # Grid2Op names a transformer by its lower substation first
    fallback = [f"{f}_{t}_{i}" for i, (f, t) in enumerate(ends)]
    return {
        "name_line": _names(
            pd.concat([net.line.loc[rows.line, ["name"]], net.trafo.loc[rows.trafo, ["name"]]]), fallback
        ),
        "line_or_to_subid": origin,
        "line_ex_to_subid": extremity,
        "line_is_trafo": np.arange(len(origin)) >= len(rows.line),
        "line_r_pu": branches.r_pu,
        "line_x_pu": branches.x_pu,
        "line_y_or_pu": branches.y_or_pu,
        "line_y_ex_pu": branches.y_ex_pu,
        "line_ratio": branches.ratio,
        "line_shift_deg": branches.shift_deg,
        "thermal_limit": branches.limit_a,
    }


def _generators(net: Any, rows: NetRows, total_load: float) -> dict[str, Any]:
    tables = ("gen", "ext_grid", "sgen")
    frame = pd.concat([_table(net, rows, table) for table in tables], ignore_index=True)
    kind = np.repeat(tables, [len(getattr(rows, table)) for table in tables])
    sub = np.concatenate([rows.subs(net, table) for table in tables])
    vn_kv = net.bus.vn_kv.loc[rows.first_bus].to_numpy(float)[sub]
    external = kind == "ext_grid"
    p = column(frame, "p_mw") * column(frame, "scaling", 1.0)
    p[external] = total_load - p[~external].sum()
    gen_type = tuple("thermal" if ext else _technology(text) for ext, text in zip(external, frame["type"], strict=True))
    renewable = np.isin(gen_type, RENEWABLE_TYPES)
    pmin, pmax = _power_limits(frame, p, np.where(external, total_load, 1.0))
    q_range = column(frame, "max_q_mvar", np.nan) - column(frame, "min_q_mvar", np.nan)
    n_gen = len(frame)
    return {
        "name_gen": _names(frame, [f"gen_{s}_{i}" for i, s in enumerate(sub)]),
        "gen_to_subid": sub,
        "gen_type": gen_type,
        "gen_pmin": pmin,
        "gen_pmax": pmax,
        "gen_max_ramp_up": np.where(renewable, 0.0, RAMP * pmax),
        "gen_max_ramp_down": np.where(renewable, 0.0, RAMP * pmax),
        "gen_min_uptime": np.zeros(n_gen, dtype=np.int32),
        "gen_min_downtime": np.zeros(n_gen, dtype=np.int32),
        "gen_cost_per_mw": np.where(renewable, 0.0, _costs(net, kind, frame["row"])),
        "gen_startup_cost": np.zeros(n_gen),
        "gen_shutdown_cost": np.zeros(n_gen),
        "gen_slack": external | frame["slack"].to_numpy(bool),
        "gen_regulates_voltage": kind != "sgen",
        "gen_p_mw": p,
        "gen_q_mvar": np.where(kind == "sgen", column(frame, "q_mvar") * column(frame, "scaling", 1.0), 0.0),
        "gen_v_kv": column(frame, "vm_pu", 1.0) * vn_kv,
        "gen_q_range_mvar": np.where(np.isfinite(q_range), q_range, 0.0),
    }


def _power_limits(frame: pd.DataFrame, p: np.ndarray, at_least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_gen,) MW: pmin and pmax, with defaults where the network has none or a number that means none."""
    pmin, pmax = column(frame, "min_p_mw"), column(frame, "max_p_mw", np.nan)
    default = np.maximum(2 * np.maximum(p, 0), at_least)
    return np.where(np.abs(pmin) < 1e9, pmin, 0.0), np.where((pmax > 0) & (pmax < 1e9), pmax, default)


def _table(net: Any, rows: NetRows, table: str) -> pd.DataFrame:
    """The generators of one table as plain objects, with their row label."""
    frame = net[table].loc[getattr(rows, table)].astype(object)
    columns = ["name", "type", "slack", "p_mw", "q_mvar", "vm_pu", "scaling"]
    columns += ["min_p_mw", "max_p_mw", "min_q_mvar", "max_q_mvar"]
    frame = frame.reindex(columns=columns)
    frame["slack"] = frame["slack"].eq(True) if table == "gen" else False
    return frame.assign(row=frame.index)


def _technology(text: Any) -> str:
    words = str(text).lower()
    for word, technology in (
        ("wind", "wind"),
        ("wp", "wind"),
        ("solar", "solar"),
        ("pv", "solar"),
        ("hydro", "hydro"),
        ("nuclear", "nuclear"),
    ):
        if word in words:
            return technology
    return "thermal"


def _costs(net: Any, kind: np.ndarray, row: Sequence[int]) -> np.ndarray:
    """(n_gen,) linear cost of ``poly_cost``, else the default."""
    known = {}
    if "poly_cost" in net and len(net.poly_cost):
        for cost in net.poly_cost.itertuples():
            known[(cost.et, int(cost.element))] = float(cost.cp1_eur_per_mw)
    return np.array([known.get((table, int(label)), COST_PER_MW) for table, label in zip(kind, row, strict=True)])


def _loads(net: Any, rows: NetRows) -> dict[str, Any]:
    load, sub = net.load.loc[rows.load], rows.subs(net, "load")
    scaling = column(load, "scaling", 1.0)
    return {
        "name_load": _names(load, [f"load_{s}_{i}" for i, s in enumerate(sub)]),
        "load_to_subid": sub,
        "load_p_mw": column(load, "p_mw") * scaling,
        "load_q_mvar": column(load, "q_mvar") * scaling,
    }


def _storages(net: Any, rows: NetRows) -> dict[str, Any]:
    storage, sub = net.storage.loc[rows.storage], rows.subs(net, "storage")
    n = len(storage)
    power, emax = column(storage, "sn_mva", np.nan), column(storage, "max_e_mwh", np.nan)
    power = np.where(power > 0, power, np.where(emax > 0, emax / STORAGE_HOURS, 1.0))
    emax = np.where(np.isfinite(emax) & (emax > 0), emax, STORAGE_HOURS * power)
    return {
        "name_storage": _names(storage, [f"storage_{s}_{i}" for i, s in enumerate(sub)]),
        "storage_to_subid": sub,
        "storage_type": ("battery",) * n,
        "storage_emax": emax,
        "storage_emin": np.maximum(column(storage, "min_e_mwh"), 0.0),
        "storage_max_p_prod": power,
        "storage_max_p_absorb": power,
        "storage_marginal_cost": np.zeros(n),
        "storage_loss": np.zeros(n),
        "storage_charging_efficiency": np.full(n, EFFICIENCY),
        "storage_discharging_efficiency": np.full(n, EFFICIENCY),
    }


def _shunts(net: Any, rows: NetRows) -> dict[str, Any]:
    shunt, sub = net.shunt.loc[rows.shunt], rows.subs(net, "shunt")
    vn_kv = net.bus.vn_kv.loc[rows.first_bus].to_numpy(float)[sub]
    at_nominal = column(shunt, "step", 1.0) * (vn_kv / column(shunt, "vn_kv", 1.0)) ** 2
    return {
        "name_shunt": _names(shunt, [f"shunt_{s}_{i}" for i, s in enumerate(sub)]),
        "shunt_to_subid": sub,
        "shunt_p_mw": column(shunt, "p_mw") * at_nominal,
        "shunt_q_mvar": column(shunt, "q_mvar") * at_nominal,
    }


def _names(frame: pd.DataFrame, fallback: list[str]) -> tuple[str, ...]:
    """The names of the rows, or the fallback unless all are there, differ, and cannot be taken for ids."""
    names = ["" if name is None or pd.isna(name) else str(name).strip() for name in frame["name"]]
    usable = all(name and not name.isdigit() for name in names) and len(set(names)) == len(names)
    return tuple(names) if usable else tuple(fallback)
