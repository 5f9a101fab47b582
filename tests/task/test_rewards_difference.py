"""Difference rewards against the same step taken again by hand, without each zone's action."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from marlgrid.simulation.action import Action, Attack, do_nothing
from marlgrid.simulation.state import take
from marlgrid.simulation.step import step
from marlgrid.task.opponents import RandomOpponent
from marlgrid.task.opponents.tape import begun
from marlgrid.task.reward import CombinedScaledReward, NegativeMean, reward_from, values_of
from marlgrid.task.rewards_difference import DifferenceReward
from tests.simulation.small import asks, play, small_system, start
from tests.task.tasks import case_task, masked_draw, rest, small_task

MIXED = {"survival": 1.0, "lines_capacity": 0.5, "gameplay": 0.25}
SYSTEM = small_system()


def played(task, n_env: int, n_step: int):
    """(before, choices, after, outputs) of random steps of a batch."""
    rng = np.random.default_rng(3)
    episode, outputs = task.reset(np.arange(n_env))
    for _ in range(n_step):
        choices = masked_draw(rng, outputs.masks, n_env)
        after, outputs = task.step(episode, choices)
        yield episode, choices, after, outputs
        episode = after


@pytest.mark.parametrize("name", ["case5", "case14"])
def test_equals_the_step_taken_again(name):
    """Brute force: one fork per zone through the task itself, with the attacker's memory of the step."""
    team = reward_from(MIXED)
    task = case_task(name, reward=DifferenceReward(reward=team), opponent=RandomOpponent())
    plain = case_task(name, reward=team, opponent=RandomOpponent())
    compared = 0
    for episode, choices, _, outputs in played(task, 8, 12):
        whole = np.mean(list(plain.step(episode, choices)[1].rewards.values()), axis=0)
        for zone in task.zones:
            less = plain.step(episode, choices | {zone: [0] * 8})[1].rewards
            expected = whole - np.mean(list(less.values()), axis=0)
            assert outputs.rewards[zone] == pytest.approx(expected, abs=1e-9)
            idle = np.array(choices[zone]) == 0
            assert (outputs.rewards[zone][idle] == 0).all()
            compared += int((np.abs(expected) > 1e-6).sum())
    assert compared >= 10


def test_attacks_and_injections_stay():
    """An attack of the step, on a line or a substation, is part of the step that is taken again."""
    task = small_task(reward=DifferenceReward(reward=lambda *step: step[4].attacked.line.sum(axis=1)))
    episode, _ = task.reset([0, 1])
    off = task.make_action({"set_line_status": (3, -1)})
    _, outputs = task.step(episode, {"zone_0": [off, off], "zone_1": [0, 0], "opponent_0": [1, 0]})
    assert outputs.rewards["zone_0"].tolist() == [0, 0]


def test_attacks_read_off_two_states_do_the_same_again():
    before = start(SYSTEM)
    attack = Attack(np.array([[0, 3, 0, 0]], dtype=np.int32))
    (_, after), _ = play(SYSTEM, before, do_nothing(1, 2), attack=attack)
    assert begun(SYSTEM, before, after).duration.tolist() == [[0, 3, 0, 0]]
    (_, later), _ = play(SYSTEM, after, do_nothing(1, 2))
    assert begun(SYSTEM, after, later).duration.tolist() == [[0, 0, 0, 0]]


def test_what_saves_and_what_loses_the_grid():
    task = small_task(reward=DifferenceReward(reward=reward_from("survival")))
    episode, _ = task.reset(0)
    cut = task.make_action({"set_bus": {"loads_id": (1, -1)}})
    _, outputs = task.step(episode, rest(task) | {"zone_1": [cut]})
    assert (outputs.rewards["zone_0"], outputs.rewards["zone_1"]) == (0, -11)
    assert outputs.rewards["opponent_0"] == 5.5


def test_over_is_over():
    task = small_task(reward="difference")
    episode, _ = task.reset(0)
    cut = rest(task) | {"zone_1": [task.make_action({"set_bus": {"loads_id": (1, -1)}})]}
    episode, _ = task.step(episode, cut)
    _, outputs = task.step(episode, cut)
    assert [float(outputs.rewards[zone][0]) for zone in task.zones] == [0, 0]


def test_foreseen_steps_are_taken_again_on_the_forecast():
    """What ``simulate`` tells must not depend on what the series will really bring."""
    task = small_task(reward=DifferenceReward(reward=lambda *step: step[4].injections.load_p.sum(axis=1)))
    before = task.reset(0)[0].state
    action = asks(0, (0, 3, -1.0))
    foreseen = before.injections._replace(load_p=before.injections.load_p + 7.0)
    from marlgrid.simulation.step import advance

    after, ruling = advance(task.system, task.solver, before, foreseen, action, Attack(np.zeros((1, 4), np.int32)))
    assert values_of(task.reward, task.system, before, action, ruling, after).tolist() == [[0, 0]]


def test_mixes_are_bound_too():
    mixed = reward_from({"difference": 1.0, CombinedScaledReward(reward_from("difference")): 1.0})
    task = small_task(reward=mixed, opponent_reward=NegativeMean(reward_from("difference")))
    episode, _ = task.reset(0)
    _, outputs = task.step(episode, rest(task) | {"zone_0": [task.make_action({"set_line_status": (3, -1)})]})
    assert all(np.isfinite(value).all() for value in outputs.rewards.values())
    assert pickle.loads(pickle.dumps(reward_from("difference"))) == reward_from("difference")
    with pytest.raises(ValueError, match="takes a power flow"):
        asked, before = asks(0, (0, 3, -1.0)), start(SYSTEM)
        after, ruling = step(SYSTEM, task.solver, task.series, before, asked, Attack(np.zeros((1, 4), np.int32)))
        values_of(reward_from("difference"), SYSTEM, before, asked, ruling, after)


def test_rows_of_a_batch_do_not_mix():
    task = case_task("case5", reward=reward_from("difference"), opponent=RandomOpponent())
    for episode, choices, after, outputs in played(task, 4, 6):
        action = task.actions.joint([choices[zone] for zone in task.zones])
        for env in range(4):
            one = Action(action.commands, action.first[[env]], action.last[[env]])
            row, its = take(episode.state, np.array([env])), take(after.state, np.array([env]))
            _, ruling = step(task.system, task.solver, task.series, row, one, begun(task.system, row, its))
            alone = values_of(task.reward, task.system, row, one, ruling, its)[0]
            assert [outputs.rewards[zone][env] for zone in task.zones] == pytest.approx(alone.tolist(), abs=1e-9)
