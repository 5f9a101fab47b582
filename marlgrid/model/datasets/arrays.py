"""Time series out of the user's own tables: arrays or DataFrames, one set per scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from marlgrid.model.datasets.grid2op_series import split_ranges
from marlgrid.model.grid import Grid
from marlgrid.model.outages import hazard_counters as hazard_counters
from marlgrid.model.outages import maintenance_counters as maintenance_counters
from marlgrid.model.scenario_cache import ScenarioCache
from marlgrid.model.time_series import Injections, ScenarioArrays

REQUIRED = ("load_p", "load_q", "prod_p")
OPTIONAL = ("prod_v", "maintenance", "hazards")
FORECASTS = ("perfect", "persistence")

Tables = Mapping[str, Any]


class ArraySeries:
    """Scenarios given as tables, a row per step and a column per element.

    Args:
        grid: the grid; columns of a DataFrame are matched by its element names, columns of an array by their order.
        scenarios: tables of each scenario: ``load_p`` (MW), ``load_q`` (MVAr), ``prod_p`` (MW), and optionally
            ``prod_v`` (kV; the grid's set points if absent), ``maintenance`` and ``hazards`` (0 or 1 per line; here
            lines without any may be left out of a DataFrame). A mapping's scenarios are numbered in its order.
        delta_time: minutes between rows.
        n_horizon: forecast horizons offered.
        forecast: ``"perfect"`` foresees the rows to come, ``"persistence"`` expects injections to stay as they are.
            Both know maintenance, and neither foresees hazards.
        start: date and time of row 0, one for all scenarios or one each.
        splits: ranges of scenario numbers; by default the first 80 % for ``train``, then 10 % each for
            ``validation`` and ``test``.

    Raises:
        ValueError: tables or columns missing or unknown, NaN, unequal lengths, negative voltages: all of them at once.
    """

    def __init__(
        self,
        grid: Grid,
        scenarios: Mapping[Any, Tables] | Sequence[Tables],
        *,
        delta_time: float = 5.0,
        n_horizon: int = 12,
        forecast: str = "perfect",
        start: np.datetime64 | str | Sequence[np.datetime64 | str] = "2023-01-01",
        splits: dict[str, range] | None = None,
    ) -> None:
        if forecast not in FORECASTS:
            raise ValueError(f"unknown forecast {forecast!r}; choose from {list(FORECASTS)}")
        named = dict(scenarios) if isinstance(scenarios, Mapping) else dict(enumerate(scenarios))
        if not named:
            raise ValueError("no scenario given; give the tables of at least one")
        starts: list[Any] = [start] * len(named) if isinstance(start, np.datetime64 | str) else list(start)
        if len(starts) != len(named):
            raise ValueError(f"{len(starts)} start times for {len(named)} scenarios; give one, or one each")
        self.names = tuple(named)
        self.delta_time = float(delta_time)
        self.n_horizon = n_horizon
        self.persistence = forecast == "persistence"
        self.splits = dict(splits) if splits is not None else split_ranges(len(named))
        self._arrays = [
            _packed(grid, name, tables, np.datetime64(moment, "m"))
            for (name, tables), moment in zip(named.items(), starts, strict=True)
        ]
        self._cache = ScenarioCache(self.scenario, grid.n_load, grid.n_gen, grid.n_line)

    def n_rows(self, scenario: int) -> int:
        return len(self.scenario(scenario).values)

    def start(self, scenario: int) -> np.datetime64:
        return self.scenario(scenario).start

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Fresh contiguous float64 and int32 arrays; a row past the end is the last one."""
        return self._cache.rows(scenario, t)

    def fill(self, scenario: np.ndarray, t: np.ndarray, out: Injections) -> None:
        """The same, written into ``out``."""
        self._cache.fill(scenario, t, out)

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """As ``at``. Raises ValueError for an unknown horizon."""
        if not 1 <= horizon <= self.n_horizon:
            raise ValueError(f"forecast horizon {horizon} is not offered, choose from 1 to {self.n_horizon}")
        now = self._cache.rows(scenario, t)
        then = self._cache.rows(scenario, t + horizon)
        outages = {
            "time_next_maintenance": then.time_next_maintenance,
            "duration_next_maintenance": then.duration_next_maintenance,
            "hazard_duration": np.maximum(now.hazard_duration - horizon, 0).astype(np.int32),
        }
        return (now if self.persistence else then)._replace(**outages)

    def scenario(self, number: int) -> ScenarioArrays:
        """All rows of a scenario. Raises ValueError for an unknown number."""
        if not 0 <= number < len(self._arrays):
            raise ValueError(f"scenario {number} does not exist, choose from 0 to {len(self._arrays) - 1}")
        return self._arrays[number]


def _packed(grid: Grid, name: object, tables: Tables, start: np.datetime64) -> ScenarioArrays:
    """One scenario's tables as arrays; one error with everything that is wrong with them."""
    problems = list(_table_problems(grid, tables))
    if problems:
        raise ValueError(f"scenario {name!r}: " + "; ".join(problems))
    columns = _elements(grid)
    values = [_matrix(tables[table], columns[table]) for table in REQUIRED]
    n_row = len(values[0])
    voltages = tables.get("prod_v")
    held = np.broadcast_to(grid.gen_v_kv, (n_row, grid.n_gen))
    values.append(held if voltages is None else _matrix(voltages, grid.name_gen))
    masks = {
        table: np.zeros((n_row, grid.n_line)) if tables.get(table) is None else _matrix(tables[table], grid.name_line)
        for table in ("maintenance", "hazards")
    }
    outages = [*maintenance_counters(masks["maintenance"]), hazard_counters(masks["hazards"])]
    return ScenarioArrays(np.concatenate(values, axis=1).astype(np.float32), np.concatenate(outages, axis=1), start)


def _elements(grid: Grid) -> dict[str, tuple[str, ...]]:
    """Names of the columns of each table."""
    return {
        "load_p": grid.name_load,
        "load_q": grid.name_load,
        "prod_p": grid.name_gen,
        "prod_v": grid.name_gen,
        "maintenance": grid.name_line,
        "hazards": grid.name_line,
    }


def _table_problems(grid: Grid, tables: Tables) -> Iterator[str]:
    """One sentence per problem."""
    elements = _elements(grid)
    unknown = sorted(set(tables) - set(elements))
    if unknown:
        yield f"unknown table(s) {unknown}, choose from {list(elements)}"
    missing = [table for table in REQUIRED if tables.get(table) is None]
    if missing:
        yield f"missing table(s) {missing}"
    lengths = {}
    for table, names in elements.items():
        if tables.get(table) is None:
            continue
        wrong = list(_column_problems(table, tables[table], names))
        yield from wrong
        lengths[table] = len(tables[table])
        if not wrong:
            yield from _value_problems(table, tables[table], names)
    if len(set(lengths.values())) > 1:
        yield f"tables of unequal lengths {lengths}, give one row per step in each"
    elif lengths and min(lengths.values()) < 2:
        yield f"{min(lengths.values())} row(s), give at least 2 (n rows make n - 1 steps)"


def _column_problems(table: str, given: Any, names: tuple[str, ...]) -> Iterator[str]:
    header = getattr(given, "columns", None)
    if header is None:
        shape = np.shape(given)
        if len(shape) != 2 or shape[1] != len(names):
            yield f"{table} has shape {shape}, give (n_row, {len(names)}) or a DataFrame with named columns"
        return
    header = [str(name) for name in header]
    unknown = sorted(set(header) - set(names))
    repeated = sorted({name for name in header if header.count(name) > 1})
    missing = [] if table in ("maintenance", "hazards") else [name for name in names if name not in header]
    for what, found in (("unknown", unknown), ("repeated", repeated), ("missing", missing)):
        if found:
            yield f"{table} has {what} column(s) {found}, the grid has {list(names)}"


def _value_problems(table: str, given: Any, names: tuple[str, ...]) -> Iterator[str]:
    try:
        values = _matrix(given, names)
    except (TypeError, ValueError):
        yield f"{table} holds values that are not numbers"
        return
    row, column = np.nonzero(~np.isfinite(values))
    if len(row):
        yield f"{table} has {len(row)} value(s) missing or infinite, the first for {names[column[0]]} in row {row[0]}"
    elif table == "prod_v" and (values <= 0).any():
        yield "prod_v holds voltages that are not positive, give kV"
    elif table in ("maintenance", "hazards") and not np.isin(values, (0, 1)).all():
        yield f"{table} must hold 0 and 1 only"


def _matrix(given: Any, names: tuple[str, ...]) -> np.ndarray:
    """(n_row, n_element) float64 in the grid's order; elements without a column are 0."""
    header = getattr(given, "columns", None)
    values = np.asarray(given, dtype=float)
    if header is None:
        return values
    ordered = np.zeros((len(values), len(names)))
    ordered[:, [names.index(str(name)) for name in header]] = values
    return ordered
