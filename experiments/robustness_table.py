"""The matrix in figures: means, intervals, paired differences and exploitability out of the results of the episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.bootstrap import mean_intervals
from experiments.robustness_play import NOBODY
from experiments.shares import wilson_interval
from experiments.strata import ALL, CALM, HARD

METRICS = (
    "survival", "completed", "unserved_mwh", "cost", "cost_operation", "overload_hours", "overload_line_steps",
    "illegal", "attacks", "recovered", "recovery_steps",
)  # fmt: skip
"""What the summary has a row for."""
BASELINES = {"do-nothing": "nothing", "greedy": "greedy"}
"""Defender that the others are held against -> part of the names of the columns."""
STRATA = (ALL, CALM, HARD)
CELL = ["budget", "attacker", "defender"]
BEST_RESPONSE = "best response"
"""Label of the attackers that were trained against one defender each."""


def summary(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, stratum and metric: mean, 95 % interval, paired differences to the baselines.

    ``episodes`` has the columns of ``robustness_play.play`` and ``stratum``. Intervals are bootstrapped, that of
    ``completed`` (a share) is Wilson's. Differences are taken episode by episode against the baseline's cell of the
    same attacker and budget: empty where the matrix has no other such cell, or where there is no pair of values.
    """
    cells = {key: part.set_index("episode").sort_index() for key, part in episodes.groupby(CELL, sort=False)}
    rows = []
    for (budget, attacker, defender), cell in cells.items():
        # attackers made for one defender each are not the same attack: nothing to pair
        shared = {} if attacker == BEST_RESPONSE else cells
        rivals = {short: shared.get((budget, attacker, name)) for name, short in BASELINES.items() if name != defender}
        for stratum in STRATA:
            chosen = cell if stratum == ALL else cell[cell.stratum == stratum]
            if len(chosen):
                labels = {"budget": budget, "attacker": attacker, "defender": defender, "stratum": stratum}
                rows += [labels | row for row in _rows(chosen, rivals)]
    return pd.DataFrame(rows)


def _rows(cell: pd.DataFrame, rivals: Mapping[str, pd.DataFrame | None]) -> list[dict]:
    """One row per metric."""
    values = cell[list(METRICS)].astype(np.float64)
    columns = {"": values}
    for short, rival in rivals.items():
        if rival is not None:
            columns[f"vs_{short}"] = values - rival.loc[cell.index, list(METRICS)].astype(np.float64)
    told = {name: _intervals(part) for name, part in columns.items()}
    rows = []
    for metric in METRICS:
        n, mean, low, high = told[""][metric]
        if metric == "completed":
            low, high = wilson_interval(int(cell.completed.sum()), len(cell))
        row = {"metric": metric, "n": n, "mean": mean, "low": low, "high": high}
        for short in BASELINES.values():
            name = f"vs_{short}"
            _, mean, low, high = told[name][metric] if name in told else (0, np.nan, np.nan, np.nan)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def _intervals(values: pd.DataFrame) -> dict[str, tuple[int, float, float, float]]:
    """Column -> number of values that are there, their mean, and its interval."""
    found = {}
    complete = [name for name in values if values[name].notna().all()]
    low, high = mean_intervals(values[complete].to_numpy())
    for k, name in enumerate(complete):
        found[name] = len(values), float(values[name].mean()), float(low[k]), float(high[k])
    for name in values.columns.difference(complete):
        there = values[[name]].dropna().to_numpy()
        if len(there):
            (low_there,), (high_there,) = mean_intervals(there)
            found[name] = len(there), float(there.mean()), float(low_there), float(high_there)
        else:
            found[name] = 0, np.nan, np.nan, np.nan
    return found


def exploitability(episodes: pd.DataFrame, reference: str = "random") -> pd.DataFrame:
    """Survival against ``reference`` less survival against the best response, by defender, budget and stratum.

    The best response is the attacker that was trained for the defender (``kind`` "trained"); where the matrix has
    none, the attacker that leaves it the least survival takes its place (``kind`` "in matrix"), and the value is a
    lower bound. Mean of the paired differences with its bootstrap interval.
    """
    rows = []
    attacked = episodes[~episodes.attacker.isin([NOBODY])]
    for (budget, defender), part in attacked.groupby(["budget", "defender"], sort=False):
        cells = {attacker: cell.set_index("episode").sort_index() for attacker, cell in part.groupby("attacker")}
        if reference not in cells or len(cells) < 2:
            continue
        trained = BEST_RESPONSE in cells
        response = BEST_RESPONSE if trained else min(cells, key=lambda name: cells[name].survival.mean())
        for stratum in STRATA:
            chosen = cells[reference] if stratum == ALL else cells[reference].query("stratum == @stratum")
            if len(chosen) == 0:
                continue
            gap = chosen.survival - cells[response].survival.loc[chosen.index]
            (low,), (high,) = mean_intervals(gap.to_numpy()[:, None])
            rows.append(
                {
                    "budget": budget,
                    "defender": defender,
                    "stratum": stratum,
                    "response": response,
                    "kind": "trained" if trained else "in matrix",
                    "n": len(gap),
                    "reference": chosen.survival.mean(),
                    "response_survival": cells[response].survival.loc[chosen.index].mean(),
                    "exploitability": gap.mean(),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def pick(table: pd.DataFrame, metric: str, stratum: str = ALL) -> pd.DataFrame:
    """The summary's rows of one metric and stratum, by (budget, attacker, defender)."""
    return table[(table.metric == metric) & (table.stratum == stratum)].set_index(CELL)


def shown_cells(
    table: pd.DataFrame, budget: str, attackers: Sequence[str], defenders: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Keys of the cells that a budget's table shows, row by row: the attacker that never attacks is in all of them."""
    known = set(zip(table.budget, table.attacker, table.defender, strict=True))
    keys = [
        (NOBODY if attacker == NOBODY else budget, attacker, defender)
        for attacker in attackers
        for defender in defenders
    ]
    return [key for key in keys if key in known]


def as_text(table: pd.DataFrame, budget: str, attackers: Sequence[str], defenders: Sequence[str]) -> str:
    """The table of one budget for the terminal: one line per attacker and defender."""
    metrics = {metric: pick(table, metric) for metric in METRICS}
    strata = {stratum: pick(table, "survival", stratum) for stratum in (CALM, HARD)}
    width = max([len(name) for name in (*attackers, *defenders)] + [10]) + 2
    lines = [
        f"budget {budget}",
        f"{'attacker':<{width}}{'defender':<{width}}{'survival':>9}  {'95 %':<12}{'calm':>6}{'hard':>6}{'complete':>9}"
        f"  {'vs nothing':<20}{'vs greedy':<20}{'unserved':>9}{'operation':>10}{'overload':>9}{'illegal':>8}"
        f"{'attacks':>8}{'recovered':>10}{'steps':>6}",
    ]
    for key in shown_cells(table, budget, attackers, defenders):
        row = {metric: metrics[metric].loc[key] for metric in METRICS}
        survival = row["survival"]
        by_stratum = "".join(
            f"{_percent(strata[s].loc[key, 'mean'] if key in strata[s].index else np.nan):>6}" for s in (CALM, HARD)
        )
        differences = "".join(f"{_difference(survival, f'vs_{short}'):<20}" for short in BASELINES.values())
        lines.append(
            f"{key[1]:<{width}}{key[2]:<{width}}{survival['mean']:>9.1%}  "
            f"{f'{survival.low:.0%} to {survival.high:.0%}':<12}{by_stratum}{row['completed']['mean']:>9.0%}"
            f"  {differences}{row['unserved_mwh']['mean']:>9.0f}{row['cost_operation']['mean']:>10.0f}"
            f"{row['overload_hours']['mean']:>9.2f}{row['illegal']['mean']:>8.2f}{row['attacks']['mean']:>8.2f}"
            f"{_percent(row['recovered']['mean']):>10}{_number(row['recovery_steps']['mean']):>6}"
        )
    return "\n".join(lines)


def exploitability_text(rows: pd.DataFrame) -> str:
    """For the terminal."""
    if len(rows) == 0:
        return "exploitability: the matrix needs the random attacker and another one"
    lines = ["exploitability: survival against random less survival against the best response"]
    lines += [
        f"  {row.budget:<9}{row.defender:<24}{row.exploitability:>7.1%}  "
        f"{f'{row.low:.0%} to {row.high:.0%}':<14}{row.response} ({row.kind})"
        for row in rows[rows.stratum == ALL].itertuples()
    ]
    return "\n".join(lines)


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.0%}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"


def _difference(row: pd.Series, name: str) -> str:
    if np.isnan(row[name]):
        return "-"
    return f"{row[name]:+.0%} ({row[f'{name}_low']:+.0%} to {row[f'{name}_high']:+.0%})"
