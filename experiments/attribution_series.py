"""Time series in which some outages of lines do not happen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.model.time_series import Injections, TimeSeries


class Spared(NamedTuple):
    """A line that stays in service in a scenario of its own until a row of the series."""

    scenario: int
    """Number of the scenario made up for it."""
    line: int
    until: int


class SparedSeries:
    """Another series with scenarios made up beside its own: each is one of them with some outages left out."""

    def __init__(self, series: TimeSeries) -> None:
        self.series = series
        self.n_horizon, self.delta_time, self.splits = series.n_horizon, series.delta_time, series.splits
        self._first = 1 + max((split[-1] for split in series.splits.values() if len(split)), default=0)
        self._real: list[int] = []
        self._spared: list[Spared] = []

    def add(self, scenario: int, outages: list[tuple[int, int]]) -> int:
        """The number of a new scenario: like ``scenario``, but for ``outages`` (line, row at which it would end)."""
        made_up = self._first + len(self._real)
        self._real.append(scenario)
        self._spared += [Spared(made_up, line, until) for line, until in outages]
        return made_up

    def n_rows(self, scenario: int) -> int:
        return self.series.n_rows(int(self.real(np.array([scenario]))[0]))

    def start(self, scenario: int) -> np.datetime64:
        return self.series.start(int(self.real(np.array([scenario]))[0]))

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        return self._without(self.series.at(self.real(scenario), t), scenario, t)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        return self._without(self.series.forecast(self.real(scenario), t, horizon), scenario, t + horizon)

    def real(self, scenario: np.ndarray) -> np.ndarray:
        """(n_env,) the scenarios that these are, or were made of."""
        made_up = scenario >= self._first
        if not made_up.any():
            return scenario
        return np.where(made_up, np.array(self._real)[np.where(made_up, scenario - self._first, 0)], scenario)

    def _without(self, injections: Injections, scenario: np.ndarray, t: np.ndarray) -> Injections:
        wait, length, hazard = (np.array(array) for array in injections[-3:])
        for spared in self._spared:
            rows = (scenario == spared.scenario) & (t < spared.until)
            wait[rows, spared.line] = -1
            length[rows, spared.line] = hazard[rows, spared.line] = 0
        return injections._replace(time_next_maintenance=wait, duration_next_maintenance=length, hazard_duration=hazard)
