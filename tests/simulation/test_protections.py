"""Overloads, trips and the cascade, with currents written down by the test."""

from __future__ import annotations

from marlgrid.simulation.state import Outcome
from tests.simulation.small import GivenCurrents, asks, play, small_system, start

REST = asks(0)


def test_cascade_goes_wave_by_wave():
    system = small_system()
    # line 1 trips hard; its loss adds 120 A to line 2 (90 + 120 > 200), which trips in the next wave
    solver = GivenCurrents(system, [10, 10, 90, 10], extra=120)
    state = start(system, solver)
    solver.current[1] = 250
    (_, after), _ = play(system, state, REST, solver=solver)
    assert after.disc_lines[0].tolist() == [-1, 0, 1, -1]
    assert after.counters.time_before_cooldown_line[0].tolist() == [0, 10, 10, 0]
    assert after.rho[0].tolist() == [0.1, 0, 0, 0.1]


def test_thresholds_are_strict():
    system = small_system()
    for amps, tripped in ((200.0, -1), (200.01, 0)):
        solver = GivenCurrents(system, 10.0)
        state = start(system, solver)
        solver.current[1] = amps
        (_, after), _ = play(system, state, REST, solver=solver)
        assert after.disc_lines[0, 1] == tripped
    solver = GivenCurrents(system, [10, 10, 100.0, 10])
    states, _ = play(system, start(system, solver), *[REST] * 5, solver=solver)
    assert states[-1].counters.timestep_overflow[0, 2] == 0


def test_soft_threshold_counts_apart_from_the_overflow_counter():
    system = small_system({"SOFT_OVERFLOW_THRESHOLD": 0.5})
    solver = GivenCurrents(system, [10, 10, 60, 10])
    states, _ = play(system, start(system, solver), *[REST] * 3, solver=solver)
    assert [int(s.counters.timestep_protection_engaged[0, 2]) for s in states] == [0, 1, 2, 0]
    assert [int(s.counters.timestep_overflow[0, 2]) for s in states] == [0, 0, 0, 0]
    assert states[-1].disc_lines[0, 2] == 0


def test_no_overflow_disconnection_still_counts():
    system = small_system({"NO_OVERFLOW_DISCONNECTION": True})
    solver = GivenCurrents(system, [10, 10, 900, 10])
    states, _ = play(system, start(system, solver), *[REST] * 5, solver=solver)
    assert states[-1].counters.timestep_overflow[0, 2] == 5
    assert (states[-1].disc_lines == -1).all()


def test_reset_trips_hard_only_and_leaves_no_cooldown():
    system = small_system({"NB_TIMESTEP_OVERFLOW_ALLOWED": 0})
    state = start(system, GivenCurrents(system, [10, 150, 250, 10]))
    assert state.disc_lines[0].tolist() == [-1, -1, 0, -1]
    assert state.topology.topo_vect[0, 5] == -1
    assert (state.counters.time_before_cooldown_line == 0).all()


def test_batch_rows_cascade_by_themselves():
    system = small_system()
    solver = GivenCurrents(system, 10.0)
    state = start(system, solver, n_env=3)
    solver.solve = _second_row_overloaded(solver.solve)
    from marlgrid.simulation.action import do_nothing, no_attack
    from marlgrid.simulation.step import step
    from tests.simulation.small import StillSeries

    after, _ = step(system, solver, StillSeries(system), state, do_nothing(3, 2), no_attack(3, 4))
    assert after.disc_lines.max(axis=1).tolist() == [-1, 0, -1]
    assert (after.outcome == Outcome.RUNNING).all()


def _second_row_overloaded(solve):
    def overloaded(inputs, start, rows):
        flow = solve(inputs, start, rows)
        amps = flow.a_or.copy()
        amps[1, 1] *= 30
        return flow._replace(a_or=amps)

    return overloaded
