"""Pictures of the matrix: survival as a heat map, and the share of episodes alive step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from experiments.robustness_play import NOBODY
from experiments.robustness_table import ALL, STRATA, pick, shown_cells
from experiments.shares import kaplan_meier
from marlgrid.simulation.state import Outcome

SCALE = LinearSegmentedColormap.from_list("survival", ["#A32A31", "#E58C6B", "#F6E3C5", "#9CC5B4", "#2E7D6B"])
"""Survival from 0 to 1."""
COLOURS = ("#7F8A93", "#C98B2B", "#3E7CB1", "#3B8F5C", "#8E24AA", "#D6604D", "#22303C", "#5BA3C9", "#B5658F", "#7A8F2E")
INK, MUTED = "#22303C", "#6B7885"


def draw_heat_maps(
    table: pd.DataFrame, budgets: Sequence[str], attackers: Sequence[str], defenders: Sequence[str], folder: Path
) -> None:
    """``heat_map.png`` over all episodes, a panel per budget; ``heat_map_strata.png``, a row of panels per stratum."""
    _heat_map(table, (ALL,), budgets, attackers, defenders, folder / "heat_map.png")
    _heat_map(table, STRATA[1:], budgets, attackers, defenders, folder / "heat_map_strata.png")


def _heat_map(
    table: pd.DataFrame,
    strata: Sequence[str],
    budgets: Sequence[str],
    attackers: Sequence[str],
    defenders: Sequence[str],
    path: Path,
) -> None:
    width, height = 1.5 + 1.15 * len(defenders), 1.15 + 0.55 * len(attackers)
    size = (width * len(budgets) + 0.4, height * len(strata) + 0.5)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(len(strata), len(budgets), squeeze=False)
    for row, stratum in enumerate(strata):
        for column, budget in enumerate(budgets):
            axes, survival = panels[row, column], pick(table, "survival", stratum)
            keys = [key for key in shown_cells(table, budget, attackers, defenders) if key in survival.index]
            _panel(axes, survival.loc[keys], attackers, defenders)
            n = int(survival.loc[keys].n.max()) if keys else 0
            kind = "" if stratum == ALL else f", {stratum} episodes"
            axes.set_title(f"budget {budget}{kind} (n = {n})", fontsize=9.5, color=INK, pad=8)
    figure.suptitle("mean survival of the episode, 95 % interval below", fontsize=10, color=MUTED)
    _save(figure, path)


def _panel(axes: Axes, rows: pd.DataFrame, attackers: Sequence[str], defenders: Sequence[str]) -> None:
    image = np.full((len(attackers), len(defenders)), np.nan)
    for (_, attacker, defender), row in rows.iterrows():
        i, j = attackers.index(attacker), defenders.index(defender)
        image[i, j] = row["mean"]
        ink = "#FFFFFF" if row["mean"] < 0.16 or row["mean"] > 0.86 else INK
        axes.text(j, i - 0.12, f"{row['mean']:.0%}", ha="center", va="center", color=ink, fontsize=10, weight="bold")
        axes.text(j, i + 0.24, f"{row.low:.0%} to {row.high:.0%}", ha="center", va="center", color=ink, fontsize=6.5)
    axes.imshow(np.ma.masked_invalid(image), cmap=SCALE, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(defenders)), defenders, fontsize=8, color=INK)
    axes.set_yticks(range(len(attackers)), attackers, fontsize=8, color=INK)
    axes.tick_params(length=0, top=False)
    axes.set_xticks(np.arange(len(defenders) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(attackers) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#FFFFFF", linewidth=2)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def draw_survival(
    episodes: pd.DataFrame, budgets: Sequence[str], attackers: Sequence[str], defenders: Sequence[str], folder: Path
) -> None:
    """``survival.png``: share alive (Kaplan-Meier), a panel per budget and attacker, a line per defender."""
    size = (2.7 * len(attackers) + 0.6, 2.3 * len(budgets) + 0.9)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(len(budgets), len(attackers), squeeze=False, sharex=True, sharey=True)
    cells = dict(iter(episodes.groupby(["budget", "attacker", "defender"], sort=False)))
    last = int(episodes.steps.max())
    for row, budget in enumerate(budgets):
        for column, attacker in enumerate(attackers):
            axes = panels[row, column]
            for key in shown_cells(episodes, budget, [attacker], defenders):
                number = defenders.index(key[2])
                # thinner and thinner: of two equal curves both show
                width = 1.2 + 2.6 * (1 - number / max(len(defenders) - 1, 1))
                _curve(axes, cells[key], last, COLOURS[number % len(COLOURS)], width, key[2])
            axes.set_title(attacker if attacker == NOBODY else f"{attacker}, {budget}", fontsize=9, color=INK)
            axes.set(xlim=(0, last), ylim=(0, 1.03))
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7.5)
    lines, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=min(len(names), 8), fontsize=8, frameon=False)
    figure.supxlabel("step", fontsize=8.5, color=MUTED)
    figure.supylabel("share of episodes alive", fontsize=8.5, color=MUTED)
    _save(figure, folder / "survival.png")


def _curve(axes: Axes, cell: pd.DataFrame, last: int, colour: str, width: float, label: str) -> None:
    curve = kaplan_meier(cell.survived_steps.to_numpy() + cell.outcome.ne(Outcome.TIME_LIMIT.name), ~cell.completed)
    step = np.append(curve.step, last)
    alive, low, high = (np.append(values, values[-1]) for values in (curve.alive, curve.low, curve.high))
    axes.step(step, alive, where="post", color=colour, linewidth=width, label=label)
    axes.fill_between(step, low, high, step="post", color=colour, alpha=0.10, linewidth=0)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path)
