"""Agents by name."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Coordinator, Greedy, Learned, OfZone, Team, agent_from, policy_from
from agents.do_nothing import Idle
from agents.learned import Trained
from agents.registry import AGENTS, POLICIES
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.rllib.policies import save_policies


def module_state(task, zone):
    n, m = task.observation_space(zone).shape[0], int(task.action_space(zone).n)
    return {
        "actor.0.weight": np.zeros((m, n), np.float32), "actor.0.bias": np.arange(m, dtype=np.float32),
        "observation_mean": np.zeros(n, np.float32), "observation_std": np.ones(n, np.float32),
        "action_components": np.array([m]), "act_above": np.float32(0.9),
    }  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path):
    task = make_task("case5")
    save_policies(tmp_path, {zone: module_state(task, zone) for zone in task.zones})
    return str(tmp_path)


@pytest.mark.parametrize("name", sorted({*AGENTS, *POLICIES}))
def test_every_name_plays(name):
    task = make_task("case5", opponent="random", split="validation")
    starts = Starts.of_split(task, "validation", 3, 6)
    results = evaluate(task, agent_from(name), starts)
    assert results.survived_steps.max() >= 1


def test_names_folders_and_policies_by_zone(checkpoint):
    task = make_task("case5")
    assert isinstance(agent_from("greedy"), Greedy)
    assert isinstance(agent_from("coordinator"), Coordinator)
    assert isinstance(agent_from(checkpoint), Learned)
    assert isinstance(agent_from("zone-greedy").policy("zone_1"), OfZone)
    mixed = agent_from(f"zone_0={checkpoint},zones=zone-greedy")
    assert isinstance(mixed, Team)
    assert isinstance(mixed.policy("zone_0"), Trained)
    assert isinstance(mixed.policy("zone_1"), OfZone)
    results = evaluate(task, mixed, Starts.of_split(task, "validation", 2, 4))
    assert (results.survived_steps >= 1).all()
    assert isinstance(policy_from("do-nothing", "zone_0"), Idle)
    # of a checkpoint with a network per zone each takes its own, but where another policy is named
    own = agent_from(f"zones={checkpoint}")
    assert [own.policy(zone).network.n_observation for zone in task.zones] == [
        task.observation_space(zone).shape[0] for zone in task.zones
    ]
    assert own.policy("zone_0") is not own.policy("zone_1")
    mixed = agent_from(f"zones={checkpoint},zone_1=do-nothing")
    assert isinstance(mixed.policy("zone_0"), Trained)
    assert isinstance(mixed.policy("zone_1"), Idle)


def test_what_is_unknown_is_told_with_what_there_is(checkpoint):
    with pytest.raises(ValueError, match=r"there is no agent 'clever': choose from .*'greedy'.*'zone-expert'"):
        agent_from("clever")
    with pytest.raises(ValueError, match=r"there is no policy 'greedy' of a zone: choose from .*'zone-greedy'"):
        agent_from("zone_0=greedy,zones=do-nothing")
    with pytest.raises(ValueError, match="give zone=policy"):
        agent_from("zone_0=do-nothing,zone-greedy")
    with pytest.raises(KeyError, match="no policy for zone_7"):
        agent_from(f"zone_7={checkpoint}")
    with pytest.raises(FileNotFoundError, match="no RLlib checkpoint"):
        agent_from("agents")
