"""Paired evaluation: every team plays the same scenarios with the same attack draws, all episodes as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agents.base import Agent, Choices
from marlgrid.simulation.state import Outcome
from marlgrid.task.task import Episode, Outputs, Task

Watch = Callable[[int, int, float], None]
"""Called after each step with (step, steps at most, mean survival so far)."""


@dataclass(frozen=True)
class Starts:
    """Where the episodes of an evaluation begin, (n_episode,) each."""

    seed: np.ndarray
    scenario: np.ndarray
    t_start: np.ndarray
    max_steps: int

    @classmethod
    def of_split(cls, task: Task, split: str, n: int, max_steps: int, seed: int = 0) -> Starts:
        """``n`` episodes of a split, one per scenario as far as there are enough, each at a random hour.

        Raises ValueError for an unknown or empty split.
        """
        scenarios = task.series.splits.get(split)
        if not scenarios:
            raise ValueError(
                f"no scenarios in split {split!r}; choose from {[k for k, v in task.series.splits.items() if v]}"
            )
        rng = np.random.default_rng([seed, len(scenarios), n])
        chosen = np.array([scenarios[k % len(scenarios)] for k in range(n)], dtype=np.int64)
        last = np.array([max(task.series.n_rows(scenario) - 1 - max_steps, 0) for scenario in chosen])
        return cls(
            seed=rng.integers(2**62, size=n), scenario=chosen, t_start=rng.integers(0, last + 1), max_steps=max_steps
        )


@dataclass(frozen=True)
class Results:
    """What became of each episode, (n_episode,) each."""

    scenario: np.ndarray
    survival: np.ndarray
    """Steps survived over the length of the episode."""
    survived_steps: np.ndarray
    illegal: np.ndarray
    """Refused actions of all zones."""
    unserved_mwh: np.ndarray
    overload: np.ndarray
    """Sum over steps and lines of the loading above 1."""
    attacks: np.ndarray
    outcome: np.ndarray

    def outcomes(self) -> dict[str, int]:
        """How often each way to end occurred."""
        return {Outcome(int(code)).name: int((self.outcome == code).sum()) for code in np.unique(self.outcome)}


class Moment(NamedTuple):
    """A step that was played."""

    before: Episode
    memory: Any
    """What the team remembered when it was asked."""
    choices: Choices
    after: Episode
    outputs: Outputs
    """What the agents got after it."""


def played(task: Task, agent: Agent, starts: Starts) -> Iterator[Moment]:
    """The steps of the episodes, side by side, until the last one is over."""
    limits = np.full(len(starts.seed), starts.max_steps, dtype=np.int32)
    after, outputs = task.reset(starts.seed, starts.scenario, starts.t_start, limits)
    memory = agent.initial_memory(task, len(starts.seed))
    while after.state.running.any():
        before = after
        remembered = memory
        choices, memory = agent.act(task, before, outputs, remembered)
        after, outputs = task.step(before, choices)
        yield Moment(before, remembered, choices, after, outputs)


def evaluate(task: Task, agent: Agent, starts: Starts, watch: Watch | None = None) -> Results:
    """Plays the episodes to their ends."""
    for step, moment in enumerate(played(task, agent, starts), start=1):
        if watch is not None:
            watch(step, starts.max_steps, _running_survival(moment.after, step))
    return _results(task, moment.after, moment.outputs)


def _running_survival(episode: Episode, done: int) -> float:
    state = episode.state
    return float(np.minimum((state.t - state.t_start) / done, 1.0).mean())


def _results(task: Task, episode: Episode, outputs: Outputs) -> Results:
    zones = [outputs.infos[agent] for agent in task.agents if agent.startswith("zone_")]

    def summed(key: str) -> np.ndarray:
        return np.sum([infos[key] for infos in zones], axis=0)

    return Results(
        scenario=episode.state.scenario,
        survival=np.asarray(zones[0]["survival"], dtype=np.float64),
        survived_steps=np.asarray(zones[0]["survived_steps"]),
        illegal=summed("illegal_total"),
        unserved_mwh=summed("unserved_mwh_total"),
        overload=summed("overload_total"),
        attacks=np.asarray(zones[0]["attacks_total"]),
        outcome=episode.state.outcome,
    )
