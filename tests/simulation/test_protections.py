"""Overloads, trips and the cascade, with currents written down by the test."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.state import Outcome
from marlgrid.simulation.step import initial
from tests.simulation.small import GivenCurrents, StillSeries, asks, play, small_system, start

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


class OneGenerator(GivenCurrents):
    """A power flow in which gen_0 ends up at ``power`` MW, whatever it is set to."""

    power = 40.0

    def solve(self, inputs, start, rows):
        flow = super().solve(inputs, start, rows)
        gen_p = inputs.gen_p.copy()
        gen_p[:, 0] = self.power
        return flow._replace(gen_p=gen_p)


@pytest.mark.parametrize(
    ("power", "ends"),
    [([40.0, 44.9], None), ([40.0, 45.1], 1), ([40.0, 35.0, 29.9], 2), ([98.0, 100.005], None), ([98.0, 100.5], 1)],
)
def test_the_episode_ends_when_a_generator_breaks_its_limits(power, ends):
    """Ramps are 5 MW per step, pmax is 100 MW, and 0.01 MW are allowed."""
    for stops in (True, False):
        system = small_system({"stop_ep_if_gen_break_constraints": stops})
        solver = OneGenerator(system)
        solver.power = power[0]
        state = start(system, solver=solver)
        assert state.outcome[0] == Outcome.RUNNING, "starts are exempt"
        for t, solver.power in enumerate(power[1:], start=1):
            (_, state), _ = play(system, state, REST, solver=solver)
            broken = stops and t == ends
            assert state.outcome[0] == (Outcome.GEN_OUT_OF_LIMITS if broken else Outcome.RUNNING)


def test_a_start_beyond_the_limits_is_exempt():
    system = small_system({"stop_ep_if_gen_break_constraints": True})
    solver = OneGenerator(system)
    solver.power = 150.0
    assert start(system, solver=solver).outcome[0] == Outcome.RUNNING


def test_limits_of_each_episode_trip_lines():
    system = small_system()
    limit = np.full((2, 4), 100.0)
    limit[1, 2] = 4.0
    zeros = np.zeros(2, dtype=int)
    state = initial(system, GivenCurrents(system), StillSeries(system), zeros, zeros, zeros, zeros + 9, None, limit)
    assert state.disc_lines[:, 2].tolist() == [-1, 0], "10 A is more than twice 4 A"
    assert state.rho[:, 0].tolist() == [0.1, 0.1]
