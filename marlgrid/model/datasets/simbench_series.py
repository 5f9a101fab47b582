"""SimBench's year as scenarios of one week each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.scenario_cache import ScenarioCache
from marlgrid.model.time_series import Injections, ScenarioArrays

MINUTES = 15.0
ROWS_PER_WEEK = 7 * 96
WEEKS_PER_SEASON = 13
VALIDATION_WEEKS, TEST_WEEKS = (4, 5), (10, 11)
"""Weeks of each quarter of the year that are held out, two in a row: fewer borders with the weeks trained on."""
N_HORIZON = 12


class Scaled(NamedTuple):
    """Elements whose power is a profile times a factor."""

    column: np.ndarray
    """(n_element,) column of the profiles."""
    factor: np.ndarray
    """(n_element,) MW or MVAr."""

    def of(self, profiles: np.ndarray) -> np.ndarray:
        """(n_row, n_element) MW or MVAr."""
        return profiles[:, self.column] * self.factor


class SimbenchSeries:
    """52 weeks of quarters of an hour, 673 rows each: the last row of a week is the first of the next.

    Scenarios are numbered split by split, in the order of the calendar in each: of every 13 weeks the fifth and sixth
    are for validation, the eleventh and twelfth for test, the other nine for training. Voltages stay at the grid's set
    points, there is no maintenance and no accident, and the slack generator is scheduled to meet what the others leave
    of the load; losses come on top. Forecasts are perfect, to the end of the week.

    Args:
        grid: the grid.
        profiles: (n_row, n_profile) shares.
        load_p, load_q, gen_p: profile and factor of each element; the slack's is not used.
        start: date and time of row 0 of the profiles.
    """

    def __init__(
        self, grid: Grid, profiles: np.ndarray, load_p: Scaled, load_q: Scaled, gen_p: Scaled, start: np.datetime64
    ) -> None:
        self.delta_time = MINUTES
        self.n_horizon = N_HORIZON
        self.weeks, self.splits = weeks_by_split((len(profiles) - 1) // ROWS_PER_WEEK)
        self._profiles, self._start = profiles, start
        self._load_p, self._load_q, self._gen_p = load_p, load_q, gen_p
        self._slack, self._gen_v, self._n_line = grid.slack_gen, grid.gen_v_kv, grid.n_line
        self._cache = ScenarioCache(self.scenario, grid.n_load, grid.n_gen, grid.n_line)

    def n_rows(self, scenario: int) -> int:  # noqa: ARG002
        return ROWS_PER_WEEK + 1

    def start(self, scenario: int) -> np.datetime64:
        return self._start + self._first_row(scenario) * np.timedelta64(int(MINUTES), "m")

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Fresh contiguous float64 and int32 arrays; a row past the end is the last one."""
        return self._cache.rows(scenario, t)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """As ``at``. Raises ValueError for an unknown horizon."""
        if not 1 <= horizon <= self.n_horizon:
            raise ValueError(f"forecast horizon {horizon} is not offered, choose from 1 to {self.n_horizon}")
        return self._cache.rows(scenario, t + horizon)

    def scenario(self, number: int) -> ScenarioArrays:
        """All rows of a week. Raises ValueError for an unknown number."""
        first = self._first_row(number)
        profiles = self._profiles[first : first + ROWS_PER_WEEK + 1]
        load_p, load_q = self._load_p.of(profiles), self._load_q.of(profiles)
        gen_p = balanced(load_p, self._gen_p.of(profiles), self._slack)
        values = np.concatenate([load_p, load_q, gen_p, np.broadcast_to(self._gen_v, gen_p.shape)], axis=1)
        outages = np.zeros((len(values), 3 * self._n_line), dtype=np.int32)
        outages[:, : self._n_line] = -1  # no maintenance is planned
        return ScenarioArrays(values.astype(np.float32), outages, self.start(number))

    def _first_row(self, number: int) -> int:
        if not 0 <= number < len(self.weeks):
            raise ValueError(f"scenario {number} does not exist, choose from 0 to {len(self.weeks) - 1}")
        return self.weeks[number] * ROWS_PER_WEEK


def weeks_by_split(n_week: int) -> tuple[list[int], dict[str, range]]:
    """Week of the year of each scenario number, and the numbers of each split."""
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for week in range(n_week):
        place = week % WEEKS_PER_SEASON
        parts["validation" if place in VALIDATION_WEEKS else "test" if place in TEST_WEEKS else "train"].append(week)
    bounds = np.cumsum([0, *(len(part) for part in parts.values())]).tolist()
    weeks = [week for part in parts.values() for week in part]
    return weeks, {split: range(*bounds[i : i + 2]) for i, split in enumerate(parts)}


def balanced(load_p: np.ndarray, gen_p: np.ndarray, slack: int) -> np.ndarray:
    """(n_row, n_gen) MW: the slack generator meets what the others leave of the load, losses aside."""
    gen_p[:, slack] = 0.0
    gen_p[:, slack] = load_p.sum(axis=1) - gen_p.sum(axis=1)
    return gen_p
