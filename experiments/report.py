"""The end of a training run: trained team, greedy search and doing nothing on the same episodes and attacks."""

from __future__ import annotations

import csv
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from agents.base import Agent
from agents.do_nothing import DoNothing
from agents.greedy import Greedy
from agents.learned import Learned
from agents.mixed import team_from
from experiments.bootstrap import mean_interval
from experiments.evaluation import Results, Starts, evaluate
from experiments.plots import draw_blackout, draw_learning_curve
from experiments.settings import TrainSettings
from experiments.tasks import task_of

TEAMS = ("trained", "do-nothing", "greedy")
OPPONENTS = ("none", "random", "weighted")
FROZEN = "frozen"
"""The team that an opponent was trained against."""


def sides(settings: TrainSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Teams and opponents of the table: an opponent that was trained is among them, zones that were not are not."""
    teams = (FROZEN, *TEAMS[1:]) if settings.learner == "opponent" else TEAMS
    return teams, (*OPPONENTS, "trained") if settings.opponent_learns else OPPONENTS


class Row(NamedTuple):
    """One line of the table."""

    team: str
    opponent: str
    survival: float
    low: float
    high: float
    unserved_mwh: float
    illegal: float
    attacks: float


def report(settings: TrainSettings) -> None:
    """Plays all comparisons, prints the table, writes results.csv, results.json and the pictures."""
    results = compare(settings)
    rows = [row_of(*key, result) for key, result in results.items()]
    print(as_table(rows, settings.test_episodes), flush=True)
    with (settings.folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)
    (settings.folder / "results.json").write_text(json.dumps(as_json(settings, rows, results), indent=1) + "\n")
    draw_learning_curve(settings.folder, rows)
    draw_blackout(settings, results, starts_of(settings), team_of, attacker_of)


def compare(settings: TrainSettings) -> dict[tuple[str, str], Results]:
    """(team, opponent) -> results, played in as many processes as there are sampling processes."""
    teams, opponents = sides(settings)
    jobs = [(team, opponent) for team in teams[::-1] for opponent in opponents]
    found: dict[tuple[str, str], Results] = {}
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(max(settings.runners, 1), mp_context=context) as pool,
        tqdm(total=len(jobs), unit="run", desc=f"comparing on {settings.test_episodes} held-out episodes") as bar,
    ):
        waiting = {pool.submit(play, settings, *job): job for job in jobs}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            bar.update()
    return {(team, opponent): found[team, opponent] for team in teams for opponent in opponents}


def play(settings: TrainSettings, team: str, opponent: str) -> Results:
    """One team against one opponent."""
    task = task_of(settings, attacker_of(settings, opponent), "test")
    return evaluate(task, team_of(settings, team), starts_of(settings))


def starts_of(settings: TrainSettings) -> Starts:
    """The held-out episodes: the same for every team and opponent."""
    task = task_of(settings, "none", "test")
    return Starts.of_split(task, "test", settings.test_episodes, settings.max_steps)


def team_of(settings: TrainSettings, team: str) -> Agent:
    """A team of the table by its name."""
    if team == FROZEN:
        return team_from(settings.defenders)
    if team == "trained":
        return Learned.load(settings.folder / "checkpoint")
    return {"do-nothing": DoNothing, "greedy": Greedy}[team]()


def attacker_of(settings: TrainSettings, opponent: str) -> str:
    """An opponent of the table as ``task_of`` takes it."""
    return str(settings.folder / "checkpoint") if opponent == "trained" else opponent


def row_of(team: str, opponent: str, results: Results) -> Row:
    """Means over the episodes, and the bootstrap interval of the survival."""
    means = (results.unserved_mwh.mean(), results.illegal.mean(), results.attacks.mean())
    return Row(team, opponent, float(results.survival.mean()), *mean_interval(results.survival), *map(float, means))


def as_table(rows: list[Row], n_episode: int) -> str:
    """For the terminal."""
    lines = [
        "",
        f"Mean over {n_episode} held-out episodes (95 % bootstrap interval); attacks are drawn alike for all teams.",
        f"{'team':<12}{'opponent':<10}{'survival':>9}  {'95 %':<14}{'unserved':>11}{'illegal':>9}{'attacks':>9}",
    ]
    for row in rows:
        interval = f"{row.low:.0%} to {row.high:.0%}"
        lines.append(
            f"{row.team:<12}{row.opponent:<10}{row.survival:>9.1%}  {interval:<14}{row.unserved_mwh:>7.0f} MWh"
            f"{row.illegal:>9.2f}{row.attacks:>9.2f}"
        )
    return "\n".join([*lines, ""])


def as_json(settings: TrainSettings, rows: list[Row], results: dict[tuple[str, str], Results]) -> dict:
    """Settings, table and every episode."""
    episodes = {
        f"{team} | {opponent}": {name: np.asarray(values).tolist() for name, values in asdict(result).items()}
        | {"outcomes": result.outcomes()}
        for (team, opponent), result in results.items()
    }
    return {"settings": asdict(settings), "table": [row._asdict() for row in rows], "episodes": episodes}
