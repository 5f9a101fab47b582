"""Trains a team of zones with RLlib's PPO or DQN, then compares it with baselines: ``make run``.

Everything goes to ``runs/<name>/``: settings.json, checkpoint/, learning.csv, learning_curve.png, results.csv,
results.json, blackout.png. Ctrl-C ends the training early and goes on to the comparison; a second one ends the program.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from dataclasses import replace
from functools import partial
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
from experiments.curriculum import Finished, levels, promoted
from experiments.lagrangian import GAINS, Multiplier
from experiments.learning import COLUMNS, run
from experiments.settings import CLIP, VALUE_CLIP, TrainSettings, settings_from
from experiments.tasks import TrainingTask, scales_of
from marlgrid.rllib import PricedCost, dqn_config, ppo_config, set_price
from marlgrid.rllib.policies import fitting, load_states, policy_from_state

PROGRESS = "progress.json"
"""Beside RLlib's part of a checkpoint: level of the curriculum, and what the price of a cost goes on from."""

MODULES = "learner/rl_module"
"""The networks in the state of a learner group."""


def main(arguments: list[str] | None = None) -> int:
    return run(settings_from(arguments), RLlibTeam)


def configuration(settings: TrainSettings, batched: bool = True) -> AlgorithmConfig:
    """The algorithm with one policy per zone or one for all, sampling from batches of episodes where RLlib allows it.

    Sampling processes that die are started again.
    """
    if settings.imitate:
        raise ValueError("--imitate is for experiments.train_batch: use that program, or leave it out")
    alone = settings.learner == "opponent"
    env_config = {
        "case": TrainingTask(levels(settings)[0]),
        "max_steps": settings.max_steps,
        "start": "random",
        "act_above": 0.0 if alone else settings.act_above,
        "cost": PricedCost(settings.cost, settings.cost_limit) if settings.cost else None,
    }
    batched = batched and settings.algorithm == "ippo" and not alone
    team = {
        "policies": settings.policies,
        "hiddens": (settings.hidden, settings.hidden),
        "idle_probability": settings.idle_probability,
        "scales": {} if alone else scales_of(settings, TrainingTask(settings)()),
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
        self.settings, self.levels, self.level = settings, levels(settings), 0
        self.finished = Finished(settings.curriculum_episodes)
        self.multiplier = Multiplier(settings.cost_limit, GAINS[settings.multiplier])
        self.algo: Algorithm = configuration(settings).build_algo()
        if settings.start_from:
            start_from(self.algo, settings.start_from)
        if settings.resume:
            self._restore(settings.folder / "checkpoint")

    def iterate(self) -> dict[str, float]:
        self._tell_runners()
        result = self.algo.train()
        row = {**figures(result), "level": self.level}
        if not math.isfinite(row.get("survival", math.nan)):
            return row  # no episode finished
        if self.settings.cost:
            row["multiplier"] = self.multiplier.update(row["cost"])
        finished, more = self.finished, self.level + 1 < len(self.levels)
        finished.add(int(result["env_runners"]["num_episodes"]), row["survival"])
        if more and promoted(self.settings, finished.survival, finished.episodes):
            self.level, self.finished = self.level + 1, Finished(self.settings.curriculum_episodes)
        return row

    def _tell_runners(self) -> None:
        """The level and the price, before each iteration, because a process may have been started anew."""
        if self.settings.cost or len(self.levels) > 1:
            task, price = TrainingTask(self.levels[self.level]), self.multiplier.value if self.settings.cost else None
            self.algo.env_runner_group.foreach_env_runner(
                partial(told, task=task, price=price), local_env_runner=self.settings.runners == 0
            )

    def team(self) -> Learned:
        state = self.algo.learner_group.get_state(components=MODULES)["learner"]["rl_module"]
        return Learned({name: policy_from_state(own) for name, own in state.items()})

    def save(self, folder: Path) -> None:
        self.algo.save_to_path(str(folder.resolve()))
        price = {name: getattr(self.multiplier, name) for name in ("value", "total", "last")}
        kept = {"level": self.level, "finished": list(self.finished.parts), "multiplier": price}
        (folder / PROGRESS).write_text(json.dumps(kept) + "\n")

    def _restore(self, folder: Path) -> None:
        self.algo.restore_from_path(str(folder.resolve()))
        if (folder / PROGRESS).exists():
            kept = json.loads((folder / PROGRESS).read_text())
            self.level, self.multiplier = kept["level"], replace(self.multiplier, **kept["multiplier"])
            self.finished.parts.extend((int(count), float(mean)) for count, mean in kept["finished"])

    def close(self) -> None:
        self.algo.stop()
        ray.shutdown()


def told(runner: Any, task: TrainingTask, price: float | None) -> None:
    """Tells an env runner which task to sample, and what the cost is worth."""
    if runner.config.env_config["case"] != task:
        # as RLlib's own example of a curriculum does
        runner.config = runner.config.copy(copy_frozen=False).environment(env_config={"case": task})
        runner.make_env()
    if price is not None:
        set_price(runner, price)


def start_from(algo: Algorithm, checkpoint: str) -> None:
    """Takes over the networks of a checkpoint, of either program. Raises ValueError where they do not fit."""
    own = algo.learner_group.get_state(components=MODULES)["learner"]["rl_module"]
    states = fitting(load_states(checkpoint), own)
    algo.set_state({"learner_group": {"learner": {"rl_module": states}}})
    algo.env_runner_group.sync_weights(from_worker_or_learner_group=algo.learner_group, inference_only=True)


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
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
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
