"""How often ``simulate`` may be asked: per step and per episode, over all observations of an environment."""

from __future__ import annotations

import pytest

import marlgrid
from marlgrid.task.allowance import SimulationLimitError


def rest(env):
    env.step(dict.fromkeys(env.agents, 0))


def test_per_step():
    env = marlgrid.parallel_env("case5", parameters={"max_simulate_per_step": 2}, max_steps=10)
    env.reset(seed=0)
    ahead, _ = env.observe_grid().simulate()
    ahead.simulate()
    for observation in (env.observe_grid(), env.observe_zone(env.agents[0])):
        with pytest.raises(SimulationLimitError, match="2 times in this step already, and max_simulate_per_step is 2"):
            observation.simulate()
    rest(env)
    env.observe_grid().simulate()


def test_per_episode():
    env = marlgrid.gym_env("case5", parameters={"max_simulate_per_episode": 2}, max_steps=10)
    for _ in range(2):
        env.reset(seed=0)
        for _ in range(2):
            env.observe_grid().simulate()
            env.step(0)
        with pytest.raises(SimulationLimitError, match="2 times in this episode already"):
            env.observe_grid().simulate()


def test_none_at_all_and_any_number():
    env = marlgrid.parallel_env("case5", parameters={"max_simulate_per_step": 0}, max_steps=10)
    env.reset(seed=0)
    with pytest.raises(SimulationLimitError, match="raise the parameter"):
        env.observe_grid().simulate()
    free = marlgrid.parallel_env("case5", max_steps=10)
    free.reset(seed=0)
    for _ in range(5):
        free.observe_grid().simulate()


def test_a_call_that_is_no_question_is_not_counted():
    env = marlgrid.parallel_env("case5", parameters={"max_simulate_per_step": 1}, max_steps=10)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="unknown key"):
        env.observe_grid().simulate({"nothing_known": 1})
    env.observe_grid().simulate()
