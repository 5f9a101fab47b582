"""Random maintenance under the terms of a Grid2Op folder: a pure function of the scenario number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid import seeding

STREAM = 910
"""Stream of the draws."""


class MaintenancePlan(NamedTuple):
    """When lines may be taken out, and how likely."""

    n_line: int
    lines: np.ndarray
    """(n,) int32 lines that may be maintained."""
    start_hour: float
    end_hour: float
    """A maintenance lasts from the first to the second hour of a day."""
    probability: np.ndarray
    """(12,) probability of each line on a day, by month."""
    most: np.ndarray
    """(12,) most lines in a day, by month."""
    weekdays: tuple[int, ...]
    """Days on which there may be maintenance, Monday is 0."""


def draw_maintenance(
    plan: MaintenancePlan, scenario: int, start: np.datetime64, n_row: int, delta_time: float
) -> np.ndarray:
    """(n_row, n_line) bool: True while a line is out.

    Grid2Op's model (``GridStateFromFileWithForecastsWithMaintenance``): on each allowed day every line is drawn by
    itself, and a surplus over the day's maximum is given up at random. Unlike there, hours are those of the clock (not
    counted from the first row), and the last day is like any other.
    """
    seconds = np.round(np.arange(n_row) * delta_time * 60).astype("timedelta64[s]")
    time = start.astype("datetime64[s]") + seconds
    day = time.astype("datetime64[D]")
    hour = (time - day).astype(float) / 3600
    window = (hour >= plan.start_hour) & (hour < plan.end_hour)
    mask = np.zeros((n_row, plan.n_line), dtype=bool)
    for date in np.unique(day):
        chosen = _lines_of_day(plan, scenario, date)
        if len(chosen):
            mask[np.ix_((day == date) & window, chosen)] = True
    return mask


def _lines_of_day(plan: MaintenancePlan, scenario: int, date: np.datetime64) -> np.ndarray:
    """Lines in maintenance on a date."""
    number = int(date.astype(np.int64))
    # 1970-01-01, day 0, was a Thursday.
    if (number + 3) % 7 not in plan.weekdays:
        return plan.lines[:0]
    month = int(date.astype("datetime64[M]").astype(np.int64)) % 12
    n = len(plan.lines)
    draws = seeding.uniform(np.array([scenario]), np.array([number]), STREAM, 2 * n)[0]
    drawn = np.flatnonzero(draws[:n] < plan.probability[month])
    kept = drawn[np.argsort(draws[n:][drawn], kind="stable")][: max(int(plan.most[month]), 0)]
    return np.sort(plan.lines[kept])
