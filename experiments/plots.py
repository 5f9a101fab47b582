"""Pictures of a training run: how survival grew, and what a blackout looks like."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agents.base import Agent
from experiments.evaluation import Results, Starts
from experiments.settings import TrainSettings
from experiments.tasks import task_of
from marlgrid.render.picture import render_rgb
from marlgrid.simulation.state import Outcome, State

BLUE, ORANGE, GREY, GREEN = "#2166AC", "#D6604D", "#7F8A93", "#3B8F5C"


def draw_learning_curve(folder: Path, rows: Sequence[Any]) -> Path:
    """``learning_curve.png`` out of ``learning.csv``: training and validation survival, and the baselines' level."""
    with (folder / "learning.csv").open() as file:
        log = list(csv.DictReader(file))
    minutes, survival = _column(log, "survival")
    checked, validation = _column(log, "validation")
    _, low = _column(log, "validation_low")
    _, high = _column(log, "validation_high")
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(minutes, survival, color=GREY, linewidth=1.2, label="training (exploring, partly attacked)")
    axes.fill_between(checked, low, high, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(checked, validation, color=BLUE, marker="o", markersize=3.5, label="validation, no attack (95 %)")
    for row in rows:
        if row.opponent == "none" and row.team != "trained":
            colour = ORANGE if row.team == "do-nothing" else GREEN
            axes.axhline(
                row.survival, color=colour, linestyle="--", linewidth=1, label=f"{row.team}, held-out episodes"
            )
    axes.set(xlabel="minutes of training", ylabel="part of the episode survived", ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    return _save(figure, folder / "learning_curve.png")


def draw_blackout(
    settings: TrainSettings,
    results: dict[tuple[str, str], Results],
    starts: Starts,
    team_of: Callable[[TrainSettings, str], Agent],
    attacker_of: Callable[[TrainSettings, str], str],
) -> Path | None:
    """``blackout.png``: the grid just before and at the end of a lost episode; None if no episode was lost.

    The trained team's under attack if it lost one, else any other.
    """
    found = _lost_episode(results)
    if found is None:
        return None
    team, opponent, number = found
    before, after, series, system = _replay(
        settings, team_of(settings, team), attacker_of(settings, opponent), starts, number
    )
    figure = Figure(figsize=(16, 5.6), dpi=100, layout="constrained")
    figure.suptitle(
        f"{settings.case}: the {team} team loses held-out episode {number} after {int(after.t[0] - after.t_start[0])} "
        f"steps (opponent: {opponent}; outcome: {Outcome(int(after.outcome[0])).name})",
        fontsize=13,
    )
    for place, (title, state) in enumerate((("just before", before), ("at the end", after))):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.imshow(render_rgb(system, state, series))
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    return _save(figure, settings.folder / "blackout.png")


def _lost_episode(results: dict[tuple[str, str], Results]) -> tuple[str, str, int] | None:
    """(team, opponent, number) of the lost episode that lasted longest, in the order of preference of the docs."""
    order = sorted(results, key=lambda key: (key[0] != "trained", key[1] == "none"))
    for team, opponent in order:
        result = results[team, opponent]
        lost = result.outcome > Outcome.TIME_LIMIT
        if lost.any():
            return team, opponent, int(np.where(lost, result.survived_steps, -1).argmax())
    return None


def _replay(
    settings: TrainSettings, agent: Agent, opponent: str, starts: Starts, number: int
) -> tuple[State, State, Any, Any]:
    """The last two states of one episode."""
    task = task_of(settings, opponent, "test")
    one = slice(number, number + 1)
    episode, outputs = task.reset(starts.seed[one], starts.scenario[one], starts.t_start[one], starts.max_steps)
    before, memory = episode.state, agent.initial_memory(task, 1)
    while episode.state.running.any():
        before = episode.state
        choices, memory = agent.act(task, episode, outputs, memory)
        episode, outputs = task.step(episode, choices)
    return before, episode.state, task.series, task.system


def _column(log: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(minutes, values) of the rows that have a value."""
    filled = [row for row in log if row[name] not in ("", "nan")]
    return (
        np.array([float(row["seconds"]) / 60 for row in filled]),
        np.array([float(row[name]) for row in filled]),
    )


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.savefig(path)
    return path
