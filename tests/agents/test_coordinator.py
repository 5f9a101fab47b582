"""The coordinator lets one zone act, the right one."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Coordinator, Team
from agents.do_nothing import Idle
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import NO_COMMANDS, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import take


class Always:
    """Proposes the same in every step."""

    def __init__(self, commands):
        self.commands = commands

    def initial_memory(self, n_env):
        return np.zeros(n_env)

    def act(self, seen, mask, memory):
        return [self.commands] * seen.n_env, memory + 1


def proposals(task):
    """Each zone turns one generator up or down, or charges a storage."""
    grid, zones = task.system.grid, task.system.zones
    found = {}
    for zone, agent in enumerate(task.zones):
        gen = next(g for g in range(grid.n_gen) if (zones.gen[g] == zone and grid.gen_redispatchable[g]) or
                   (zones.gen[g] == zone and not grid.gen_redispatchable[zones.gen == zone].any()))  # fmt: skip
        if grid.gen_redispatchable[gen]:
            found[agent] = task.make_action({"redispatch": [(gen, float(grid.gen_max_ramp_up[gen]) / 2)]})
        else:
            found[agent] = task.make_action({"curtail": [(gen, 0.2)]})
    return found


def begin(task, n=12):
    scenario = np.arange(n) + task.series.splits["train"].start
    return task.reset(np.arange(n), scenario, np.arange(n) * 100 + 120, np.full(n, 50))


def spoke(choices, zone):
    return np.array([len(answer.kind) > 0 for answer in choices[zone]])


def test_exactly_the_zone_whose_proposal_leaves_the_lowest_loading_acts():
    task = make_task("case14")
    episode, outputs = begin(task)
    asked = proposals(task)
    coordinator = Coordinator(Team({zone: Always(c) for zone, c in asked.items()}), margin=0.0, calm=0.0)
    memory = coordinator.initial_memory(task, 12)
    choices, memory = coordinator.act(task, episode, outputs, memory)
    assert (memory["zone_0"] == 1).all()
    rivals = [[NO_COMMANDS] * 3] + [[asked[z] if z == zone else NO_COMMANDS for z in task.zones] for zone in task.zones]
    loading = []
    for commands in rivals:
        after, ruling = simulate(
            task.system, task.foreseeing, task.series, take(episode.state, np.arange(12)), joint([commands] * 12)
        )
        fine = ~after.lost & ruling.accepted.all(axis=1)
        loading.append(np.where(fine, after.rho.max(axis=1), np.inf))
    best = np.argmin(loading, axis=0)
    acts = np.stack([spoke(choices, zone) for zone in task.zones])
    assert (acts.sum(axis=0) <= 1).all()
    np.testing.assert_array_equal(np.where(acts.any(axis=0), acts.argmax(axis=0) + 1, 0), best)
    assert len(set(best.tolist())) > 1


def test_by_priority_the_zone_with_the_most_loaded_line_comes_first():
    task = make_task("case14")
    episode, outputs = begin(task)
    team = Team({zone: Always(c) for zone, c in proposals(task).items()})
    coordinator = Coordinator(team, choose="priority")
    choices, _ = coordinator.act(task, episode, outputs, coordinator.initial_memory(task, 12))
    acts = np.stack([spoke(choices, zone) for zone in task.zones])
    assert (acts.sum(axis=0) == 1).all()
    worst = episode.state.rho.argmax(axis=1)
    zones = task.system.zones
    for row, zone in enumerate(acts.argmax(axis=0)):
        assert zone in (zones.line_or[worst[row]], zones.line_ex[worst[row]])


def test_nobody_acts_where_nobody_asks_and_a_blackout_is_never_chosen():
    task = make_task("case14")
    episode, outputs = begin(task)
    quiet = Coordinator(Team({"zones": Idle()}))
    choices, _ = quiet.act(task, episode, outputs, quiet.initial_memory(task, 12))
    assert not any(spoke(choices, zone).any() for zone in task.zones)
    load = int(np.flatnonzero(task.system.zones.load == 0)[0])
    cut = task.make_action({"set_bus": {"loads_id": [(load, -1)]}})
    fatal = Coordinator(Team({"zone_0": Always(cut), "zones": Idle()}), calm=10.0)
    choices, _ = fatal.act(task, episode, outputs, fatal.initial_memory(task, 12))
    assert not spoke(choices, "zone_0").any()
    with pytest.raises(ValueError, match="choose is 'vote'; choose from"):
        Coordinator(choose="vote")
