"""What the physics and the relays do: power flow, overloads, trips, and the cascade of trips they set off."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.frame import Memory, view_frame
from marlgrid.simulation.state import Outcome, State

TOLERANCE_MW = 0.01
"""Grid2Op's, on the limits of generators."""


def solve(system: System, solver: PowerFlow, memory: Memory, before: State, at_reset: bool = False) -> None:
    """Solves the power flow and trips overloaded lines, wave after wave, until no line trips (Grid2Op's protections).

    A line trips at once above the hard threshold, and when its count of steps above the soft one exceeds what is
    allowed (counted at most once per step; not at a reset). Writes: flow, disc_lines, topology.topo_vect of the lines
    that trip, outcome where generators may not break their limits.
    """
    state = memory.state
    _solve_pending(solver, memory, before.flow.voltage)
    wave = 0
    while trip(system.block, memory.block, wave, at_reset):
        _solve_pending(solver, memory, state.flow.voltage)
        wave += 1
    if system.parameters.stop_ep_if_gen_break_constraints and not at_reset:
        _note_broken(system, before, state)


def _note_broken(system: System, before: State, state: State) -> None:
    """Ends the episodes in which a dispatchable generator, the slack included, breaks pmin, pmax or its ramps."""
    grid, now = system.grid, state.flow.gen_p
    outside = (now > grid.gen_pmax + TOLERANCE_MW) | (now < grid.gen_pmin - TOLERANCE_MW)
    rise = now - before.flow.gen_p
    outside |= (rise > grid.gen_max_ramp_up + TOLERANCE_MW) | (rise < -grid.gen_max_ramp_down - TOLERANCE_MW)
    broken = state.running & state.flow.converged & (outside & grid.gen_redispatchable).any(axis=1)
    state.outcome[broken] = Outcome.GEN_OUT_OF_LIMITS


def _solve_pending(solver: PowerFlow, memory: Memory, start: np.ndarray) -> None:
    """Writes the flows of the pending rows, and leaves the others; solvers that can write into the frame do so."""
    rows = memory.frame.pending
    direct = getattr(solver, "solve_into", None)
    if direct is not None:
        direct(memory.numbers, memory.places, start, rows)
        return
    for old, new in zip(memory.state.flow, solver.solve(memory.inputs, start, rows), strict=True):
        old[rows] = new[rows]


@kernel_in_place
def trip(system, block, wave, at_reset) -> bool:  # pragma: no cover
    """Opens the lines that trip in this wave, whose rows are pending then; false when there are none."""
    tables, frame = view_tables(system), view_frame(block)
    rules, state = tables.rules[0], frame.state
    topo_vect, a_or, limit = state.topology.topo_vect, state.flow.a_or, state.thermal_limit
    again = False
    for e in range(len(frame.pending)):
        live = frame.pending[e] and state.flow.converged[e] and not rules.no_overflow_disconnection
        frame.pending[e] = False
        if not live:
            continue
        for l in range(len(tables.line)):
            line = tables.line[l]
            if topo_vect[e, line.or_pos] < 0:
                continue
            if not at_reset and a_or[e, l] > rules.soft * limit[e, l]:
                frame.counted[e, l] = True
            engaged = state.counters.timestep_protection_engaged[e, l] + frame.counted[e, l]
            if a_or[e, l] > rules.hard * limit[e, l] or engaged > rules.overflow_allowed:
                topo_vect[e, line.or_pos] = -1
                topo_vect[e, line.ex_pos] = -1
                state.disc_lines[e, l] = wave
                frame.pending[e] = True
                again = True
    return again
