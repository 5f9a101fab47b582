"""The grid of a Grid2Op folder: ``grid.json`` and the tables of what a pandapower network does not know."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marlgrid.model.datasets.grid2op_chronics import read_json
from marlgrid.model.datasets.grid2op_config import Config
from marlgrid.model.grid import GENERATOR_TYPES, Grid

if TYPE_CHECKING:
    import pandas as pd

GENERATOR_COLUMNS = {
    "Pmax": "gen_pmax",
    "Pmin": "gen_pmin",
    "max_ramp_up": "gen_max_ramp_up",
    "max_ramp_down": "gen_max_ramp_down",
    "min_up_time": "gen_min_uptime",
    "min_down_time": "gen_min_downtime",
    "marginal_cost": "gen_cost_per_mw",
    "start_cost": "gen_startup_cost",
    "shut_down_cost": "gen_shutdown_cost",
}
STORAGE_COLUMNS = {
    "Emax": "storage_emax",
    "Emin": "storage_emin",
    "max_p_prod": "storage_max_p_prod",
    "max_p_absorb": "storage_max_p_absorb",
    "marginal_cost": "storage_marginal_cost",
    "power_loss": "storage_loss",
    "charging_efficiency": "storage_charging_efficiency",
    "discharging_efficiency": "storage_discharging_efficiency",
}
OPTIONAL = {"power_loss": 0.0, "charging_efficiency": 1.0, "discharging_efficiency": 1.0}
"""Columns that a table may lack, and what they are then (Grid2Op's defaults)."""
EMPTY_IS_ZERO = ("max_ramp_up", "max_ramp_down")
"""Columns left empty for generators that have no such thing."""
WHOLE = ("gen_min_uptime", "gen_min_downtime")


def read_grid(folder: Path, config: Config, n_busbar: int) -> Grid:
    """The grid with its characteristics, layout and thermal limits.

    Substation ``i`` is ``sub_i`` (Grid2Op permutes these names where a file lists its buses in another order). Without
    ``prods_charac.csv`` generators keep what the network file says of them.
    """
    path = folder / "grid.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a Grid2Op folder holds its network there")
    try:
        grid = _grid_of_network(path.read_text(encoding="utf-8"), n_busbar)
    except Exception as error:
        raise ValueError(f"{path} is not readable as a pandapower network in json: {error}") from error
    changes: dict[str, Any] = {"name": folder.name}
    if (folder / "prods_charac.csv").is_file():
        changes |= _generators(folder / "prods_charac.csv", grid.name_gen)
    if grid.n_storage:
        changes |= _storages(folder / "storage_units_charac.csv", grid.name_storage)
    if (folder / "grid_layout.json").is_file():
        changes["sub_xy"] = _layout(folder / "grid_layout.json", grid.name_sub)
    limits = config.values.get("thermal_limits")
    if limits is not None:
        changes["thermal_limit"] = _thermal_limits(folder / "config.py", limits, grid.name_line)
    return replace(grid, **changes)


def read_forecast_grid(folder: Path, grid: Grid) -> Grid | None:
    """The network that forecasts are computed on, ``grid_forecast.json``; None where the folder has none."""
    path = folder / "grid_forecast.json"
    if not path.is_file():
        return None
    try:
        other = _grid_of_network(path.read_text(encoding="utf-8"), grid.n_busbar)
    except Exception as error:
        raise ValueError(f"{path} is not readable as a pandapower network in json: {error}") from error
    different = [name for name in SAME if not np.array_equal(getattr(other, name), getattr(grid, name))]
    if different:
        raise ValueError(f"{path} has other elements than grid.json: {different} differ; only characteristics may")
    return other


SAME = (
    "name_line", "name_gen", "name_load", "name_storage", "line_or_to_subid", "line_ex_to_subid", "gen_to_subid",
    "load_to_subid", "storage_to_subid", "shunt_to_subid",
)  # fmt: skip
"""What the networks of a folder must have in common."""


@lru_cache(maxsize=8)
def _grid_of_network(text: str, n_busbar: int) -> Grid:
    """The grid of a pandapower network in json, kept for the next environment on the same network."""
    # pandapower takes a second to import: only where a network is read.
    import pandapower

    from marlgrid.model.datasets.pandapower_net import grid_from_pandapower

    with warnings.catch_warnings():
        # Files of old pandapower versions are converted, not without complaint.
        warnings.simplefilter("ignore")
        net = pandapower.from_json_string(text)
    grid = grid_from_pandapower(net, "", n_busbar, transformer_formula="v2")
    return replace(grid, name_sub=tuple(f"sub_{sub}" for sub in range(grid.n_sub)))


def _generators(path: Path, names: Sequence[str]) -> dict[str, Any]:
    table = _characteristics(path, names, ("type", *GENERATOR_COLUMNS))
    unknown = sorted(set(table["type"]) - set(GENERATOR_TYPES))
    if unknown:
        raise ValueError(f"{path} has generators of type {unknown}; choose from {list(GENERATOR_TYPES)}")
    fields = _numbers(path, table, GENERATOR_COLUMNS)
    return {"gen_type": tuple(table["type"]), **fields}


def _storages(path: Path, names: Sequence[str]) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, and the grid has storages {list(names)}: describe them there")
    table = _characteristics(path, names, ("type", *(c for c in STORAGE_COLUMNS if c not in OPTIONAL)))
    table = table.assign(**{column: value for column, value in OPTIONAL.items() if column not in table})
    return {"storage_type": tuple(str(kind) for kind in table["type"]), **_numbers(path, table, STORAGE_COLUMNS)}


def _characteristics(path: Path, names: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The rows of a table, one for each name in their order."""
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=",")
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} cannot be read as a table separated by ',': {error}") from error
    absent = [column for column in ("name", *columns) if column not in table]
    if absent:
        raise ValueError(f"{path} lacks the column(s) {absent}; it has {list(table.columns)}")
    table = table.assign(name=table["name"].astype(str))
    missing = sorted(set(names) - set(table["name"]))
    if missing or table["name"].duplicated().any():
        twice = sorted(set(table["name"][table["name"].duplicated()]))
        raise ValueError(
            f"{path} must describe each element of the grid once: missing {missing}, more than once {twice}"
        )
    return table.set_index("name").loc[list(names)].reset_index()


def _numbers(path: Path, table: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Field of the grid -> numbers of its column."""
    fields = {}
    for column, field in columns.items():
        try:
            values = table[column].to_numpy(dtype=float)
        except ValueError as error:
            raise ValueError(f"{path}, column {column!r}: {error}; give numbers") from error
        if column in EMPTY_IS_ZERO:
            values = np.where(np.isnan(values), 0.0, values)
        if not np.isfinite(values).all():
            bad = list(table["name"][~np.isfinite(values)])
            raise ValueError(f"{path}, column {column!r}: no finite number for {bad}")
        fields[field] = values.astype(np.int32) if field in WHOLE else values
    return fields


def _layout(path: Path, names: Sequence[str]) -> np.ndarray:
    """(n_sub, 2)."""
    layout = read_json(path)
    missing = [name for name in names if name not in layout]
    if missing:
        raise ValueError(f"{path} gives no place for {missing}; give [x, y] for every substation")
    try:
        places = np.array([layout[name] for name in names], dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must give [x, y] for every substation: {error}") from error
    if places.shape != (len(names), 2) or not np.isfinite(places).all():
        raise ValueError(f"{path} must give two finite numbers [x, y] for every substation")
    return places


def _thermal_limits(path: Path, limits: Any, names: Sequence[str]) -> np.ndarray:
    """(n_line,) A, given as a list in the grid's order or by name."""
    if isinstance(limits, Mapping):
        missing, unknown = sorted(set(names) - set(limits)), sorted(set(limits) - set(names))
        if missing or unknown:
            raise ValueError(f"{path}, thermal_limits: missing {missing}, not lines of the grid {unknown}")
        limits = [limits[name] for name in names]
    try:
        values = np.array(limits, dtype=float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, thermal_limits: {error}; give A for each line, in a list or by name") from error
    if len(values) != len(names):
        raise ValueError(f"{path}, thermal_limits: {len(values)} values for {len(names)} lines; give one per line")
    if not (np.isfinite(values) & (values > 0)).all():
        bad = [name for name, value in zip(names, values, strict=True) if not 0 < value < np.inf]
        raise ValueError(f"{path}, thermal_limits: not positive for {bad}; give A")
    return values
