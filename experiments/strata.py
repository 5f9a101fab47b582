"""Calm and hard episodes: does a grid that nobody attacks survive the episode when nobody acts?

``python -m experiments.strata --case case14 --split test --episodes 50`` prints how many are which. Means over both
kinds say little where most are calm: a study that reports each kind by itself hides nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from agents.do_nothing import DoNothing
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.simulation.state import Outcome
from marlgrid.task.task import Task

ALL, CALM, HARD = "all", "calm", "hard"
FOLDER = Path("runs") / "strata"


def strata(task: Task, starts: Starts, folder: Path = FOLDER) -> np.ndarray:
    """(n_episode,) ``"calm"`` where doing nothing reaches the time limit without any attack, else ``"hard"``.

    What was found is kept in ``folder``, under a name that changes with the grid, its rules, the time series and the
    starts.
    """
    path = folder / f"{_fingerprint(task, starts)}.json"
    if path.exists():
        return np.array(json.loads(path.read_text()))
    peaceful = replace(task, opponent=None, opponent_agent=False, opponent_reward=None)
    survived = evaluate(peaceful, DoNothing(), starts).outcome == Outcome.TIME_LIMIT
    found = np.where(survived, CALM, HARD)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(found.tolist()))
    unfinished.replace(path)
    return found


def starts_of_stratum(
    task: Task, split: str, stratum: str, n: int, max_steps: int, seed: int = 0, folder: Path = FOLDER
) -> Starts:
    """``n`` episodes of one stratum of a split. Raises ValueError where 16 times as many episodes hold fewer."""
    if stratum not in (CALM, HARD):
        raise ValueError(f"unknown stratum {stratum!r}; choose from {[CALM, HARD]}")
    for more in (2, 4, 8, 16):
        starts = Starts.of_split(task, split, more * n, max_steps, seed)
        found = np.flatnonzero(strata(task, starts, folder) == stratum)
        if len(found) >= n:
            return select(starts, found[:n])
    raise ValueError(
        f"of {16 * n} episodes of the {split} split only {len(found)} are {stratum}: ask for fewer, or for others"
    )


def select(starts: Starts, chosen: np.ndarray) -> Starts:
    """The episodes that ``chosen`` says: numbers, or (n_episode,) bool."""
    return replace(starts, **{name: getattr(starts, name)[chosen] for name in ("seed", "scenario", "t_start")})


def _fingerprint(task: Task, starts: Starts) -> str:
    """Of all that the strata follow from; of the time series, the rows at which the episodes start and end."""
    system, digest = task.system, hashlib.sha256()
    digest.update(json.dumps([system.grid.name, asdict(system.parameters), starts.max_steps]).encode())
    arrays = [system.thermal_limit, system.zones.labels, starts.seed, starts.scenario, starts.t_start]
    last = np.array([task.series.n_rows(int(scenario)) - 1 for scenario in starts.scenario])
    for t in (starts.t_start, np.minimum(starts.t_start + starts.max_steps, last)):
        row = task.series.at(starts.scenario, t)
        arrays += [row.load_p, row.gen_p, row.time_next_maintenance]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:20]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.strata", description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="case14")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--steps", type=int, default=288)
    parser.add_argument("--difficulty", default="default")
    asked = parser.parse_args(arguments)
    task = make_task(asked.case, difficulty=asked.difficulty)
    found = strata(task, Starts.of_split(task, asked.split, asked.episodes, asked.steps))
    calm = int((found == CALM).sum())
    print(
        f"{asked.case}, {asked.split}: of {len(found)} episodes of {asked.steps} steps doing nothing survives {calm} "
        f"({CALM}) and loses {len(found) - calm} ({HARD})"
    )


if __name__ == "__main__":
    main()
