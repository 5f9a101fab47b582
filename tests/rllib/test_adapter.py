"""PettingZoo to RLlib: ends, calm steps, state."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.rllib.adapter import RLlibParallelEnv


def play(env, steps):
    out = None
    for _ in range(steps):
        out = env.step(dict.fromkeys(env.possible_agents, 0))
    return out


def test_a_time_limit_is_no_termination(counting_env):
    env = RLlibParallelEnv(counting_env(limit=5))
    env.reset(seed=1)
    _, _, terminated, truncated, _ = play(env, 4)
    assert not terminated["__all__"]
    assert not truncated["__all__"]
    _, _, terminated, truncated, _ = play(env, 1)
    # a True for each agent as well would make RLlib store the end as a termination
    assert truncated == {"__all__": True}
    assert terminated == {"zone_0": False, "zone_1": False, "__all__": False}


def test_a_lost_grid_is_a_termination(counting_env):
    env = RLlibParallelEnv(counting_env(limit=5, lost_at=5))
    env.reset(seed=1)
    _, _, terminated, truncated, _ = play(env, 5)
    assert terminated == {"zone_0": True, "zone_1": True, "__all__": True}
    assert truncated == {"__all__": False}


def test_rllib_keeps_the_end_apart(counting_env):
    """The oracle: what RLlib's own episode makes of the flags."""
    from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

    for lost_at, lost in ((None, False), (5, True)):
        env = RLlibParallelEnv(counting_env(limit=5, lost_at=lost_at))
        episode = MultiAgentEpisode(observation_space=env.observation_spaces, action_space=env.action_spaces)
        observations, infos = env.reset(seed=1)
        episode.add_env_reset(observations=observations, infos=infos)
        for _ in range(5):
            actions = dict.fromkeys(env.possible_agents, 0)
            observations, rewards, terminated, truncated, infos = env.step(actions)
            episode.add_env_step(observations, actions, rewards, infos, terminateds=terminated, truncateds=truncated)
        assert episode.is_done
        for own in episode.agent_episodes.values():
            assert (own.is_terminated, own.is_truncated) == (lost, not lost)


def test_calm_steps_are_played_without_asking(counting_env):
    calm_after = 3
    env = RLlibParallelEnv(counting_env(limit=10, loading=lambda t: 0.5 if calm_after <= t < 7 else 1.0), act_above=0.9)
    env.reset(seed=1)
    play(env, 2)
    assert env.par_env.t == 2
    before = env.par_env.rng.bit_generator.state
    _, rewards, *_ = play(env, 1)
    assert env.par_env.t == 7
    twin = counting_env(limit=10)
    twin.reset(seed=1)
    total = 0.0
    for t in range(7):
        _, own, *_ = twin.step({"zone_0": 0, "zone_1": 0})
        total += own["zone_0"] if t >= 2 else 0.0
    assert before is not None
    assert rewards["zone_0"] == total


def test_frozen_zones_play_and_the_opponent_is_asked_when_it_may_attack():
    """Step by step what an environment does in which somebody else asks everybody."""
    import marlgrid

    def first_legal(_, mask):
        return np.array([np.flatnonzero(mask[0])[-1]])

    def made():
        return marlgrid.parallel_env(
            "case14",
            opponent="agent",
            mask="observation",
            max_steps=40,
            actions={"kinds": ("redispatch",), "redispatch": (-0.1, 0.1)},
            parameters={"no_overflow_disconnection": True},
            attack={"max_duration": 3, "cooldown": 5},
        )

    zones = ("zone_0", "zone_1", "zone_2")
    env, twin = RLlibParallelEnv(made(), frozen=dict.fromkeys(zones, first_legal)), made()
    assert env.possible_agents == ["opponent_0"]
    seen, infos = env.reset(seed=1)
    there, _ = twin.reset(seed=1)
    assert set(seen) == set(infos) == {"opponent_0"}
    steps = asked = 0
    while env.par_env.agents:
        assert seen["opponent_0"]["action_mask"].sum() > 1
        seen, rewards, terminated, _, _ = env.step({"opponent_0": 1})
        total, choice, asked = 0.0, 1, asked + 1
        while True:
            chosen = {zone: int(first_legal(None, there[zone]["action_mask"][None])[0]) for zone in zones}
            there, own, *_ = twin.step({**chosen, "opponent_0": choice})
            total, choice, steps = total + own["opponent_0"], 0, steps + 1
            if not twin.agents or there["opponent_0"]["action_mask"].sum() > 1:
                break
        assert rewards == {"opponent_0": pytest.approx(total)}
        np.testing.assert_array_equal(seen["opponent_0"]["observation"], there["opponent_0"]["observation"])
    assert not twin.agents
    assert set(terminated) == {"opponent_0", "__all__"}
    assert steps > asked > 2


def test_in_a_calm_first_step_only_idling_is_open(counting_env):
    env = RLlibParallelEnv(counting_env(loading=lambda t: 0.5 if t == 0 else 1.0), act_above=0.9)
    observations, _ = env.reset(seed=1)
    assert observations["zone_0"]["action_mask"].tolist() == [1, 0, 0, 0]
    observations, *_ = env.step({"zone_0": 0, "zone_1": 0})
    assert observations["zone_0"]["action_mask"].sum() >= 1


def test_the_state_goes_along_for_a_central_critic(counting_env):
    env = RLlibParallelEnv(counting_env(), with_state=True)
    observations, _ = env.reset(seed=1)
    assert env.observation_space.contains(observations)
    assert observations["zone_0"]["state"].shape == (7,)


def test_an_opponent_agent_cannot_be_skipped(counting_env):
    with pytest.raises(ValueError, match="leave act_above at 0"):
        RLlibParallelEnv(counting_env(opponent="agent"), act_above=0.9)


def test_masks_must_be_in_the_observation():
    from marlgrid.env.registry import parallel_env

    with pytest.raises(ValueError, match='mask="observation"'):
        RLlibParallelEnv(parallel_env("case5", mask="info"))
