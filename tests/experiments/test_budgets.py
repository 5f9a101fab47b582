"""Attack budgets: an attacker that strikes whenever it may does so at the pace that the budget is named after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents import Reconnect
from experiments.budgets import BUDGETS, HOURS_APART, changes, changes_in
from experiments.settings import settings_from
from experiments.tasks import task_of
from marlgrid.env.registry import make_task
from marlgrid.task.opponents.tape import record

N_STEP = 600
EXPECTED = {"none": [], "day-1": [0, 288, 576], "day-2": [0, 144, 288, 432, 576], "4-hours": list(range(0, 600, 48))}


@pytest.mark.parametrize("name", list(BUDGETS))
def test_an_attacker_that_always_attacks_keeps_the_pace(name):
    """Also with the longest attack each time, and without the cooldown, when the budget alone sets the pace."""
    _, attacks = played(BUDGETS[name])
    for scenario in range(3):
        own = [attack for attack in attacks if attack.scenario == scenario]
        assert [attack.step for attack in own] == EXPECTED[name]
        assert {attack.duration for attack in own[:-1]} <= {48}
    paid, _ = played({**BUDGETS[name], "cooldown": 0})
    assert (paid[-1].attack.starts == len(EXPECTED[name])).all()


def played(rules):
    """States and tape of episodes of a grid that nothing trips, its lines put back as soon as possible."""
    task = make_task("case14", opponent="random", attack=rules, parameters={"no_overflow_disconnection": True})
    episode, outputs = task.reset(np.arange(3), np.arange(3), 0, N_STEP)
    states, team = [episode.state], Reconnect(safe=np.inf)
    while episode.state.running.any():
        episode, outputs = task.step(episode, team.act(task, episode, outputs, ())[0])
        states.append(episode.state)
    assert (episode.state.t == N_STEP).all()
    return states, record(task.system, states)


def test_budgets_follow_the_case_and_refuse_what_is_unknown():
    system = make_task("case5", attack={"max_duration": 12}).system
    made = changes_in(system, "day-2")
    assert (made["max_duration"], made["cooldown"], made["initial_budget"]) == (12, 144, 12.0)
    assert made["budget_per_step"] * 144 == pytest.approx(12)
    assert changes("day-1", 16, 15.0)["cooldown"] == 96
    assert changes("case") == {}
    assert set(BUDGETS) == set(HOURS_APART)
    for name, terms in BUDGETS.items():
        rules = task_of(settings_from(["--attack-budget", name]), "random", "train").system.attack
        assert rules == replace(make_task("case14").system.attack, **terms)
    with pytest.raises(ValueError, match="choose from"):
        changes("hourly")
    with pytest.raises(ValueError, match="whole number"):
        changes("4-hours", 5, 7.0)
