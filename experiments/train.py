"""Trains a team of zones with RLlib's PPO, then compares it with baselines: ``make run``.

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
from ray.rllib.algorithms.ppo import PPOConfig

from agents.learned import Learned
from experiments.learning import COLUMNS, run
from experiments.settings import CLIP, VALUE_CLIP, TrainSettings, settings_from
from experiments.tasks import TrainingTask, scales_of
from marlgrid.rllib import ppo_config
from marlgrid.rllib.policies import policy_from_state


def main(arguments: list[str] | None = None) -> int:
    return run(settings_from(arguments), RLlibTeam)


def configuration(settings: TrainSettings, batched: bool = True) -> PPOConfig:
    """PPO with one policy per zone or one for all, sampling from batches of episodes where RLlib allows it."""
    task = TrainingTask(settings)
    return (
        ppo_config(
            {"case": task, "max_steps": settings.max_steps, "start": "random", "act_above": settings.act_above},
            policies=settings.policies,
            central_critic=settings.central_critic,
            hiddens=(settings.hidden, settings.hidden),
            idle_probability=settings.idle_probability,
            scales=scales_of(settings, task()),
            num_envs=settings.envs_per_runner,
            batched=batched and not settings.central_critic,
        )
        .env_runners(num_env_runners=settings.runners, num_cpus_per_env_runner=0.5)
        .training(
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
        .debugging(seed=settings.seed, log_level="ERROR")
    )


class RLlibTeam:
    """A team that an algorithm of RLlib trains."""

    def __init__(self, settings: TrainSettings) -> None:
        start_ray()
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


def start_ray() -> None:
    """Here alone, quietly, with one thread in each process."""
    torch.set_num_threads(1)
    # the sampling processes import this checkout, wherever the program was started from
    here = str(Path(__file__).resolve().parents[1])
    environment = {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {**environment, "OMP_NUM_THREADS": "1"}},
    )


if __name__ == "__main__":
    sys.exit(main())
