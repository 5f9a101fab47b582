"""Minimum up and down times, on the grid of ``small``: gen_1 of zone 1 is switched by its schedule."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation import Reason
from marlgrid.simulation.action import Kind, do_nothing, no_attack
from marlgrid.simulation.step import initial, step
from tests.simulation.small import GivenCurrents, StillSeries, asks, play, small_system

MINIMUM = {"gen_min_uptime": np.array([0, 3, 0]), "gen_min_downtime": np.array([0, 2, 0])}
REST = asks(0)


class Solved(GivenCurrents):
    """Generators produce what they are set to."""

    def solve(self, inputs, start, rows):
        return super().solve(inputs, start, rows)._replace(gen_p=inputs.gen_p.copy())


def episode(schedule, *actions, parameters=None):
    """Reasons by step and zone, and the states, with gen_1 scheduled at ``schedule`` MW from the start on."""
    system = small_system(
        {"ignore_min_up_down_time": False, "nb_timestep_cooldown_line": 3, **(parameters or {})}, **MINIMUM
    )
    series, solver = StillSeries(system), Solved(system)
    series.gen_p[: len(schedule), 1] = schedule
    zero = np.zeros(1, dtype=int)
    states, reasons = [initial(system, solver, series, zero, zero, zero, zero + 50)], []
    for t in range(len(schedule) - 1):
        action = actions[t] if t < len(actions) else REST
        (_, after), ruling = play(system, states[-1], action, solver=solver, series=series)
        states.append(after)
        reasons.append([Reason(reason).name for reason in ruling.reason[0]])
    return reasons, states


def times(states, gen=1):
    return [(int(s.commitment.uptime[0, gen]), int(s.commitment.downtime[0, gen])) for s in states]


def test_times_are_counted_from_the_switch_on():
    reasons, states = episode([20, 20, 20, 20, 0, 0, 0, 20, 20])
    assert {name for row in reasons for name in row} == {"ACCEPTED"}
    assert times(states) == [(0, -1), (1, -1), (2, -1), (3, -1), (-1, 0), (-1, 1), (-1, 2), (0, -1), (1, -1)]


def test_a_stop_before_the_minimum_time_is_illegal_but_happens():
    reasons, states = episode([20, 20, 0, 0, 0])
    assert reasons[1] == ["ACCEPTED", "GEN_SWITCHED_TOO_SOON"]
    assert states[2].dispatch.setpoint[0, 1] == 0
    # nothing is counted in that step, for no generator; it stood still before the next one
    assert times(states) == [(0, -1), (1, -1), (1, -1), (1, 0), (1, 1)]
    assert times(states, gen=0) == [(0, -1), (1, -1), (1, -1), (2, -1), (3, -1)]


def test_a_start_before_the_minimum_time_is_illegal():
    reasons, _ = episode([20, 20, 20, 20, 0, 20])
    assert [row[1] for row in reasons] == ["ACCEPTED"] * 4 + ["GEN_SWITCHED_TOO_SOON"]


@pytest.mark.parametrize(("zone", "cooldown"), [(0, 3), (1, 0)])
def test_who_is_blamed_starts_no_cooldown(zone, cooldown):
    """The line is switched all the same, as in Grid2Op; only the owner of the generator is blamed."""
    off = asks(zone, (Kind.SET_LINE_STATUS, 0, -1.0))
    reasons, states = episode([20, 0, 0], off)
    assert reasons[0] == ["ACCEPTED", "GEN_SWITCHED_TOO_SOON"]
    assert states[1].topology.topo_vect[0].min() == -1
    assert states[1].counters.time_before_cooldown_line[0, 0] == cooldown


def test_by_default_nothing_is_counted_or_illegal():
    reasons, states = episode([20, 0, 20, 0], parameters={"ignore_min_up_down_time": True})
    assert {name for row in reasons for name in row} == {"ACCEPTED"}
    assert times(states) == [(0, -1)] * 4


def test_a_batch_is_its_single_runs():
    system = small_system({"ignore_min_up_down_time": False}, **MINIMUM)
    series, solver = StillSeries(system), Solved(system)
    series.gen_p[2, 1] = 0.0
    starts = np.array([0, 1])
    both = initial(system, solver, series, starts * 0, starts * 0, starts, starts * 0 + 50)

    after, ruling = step(system, solver, series, both, do_nothing(2, 2), no_attack(2, 4))
    assert ruling.reason[:, 1].tolist() == [Reason.ACCEPTED, Reason.GEN_SWITCHED_TOO_SOON]
    assert after.commitment.uptime[:, 1].tolist() == [1, 0]
