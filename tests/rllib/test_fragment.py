"""Decisions of a batch of episodes become RLlib's episodes without losing a reward or an observation."""

from __future__ import annotations

import numpy as np

from marlgrid.rllib.fragment import TERMINATED, TRUNCATED, Fragment

AGENTS = ["zone_0", "zone_1"]


def records(rows, t):
    """What agent a sees and does in environment e at step t: 100 e + t, plus a half for the second agent."""
    return {
        agent: {
            "observation": np.array([[100.0 * e + t + 0.5 * k] for e in rows]),
            "action_mask": np.ones((len(rows), 3), np.int8),
            "actions": np.array([(e + t) % 3 for e in rows]),
            "action_logp": np.array([-1.0 * t for _ in rows]),
            "action_dist_inputs": np.zeros((len(rows), 3)),
        }
        for k, agent in enumerate(AGENTS)
    }


def rewards(values):
    return {agent: np.array(values, dtype=float) + 10 * k for k, agent in enumerate(AGENTS)}


def last(value):
    return {agent: np.array([value]) for agent in AGENTS}


def test_rewards_of_calm_steps_belong_to_the_decision_before():
    fragment = Fragment(AGENTS, 2)
    fragment.earn(rewards([5, 5]))  # before any decision: nobody's
    fragment.decide(np.array([0, 1]), records([0, 1], 0))
    fragment.earn(rewards([1, 2]))
    fragment.earn(rewards([3, 4]))
    fragment.decide(np.array([0]), records([0], 2))
    fragment.earn(rewards([7, 8]))
    fragment.end(0, TERMINATED, last(-1.0))
    fragment.end(1, TRUNCATED, last(-2.0))
    episodes, following = fragment.cut({"zone_0": "a", "zone_1": "b"})
    assert following.n == 0
    by_key = {(e.agent_id, e.is_terminated): e for e in episodes}
    assert len(by_key) == 4
    first = by_key["zone_0", True]
    assert list(first.get_rewards()) == [4.0, 7.0]
    assert first.get_observations()["observation"].ravel().tolist() == [0.0, 2.0, -1.0]
    assert list(first.get_actions()) == [0, 2]
    assert first.module_id == "a"
    second = by_key["zone_1", False]
    assert second.is_truncated
    assert list(second.get_rewards()) == [2 + 4 + 8 + 30.0]
    assert second.get_observations()["observation"].ravel().tolist() == [100.5, -2.0]


def test_open_decisions_go_on_in_the_next_fragment():
    fragment = Fragment(AGENTS, 2)
    for t in range(3):
        fragment.decide(np.array([0, 1]), records([0, 1], t))
        fragment.earn(rewards([t, 10 * t]))
    assert (fragment.n, fragment.n_closed) == (6, 4)
    episodes, following = fragment.cut({"zone_0": "a"})
    assert sorted(len(e) for e in episodes) == [2, 2]
    for e in episodes:
        assert not e.is_done  # cut, so the value of the last observation is bootstrapped
        assert e.get_observations()["observation"].ravel()[-1] % 100 == 2
    following.earn(rewards([100, 200]))
    following.end(0, TERMINATED, last(9.0))
    following.decide(np.array([1]), records([1], 5))
    episodes, _ = following.cut({"zone_0": "a"})
    found = {e.is_terminated: list(e.get_rewards()) for e in episodes}
    assert found == {True: [2 + 100.0], False: [20 + 200.0]}


def test_no_reward_is_lost_over_many_cuts():
    rng = np.random.default_rng(0)
    n_env, fragment, handed_out, paid = 5, Fragment(AGENTS, 5), 0.0, 0.0
    deciding = np.zeros(n_env, bool)
    decisions = seen = 0
    for t in range(400):
        rows = np.flatnonzero(rng.random(n_env) < 0.6)
        if len(rows):
            fragment.decide(rows, records(rows.tolist(), t))
            deciding[rows] = True
            decisions += len(rows)
        values = rng.normal(size=n_env)
        fragment.earn(dict.fromkeys(AGENTS, values))
        paid += values[deciding].sum()
        for env in np.flatnonzero(rng.random(n_env) < 0.1):
            fragment.end(env, TERMINATED, last(0.0))
            deciding[env] = False
        if t % 17 == 0 or t == 399:
            if t == 399:
                for env in range(n_env):
                    fragment.end(env, TRUNCATED, last(0.0))
            episodes, fragment = fragment.cut({"zone_1": "b"})
            handed_out += sum(e.get_rewards().sum() for e in episodes)
            seen += sum(len(e) for e in episodes)
    assert seen == decisions
    assert np.isclose(handed_out, paid)
