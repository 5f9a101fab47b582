"""What the physics and the relays do: power flow, overloads, trips, and the cascade of trips they set off."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.system import System
from marlgrid.powerflow.base import Flow, PowerFlow, PowerFlowInput
from marlgrid.simulation.state import Outcome, State
from marlgrid.simulation.topology import islanded

TOLERANCE_MW = 0.01
"""Grid2Op's, on the limits of generators."""


def solve(system: System, solver: PowerFlow, state: State, at_reset: bool = False) -> State:
    """Solves the power flow and trips overloaded lines, wave after wave, until no line trips (Grid2Op's protections).

    A line trips at once above the hard threshold, and when its count of steps above the soft one exceeds what is
    allowed (counted at most once per step; not at a reset). Writes: flow, rho, disc_lines, outcome.
    """
    n_env, n_line = state.rho.shape
    topo_vect = state.topology.topo_vect.copy()
    disc_lines = np.full((n_env, n_line), -1, dtype=np.int32)
    engaged = state.counters.timestep_protection_engaged.copy()
    counted = np.full((n_env, n_line), at_reset)
    pending = state.running
    flow = solver.solve(power_flow_input(state, topo_vect), state.flow.voltage, pending)
    wave = 0
    while not system.parameters.no_overflow_disconnection:
        tripped = _trip(
            system.tables,
            state.thermal_limit,
            flow.a_or,
            flow.converged & pending,
            wave,
            topo_vect,
            engaged,
            counted,
            disc_lines,
        )
        if not tripped.any():
            break
        again = solver.solve(power_flow_input(state, topo_vect), flow.voltage, tripped)
        flow = again if tripped.all() else _merge(flow, again, tripped)
        pending = tripped
        wave += 1
    rho = flow.a_or / state.thermal_limit
    gen_p_before = state.flow.gen_p
    state = state._replace(flow=flow, rho=rho, disc_lines=disc_lines)
    lost = state.running & ~flow.converged
    if lost.any():
        state = _note_lost(system, state, topo_vect, lost)
    if system.parameters.stop_ep_if_gen_break_constraints and not at_reset:
        state = _note_broken(system, state, gen_p_before)
    return state


def power_flow_input(state: State, topo_vect: np.ndarray) -> PowerFlowInput:
    """What the power flow of a state takes, with the elements on the busbars of ``topo_vect``."""
    return PowerFlowInput(
        topo_vect=topo_vect,
        shunt_bus=state.topology.shunt_bus,
        gen_p=state.dispatch.setpoint,
        gen_v=state.injections.gen_v,
        load_p=state.injections.load_p,
        load_q=state.injections.load_q,
        storage_p=state.dispatch.storage_power,
    )


def _merge(flow: Flow, again: Flow, rows: np.ndarray) -> Flow:
    """The flow with some rows solved again."""

    def chosen(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.where(rows if old.ndim == 1 else rows[:, None], new, old)

    return Flow(*map(chosen, flow, again))


def _note_lost(system: System, state: State, topo_vect: np.ndarray, lost: np.ndarray) -> State:
    """Names the reason why rows have no solution."""
    apart = islanded(system, state.topology._replace(topo_vect=topo_vect))
    reason = np.where(apart, np.int8(Outcome.ISLANDED), np.int8(Outcome.DIVERGED))
    return state._replace(outcome=np.where(lost, reason, state.outcome).astype(np.int8))


def _note_broken(system: System, state: State, before: np.ndarray) -> State:
    """Ends the episodes in which a dispatchable generator, the slack included, breaks pmin, pmax or its ramps."""
    grid, now = system.grid, state.flow.gen_p
    outside = (now > grid.gen_pmax + TOLERANCE_MW) | (now < grid.gen_pmin - TOLERANCE_MW)
    rise = now - before
    outside |= (rise > grid.gen_max_ramp_up + TOLERANCE_MW) | (rise < -grid.gen_max_ramp_down - TOLERANCE_MW)
    broken = state.running & (outside & grid.gen_redispatchable).any(axis=1)
    return state._replace(outcome=np.where(broken, np.int8(Outcome.GEN_OUT_OF_LIMITS), state.outcome))


@kernel
def _trip(tables, limit, a_or, live, wave, topo_vect, engaged, counted, disc_lines):  # pragma: no cover
    """Opens the lines that trip in this wave; returns the rows in which any did."""
    rules = tables.rules[0]
    n_env, n_line = a_or.shape
    tripped = np.zeros(n_env, np.bool_)
    for e in range(n_env):
        if not live[e]:
            continue
        for l in range(n_line):
            line = tables.line[l]
            if topo_vect[e, line.or_pos] < 0:
                continue
            if not counted[e, l] and a_or[e, l] > rules.soft * limit[e, l]:
                engaged[e, l] += 1
                counted[e, l] = True
            if a_or[e, l] > rules.hard * limit[e, l] or engaged[e, l] > rules.overflow_allowed:
                topo_vect[e, line.or_pos] = -1
                topo_vect[e, line.ex_pos] = -1
                disc_lines[e, l] = wave
                tripped[e] = True
    return tripped
