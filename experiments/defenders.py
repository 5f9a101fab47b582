"""Every defender on the same held-out episodes: how long the grid lasts, and what a decision costs.

``python -m experiments.defenders --episodes 50`` plays all names of ``agents.registry`` without attack and against the
random and weighted attackers, and prints a Markdown table: mean survival with its 95 % bootstrap interval, and CPU
time per episode and step, of all episodes as one batch and of one alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from agents import agent_from
from agents.attackers import attacker_from
from agents.base import Agent, Choices
from agents.registry import names
from experiments.bootstrap import mean_interval
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.task.task import Episode, Outputs, Task


class Timed:
    """A team, and the CPU time that it takes."""

    def __init__(self, team: Agent) -> None:
        self.team, self.seconds, self.decisions = team, 0.0, 0

    def initial_memory(self, task: Task, n_env: int) -> Any:
        return self.team.initial_memory(task, n_env)

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        began = time.process_time()
        answer = self.team.act(task, episode, outputs, memory)
        self.seconds += time.process_time() - began
        self.decisions += int(episode.state.running.sum())
        return answer

    @property
    def milliseconds(self) -> float:
        """Per episode and step."""
        return 1000.0 * self.seconds / max(self.decisions, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    print("| agent | " + " | ".join(_heading(name) for name in asked.opponents) + " | ms in a batch | ms alone |")
    print("|---" * (len(asked.opponents) + 3) + "|")
    for name in tqdm(asked.agents, unit="agent", disable=None):
        tqdm.write(row(name, asked.case, asked.opponents, asked.episodes, asked.steps, asked.observation))


def row(name: str, case: str, opponents: Sequence[str], n: int, steps: int, observation: str) -> str:
    """One line of the table. Times are those without attack."""
    cells, times = [], ()
    for opponent in opponents:
        against = None if opponent == "none" else attacker_from(opponent)
        task = make_task(case, opponent=against, split="test", observation=observation)
        starts = Starts.of_split(task, "test", n, steps)
        team = agent_from(name)
        evaluate(task, team, first(starts, steps=2))  # whatever is made once is made here
        batch, alone = Timed(team), Timed(team)
        survival = evaluate(task, batch, starts).survival
        low, high = mean_interval(survival)
        cells.append(f"{survival.mean():.0%} ({low:.0%} to {high:.0%})")
        if not times:
            evaluate(task, alone, first(starts, steps))
            times = batch.milliseconds, alone.milliseconds
    return f"| `{name}` | " + " | ".join(cells) + " | " + " | ".join(f"{value:.2g}" for value in times) + " |"


def first(starts: Starts, steps: int) -> Starts:
    """The first episode alone."""
    seed, scenario, t_start = (np.asarray(part)[:1] for part in (starts.seed, starts.scenario, starts.t_start))
    return replace(starts, seed=seed, scenario=scenario, t_start=t_start, max_steps=steps)


def _heading(opponent: str) -> str:
    return "no attack" if opponent == "none" else f"{opponent} attacker"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.defenders", description=__doc__.split("\n")[0])
    parser.add_argument("--case", default="case14", help="built-in case or Grid2Op environment")
    parser.add_argument("--agents", nargs="+", default=list(names()), help="names, or folders of checkpoints")
    parser.add_argument("--opponents", nargs="+", default=["none", "random", "weighted"])
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--steps", type=int, default=288, help="of an episode")
    parser.add_argument("--observation", default="local", help="what a zone sees: local, neighbourhood, global")
    return parser


if __name__ == "__main__":
    main()
