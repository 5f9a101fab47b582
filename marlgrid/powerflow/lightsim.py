"""The default solver: lightsim2grid's Newton-Raphson, fed from the grid's own arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from lightsim2grid.algorithm import AlgorithmType
from lightsim2grid.network import LSGrid
from numba import njit

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, plain_input
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.flows import FlowModel
from marlgrid.powerflow.setpoints import first_guess, set_points

MAX_ITERATIONS = 10
SCALE = 2.0**20
"""Powers are sent in MW / SCALE: lightsim2grid passes over changes of less than 1e-7 of its unit."""
TOLERANCE = 1e-8 * SCALE
"""Largest mismatch of a solution at any bus: 1e-8 MVA."""


class LightSimPowerFlow:
    """AC power flow by lightsim2grid (single slack, no reactive limits, storages at zero reactive power).

    Generators on one bus that disagree about its voltage follow the slack generator if it is there, else the first.
    Rows are solved one after another; what the C++ grid holds already is not sent again, which no result depends on.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._layout = BusLayout.of(grid)
        self._model = FlowModel.of(grid)
        self._sent: _Sent | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        """See ``PowerFlow.solve``; ``start`` is (n_env, n_bus) complex per unit, zeros for a cold start."""
        inputs = plain_input(inputs)
        buses = self._layout.buses(inputs.topo_vect, inputs.shunt_bus)
        solved = self._layout.connected(buses, rows)
        voltage = np.empty((len(solved), self.grid.n_bus), dtype=complex)
        sent = self._sent if self._sent is not None else _Sent(self.grid, self._layout)
        self._sent = None  # stays so if anything below is interrupted: the next call starts afresh
        orders = sent.orders(inputs, start, buses)
        for env in np.flatnonzero(solved).tolist():
            sent.send(env, orders, buses)
            found = sent.solve(orders.guess[env], bool(orders.warm[env]))
            if len(found):
                voltage[env] = found
            else:
                solved[env] = False
        self._sent = sent
        return self._model.flow(inputs, buses, voltage, solved)


class _Orders(NamedTuple):
    """What the C++ grid is to be told, row by row."""

    gen_p: np.ndarray
    """(n_env, n_gen) float32 MW / SCALE."""
    drawn_p: np.ndarray
    """(n_env, n_drawn) float32 MW / SCALE of loads and storages, then what single precision left out."""
    drawn_q: np.ndarray
    gen_v: np.ndarray
    """(n_env, n_gen) per unit."""
    guess: np.ndarray
    """(n_env, n_bus) complex first guess of the voltages."""
    warm: np.ndarray
    """(n_env,) bool: the guess is a previous solution."""


class _Sent:
    """The C++ grid and what it was last told.

    Its bulk setters take single precision. A second, small load beside each generator, load and storage carries the
    rest of the double, so that results are exact to the solver's tolerance.
    """

    def __init__(self, grid: Grid, layout: BusLayout) -> None:
        self.layout = layout
        self.model = _build(grid, layout)
        self.slack = grid.slack_gen
        self.regulates = np.asarray(grid.gen_regulates_voltage, dtype=bool)
        self.gen_vn_kv = np.ascontiguousarray(grid.sub_vn_kv[grid.gen_to_subid], dtype=float)
        self.n_drawn = grid.n_gen + 2 * (grid.n_load + grid.n_storage)
        self.n_bus = grid.n_bus
        self.all_gens = np.ones(grid.n_gen, dtype=bool)
        self.all_drawn = np.ones(self.n_drawn, dtype=bool)
        self.bus = layout.sub.copy()
        self.gen_v = np.ones(grid.n_gen)
        self.shunt_column = _shunt_columns(grid, layout)

    def orders(self, inputs: PowerFlowInput, start: np.ndarray, buses: np.ndarray) -> _Orders:
        """The whole batch in the form that the C++ grid takes."""
        n_env, n_gen = inputs.gen_p.shape
        orders = _Orders(
            gen_p=np.empty((n_env, n_gen), dtype=np.float32),
            drawn_p=np.empty((n_env, self.n_drawn), dtype=np.float32),
            drawn_q=np.zeros((n_env, self.n_drawn), dtype=np.float32),
            gen_v=np.empty((n_env, n_gen)),
            guess=np.empty((n_env, self.n_bus), dtype=complex),
            warm=np.empty(n_env, dtype=bool),
        )
        _split(
            inputs.gen_p, inputs.load_p, inputs.load_q, inputs.storage_p, orders.gen_p, orders.drawn_p, orders.drawn_q
        )
        gen_bus = self.layout.gen.start
        set_points(buses, gen_bus, inputs.gen_v, self.gen_vn_kv, self.slack, self.regulates, orders.gen_v)
        first_guess(buses, self.layout.slack, start, self.layout.n_sub, orders.guess, orders.warm)
        return orders

    def send(self, env: int, orders: _Orders, buses: np.ndarray) -> None:
        """Tells the C++ grid how this row differs from the last one it was told."""
        bus, gen_v = buses[env], orders.gen_v[env]
        if bus.tobytes() != self.bus.tobytes():
            self._send_topology(bus)
        if gen_v.tobytes() != self.gen_v.tobytes():
            self._send_voltages(bus[self.layout.gen], gen_v)
        self.model.update_gens_p(self.all_gens, orders.gen_p[env])
        self.model.update_loads_p(self.all_drawn, orders.drawn_p[env])
        self.model.update_loads_q(self.all_drawn, orders.drawn_q[env])

    def _send_voltages(self, bus: np.ndarray, gen_v: np.ndarray) -> None:
        new = np.where(bus < 0, self.gen_v, gen_v)  # a generator on no bus cannot be told a voltage
        for gen in np.flatnonzero(new != self.gen_v).tolist():
            if abs(new[gen] - self.gen_v[gen]) < 1e-6:  # too small a change to be noticed
                self.model.change_v_gen(gen, new[gen] + 1.0)
            self.model.change_v_gen(gen, new[gen])
        self.gen_v = new

    def _send_topology(self, bus: np.ndarray) -> None:
        first, last = self.layout.gen.start, self.layout.shunt.start
        old, new = (np.concatenate([table[:last], table[first:last]]) for table in (self.bus, bus))
        local = np.where(new < 0, -1, new // self.layout.n_sub + 1).astype(np.int32)
        self.model.update_topo(old != new, local)
        old, new = self.bus[self.shunt_column], bus[self.shunt_column]
        for shunt in np.flatnonzero(old != new).tolist():
            if new[shunt] < 0:
                self.model.deactivate_shunt(shunt)
                continue
            if old[shunt] < 0:
                self.model.reactivate_shunt(shunt)
            self.model.change_bus_shunt(shunt, int(new[shunt]))
        self.bus = bus

    def solve(self, guess: np.ndarray, warm: bool) -> np.ndarray:
        """(n_bus,) complex per unit, or nothing where Newton diverges; a cold start begins with a linear solution.

        A warm start may lead to a solution of collapsed voltages where a normal one exists: it is not trusted then.
        """
        if warm:
            found = self.model.ac_pf(guess, MAX_ITERATIONS, TOLERANCE)
            if len(found) and not _collapsed(found):
                return found
        flat = np.ones(self.n_bus, dtype=complex)
        linear = self.model.dc_pf(flat.copy(), MAX_ITERATIONS, TOLERANCE)
        # a line without reactance leaves the linear equations without a solution
        return self.model.ac_pf(linear if len(linear) else flat, MAX_ITERATIONS, TOLERANCE)


def _asymmetry(grid: Grid) -> np.ndarray:
    """(n_line,) complex per unit: shunt admittance that the extremity has beyond that of the origin."""
    return np.asarray(grid.line_y_ex_pu - grid.line_y_or_pu, dtype=complex)


def _shunt_columns(grid: Grid, layout: BusLayout) -> np.ndarray:
    """Columns of the bus table that the shunts of the C++ grid follow: the grid's, then one per asymmetric line."""
    shunts = np.arange(layout.shunt.start, layout.shunt.stop)
    return np.concatenate([shunts, layout.line_ex.start + np.flatnonzero(_asymmetry(grid) != 0)]).astype(np.intp)


def _build(grid: Grid, layout: BusLayout) -> LSGrid:
    """The C++ grid with everything on busbar 1: each line as a transformer, each storage as a load.

    A transformer there has equal shunts at both ends; what the extremity has more becomes a shunt beside it.
    """
    model = LSGrid()
    model.set_sn_mva(float(grid.sn_mva) * SCALE)
    model.init_bus(grid.n_sub, grid.n_busbar, np.tile(grid.sub_vn_kv, grid.n_busbar).astype(float), 0, grid.n_line)
    ends = [np.asarray(sub, dtype=np.int32) for sub in (grid.line_or_to_subid, grid.line_ex_to_subid)]
    double = [
        np.asarray(a, dtype=float) for a in (grid.line_r_pu, grid.line_x_pu, grid.line_ratio, grid.line_shift_deg)
    ]
    charging = 2.0 * np.asarray(grid.line_y_or_pu, dtype=complex)
    model.init_trafo(*double[:2], charging, *double[2:], [True] * grid.n_line, *ends, True)
    _add_injections(model, grid, layout)
    columns, extra = _shunt_columns(grid, layout), _asymmetry(grid)
    beside = np.conj(extra[extra != 0]) * grid.sn_mva
    shunt_p, shunt_q = np.append(grid.shunt_p_mw, beside.real), np.append(grid.shunt_q_mvar, beside.imag)
    model.init_shunt(shunt_p * SCALE, shunt_q * SCALE, layout.sub[columns])
    model.set_shunt_to_subid(layout.sub[columns])
    model.set_trafo_to_sub1_id(ends[0])
    model.set_trafo_to_sub2_id(ends[1])
    model.set_trafo_pos1_topo_vect(np.arange(grid.n_line, dtype=np.int32))
    model.set_trafo_pos2_topo_vect(np.arange(grid.n_line, 2 * grid.n_line, dtype=np.int32))
    model.set_n_sub(grid.n_sub)
    model.set_max_nb_bus_per_sub(grid.n_busbar)
    model.add_gen_slackbus(grid.slack_gen, 1.0)
    model.turnedoff_pv()
    model.deactivate_result_computation()
    model.change_algorithm(AlgorithmType.NRSing_KLU)
    model.change_algorithm(AlgorithmType.DC_KLU)
    model.check_grid()
    return model


def _add_injections(model: LSGrid, grid: Grid, layout: BusLayout) -> None:
    gen_sub = layout.sub[layout.gen]
    drawn_sub = layout.sub[np.r_[layout.load.start : layout.shunt.start, layout.gen.start : layout.shunt.start]]
    regulates = np.asarray(grid.gen_regulates_voltage, dtype=bool).tolist()
    limits = np.full(grid.n_gen, -1e9), np.full(grid.n_gen, 1e9)
    gen_q = np.asarray(grid.gen_q_mvar, dtype=float) * SCALE
    model.init_generators_full(np.zeros(grid.n_gen), np.ones(grid.n_gen), gen_q, regulates, *limits, gen_sub)
    model.init_loads(np.zeros(len(drawn_sub)), np.zeros(len(drawn_sub)), drawn_sub)
    model.init_storages(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int32))
    model.set_gen_to_subid(gen_sub)
    model.set_load_to_subid(drawn_sub)
    model.set_gen_pos_topo_vect(np.arange(layout.gen.start, layout.gen.stop, dtype=np.int32))
    places = np.arange(layout.load.start, layout.load.start + len(drawn_sub), dtype=np.int32)
    model.set_load_pos_topo_vect(places)


@njit(cache=True)
def _collapsed(voltage):
    """Some bus has less than half its nominal voltage."""
    lowest = 1.0
    for v in voltage:
        lowest = min(lowest, v.real * v.real + v.imag * v.imag)
    return lowest < 0.25


@njit(cache=True)
def _split(gen_p, load_p, load_q, storage_p, gen32, drawn32, q32):
    """Scaled doubles as pairs of singles."""
    n_env, n_gen = gen_p.shape
    n_load, n_storage = load_p.shape[1], storage_p.shape[1]
    rest = n_load + n_storage  # where the second halves begin: generators, loads, storages
    for env in range(n_env):
        for i in range(n_gen):
            value = gen_p[env, i] * SCALE
            gen32[env, i] = value
            drawn32[env, rest + i] = gen32[env, i] - value
        for i in range(n_load):
            value = load_p[env, i] * SCALE
            drawn32[env, i] = value
            drawn32[env, rest + n_gen + i] = value - drawn32[env, i]
            value = load_q[env, i] * SCALE
            q32[env, i] = value
            q32[env, rest + n_gen + i] = value - q32[env, i]
        for i in range(n_storage):
            value = storage_p[env, i] * SCALE
            drawn32[env, n_load + i] = value
            drawn32[env, rest + n_gen + n_load + i] = value - drawn32[env, n_load + i]
