"""The clock: off-by-ones of cooldowns, overflow counters, attacks and outages (Grid2Op's, worked out step by step)."""

from __future__ import annotations

import numpy as np

from marlgrid.simulation.action import Attack, Kind
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import attack_allowed
from tests.simulation.small import GivenCurrents, StillSeries, asks, play, small_system, start

REST = asks(0)
RECONNECT = asks(1, (Kind.SET_LINE_STATUS, 2, 1))


def cooldowns(states, line=2):
    return [int(state.counters.time_before_cooldown_line[0, line]) for state in states]


def test_own_action_cools_down_for_n_steps():
    system = small_system({"NB_TIMESTEP_COOLDOWN_LINE": 3})
    states, _ = play(system, start(system), asks(1, (Kind.SET_LINE_STATUS, 2, -1)), *[REST] * 3)
    assert cooldowns(states) == [0, 3, 2, 1, 0]
    _, ruling = play(system, states[3], RECONNECT)
    assert ruling.reason[0, 1] == Reason.LINE_COOLDOWN
    _, ruling = play(system, states[4], RECONNECT)
    assert ruling.accepted.all()


def test_no_op_switching_cools_down_too():
    system = small_system({"NB_TIMESTEP_COOLDOWN_LINE": 3})
    states, _ = play(system, start(system), RECONNECT)
    assert cooldowns(states) == [0, 3]


def test_substation_cooldown_runs_down():
    system = small_system({"NB_TIMESTEP_COOLDOWN_SUB": 2})
    states, _ = play(system, start(system), asks(1, (Kind.CHANGE_BUS, 5, 1)), *[REST] * 2)
    assert [state.counters.time_before_cooldown_sub[0, 1] for state in states] == [0, 2, 1, 0]


def test_attack_of_d_steps_can_be_undone_d_steps_later():
    system = small_system()
    duration = np.zeros((1, 4), dtype=np.int32)
    duration[0, 2] = 3
    states, _ = play(system, start(system), *[REST] * 3, attack=Attack(duration))
    assert cooldowns(states) == [0, 2, 1, 0]
    assert [int(state.attack.remaining[0, 2]) for state in states] == [0, 2, 1, 0]
    (_, undone), ruling = play(system, states[3], RECONNECT)
    assert ruling.accepted.all()
    assert undone.topology.topo_vect[0, 5] == 1
    # while it lasts, the line stays out whatever is asked
    assert all(state.topology.topo_vect[0, 5] == -1 for state in states[1:])


def test_attack_budget_and_clean_cooldown():
    system = small_system()  # budget 8, +0.5 a step, cooldown 6, longest 4
    duration = np.zeros((1, 4), dtype=np.int32)
    duration[0, 2] = 4
    states, _ = play(system, start(system), *[REST] * 6, attack=Attack(duration))
    assert [float(state.attack.budget[0]) for state in states] == [8, 7.5, 7, 6.5, 6, 6.5, 7]
    assert [int(state.attack.cooldown[0]) for state in states] == [0, 5, 4, 3, 2, 1, 0]
    assert [bool(attack_allowed(system, state).any()) for state in states] == [True, *[False] * 5, True]
    assert attack_allowed(system, states[6])[0].tolist() == [True, True, False, False]
    assert states[-1].attack.starts.tolist() == [1]


def test_protection_trips_after_the_allowed_steps_and_cools_down():
    system = small_system()  # 2 overloaded steps allowed
    solver = GivenCurrents(system, [10, 10, 150, 10])
    states, _ = play(system, start(system, solver), *[REST] * 5, solver=solver)
    assert [int(state.counters.timestep_overflow[0, 2]) for state in states] == [0, 1, 2, 0, 0, 0]
    assert [int(state.disc_lines[0, 2]) for state in states] == [-1, -1, -1, 0, -1, -1]
    assert cooldowns(states) == [0, 0, 0, 10, 9, 8]


def test_maintenance_of_d_rows_can_be_undone_d_plus_1_steps_later():
    system = small_system()
    series = StillSeries(system)
    series.time_next_maintenance[:5, 2] = [3, 2, 1, 0, 0]
    series.duration_next_maintenance[:5, 2] = [2, 2, 2, 2, 1]
    states, _ = play(system, start(system, series=series), *[REST] * 6, series=series)
    connected = [int(state.topology.topo_vect[0, 5]) for state in states]
    assert connected == [1, 1, 1, -1, -1, -1, -1]
    assert cooldowns(states) == [0, 0, 0, 2, 1, 0, 0]
    _, ruling = play(system, states[4], RECONNECT, series=series)
    assert ruling.reason[0, 1] == Reason.LINE_COOLDOWN
    (_, after), _ = play(system, states[5], RECONNECT, series=series)
    assert after.topology.topo_vect[0, 5] == 1


def test_hazard_forces_out_and_cools_down():
    system = small_system()
    series = StillSeries(system)
    series.hazard_duration[1:3, 2] = [2, 1]
    states, _ = play(system, start(system, series=series), *[REST] * 3, series=series)
    assert cooldowns(states) == [0, 2, 1, 0]
    assert states[1].topology.topo_vect[0, 5] == -1
