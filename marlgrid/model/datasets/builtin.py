"""The built-in cases: pandapower's IEEE networks, completed by the tables under ``data/`` (see docs/cases.md)."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters

if TYPE_CHECKING:
    from pandapower import pandapowerNet

BUILTIN_CASES = ("case5", "case14", "case118")
DATA = Path(__file__).parent / "data"

_Rows = dict[str, dict[str, str]]


@dataclass(frozen=True, eq=False)
class BuiltinCase:
    """What the tables of one case say."""

    name: str
    substations: _Rows
    generators: _Rows
    storages: _Rows
    loads: _Rows
    lines: _Rows
    """Columns ``thermal_limit_a`` (default difficulty), ``attackable`` and ``maintenance`` (0 or 1)."""
    settings: dict[str, Any]
    """``case.json``: parameters, attack, series, difficulty."""

    @property
    def zones(self) -> list[int]:
        """Default zone of each substation."""
        return [int(row["zone"]) for row in self.substations.values()]

    @property
    def parameters(self) -> Parameters:
        return Parameters(**self.settings["parameters"])

    @property
    def attack(self) -> AttackRules:
        return AttackRules(lines=self.marked("attackable"), **self.settings["attack"])

    def marked(self, column: str) -> tuple[str, ...]:
        """Names of the lines with a 1 in a column."""
        return tuple(name for name, row in self.lines.items() if row[column] == "1")


@lru_cache
def builtin_case(name: str) -> BuiltinCase:
    """The tables of a built-in case. Raises ValueError for an unknown name."""
    if name not in BUILTIN_CASES:
        raise ValueError(f"unknown built-in case {name!r}; choose from {list(BUILTIN_CASES)}")
    folder = DATA / name
    tables = {table: _read(folder / f"{table}.csv") for table in ("substations", "generators", "storages", "loads")}
    settings = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    return BuiltinCase(name=name, lines=_read(folder / "lines.csv"), settings=settings, **tables)


def builtin_grid(name: str, n_busbar: int = 2) -> Grid:
    """The grid of a built-in case with the thermal limits of the default difficulty.

    The network is read as ``store_network`` left it, which saves importing pandapower. Raises ValueError for an
    unknown name or number of busbars.
    """
    if isinstance(n_busbar, bool) or n_busbar != int(n_busbar) or n_busbar < 1:
        raise ValueError(f"n_busbar is {n_busbar!r}, give a whole number of at least 1")
    case = builtin_case(name)
    with np.load(DATA / name / "network.npz", allow_pickle=False) as stored:
        parts = {field: _part(stored[field]) for field in stored.files}
    return _completed(Grid(**parts | {"n_busbar": n_busbar}), case)


def store_network(name: str) -> None:
    """Converts the network of a built-in case and stores the result beside the tables: run it after changing them."""
    from marlgrid.model.datasets.pandapower_net import grid_from_pandapower

    grid = grid_from_pandapower(builtin_network(name), name=name)
    parts = {field.name: getattr(grid, field.name) for field in fields(grid)}
    stored = {
        key: np.array(part, dtype=str) if isinstance(part, tuple) else np.asarray(part)
        for key, part in parts.items()
        if part is not None
    }
    np.savez_compressed(DATA / name / "network.npz", **stored)  # type: ignore[arg-type]


def _part(stored: np.ndarray) -> Any:
    """A field of ``Grid`` out of the array that a file holds."""
    if stored.ndim == 0:
        return stored.item()
    return tuple(stored.tolist()) if stored.dtype.kind == "U" else stored


def builtin_network(name: str) -> pandapowerNet:
    """The network of that name in pandapower with our voltage levels, units and storages."""
    import pandapower
    import pandapower.networks

    case = builtin_case(name)
    net = getattr(pandapower.networks, name)()
    net.name = name
    net.poly_cost = net.poly_cost.iloc[:0]
    set_voltage_levels(net, np.array([float(row["vn_kv"]) for row in case.substations.values()]))
    net.bus["name"] = list(case.substations)
    net.load["name"] = list(case.loads)
    for unit, row in case.generators.items():
        _place_generator(net, unit, row)
    for storage, row in case.storages.items():
        pandapower.create_storage(net, int(row["bus"]), p_mw=0.0, max_e_mwh=float(row["emax_mwh"]), name=storage)
    return net


def set_voltage_levels(net: pandapowerNet, vn_kv: np.ndarray) -> None:
    """Moves each bus to another nominal voltage, in place, leaving all flows and per-unit voltages as they were."""
    ratio = vn_kv / net.bus.vn_kv.to_numpy()
    line_ratio = ratio[net.line.from_bus.to_numpy()]
    if not np.allclose(line_ratio, ratio[net.line.to_bus.to_numpy()]):
        raise ValueError("the two ends of a line must keep the same voltage level")
    for column in ("r_ohm_per_km", "x_ohm_per_km"):
        net.line[column] *= line_ratio**2
    for column in ("c_nf_per_km", "g_us_per_km"):
        net.line[column] /= line_ratio**2
    net.line["max_i_ka"] /= line_ratio
    net.trafo["vn_hv_kv"] *= ratio[net.trafo.hv_bus.to_numpy()]
    net.trafo["vn_lv_kv"] *= ratio[net.trafo.lv_bus.to_numpy()]
    net.shunt["vn_kv"] *= ratio[net.shunt.bus.to_numpy()]
    net.bus["vn_kv"] = vn_kv


def _place_generator(net: pandapowerNet, name: str, row: dict[str, str]) -> None:
    """Writes one unit of the table into the network: onto the element it stands for, or as a new one."""
    import pandapower

    table, _, index = row["element"].partition(":")
    bus, p_mw = int(row["bus"]), float(row["p_mw"] or 0.0)
    if table == "new" and index == "gen":
        at = pandapower.create_gen(net, bus, p_mw=p_mw, vm_pu=float(row["vm_pu"]))
        table = "gen"
    elif table == "new":
        at = pandapower.create_sgen(net, bus, p_mw=p_mw, q_mvar=0.0)
        table = "sgen"
    else:
        at = int(index)
    net[table].loc[at, ["name", "min_p_mw", "max_p_mw"]] = [name, float(row["pmin_mw"]), float(row["pmax_mw"])]
    if table != "ext_grid":
        net[table].loc[at, "p_mw"] = p_mw


def _completed(grid: Grid, case: BuiltinCase) -> Grid:
    """The converted grid with everything that pandapower's tables do not hold."""
    gens = [case.generators[name] for name in grid.name_gen]
    storages = [case.storages[name] for name in grid.name_storage]

    def gen(column: str, kind: type = float) -> np.ndarray:
        return np.array([kind(row[column]) for row in gens])

    def storage(column: str) -> np.ndarray:
        return np.array([float(row[column]) for row in storages])

    return replace(
        grid,
        sub_xy=np.array([[float(case.substations[name][axis]) for axis in "xy"] for name in grid.name_sub]),
        thermal_limit=np.array([float(case.lines[name]["thermal_limit_a"]) for name in grid.name_line]),
        gen_type=tuple(row["type"] for row in gens),
        gen_pmin=gen("pmin_mw"),
        gen_pmax=gen("pmax_mw"),
        gen_max_ramp_up=gen("ramp_up_mw"),
        gen_max_ramp_down=gen("ramp_down_mw"),
        gen_min_uptime=gen("min_uptime", np.int32),
        gen_min_downtime=gen("min_downtime", np.int32),
        gen_cost_per_mw=gen("cost_per_mw"),
        gen_startup_cost=gen("startup_cost"),
        gen_shutdown_cost=gen("shutdown_cost"),
        storage_type=tuple(row["type"] for row in storages),
        storage_emax=storage("emax_mwh"),
        storage_emin=storage("emin_mwh"),
        storage_max_p_prod=storage("max_p_prod_mw"),
        storage_max_p_absorb=storage("max_p_absorb_mw"),
        storage_marginal_cost=storage("marginal_cost"),
        storage_loss=storage("loss_mw"),
        storage_charging_efficiency=storage("charging_efficiency"),
        storage_discharging_efficiency=storage("discharging_efficiency"),
    )


def _read(path: Path) -> _Rows:
    """Rows of a table by name."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


if __name__ == "__main__":
    for _case in BUILTIN_CASES:
        store_network(_case)
