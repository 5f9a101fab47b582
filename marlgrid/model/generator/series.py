"""The built-in time series: any number of weeks on any grid, each a pure function of its scenario number."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property

import numpy as np

from marlgrid import seeding
from marlgrid.model.generator import demand, noise, planning, schedule, weather
from marlgrid.model.grid import Grid
from marlgrid.model.outages import hazard_counters, maintenance_counters
from marlgrid.model.scenario_cache import ScenarioCache
from marlgrid.model.time_series import Injections, ScenarioArrays

SPLITS = {"train": range(100_000), "validation": range(100_000, 110_000), "test": range(110_000, 120_000)}
REFERENCE_YEAR = np.datetime64("2023-01-01", "m")
LOAD_FORECAST_SPREAD, WIND_FORECAST_SPREAD, SOLAR_FORECAST_SPREAD = 0.004, 0.02, 0.016
"""Standard deviation of the error one step ahead, as a share of the value; it grows with the root of the horizon."""


class Stream(IntEnum):
    """One number per use of randomness."""

    CALENDAR = 1
    LOAD_SLOW = 2
    LOAD_FAST = 3
    LOAD_REACTIVE = 4
    WIND_WEATHER = 5
    WIND_GUSTS = 6
    CLOUDS = 7
    FLICKER = 8
    PRICES = 9
    MAINTENANCE = 10
    HAZARDS = 11
    FORECAST = 12
    LEVEL = 13
    READINESS = 14
    HOUSEHOLDS = 15


class GeneratedSeries:
    """Loads, wind, sun, a schedule of the other units and planned maintenance, by default for one week of 5 minutes.

    A scenario number (0, 1, ...) fixes all of it: the day of the year on which it starts (at midnight), the weather,
    the loads, the prices. Loads have daily, weekly and seasonal shapes around the grid's operating point
    (``load_p_mw``, about the evening peak of a winter's day), renewables follow the weather, the other generators
    meet load and losses in merit order within limits and ramps; renewables are spilled where even the least that the
    others may produce is too much, and what the others cannot follow is left to the slack generator. Voltages stay at
    the grid's set points. A forecast misses the news of its horizon: its error has mean 0, spreads with the root of the
    horizon, is shared by overlapping forecasts; its schedule follows its loads and renewables as far as ramps allow.

    Args:
        grid: generators need a type, limits, ramps and a cost; ``sub_xy`` says which sites share their weather.
        n_rows: rows of a scenario; 2017 make one week of 5-minute steps.
        delta_time: minutes between rows.
        n_horizon: forecast horizons.
        load_scale: factor on the grid's operating point.
        loss_share: losses as a share of the load at the operating point (they grow with its square); ``None`` takes
            what generation exceeds load by at the operating point, if that is plausible, else 2 %.
        households: (n_load,) share of households in each load, the rest being working places; ``None`` draws them.
        maintenance_lines: names of the lines that may be taken out for maintenance.
        maintenance_per_week: mean number of maintenances in a week.
        hazards_per_year: mean number of accidental outages of each line in a year.
        splits: other scenario ranges than ``SPLITS``.
        max_bytes: memory for recent scenarios.

    Raises:
        ValueError: a count or rate out of its range, an unknown line, no dispatchable generator.
    """

    def __init__(
        self,
        grid: Grid,
        n_rows: int = 2017,
        *,
        delta_time: float = 5.0,
        n_horizon: int = 12,
        load_scale: float = 1.0,
        loss_share: float | None = None,
        households: np.ndarray | None = None,
        maintenance_lines: Sequence[str] = (),
        maintenance_per_week: float = 0.0,
        hazards_per_year: float = 0.0,
        splits: dict[str, range] | None = None,
        max_bytes: int = 512 * 2**20,
    ) -> None:
        _check(grid, n_rows, delta_time, n_horizon, maintenance_lines, maintenance_per_week, hazards_per_year)
        self.grid = grid
        self.rows = n_rows
        self.delta_time = float(delta_time)
        self.n_horizon = n_horizon
        self.load_scale = load_scale
        self.loss_share = _loss_share(grid) if loss_share is None else float(loss_share)
        self.households = _households(grid, households)
        self.maintenance_lines = np.flatnonzero(np.isin(grid.name_line, list(maintenance_lines)))
        self.maintenance_per_week = maintenance_per_week
        self.hazards_per_year = hazards_per_year
        self.splits = dict(SPLITS if splits is None else splits)
        self._cache = ScenarioCache(self.scenario, grid.n_load, grid.n_gen, grid.n_line, max_bytes)

    # ------------------------------------------------------------------ the protocol
    def n_rows(self, scenario: int) -> int:  # noqa: ARG002
        return self.rows

    def start(self, scenario: int) -> np.datetime64:
        return REFERENCE_YEAR + np.timedelta64(1440 * self._day_of_year(scenario), "m")

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Fresh contiguous float64 and int32 arrays; a row past the end is the last one."""
        return self._cache.rows(scenario, t)

    def fill(self, scenario: np.ndarray, t: np.ndarray, out: Injections) -> None:
        """The same, written into ``out``."""
        self._cache.fill(scenario, t, out)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """As ``at``; a forecast past the end is one of the last row. Raises ValueError for an unknown horizon."""
        if not 1 <= horizon <= self.n_horizon:
            raise ValueError(f"forecast horizon {horizon} is not offered, choose from 1 to {self.n_horizon}")
        grid = self.grid
        now = self._cache.rows(scenario, t)
        then = self._cache.rows(scenario, t + horizon)
        load_error, gen_error = self._forecast_errors(scenario, t, horizon)
        schedule.forecast_errors(
            then.load_p, then.load_q, then.gen_p, now.gen_p, load_error, gen_error, grid.gen_redispatchable,
            grid.gen_pmin, grid.gen_pmax, grid.gen_max_ramp_up * horizon, grid.gen_max_ramp_down * horizon,
            self.loss_share,
        )  # fmt: skip
        return then._replace(hazard_duration=np.maximum(now.hazard_duration - horizon, 0).astype(np.int32))

    def _forecast_errors(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Errors of loads and generators (n_env, n) as shares: minus the news of the steps up to t + horizon."""
        n_load, n_gen = self.grid.n_load, self.grid.n_gen
        news = seeding.normal_sum(scenario, t, Stream.FORECAST, n_load + n_gen, horizon)
        return -LOAD_FORECAST_SPREAD * news[:, :n_load], -self._gen_forecast_spread * news[:, n_load:]

    @cached_property
    def _gen_forecast_spread(self) -> np.ndarray:
        spread = {"wind": WIND_FORECAST_SPREAD, "solar": SOLAR_FORECAST_SPREAD}
        return np.array([spread.get(kind, 0.0) for kind in self.grid.gen_type])

    # ------------------------------------------------------------------ one scenario
    def scenario(self, number: int) -> ScenarioArrays:
        """All rows of a scenario."""
        if number < 0:
            raise ValueError(f"scenario {number} does not exist, give a number of at least 0")
        number = int(number)
        minutes = np.arange(self.rows) * self.delta_time
        day = self._day_of_year(number)
        load_p, load_q = self._loads(number, minutes, day)
        gen_p = self._generation(number, minutes, day, load_p.sum(axis=1))
        gen_v = np.broadcast_to(self.grid.gen_v_kv, gen_p.shape)
        return ScenarioArrays(
            values=np.concatenate([load_p, load_q, gen_p, gen_v], axis=1).astype(np.float32),
            outages=self._outages(number, minutes),
            start=self.start(number),
        )

    def losses(self, total_load: np.ndarray) -> np.ndarray:
        """Estimate of the losses, MW, at a total load, MW."""
        operating_point = max(float(self.grid.load_p_mw.sum()), 1e-9)
        return self.loss_share * total_load**2 / operating_point

    def _day_of_year(self, scenario: int) -> int:
        return int(seeding.uniform(*_origin(scenario), Stream.CALENDAR, 1)[0, 0] * 365)

    def _weekday(self, scenario: int) -> int:
        """0 for Monday to 6 for Sunday; day 0 of Unix time was a Thursday."""
        return int(self.start(scenario).astype("datetime64[D]").astype(int) + 3) % 7

    def _loads(self, scenario: int, minutes: np.ndarray, day: int) -> tuple[np.ndarray, np.ndarray]:
        grid, n_row = self.grid, self.rows
        shapes = demand.weekly_shapes(minutes, self._weekday(scenario))
        slow = noise.smooth_field(
            scenario, Stream.LOAD_SLOW, self._load_factor, n_row, self.delta_time, hours=14.0, knot=1.0
        )
        fast = noise.rough_noise(scenario, Stream.LOAD_FAST, grid.n_load, n_row, self.delta_time, minutes=0.0)
        wander = noise.smooth_field(
            scenario, Stream.LOAD_REACTIVE, np.eye(grid.n_load), n_row, self.delta_time, hours=6.0, knot=1.0
        )
        level = (
            self.load_scale
            * demand.season(day)
            * (1.0 + 0.02 * seeding.normal(*_origin(scenario), Stream.LEVEL, 1)[0, 0])
        )
        return demand.load_power(grid.load_p_mw, grid.load_q_mvar, self.households, level, shapes, slow, fast, wander)

    def _generation(self, scenario: int, minutes: np.ndarray, day: int, load: np.ndarray) -> np.ndarray:
        """(n_row, n_gen) MW."""
        grid, n_row = self.grid, self.rows
        available = np.full((n_row, grid.n_gen), -1.0)
        for kind, share in (("wind", self._wind), ("solar", self._solar)):
            units = self._units(kind)
            if len(units):
                available[:, units] = grid.gen_pmax[units] * share(scenario, minutes, day)
        price, pmax = self._market(scenario, n_row)
        return schedule.merit_order(
            load + self.losses(load), available, np.minimum(grid.gen_pmin, pmax), pmax,
            grid.gen_max_ramp_up, grid.gen_max_ramp_down, price,
        )  # fmt: skip

    def _wind(self, scenario: int, minutes: np.ndarray, day: int) -> np.ndarray:
        n_row, factor = len(minutes), self._wind_factor
        blowing = noise.smooth_field(
            scenario, Stream.WIND_WEATHER, factor, n_row, self.delta_time, hours=20.0, knot=3.0
        )
        gusts = noise.rough_noise(scenario, Stream.WIND_GUSTS, len(factor), n_row, self.delta_time, minutes=20.0)
        return weather.wind_share(blowing, gusts, day)

    def _solar(self, scenario: int, minutes: np.ndarray, day: int) -> np.ndarray:
        n_row, factor = len(minutes), self._solar_factor
        clouds = noise.smooth_field(scenario, Stream.CLOUDS, factor, n_row, self.delta_time, hours=8.0, knot=2.0)
        flicker = noise.rough_noise(scenario, Stream.FLICKER, len(factor), n_row, self.delta_time, minutes=10.0)
        return weather.solar_share(clouds, flicker, day, minutes)

    def _market(self, scenario: int, n_row: int) -> tuple[np.ndarray, np.ndarray]:
        """(n_row, n_gen) prices per MW and upper limits MW: fuel and water are worth more or less, day by day."""
        grid = self.grid
        spread = {"hydro": 0.2, "thermal": 0.15}
        volatility = np.array([spread.get(kind, 0.05) for kind in grid.gen_type])
        days = noise.smooth_field(
            scenario, Stream.PRICES, np.eye(grid.n_gen), n_row, self.delta_time, hours=48.0, knot=6.0
        )
        price = np.maximum(grid.gen_cost_per_mw, 1.0) * np.exp(volatility * days)
        ready = 1.0 - 0.15 * seeding.uniform(*_origin(scenario), Stream.READINESS, grid.n_gen)[0]
        nuclear = np.array([kind == "nuclear" for kind in grid.gen_type])
        return price, np.broadcast_to(grid.gen_pmax * np.where(nuclear, ready, 1.0), price.shape)

    def _outages(self, scenario: int, minutes: np.ndarray) -> np.ndarray:
        n_line = self.grid.n_line
        planned = planning.maintenance_mask(
            scenario, Stream.MAINTENANCE, self.maintenance_lines, n_line, minutes, self._weekday(scenario),
            self.maintenance_per_week,
        )  # fmt: skip
        accidents = planning.hazard_mask(scenario, Stream.HAZARDS, n_line, minutes, self.hazards_per_year)
        return np.concatenate([*maintenance_counters(planned), hazard_counters(accidents)], axis=1)

    # ------------------------------------------------------------------ space
    def _units(self, kind: str) -> np.ndarray:
        return np.flatnonzero([gen_type == kind for gen_type in self.grid.gen_type])

    @cached_property
    def _load_factor(self) -> np.ndarray:
        return noise.spatial_factor(self.grid.sub_xy[self.grid.load_to_subid], reach=0.3, common=0.4)

    @cached_property
    def _wind_factor(self) -> np.ndarray:
        return noise.spatial_factor(self.grid.sub_xy[self.grid.gen_to_subid[self._units("wind")]], reach=3.0)

    @cached_property
    def _solar_factor(self) -> np.ndarray:
        return noise.spatial_factor(self.grid.sub_xy[self.grid.gen_to_subid[self._units("solar")]], reach=3.0)


def _origin(scenario: int) -> tuple[np.ndarray, np.ndarray]:
    """Counters of what a scenario draws as a whole."""
    return np.array([scenario], dtype=np.int64), np.zeros(1, dtype=np.int64)


def _loss_share(grid: Grid) -> float:
    """What the operating point of the grid's file loses, as a share of the load, if that is plausible."""
    load = float(grid.load_p_mw.sum())
    share = (float(grid.gen_p_mw.sum()) - load) / load if load > 0 else 0.0
    return share if 0.0 < share < 0.1 else 0.02


def _households(grid: Grid, given: np.ndarray | None) -> np.ndarray:
    """(n_load,) shares in [0, 1]; drawn from the position of the load where none are given."""
    if given is None:
        return 0.2 + 0.7 * seeding.uniform(*_origin(0), Stream.HOUSEHOLDS, grid.n_load)[0]
    households = np.asarray(given, dtype=float)
    if households.shape != (grid.n_load,) or not ((households >= 0) & (households <= 1)).all():
        raise ValueError(f"households has shape {households.shape}, give {grid.n_load} shares in [0, 1], one per load")
    return households


def _check(
    grid: Grid,
    n_rows: int,
    delta_time: float,
    n_horizon: int,
    maintenance_lines: Sequence[str],
    maintenance_per_week: float,
    hazards_per_year: float,
) -> None:
    if n_rows < 2:
        raise ValueError(f"n_rows is {n_rows}, give at least 2 (a scenario of n rows lasts n - 1 steps)")
    if not 0 < delta_time <= 60:
        raise ValueError(f"delta_time is {delta_time} minutes, give more than 0 and at most 60")
    if n_horizon < 1:
        raise ValueError(f"n_horizon is {n_horizon}, give at least 1")
    for name, rate in (("maintenance_per_week", maintenance_per_week), ("hazards_per_year", hazards_per_year)):
        if not rate >= 0:
            raise ValueError(f"{name} is {rate}, give a rate of at least 0")
    unknown = sorted(set(maintenance_lines) - set(grid.name_line))
    if unknown:
        raise ValueError(f"unknown maintenance line(s) {unknown}; the grid has {list(grid.name_line)}")
    if not grid.gen_redispatchable.any():
        raise ValueError(
            f"grid {grid.name!r} has no dispatchable generator to follow the load; give at least one generator the "
            "type 'thermal', 'nuclear' or 'hydro'"
        )
