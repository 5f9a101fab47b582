"""Table and figure of a study of zones."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.bootstrap import difference_interval, mean_interval
from experiments.plots import BLUE, GREY, ORANGE
from experiments.zones_studies import Study

COLOURS = (BLUE, ORANGE, GREY)


class Row(NamedTuple):
    """One setting against one attacker."""

    setting: str
    attacker: str
    survival: float
    low: float
    high: float
    difference: float
    """Of the survival from that of the reference, paired by episode."""
    difference_low: float
    difference_high: float
    unserved_mwh: float
    illegal: float
    by_seed: str
    """Survival of each training, separated by spaces."""


def row_of(label: str, attacker: str, played: Sequence[dict[str, Any]], reference: Sequence[dict[str, Any]]) -> Row:
    """Out of what each training of a setting did, and each of the reference: means over the trainings by episode.

    The intervals (95 %, bootstrap over episodes) say how sure the mean over all days is for these trainings; what other
    trainings would have given is seen from ``by_seed`` alone.
    """

    def means(trainings: Sequence[dict[str, Any]], measure: str) -> np.ndarray:
        return np.mean([one[attacker][measure] for one in trainings], axis=0)

    survival, compared = means(played, "survival"), means(reference, "survival")
    return Row(
        label,
        attacker,
        float(survival.mean()),
        *mean_interval(survival),
        float((survival - compared).mean()),
        *difference_interval(survival, compared),
        float(means(played, "unserved_mwh").mean()),
        float(means(played, "illegal").mean()),
        " ".join(f"{np.mean(one[attacker]['survival']):.3f}" for one in played),
    )


def as_table(study: Study, rows: Sequence[Row], n_episode: int, n_seed: int) -> str:
    """For the terminal."""
    width = max(len(study.axis), *(len(row.setting) for row in rows)) + 2
    lines = [
        "",
        f"{study.question} Survival over {n_episode} held-out days, {n_seed} training(s) each; intervals are 95 %",
        f"{study.axis:<{width}}{'attacker':<10}{'survival':>9}  {'95 %':<13}{'  difference':>13}  {'95 %':<16}"
        f"{'unserved':>10}{'illegal':>9}",
    ]
    for row in rows:
        interval = f"{row.low:.0%} to {row.high:.0%}"
        difference = f"{100 * row.difference_low:+.1f} to {100 * row.difference_high:+.1f}"
        lines.append(
            f"{row.setting:<{width}}{row.attacker:<10}{row.survival:>9.1%}  {interval:<13}"
            f"{100 * row.difference:>+13.1f}  {difference:<16}{row.unserved_mwh:>6.0f} MWh{row.illegal:>9.2f}"
        )
    return "\n".join([*lines, ""])


def write(rows: Sequence[Row], path: Path) -> None:
    """As CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)


def draw(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Survival by setting, one colour per attacker; dashed: a team that does nothing."""
    attackers = list(dict.fromkeys(row.attacker for row in rows))
    labels = [row.setting for row in rows if row.attacker == attackers[0] and row.setting != "do-nothing"]
    figure = Figure(figsize=(max(6.0, 0.9 * len(labels) + 2.0), 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for k, (attacker, colour) in enumerate(zip(attackers, COLOURS, strict=False)):
        mine = {row.setting: row for row in rows if row.attacker == attacker}
        shown = [mine[label] for label in labels]
        x = np.arange(len(labels)) + 0.12 * (k - (len(attackers) - 1) / 2)
        middle = np.array([row.survival for row in shown])
        reach = np.abs(np.array([[row.low, row.high] for row in shown]).T - middle)
        axes.errorbar(x, middle, reach, fmt="o", color=colour, capsize=3, markersize=5, label=f"attacker: {attacker}")
        axes.axhline(mine["do-nothing"].survival, color=colour, linestyle="--", linewidth=1)
    long = max(map(len, labels)) > 8
    axes.set_xticks(np.arange(len(labels)), labels, rotation=25 if long else 0, ha="right" if long else "center")
    axes.set(title=study.question, xlabel=study.axis, ylabel="part of the day survived", ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=8, frameon=False, title="dashed: does nothing", title_fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path)
