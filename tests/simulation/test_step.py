"""The step as a whole: pure, batch first, with ends that stay ends."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from marlgrid.simulation.action import Kind, do_nothing, joint, no_attack
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import Outcome, put, take
from marlgrid.simulation.step import step
from tests.simulation.small import GivenCurrents, StillSeries, asks, commands, play, small_system, start


def leaves(record, path=""):
    """(path, array) of every array of a nested record."""
    if isinstance(record, tuple):
        for name, value in zip(record._fields, record, strict=True):
            yield from leaves(value, f"{path}.{name}")
    else:
        yield path, record


def assert_equal(one, other):
    for (path, a), (_, b) in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=path)


def random_action(rng, n_env):
    """Legal and illegal commands alike."""
    kinds = [(Kind.SET_LINE_STATUS, 4), (Kind.SET_BUS, 14), (Kind.REDISPATCH, 2), (Kind.SET_STORAGE, 1)]

    def one():
        kind, n = kinds[rng.integers(len(kinds))]
        value = rng.choice([-1.0, 1.0]) if kind <= Kind.SET_BUS else rng.uniform(-6, 6)
        return commands((kind, int(rng.integers(n)), value))

    return joint([[one(), one()] for _ in range(n_env)])


def test_arguments_are_not_written_to():
    system, rng = small_system({"NB_TIMESTEP_COOLDOWN_LINE": 2}), np.random.default_rng(0)
    solver, series = GivenCurrents(system, [10, 120, 90, 10], extra=60), StillSeries(system)
    state = start(system, solver, series, n_env=4)
    for _ in range(10):
        action = random_action(rng, 4)
        kept_state, kept_action = copy.deepcopy(state), copy.deepcopy(action)
        after, _ = step(system, solver, series, state, action, no_attack(4, 4))
        assert_equal(state, kept_state)
        assert_equal(action, kept_action)
        state = after


def test_a_batch_equals_its_single_runs():
    system, rng = small_system({"NB_TIMESTEP_COOLDOWN_SUB": 2}), np.random.default_rng(1)
    solver, series = GivenCurrents(system, [10, 120, 90, 10], extra=60), StillSeries(system)
    batch = start(system, solver, series, n_env=6)
    singles = [take(batch, np.array([e])) for e in range(6)]
    for _ in range(20):
        action = random_action(rng, 6)
        batch, ruling = step(system, solver, series, batch, action, no_attack(6, 4))
        for e in range(6):
            rows = action._replace(first=action.first[e : e + 1], last=action.last[e : e + 1])
            singles[e], own = step(system, solver, series, singles[e], rows, no_attack(1, 4))
            assert_equal(take(batch, np.array([e])), singles[e])
            np.testing.assert_array_equal(ruling.reason[e], own.reason[0])
    assert len(set(batch.outcome.tolist())) > 1  # some ended and stayed as they were, some still run


def test_time_limit_ends_the_episode_and_nothing_moves_after():
    system = small_system()
    states, _ = play(system, start(system, steps=3), *[asks(0)] * 5)
    assert [Outcome(s.outcome[0]) for s in states[2:]] == [Outcome.RUNNING, *[Outcome.TIME_LIMIT] * 3]
    assert [int(s.t[0]) for s in states] == [0, 1, 2, 3, 3, 3]
    assert_equal(states[3], states[5])


def test_take_and_put():
    system = small_system()
    state = start(system, n_env=3)
    forked = take(state, np.zeros(5, dtype=int))
    assert forked.n_env == 5
    changed = state._replace(t=state.t + 7)
    mixed = put(state, np.array([1]), take(changed, np.array([1])))
    assert mixed.t.tolist() == [0, 7, 0]


def test_simulate_forks_do_not_disturb_and_foresee_the_step():
    system = small_system()
    solver, series = GivenCurrents(system), StillSeries(system)
    state = start(system, solver, series)
    action = asks(1, (Kind.REDISPATCH, 1, 3.0))
    foreseen, _ = simulate(system, solver, series, state, action)
    happened, _ = step(system, solver, series, state, action, no_attack(1, 4))
    assert_equal(foreseen, happened)
    many, _ = simulate(system, solver, series, take(state, np.zeros(3, dtype=int)), do_nothing(3, 2), horizon=2)
    assert many.n_env == 3
    with pytest.raises(ValueError, match="horizon from 0 to 12"):
        simulate(system, solver, series, state, action, horizon=13)
