"""The linear approximation: lossless, flat voltages, active power only."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, plain_input, zero_flow
from marlgrid.powerflow.buses import BusLayout


class DCPowerFlow:
    """DC power flow: reactive power is zero, a bus has the set point of its generators or else its nominal voltage.

    A current is ``|p| * 1000 / (sqrt(3) * v)``. Shunts and series resistances take no part beyond the active power that
    a shunt draws at nominal voltage. ``start`` is ignored: the solution is direct.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._layout = BusLayout.of(grid)
        if not np.all(grid.line_x_pu):
            names = [grid.name_line[line] for line in np.flatnonzero(grid.line_x_pu == 0)]
            raise ValueError(f"the DC power flow needs a reactance of every line; {names} have none")
        self._susceptance = 1.0 / (grid.line_x_pu * grid.line_ratio)
        self._shift = np.deg2rad(grid.line_shift_deg)
        self._bus_vn_kv = np.tile(np.asarray(grid.sub_vn_kv, dtype=float), grid.n_busbar)
        self._regulating = np.flatnonzero(grid.gen_regulates_voltage)
        self._factors: tuple[bytes, np.ndarray, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:  # noqa: ARG002
        """See ``PowerFlow.solve``."""
        inputs = plain_input(inputs)
        grid = self.grid
        buses = self._layout.buses(inputs.topo_vect, inputs.shunt_bus)
        converged = self._layout.connected(buses, rows)
        sizes = (grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus)
        flow = zero_flow(len(converged), *sizes)._replace(converged=converged)
        for env in np.flatnonzero(converged).tolist():
            self._solve_row(env, inputs, buses[env], flow)
        return flow

    def _solve_row(self, env: int, inputs: PowerFlowInput, bus: np.ndarray, flow: Flow) -> None:
        """Fills one row of ``flow``."""
        v_kv = self._voltages(bus, inputs.gen_v[env])
        needed = self._fixed_injections(env, inputs, bus, flow)
        theta, p_line = self._angles(bus, needed)
        out = bus < 0
        angle, kv = np.where(out, 0.0, np.degrees(theta[bus])), np.where(out, 0.0, v_kv[bus])
        for name in ("load", "gen", "storage", "shunt"):
            part = getattr(self._layout, name)
            getattr(flow, f"{name}_v")[env] = kv[part]
            if name != "shunt":
                getattr(flow, f"{name}_theta")[env] = angle[part]
        live = np.unique(bus[~out])
        flow.voltage[env, live] = v_kv[live] / self._bus_vn_kv[live] * np.exp(1j * theta[live])
        for end, part, sign in (("or", self._layout.line_or, 1.0), ("ex", self._layout.line_ex, -1.0)):
            getattr(flow, f"p_{end}")[env] = sign * p_line
            getattr(flow, f"v_{end}")[env] = kv[part]
            getattr(flow, f"theta_{end}")[env] = angle[part]
            amps = np.abs(p_line) * 1000 / (np.sqrt(3) * np.where(out[part], 1.0, kv[part]))
            getattr(flow, f"a_{end}")[env] = amps
        slack = self.grid.slack_gen
        ends = (bus[self._layout.line_or], p_line), (bus[self._layout.line_ex], -p_line)
        leaving = sum(float(power[at == bus[self._layout.slack]].sum()) for at, power in ends)
        flow.gen_p[env, slack] = leaving - needed[bus[self._layout.slack]]

    def _voltages(self, bus: np.ndarray, gen_v: np.ndarray) -> np.ndarray:
        """(n_bus,) kV: of the generators that share a bus the slack decides, else the first."""
        v_kv = self._bus_vn_kv.copy()
        for gen in (*self._regulating[::-1], self.grid.slack_gen):
            at = bus[self._layout.gen.start + gen]
            if at >= 0:
                v_kv[at] = gen_v[gen] / self.grid.sub_vn_kv[self.grid.gen_to_subid[gen]] * self._bus_vn_kv[at]
        return v_kv

    def _fixed_injections(self, env: int, inputs: PowerFlowInput, bus: np.ndarray, flow: Flow) -> np.ndarray:
        """(n_bus,) MW into each bus of everything but the slack generator, also written to the flow."""
        gen_p = np.where(self.grid.gen_slack, 0.0, inputs.gen_p[env])
        injected = np.zeros(self.grid.n_bus)
        for name, power, sign in (
            ("gen", gen_p, 1.0),
            ("load", inputs.load_p[env], -1.0),
            ("storage", inputs.storage_p[env], -1.0),
            ("shunt", self.grid.shunt_p_mw, -1.0),
        ):
            at = bus[getattr(self._layout, name)]
            power = np.where(at < 0, 0.0, power)
            np.add.at(injected, at[at >= 0], sign * power[at >= 0])
            getattr(flow, f"{name}_p")[env] = power
        return injected

    def _angles(self, bus: np.ndarray, injected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n_bus,) radian, zero at the slack, and (n_line,) MW entering at the origin."""
        origin, extremity = bus[self._layout.line_or], bus[self._layout.line_ex]
        on = origin >= 0
        f, t, b = origin[on], extremity[on], self._susceptance[on]
        power = injected / self.grid.sn_mva
        np.add.at(power, f, b * self._shift[on])
        np.subtract.at(power, t, b * self._shift[on])
        index, solve = self._factored(bus, f, t, b)
        theta = np.zeros(self.grid.n_bus)
        if len(index):
            theta[index] = solve(power[index])
        p_line = np.zeros(self.grid.n_line)
        p_line[on] = b * (theta[f] - theta[t] - self._shift[on]) * self.grid.sn_mva
        return theta, p_line

    def _factored(self, bus: np.ndarray, f: np.ndarray, t: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
        """The live buses but the slack's, and the solver of their equations; kept while the topology stays."""
        key = bus.tobytes()
        if self._factors is None or self._factors[0] != key:
            live = np.unique(bus[bus >= 0])
            index = live[live != bus[self._layout.slack]]
            at = np.full(self.grid.n_bus, -1)
            at[index] = np.arange(len(index))
            rows = np.concatenate([at[f], at[t], at[f], at[t]])
            columns = np.concatenate([at[f], at[t], at[t], at[f]])
            keep = (rows >= 0) & (columns >= 0)
            values = np.concatenate([b, b, -b, -b])[keep]
            matrix = csc_array((values, (rows[keep], columns[keep])), shape=(len(index), len(index)))
            self._factors = key, index, splu(matrix).solve if len(index) else None
        return self._factors[1], self._factors[2]
