"""When the scenarios begin, for kernels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from marlgrid.lookup import hashed
from marlgrid.model.time_series import TimeSeries

MINUTES_PER_WEEK = 7 * 1440


class Calendar:
    """The moments of the week at which scenarios begin, as far as they were asked for."""

    def __init__(self, series: TimeSeries) -> None:
        self._series = series
        self._minute: dict[int, int] = {}
        self.table = hashed(self._minute)
        """Scenario -> minutes from Monday 0:00 to its row 0, for ``lookup.find``."""

    def learn(self, scenarios: Iterable[int]) -> None:
        """Looks up what is not in the table yet."""
        for scenario in set(scenarios).difference(self._minute):
            minutes = self._series.start(scenario).astype("datetime64[m]").astype(np.int64)
            self._minute[scenario] = int(minutes + 3 * 1440) % MINUTES_PER_WEEK  # 1970-01-01 was a Thursday
        self.table = hashed(self._minute)
