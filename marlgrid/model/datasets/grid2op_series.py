"""Scenarios that are folders of csv tables, as a ``TimeSeries``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marlgrid.model.datasets.grid2op_chronics import (
    Reading,
    read_forecast,
    read_init_state,
    read_interval,
    read_outages,
    read_start,
    read_values,
)
from marlgrid.model.scenario_cache import ScenarioCache
from marlgrid.model.time_series import Injections, ScenarioArrays


class FolderSeries:
    """Grid2Op's chronics: scenario ``k`` is folder ``k % n_folder``, read when one of its rows is first asked for.

    Random maintenance is another draw for each ``k``; without it scenarios ``k`` and ``k + n_folder`` are equal. Row 0
    is at the time that the folder's ``start_datetime.info`` gives.
    """

    def __init__(self, folders: Sequence[Path], reading: Reading) -> None:
        self.folders = tuple(folders)
        """One per scenario, in Grid2Op's (alphabetical) order."""
        self.reading = reading
        self.n_horizon = reading.n_horizon
        self.delta_time = reading.delta_time
        self.splits = split_ranges(len(self.folders))
        names = reading.names
        n_load, n_gen, n_line = len(names.loads), len(names.prods), len(names.lines)
        self._length: dict[Path, int] = {}
        self._init_state: dict[Path, Mapping[str, Any] | None] = {}
        self._actual = ScenarioCache(self.scenario, n_load, n_gen, n_line)
        # Forecasts are kept without outages, those are read off the actual rows.
        self._expected = ScenarioCache(self._forecasts, n_load, n_gen, 0)

    # ------------------------------------------------------------------ the protocol
    def n_rows(self, scenario: int) -> int:
        folder = self.folder(scenario)
        if folder not in self._length:
            self.at(np.array([scenario]), np.zeros(1, dtype=np.int32))
        return self._length[folder]

    def start(self, scenario: int) -> np.datetime64:
        return read_start(self.folder(scenario))

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Fresh contiguous float64 and int32 arrays; a row past the end is the last one."""
        return self._actual.rows(scenario, t)

    def fill(self, scenario: np.ndarray, t: np.ndarray, out: Injections) -> None:
        """The same, written into ``out``."""
        self._actual.fill(scenario, t, out)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """As ``at``; outages by accident run out as they would, and none is foreseen.

        Raises ValueError for a horizon that the folder has no forecast of.
        """
        if not 1 <= horizon <= self.n_horizon:
            raise ValueError(f"forecast horizon {horizon} is not offered, these data have {self.n_horizon} horizon(s)")
        now = self._actual.rows(scenario, t)
        then = self._actual.rows(scenario, t + horizon)
        expected = self._expected.rows(scenario, t * self.n_horizon + (horizon - 1))
        return expected._replace(
            time_next_maintenance=then.time_next_maintenance,
            duration_next_maintenance=then.duration_next_maintenance,
            hazard_duration=np.maximum(now.hazard_duration - horizon, 0).astype(np.int32),
        )

    def init_state(self, scenario: int) -> Mapping[str, Any] | None:
        """The action that the folder starts with (``init_state.json``), in the names of the grid; None without one."""
        folder = self.folder(scenario)
        if folder not in self._init_state:
            self._init_state[folder] = read_init_state(folder, self.reading)
        return self._init_state[folder]

    # ------------------------------------------------------------------ one scenario
    def folder(self, scenario: int) -> Path:
        """The folder of a scenario number."""
        if scenario < 0:
            raise ValueError(f"scenario {scenario} does not exist, give a number of at least 0")
        return self.folders[scenario % len(self.folders)]

    def scenario(self, number: int) -> ScenarioArrays:
        """All rows of a scenario, read from its folder."""
        folder = self.folder(number)
        interval = read_interval(folder)
        if interval is not None and interval != self.delta_time:
            raise ValueError(
                f"{folder} has steps of {interval} minutes, other scenarios of {self.delta_time}: give all the same"
            )
        values = read_values(folder, self.reading)
        self._length[folder] = len(values)
        return ScenarioArrays(values, read_outages(folder, number, len(values), self.reading), read_start(folder))

    def _forecasts(self, number: int) -> ScenarioArrays:
        """The forecasts of a scenario as rows, without outages."""
        folder = self.folder(number)
        values = read_forecast(folder, self.n_rows(number), self.reading)
        return ScenarioArrays(values, np.zeros((len(values), 0), dtype=np.int32), read_start(folder))


def split_ranges(n_folder: int) -> dict[str, range]:
    """Disjoint ranges of folders: 80 % train, then 10 % each (at least one) for validation and test.

    With one or two folders they cannot be disjoint: every split is all of them.
    """
    if n_folder < 3:
        return {split: range(n_folder) for split in ("train", "validation", "test")}
    held_out = max(1, n_folder // 10)
    bounds = n_folder - 2 * held_out, n_folder - held_out
    return {"train": range(bounds[0]), "validation": range(*bounds), "test": range(bounds[1], n_folder)}
