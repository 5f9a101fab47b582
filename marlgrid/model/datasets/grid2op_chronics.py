"""The time series of a Grid2Op folder: one sub-folder of csv tables per scenario, read when first asked for.

A table has ``;`` between its columns, the names of the elements as its header, and one row per step (forecasts: one row
per step and horizon). It may be compressed. Start and interval stand in two one-line files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.datasets.grid2op_maintenance import MaintenancePlan, draw_maintenance
from marlgrid.model.outages import hazard_counters, maintenance_counters

COMPRESSIONS = {
    ".csv": None,
    ".csv.bz2": "bz2",
    ".zip": "zip",
    ".csv.zip": "zip",
    ".csv.gz": "gzip",
    ".csv.gzip": "gzip",
    ".csv.xz": "xz",
}
"""Endings of a table's file, in the order in which they are looked for."""


class Names(NamedTuple):
    """Names of the grid's elements, and how the tables call them."""

    loads: tuple[str, ...]
    prods: tuple[str, ...]
    lines: tuple[str, ...]
    chronics_to_grid: Mapping[str, Mapping[str, str]]
    """For "loads", "prods" and "lines": name in the tables -> name in the grid; absent where they are the same."""


class Reading(NamedTuple):
    """How the folders are read."""

    names: Names
    gen_v_kv: np.ndarray
    """(n_gen,) kV set points where a folder has no ``prod_v``."""
    n_horizon: int
    delta_time: float
    """Minutes."""
    maintenance: str
    """"table": as in ``maintenance.csv``; "random": drawn under ``maintenance_meta.json``; "none"."""


def table_path(folder: Path, name: str) -> Path | None:
    """The file of a table, whatever its compression; None when there is none."""
    return next((path for ending in COMPRESSIONS if (path := folder / f"{name}{ending}").is_file()), None)


QUANTITIES = (("load_p", "loads"), ("load_q", "loads"), ("prod_p", "prods"), ("prod_v", "prods"))
"""Tables and their elements, in the order of ``ScenarioArrays.values``."""


def read_values(folder: Path, reading: Reading) -> np.ndarray:
    """(n_row, 2 * n_load + 2 * n_gen) float32: load_p | load_q | gen_p | gen_v of every row.

    Raises FileNotFoundError for a missing table, ValueError for a broken one.
    """
    tables = [_quantity(folder, quantity, kind, reading) for quantity, kind in QUANTITIES]
    n_row = len(tables[0])
    if n_row < 2:
        raise ValueError(f"{folder} has {n_row} row(s): give at least 2, the first is the start of the episode")
    for (quantity, _), table in zip(QUANTITIES, tables, strict=True):
        path = table_path(folder, quantity)
        if path is not None and len(table) != n_row:
            raise ValueError(f"{path} has {len(table)} rows, load_p has {n_row}: give as many")
    return np.hstack([np.broadcast_to(table, (n_row, table.shape[1])) for table in tables])


def read_forecast(folder: Path, n_row: int, reading: Reading) -> np.ndarray:
    """(n_row * n_horizon, 2 * n_load + 2 * n_gen) float32: row t * n_horizon + h - 1 is t + h as expected at t.

    A quantity without a forecast table is expected to stay as it is at t, which is Grid2Op's rule.
    """
    n_horizon = reading.n_horizon
    parts = []
    for quantity, kind in QUANTITIES:
        path = table_path(folder, f"{quantity}_forecasted")
        if path is None:
            actual = _quantity(folder, quantity, kind, reading)
            parts.append(np.repeat(np.broadcast_to(actual, (n_row, actual.shape[1])), n_horizon, axis=0))
            continue
        table = _table(folder, f"{quantity}_forecasted", kind, reading.names)
        if len(table) < n_row * n_horizon:
            raise ValueError(
                f"{path} has {len(table)} rows, give {n_row * n_horizon}: {n_horizon} horizon(s) for each of "
                f"{n_row} rows"
            )
        parts.append(table[: n_row * n_horizon])
    return np.hstack(parts)


def _quantity(folder: Path, quantity: str, kind: str, reading: Reading) -> np.ndarray:
    """(n_row, n_element) float32; (1, n_gen) of the grid's set points where there is no ``prod_v``."""
    if quantity == "prod_v" and table_path(folder, quantity) is None:
        return reading.gen_v_kv.astype(np.float32)[None, :]
    return _table(folder, quantity, kind, reading.names)


def read_outages(folder: Path, number: int, n_row: int, reading: Reading) -> np.ndarray:
    """(n_row, 3 * n_line) int32: the line quantities of ``Injections``, random ones drawn for scenario ``number``."""
    lines = reading.names.lines
    planned = np.zeros((n_row, len(lines)), dtype=bool)
    hazards = planned
    if reading.maintenance == "random":
        plan = read_maintenance_plan(folder / "maintenance_meta.json", lines)
        planned = draw_maintenance(plan, number, read_start(folder), n_row, reading.delta_time)
    elif reading.maintenance == "table":
        planned = _outage_mask(folder, "maintenance", n_row, reading.names)
    if reading.maintenance != "none":
        hazards = _outage_mask(folder, "hazards", n_row, reading.names)
    return np.hstack([*maintenance_counters(planned), hazard_counters(hazards)])


def _outage_mask(folder: Path, name: str, n_row: int, names: Names) -> np.ndarray:
    """(n_row, n_line) bool; nothing is out when there is no such table."""
    path = table_path(folder, name)
    if path is None:
        return np.zeros((n_row, len(names.lines)), dtype=bool)
    table = _table(folder, name, "lines", names)
    if len(table) != n_row:
        raise ValueError(f"{path} has {len(table)} rows, load_p has {n_row}: give as many")
    return np.abs(table) >= 1e-7


def _table(folder: Path, name: str, kind: str, names: Names) -> np.ndarray:
    """(n_row, n_element) float32, columns in the grid's order."""
    path = table_path(folder, name)
    if path is None:
        endings = ", ".join(COMPRESSIONS)
        raise FileNotFoundError(f"{folder} has no table {name!r}; give {name} with one of the endings {endings}")
    import pandas as pd

    ending = path.name[len(name) :]
    try:
        frame = pd.read_csv(path, sep=";", compression=COMPRESSIONS[ending])
        table = frame.to_numpy(dtype=np.float32)
    except (ValueError, OSError, EOFError, pd.errors.ParserError) as error:
        message = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read as a table of numbers separated by ';': {message}") from error
    order = _columns(path, [str(column).strip() for column in frame.columns], getattr(names, kind), kind, names)
    table = np.ascontiguousarray(table[:, order])
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{path} has {table[row, column]} in row {row} of column {getattr(names, kind)[column]!r} "
            f"({len(bad)} such values); give a finite number everywhere"
        )
    return table


def _columns(path: Path, header: list[str], wanted: Sequence[str], kind: str, names: Names) -> list[int]:
    """Where each element of the grid stands in a header; every column must be an element."""
    known = names.chronics_to_grid.get(kind)
    in_grid = header if known is None else [known.get(name, name) for name in header]
    missing = [name for name in wanted if name not in set(in_grid)]
    unknown = [name for name, mapped in zip(header, in_grid, strict=True) if mapped not in set(wanted)]
    if missing or unknown or len(in_grid) != len(wanted):
        raise ValueError(
            f"{path} must have one column for each of the {len(wanted)} {kind} of the grid: missing {missing[:5]}, "
            f"not in the grid {unknown[:5]}, {len(in_grid)} columns; rename them, or map the names in config.py's "
            f"names_chronics_to_grid"
        )
    position = {name: column for column, name in enumerate(in_grid)}
    return [position[name] for name in wanted]


def read_start(folder: Path) -> np.datetime64:
    """``start_datetime.info``, the time of row 0; 2019-01-01 where there is none (Grid2Op's default)."""
    path = folder / "start_datetime.info"
    if not path.is_file():
        return np.datetime64("2019-01-01T00:00", "m")
    return np.datetime64(_moment(path, ("%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S")), "m")


def read_interval(folder: Path) -> float | None:
    """``time_interval.info`` in minutes; None where there is none."""
    path = folder / "time_interval.info"
    if not path.is_file():
        return None
    moment = _moment(path, ("%H:%M", "%M"))
    minutes = 60.0 * moment.hour + moment.minute
    if minutes <= 0:
        raise ValueError(f"{path} says {minutes} minutes; give a positive time as HH:MM")
    return minutes


def _moment(path: Path, formats: tuple[str, ...]) -> datetime:
    text = path.read_text(encoding="utf-8").strip()
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"{path} says {text!r}; give a time as {' or '.join(formats)}")


def read_maintenance_plan(path: Path, lines: Sequence[str]) -> MaintenancePlan:
    """Reads ``maintenance_meta.json``."""
    meta = read_json(path)
    try:
        names = list(meta["line_to_maintenance"])
        plan = MaintenancePlan(
            n_line=len(lines),
            lines=np.array([lines.index(name) for name in names if name in set(lines)], dtype=np.int32),
            start_hour=float(meta["maintenance_starting_hour"]),
            end_hour=float(meta["maintenance_ending_hour"]),
            probability=np.array(meta["daily_proba_per_month_maintenance"], dtype=float),
            most=np.array(meta["max_daily_number_per_month_maintenance"], dtype=np.int64),
            weekdays=tuple(int(day) for day in meta.get("maintenance_day_of_week", range(5))),
        )
    except KeyError as error:
        raise ValueError(f"{path} lacks the key {error}; see Grid2Op's maintenance_meta.json") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not as expected: {error}; see Grid2Op's maintenance_meta.json") from error
    unknown = sorted(set(names) - set(lines))
    if unknown:
        raise ValueError(f"{path} plans maintenance of {unknown}, which are no lines of the grid")
    if plan.probability.shape != (12,) or plan.most.shape != (12,):
        raise ValueError(f"{path} must give 12 monthly values, got {plan.probability.shape} and {plan.most.shape}")
    return plan


def read_json(path: Path) -> dict[str, Any]:
    """A json object; clear errors for a missing or broken file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it is part of this Grid2Op folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as json: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a json object, got a {type(content).__name__}")
    return content


# ---------------------------------------------------------------------- initial states
TABLE_OF = {
    **dict.fromkeys(("set_line_status", "change_line_status", "lines_or_id", "lines_ex_id"), "lines"),
    **dict.fromkeys(("generators_id", "redispatch", "curtail"), "prods"),
    "loads_id": "loads",
}
"""Keys of an action whose elements have names in the tables."""


def read_init_state(folder: Path, reading: Reading) -> Mapping[str, Any] | None:
    """``init_state.json``: an action by keys, with the grid's names; None where there is no such file."""
    path = folder / "init_state.json"
    if not path.is_file():
        return None
    keys = read_json(path)
    if not isinstance(keys, Mapping):
        raise ValueError(f"{path} must hold an action by keys, such as set_bus, got {keys!r}")
    return {key: _in_grid_names(key, value, reading.names) for key, value in keys.items()}


def _in_grid_names(key: str, value: Any, names: Names) -> Any:
    """The value of a key with the tables' names replaced by the grid's; lists of pairs become tuples."""
    name = names.chronics_to_grid.get(TABLE_OF.get(key, ""), {})
    if isinstance(value, Mapping):
        if key in ("set_bus", "change_bus"):
            return {part: _in_grid_names(part, entry, names) for part, entry in value.items()}
        return {name.get(element, element): entry for element, entry in value.items()}
    if isinstance(value, list):
        return [(name.get(v[0], v[0]), v[1]) if isinstance(v, list) and len(v) == 2 else v for v in value]
    return value
