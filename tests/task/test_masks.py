"""Masks are exact: what they allow the rules accept, what they forbid the rules refuse, wherever an episode goes."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.action import Action, no_attack
from marlgrid.simulation.rules import enforce
from marlgrid.simulation.state import take
from marlgrid.task.actions import DiscreteActions, MultiDiscreteActions
from marlgrid.task.menu import Menu
from tests.task.tasks import case_task, masked_draw, rest, small_task


def forked(state, n: int):
    """One row per candidate of what ``enforce`` reads."""
    read = ("t", "topology", "counters", "dispatch", "attack", "attacked")
    return state._replace(**{name: take(getattr(state, name), np.zeros(n, dtype=int)) for name in read})


def accepted_alone(task, table, state) -> np.ndarray:
    """(n_action,) bool: the verdict of ``enforce`` on each entry of a table, played by its zone while others rest."""
    n = len(table.zone)
    first = np.zeros((n, task.system.n_zone), dtype=np.int32)
    last = first.copy()
    rows = np.arange(n)
    first[rows, table.zone], last[rows, table.zone] = table.start[:-1], table.start[1:]
    ruling = enforce(
        task.system, forked(state, n), Action(table.commands, first, last), no_attack(n, task.system.grid.n_line)
    )
    return ruling.accepted[rows, table.zone]


def attacks_accepted(task, state) -> np.ndarray:
    """(n_action,) bool: the verdict of ``enforce`` on each action of the opponent."""
    n = task.action_space("opponent_0").n
    attack = task.attack_actions.attack(np.arange(n))
    nothing = np.zeros((n, task.system.n_zone), dtype=np.int32)
    return ~enforce(
        task.system, forked(state, n), Action(task.actions.table.commands, nothing, nothing), attack
    ).attack_refused


def walk(task, n_step: int, seed: int = 0):
    """States of random play, most of it masked, some of it not; a lost grid starts again."""
    rng = np.random.default_rng(seed)
    episode, outputs = task.reset(seed)
    for step in range(n_step):
        yield episode.state, outputs
        choices = masked_draw(rng, outputs.masks, 1) if rng.random() < 0.7 else rest(task)
        if rng.random() < 0.1:
            choices = {agent: [int(task.action_space(agent).n * rng.random())] for agent in task.agents}
        episode, outputs = task.step(episode, choices)
        if not episode.state.running[0]:
            episode, outputs = task.reset(seed + step + 1)


def check(task, n_step: int) -> None:
    table = task.actions.table
    for state, outputs in walk(task, n_step):
        masks = np.concatenate([outputs.masks[agent][0] for agent in task.zones])
        expected = accepted_alone(task, table, state)
        wrong = np.flatnonzero(masks != expected)
        assert len(wrong) == 0, [(int(table.zone[a]), int(masks[a])) for a in wrong]
        assert all(mask[0, 0] == 1 for mask in outputs.masks.values()), "doing nothing is always allowed"
        assert (outputs.masks["opponent_0"][0] == attacks_accepted(task, state)).all()


@pytest.mark.parametrize(("name", "n_step"), [("case5", 400), ("case14", 400), ("case118", 30)])
def test_masks_are_exact(name, n_step):
    check(case_task(name), n_step)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["case5", "case14", "case118"])
def test_masks_are_exact_over_ten_thousand_steps(name):
    check(case_task(name), 10_000)


def test_masks_with_toggles_and_padding_are_exact():
    check(case_task("case14", lambda s: DiscreteActions(s, Menu(line="both"), pad=True)), 100)


def test_masks_say_something():
    task = case_task("case14")
    refused = sum(int((mask == 0).sum()) for _, out in walk(task, 100) for mask in out.masks.values())
    assert refused > 1000


def test_component_masks_are_exact():
    task = case_task("case14", MultiDiscreteActions)
    rng = np.random.default_rng(1)
    episode, outputs = task.reset(1)
    for step in range(60):
        expected = accepted_alone(task, task.actions.table, episode.state)
        shown = np.concatenate([part[0] for agent in task.zones for part in outputs.masks[agent]])
        assert (shown == expected).all()
        choices = {
            agent: [task.action_space(agent).sample(tuple(m[0] for m in outputs.masks[agent]))] for agent in task.zones
        }
        choices["opponent_0"] = [int(rng.choice(np.flatnonzero(outputs.masks["opponent_0"][0])))]
        episode, outputs = task.step(episode, choices)
        if not episode.state.running[0]:
            episode, outputs = task.reset(step + 2)


def test_masks_are_computed_only_where_wanted():
    task = small_task(masks=False)
    episode, outputs = task.reset(0)
    assert outputs.masks == {}
    assert set(task.action_masks(episode.state)) == set(task.agents)
