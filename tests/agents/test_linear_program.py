"""The linear programme against closed forms, alone and played."""

from __future__ import annotations

import numpy as np
import pytest

from agents import DoNothing, LinearProgram, OfZone, Team
from agents.least_deviation import Controls, least_deviation
from agents.sensitivity import ptdf
from experiments.evaluation import Starts, evaluate, played
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import Kind
from tests.agents.hand import constant, triangle


def begin(task, n_step=20):
    return task.reset(np.array([0]), np.array([0]), np.array([0]), np.array([n_step]))


def asked(commands):
    """(kind, element) -> value."""
    return {(Kind(int(k)), int(i)): float(v) for k, i, v in zip(*commands, strict=True)}


def test_ptdf_of_a_triangle_and_of_one_with_a_line_out():
    grid = triangle()
    topology = np.ones(grid.dim_topo, dtype=np.int32)
    factors = ptdf(grid, topology)
    # from sub_0 to sub_2: two thirds directly, one third around
    np.testing.assert_allclose((factors[:, 0] - factors[:, 2])[[1, 0, 2]], [2 / 3, 1 / 3, 1 / 3], atol=1e-12)
    topology[[grid.line_or_pos_topo_vect[1], grid.line_ex_pos_topo_vect[1]]] = -1
    factors = ptdf(grid, topology)
    np.testing.assert_allclose((factors[:, 0] - factors[:, 2])[[1, 0, 2]], [0, 1, 1], atol=1e-12)


def test_ptdf_foretells_the_dc_power_flow_of_a_split_grid():
    task = make_task("case14", power_flow="dc", parameters={"no_overflow_disconnection": True}, zones=1)
    grid = task.system.grid
    episode, outputs = task.reset(np.array([3]), np.array([0]), np.array([100]), np.array([20]))
    busbars = [2 if k % 2 else 1 for k in range(grid.sub_info[1])]
    split = task.make_action({"set_bus": {"substations_id": [(1, busbars)]}})
    episode, _ = task.step(episode, {"zone_0": [split]})
    assert (episode.state.topology.topo_vect == 2).any()
    ask = task.make_action({"redispatch": [(0, 3.0), (1, -3.0)]})
    before, _ = task.step(episode, DoNothing().act(task, episode, outputs, ())[0])
    after, _ = task.step(episode, {"zone_0": [ask]})
    topo = after.state.topology.topo_vect[0]
    bus = grid.gen_to_subid + (topo[grid.gen_pos_topo_vect] - 1) * grid.n_sub
    moved = (after.state.dispatch.setpoint - before.state.dispatch.setpoint)[0]
    assert moved[0] > 1.0
    expected = ptdf(grid, topo)[:, bus] @ moved
    np.testing.assert_allclose((after.state.flow.p_or - before.state.flow.p_or)[0], expected, atol=1e-9)


@pytest.mark.parametrize(("limit", "moved"), [(60.0, 0.0), (50.0, 0.0), (45.0, 15.0), (40.0, 30.0)])
def test_least_deviation_on_a_triangle(limit, moved):
    """60 and 30 MW make 50 MW on line_1; each MW from gen_0 to gen_1 takes a third off it."""
    factors = ptdf(triangle(), np.ones(triangle().dim_topo, dtype=np.int32))
    controls = Controls(factors[:, [0, 1]], np.full(2, -50.0), np.full(2, 50.0), np.zeros(2), np.ones(2))
    flow = np.array([10.0, 50.0, 40.0])
    x = least_deviation(flow, np.array([1e4, limit, 1e4]), controls, np.full(3, np.nan))
    np.testing.assert_allclose(x, [-moved, moved], atol=1e-6)


def test_what_cannot_be_reached_is_approached_and_the_cheaper_unit_goes_first():
    factors = ptdf(triangle(), np.ones(triangle().dim_topo, dtype=np.int32))
    flow, limit, none = np.array([10.0, 50.0, 40.0]), np.array([1e4, 45.0, 1e4]), np.full(3, np.nan)
    narrow = Controls(factors[:, [0, 1]], np.full(2, -6.0), np.full(2, 6.0), np.zeros(2), np.ones(2))
    np.testing.assert_allclose(least_deviation(flow, limit, narrow, none), [-6, 6], atol=1e-6)
    # the load's bus has a storage: one MW there takes two thirds off line_1, but costs four times as much
    effect = factors[:, [0, 1, 2]]
    dear = Controls(effect, np.full(3, -50.0), np.full(3, 50.0), np.zeros(3), np.array([1.0, 1.0, 4.0]))
    np.testing.assert_allclose(least_deviation(flow, limit, dear, none), [-15, 15, 0], atol=1e-6)
    cheap = dear._replace(cost=np.array([1.0, 1.0, 0.5]))
    np.testing.assert_allclose(least_deviation(flow, limit, cheap, none), [-7.5, 0, 7.5], atol=1e-6)
    # what deviates already returns where flows allow
    away = narrow._replace(low=np.full(2, -20.0), high=np.full(2, 20.0), now=np.array([-9.0, 9.0]))
    np.testing.assert_allclose(least_deviation(flow, limit, away, none), [-20, 20], atol=1e-6)
    np.testing.assert_allclose(least_deviation(flow - 10, limit, away, none), [0, 0], atol=1e-6)


def test_impossible_bounds_leave_everything_as_it_is():
    controls = Controls(np.zeros((1, 2)), np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.zeros(2), np.ones(2))
    x = least_deviation(np.zeros(1), np.ones(1), controls, np.full(1, np.nan))
    np.testing.assert_array_equal(x, [0, 0])


@pytest.mark.parametrize(("ramp", "moved"), [(20.0, 15.0), (6.0, 6.0)])
def test_played_on_a_triangle_it_moves_what_the_closed_form_says(ramp, moved):
    """Within the ramps of a step; what is missing follows in the next steps, and nothing more is asked then."""
    task = constant(triangle(45.0, ramp), [60.0, 30.0], [90.0], 1, no_overflow_disconnection=True)
    agent = LinearProgram(margin=1.0)
    episode, outputs = begin(task)
    assert episode.state.flow.p_or[0, 1] == pytest.approx(50.0, abs=1e-6)
    commands = agent.act(task, episode, outputs, ())[0]["zone_0"][0]
    assert asked(commands)[Kind.REDISPATCH, 0] == pytest.approx(-moved, abs=1e-4)
    assert asked(commands)[Kind.REDISPATCH, 1] == pytest.approx(moved, abs=1e-4)
    for _ in range(5):
        episode, outputs = task.step(episode, agent.act(task, episode, outputs, ())[0])
    assert episode.state.flow.p_or[0, 1] == pytest.approx(45.0, abs=0.05)
    np.testing.assert_allclose(episode.state.dispatch.actual[0], [-15, 15], atol=0.1)


def test_what_was_moved_returns_when_the_load_falls():
    load = np.repeat([[90.0], [60.0]], [4, 16], axis=0)
    task = constant(triangle(45.0), load * [2 / 3, 1 / 3], load, 1, n_row=20, no_overflow_disconnection=True)
    starts = Starts(np.array([0]), np.array([0]), np.array([0]), 12)
    states = [moment.after.state for moment in played(task, LinearProgram(margin=1.0), starts)]
    assert states[1].dispatch.actual[0, 0] == pytest.approx(-15, abs=0.1)
    np.testing.assert_allclose(states[-1].dispatch.actual[0], [0, 0], atol=0.1)
    assert all(state.running.all() or state.out_of_time.all() for state in states)


def test_a_zone_counts_on_the_rest_to_balance_it():
    """The zone of sub_0 holds what is beyond for two generators, half of the balance at each end of its lines: a MW
    less of gen_0 takes (1/3 + 2/3) / 2 off line_1, so it asks for 10 MW where the whole team knows that it takes 15."""
    task = constant(triangle(45.0), [60.0, 30.0], [90.0], [[0], [1, 2]], no_overflow_disconnection=True)
    episode, outputs = begin(task)
    team = Team({"zones": OfZone(LinearProgram(margin=1.0))})
    choices, _ = team.act(task, episode, outputs, team.initial_memory(task, 1))
    assert asked(choices["zone_0"][0])[Kind.REDISPATCH, 0] == pytest.approx(-10, abs=0.5)


def test_it_keeps_a_real_grid_longer_than_doing_nothing_without_illegal_actions():
    task = make_task("case14", split="validation")
    starts = Starts.of_split(task, "validation", 12, 96, seed=1)
    nothing, ours = evaluate(task, DoNothing(), starts), evaluate(task, LinearProgram(), starts)
    assert ours.survival.mean() > nothing.survival.mean() + 0.1
    assert ours.illegal.sum() <= 2
