"""The future as it is foreseen at one moment: a series in which the forecasts issued then come true."""

from __future__ import annotations

import numpy as np

from marlgrid.model.time_series import Injections, TimeSeries


class Foreseen:
    """A ``TimeSeries`` of row ``issued`` and of the forecasts that ``source`` gives there, in place of what will be.

    Nothing that becomes known later is in it: several steps ahead are foreseen with what is known at ``issued``.
    ``shift`` is by how many rows the clock is ahead of the row number: after a jump over several steps.
    """

    def __init__(self, source: TimeSeries, issued: int, shift: int = 0) -> None:
        self.source, self.issued, self.shift = source, issued, shift
        self.n_horizon, self.delta_time, self.splits = source.n_horizon, source.delta_time, source.splits

    def n_rows(self, scenario: int) -> int:
        """Up to the row of the last forecast."""
        return min(self.issued + self.n_horizon + 1, self.source.n_rows(scenario))

    def horizons_left(self, t: int) -> int:
        """How many steps ahead of row ``t`` are foreseen."""
        return self.issued + self.n_horizon - t

    def start(self, scenario: int) -> np.datetime64:
        elapsed = np.timedelta64(round(self.shift * self.delta_time * 60), "s")
        return self.source.start(scenario).astype("datetime64[s]") + elapsed

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Rows ``t`` (n_env,). Raises ValueError for one that is not foreseen."""
        ahead = np.asarray(t) - self.issued
        if ahead.min() < 0 or ahead.max() > self.n_horizon:
            last = self.issued + self.n_horizon
            raise ValueError(f"row(s) {np.unique(t).tolist()} asked for: rows {self.issued} to {last} are foreseen")
        issued = np.full_like(t, self.issued)
        if (ahead == ahead[0]).all():
            return self._row(scenario, issued, int(ahead[0]))
        parts = [self._row(scenario[e : e + 1], issued[:1], int(h)) for e, h in enumerate(ahead)]
        return Injections(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _row(self, scenario: np.ndarray, issued: np.ndarray, ahead: int) -> Injections:
        return self.source.forecast(scenario, issued, ahead) if ahead else self.source.at(scenario, issued)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """What is foreseen ``horizon`` rows later. Raises ValueError beyond the forecasts that were issued."""
        left = self.horizons_left(int(t.max()))
        if not 0 <= horizon <= left:
            raise ValueError(f"no forecast {horizon} steps ahead: give a horizon from 0 to {left}")
        return self.at(scenario, t + horizon)

    def clock_ahead(self, n_row: int) -> Foreseen:
        """The same with the clock ``n_row`` rows ahead of the row number."""
        return Foreseen(self.source, self.issued, n_row)
