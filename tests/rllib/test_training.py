"""RLlib trains with our modules: no illegal action, checkpoints give the same policies, errors instead of hangs."""

from __future__ import annotations

import functools

import numpy as np
import pytest

pytestmark = [
    # RLlib's own code and what it calls, in this process
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SMALL = {"train_batch_size_per_learner": 200, "minibatch_size": 100, "num_epochs": 2, "lr": 1e-3}
GRID = {"case": "case5", "max_steps": 24, "start": "random"}


@pytest.fixture(scope="module", autouse=True)
def _ray():
    import logging

    import ray
    import torch

    torch.set_num_threads(1)
    with np.errstate(all="ignore"):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield
        ray.shutdown()


def build(config, **training):
    with np.errstate(all="ignore"):
        return config.environment(disable_env_checking=True).training(**{**SMALL, **training}).build_algo()


def run(algo, n=2):
    with np.errstate(all="ignore"):
        return [algo.train() for _ in range(n)][-1]


@pytest.mark.parametrize("policies", ["independent", "shared"])
def test_q_learning_never_plays_an_illegal_action_and_its_checkpoint_plays(counting_env, policies, tmp_path):
    from marlgrid.rllib import dqn_config, load_policies

    config = dqn_config({"make": counting_env}, policies=policies, num_envs=2, explore=((0, 1.0), (100, 0.1)))
    config = config.environment(disable_env_checking=True).training(
        train_batch_size_per_learner=16, num_steps_sampled_before_learning_starts=50, lr=1e-3
    )
    with np.errstate(all="ignore"):
        algo = config.reporting(min_sample_timesteps_per_iteration=100).build_algo()
    result = run(algo)
    assert counting_env.illegal_seen == 0
    names = {"zones"} if policies == "shared" else {"zone_0", "zone_1"}
    assert names <= set(result["learners"])
    loaded = load_policies(algo.save_to_path(str(tmp_path)))
    assert set(loaded) == names
    rng = np.random.default_rng(0)
    for name, policy in loaded.items():
        seen = rng.normal(size=(20, policy.n_observation)).astype(np.float32)
        mask = np.ones((20, *policy.components), np.int8)
        mask[:, 1] = 0
        obs = {"observation": torch_of(seen), "action_mask": torch_of(mask)}
        own = algo.get_module(name).forward_inference({"obs": obs})["actions"].numpy()
        np.testing.assert_array_equal(policy.act(seen, mask), own)
        assert not (own == 1).any()
    algo.stop()


def torch_of(array):
    import torch

    return torch.from_numpy(array)


def test_the_share_of_random_actions_goes_down_in_lines():
    from marlgrid.rllib.q_module import interpolated

    points = [(100, 1.0), (300, 0.5), (400, 0.1)]
    assert [interpolated(points, t) for t in (0, 100, 200, 300, 375, 400, 900)] == pytest.approx(
        [1.0, 1.0, 0.75, 0.5, 0.2, 0.1, 0.1]
    )


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("settings", [{"policies": "independent"}, {"policies": "shared", "central_critic": True}])
def test_masked_training_never_plays_an_illegal_action(counting_env, multi, settings):
    from marlgrid.rllib import ppo_config

    make = functools.partial(counting_env, multi=multi)
    algo = build(ppo_config({"make": make}, opponent="learned", num_envs=2, **settings))
    result = run(algo)
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 400
    assert counting_env.illegal_seen == 0
    assert result["env_runners"]["illegal_total"] == 0
    trained = {"opponent_0", *(["zones"] if settings["policies"] == "shared" else ["zone_0", "zone_1"])}
    assert trained <= set(result["learners"])
    algo.stop()


@pytest.mark.slow
def test_training_improves_play(counting_env):
    """The best action is shown to the zones: guessing finds it in about half of the steps."""
    from marlgrid.rllib import ppo_config

    algo = build(
        ppo_config({"make": counting_env}, num_envs=4), num_epochs=8, lr=5e-3, train_batch_size_per_learner=800
    )
    first = run(algo, 1)["env_runners"]["episode_return_mean"]
    last = run(algo, 6)["env_runners"]["episode_return_mean"]
    assert last > first + 4
    algo.stop()


@pytest.mark.parametrize("batched", [False, True])
def test_a_checkpoint_gives_the_same_policies(tmp_path, batched):
    import torch

    from marlgrid.env.registry import parallel_env
    from marlgrid.rllib import load_policies, ppo_config

    env = parallel_env(**GRID, mask="observation", opponent="random", seed=1)
    size = env.observation_space("zone_0")["observation"].shape[0]
    scales = {"zone_0": (np.full(size, 0.1), np.full(size, 2.0))}
    config = ppo_config({**GRID, "opponent": "random"}, num_envs=4, batched=batched, scales=scales)
    algo = build(config)
    result = run(algo)
    for key in ("survival", "survived_steps", "illegal_total", "overload_total", "attacks_total", "unserved_mwh_total"):
        assert np.isfinite(result["env_runners"][key])
    assert 0 < result["env_runners"]["survival"] <= 1
    policies = load_policies(algo.save_to_path(str(tmp_path / "checkpoint")))
    modules = algo.learner_group._learner.module
    assert set(policies) == set(env.possible_agents)
    observations, _ = env.reset(seed=3)
    n = 0
    while env.agents:
        actions = {}
        for agent, seen in observations.items():
            actions[agent] = policies[agent].act(seen["observation"], seen["action_mask"])
            obs = {key: torch.from_numpy(value[None]) for key, value in seen.items()}
            logits = modules[agent].forward_inference({"obs": obs})["action_dist_inputs"]
            assert int(actions[agent]) == int(logits.argmax())
            n += 1
        observations, *_ = env.step(actions)
    assert n > 0
    algo.stop()


def test_batched_sampling_respects_masks_and_gate():
    from marlgrid.rllib import ppo_config

    algo = build(ppo_config({**GRID, "act_above": 0.5}, num_envs=4, batched=True))
    run(algo, 1)
    runner = algo.env_runner
    episodes = runner.sample(num_timesteps=100, explore=True)
    assert sum(len(e) for e in episodes) == 2 * sum(len(e) for e in episodes if e.agent_id == "zone_0")
    for episode in episodes:
        mask = episode.get_observations()["action_mask"][:-1]
        assert (mask[np.arange(len(mask)), episode.get_actions()] == 1).all()
        assert episode.module_id == episode.agent_id
    whole = runner.sample(num_episodes=3, explore=False)
    assert all(np.isfinite(e.get_rewards()).all() for e in whole)
    algo.stop()


def test_frozen_and_scripted_opponents_are_not_trained(tmp_path):
    from marlgrid.rllib import load_policies, ppo_config

    first = build(ppo_config(GRID, opponent="learned", num_envs=2))
    run(first, 1)
    path = first.save_to_path(str(tmp_path / "checkpoint"))
    first.stop()
    frozen = load_policies(path)["opponent_0"]
    asked = []

    def scripted(observation, mask):
        asked.append(len(observation))
        return np.where(mask[:, 1] > 0, 1, 0)

    for opponent in (path, scripted):
        algo = build(ppo_config(GRID, opponent=opponent, num_envs=2))
        result = run(algo, 1)
        assert "policy_loss" in result["learners"]["zone_0"]
        assert "policy_loss" not in result["learners"].get("opponent_0", {})
        assert result["env_runners"]["attacks_total"] > 0 or opponent is path
        algo.stop()
    assert sum(asked) > 0
    assert frozen.components == load_policies(path)["opponent_0"].components


def test_a_configuration_that_would_hang_is_refused():
    from marlgrid.rllib import ppo_config

    config = ppo_config(GRID).env_runners(num_env_runners=3)
    with pytest.raises(ValueError, match=r"need 3 CPUs, there are 2: use fewer, or .*num_cpus_per_env_runner=0.66"):
        config.build_algo()


def test_wrong_settings_are_refused(counting_env, tmp_path):
    from marlgrid.rllib import appo_config, ppo_config

    with pytest.raises(ValueError, match="choose from"):
        ppo_config(GRID, policies="common")
    with pytest.raises(ValueError, match='"pad": True'):
        ppo_config({"make": functools.partial(counting_env, pad=False)}, policies="shared")
    with pytest.raises(ValueError, match="central_critic is for ppo_config"):
        appo_config(GRID, central_critic=True)
    with pytest.raises(FileNotFoundError, match="save_to_path"):
        ppo_config(GRID, opponent=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="cannot be masked"):
        from gymnasium import spaces

        from marlgrid.rllib.modules import action_components

        action_components(spaces.Box(-1, 1, (2,)))


def test_an_opponent_learns_alone_against_the_zones_of_a_checkpoint(tmp_path):
    from marlgrid.rllib import load_policies, ppo_config

    zones = build(ppo_config(GRID, policies="independent"))
    folder = zones.save_to_path(str(tmp_path / "zones"))
    zones.stop()
    algo = build(ppo_config(GRID, opponent="learned", defenders=folder))
    result = run(algo, 1)
    assert set(result["learners"]) - {"__all_modules__"} == {"opponent_0"}
    assert set(load_policies(algo.save_to_path(str(tmp_path / "opponent")))) == {"opponent_0"}
    algo.stop()
    for wrong in ({"defenders": folder}, {"defenders": folder, "opponent": "learned", "batched": True}):
        with pytest.raises(ValueError, match="defenders are for"):
            ppo_config(GRID, **wrong)


@pytest.mark.slow
def test_sampling_processes_that_die_come_back():
    import os
    import signal
    import time

    from marlgrid.rllib import ppo_config

    config = ppo_config(GRID, num_envs=2).env_runners(num_env_runners=1, num_cpus_per_env_runner=0.5)
    algo = build(config.fault_tolerance(restart_failed_env_runners=True))
    before = run(algo)["env_runners"]["num_env_steps_sampled_lifetime"]
    victim = algo.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)[0]
    os.kill(victim, signal.SIGKILL)
    after, deadline = before, time.monotonic() + 300
    while after == before and time.monotonic() < deadline:  # it takes the new process a while to start
        after = run(algo, 1).get("env_runners", {}).get("num_env_steps_sampled_lifetime", before)
        time.sleep(1)
    assert after > before
    assert algo.env_runner_group.num_healthy_remote_workers() == 1
    again = algo.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)[0]
    assert again != victim
    algo.stop()
