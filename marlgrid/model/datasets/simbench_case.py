"""SimBench grids with their year of profiles: ``simbench:<code>``."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from marlgrid.model.datasets.customising import safe_powerlines, zone_number
from marlgrid.model.datasets.pandapower_net import grid_from_pandapower
from marlgrid.model.datasets.pandapower_rows import NetRows, column
from marlgrid.model.datasets.simbench_net import SimbenchNet, element_profiles, simbench_net
from marlgrid.model.datasets.simbench_series import Scaled, SimbenchSeries, balanced
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules
from marlgrid.model.partition import electrical_distance
from marlgrid.model.zones import ZoneSpec

RAMPS = {"nuclear": 0.1, "thermal": 0.3, "hydro": 0.5, "wind": 0.0, "solar": 0.0}
"""Least ramp in a quarter of an hour, as a share of pmax; the schedule of the year may have larger ones."""
COSTS = {"nuclear": 30.0, "thermal": 70.0, "hydro": 60.0, "wind": 0.0, "solar": 0.0}
EXTERNAL_COST = 80.0
"""Per MWh."""
FAR_PU = 1e9


@lru_cache(maxsize=4)
def simbench_case(code: str, n_busbar: int = 2) -> tuple[Grid, SimbenchSeries]:
    """The grid of a SimBench code and its year. Raises what ``simbench_net`` raises."""
    simbench = simbench_net(code)
    grid = grid_from_pandapower(simbench.net, code, n_busbar)
    rows = NetRows.of(simbench.net)
    parts = {name: Scaled(*found) for name, found in element_profiles(simbench, rows).items()}
    profiles = simbench.profiles.to_numpy()
    schedule = balanced(parts["load_p"].of(profiles), parts["gen_p"].of(profiles), grid.slack_gen)
    grid = _with_storages(_with_limits(grid, simbench, rows, schedule), simbench, rows)
    return grid, SimbenchSeries(grid, profiles, start=simbench.start, **parts)


def _with_limits(grid: Grid, simbench: SimbenchNet, rows: NetRows, schedule: np.ndarray) -> Grid:
    """Limits, ramps and costs of the generators; none excludes what the year's schedule (n_row, n_gen) asks for."""
    slack = grid.slack_gen
    tables = (simbench.net[table].loc[getattr(rows, table)] for table in ("gen", "ext_grid", "sgen"))
    plants = np.concatenate([column(table, "max_p_mw") for table in tables])
    pmax, pmin = np.maximum(plants, schedule.max(axis=0)), np.minimum(0.0, schedule.min(axis=0))
    exchange = external_rating(grid)
    pmax[slack], pmin[slack] = max(exchange, pmax[slack]), min(-exchange, pmin[slack])
    share = np.array([RAMPS[kind] for kind in grid.gen_type])
    ramp = np.where(share > 0, np.maximum(share * pmax, np.abs(np.diff(schedule, axis=0)).max(axis=0)), 0.0)
    ramp[slack] = pmax[slack] - pmin[slack]
    cost = np.array([COSTS[kind] for kind in grid.gen_type])
    cost[slack] = EXTERNAL_COST
    return replace(
        grid,
        gen_pmax=pmax,
        gen_pmin=pmin,
        gen_max_ramp_up=ramp,
        gen_max_ramp_down=ramp.copy(),
        gen_cost_per_mw=cost,
    )


def external_rating(grid: Grid) -> float:
    """MVA that all branches at the slack generator's substation can carry together."""
    home = grid.gen_to_subid[grid.slack_gen]
    at_or, at_ex = grid.line_or_to_subid == home, grid.line_ex_to_subid == home
    kv = np.where(at_or | at_ex, grid.sub_vn_kv[grid.line_or_to_subid], 0.0)
    return float((np.sqrt(3) * kv * grid.thermal_limit / 1000).sum())


def _with_storages(grid: Grid, simbench: SimbenchNet, rows: NetRows) -> Grid:
    storage = simbench.net.storage.loc[rows.storage]
    per_day = column(storage, "self-discharge_percent_per_day") / 100
    return replace(
        grid,
        storage_loss=per_day * grid.storage_emax / 24,
        storage_charging_efficiency=np.sqrt(_efficiency(storage)),
        storage_discharging_efficiency=np.sqrt(_efficiency(storage)),
    )


def _efficiency(storage: pd.DataFrame) -> np.ndarray:
    """(n_storage,) there and back; SimBench writes 0.95 into a column called percent."""
    given = column(storage, "efficiency_percent", 0.95)
    return np.where(given > 1, given / 100, given)


def feeding_areas(grid: Grid) -> ZoneSpec:
    """(n_sub) default zone of each substation: the area of the electrically closest station that feeds the grid.

    Stations are the substations next to the slack generator's; distances do not count the ways through the latter. A
    grid with one station only: the number of automatic zones that suits its size.
    """
    home = grid.gen_to_subid[grid.slack_gen]
    ends = np.stack([grid.line_or_to_subid, grid.line_ex_to_subid])
    at_home = (ends == home).any(axis=0)
    stations = np.setdiff1d(ends[:, at_home], [home])
    if len(stations) < 2:
        return zone_number(grid)
    cut = replace(grid, line_x_pu=np.where(at_home, FAR_PU, grid.line_x_pu))
    return electrical_distance(cut)[:, stations].argmin(axis=1).tolist()


def attack_rules(grid: Grid) -> AttackRules:
    """Any powerline but bridges, for four hours at most, eight hours from one start to the next."""
    return AttackRules(lines=safe_powerlines(grid), max_duration=16, cooldown=32, initial_budget=16.0)
