"""Which attacks a team survives, line by line: ``python -m experiments.security --case case14 --prepare 0 12 36``.

Every attackable line of every day is attacked once, after ``--prepare`` steps in which nobody attacks and a careful
greedy search unloads the grid; then the defender plays. An attack is survived if the grid is alive ``--steps`` later.
``anyone`` is whoever of the defenders survives it, or one of ``--tries`` random plans, chosen with hindsight. Days on
which all lines are survived are what an attacker leaves who always knows the worst one: security against the loss of
any single line (N-1), measured by play.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from agents.base import Agent
from agents.greedy import Greedy
from agents.registry import agent_from
from experiments.robustness_play import NOBODY, Cell, Contestant, Study
from experiments.settings import TrainSettings
from experiments.tasks import task_of, zone_menu
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import State, take
from marlgrid.task.task import Episode, Outputs, Task

ANYONE = "anyone"
BUDGET = "day-1"
REDRAW = 0.25
"""Part of the steps in which a random plan changes a zone's action."""
CAREFUL = Greedy(act_above=0.5, enough=0.4, restore_below=0.35, menu=zone_menu(), split_above=math.inf)
"""Who prepares: redispatch, curtailment and storage from a loading of a half on."""


@dataclass(frozen=True)
class OneAttack:
    """Attacks once, as soon as it may and for as long as it may, in each episode the line that its memory names."""

    def reset(self, system: System, state: State) -> np.ndarray:  # noqa: ARG002 - the protocol says so
        return np.zeros(state.n_env, dtype=np.int64)

    def attack(self, system: System, state: State, memory: np.ndarray) -> tuple[Attack, np.ndarray]:
        duration = np.zeros(state.rho.shape, dtype=np.int32)
        rows = np.flatnonzero(state.running & (state.attack.starts == 0))
        duration[rows, memory[rows]] = system.attack.max_duration
        return Attack(duration), memory


@dataclass(frozen=True)
class RandomPlans:
    """A team that draws legal actions and mostly keeps to them: cheap search by many tries."""

    seed: int = 0

    def initial_memory(self, task: Task, n_env: int) -> tuple[np.random.Generator, np.ndarray]:
        return np.random.default_rng(self.seed), np.zeros((len(task.zones), n_env), dtype=np.int64)

    def act(
        self, task: Task, episode: Episode, outputs: Outputs, memory: tuple[np.random.Generator, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], tuple[np.random.Generator, np.ndarray]]:
        rng, before = memory
        chosen, rows = np.empty_like(before), np.arange(before.shape[1])
        first = episode.state.attack.starts == 0
        for z, zone in enumerate(task.zones):
            legal = np.asarray(outputs.masks[zone]) > 0
            drawn = np.where(legal, rng.random(legal.shape), -1.0).argmax(axis=1)
            wanted = np.where(first | (rng.random(len(rows)) < REDRAW), drawn, before[z])
            chosen[z] = np.where(legal[rows, wanted], wanted, 0)
        return dict(zip(task.zones, chosen, strict=True)), (rng, chosen)


def survived(task: Task, agent: Agent, start: Episode, day: np.ndarray, line: np.ndarray, steps: int) -> np.ndarray:
    """(n,) bool: of the attacks on ``line`` (n,) of the days ``day`` (n,), those after which the grid is alive.

    ``start`` are the days as they stand at the attack, ``task`` one with ``OneAttack``.
    """
    found = take(start, day)
    episode = Episode(found.state, line.copy(), found.totals)
    outputs, memory = task.look(episode), agent.initial_memory(task, len(day))
    for _ in range(steps):
        choices, memory = agent.act(task, episode, outputs, memory)
        episode, outputs = task.step(episode, choices)
    return ~episode.state.lost


def prepared(task: Task, study: Study, steps: int) -> Episode:
    """The days of a study after ``steps`` in which nobody attacks and the careful search acts."""
    calm, starts = replace(task, opponent=None), study.starts()
    limits = np.full(len(starts.seed), starts.max_steps, dtype=np.int32)
    episode, outputs = calm.reset(starts.seed, starts.scenario, starts.t_start, limits)
    for _ in range(steps):
        episode, outputs = calm.step(episode, CAREFUL.act(calm, episode, outputs, ())[0])
    # the opponent's memory is filled in by the attack
    return Episode(episode.state, np.zeros(episode.state.n_env, dtype=np.int64), episode.totals)


def measured(study: Study, defenders: Sequence[Contestant], prepare: int, steps: int, tries: int) -> pd.DataFrame:
    """One row per defender, day and attackable line: ``survived``. The last defender is ``anyone``."""
    rows, best = [], None
    for defender in tqdm(defenders, unit="defender", desc=f"{prepare} steps before", disable=None):
        task = replace(study.task(Cell(defender, Contestant(NOBODY, NOBODY), BUDGET)), opponent=OneAttack())
        start = prepared(task, study, prepare)
        day, line = _pairs(task, start.state)
        alive = survived(task, agent_from(defender.spec), start, day, line, steps)
        best = alive if best is None else best | alive
        rows.append(_table(task, defender.label, prepare, day, line, alive))
    settings = TrainSettings(case=study.case, zones=study.zones, difficulty=study.difficulty, attack_budget=BUDGET)
    task = replace(task_of(settings, NOBODY, study.split), opponent=OneAttack())
    start = prepared(task, study, prepare)
    for seed in range(tries):
        left = np.flatnonzero(~best)
        best[left] = survived(task, RandomPlans(seed), start, day[left], line[left], steps)
    return pd.concat([*rows, _table(task, ANYONE, prepare, day, line, best)])


def _pairs(task: Task, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Every attack that the rules allow: (n,) days and (n,) lines."""
    return np.nonzero(attack_allowed(task.system, state))


def _table(
    task: Task, defender: str, prepare: int, day: np.ndarray, line: np.ndarray, alive: np.ndarray
) -> pd.DataFrame:
    names = np.array(task.system.grid.name_line)[line]
    return pd.DataFrame({"prepare": prepare, "defender": defender, "day": day, "line": names, "survived": alive})


def as_table(found: pd.DataFrame) -> str:
    """In Markdown: attacks survived, days on which all are, and by line, in %."""
    by = ["prepare", "defender"]
    lines = [str(line) for line in dict.fromkeys(found.line)]
    shares = found.groupby([*by, "line"], sort=False).survived.mean().unstack()[lines]
    whole = found.groupby([*by, "day"], sort=False).survived.all().groupby(by, sort=False).mean()
    told = [f"| steps before | defender | attacks | days | {' | '.join(lines)} |", "|---" * (len(lines) + 4) + "|"]
    for (prepare, defender), mean in found.groupby(by, sort=False).survived.mean().items():
        cells = [mean, whole[prepare, defender], *shares.loc[prepare, defender]]
        told.append(f"| {prepare} | {defender} | {' | '.join(f'{share:.0%}' for share in cells)} |")
    return "\n".join(told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.security",
        description="Which attacks a team survives, line by line.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--case", default="case14", help="built-in case, Grid2Op environment name or folder")
    parser.add_argument(
        "--defenders", nargs="+", default=["do-nothing", "expert", "greedy"], help="names or checkpoints, label:folder"
    )
    parser.add_argument("--prepare", nargs="+", type=int, default=[0], help="steps before the attack")
    parser.add_argument("--steps", type=int, default=14, help="after which a grid that is alive has survived")
    parser.add_argument("--tries", type=int, default=64, help="random plans")
    parser.add_argument("--episodes", type=int, default=64, help="days")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--name", default="", help="folder under runs/; empty: security-<case>")
    asked = parser.parse_args(arguments)
    study = Study(case=asked.case, split=asked.split, episodes=asked.episodes)
    defenders = [Contestant.parse(text) for text in asked.defenders]
    found = pd.concat(measured(study, defenders, k, asked.steps, asked.tries) for k in asked.prepare)
    folder = Path("runs") / (asked.name or f"security-{Path(asked.case).name}")
    folder.mkdir(parents=True, exist_ok=True)
    found.to_parquet(folder / "attacks.parquet")
    text = as_table(found)
    (folder / "security.md").write_text(text + "\n")
    print(f"{text}\n\nwritten to {folder}/security.md, every attack to {folder}/attacks.parquet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
