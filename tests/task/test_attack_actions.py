"""The opponent agent's numbers: lines, then busbar configurations of substations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

import marlgrid
from marlgrid.render.summary import events
from marlgrid.simulation.state import take
from marlgrid.task.attack_actions import AttackActions
from tests.simulation.small import small_system, start
from tests.task.test_masks import attacks_accepted

SYSTEM = small_system()
BOTH = replace(SYSTEM, attack=replace(SYSTEM.attack, subs=("sub_1",)))


def test_lines():
    actions = AttackActions(SYSTEM)
    assert actions.space == spaces.Discrete(4)
    attack = actions.attack([0, 3])
    assert attack.duration.tolist() == [[0, 0, 0, 0], [0, 0, 4, 0]]
    assert attack.subs is None
    assert actions.describe(0) == "attack nothing"
    assert actions.describe(2) == "attack line line_1"
    state = start(SYSTEM)
    assert actions.mask(state).tolist() == [[1, 1, 1, 1]]
    out = state.topology.topo_vect.copy()
    out[0, SYSTEM.grid.line_or_pos_topo_vect[1]] = out[0, SYSTEM.grid.line_ex_pos_topo_vect[1]] = -1
    assert actions.mask(state._replace(topology=state.topology._replace(topo_vect=out))).tolist() == [[1, 1, 0, 1]]
    for element in (4, -1, 1.0, "1"):
        with pytest.raises(ValueError, match="opponent_0 was given action"):
            actions.attack([element])


def test_substations():
    actions = AttackActions(BOTH)
    subs, bus = actions.splits
    assert actions.space.n == 4 + len(subs)
    assert set(subs) == {1}
    assert len(np.unique(bus, axis=0)) == len(bus) > 3
    attack = actions.attack([1, 5, 0], np.array([4, 3, 2]))
    assert attack.duration.tolist() == [[4, 0, 0, 0], [0] * 4, [0] * 4]
    assert attack.subs.duration.tolist() == [[0, 0, 0], [0, 3, 0], [0, 0, 0]]
    first, last = BOTH.grid.sub_start[1:3]
    assert (attack.subs.bus[1, first:last] > 0).all()
    assert not np.delete(attack.subs.bus[1], range(first, last)).any()
    assert actions.describe(4).startswith("attack substation sub_1: busbars [1, 1")


def test_the_mask_is_what_the_rules_accept():
    env = marlgrid.parallel_env("case14", opponent="agent", attack={"subs": ["sub_1", "sub_3"], "cooldown": 5})
    _, infos = env.reset(seed=4)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(30):
        mask = infos["opponent_0"]["action_mask"]
        assert (mask == attacks_accepted(env.task, take(env.current, np.array([0])))).all()
        seen.add(mask.all())
        choice = int(rng.choice(np.flatnonzero(mask)))
        _, _, _, _, infos = env.step(dict.fromkeys(env.agents, 0) | {"opponent_0": choice})
        if not env.agents:
            _, infos = env.reset()
    assert seen == {True, False}


def test_an_attacked_substation_shows_its_steps():
    """In the observation, in the vectors of who sees it, and on the picture's list."""
    env = marlgrid.parallel_env(
        "case14",
        opponent="agent",
        attack={"subs": ["sub_1"], "lines": [], "max_duration": 4},
        observation={"scope": "local", "attributes": ["attack_remaining_sub"], "normalise": False},
    )
    env.reset(seed=4)
    owner = env.task.system.zones.agents[env.task.system.zones.labels[1]]
    seen = env.step(dict.fromkeys(env.agents, 0) | {"opponent_0": 1})[0]
    for left in (3, 2, 1, 0, 0):
        assert env.observe_grid().attack_remaining_sub[1] == left
        assert seen[owner].max() == left
        assert all(seen[agent].max() == 0 for agent in env.task.zones if agent != owner)
        told = [text for _, text in events(env.task.system, env.current)]
        assert (f"sub_1 attacked, {left} more steps" in told) == (left > 0)
        seen = env.step(dict.fromkeys(env.agents, 0))[0]
