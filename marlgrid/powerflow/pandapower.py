"""The slow reference: pandapower's own Newton-Raphson on the network that the grid was read from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandapower
import pandas as pd

from marlgrid.model.datasets.pandapower_rows import NetRows
from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, plain_input, zero_flow
from marlgrid.powerflow.buses import BusLayout

TOLERANCE_MVA = 1e-8
MAX_ITERATIONS = 10
GEN_TABLES = ("gen", "ext_grid", "sgen")


class PandapowerPowerFlow:
    """AC power flow by pandapower, which models lines and transformers by itself from ``grid.source``.

    For checking other solvers: a solve takes some 20 ms. Its transformers are those of pandapower 3. ``start`` is
    ignored, every solve begins with a DC solution. Angles are counted from the slack generator's bus. Changes of a
    ``Grid``'s own line parameters do not reach it.

    Raises ValueError for a grid that was not read from a pandapower network.
    """

    def __init__(self, grid: Grid) -> None:
        if not grid.source:
            raise ValueError(f"grid {grid.name!r} was not read from a pandapower network: use the lightsim power flow")
        self.grid = grid
        self._layout = BusLayout.of(grid)
        self._gen_leads = np.asarray(grid.gen_regulates_voltage, dtype=bool)
        self._build()

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def _build(self) -> None:
        """The network with a bus for every busbar, and only the rows that are elements."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of old pandapower versions are converted, not without complaint
            net = pandapower.from_json_string(self.grid.source)
        rows = NetRows.of(net)
        n_bus = self.grid.n_bus
        first = net.bus.loc[rows.first_bus]
        net.bus = pd.concat([first] * self.grid.n_busbar, ignore_index=True).assign(in_service=True)
        net.switch = net.switch.iloc[:0]
        if len(net.bus) != n_bus:
            raise ValueError(
                f"the source of grid {self.grid.name!r} has {len(first)} substations, not {self.grid.n_sub}"
            )
        for table in ("line", "trafo", *GEN_TABLES, "load", "storage", "shunt"):
            net[table] = net[table].loc[getattr(rows, table)].reset_index(drop=True)
            if "scaling" in net[table]:
                net[table]["scaling"] = 1.0
        for table in ("poly_cost", "pwl_cost", "measurement", "controller", "group"):
            if table in net:
                net[table] = net[table].iloc[:0]
        if len(net.ext_grid):
            net.gen["slack"] = False
        self._net = net

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:  # noqa: ARG002
        """See ``PowerFlow.solve``."""
        inputs = plain_input(inputs)
        grid = self.grid
        buses = self._layout.buses(inputs.topo_vect, inputs.shunt_bus)
        converged = self._layout.connected(buses, rows)
        sizes = (grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus)
        flow = zero_flow(len(converged), *sizes)._replace(converged=converged)
        for env in np.flatnonzero(converged).tolist():
            self._set(env, inputs, buses[env])
            try:
                self._run()
            except pandapower.LoadflowNotConverged:
                converged[env] = False
                continue
            self._read(env, buses[env], flow)
        return flow

    def _run(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pandapower.runpp(
                self._net,
                init="dc",
                tolerance_mva=TOLERANCE_MVA,
                max_iteration=MAX_ITERATIONS,
                calculate_voltage_angles=True,
                trafo_model="t",
                numba=False,
            )

    def _set(self, env: int, inputs: PowerFlowInput, bus: np.ndarray) -> None:
        net, layout = self._net, self._layout
        net.bus["in_service"] = np.isin(np.arange(self.grid.n_bus), bus)
        n_line = len(net.line)
        origin, extremity = bus[layout.line_or], bus[layout.line_ex]
        for table, part, ends in (
            ("line", slice(0, n_line), ("from_bus", "to_bus")),
            ("trafo", slice(n_line, None), ("hv_bus", "lv_bus")),
        ):
            for column, at in zip(ends, (origin[part], extremity[part]), strict=True):
                self._place(table, at, column)
        self._place("load", bus[layout.load])
        self._place("storage", bus[layout.storage])
        self._place("shunt", bus[layout.shunt])
        net.load["p_mw"], net.load["q_mvar"] = inputs.load_p[env], inputs.load_q[env]
        net.storage["p_mw"], net.storage["q_mvar"] = inputs.storage_p[env], 0.0
        v_pu = self._set_points(bus[layout.gen], inputs.gen_v[env])
        first = 0
        for table in GEN_TABLES:
            part = slice(first, first + len(net[table]))
            first = part.stop
            self._place(table, bus[layout.gen][part])
            if table != "ext_grid":
                net[table]["p_mw"] = inputs.gen_p[env][part]
            if table != "sgen":
                net[table]["vm_pu"] = v_pu[part]
            else:
                net[table]["q_mvar"] = self.grid.gen_q_mvar[part]

    def _place(self, table: str, at: np.ndarray, column: str = "bus") -> None:
        """Moves the rows of a table; what is on no bus goes out of service."""
        self._net[table][column] = np.maximum(at, 0)
        self._net[table]["in_service"] = at >= 0

    def _set_points(self, at: np.ndarray, gen_v: np.ndarray) -> np.ndarray:
        """(n_gen,) per unit: of the generators that share a bus the slack decides, else the first."""
        v_pu = gen_v / self.grid.sub_vn_kv[self.grid.gen_to_subid]
        slack = self.grid.slack_gen
        for gen in np.flatnonzero(self._gen_leads & (at >= 0)):
            leader = slack if at[slack] == at[gen] else np.flatnonzero(self._gen_leads & (at == at[gen]))[0]
            v_pu[gen] = gen_v[leader] / self.grid.sub_vn_kv[self.grid.gen_to_subid[leader]]
        return v_pu

    def _read(self, env: int, bus: np.ndarray, flow: Flow) -> None:
        """Fills one row of ``flow`` from pandapower's result tables."""
        net, layout = self._net, self._layout
        vm = net.res_bus.vm_pu.to_numpy(float)
        theta = net.res_bus.va_degree.to_numpy(float) - net.res_bus.va_degree.at[bus[layout.slack]]
        theta = (theta + 180.0) % 360.0 - 180.0
        live = np.unique(bus[bus >= 0])
        flow.voltage[env, live] = vm[live] * np.exp(1j * np.deg2rad(theta[live]))
        kv = np.where(bus < 0, 0.0, (vm * net.bus.vn_kv.to_numpy(float))[bus])
        angle = np.where(bus < 0, 0.0, theta[bus])
        for end, part, columns in (("or", layout.line_or, ("from", "hv")), ("ex", layout.line_ex, ("to", "lv"))):
            getattr(flow, f"v_{end}")[env] = kv[part]
            getattr(flow, f"theta_{end}")[env] = angle[part]
            for ours, theirs, unit in (("p", "p_{}_mw", 1.0), ("q", "q_{}_mvar", 1.0), ("a", "i_{}_ka", 1000.0)):
                line, trafo = (theirs.format(column) for column in columns)
                values = np.concatenate([net.res_line[line].to_numpy(float), net.res_trafo[trafo].to_numpy(float)])
                getattr(flow, f"{ours}_{end}")[env] = np.where(bus[part] < 0, 0.0, values * unit)
        for name, tables in (
            ("gen", GEN_TABLES),
            ("load", ("load",)),
            ("storage", ("storage",)),
            ("shunt", ("shunt",)),
        ):
            part = getattr(layout, name)
            results = pd.concat([net[f"res_{table}"][["p_mw", "q_mvar"]] for table in tables]).to_numpy(float)
            results = np.where(bus[part, None] < 0, 0.0, results)
            getattr(flow, f"{name}_p")[env] = results[:, 0]
            getattr(flow, f"{name}_v")[env] = kv[part]
            if name != "storage":
                getattr(flow, f"{name}_q")[env] = results[:, 1]
            if name != "shunt":
                getattr(flow, f"{name}_theta")[env] = angle[part]
