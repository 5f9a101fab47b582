"""A grid small enough to work out by hand, and a world in which nothing happens, for tests of single stages.

    gen_0 --(sub_0)==line_0==(sub_1)-- load_0, storage_0, gen_1
                 \\\\            //
              line_1        line_2
                   \\\\        //
                    (sub_2)-- load_1, gen_2 (wind)

line_3 is parallel to line_0. Zones: {sub_0}, {sub_1, sub_2}; lines 0, 1 and 3 are ties.
"""

from __future__ import annotations

import numpy as np

from marlgrid.model.attention import AttentionRules
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.system import System
from marlgrid.model.time_series import Injections
from marlgrid.model.zones import Zones
from marlgrid.powerflow.base import Flow, PowerFlowInput, zero_flow
from marlgrid.simulation.action import Action, Commands, Kind, joint, no_attack
from marlgrid.simulation.step import initial, step


def small_grid(**changes) -> Grid:
    """The grid drawn above; any field may be given another value."""
    ints, floats = (lambda *x: np.array(x, dtype=np.int32)), (lambda *x: np.array(x, dtype=float))
    fields = {
        "name": "small",
        "sn_mva": 100.0,
        "n_busbar": 2,
        "name_sub": ("sub_0", "sub_1", "sub_2"),
        "sub_vn_kv": floats(100, 100, 100),
        "sub_xy": np.array([[0.0, 1.0], [1.0, 1.0], [0.5, 0.0]]),
        "name_line": ("line_0", "line_1", "line_2", "line_3"),
        "line_or_to_subid": ints(0, 0, 1, 0),
        "line_ex_to_subid": ints(1, 2, 2, 1),
        "line_is_trafo": np.zeros(4, dtype=bool),
        "line_r_pu": np.full(4, 0.01),
        "line_x_pu": np.full(4, 0.1),
        "line_y_or_pu": np.zeros(4, dtype=complex),
        "line_y_ex_pu": np.zeros(4, dtype=complex),
        "line_ratio": np.ones(4),
        "line_shift_deg": np.zeros(4),
        "thermal_limit": np.full(4, 100.0),
        "name_gen": ("gen_0", "gen_1", "gen_2"),
        "gen_to_subid": ints(0, 1, 2),
        "gen_type": ("thermal", "hydro", "wind"),
        "gen_pmin": floats(0, 0, 0),
        "gen_pmax": floats(100, 60, 40),
        "gen_max_ramp_up": floats(5, 10, 0),
        "gen_max_ramp_down": floats(5, 10, 0),
        "gen_min_uptime": ints(0, 0, 0),
        "gen_min_downtime": ints(0, 0, 0),
        "gen_cost_per_mw": floats(30, 20, 0),
        "gen_startup_cost": floats(0, 0, 0),
        "gen_shutdown_cost": floats(0, 0, 0),
        "gen_slack": np.array([True, False, False]),
        "gen_regulates_voltage": np.ones(3, dtype=bool),
        "gen_p_mw": floats(40, 20, 20),
        "gen_q_mvar": floats(0, 0, 0),
        "gen_v_kv": floats(102, 101, 101),
        "name_load": ("load_0", "load_1"),
        "load_to_subid": ints(1, 2),
        "load_p_mw": floats(50, 30),
        "load_q_mvar": floats(10, 5),
        "name_storage": ("storage_0",),
        "storage_to_subid": ints(1),
        "storage_type": ("battery",),
        "storage_emax": floats(10),
        "storage_emin": floats(1),
        "storage_max_p_prod": floats(12),
        "storage_max_p_absorb": floats(12),
        "storage_marginal_cost": floats(0),
        "storage_loss": floats(0.12),
        "storage_charging_efficiency": floats(0.9),
        "storage_discharging_efficiency": floats(0.8),
        "name_shunt": (),
        "shunt_to_subid": ints(),
        "shunt_p_mw": floats(),
        "shunt_q_mvar": floats(),
    }
    return Grid(**(fields | changes))


def small_system(
    parameters: dict | None = None, tie_lines: str = "both", attention: AttentionRules | None = None, **changes
) -> System:
    """The grid with its two zones, Grid2Op's default parameters and three attackable lines."""
    grid = small_grid(**changes)
    rules = AttackRules(lines=("line_0", "line_1", "line_2"), max_duration=4, cooldown=6, initial_budget=8.0)
    zones = Zones(grid, np.array([0, 1, 1], dtype=np.int32), tie_lines)
    return System(grid, zones, Parameters().changed(parameters or {}), rules, attention or AttentionRules())


class StillSeries:
    """Every row is the grid's operating point; outages can be planned by row."""

    n_horizon = 12
    delta_time = 5.0

    def __init__(self, system: System, n_row: int = 100):
        self.grid, self.n_row = system.grid, n_row
        self.splits = {"train": range(10), "validation": range(10, 20), "test": range(20, 30)}
        self.gen_p = np.tile(system.grid.gen_p_mw, (n_row, 1))
        self.load_p = np.tile(system.grid.load_p_mw, (n_row, 1))
        self.time_next_maintenance = np.full((n_row, system.grid.n_line), -1, dtype=np.int32)
        self.duration_next_maintenance = np.zeros((n_row, system.grid.n_line), dtype=np.int32)
        self.hazard_duration = np.zeros((n_row, system.grid.n_line), dtype=np.int32)

    def n_rows(self, scenario: int) -> int:
        return self.n_row

    def start(self, scenario: int) -> np.datetime64:
        return np.datetime64("2030-01-07T00:00")

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        n_env = len(t)
        return Injections(
            load_p=self.load_p[t],
            load_q=np.tile(self.grid.load_q_mvar, (n_env, 1)),
            gen_p=self.gen_p[t],
            gen_v=np.tile(self.grid.gen_v_kv, (n_env, 1)),
            time_next_maintenance=self.time_next_maintenance[t],
            duration_next_maintenance=self.duration_next_maintenance[t],
            hazard_duration=self.hazard_duration[t],
        )

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        return self.at(scenario, np.minimum(t + horizon, self.n_row - 1))


class GivenCurrents:
    """A power flow whose currents are written down by the test: ``current`` A on every connected line.

    ``extra`` A are added to line 2 for each line that is out, which makes cascades.
    """

    def __init__(self, system: System, current=10.0, extra: float = 0.0):
        self.grid, self.extra = system.grid, extra
        self.current = np.broadcast_to(np.asarray(current, dtype=float), (system.grid.n_line,)).copy()
        self.solves = 0

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        self.solves += 1
        grid, n_env = self.grid, len(rows)
        flow = zero_flow(n_env, grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus)
        connected = inputs.topo_vect[:, grid.line_or_pos_topo_vect] > 0
        amps = np.tile(self.current, (n_env, 1))
        amps[:, 2] += self.extra * (~connected).sum(axis=1)
        return flow._replace(converged=rows.copy(), a_or=np.where(connected & rows[:, None], amps, 0.0))


def start(system: System, solver=None, series=None, n_env: int = 1, steps: int = 50):
    """The first state of ``n_env`` equal episodes."""
    solver, series = solver or GivenCurrents(system), series or StillSeries(system)
    zeros = np.zeros(n_env, dtype=np.int64)
    return initial(system, solver, series, zeros, zeros, zeros, zeros + steps)


def commands(*asked: tuple[Kind, int, float]) -> Commands:
    """Commands written as (kind, element, value)."""
    kind, index, value = zip(*asked, strict=True) if asked else ((), (), ())
    return Commands(np.array(kind, dtype=np.int8), np.array(index, dtype=np.int32), np.array(value, dtype=float))


def asks(zone: int, *asked: tuple[Kind, int, float]) -> Action:
    """One zone's commands, the other zone at rest."""
    return joint([[commands(*asked) if z == zone else commands() for z in range(2)]])


def play(system: System, state, *actions: Action, solver=None, series=None, attack=None):
    """The states after each action, and the last ruling."""
    solver, series = solver or GivenCurrents(system), series or StillSeries(system)
    states, ruling = [state], None
    for action in actions:
        state, ruling = step(system, solver, series, state, action, attack or no_attack(1, 4))
        states.append(state)
        attack = None
    return states, ruling
