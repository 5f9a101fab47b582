"""What the training and sampling comparisons time: RLlib as it comes, RLlib fed by the batch, PPO on the batch alone.

All learn the same task with the same settings. Environment steps and their CPU time are counted where the environments
are stepped, in whatever process that is; CPU seconds are those of the trainer and its sampling processes. The
environment's time is that of the calls from outside of it: step and reset of the environment that RLlib sees, adapter
and calm steps included, or step and infos of the batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from experiments.settings import TrainSettings
from experiments.train import configuration, start_ray
from experiments.train_batch import BatchTeam
from marlgrid.env.parallel import GridParallelEnv
from marlgrid.env.vector import GridVectorEnv, Infos
from marlgrid.rllib import RLlibParallelEnv

PLAIN_ENVS = 8
"""Environments per process for RLlib's own sampling, the default of ``ppo_config``; more gain it little."""


@dataclass
class Meter:
    """What the environments of this process did."""

    steps: int = 0
    seconds: float = 0.0
    """CPU, for steps and resets."""
    on: bool = False


METER = Meter()


def meter_environments(*_: Any) -> None:
    """From here on every environment of this process counts its steps."""
    if not METER.on:
        METER.on = True
        GridVectorEnv.step = metered(GridVectorEnv.step, lambda env: env.n_envs)
        Infos.__getitem__ = metered(Infos.__getitem__, lambda _: 0)
        Infos.of = metered(Infos.of, lambda _: 0)
        # a decision is several steps: they are counted inside of it
        RLlibParallelEnv.step = metered(RLlibParallelEnv.step, lambda _: 0)
        RLlibParallelEnv.reset = metered(RLlibParallelEnv.reset, lambda _: 0)
        GridParallelEnv._play = counted(GridParallelEnv._play)  # noqa: SLF001


def metered(method: Callable, steps: Callable[[Any], int]) -> Callable:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.process_time()
        result = method(self, *args, **kwargs)
        METER.seconds += time.process_time() - begun
        METER.steps += steps(self)
        return result

    return call


def counted(method: Callable) -> Callable:
    """Of one environment, in time that is metered elsewhere."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        METER.steps += 1
        return method(self, *args, **kwargs)

    return call


def read(*_: Any) -> np.ndarray:
    """(steps, CPU seconds in environments, CPU seconds) of this process so far."""
    return np.array([METER.steps, METER.seconds, time.process_time()])


def use_all_cores() -> None:
    """Training may spread over the machine, and so may the processes it starts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


class Training:
    """A learner that is asked for whole iterations; ``wall_rates`` holds steps per second of the clock, by turn."""

    def __init__(self, name: str, iterate: Callable[[], Any], readings: Callable[[], np.ndarray]) -> None:
        self.name, self._iterate, self._readings = name, iterate, readings
        self.wall_rates: list[float] = []

    def play(self, seconds: float) -> float:
        """Environment steps per CPU second."""
        before, begun = self._readings(), time.monotonic()
        steps = cpu = 0.0
        while cpu < seconds:
            self._iterate()
            steps, _, cpu = self._readings() - before
        self.wall_rates.append(steps / (time.monotonic() - begun))
        return float(steps / cpu)


def rllib_training(settings: TrainSettings, batched: bool) -> Training:
    """RLlib's PPO with its sampling processes."""
    algo = built(settings, batched)
    group = algo.env_runner_group
    group.foreach_env_runner(meter_environments, local_env_runner=False)

    def readings() -> np.ndarray:
        return read() + sum(group.foreach_env_runner(read, local_env_runner=False))

    return Training(f"RLlib, {'batched' if batched else 'its own'} sampling", algo.train, readings)


def batch_training(settings: TrainSettings) -> Training:
    """One process, one file."""
    meter_environments()
    return Training("train_batch", BatchTeam(settings).iterate, read)


class Cost(NamedTuple):
    """What a decision of the team took in sampling, on average."""

    total: float
    """CPU microseconds."""
    environment: float
    """Those in the environment."""
    steps: float
    """Of the environment."""

    @property
    def share(self) -> float:
        """Of the environment in the time, in percent."""
        return 100 * self.environment / self.total

    def __str__(self) -> str:
        return (
            f"{self.environment:.0f} of {self.total:.0f} us per decision, in {self.steps:.1f} steps of "
            f"{self.environment / self.steps:.0f} us"
        )


class Sampling:
    """An RLlib runner in this process that is asked for decisions; ``costs`` holds what one took, by turn."""

    def __init__(self, settings: TrainSettings, batched: bool) -> None:
        meter_environments()
        self._runner = built(replace(settings, runners=0), batched).env_runner
        self.name = f"RLlib, {'batched' if batched else 'its own'} sampling"
        self.costs: list[Cost] = []

    def play(self, seconds: float) -> float:
        """Environment steps per CPU second."""
        before, decisions = read(), 0
        steps = inside = cpu = 0.0
        while cpu < seconds:
            # with the batch, one episode for each agent
            lengths = {e.id_.partition("-")[0]: e.env_steps() for e in self._runner.sample(num_timesteps=200)}
            decisions += sum(lengths.values())
            steps, inside, cpu = read() - before
        self.costs.append(Cost(1e6 * cpu / decisions, 1e6 * inside / decisions, steps / decisions))
        return steps / cpu

    def usual(self) -> Cost:
        """The turn in the middle, by the environment's share; the first one warmed up."""
        return sorted(self.costs[1:], key=lambda cost: cost.share)[len(self.costs[1:]) // 2]


def built(settings: TrainSettings, batched: bool) -> Any:
    """The algorithm of ``experiments.train``."""
    import ray

    if not ray.is_initialized():
        start_ray()
    settings = settings if batched else replace(settings, envs_per_runner=PLAIN_ENVS)
    return configuration(settings, batched).build_algo()
