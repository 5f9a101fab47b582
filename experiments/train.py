"""Trains a team of zones with RLlib's PPO, then compares it with baselines: ``make run``.

Everything goes to ``runs/<name>/``: settings.json, checkpoint/, learning.csv, learning_curve.png, results.csv,
results.json, blackout.png. Ctrl-C ends the training early and goes on to the comparison; a second one ends the program.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import signal
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any

# Several processes share few cores: threads of their own in each would only wait for one another. Set before NumPy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from tqdm import tqdm

from agents.learned import Learned
from experiments.bootstrap import mean_interval
from experiments.evaluation import Starts, evaluate
from experiments.report import report
from experiments.settings import TrainSettings, settings_from
from experiments.tasks import TrainingTask, observation_scales, task_of
from marlgrid.rllib import ppo_config
from marlgrid.rllib.policies import policy_from_state

CHECK_SECONDS = 20.0
"""Between two checkpoints, each with an evaluation."""
COLUMNS = (
    "iteration", "seconds", "decisions", "survival", "illegal_total", "overload_total", "attacks_total",
    "unserved_mwh_total", "episode_return_mean", "entropy", "validation", "validation_low", "validation_high",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    started = time.monotonic()
    settings = settings_from(arguments)
    if settings.resume:
        settings = resumed(settings)
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.save(settings.folder / "settings.json")
    print(f"{settings.case}: training for {_duration(settings)}; results go to {settings.folder}/", flush=True)
    train(settings)
    report(settings)
    print(f"done in {(time.monotonic() - started) / 60:.1f} minutes; see {settings.folder}/")
    return 0


def resumed(settings: TrainSettings) -> TrainSettings:
    """The settings of the run to be continued; only how long is taken from the command line."""
    path = settings.folder / "settings.json"
    if not (settings.folder / "checkpoint").is_dir() or not path.is_file():
        sys.exit(f"nothing to resume in {settings.folder}/ (no checkpoint and settings.json): run without --resume")
    saved = json.loads(path.read_text())
    known = {field.name for field in fields(TrainSettings)}
    saved = {name: value for name, value in saved.items() if name in known}
    return replace(
        TrainSettings(**saved),
        minutes=settings.minutes,
        iterations=settings.iterations,
        resume=True,
        name=settings.name,
    )


def algorithm(settings: TrainSettings) -> Algorithm:
    """PPO with one policy per zone, sampling from batches of episodes."""
    task = TrainingTask(settings)
    config = (
        ppo_config(
            {"case": task, "max_steps": settings.max_steps, "start": "random", "act_above": settings.act_above},
            hiddens=(settings.hidden, settings.hidden),
            idle_probability=settings.idle_probability,
            scales=observation_scales(task(), settings.act_above),
            num_envs=settings.envs_per_runner,
            batched=True,
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
            clip_param=0.2,
            use_kl_loss=False,
            vf_clip_param=100.0,
        )
        .debugging(seed=settings.seed, log_level="ERROR")
    )
    algo = config.build_algo()
    if settings.resume:
        algo.restore_from_path(str((settings.folder / "checkpoint").resolve()))
    return algo


def train(settings: TrainSettings) -> None:
    """Trains for the iterations or the minutes asked for, or until Ctrl-C."""
    _start_ray()
    stop = StopRequest()
    algo = algorithm(settings)
    check = Validation(settings)
    log = LearningLog(settings.folder / "learning.csv", keep=settings.resume)
    seconds = 60.0 * settings.minutes
    with stop, tqdm(total=round(seconds) or settings.iterations, unit="s" if seconds else "it") as bar:
        began = checked = time.monotonic()
        for iteration in range(1, sys.maxsize):
            row = figures(algo.train())
            row |= {"seconds": log.seconds + time.monotonic() - began}
            trained = time.monotonic() - began
            last = stop.asked or (trained >= seconds if seconds else iteration >= settings.iterations)
            if last or iteration == 1 or time.monotonic() - checked >= CHECK_SECONDS:
                row |= check(algo)
                save(algo, settings.folder / "checkpoint")
                checked = time.monotonic()
            log.add(row)
            bar.update(min(round(trained), bar.total) - bar.n if seconds else 1)
            bar.set_postfix_str(log.headline())
            if last:
                break
    if stop.asked:
        print("training stopped; the last checkpoint is kept (--resume continues it)", flush=True)
    algo.stop()
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


def save(algo: Algorithm, path: Path) -> None:
    """Replaces the checkpoint as a whole: whatever interrupts this, a complete one is there."""
    new, old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    algo.save_to_path(str(new.resolve()))
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


class Validation:
    """Survival of the team as it stands, on validation scenarios without attacks."""

    def __init__(self, settings: TrainSettings) -> None:
        self.task = task_of(settings, "none", "validation")
        self.starts = Starts.of_split(self.task, "validation", settings.validation_episodes, settings.max_steps)

    def __call__(self, algo: Algorithm) -> dict[str, float]:
        state = algo.learner_group.get_state(components="learner/rl_module")["learner"]["rl_module"]
        team = Learned({zone: policy_from_state(state[zone]) for zone in self.task.zones})
        survival = evaluate(self.task, team, self.starts).survival
        low, high = mean_interval(survival)
        return {"validation": float(survival.mean()), "validation_low": low, "validation_high": high}


class LearningLog:
    """``learning.csv``, written row by row so that nothing is lost."""

    def __init__(self, path: Path, keep: bool) -> None:
        self.path, self.last = path, dict.fromkeys(COLUMNS, float("nan"))
        self.seconds = 0.0
        if keep and path.exists():
            with path.open() as file:
                rows = list(csv.DictReader(file))
            self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
        else:
            self._write(COLUMNS, "w")

    def add(self, row: dict[str, float]) -> None:
        self.last |= row
        self._write([row.get(name, "") for name in COLUMNS], "a")

    def headline(self) -> str:
        """For the progress bar."""
        last = self.last
        return (
            f"survival {last['survival']:.0%}, validation {last['validation']:.0%}, "
            f"{last['decisions'] / 1000:.0f}k decisions"
        )

    def _write(self, row: Any, mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            csv.writer(file).writerow(row)


class StopRequest:
    """Inside of the context the first Ctrl-C only sets ``asked``."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopRequest:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: int | FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _start_ray() -> None:
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


def _duration(settings: TrainSettings) -> str:
    return f"{settings.minutes:g} minutes" if settings.minutes else f"{settings.iterations} iterations"


if __name__ == "__main__":
    sys.exit(main())
