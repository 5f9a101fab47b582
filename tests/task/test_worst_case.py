"""The attacker that looks ahead: its choice is the worst of all that it may do, found by doing each."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.action import Attack, do_nothing
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import take
from marlgrid.simulation.step import advance
from marlgrid.task.opponents import WorstCaseOpponent


@pytest.fixture(scope="module")
def case():
    """Five episodes of the 14-bus case in which attacks may hurt, and the attacker bound to it."""
    task = marlgrid.make_task("case14", opponent="worst-case", attack={"max_duration": 12, "initial_budget": 100.0})
    episode, _ = task.reset(np.arange(5), t_start=np.arange(5) * 40)
    return task, episode.state


def badness(state) -> tuple[int, float]:
    return int(state.lost[0]), float(state.rho.max())


def test_the_task_binds_it(case):
    task, _ = case
    assert task.opponent.series is task.series
    assert task.opponent.solver is task.solver
    with pytest.raises(RuntimeError, match="bind"):
        WorstCaseOpponent().attack(task.system, *case[1:], ())


def test_it_takes_the_worst_of_all_single_attacks(case):
    """One attack after the other, each in a state of its own."""
    task, state = case
    attack, _ = task.opponent.attack(task.system, state, ())
    allowed = attack_allowed(task.system, state)
    assert (attack.duration.any(axis=1) == allowed.any(axis=1)).all()
    for env in range(state.n_env):
        alone = take(state, np.array([env]))
        results = {}
        for line in np.flatnonzero(allowed[env]):
            duration = np.zeros_like(alone.attack.remaining)
            duration[0, line] = 12
            expected = task.series.forecast(alone.scenario, alone.t, 1)
            after, _ = advance(
                task.system, task.solver, alone, expected, do_nothing(1, task.system.n_zone), Attack(duration)
            )
            results[int(line)] = badness(after)
        (chosen,) = np.flatnonzero(attack.duration[env])
        assert results[chosen][0] == max(lost for lost, _ in results.values())
        if not results[chosen][0]:
            assert results[chosen][1] == pytest.approx(max(loading for _, loading in results.values()), abs=1e-9)
        assert attack.duration[env, chosen] == 12


def test_it_is_worse_than_no_attack_and_does_not_see_the_future(case):
    """What it foresees is the forecast; other injections in the next row change nothing."""
    task, state = case

    class Blind:
        n_horizon = task.series.n_horizon

        def forecast(self, *arguments):
            return task.series.forecast(*arguments)

    blind = WorstCaseOpponent(series=Blind(), solver=task.solver)
    one, other = (o.attack(task.system, state, ())[0].duration for o in (task.opponent, blind))
    assert np.array_equal(one, other)
    calm, _ = simulate(task.system, task.solver, task.series, state, do_nothing(5, task.system.n_zone))
    rows = np.flatnonzero(one.any(axis=1))
    harm = task.opponent.harm(task.system, state, rows, Attack(one[rows]))
    assert (harm >= calm.rho.max(axis=1)[rows] - 1e-9).all()


def test_rows_attack_as_they_do_alone_and_ahead_of_the_forecasts(case):
    task, state = case
    far = WorstCaseOpponent(horizon=task.series.n_horizon + 2).bind(task.series, task.solver)
    for opponent in (task.opponent, far):
        together = opponent.attack(task.system, state, ())[0].duration
        alone = [opponent.attack(task.system, take(state, np.array([e])), ())[0].duration[0] for e in range(5)]
        assert np.array_equal(together, alone)
    with pytest.raises(ValueError, match="horizon is 0"):
        WorstCaseOpponent(horizon=0)


def test_it_asks_for_nothing_that_is_not_allowed():
    env = marlgrid.parallel_env("case14", opponent={"name": "worst-case", "duration": 6}, max_steps=30)
    env.reset(seed=1)
    started = 0
    while env.agents:
        infos = env.step(dict.fromkeys(env.agents, 0))[4]
        started = infos["zone_0"]["attacks_total"]
    assert started >= 1
