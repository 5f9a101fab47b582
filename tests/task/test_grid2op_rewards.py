"""Rewards and observation attributes against Grid2Op's own, step by step on its data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.features import VectorObservation
from marlgrid.task.observation import Observation
from marlgrid.task.reward import reward_from, values_of
from marlgrid.task.task import Task

REWARDS = ("LinesCapacityReward", "L2RPNReward", "RedispReward", "EconomicReward", "FlatReward")
PLAYED = [
    {},
    {"redispatch": [(0, 2.0)]},
    {"set_line_status": [(3, -1)]},
    {},
    {"set_bus": {"substations_id": [(1, (1, 2, 2, 1, 2, 2))]}},
    {"curtail": [(2, 0.5)]},
    {"set_line_status": [(3, 1), (4, -1)]},  # one line too many
    {"set_bus": {"loads_id": [(0, -1)]}},  # a load on no busbar: game over
]
NOT_OURS = ("alarm", "alert", "attention", "attack")
CLOCK = ("year", "month", "day", "hour_of_day", "minute_of_hour", "day_of_week")
"""Grid2Op shows its data one interval late."""


@pytest.fixture(scope="module")
def reference():
    grid2op = pytest.importorskip("grid2op")
    lightsim2grid = pytest.importorskip("lightsim2grid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = {name: getattr(grid2op.Reward, name) for name in REWARDS}
        return grid2op.make(
            "l2rpn_case14_sandbox", test=True, backend=lightsim2grid.LightSimBackend(), other_rewards=classes
        )


def ours():
    """A task that plays the same data as one zone, and the list of all rewards of its steps."""
    case = load_case("l2rpn_case14_sandbox", zones=1)
    kept = []

    def recorder(*step):
        kept.append({name: values_of(reward_from(name), *step)[0, 0] for name in REWARDS})
        return np.zeros((1, 1))

    solver = power_flow("lightsim", case.system.grid)
    task = Task(
        *case, solver, DiscreteActions(case.system), VectorObservation(*case), recorder, masks=False, split="train"
    )
    return task, kept


def compare(observation: Observation, expected) -> None:
    for name in expected.attr_list_vect:
        if name in CLOCK or any(word in name for word in NOT_OURS):
            continue
        mine, theirs = np.atleast_1d(getattr(observation, name)), np.atleast_1d(getattr(expected, name))
        np.testing.assert_allclose(mine.astype(float), theirs.astype(float), rtol=2e-5, atol=2e-3, err_msg=name)


def test_rewards_and_attributes_are_grid2ops(reference):
    task, kept = ours()
    expected = reference.reset(options={"time serie id": 0})
    episode, _ = task.reset(0, scenario=0)
    compare(Observation(task, episode.state), expected)
    for keys in PLAYED:
        expected, _, done, info = reference.step(reference.action_space(keys))
        episode, outputs = task.step(episode, {"zone_0": [task.make_action(keys)]})
        assert bool(outputs.terminated[0]) == done
        for name in REWARDS:
            assert kept[-1][name] == pytest.approx(float(info["rewards"][name]), rel=1e-5, abs=1e-6), (keys, name)
        compare(Observation(task, episode.state), expected)
    assert done
