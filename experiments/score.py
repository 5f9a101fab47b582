"""Episode scores of the L2RPN competitions of 2020 to 2023: what running the grid cost, between fixed marks.

``python -m experiments.score --case case14 --agent greedy --episodes 8 --steps 288 --year 2022``

The cost of an episode is that of the steps played (losses, redispatch, curtailment, storages) and, after a game over,
all load that is left at the dearest generator. 0 is the cost of doing nothing, 80 that of a grid whose overloaded lines
never trip, 100 is no cost at all, -100 nothing served. Formulas are those of Grid2Op's ScoreL2RPN2020 and
ScoreL2RPN2022, except that lines are put back by ``agents.Reconnect`` where no line trips. In the scores of 2021 and
2023 (ScoreICAPS2021, ScoreL2RPN2023) this counts 70 % and 60 %, and ``score_attention`` has the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from agents import DoNothing, Reconnect, agent_from
from agents.base import Agent
from experiments.evaluation import Starts
from experiments.score_attention import PARTS, Listener
from marlgrid.env.registry import make_task
from marlgrid.task.rewards_economy import L2RPNSandBoxScore, L2RPNWCCI2022ScoreFun
from marlgrid.task.task import Task

COSTS = {
    2020: L2RPNSandBoxScore(),
    2021: L2RPNSandBoxScore(),
    2022: L2RPNWCCI2022ScoreFun(),
    2023: L2RPNSandBoxScore(),
}


class Marks(NamedTuple):
    """Costs that fix the scale, (n_episode,) each."""

    no_trips: np.ndarray
    """Lines are put back, and an overload trips none."""
    do_nothing: np.ndarray
    worst: np.ndarray
    """No load is served."""


def marks(task: Task, starts: Starts, year: int = 2020) -> Marks:
    """Plays the reference episodes."""
    tireless = task.system.parameters.changed({"no_overflow_disconnection": True})
    without_trips = replace(task, system=replace(task.system, parameters=tireless))
    return Marks(
        no_trips=costs(without_trips, Reconnect(safe=np.inf), starts, year, unserved=False),
        do_nothing=costs(task, DoNothing(), starts, year),
        worst=load_cost(task, starts, np.zeros(len(starts.seed), dtype=np.int64)),
    )


def costs(
    task: Task,
    agent: Agent,
    starts: Starts,
    year: int = 2020,
    unserved: bool = True,
    listeners: Sequence[Listener] = (),
) -> np.ndarray:
    """(n_episode,) cost of the steps played and, where ``unserved``, of the load after a game over."""
    if year not in COSTS:
        raise ValueError(f"no score of {year!r}; choose from {list(COSTS)}")
    task = replace(task, reward=COSTS[year])
    limits = np.full(len(starts.seed), starts.max_steps, dtype=np.int32)
    episode, outputs = task.reset(starts.seed, starts.scenario, starts.t_start, limits)
    total, memory = np.zeros(len(starts.seed)), agent.initial_memory(task, len(starts.seed))
    while episode.state.running.any():
        running = episode.state.running
        choices, memory = agent.act(task, episode, outputs, memory)
        episode, outputs = task.step(episode, choices)
        for listener in listeners:
            listener.hear(episode.state, running)
        total += outputs.rewards[task.zones[0]]
    played = (episode.state.t - episode.state.t_start).astype(np.int64)
    return total + load_cost(task, starts, played) if unserved else total


def load_cost(task: Task, starts: Starts, played: np.ndarray) -> np.ndarray:
    """(n_episode,) load of all steps after ``played`` at the dearest generator; MW count per step as there."""
    lost = np.zeros(len(starts.seed))
    for i, (scenario, first) in enumerate(zip(starts.scenario, starts.t_start, strict=True)):
        last = min(first + starts.max_steps, task.series.n_rows(int(scenario)) - 1)
        t = np.arange(first + played[i] + 1, last + 1)
        if len(t):
            lost[i] = task.series.at(np.full(len(t), scenario), t).load_p.sum()
    return lost * float(task.system.grid.gen_cost_per_mw.max())


def scores(cost: np.ndarray, given: Marks) -> np.ndarray:
    """(n_episode,) from -100 to 100, linear between the marks."""
    points = np.empty(len(cost))
    for i, (no_trips, do_nothing, worst) in enumerate(zip(*given, strict=True)):
        if np.isclose(no_trips, do_nothing):
            points[i] = np.interp(cost[i], [0.0, do_nothing, worst], [100.0, 0.0, -100.0])
        else:
            points[i] = np.interp(cost[i], [0.0, no_trips, do_nothing, worst], [100.0, 80.0, 0.0, -100.0])
    return points


def points(task: Task, agent: Agent, starts: Starts, year: int = 2020) -> dict[str, np.ndarray]:
    """The ``score`` of each episode and what it is made of, (n_episode,) each, up to 100."""
    parts = PARTS.get(year, {})
    listeners = {name: make(task.system, len(starts.seed)) for name, (make, _, _) in parts.items()}
    cost = costs(task, agent, starts, year, listeners=list(listeners.values()))
    operation = scores(cost, marks(task, starts, year))
    found = {"operation": operation}
    total = operation * (1.0 - sum(weight for _, weight, _ in parts.values()))
    for name, (_, weight, least) in parts.items():
        found[name] = 100.0 * np.maximum(listeners[name].result(), least)
        total = total + weight * found[name]
    return {"score": total} | found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.score", description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="case14")
    parser.add_argument("--agent", default="greedy", help="a name of docs/agents.md, or a checkpoint")
    parser.add_argument("--opponent", default=None, help="none by default; a name such as random")
    parser.add_argument("--year", type=int, choices=list(COSTS), default=2022)
    parser.add_argument("--split", default="test")
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=288)
    asked = parser.parse_args(arguments)
    agent, task = agent_from(asked.agent), make_task(asked.case, opponent=asked.opponent)
    starts = Starts.of_split(task, asked.split, asked.episodes, asked.steps)
    reached = points(task, agent, starts, asked.year)
    for row, scenario in enumerate(starts.scenario):
        print(f"scenario {scenario}: " + ", ".join(f"{name} {values[row]:.1f}" for name, values in reached.items()))
    print(f"{asked.agent}, {asked.case}, {asked.year}: mean score {reached['score'].mean():.1f}")


if __name__ == "__main__":
    main()
