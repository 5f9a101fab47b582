"""Trains a team of zones with RLlib's PPO or DQN, then compares it with baselines: ``make run``.

Everything goes to ``runs/<name>/``: settings.json, checkpoint/, learning.csv, learning_curve.png, results.csv,
results.json, blackout.png. Ctrl-C ends the training early and goes on to the comparison; a second one ends the program.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

# Several processes share few cores: threads of their own in each would only wait for one another. Set before NumPy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from agents.learned import Learned
from experiments.learning import COLUMNS, run
from experiments.settings import CLIP, VALUE_CLIP, TrainSettings, settings_from
from experiments.tasks import TrainingTask, scales_of
from marlgrid.rllib import dqn_config, ppo_config
from marlgrid.rllib.policies import policy_from_state

ONLY_BATCH = ("start_from", "imitate", "curriculum", "cost")
"""Settings that this program has no use for."""


def main(arguments: list[str] | None = None) -> int:
    return run(settings_from(arguments), RLlibTeam)


def configuration(settings: TrainSettings, batched: bool = True) -> AlgorithmConfig:
    """The algorithm with one policy per zone or one for all, sampling from batches of episodes where RLlib allows it.

    Sampling processes that die are started again.
    """
    given = [name for name in ONLY_BATCH if getattr(settings, name)]
    if given:
        raise ValueError(f"{given} are options of experiments.train_batch: use that program, or leave them out")
    task = TrainingTask(settings)
    alone = settings.learner == "opponent"
    above = 0.0 if alone else settings.act_above
    env_config = {"case": task, "max_steps": settings.max_steps, "start": "random", "act_above": above}
    batched = batched and settings.algorithm == "ippo" and not alone
    team = {
        "policies": settings.policies,
        "hiddens": (settings.hidden, settings.hidden),
        "idle_probability": settings.idle_probability,
        "scales": {} if alone else scales_of(settings, task()),
        **({"opponent": "learned", "defenders": Path(settings.defenders).resolve()} if alone else {}),
        "num_envs": settings.envs_per_runner,
    }
    config = (
        _dqn(settings, env_config, team) if settings.algorithm == "dqn" else _ppo(settings, env_config, team, batched)
    )
    return (
        config.env_runners(num_env_runners=settings.runners, num_cpus_per_env_runner=0.5)
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=settings.seed, log_level="ERROR")
    )


def _dqn(settings: TrainSettings, env_config: dict[str, Any], team: dict[str, Any]) -> AlgorithmConfig:
    """Random actions become rare within ten iterations; the learning rate is a quarter of PPO's."""
    return (
        dqn_config(env_config, explore=((0, 1.0), (10 * settings.batch, 0.02)), **team)
        .training(
            lr=settings.learning_rate / 4,
            gamma=settings.gamma,
            train_batch_size_per_learner=settings.minibatch,
            num_steps_sampled_before_learning_starts=settings.batch // 2,
            target_network_update_freq=1000,
            n_step=1,
        )
        .reporting(min_sample_timesteps_per_iteration=settings.batch)
    )


def _ppo(settings: TrainSettings, env_config: dict[str, Any], team: dict[str, Any], batched: bool) -> AlgorithmConfig:
    return ppo_config(
        env_config,
        central_critic=settings.central_critic,
        batched=batched,
        **team,
    ).training(
        lr=settings.learning_rate,
        gamma=settings.gamma,
        lambda_=settings.gae_lambda,
        train_batch_size_per_learner=settings.batch,
        minibatch_size=settings.minibatch,
        num_epochs=settings.epochs,
        entropy_coeff=settings.entropy,
        clip_param=CLIP,
        use_kl_loss=False,
        vf_clip_param=VALUE_CLIP,
    )


class RLlibTeam:
    """A team that an algorithm of RLlib trains."""

    def __init__(self, settings: TrainSettings) -> None:
        start_ray(settings.address)
        self.algo: Algorithm = configuration(settings).build_algo()
        if settings.resume:
            self.algo.restore_from_path(str((settings.folder / "checkpoint").resolve()))

    def iterate(self) -> dict[str, float]:
        return figures(self.algo.train())

    def team(self) -> Learned:
        state = self.algo.learner_group.get_state(components="learner/rl_module")["learner"]["rl_module"]
        return Learned({name: policy_from_state(own) for name, own in state.items()})

    def save(self, folder: Path) -> None:
        self.algo.save_to_path(str(folder.resolve()))

    def close(self) -> None:
        self.algo.stop()
        ray.shutdown()


def figures(result: dict[str, Any]) -> dict[str, float]:
    """What one iteration of RLlib reports about the grid and the networks."""
    sampled = result.get("env_runners", {})
    row = {name: float(sampled[name]) for name in COLUMNS if name in sampled}
    entropies = [float(own["entropy"]) for own in result.get("learners", {}).values() if "entropy" in own]
    return row | {
        "iteration": int(result["training_iteration"]),
        "decisions": int(sampled.get("num_env_steps_sampled_lifetime", 0)),
        "entropy": float(np.mean(entropies)) if entropies else float("nan"),
    }


def start_ray(address: str = "") -> None:
    """Quietly, with one thread in each process: here alone, or on the cluster at an address.

    Every machine of a cluster needs this checkout at the same path.
    """
    torch.set_num_threads(1)
    # the sampling processes import this checkout, wherever the program was started from
    here = str(Path(__file__).resolve().parents[1])
    environment = {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}
    ray.init(
        address=address or None,
        **({} if address else {"include_dashboard": False}),
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {**environment, "OMP_NUM_THREADS": "1"}},
    )


if __name__ == "__main__":
    sys.exit(main())
